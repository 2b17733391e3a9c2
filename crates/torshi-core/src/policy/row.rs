//! One row of the policy: what may be done with one global, and with what arguments.
//!
//! A row is read from a table (`tables/*.toml`) or is the shared `trusted` row of names the user allowed.
//! It answers three questions for the machine: may this be called, constructed, given this state. It never
//! decides whether a name is listed at all (that is [`super::Policy::find`]) and it never sees a Python object.
use serde::Deserialize;

use super::fields::Fields;
use super::pattern::{Arguments, Mismatch, Pattern, PatternError, View};
use super::rules::numpy::ndarray;
use crate::symbolic::usage;

/// A module and a qualified name inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Python 3 module name.
    pub module: String,
    /// Qualified name, possibly dotted.
    pub qualname: String,
}

impl Name {
    /// Splits `module:qualname`.
    pub fn parse(text: &str) -> Option<Name> {
        let (module, qualname) = text.split_once(':')?;
        let sound = !module.is_empty() && !qualname.is_empty() && !qualname.contains(':');
        sound.then(|| Name { module: module.to_owned(), qualname: qualname.to_owned() })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.module, self.qualname)
    }
}

/// What a call of a row's global (or a construction) results in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Makes {
    /// An instance of the row's own class.
    Own,
    /// An instance of the class that was the first argument.
    FirstArgument,
    /// An attribute of the first argument: the machine looks the joined name up as a global.
    Attribute,
    /// A value nothing more may be done with.
    Data,
    /// An instance of another row's class; the machine keeps the arguments with it, since rules read them.
    Instance(Name),
}

/// Class or function: only a class may be constructed, and only a class has instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A type object.
    Class,
    /// Any other callable.
    Function,
}

/// The table of names that the caller allows.
const TRUST: &str = "trust";

/// One policy row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The names the row covers.
    pub names: Vec<Name>,
    /// Why what the row allows is safe.
    pub reason: String,
    /// Which table the row stands in; `"trust"` for the shared row of user-allowed names.
    pub table: &'static str,
    /// REDUCE arguments; `None`: may not be called.
    pub call: Option<Arguments>,
    /// NEWOBJ, NEWOBJ_EX, OBJ and INST arguments (without the class); `None`: may not be constructed.
    pub construct: Option<Arguments>,
    /// BUILD state of its instances; `None`: no BUILD.
    pub state: Option<Pattern>,
    /// What attributes in that state must be where compiled code believes them.
    pub fields: Fields,
    /// Instances take SETITEM and SETITEMS.
    pub items: bool,
    /// Instances take APPEND and APPENDS.
    pub append: bool,
    /// Instances take ADDITEMS.
    pub add: bool,
    /// The global itself may stand as data.
    pub value: bool,
    /// What a call makes.
    pub makes: Makes,
    /// A call hashes what its arguments hold (the elements of a list, the keys of pairs): count it as hashing work.
    pub hashes: bool,
    /// The class keeps containers of its state instead of copying them (numpy.dtype its dict of fields). What was
    /// checked must stay so: after BUILD the machine freezes every list, dict and set in the state, in its tuples too,
    /// and refuses to add to a frozen one.
    pub freezes: bool,
    /// Deallocating nested instances recurses on the C stack.
    pub fragile: bool,
    /// Class or function.
    pub kind: Kind,
    /// The user vouches for the name: no argument is looked at.
    pub trusted: bool,
}

impl Row {
    /// The row that user-allowed names with the same uses share; `uses` are bits of [`usage`].
    pub(super) fn trusted(uses: u8) -> Row {
        let may = |bit| uses & bit != 0;
        Row {
            names: Vec::new(),
            reason: "allowed by the caller".to_owned(),
            table: TRUST,
            call: may(usage::CALL).then(Arguments::any),
            construct: may(usage::CONSTRUCT).then(Arguments::any),
            state: may(usage::STATE).then_some(Pattern::State),
            fields: Fields::default(),
            items: may(usage::ITEMS),
            append: may(usage::ITEMS),
            add: may(usage::ITEMS),
            value: may(usage::VALUE),
            makes: Makes::Own,
            hashes: true,
            freezes: false,
            fragile: true,
            kind: Kind::Class,
            trusted: true,
        }
    }

    /// Does the row only let its names stand as data, knowing nothing of arguments or states?
    pub fn is_value_only(&self) -> bool {
        self.call.is_none() && self.construct.is_none() && self.state.is_none()
    }

    /// Calls, constructions and states that it is the caller's word alone that lets there be, so that nothing about them
    /// is looked at but names that may not stand as data: bits of [`usage`].
    pub(crate) fn free_uses(&self) -> u8 {
        let bit = |allowed: bool, bit: u8| if allowed && self.trusted && self.table == TRUST { bit } else { 0 };
        bit(self.call.is_some(), usage::CALL)
            | bit(self.construct.is_some(), usage::CONSTRUCT)
            | bit(self.state.is_some(), usage::STATE)
    }

