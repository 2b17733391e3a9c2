//! Payloads that need not be copied: of arrays in a state whose class copies what it takes from them, and which nothing
//! else of the stream reaches. What a rule says of a state becomes offsets for the builder; in doubt, none.

use super::arena::NodeKind;
use super::value::Symbol;
use super::Symbolic;
use crate::memo::Memo;

/// What rules said: a state, and an array in it of which its class makes a copy.
pub(super) type Copied = (Symbol, Symbol);

impl Symbolic<'_, '_> {
    /// Offsets of the payloads, in order. A value is taken from the stack once; that it is reached in another way needs
    /// the memo, or a DUP. So there is none if the stream has a DUP, or fills a slot twice, and none of a payload where
    /// the memo is asked for it, for the array, for the arguments that it stands in, or for the state.
    pub(super) fn lent(&self, memo: &Memo<Symbol>) -> Vec<usize> {
        let copied = self.copied_arrays.take();
        if copied.is_empty() || self.duplicated || !memo.notes_slots_filled_once() {
            return Vec::new();
        }
        let parts = |(state, array): Copied| {
            let (Symbol::Node(state), Symbol::Node(array)) = (state, array) else { return None };
            let Some(Symbol::Node(arguments)) = self.arena.arguments(array) else { return None };
            if self.arena.node(arguments).kind != NodeKind::Tuple {
                return None;
            }
            match self.arena.items(arguments).first() {
                Some(Symbol::ByteArray(payload)) => Some((payload.offset(), [state, array, arguments])),
                _ => None,
            }
        };
        let mut lent: Vec<_> = copied.into_iter().filter_map(parts).collect();
        let mut reads: Vec<_> = memo.slots_read().filter_map(key).collect();
        reads.sort_unstable();
        let is_read = |key| reads.binary_search(&key).is_ok();
        lent.retain(|(at, nodes)| !is_read(Key::Payload(*at)) && !nodes.iter().any(|node| is_read(Key::Node(*node))));
        let mut offsets: Vec<_> = lent.into_iter().map(|(at, _)| at).collect();
        offsets.sort_unstable();
        // Two arrays over one payload, which nothing reads twice, there cannot be.
        offsets.dedup();
        offsets
    }
}

/// What a memo slot holds, as far as it can be part of such a state.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Node(u32),
    Payload(usize),
}

fn key(symbol: Symbol) -> Option<Key> {
    match symbol {
        Symbol::Node(id) => Some(Key::Node(id)),
        Symbol::ByteArray(span) => Some(Key::Payload(span.offset())),
        _ => None,
    }
}
