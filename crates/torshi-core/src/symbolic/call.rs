//! Calls, constructions and states: the policy gate. Each asks the row of the global concerned, and
//! what the row does not say is a finding. The result of a call is never callable.

use super::arena::NodeKind;
use super::globals::usage;
use super::judged::Origin;
use super::value::Symbol;
use super::{Symbolic, NO_GLOBAL};
use crate::error::{FaultBox, Site};
use crate::finding::FindingKind;
use crate::policy::{rules, Kind, Makes, Mismatch, Row};

impl Symbolic<'_, '_> {
    /// REDUCE.
    pub(super) fn check_call(&mut self, callable: Symbol, arguments: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        let Symbol::Global(id) = callable else {
            return match self.prepared(callable, arguments) {
                Some((class, arguments, keywords)) => self.check_construct(class, arguments, keywords, site),
                None => Ok(self.computed(FindingKind::Call, "called", site)),
            };
        };
        self.globals.note(id, usage::CALL);
        self.charge_call(id, arguments, site)?;
        if self.is_partial_of_new(id, arguments) {
            let Symbol::Node(node) = self.instance(id, arguments, true) else { return Ok(Symbol::Opaque) };
            self.arena.set_raw(node, true);
            return Ok(Symbol::Node(node));
        }
        let Some(row) = self.globals.get(id).row else {
            return Ok(self.instance(id, arguments, true));
        };
        if !self.unrestricted && !self.is_free(id, usage::CALL, arguments) {
            if let Err(mismatch) = row.check_call(self, arguments) {
                self.refuse(FindingKind::Call, id, Some(arguments), &mismatch, site);
            }
        }
        if row.freezes {
            self.freeze(arguments);
        }
        self.made(id, row, arguments, site)
    }

    /// NEWOBJ and NEWOBJ_EX.
    pub(super) fn check_construct(
        &mut self, class: Symbol, arguments: Symbol, keywords: Option<Symbol>, site: Site,
    ) -> Result<Symbol, FaultBox> {
        let Symbol::Global(id) = class else {
            return Ok(self.computed(FindingKind::Construct, "instantiated", site));
        };
        self.globals.note(id, usage::CONSTRUCT);
        self.charge_call(id, arguments, site)?;
        let free = keywords.is_none() && self.is_free(id, usage::CONSTRUCT, arguments);
        if let Some(row) = self.globals.get(id).row.filter(|_| !self.unrestricted && !free) {
            if let Err(mismatch) = row.check_construct(self, arguments, keywords) {
                self.refuse(FindingKind::Construct, id, Some(arguments), &mismatch, site);
            }
        }
        Ok(self.instance(id, arguments, true))
    }

    /// Whether it is the caller's word alone that lets there be such a use, and no argument is, or holds in tuples, a
    /// global that may not stand as data.
    #[inline(always)]
    fn is_free(&self, id: u32, bit: u8, arguments: Symbol) -> bool {
        let plain = matches!(arguments, Symbol::Node(tuple) if !self.arena.gist(tuple).holds_raw_global);
        self.globals.get(id).free & bit != 0 && plain
    }

    /// INST and OBJ: with arguments they call the class, without they may construct it.
    pub(super) fn check_instantiate(
        &mut self, class: Symbol, arguments: Symbol, site: Site,
    ) -> Result<Symbol, FaultBox> {
        let Symbol::Global(id) = class else {
            return Ok(self.computed(FindingKind::Construct, "instantiated", site));
        };
        let may = |row: &Row, s: &Self| {
            row.check_construct(s, arguments, None).is_ok() && row.check_call(s, arguments).is_ok()
        };
        match self.globals.get(id).row {
            // Which of the two it comes to depends on the class; where both are fine, so is either.
            Some(row) if !self.unrestricted && !may(row, self) => self.check_call(class, arguments, site),
            _ => self.check_construct(class, arguments, None, site),
        }
    }

    /// BUILD.
    pub(super) fn check_state(&mut self, target: Symbol, state: Symbol, site: Site) {
        if self.unrestricted {
            return;
        }
        let instance = match target {
            Symbol::Node(id) if self.arena.node(id).kind == NodeKind::Instance => id,
            _ => {
                let message = "an object of unknown type may not be given state".to_owned();
                return self.report(FindingKind::Computed, None, message, None, site);
            }
        };
        let (global, open) = (self.arena.node(instance).global, self.arena.node(instance).open);
        self.globals.note(global, usage::STATE);
        if self.new_of(instance).is_some() {
            return self.arena.set_state(instance, state); // looked at when it is called
        }
        if let Some(row) = self.globals.get(global).row {
            let checked = match open {
                true => row.check_state(self, target, state),
                false => Err(Mismatch::new("no state", "a state")),
            };
            match checked {
                Ok(()) => {}
                Err(_) if row.trusted && row.state.is_some() && open && self.has_dunder_names(state) => {
                    self.dunder_states.push((global, site));
                }
                Err(mismatch) => {
                    self.refuse(FindingKind::State, global, Some(state), &mismatch, site);
                }
            }
        }
        self.place(state, site);
        self.arena.set_state(instance, state);
        if self.globals.get(global).row.is_some_and(|row| row.freezes) {
            self.freeze(state);
        }
    }

