//! What each step of the machine means to the graph: a node, a part of a node, or the offset of plain
//! data. It keeps the kinds of values as the check does, so that both read a stream alike.

use super::{CallSite, Graph, Naming, Role, Shape, Value, What};
use crate::domain::{Constant, Domain, Items, Kind};
use crate::error::{FaultBox, Site};
use crate::opcode::{ArgumentKind, Opcode};
use crate::symbolic::{Encoding, Seed};

type Made = Result<Value, FaultBox>;

impl<'a> Graph<'a, '_> {
    fn atom(&self) -> Value {
        Value::new(What::Atom(self.position), self.position)
    }

    /// A node that begins at `start`, or its kind alone if the arena is full.
    fn add(&mut self, shape: Shape, start: usize) -> Value {
        let what = match self.arena.add(shape, start) {
            Some(id) => {
                self.touched.push(id);
                What::Node(id)
            }
            None => What::Beyond(kind_of(shape)),
        };
        Value::new(what, start)
    }

    /// Where a container made of items begins: at its mark, or at its first item.
    fn start_of(&self, items: &[Value], site: Site) -> usize {
        let first = items.first().map_or(site.offset, |item| item.from);
        let marked = site.opcode.row().takes.contains("mark");
        let mark = first.checked_sub(1).filter(|&at| marked && self.data.get(at) == Some(&(Opcode::Mark as u8)));
        mark.unwrap_or(first)
    }

    fn gather(&mut self, shape: Shape, items: &[Value], site: Site) -> Value {
        let made = self.add(shape, self.start_of(items, site));
        match shape {
            Shape::Dict => self.fill_pairs(made, items),
            _ => self.fill(made, items),
        }
        self.note(site, made);
        made
    }

    fn fill(&mut self, target: Value, items: &[Value]) {
        let Some(id) = target.node() else { return };
        items.iter().for_each(|&item| self.arena.element(id, None, item));
        self.touched.push(id);
    }

    fn fill_pairs(&mut self, target: Value, pairs: &[Value]) {
        let Some(id) = target.node() else { return };
        pairs.chunks_exact(2).for_each(|pair| self.arena.element(id, Some(pair[0]), pair[1]));
        self.touched.push(id);
    }

    fn named(&mut self, naming: Naming, python2: bool, start: usize, site: Site) -> Value {
        let global = self.add(Shape::Global { naming, python2 }, start);
        self.note(site, global);
        global
    }

    fn made_by(&mut self, shape: Shape, start: usize, parts: &[(Role, Option<Value>)], site: Site) -> Value {
        let made = self.add(shape, start);
        for &(role, value) in parts {
            if let (Some(id), Some(value)) = (made.node(), value) {
                self.arena.part(id, role, value);
            }
        }
        if let Some(&(Role::Callable, Some(callable))) = parts.first() {
            self.called(site, callable, made);
        }
        self.note(site, made);
        made
    }

    fn called(&mut self, site: Site, callable: Value, made: Value) {
        if self.calls.len() < self.bounds.calls {
            self.calls.push(CallSite { site, callable, made });
        } else {
            self.calls_left_out += 1;
        }
    }
}

fn kind_of(shape: Shape) -> Kind {
    match shape {
        Shape::List => Kind::List,
        Shape::Dict => Kind::Dict,
        Shape::Set => Kind::Set,
        Shape::FrozenSet => Kind::Plain,
        Shape::Tuple => Kind::Tuple,
        Shape::Global { .. } => Kind::Global,
        Shape::Instance => Kind::Instance,
        Shape::Call | Shape::Persistent => Kind::Unknown,
    }
}

impl<'a> Domain<'a> for Graph<'a, '_> {
    type Value = Value;
    type Slot = Value;
    type Error = FaultBox;

    fn kind(&self, value: &Value) -> Kind {
        match value.what() {
            What::Node(id) => kind_of(self.arena.node(id).shape),
            What::Beyond(kind) => kind,
            What::Atom(at) => {
                use ArgumentKind as K;
                let opcode = self.data.get(at).and_then(|&byte| Opcode::from_byte(byte));
                match opcode.map(|opcode| (opcode, opcode.row().argument)) {
                    Some((Opcode::EmptyTuple, _)) => Kind::Tuple,
                    Some((_, K::Unicode1 | K::Unicode4 | K::Unicode8 | K::UnicodeLine)) => Kind::Text,
                    Some((_, K::String1 | K::String4 | K::QuotedLine)) => match self.settings.encoding {
                        Encoding::Bytes => Kind::Plain,
                        _ => Kind::Text,
                    },
                    _ => Kind::Plain,
                }
            }
        }
    }

    fn keep(&self, value: &Value) -> Value {
        *value
    }

    fn restore(&mut self, slot: &Value, stack: &mut Vec<Value>) {
        stack.push(slot.pushed(self.position));
    }

    fn recall(&mut self, index: u64) -> Option<Value> {
        let kind = match (self.settings.recall)(index)? {
            Seed::Text(_) => Kind::Text,
            Seed::List => Kind::List,
            Seed::Dict => Kind::Dict,
            Seed::Set => Kind::Set,
            Seed::Atom => Kind::Plain,
            Seed::Global(..) => Kind::Global,
            Seed::Instance(..) => Kind::Instance,
            Seed::Opaque => Kind::Unknown,
        };
        Some(Value::new(What::Beyond(kind), self.position))
    }

    fn constant(&mut self, _: Constant) -> Value {
        self.atom()
    }

    fn integer(&mut self, _: i64) -> Made {
        Ok(self.atom())
    }

    fn long(&mut self, _: &'a [u8]) -> Made {
        Ok(self.atom())
    }

