//! Renames: what a user asks for in words (`old.mod.Name=new.mod.Name`, `old.mod.*=new.mod.*`) and the tables of names
//! that libraries gave up, into one answer for each name. A name is changed once: what comes out is not looked up again.

use crate::compat::{moved, present};
use rustc_hash::FxHashMap;

/// Names to change.
#[derive(Clone, Debug, Default)]
pub struct Renames {
    exact: FxHashMap<String, String>,
    /// Modules and what is below them, longest first.
    prefixes: Vec<(String, String)>,
    current: bool,
}

/// The library that has both spellings today calls the one of them old.
const OLD: &str = "numpy.core";

impl Renames {
    /// The pairs that a user gives, and whether names that libraries gave up become those of today.
    pub fn new(pairs: &[(String, String)], current: bool) -> Result<Renames, String> {
        let mut renames = Renames { current, ..Renames::default() };
        for (old, new) in pairs {
            match (old.strip_suffix(".*"), new.strip_suffix(".*")) {
                (Some(old), Some(new)) if is_name(old) && is_name(new) => {
                    renames.prefixes.push((old.to_owned(), new.to_owned()));
                }
                (None, None) if is_full(old) && is_full(new) => {
                    renames.exact.insert(old.replacen(':', ".", 1), new.clone());
                }
                _ => return Err(problem(old, new)),
            }
        }
        renames.prefixes.sort_by_key(|(old, _)| std::cmp::Reverse(old.len()));
        Ok(renames)
    }

    /// What a name is to be called; `None` if it stays.
    pub fn of(&self, module: &str, name: &str) -> Option<(String, String)> {
        let asked = self.asked(module, name);
        if asked.is_some() || !self.current {
            return asked;
        }
        if let Some((module, name)) = present(module, name) {
            return Some((module.to_owned(), name.to_owned()));
        }
        let is_old = module.strip_prefix(OLD).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let today = moved(module).filter(|_| is_old)?;
        Some((today, name.to_owned()))
    }

    fn asked(&self, module: &str, name: &str) -> Option<(String, String)> {
        if let Some(new) = self.exact.get(&format!("{module}.{name}")) {
            return Some(divided(new, name.split('.').count()));
        }
        self.prefixes.iter().find_map(|(old, new)| {
            let rest = module.strip_prefix(old.as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then(|| (format!("{new}{rest}"), name.to_owned()))
        })
    }
}

/// Module and qualified name: at the colon, or else with as many parts behind the module as the old name had.
fn divided(full: &str, parts: usize) -> (String, String) {
    if let Some((module, name)) = full.split_once(':') {
        return (module.to_owned(), name.to_owned());
    }
    let ends: Vec<usize> = full.match_indices('.').map(|(at, _)| at).collect();
    let at = ends[ends.len().saturating_sub(parts)];
    (full[..at].to_owned(), full[at + 1..].to_owned())
}

/// Dotted words: nothing that could end a line or a name.
fn is_name(text: &str) -> bool {
    text.split('.').all(|word| {
        let mut letters = word.chars();
        letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

/// A module and a name in it.
fn is_full(text: &str) -> bool {
    match text.split_once(':') {
        Some((module, name)) => is_name(module) && is_name(name),
        None => text.contains('.') && is_name(text),
    }
}

fn problem(old: &str, new: &str) -> String {
    format!(
        "cannot rename {old:?} to {new:?}: give two names such as old.module.Name, or two modules such as old.module.*"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(pairs: &[(&str, &str)], current: bool) -> Renames {
        let pairs: Vec<_> = pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        Renames::new(&pairs, current).unwrap()
    }

    fn of(renames: &Renames, module: &str, name: &str) -> String {
        renames.of(module, name).map_or("-".into(), |(module, name)| format!("{module}:{name}"))
    }

    /// A rename that reached further than it says would point a file at another class.
    #[test]
    fn a_rename_reaches_as_far_as_it_says() {
        let renames = renames(&[("a.b.*", "x.*"), ("a.b.c.*", "y.z.*"), ("a.b.C", "q.D"), ("m:O.I", "n:P.J")], false);
        assert_eq!(of(&renames, "a.b", "E"), "x:E");
        assert_eq!(of(&renames, "a.b.c.d", "E"), "y.z.d:E");
        assert_eq!(of(&renames, "a.bc", "E"), "-");
        assert_eq!(of(&renames, "a.b", "C"), "q:D");
        assert_eq!(of(&renames, "m", "O.I"), "n:P.J");
        assert_eq!(of(&renames, "numpy.core.multiarray", "_reconstruct"), "-");
    }

    /// The class within a class would be looked for in a module that is none.
    #[test]
    fn names_without_a_colon_keep_their_parts() {
        let renames = renames(&[("a.b.C.D", "x.y.z.E.F")], false);
        assert_eq!(of(&renames, "a.b", "C.D"), "x.y.z:E.F");
        assert_eq!(of(&renames, "a.b.C", "D"), "x.y.z.E:F");
    }

    #[test]
    fn names_that_libraries_gave_up_change_where_asked() {
        let renames = renames(&[("sklearn.svm.classes.SVC", "mine.SVC")], true);
        assert_eq!(of(&renames, "sklearn.tree.tree", "X"), "sklearn.tree._classes:X");
        assert_eq!(of(&renames, "sklearn.svm.classes", "SVC"), "mine:SVC");
        assert_eq!(of(&renames, "numpy.core.multiarray", "f"), "numpy._core.multiarray:f");
        assert_eq!(of(&renames, "numpy._core.multiarray", "f"), "-");
    }

    /// A name with a line feed would end a GLOBAL early and begin another instruction.
    #[test]
    fn what_is_no_name_is_refused() {
        for (old, new) in
            [("a.B", "c\nos.system"), ("a", "b"), ("a.*", "b.C"), ("", ""), ("a..b", "c.d"), ("a:*", "b.*")]
        {
            assert!(Renames::new(&[(old.into(), new.into())], false).is_err(), "{old} {new}");
        }
    }
}
