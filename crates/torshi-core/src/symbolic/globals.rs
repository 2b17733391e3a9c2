//! The globals of a stream: each name once, with what the policy says of it and what the stream does
//! with it. It translates names of Python 2 and of earlier releases of libraries, asks the policy, and imports nothing.

use crate::compat;
use crate::error::Site;
use crate::policy::{Denial, Policy, Row, Verdict};
use crate::symbolic::Renamed;
use rustc_hash::FxHashMap;

/// What a stream does with a global, as bits.
pub mod usage {
    /// REDUCE.
    pub const CALL: u8 = 1;
    /// NEWOBJ, NEWOBJ_EX, OBJ, INST.
    pub const CONSTRUCT: u8 = 2;
    /// BUILD on an instance.
    pub const STATE: u8 = 4;
    /// APPEND(S), SETITEM(S), ADDITEMS on an instance.
    pub const ITEMS: u8 = 8;
    /// Stands in the result as data.
    pub const VALUE: u8 = 16;

    /// The words for the bits, for reports.
    pub const WORDS: [(u8, &str); 5] =
        [(CALL, "call"), (CONSTRUCT, "construct"), (STATE, "state"), (ITEMS, "items"), (VALUE, "value")];
}

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

/// One global of the stream.
#[derive(Clone, Debug)]
pub struct GlobalUse {
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
    /// Where it is named first.
    pub site: Site,
    /// What is done with it: bits of [`usage`].
    pub uses: u8,
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
    pub(super) free: u8,
    /// `functools.partial`, by which alone a stream may pass a `__new__` on.
    pub(super) is_partial: bool,
}

impl GlobalUse {
    /// `module.qualname`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.module, self.qualname)
    }

    /// Module and name as the stream spells them, for `find_class` overrides.
    pub fn spelled(&self) -> (&str, &str) {
        match &self.respelled {
            Some((module, name)) => (module, name),
            None => (&self.module, &self.qualname),
        }
    }

    /// Whether the user vouches for it by name.
    pub fn trusted(&self) -> bool {
        self.row.is_some_and(|row| row.trusted)
    }
}

/// Globals that are looked through one by one: most streams have no more.
const FEW: usize = 8;

/// All globals of a stream, by first use.
#[derive(Default)]
pub struct Globals {
    all: Vec<GlobalUse>,
    /// By name, once there are more than a few.
    ids: FxHashMap<Vec<u8>, u32>,
    key: Vec<u8>,
}

impl Globals {
    /// The global of these names; adds it if it is new, and says so. Judged by a policy, and what was renamed.
    pub fn find(
        &mut self, by: (&Policy, Option<&Renamed<'_>>), module: &str, name: &str, python2: bool, origin: Origin,
        site: Site,
    ) -> (u32, bool) {
        if let Some(id) = self.known(module, name, python2, origin) {
            return (id, false);
        }
        let id = self.all.len() as u32;
        self.all.push(judge(by, module, name, python2, origin, site));
        if self.all.len() > FEW {
            let first = if self.ids.is_empty() { 0 } else { id as usize };
            for (id, global) in self.all.iter().enumerate().skip(first) {
                let (module, name) = global.spelled();
                set_key(&mut self.key, module, name, global.python2, global.origin);
                self.ids.insert(self.key.clone(), id as u32);
            }
        }
        (id, true)
    }

    fn known(&mut self, module: &str, name: &str, python2: bool, origin: Origin) -> Option<u32> {
        if self.all.len() <= FEW {
            let is_it =
                |known: &GlobalUse| (known.spelled(), known.python2, known.origin) == ((module, name), python2, origin);
            return self.all.iter().position(is_it).map(|id| id as u32);
        }
        set_key(&mut self.key, module, name, python2, origin);
        self.ids.get(&self.key).copied()
    }

    /// One of them.
    #[inline(always)]
    pub fn get(&self, id: u32) -> &GlobalUse {
        &self.all[id as usize]
    }

    /// Notes what is done with one.
    #[inline(always)]
    pub fn note(&mut self, id: u32, uses: u8) {
        self.all[id as usize].uses |= uses;
    }

    /// Takes all of them, by first use.
    pub fn take(&mut self) -> Vec<GlobalUse> {
        std::mem::take(&mut self.all)
    }
}

fn set_key(key: &mut Vec<u8>, module: &str, name: &str, python2: bool, origin: Origin) {
    key.clear();
    for part in [module.as_bytes(), b"\0", name.as_bytes(), &[0, python2.into(), origin as u8]] {
        key.extend_from_slice(part);
    }
}

/// What the policy says of a name, and the name itself if it is one of an earlier release of its library.
struct Said {
    row: Option<&'static Row>,
    denial: Option<Denial>,
    old: Option<(String, String)>,
}

fn find(policy: &Policy, module: &str, name: &str) -> Said {
    let old = compat::present(module, name).map(|_| (module.to_owned(), name.to_owned()));
    match policy.find(module, name) {
        Verdict::Allowed(row) => Said { row: Some(row), denial: None, old },
        Verdict::Denied(denial) => Said { row: None, denial: Some(denial), old },
    }
}

fn judge(
    (policy, renamed): (&Policy, Option<&Renamed<'_>>), module: &str, name: &str, python2: bool, origin: Origin,
    site: Site,
) -> GlobalUse {
    let spelled = (module, name);
    let (module, name) = if python2 { modern(module, name) } else { (module, name) };
    let (mut said, mut renamed_from) = (find(policy, module, name), None);
    let moved = renamed.and_then(|renamed| renamed(module, name, said.row.is_some()));
    let (module, name) = match &moved {
        // One that the caller denies stays what it is, so that no table leads around an entry that denies.
        Some(_) if matches!(said.denial, Some(Denial::DeniedBy(_))) => (module, name),
        Some((new_module, new_name)) => {
            renamed_from = Some((module.to_owned(), name.to_owned()));
            said = find(policy, new_module, new_name);
            (new_module.as_str(), new_name.as_str())
        }
        None => (module, name),
    };
    let Said { row, denial, old } = said;
    let (module, name) =
        if old.is_some() { compat::present(module, name).unwrap_or((module, name)) } else { (module, name) };
    let costs = COSTS.iter().find(|(m, n, _)| (*m, *n) == (module, name));
    GlobalUse {
        module: module.to_owned(),
        qualname: name.to_owned(),
        respelled: (spelled != (module, name)).then(|| (spelled.0.to_owned(), spelled.1.to_owned())),
        row,
        denial,
        site,
        uses: 0,
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

/// What a name is called today, by the caller's tables. One that the caller denies stays what it is, so that no table
/// leads around an entry that denies.
pub fn moved(policy: &Policy, renamed: &Renamed<'_>, module: &str, name: &str) -> Option<(String, String)> {
    match policy.find(module, name) {
        Verdict::Denied(Denial::DeniedBy(_)) => None,
        Verdict::Denied(_) => renamed(module, name, false),
        Verdict::Allowed(_) => renamed(module, name, true),
    }
}

/// Today's names of Python 2 names, as `fix_imports` promises.
pub(crate) fn modern<'n>(module: &'n str, name: &'n str) -> (&'n str, &'n str) {
    match compat::python3_name(module, name) {
        Some(names) => names,
        None => (compat::python3_module(module).unwrap_or(module), name),
    }
}
