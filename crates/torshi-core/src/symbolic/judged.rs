//! A name into what is known of it before it is seen what a stream does with it: what it is called today, whether the
//! policy allows it and by which row. What was allowed is remembered, since a program that loads the same kind of small
//! object again and again asks the same of the same policy each time. It imports nothing, and remembers no denial.

use crate::compat;
use crate::policy::{Denial, Matched, Policy, Row};
use crate::symbolic::Renamed;
use rustc_hash::FxHasher;
use std::cell::RefCell;
use std::hash::Hasher;
use std::sync::Arc;

/// Calls whose cost the arguments decide; see `cost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The call costs what its arguments weigh.
    Plain,
    /// An integer argument is a size in bytes.
    Sized,
    /// Goes through an iterable and keeps its items.
    Collects,
    /// Goes through an iterable and hashes its items.
    Hashes,
    /// Makes a range: short to write, long to go through.
    Range,
}

const COSTS: &[(&str, &str, Cost)] = &[
    ("builtins", "bytes", Cost::Sized),
    ("builtins", "bytearray", Cost::Sized),
    ("builtins", "list", Cost::Collects),
    ("builtins", "tuple", Cost::Collects),
    ("builtins", "sorted", Cost::Collects),
    ("collections", "deque", Cost::Collects),
    ("builtins", "dict", Cost::Hashes),
    ("collections", "Counter", Cost::Hashes),
    ("builtins", "range", Cost::Range),
];

/// How a stream came to a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By naming it.
    Named,
    /// As an attribute of a global or of an instance of one.
    Attribute,
    /// A row says that this is the class of what another global makes; it need not be imported.
    Implied,
}

/// What is known of a name.
#[derive(Debug)]
pub struct Judged {
    /// Today's module.
    pub module: String,
    /// Qualified name in it.
    pub qualname: String,
    /// The names as the stream spells them, where that is otherwise.
    respelled: Option<(String, String)>,
    /// Its row, if the policy allows it.
    pub row: Option<&'static Row>,
    /// Why not, if not.
    pub denial: Option<Denial>,
    /// By what the policy allows it.
    pub matched: Matched,
    /// Spelled as Python 2 spells it, and translated.
    pub python2: bool,
    /// Module and name in Python 3 of an earlier release of its library, where that is how it is named.
    pub old: Option<(String, String)>,
    /// Module and name in Python 3 as the stream has them, where the caller said that they moved.
    pub renamed: Option<(String, String)>,
    /// How the stream came to it.
    pub origin: Origin,
    pub(super) cost: Cost,
    /// Uses that the caller's word alone lets there be, so that nothing about them is looked at: bits of [`usage`].
    ///
    /// [`usage`]: super::usage
    pub(super) free: u8,
    /// `functools.partial`, by which alone a stream may pass a `__new__` on.
    pub(super) is_partial: bool,
}

impl Judged {
    /// `module.qualname`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.module, self.qualname)
    }

    /// Module and name as the stream spells them, for `find_class` overrides.
    #[inline]
    pub fn spelled(&self) -> (&str, &str) {
        match &self.respelled {
            Some((module, name)) => (module, name),
            None => (&self.module, &self.qualname),
        }
    }

    /// The name under which the object is looked for first: in its library as it is today, or as it was.
    pub fn asked(&self) -> (&str, &str) {
        match &self.old {
            Some((module, name)) => (module, name),
            None => (&self.module, &self.qualname),
        }
    }

    /// Whether the user vouches for it by name.
    pub fn trusted(&self) -> bool {
        self.row.is_some_and(|row| row.trusted)
    }

    /// Whether these are the names as the stream has them.
    #[inline]
    pub fn is_of(&self, module: &str, name: &str, python2: bool, origin: Origin) -> bool {
        (self.spelled(), self.python2, self.origin) == ((module, name), python2, origin)
    }
}

/// Names remembered by a thread.
const SLOTS: usize = 128;
/// Bytes of the longest name remembered.
const LONGEST: usize = 256;

/// One of them, and who allowed it: kept, so that no other policy ever stands where this one does.
type Slot = Option<(Policy, Arc<Judged>)>;