    /// Does the user vouch for some uses and not for all?
    pub fn is_partly_trusted(&self) -> bool {
        self.trusted && (self.call.is_none() || self.construct.is_none() || self.state.is_none() || !self.value)
    }

    /// Do rules of its table look at the numbers and texts of lists and of long dicts?
    pub fn looks_at_atoms(&self) -> bool {
        matches!(self.table, "lightgbm" | "scipy" | "sklearn" | "xgboost")
    }

    /// May the global be called with the tuple `args`?
    pub fn check_call<W: View>(&self, w: &W, args: W::V) -> Result<(), Mismatch> {
        match &self.call {
            Some(pattern) => pattern.matches(w, args, None).and_then(|()| afforded(w)),
            None => Err(Mismatch::new("no call", "a call")),
        }
    }

    /// May the class be constructed with the tuple `args` and, for NEWOBJ_EX, the dict `keywords`?
    pub fn check_construct<W: View>(&self, w: &W, args: W::V, keywords: Option<W::V>) -> Result<(), Mismatch> {
        match &self.construct {
            Some(pattern) => pattern.matches(w, args, keywords).and_then(|()| afforded(w)),
            None => Err(Mismatch::new("no construction", "a construction")),
        }
    }

    /// May `state` be given to `target`, an instance of the row's class? Called before the machine records the
    /// state on the instance, so a rule sees whether there was an earlier one.
    pub fn check_state<W: View>(&self, w: &W, target: W::V, state: W::V) -> Result<(), Mismatch> {
        match &self.state {
            Some(pattern) => pattern.matches_for(w, state, Some(target))?,
            None => return Err(Mismatch::new("no state", "a state")),
        }
        if !self.fields.is_empty() {
            self.fields.check(w, target, state)?;
        }
        if self.trusted {
            ndarray::honest(w, state, 2)
        } else {
            afforded(w)
        }
    }
}

/// What was looked at must have been worth it: once looking costs too much, nothing is known any more.
fn afforded<W: View>(w: &W) -> Result<(), Mismatch> {
    match w.spend(0) {
        true => Ok(()),
        false => Err(Mismatch::new("a stream that shares less", "one whose parts would be looked at again and again")),
    }
}

/// A row as it stands in a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: Vec<String>,
    reason: String,
    call: Option<String>,
    construct: Option<String>,
    state: Option<String>,
    #[serde(default)]
    fields: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    items: bool,
    #[serde(default)]
    append: bool,
    #[serde(default)]
    add: bool,
    #[serde(default)]
    value: bool,
    #[serde(default = "own")]
    makes: String,
    #[serde(default)]
    hashes: bool,
    #[serde(default)]
    freezes: bool,
    #[serde(default)]
    fragile: bool,
    #[serde(default = "class")]
    kind: Kind,
}

fn own() -> String {
    "self".to_owned()
}

fn class() -> Kind {
    Kind::Class
}

impl Entry {
    /// Parses the texts of an entry; the error names the row.
    pub(super) fn into_row(self, table: &'static str) -> Result<Row, String> {
        let label = self.name.first().cloned().unwrap_or_default();
        let at = |error: PatternError| format!("{table}: {label}: {error}");
        let names: Vec<Name> = self.name.iter().filter_map(|text| Name::parse(text)).collect();
        if names.is_empty() || names.len() != self.name.len() {
            return Err(format!("{table}: {label}: a name is written module:qualname"));
        }
        if self.reason.trim().is_empty() {
            return Err(format!("{table}: {label}: a row needs a reason"));
        }
        let makes = match self.makes.as_str() {
            "self" => Makes::Own,
            "arg0" => Makes::FirstArgument,
            "attribute" => Makes::Attribute,
            "data" => Makes::Data,
            other => Makes::Instance(Name::parse(other).ok_or(format!("{table}: {label}: makes = {other:?}"))?),
        };
        if self.kind == Kind::Function && (self.construct.is_some() || self.state.is_some() || makes == Makes::Own) {
            return Err(format!("{table}: {label}: a function is neither constructed nor built, and has no instances"));
        }
        let texts: Vec<(String, String)> = self.fields.into_iter().collect();
        let fields = Fields::parse(&texts).map_err(|error| format!("{table}: {label}: {error}"))?;
        if !fields.is_empty() && self.state.is_none() {
            return Err(format!("{table}: {label}: fields without a state"));
        }
        Ok(Row {
            names,
            reason: self.reason,
            table,
            call: self.call.as_deref().map(Arguments::parse).transpose().map_err(at)?,
            construct: self.construct.as_deref().map(Arguments::parse).transpose().map_err(at)?,
            state: self.state.as_deref().map(Pattern::parse).transpose().map_err(at)?,
            fields,
            items: self.items,
            append: self.append,
            add: self.add,
            value: self.value,
            makes,
            hashes: self.hashes,
            freezes: self.freezes,
            fragile: self.fragile,
            kind: self.kind,
            trusted: false,
        })
    }
}
