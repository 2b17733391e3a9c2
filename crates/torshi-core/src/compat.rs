//! Old names in, today's names out.
//!
//! Two tables of one form: what Python 2 called modules and names of the standard library (`python2_names.txt`, CPython's
//! own list), used for protocols 0 to 2 with `fix_imports`; and what libraries called theirs in earlier releases
//! (`library_names.txt`), used always. Beside them stand modules of which either name may be today's, and the paths of
//! other systems.
//! Only names are mapped here: nothing is imported, and a mapped name still has to pass the policy.
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

type Names = FxHashMap<(&'static str, &'static str), (&'static str, &'static str)>;

struct Renames {
    modules: FxHashMap<&'static str, &'static str>,
    names: Names,
    /// The packages that anything was renamed in: most names are of others.
    packages: Vec<&'static str>,
}

fn package(module: &str) -> &str {
    module.split_once('.').map_or(module, |(package, _)| package)
}

impl Renames {
    fn read(text: &'static str) -> Renames {
        let mut table = Renames { modules: FxHashMap::default(), names: FxHashMap::default(), packages: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&'static str> = line.split(' ').collect();
            if !table.packages.contains(&package(words[0])) {
                table.packages.push(package(words[0]));
            }
            match words[..] {
                [old, new] => table.modules.extend([(old, new)]),
                [module, name, new_module, new_name] => table.names.extend([((module, name), (new_module, new_name))]),
                _ => debug_assert!(line.is_empty(), "two or four words: {line:?}"),
            }
        }
        table
    }
}

/// The path class of the other systems, which cannot be instantiated here, and the one that does what needs no file.
const FOREIGN_PATH: (&str, &str) =
    if cfg!(windows) { ("PosixPath", "PurePosixPath") } else { ("WindowsPath", "PureWindowsPath") };

fn python2() -> &'static Renames {
    static TABLE: OnceLock<Renames> = OnceLock::new();
    TABLE.get_or_init(|| Renames::read(include_str!("python2_names.txt")))
}

fn libraries() -> &'static Renames {
    static TABLE: OnceLock<Renames> = OnceLock::new();
    TABLE.get_or_init(|| Renames::read(include_str!("library_names.txt")))
}

/// What Python 3 calls a Python 2 name that moved on its own (`__builtin__.xrange`); such a name is looked up before its module.
pub fn python3_name(module: &str, name: &str) -> Option<(&'static str, &'static str)> {
    python2().names.get(&(module, name)).copied()
}

/// What Python 3 calls a Python 2 module.
pub fn python3_module(module: &str) -> Option<&'static str> {
    python2().modules.get(module).copied()
}

/// What a library calls today what it called so in an earlier release; `None` if it was not renamed.
///
/// A stream with the old name is checked as if it had the new one, and the builder imports the new one. Only where that
/// is not there, since the library is of an earlier release itself, it imports the old one, which then is what was meant.
pub fn present<'n>(module: &str, name: &'n str) -> Option<(&'static str, &'n str)> {
    let table = libraries();
    if !table.packages.contains(&package(module)) {
        return None;
    }
    if name == FOREIGN_PATH.0 && matches!(module, "pathlib" | "pathlib._local") {
        return Some(("pathlib", FOREIGN_PATH.1));
    }
    match table.names.get(&(module, name)) {
        Some(names) => Some(*names),
        None => table.modules.get(module).map(|module| (*module, name)),
    }
}

/// Old and new prefix of modules that libraries renamed in a release that is still in use on both sides; both spellings
/// are one policy row.
const MOVED: &[(&str, &str)] = &[("numpy.core", "numpy._core")];

/// The other spelling of a module a library renamed: `numpy.core.multiarray` for `numpy._core.multiarray` and back.
/// Used when an import fails, and by the policy, which finds the same row under both.
pub fn moved(module: &str) -> Option<String> {
    let swap = |from: &str, to: &str| {
        let rest = module.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    };
    MOVED.iter().find_map(|(old, new)| swap(old, new).or_else(|| swap(new, old)))
}

/// Today's spelling of a module that a library renamed so, and what of it has to be imported for its modules to be there.
/// The old spelling may still be found, by way of a warning.
pub fn today(module: &str) -> Option<(&str, String)> {
    let is_old = |old: &str| module.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    MOVED.iter().any(|(old, _)| is_old(old)).then(|| moved(module)).flatten().map(|new| (package(module), new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python2_names_map_as_cpython_maps_them() {
        assert_eq!(python3_name("__builtin__", "xrange"), Some(("builtins", "range")));
        assert_eq!(python3_name("exceptions", "StandardError"), Some(("builtins", "Exception")));
        assert_eq!(python3_name("builtins", "range"), None);
        assert_eq!(python3_module("__builtin__"), Some("builtins"));
        assert_eq!(python3_module("copy_reg"), Some("copyreg"));
        assert_eq!(python3_module("builtins"), None);
        assert_eq!((python2().modules.len(), python2().names.len()), (55, 88));
    }

    /// A name of which the table says two things, or that leads on to another old one, would be checked as one name and
    /// imported as another.
    #[test]
    fn names_of_libraries_lead_to_the_present_in_one_step() {
        assert_eq!(
            present("sklearn.tree.tree", "DecisionTreeClassifier"),
            Some(("sklearn.tree._classes", "DecisionTreeClassifier"))
        );
        assert_eq!(present("pandas.core.indexes.numeric", "Int64Index"), Some(("pandas", "Index")));
        assert_eq!(present("pandas.core.indexes.numeric", "NumericIndex"), None);
        assert_eq!(present("sklearn.tree", "tree"), None);
        assert_eq!(present("pathlib._local", "PurePath"), Some(("pathlib", "PurePath")));
        assert_eq!(present("pathlib", "PurePath"), None);
        let (foreign, pure) = FOREIGN_PATH;
        for module in ["pathlib", "pathlib._local"] {
            assert_eq!(present(module, foreign), Some(("pathlib", pure)));
        }
        assert_eq!(present("pathlib", pure), None);
        let table = libraries();
        let lines = include_str!("library_names.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.count(), table.modules.len() + table.names.len());
        for (module, name) in table.names.values() {
            assert_eq!(present(module, name), None);
        }
        assert!(table.modules.values().all(|module| !table.modules.contains_key(module)));
    }

    #[test]
    fn moved_goes_both_ways_and_needs_a_whole_segment() {
        assert_eq!(moved("numpy.core.multiarray").as_deref(), Some("numpy._core.multiarray"));
        assert_eq!(moved("numpy._core").as_deref(), Some("numpy.core"));
        assert_eq!(moved("numpy.corelib"), None);
        assert_eq!(moved("numpy"), None);
    }

    #[test]
    fn today_goes_one_way() {
        assert_eq!(today("numpy.core.multiarray"), Some(("numpy", "numpy._core.multiarray".to_owned())));
        assert_eq!(today("numpy._core.multiarray"), None);
        assert_eq!(today("numpy.corelib"), None);
    }
}
