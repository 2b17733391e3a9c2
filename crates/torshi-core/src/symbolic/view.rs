//! What the policy's patterns and rules see of symbols. It only translates; it judges nothing.

use super::arena::{NodeKind, NO_GLOBAL};
use super::value::{Span, Symbol};
use super::Symbolic;
use crate::literal::small_integer;
use crate::opcode::Opcode;
use crate::policy::{Shape, View};
use crate::reader::{Argument, Atoms, Reader};

impl<'a> Symbolic<'a, '_> {
    /// Text that stands literally in the stream, for as long as the stream is there.
    pub(super) fn literal_text(&self, symbol: Symbol) -> Option<&'a str> {
        match symbol {
            Symbol::Text(span) => std::str::from_utf8(span.get(self.data)?).ok(),
            _ => None,
        }
    }
}

impl Symbolic<'_, '_> {
    /// Text whose characters are known.
    pub(super) fn known_text(&self, symbol: Symbol) -> Option<&str> {
        match symbol {
            Symbol::Text(span) => std::str::from_utf8(span.get(self.data)?).ok(),
            Symbol::DecodedText(at) => self.texts.get(at as usize)?.as_deref(),
            _ => None,
        }
    }

    /// The items of a tuple; none of anything else.
    #[inline]
    pub(super) fn tuple_items(&self, symbol: Symbol) -> &[Symbol] {
        match symbol {
            Symbol::Node(id) if self.arena.node(id).kind == NodeKind::Tuple => self.arena.items(id),
            _ => &[],
        }
    }

    /// Accounts for going through a container, which the memo may hand to many rules.
    fn charge(&self, symbol: Symbol) {
        if let Symbol::Node(id) = symbol {
            self.spend(self.arena.node(id).count.into());
        }
    }

    /// Whether all pairs of a dict that are kept are attributes. Rules ask again and again for one dict.
    fn has_attribute_keys(&self, id: u32, count: u32) -> bool {
        if self.attributes.get() != (id, count) {
            if !self.arena.pairs(id).all(|(key, _)| self.is_attribute(key)) {
                return false;
            }
            self.attributes.set((id, count));
        }
        true
    }

    /// The symbols of atoms that were left in the stream.
    fn atoms(&self, atoms: Atoms) -> impl Iterator<Item = Symbol> + '_ {
        let mut reader = Reader::from_offset(&self.data[..atoms.to], atoms.from);
        std::iter::from_fn(move || {
            let opcode = reader.opcode().ok()?;
            Some((opcode, reader.argument().ok()?))
        })
        .filter(|(opcode, _)| *opcode != Opcode::Memoize)
        .map(|(opcode, argument)| match (opcode, argument) {
            (Opcode::None, _) => Symbol::None,
            (Opcode::Newfalse, _) => Symbol::Bool(false),
            (Opcode::Newtrue, _) => Symbol::Bool(true),
            (_, Argument::Int(n)) => Symbol::Int(n),
            (_, Argument::Float(x)) => Symbol::Float(x),
            (Opcode::Long1, Argument::Bytes(bytes)) => {
                small_integer(bytes).map_or_else(|| Symbol::BigInt(Span::of(self.data, bytes)), Symbol::Int)
            }
            (Opcode::ShortBinunicode, Argument::Bytes(utf8)) => Symbol::Text(Span::of(self.data, utf8)),
            _ => Symbol::Opaque, // no atom, of which the reader says that it is one
        })
    }

    fn node_shape(&self, id: u32) -> Shape<'_, Symbol> {
        let node = self.arena.node(id);
        match node.kind {
            NodeKind::List => Shape::List,
            NodeKind::Dict => Shape::Dict { attrs: node.attribute_keys && self.has_attribute_keys(id, node.count) },
            NodeKind::Set => Shape::Set,
            NodeKind::FrozenSet => Shape::FrozenSet,
            NodeKind::Tuple => Shape::Tuple(self.arena.items(id)),
            NodeKind::Instance if node.global == NO_GLOBAL => Shape::Opaque,
            NodeKind::Instance => {
                let global = self.globals.get(node.global);
                Shape::Instance {
                    module: &global.module,
                    name: &global.qualname,
                    row: global.row,
                    args: self.arena.arguments(id),
                    state: self.arena.state(id),
                }
            }
        }
    }
}

impl View for Symbolic<'_, '_> {
    type V = Symbol;

