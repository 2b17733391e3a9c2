//! A caller's table of names that moved: entries in, and for a name of a stream what it is called today.
//!
//! An entry is for a name and what is inside it (`old.module.Name`, `old.module:Outer.Inner`), or for a module and what
//! is below it (`old.module.*`); the longest one that fits counts, and where one leads to the next, all are followed. Only
//! names are mapped here: nothing is imported, and the new name has to pass the policy as if the stream had it.
use rustc_hash::FxHashMap;

/// How many entries a name may be led through.
const MOST_STEPS: usize = 16;

/// Where an entry for a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    module: String,
    qualname: String,
}

/// The table.
#[derive(Debug, Default)]
pub struct Renames {
    /// By `module.qualname`: an entry written with dots fits at every split into the two.
    dotted: FxHashMap<String, Target>,
    /// By module and qualified name: written with a colon.
    split: FxHashMap<(String, String), Target>,
    /// By module.
    modules: FxHashMap<String, String>,
}

/// An old or a new name, as an entry has it.
enum Form<'t> {
    Dotted(&'t str),
    Split(&'t str, &'t str),
    Module(&'t str),
}

impl<'t> Form<'t> {
    fn read(text: &'t str) -> Result<Form<'t>, String> {
        let identifier = |part: &str| {
            let mut letters = part.chars();
            letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && letters.all(|c| c.is_alphanumeric() || c == '_')
        };
        let form = match (text.strip_suffix(".*"), text.split_once(':')) {
            (Some(module), None) => Form::Module(module),
            (None, Some((module, qualname))) => Form::Split(module, qualname),
            _ => Form::Dotted(text),
        };
        let sound = match form {
            Form::Module(name) => name.split('.').all(identifier),
            Form::Dotted(name) => name.contains('.') && name.split('.').all(identifier),
            Form::Split(module, name) => module.split('.').chain(name.split('.')).all(identifier),
        };
        match sound {
            true => Ok(form),
            false => Err(format!(
                "{text:?} is not a name: write package.module.Name, package.module:Outer.Inner or package.module.*"
            )),
        }
    }

    fn target(&self) -> Option<Target> {
        let (module, qualname) = match self {
            Form::Dotted(text) => text.rsplit_once('.')?,
            Form::Split(module, qualname) => (*module, *qualname),
            Form::Module(_) => return None,
        };
        Some(Target { module: module.to_owned(), qualname: qualname.to_owned() })
    }
}

/// `text` without `prefix`, if it is that or below it: empty, or beginning with a dot.
fn rest<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A dotted name and its prefixes, longest first.
fn prefixes(text: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(text), |text| text.rsplit_once('.').map(|(prefix, _)| prefix))
}

impl Renames {
    /// The table of these entries, old name and new.
    ///
    /// # Errors
    ///
    /// An entry is no name, two disagree, or they lead in a circle; the message says which.
    pub fn of<'e>(entries: impl Iterator<Item = (&'e str, &'e str)> + Clone) -> Result<Renames, String> {
        let mut table = Renames::default();
        for (old, new) in entries.clone() {
            table.add(old, new)?;
        }
        for (old, new) in entries {
            table.follow(old, new)?;
        }
        Ok(table)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.dotted.is_empty() && self.split.is_empty() && self.modules.is_empty()
    }

    fn add(&mut self, old: &str, new: &str) -> Result<(), String> {
        let (from, to) = (Form::read(old)?, Form::read(new)?);
        let earlier = match (&from, to.target()) {
            (Form::Module(from), None) => {
                let to = new.trim_end_matches(".*").to_owned();
                self.modules.insert((*from).to_owned(), to.clone()).filter(|earlier| *earlier != to)
            }
            (Form::Module(_), Some(_)) | (_, None) => {
                return Err(format!(
                    "{old:?} and {new:?} are not of one kind: a module's name ends in .* on both sides"
                ));
            }
            (Form::Split(module, qualname), Some(to)) => {
                let key = ((*module).to_owned(), (*qualname).to_owned());
                self.split.insert(key, to.clone()).filter(|earlier| *earlier != to).map(shown)
            }
            (Form::Dotted(text), Some(to)) => {
                self.dotted.insert((*text).to_owned(), to.clone()).filter(|earlier| *earlier != to).map(shown)
            }
        };
        match earlier {
            Some(earlier) => Err(format!("{old:?} is renamed to both {earlier:?} and {new:?}")),
            None => Ok(()),
        }
    }

    /// Follows one entry to its end.
    fn follow(&self, old: &str, new: &str) -> Result<(), String> {
        let start = |text| match Form::read(text) {
            Ok(Form::Module(module)) => Some((module.to_owned(), "*".to_owned())),
            Ok(form) => form.target().map(|target| (target.module, target.qualname)),
            Err(_) => None,
        };
        let (Some(from), Some(mut at)) = (start(old), start(new)) else { return Ok(()) };
        let is_start = |at: &(String, String)| format!("{}.{}", at.0, at.1) == format!("{}.{}", from.0, from.1);
        let mut path = format!("{old} -> {new}");
        for _ in 0..MOST_STEPS {
            if is_start(&at) {
                return Err(format!("renames lead in a circle: {path}"));
            }
            match self.step(&at.0, &at.1) {
                Some(next) => at = next,
                None => return Ok(()),
            }
            path += &format!(" -> {}.{}", at.0, at.1);
        }
        Err(format!("renames lead on without end: {path}"))
    }

    /// What a name is called today; `None` if it was not renamed.
    pub fn find(&self, module: &str, name: &str) -> Option<(String, String)> {
        let mut found = self.step(module, name)?;
        for _ in 1..MOST_STEPS {
            match self.step(&found.0, &found.1) {
                Some(next) => found = next,
                None => break,
            }
        }
        Some(found)
    }

    fn step(&self, module: &str, name: &str) -> Option<(String, String)> {
        if self.is_empty() {
            return None;
        }
        self.name_step(module, name).or_else(|| self.module_step(module, name))
    }

    fn name_step(&self, module: &str, name: &str) -> Option<(String, String)> {
        if self.dotted.is_empty() && self.split.is_empty() {
            return None;
        }
        prefixes(name).find_map(|prefix| {
            let own = self.split.get(&(module.to_owned(), prefix.to_owned()));
            let target = own.or_else(|| self.dotted.get(&format!("{module}.{prefix}")))?;
            // A name that is where the entry leads stays there: `shapes.Disc` that went to `shapes.Disc.Inner`.
            let there = module == target.module && rest(&target.qualname, prefix).is_some();
            if there && rest(name, &target.qualname).is_some() {
                return None;
            }
            Some((target.module.clone(), format!("{}{}", target.qualname, &name[prefix.len()..])))
        })
    }

    fn module_step(&self, module: &str, name: &str) -> Option<(String, String)> {
        prefixes(module).find_map(|prefix| {
            let target = self.modules.get(prefix)?;
            // The same for modules: `app.*` that went to `app.core.*`.
            if rest(target, prefix).is_some() && rest(module, target).is_some() {
                return None;
            }
            Some((format!("{target}{}", &module[prefix.len()..]), name.to_owned()))
        })
    }
}