    /// BUILD with a dict of nothing but attributes, or None and such a dict, `state`, which was filled as a plain state of
    /// this target.
    pub(super) fn check_plain_state(&mut self, target: Symbol, state: Symbol, site: Site) -> Result<(), FaultBox> {
        if let (Symbol::Node(instance), false) = (target, self.unrestricted) {
            let global = self.arena.node(instance).global;
            let named = self.globals.get(global);
            if named.free & usage::STATE != 0 && !named.is_partial {
                self.globals.note(global, usage::STATE);
                self.arena.set_state(instance, state);
                return Ok(());
            }
        }
        self.charge_copies(state, site)?;
        self.check_state(target, state, site);
        Ok(())
    }

    /// What a persistent id of a PyTorch file stands for: an instance of the class of storages in it, to which nothing can
    /// be done but what takes one as an argument. Of any other id nothing is known.
    pub(super) fn storage(&mut self, id: Symbol) -> Option<Symbol> {
        let [kind, class, ..] = *self.tuple_items(id) else { return None };
        let Symbol::Global(class) = class else { return None };
        let global = self.globals.get(class);
        let known = global.row.is_some() && rules::torch::is_storage(&global.module, &global.qualname);
        if !known || self.known_text(kind) != Some("storage") {
            return None;
        }
        let storage = self.instance(class, id, false);
        Some(storage)
    }

    /// The containers of a state that its owner keeps by reference may not change any more: what was
    /// checked must stay what is there.
    fn freeze(&mut self, state: Symbol) {
        let mut todo = vec![state];
        while let Some(symbol) = todo.pop() {
            let Symbol::Node(id) = symbol else { continue };
            if !std::mem::replace(&mut self.arena.node_mut(id).frozen, true) {
                // Lists in an array of objects too, which are in the array's state.
                self.arena.each_part(id, |part| todo.push(Symbol::Node(part)));
            }
        }
    }

    // -- `__getnewargs_ex__` at protocols 2 and 3: `partial(cls.__new__, cls, *args, **kwargs)()`

    /// Whether a call is `functools.partial(cls.__new__)`.
    fn is_partial_of_new(&self, id: u32, arguments: Symbol) -> bool {
        self.globals.get(id).is_partial && matches!(self.tuple_items(arguments), [Symbol::New(_)])
    }

    /// The class whose `__new__` a partial was made of.
    fn new_of(&self, instance: u32) -> Option<u32> {
        let global = self.arena.node(instance).global;
        if global == NO_GLOBAL || !self.globals.get(global).is_partial {
            return None; // what another call makes of a `__new__` is not known
        }
        match self.tuple_items(self.arena.arguments(instance)?) {
            [Symbol::New(class)] => Some(*class),
            _ => None,
        }
    }

    /// The construction that calling such a partial comes to, if its state says nothing else.
    fn prepared(&mut self, callable: Symbol, arguments: Symbol) -> Option<(Symbol, Symbol, Option<Symbol>)> {
        let Symbol::Node(node) = callable else { return None };
        let class = Symbol::Global(self.new_of(node)?);
        let [function, given, keywords, Symbol::None] = *self.tuple_items(self.arena.state(node)?) else { return None };
        let (first, rest) = self.tuple_items(given).split_first()?;
        let sound = function == Symbol::New(self.new_of(node)?) && *first == class;
        let is_dict = matches!(keywords, Symbol::Node(id) if self.arena.node(id).kind == NodeKind::Dict);
        let empty = matches!(arguments, Symbol::Node(id) if self.arena.items(id).is_empty());
        if !sound || !empty || !(is_dict || keywords == Symbol::None) {
            return None;
        }
        let rest = rest.to_vec();
        let arguments = Symbol::Node(self.arena.tuple(&rest));
        Some((class, arguments, is_dict.then_some(keywords)))
    }

    /// A dict state, or slot state of two, that is amiss only for the names in it.
    fn has_dunder_names(&self, state: Symbol) -> bool {
        let is_dict = |s: &Symbol| matches!(*s, Symbol::Node(n) if self.arena.node(n).kind == NodeKind::Dict);
        is_dict(&state) || self.tuple_items(state).iter().any(is_dict)
    }

    /// Something computed is used as only a name may be.
    fn computed(&mut self, kind: FindingKind, what: &str, site: Site) -> Symbol {
        if !self.unrestricted {
            let message = format!("only a name of the stream may be {what}, not a computed value");
            let kind = if kind == FindingKind::Call { FindingKind::Computed } else { kind };
            self.report(kind, None, message, None, site);
        }
        Symbol::Opaque
    }