    fn shape(&self, symbol: Symbol) -> Shape<'_, Symbol> {
        match symbol {
            Symbol::None => Shape::None,
            Symbol::Bool(b) => Shape::Bool(b),
            Symbol::Int(n) => Shape::Int(n),
            Symbol::BigInt(span) => Shape::BigInt { bytes: span.len() as usize },
            Symbol::BigHeld(at) => Shape::BigInt { bytes: self.held.get(at as usize).map_or(usize::MAX, |b| b.len()) },
            Symbol::BigText(bytes) => Shape::BigInt { bytes: bytes as usize },
            Symbol::Float(x) => Shape::Float(x),
            Symbol::Text(_) | Symbol::DecodedText(_) => self.known_text(symbol).map_or(Shape::OpaqueText, Shape::Text),
            Symbol::Bytes(span) => span.get(self.data).map_or(Shape::Opaque, Shape::Bytes),
            Symbol::HeldBytes(at) => self.held.get(at as usize).map_or(Shape::Opaque, |b| Shape::Bytes(b)),
            Symbol::ByteArray(span) => span.get(self.data).map_or(Shape::Opaque, Shape::ByteArray),
            Symbol::HeldByteArray(at) => self.held.get(at as usize).map_or(Shape::Opaque, |b| Shape::ByteArray(b)),
            Symbol::Buffer(_) => Shape::Buffer,
            Symbol::Global(id) => {
                let global = self.globals.get(id);
                Shape::Global { module: &global.module, name: &global.qualname, row: global.row }
            }
            Symbol::Node(id) => self.node_shape(id),
            Symbol::New(_) | Symbol::Opaque => Shape::Opaque,
        }
    }

    fn children(&self, symbol: Symbol) -> Vec<Symbol> {
        self.charge(symbol);
        match symbol {
            Symbol::Node(id) => self.arena.children(id),
            _ => Vec::new(),
        }
    }

    fn elements(&self, symbol: Symbol) -> Option<Vec<Symbol>> {
        self.charge(symbol);
        match symbol {
            Symbol::Node(id) if self.arena.node(id).kind == NodeKind::List => {
                self.arena.elements(id, |atoms, all| all.extend(self.atoms(atoms)))
            }
            _ => None,
        }
    }

    fn pairs(&self, symbol: Symbol) -> Vec<(Symbol, Symbol)> {
        self.charge(symbol);
        match symbol {
            Symbol::Node(id) => self.arena.pairs(id).collect(),
            _ => Vec::new(),
        }
    }

    fn spend(&self, steps: u64) -> bool {
        let spent = self.looked.get().saturating_add(steps);
        self.looked.set(spent);
        spent <= self.limits.memory_for(self.size)
    }

    fn holds_floats(&self, buffer: Symbol) {
        if let Symbol::Buffer(place) = buffer {
            self.floats.borrow_mut().push(place);
        }
    }

    fn extent(&self, buffer: Symbol) -> Option<u64> {
        let Symbol::Buffer(place) = buffer else { return None };
        self.gaps.get(place as usize).map(|gap| gap.length as u64)
    }

    fn wants(&self, buffer: Symbol) {
        if let Symbol::Buffer(place) = buffer {
            self.wanted.borrow_mut().push(place);
        }
    }

    fn holds(&self, symbol: Symbol, fact: usize, see: impl FnOnce() -> bool) -> bool {
        let Symbol::Node(id) = symbol else { return see() };
        if self.fact.get() == (id, fact) {
            return true;
        }
        let holds = see();
        if holds {
            self.fact.set((id, fact));
        }
        holds
    }

    fn copied(&self, state: Symbol, array: Symbol) {
        self.copied_arrays.borrow_mut().push((state, array));
    }

    fn unrestricted(&self) -> bool {
        self.unrestricted
    }

    fn count(&self, symbol: Symbol) -> Option<u64> {
        match symbol {
            Symbol::Node(id) => Some(self.arena.node(id).count.into()),
            _ => None,
        }
    }

    fn entry(&self, symbol: Symbol, key: &str) -> Option<Symbol> {
        // What is not known whole may have another entry of that name: then none is given.
        let Symbol::Node(id) = symbol else { return None };
        if !self.whole(symbol) {
            return None;
        }
        self.charge(symbol);
        let is_key = |symbol: Symbol| match symbol {
            Symbol::Text(span) => span.get(self.data) == Some(key.as_bytes()),
            _ => self.known_text(symbol) == Some(key),
        };
        self.arena.pair(id, is_key)
    }

    fn whole(&self, symbol: Symbol) -> bool {
        let Symbol::Node(id) = symbol else { return true };
        self.charge(symbol);
        self.arena.kept_pairs(id) == self.arena.node(id).count as usize
    }

    fn reserved(&self, symbol: Symbol) -> bool {
        let Symbol::Node(id) = symbol else { return false };
        let node = self.arena.node(id);
        // Beyond the pairs kept whole a key may be anything, so what is not known counts as reserved.
        let unseen = !node.attribute_keys && self.arena.kept_pairs(id) < node.count as usize;
        unseen
            || self.arena.pairs(id).any(|(key, _)| match key {
                Symbol::Text(_) | Symbol::DecodedText(_) => self.known_text(key).is_none_or(crate::policy::reserved),
                _ => false,
            })
    }

    fn digits(&self, symbol: Symbol) -> Option<&[u8]> {
        match symbol {
            Symbol::BigInt(span) => span.get(self.data),
            Symbol::BigHeld(at) => self.held.get(at as usize).map(|bytes| &**bytes),
            _ => None,
        }
    }
}