fn shown(target: Target) -> String {
    format!("{}:{}", target.module, target.qualname)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, &str)]) -> Result<Renames, String> {
        Renames::of(entries.iter().copied())
    }

    fn found(entries: &[(&str, &str)], module: &str, name: &str) -> Option<String> {
        table(entries).unwrap().find(module, name).map(|(module, name)| format!("{module}:{name}"))
    }

    #[test]
    fn an_entry_holds_for_its_name_and_what_is_inside() {
        let entries = [("old.shapes.Disc", "new.shapes.Circle"), ("old:Outer.Inner", "new:Other.Inner")];
        assert_eq!(found(&entries, "old.shapes", "Disc").as_deref(), Some("new.shapes:Circle"));
        assert_eq!(found(&entries, "old.shapes", "Disc.Edge").as_deref(), Some("new.shapes:Circle.Edge"));
        assert_eq!(found(&entries, "old.shapes", "Discus"), None);
        assert_eq!(found(&entries, "old", "shapes.Disc").as_deref(), Some("new.shapes:Circle"));
        assert_eq!(found(&entries, "old", "Outer.Inner").as_deref(), Some("new:Other.Inner"));
        assert_eq!(found(&entries, "old", "Outer"), None);
    }

    #[test]
    fn a_star_holds_for_whole_segments_of_modules() {
        let entries = [("old.*", "new.home.*"), ("old.odd.*", "odd.*"), ("old.odd.Name", "very.Odd")];
        assert_eq!(found(&entries, "old", "Name").as_deref(), Some("new.home:Name"));
        assert_eq!(found(&entries, "old.deep.er", "Name").as_deref(), Some("new.home.deep.er:Name"));
        assert_eq!(found(&entries, "old.odd", "Other").as_deref(), Some("odd:Other"));
        assert_eq!(found(&entries, "old.odd", "Name").as_deref(), Some("very:Odd"));
        assert_eq!(found(&entries, "older", "Name"), None);
    }

    #[test]
    fn entries_are_followed_and_end() {
        let entries = [("a.X", "b.Y"), ("b.Y", "c.Z"), ("c.*", "d.*")];
        assert_eq!(found(&entries, "a", "X").as_deref(), Some("d:Z"));
        // What moved into a package of the same name stays once it is there.
        let inward = [("app.*", "app.core.*")];
        assert_eq!(found(&inward, "app.models", "User").as_deref(), Some("app.core.models:User"));
        assert_eq!(found(&inward, "app.core.models", "User"), None);
        let outward = [("app.core.*", "app.*")];
        assert_eq!(found(&outward, "app.core.models", "User").as_deref(), Some("app.models:User"));
    }

    #[test]
    fn circles_clashes_and_non_names_are_errors() {
        for entries in [
            &[("a.X", "b.X"), ("b.X", "a.X")][..],
            &[("a.X", "a.X")],
            &[("a.*", "b.*"), ("b.*", "a.*")],
            &[("a.*", "b.*"), ("b.X", "a.X")],
            &[("a.*", "b.c.*"), ("b.*", "a.*")],
            &[("a.*", "b.*"), ("b.c.*", "a.c.*")],
            &[("a.X", "b.X"), ("a.X", "c.X")],
            &[("a.*", "b.*"), ("a.*", "c.*")],
            &[("a.X", "b.*")],
            &[("a.*", "b.X")],
            &[("X", "b.X")],
            &[("a.X", "b.1X")],
            &[("a..X", "b.X")],
            &[("*", "b.*")],
        ] {
            assert!(table(entries).is_err(), "{entries:?}");
        }
        assert!(table(&[("a.X", "b.X"), ("a.X", "b.X")]).is_ok());
    }
}
