//! What a stream may name and do: reviewed tables, plus what the caller allows, minus what the caller denies.
//!
//! [`Policy::find`] turns a module and a qualified name into a [`Row`] or a [`Denial`]; the machine asks the row
//! about arguments and state. A policy lists what is allowed and never what is dangerous. It is immutable, cheap to
//! clone, and does no I/O: files are read and written by callers, as TOML texts.
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::symbolic::usage;

mod fields;
#[cfg(test)]
mod mock;
pub mod pattern;
mod row;
pub mod rules;
mod selector;
mod syntax;
mod table;
#[cfg(test)]
mod tests;

pub use pattern::{Mismatch, Pattern, Shape, View};
pub use row::{Kind, Makes, Name, Row};
pub(crate) use rules::{array_extent, Extent};

use selector::{Selector, ALL_USES};

/// Which tables a policy starts from, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// None.
    Empty,
    /// Builtins and the standard library.
    Builtins,
    /// All tables.
    Default,
    /// Everything there is; no row, no rule. Not for files.
    #[serde(skip)]
    Unrestricted,
}

/// May a name be used?
#[derive(Clone, Debug)]
pub enum Verdict<'p> {
    /// Yes, as the row says.
    Allowed(&'p Row),
    /// No.
    Denied(Denial),
}

/// Why a name may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No table and no caller allows it.
    NotListed,
    /// The caller denies it, with this entry.
    DeniedBy(String),
    /// No entry can allow it: private to an interpreter, or local to a function.
    Unreachable,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::NotListed => f.write_str("not trusted"),
            Denial::DeniedBy(entry) => write!(f, "denied by {entry:?}"),
            Denial::Unreachable => f.write_str("not trusted, and no entry can allow it: its name has a part such as __this__ or is local to a function"),
        }
    }
}

/// How a name came to be allowed. What a glob let in is checked again once it is imported: the object must live
/// below the glob's prefix too, or a re-exported `os.system` would pass as part of the caller's package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// By an entry with exactly this name.
    Exact,
    /// By a glob; its prefix, without the `.*`.
    Glob(String),
    /// By a table.
    Table,
    /// By a policy that allows everything.
    Unrestricted,
    /// Not at all.
    Denied,
}

/// A policy text or entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

/// An immutable set of what is allowed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    inner: Arc<Inner>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Inner {
    base: Base,
    /// Sorted, without repetitions, so that equal policies compare and hash equal.
    allow: Vec<Selector>,
    deny: Vec<Selector>,
}

/// A policy as a file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default = "all_tables")]
    base: Base,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

fn all_tables() -> Base {
    Base::Default
}

/// The row of names that the caller allows for these uses.
fn trusted(uses: u8) -> &'static Row {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    &ROWS.get_or_init(|| (0..=ALL_USES).map(Row::trusted).collect())[usize::from(uses & ALL_USES)]
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::from_base(Base::Default)
    }
}

impl Policy {
    fn from_base(base: Base) -> Policy {
        Policy { inner: Arc::new(Inner { base, allow: Vec::new(), deny: Vec::new() }) }
    }

    /// All tables. (The inherent name hides the trait's on purpose: callers need no import.)
    #[allow(clippy::should_implement_trait)]
    pub fn default() -> Policy {
        Policy::from_base(Base::Default)
    }

    /// Builtins and the standard library.
    pub fn builtins() -> Policy {
        Policy::from_base(Base::Builtins)
    }

    /// No name at all: numbers, text and containers that have opcodes of their own.
    pub fn empty() -> Policy {
        Policy::from_base(Base::Empty)
    }

    /// Everything.
    pub fn unrestricted() -> Policy {
        Policy::from_base(Base::Unrestricted)
    }

    /// Does it allow everything?
    pub fn is_unrestricted(&self) -> bool {
        self.inner.base == Base::Unrestricted
    }

    /// Which tables it starts from.
    pub fn base(&self) -> Base {
        self.inner.base
    }