    fn integer_text(&mut self, _: &'a [u8], _: Site) -> Made {
        Ok(self.atom())
    }

    fn float(&mut self, _: f64) -> Made {
        Ok(self.atom())
    }

    fn float_text(&mut self, _: &'a [u8], _: Site) -> Made {
        Ok(self.atom())
    }

    fn text(&mut self, _: &'a [u8]) -> Made {
        Ok(self.atom())
    }

    fn text_escaped(&mut self, _: &'a [u8], _: Site) -> Made {
        Ok(self.atom())
    }

    fn bytes(&mut self, _: &'a [u8]) -> Made {
        Ok(self.atom())
    }

    fn bytearray(&mut self, _: &'a [u8]) -> Made {
        Ok(self.atom())
    }

    fn string(&mut self, _: &'a [u8], _: Site) -> Made {
        Ok(self.atom())
    }

    fn string_escaped(&mut self, _: &'a [u8], _: Site) -> Made {
        Ok(self.atom())
    }

    fn next_buffer(&mut self, _: Site) -> Made {
        Ok(self.atom())
    }

    fn readonly_buffer(&mut self, buffer: Value, _: Site) -> Made {
        Ok(buffer)
    }

    fn empty_list(&mut self) -> Made {
        Ok(self.add(Shape::List, self.position))
    }

    fn empty_dict(&mut self) -> Made {
        Ok(self.add(Shape::Dict, self.position))
    }

    fn empty_set(&mut self) -> Made {
        Ok(self.add(Shape::Set, self.position))
    }

    fn tuple(&mut self, items: Items<'_, Value>, site: Site) -> Made {
        if site.opcode == Opcode::EmptyTuple {
            return Ok(self.atom());
        }
        Ok(self.gather(Shape::Tuple, items.as_slice(), site))
    }

    fn list(&mut self, items: Items<'_, Value>, site: Site) -> Made {
        Ok(self.gather(Shape::List, items.as_slice(), site))
    }

    fn dict(&mut self, pairs: Items<'_, Value>, site: Site) -> Made {
        Ok(self.gather(Shape::Dict, pairs.as_slice(), site))
    }

    fn frozenset(&mut self, items: Items<'_, Value>, site: Site) -> Made {
        Ok(self.gather(Shape::FrozenSet, items.as_slice(), site))
    }

    fn list_extend(&mut self, list: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.fill(*list, items.as_slice());
        self.note(site, *list);
        Ok(())
    }

    fn dict_update(&mut self, dict: &Value, pairs: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.fill_pairs(*dict, pairs.as_slice());
        self.note(site, *dict);
        Ok(())
    }

    fn set_update(&mut self, set: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.list_extend(set, items, site)
    }

    fn instance_extend(&mut self, target: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.list_extend(target, items, site)
    }

    fn instance_update(&mut self, target: &Value, pairs: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.dict_update(target, pairs, site)
    }

    fn instance_add(&mut self, target: &Value, items: Items<'_, Value>, site: Site) -> Result<(), FaultBox> {
        self.list_extend(target, items, site)
    }

    fn global(&mut self, _: &'a [u8], _: &'a [u8], python2: bool, site: Site) -> Made {
        Ok(self.named(Naming::Lines(site.offset), python2, site.offset, site))
    }

    fn stack_global(&mut self, module: Value, name: Value, python2: bool, site: Site) -> Made {
        let naming = match (module.what(), name.what()) {
            (What::Atom(module), What::Atom(name)) => Naming::Texts(module, name),
            _ => Naming::Unseen,
        };
        Ok(self.named(naming, python2, module.from, site))
    }

    fn extension(&mut self, code: i64, python2: bool, site: Site) -> Made {
        Ok(self.named(Naming::Code(code), python2, site.offset, site))
    }

    fn call(&mut self, callable: Value, arguments: Value, site: Site) -> Made {
        let parts = [(Role::Callable, Some(callable)), (Role::Arguments, Some(arguments))];
        Ok(self.made_by(Shape::Call, callable.from, &parts, site))
    }

    fn construct(&mut self, class: Value, arguments: Value, keywords: Option<Value>, site: Site) -> Made {
        let parts = [(Role::Callable, Some(class)), (Role::Arguments, Some(arguments)), (Role::Keywords, keywords)];
        Ok(self.made_by(Shape::Instance, class.from, &parts, site))
    }

    fn instantiate(&mut self, class: Value, arguments: Items<'_, Value>, site: Site) -> Made {
        let items = arguments.as_slice();
        // INST names its class last, OBJ first; either begins at its mark.
        let start = match site.opcode {
            Opcode::Inst => self.start_of(items, site),
            _ => self.start_of(&[class], site),
        };
        let tuple = self.gather(Shape::Tuple, items, site);
        let parts = [(Role::Callable, Some(class)), (Role::Arguments, Some(tuple))];
        Ok(self.made_by(Shape::Instance, start, &parts, site))
    }

    fn set_state(&mut self, target: &Value, state: Value, site: Site) -> Result<(), FaultBox> {
        if let Some(id) = target.node() {
            self.arena.part(id, Role::State, state);
            self.touched.push(id);
        }
        self.called(site, *target, *target);
        self.note(site, *target);
        Ok(())
    }

    fn persistent_line(&mut self, _: &'a [u8], site: Site) -> Made {
        let id = self.atom();
        self.persistent(id, site)
    }

    fn persistent(&mut self, id: Value, site: Site) -> Made {
        Ok(self.made_by(Shape::Persistent, id.from, &[(Role::Id, Some(id))], site))
    }

    fn stop(&mut self, value: Value, site: Site) -> Made {
        self.note(site, value);
        Ok(value)
    }
}