thread_local! {
    static KNOWN: RefCell<[Slot; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
}

/// What is known of a name that a stream comes to so: by a policy, and what was renamed.
pub fn judged(
    (policy, renamed): (&Policy, Option<&Renamed<'_>>), module: &str, name: &str, python2: bool, origin: Origin,
) -> Arc<Judged> {
    let place = place(policy, module, name, origin);
    let recall = |known: &RefCell<[Slot; SLOTS]>| {
        let known = known.try_borrow().ok()?;
        let (by, judged) = known[place].as_ref()?;
        (by.is(policy) && judged.is_of(module, name, python2, origin)).then(|| judged.clone())
    };
    // At the end of a thread nothing is remembered. What was renamed since it was, is judged anew.
    let known = KNOWN.try_with(recall).ok().flatten();
    let moves = |renamed: &Renamed<'_>| {
        let (module, name) = if python2 { modern(module, name) } else { (module, name) };
        renamed(module, name, true).is_some()
    };
    if let Some(known) = known.filter(|_| !renamed.is_some_and(moves)) {
        return known;
    }
    let judged = Arc::new(judge((policy, renamed), module, name, python2, origin));
    if judged.row.is_some() && judged.renamed.is_none() && module.len() + name.len() <= LONGEST {
        let slot = Some((policy.clone(), judged.clone()));
        let _ = KNOWN.try_with(|known| known.try_borrow_mut().map(|mut known| known[place] = slot));
    }
    judged
}

fn place(policy: &Policy, module: &str, name: &str, origin: Origin) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write_usize(policy.address());
    hasher.write(module.as_bytes());
    hasher.write_u8(origin as u8);
    hasher.write(name.as_bytes());
    (hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize % SLOTS
}

fn judge(
    (policy, renamed): (&Policy, Option<&Renamed<'_>>), module: &str, name: &str, python2: bool, origin: Origin,
) -> Judged {
    let spelled = (module, name);
    let (module, name) = if python2 { modern(module, name) } else { (module, name) };
    let (mut said, mut renamed_from) = (policy.look(module, name), None);
    let moved = renamed.and_then(|renamed| renamed(module, name, said.is_ok()));
    let (module, name) = match &moved {
        // One that the caller denies stays what it is, so that no table leads around an entry that denies.
        Some(_) if matches!(said, Err(Denial::DeniedBy(_))) => (module, name),
        Some((new_module, new_name)) => {
            renamed_from = Some((module.to_owned(), name.to_owned()));
            said = policy.look(new_module, new_name);
            (new_module.as_str(), new_name.as_str())
        }
        None => (module, name),
    };
    let (row, matched, denial) = match said {
        Ok((row, matched)) => (Some(row), matched, None),
        Err(denial) => (None, Matched::Denied, Some(denial)),
    };
    let present = compat::present(module, name);
    let old = present.map(|_| (module.to_owned(), name.to_owned()));
    let (module, name) = present.unwrap_or((module, name));
    let costs = COSTS.iter().find(|(m, n, _)| (*m, *n) == (module, name));
    Judged {
        module: module.to_owned(),
        qualname: name.to_owned(),
        respelled: (spelled != (module, name)).then(|| (spelled.0.to_owned(), spelled.1.to_owned())),
        row,
        denial,
        matched,
        python2,
        old,
        renamed: renamed_from,
        origin,
        cost: match (costs, row) {
            (Some(known), _) => known.2,
            (None, Some(row)) if row.hashes && !row.trusted => Cost::Hashes,
            _ => Cost::Plain,
        },
        free: row.map_or(0, Row::free_uses),
        is_partial: (module, name) == ("functools", "partial"),
    }
}

/// Today's names of Python 2 names, as `fix_imports` promises.
pub(crate) fn modern<'n>(module: &'n str, name: &'n str) -> (&'n str, &'n str) {
    match compat::python3_name(module, name) {
        Some(names) => names,
        None => (compat::python3_module(module).unwrap_or(module), name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(policy: &Policy, renamed: &Renamed<'_>, name: &str) -> bool {
        judged((policy, Some(renamed)), "app", name, false, Origin::Named).row.is_some()
    }

    /// What one policy allows must not be what the next one says, wherever in memory it stands.
    #[test]
    fn a_policy_says_what_it_says() {
        for round in 0..2000 {
            let policy = match round % 2 {
                0 => Policy::default().allow("app:f").unwrap(),
                _ => Policy::default(),
            };
            let allows = |name: &str| is_allowed(&policy, &|_, _, _| None, name);
            assert_eq!([allows("f"), allows("f"), allows("g")], [round % 2 == 0, round % 2 == 0, false]);
        }
    }

    /// A name that moved after it was remembered would be looked for where it was.
    #[test]
    fn what_was_renamed_since_is_judged_anew() {
        let policy = Policy::default().allow("app:f").unwrap();
        assert!(is_allowed(&policy, &|_, _, _| None, "f"));
        assert!(!is_allowed(&policy, &|_, _, _| Some(("elsewhere".into(), "g".into())), "f"));
        assert!(is_allowed(&policy, &|_, _, _| None, "f"));
    }
}