    fn refuse(&mut self, kind: FindingKind, id: u32, arguments: Option<Symbol>, mismatch: &Mismatch, site: Site) {
        let name = self.globals.get(id).full_name();
        let row = self.globals.get(id).row;
        let message = match kind {
            FindingKind::State if row.is_some_and(|row| row.state.is_some()) => {
                format!("{name} may not be given this state: {mismatch}")
            }
            FindingKind::Call if row.is_some_and(|row| row.call.is_some()) => {
                format!("{name} may not be called with these arguments: {mismatch}")
            }
            FindingKind::Construct if row.is_some_and(|row| row.construct.is_some()) => {
                format!("{name} may not be instantiated with these arguments: {mismatch}")
            }
            FindingKind::State => format!("{name} may not be given state"),
            FindingKind::Call => format!("{name} may not be called"),
            _ => format!("{name} may not be instantiated"),
        };
        self.report(kind, Some(name), message, self.way_out(id, arguments), site);
    }

    /// The entry that would allow it. A row that knows the dangers of its arguments is not overridden by
    /// naming it; but vouching for a function among the arguments may be what it asks for.
    fn way_out(&self, id: u32, arguments: Option<Symbol>) -> Option<String> {
        let suggest = |id: u32| {
            let global = self.globals.get(id);
            let open = global.row.is_none_or(|row| row.is_value_only() || row.is_partly_trusted());
            if open {
                crate::policy::suggest(&global.module, &global.qualname)
            } else {
                None
            }
        };
        suggest(id).or_else(|| match self.tuple_items(arguments?).first()? {
            Symbol::Global(first) => suggest(*first),
            _ => None,
        })
    }

    /// The class of a plain value, for the name of its method.
    fn builtin_class(&self, value: Symbol) -> Option<&'static str> {
        Some(match value {
            Symbol::Text(_) | Symbol::DecodedText(_) => "str",
            Symbol::Bytes(_) | Symbol::HeldBytes(_) => "bytes",
            Symbol::ByteArray(_) | Symbol::HeldByteArray(_) => "bytearray",
            Symbol::Int(_) => "int",
            Symbol::Float(_) => "float",
            Symbol::Node(id) => match self.arena.node(id).kind {
                NodeKind::List => "list",
                NodeKind::Dict => "dict",
                NodeKind::Set => "set",
                NodeKind::FrozenSet => "frozenset",
                NodeKind::Tuple => "tuple",
                NodeKind::Instance => return None,
            },
            _ => return None,
        })
    }

    pub(super) fn instance(&mut self, id: u32, arguments: Symbol, open: bool) -> Symbol {
        let node = self.arena.instance(id, arguments);
        self.arena.node_mut(node).open = open;
        Symbol::Node(node)
    }

    /// What a call of this row's global makes.
    fn made(&mut self, id: u32, row: &'static Row, arguments: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        Ok(match &row.makes {
            Makes::Own => self.instance(id, arguments, true),
            Makes::FirstArgument => match self.tuple_items(arguments).first() {
                Some(&Symbol::Global(class)) => {
                    self.globals.note(class, usage::CONSTRUCT);
                    self.instance(class, arguments, true)
                }
                _ => Symbol::Opaque,
            },
            Makes::Attribute => self.attribute(arguments, site)?,
            Makes::Data => match row.kind {
                // A value of its own class still shows what it is to the rules; nothing more may be done with it.
                Kind::Class => self.instance(id, arguments, false),
                Kind::Function => Symbol::Opaque,
            },
            Makes::Instance(name) => {
                let (module, qualname) = (name.module.clone(), name.qualname.clone());
                let (made, _) =
                    self.globals.find((self.policy, None), &module, &qualname, false, Origin::Implied, site);
                self.instance(made, arguments, true)
            }
        })
    }

    /// `getattr(class, name)` and `getattr(instance, name)`: the same as naming `class.name`, so the
    /// policy is asked for just that.
    fn attribute(&mut self, arguments: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        let (owner, attribute) = match *self.tuple_items(arguments) {
            [owner, name] => match self.known_text(name) {
                Some(name) => (owner, name.to_owned()),
                None => return Ok(self.computed(FindingKind::Computed, "looked up as an attribute", site)),
            },
            _ => return Ok(self.computed(FindingKind::Computed, "looked up as an attribute", site)),
        };
        let (class, bound) = match owner {
            Symbol::Global(id) => (id, false),
            Symbol::Node(node) if self.arena.node(node).global != NO_GLOBAL => (self.arena.node(node).global, true),
            _ => match self.builtin_class(owner) {
                Some(name) => {
                    (self.globals.find((self.policy, None), "builtins", name, false, Origin::Implied, site).0, true)
                }
                None => return Ok(self.computed(FindingKind::Computed, "asked for attributes", site)),
            },
        };
        let global = self.globals.get(class);
        if !bound && attribute == "__new__" && global.row.is_none_or(|row| row.construct.is_some()) {
            return Ok(Symbol::New(class));
        }
        let (module, qualname) = (global.module.clone(), format!("{}.{attribute}", global.qualname));
        let named = self.named(&module, &qualname, false, Origin::Attribute, site)?;
        Ok(match named {
            Symbol::Global(id) if bound => {
                // A bound method: data to pass on, nothing the stream may call.
                self.globals.note(id, usage::VALUE);
                Symbol::Opaque
            }
            _ => named,
        })
    }
}