    /// The caller's entries that allow, as texts.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.inner.allow.iter().map(Selector::text)
    }

    /// The caller's entries that deny, as texts.
    pub fn denied(&self) -> impl Iterator<Item = &str> {
        self.inner.deny.iter().map(Selector::text)
    }

    /// What may be done with a global. `module` and `name` are Python 3 names, of today or of an earlier release of their
    /// library; `name` may be dotted.
    pub fn find(&self, module: &str, name: &str) -> Verdict<'static> {
        match self.look(module, name) {
            Ok((row, _)) => Verdict::Allowed(row),
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// Whether it is this very policy.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Where it is, as long as it is there.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// By what a global is allowed.
    pub fn matched(&self, module: &str, name: &str) -> Matched {
        self.look(module, name).map_or(Matched::Denied, |(_, matched)| matched)
    }

    /// By which row a global is allowed and by what, or why it is not.
    pub(crate) fn look(&self, module: &str, name: &str) -> Result<(&'static Row, Matched), Denial> {
        let other = crate::compat::moved(module);
        let spellings = || {
            let moved = other.as_deref().map(|module| (module, name));
            std::iter::once((module, name)).chain(moved).chain(crate::compat::present(module, name))
        };
        let denies = |entry: &&Selector| spellings().any(|(module, name)| entry.denies(module, name));
        if let Some(entry) = self.inner.deny.iter().find(denies) {
            return Err(Denial::DeniedBy(entry.text().to_owned()));
        }
        let row = |all| spellings().find_map(|(module, name)| table::tables().find(module, name, all));
        match self.inner.base {
            // Rows matter even here: they say how an instance takes items and what a call makes.
            Base::Unrestricted => return Ok((row(true).unwrap_or_else(|| trusted(ALL_USES)), Matched::Unrestricted)),
            Base::Empty => {}
            base => {
                if let Some(row) = row(base == Base::Default) {
                    // A row that only lets a name stand as data gives way to a caller who vouches for
                    // the name; one that knows the dangers of its arguments never does.
                    let exact = || spellings().find_map(|(module, name)| self.vouches(module, name));
                    return match exact().filter(|_| row.is_value_only()) {
                        Some(uses) => Ok((trusted(uses | usage::VALUE), Matched::Exact)),
                        None => Ok((row, Matched::Table)),
                    };
                }
            }
        }
        if !selector::reachable(name) {
            return Err(Denial::Unreachable);
        }
        let exact = spellings().find_map(|(module, name)| self.vouches(module, name));
        if exact == Some(ALL_USES) {
            return Ok((trusted(ALL_USES), Matched::Exact));
        }
        // Entries add up: one with a few uses takes nothing from a star that has the name too.
        let glob = |entry: &Selector| {
            let found = spellings().find_map(|(module, name)| entry.allows(module, name));
            found.filter(|matched| matches!(matched, Matched::Glob(_)))
        };
        match (self.inner.allow.iter().find_map(glob), exact) {
            (Some(matched), _) => Ok((trusted(ALL_USES), matched)),
            (None, Some(uses)) => Ok((trusted(uses), Matched::Exact)),
            (None, None) => Err(Denial::NotListed),
        }
    }

    /// What the entries with exactly this name allow, taken together; `None` if there are none.
    fn vouches(&self, module: &str, name: &str) -> Option<u8> {
        let exact = |entry: &&Selector| matches!(entry.allows(module, name), Some(Matched::Exact));
        self.inner.allow.iter().filter(exact).map(Selector::uses).reduce(|all, uses| all | uses)
    }

    /// Also allows what `pattern` names: `myapp.models.User`, `myapp.util:rebuild`, `myapp.models.*`, `myapp.models:*`,
    /// or one name for some uses, `myapp.util:rebuild [call]`.
    pub fn allow(&self, pattern: &str) -> Result<Policy, PolicyError> {
        let mut inner = Inner::clone(&self.inner);
        inner.allow.push(Selector::parse(pattern, true)?);
        Ok(inner.sealed())
    }

    /// Denies what `pattern` names and everything below it, whoever allows it.
    pub fn deny(&self, pattern: &str) -> Result<Policy, PolicyError> {
        let mut inner = Inner::clone(&self.inner);
        inner.deny.push(Selector::parse(pattern, false)?);
        Ok(inner.sealed())
    }

    /// What either allows, without what either denies.
    pub fn union(&self, other: &Policy) -> Policy {
        let mut inner = Inner::clone(&self.inner);
        inner.base = inner.base.max(other.inner.base);
        inner.allow.extend(other.inner.allow.iter().cloned());
        inner.deny.extend(other.inner.deny.iter().cloned());
        inner.sealed()
    }

    /// The policy as a file: which tables, and the caller's entries. What allows everything has no file form, since
    /// a file must not switch checking off; it is written as the default tables.
    pub fn to_toml(&self) -> String {
        let texts = |entries: &[Selector]| entries.iter().map(|entry| entry.text().to_owned()).collect();
        let base = self.inner.base.min(Base::Default);
        let document = Document { base, allow: texts(&self.inner.allow), deny: texts(&self.inner.deny) };
        toml::to_string_pretty(&document).unwrap_or_default()
    }

    /// Reads what [`Policy::to_toml`] writes.
    pub fn from_toml(text: &str) -> Result<Policy, PolicyError> {
        let document: Document =
            toml::from_str(text).map_err(|error| PolicyError { message: format!("not a policy: {error}") })?;
        let parse =
            |texts: &[String], allow| texts.iter().map(|text| Selector::parse(text, allow)).collect::<Result<_, _>>();
        let inner =
            Inner { base: document.base, allow: parse(&document.allow, true)?, deny: parse(&document.deny, false)? };
        Ok(inner.sealed())
    }

    /// Every row of the tables, for documentation and for `torshi policy`.
    pub fn rows() -> &'static [&'static Row] {
        table::tables().rows()
    }
}

impl Inner {
    fn sealed(mut self) -> Policy {
        for entries in [&mut self.allow, &mut self.deny] {
            entries.sort();
            entries.dedup();
        }
        Policy { inner: Arc::new(self) }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("base", &self.inner.base)
            .field("allow", &self.allowed().collect::<Vec<_>>())
            .field("deny", &self.denied().collect::<Vec<_>>())
            .finish()
    }
}

/// The shortest entry of a trust list that would allow a name, or `None` if no entry can.
pub fn suggest(module: &str, name: &str) -> Option<String> {
    // A dotted qualified name could be a longer module, so it is written with the colon.
    let text = if name.contains('.') { format!("{module}:{name}") } else { format!("{module}.{name}") };
    (selector::reachable(name) && Selector::parse(&text, true).is_ok()).then_some(text)
}

/// May BUILD never set this attribute? True for names with leading double underscores, which reach the class
/// (`__class__`, `__dict__`, `__setstate__`, ...); notes of exceptions are ordinary data.
pub fn reserved(attribute: &str) -> bool {
    attribute.starts_with("__") && attribute != "__notes__"
}
