//! Nodes and values of the inspection graph. Plain data is not kept at all: a value of it is the offset
//! of the instruction that pushed it, read again when it is shown. Containers, globals and calls are nodes
//! of fixed size in an arena with a bound; what is beyond it keeps its kind only. Names stay in the stream.

use crate::domain::Kind;

/// A value on the stack or in a node: what it is, and where the stream pushed it this time.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    word: u64,
    /// Offset of the instruction that pushed it: of its making, or of the memo read.
    pub from: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Plain data, by the offset of its instruction.
    Atom(usize),
    /// A node of the arena.
    Node(u32),
    /// Something of a known kind that was not kept.
    Beyond(Kind),
}

const KINDS: [Kind; 9] = [
    Kind::List,
    Kind::Dict,
    Kind::Set,
    Kind::Tuple,
    Kind::Text,
    Kind::Global,
    Kind::Instance,
    Kind::Plain,
    Kind::Unknown,
];

impl Value {
    /// A value pushed at `from`. Two words, since a stack may hold one for every byte of the stream.
    pub fn new(what: What, from: usize) -> Value {
        let word = match what {
            What::Atom(offset) => (offset as u64) << 2,
            What::Node(id) => u64::from(id) << 2 | 1,
            What::Beyond(kind) => (KINDS.iter().position(|&k| k == kind).unwrap_or(KINDS.len() - 1) as u64) << 2 | 2,
        };
        Value { word, from }
    }

    /// What it is.
    pub fn what(self) -> What {
        let payload = self.word >> 2;
        match self.word & 3 {
            0 => What::Atom(payload as usize),
            1 => What::Node(payload as u32),
            _ => What::Beyond(KINDS[payload as usize]),
        }
    }

    /// Its node, if it has one.
    pub fn node(self) -> Option<u32> {
        match self.what() {
            What::Node(id) => Some(id),
            _ => None,
        }
    }

    /// The same value pushed at another place.
    pub fn pushed(self, from: usize) -> Value {
        Value { from, ..self }
    }
}

/// How the stream names a global; the names themselves stay in the stream.
#[derive(Clone, Copy, Debug)]
pub enum Naming {
    /// Two lines of the instruction at this offset.
    Lines(usize),
    /// Two text instructions, by offset.
    Texts(usize, usize),
    /// An extension code.
    Code(i64),
    /// Names that cannot be seen.
    Unseen,
}

/// What a node is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Shape {
    List,
    Dict,
    Set,
    FrozenSet,
    Tuple,
    Global {
        naming: Naming,
        /// Spelled as Python 2 spells it.
        python2: bool,
    },
    /// The result of REDUCE.
    Call,
    /// The result of NEWOBJ, NEWOBJ_EX, OBJ or INST.
    Instance,
    /// What a persistent id stands for.
    Persistent,
}

/// A node of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub shape: Shape,
    /// Where its first instruction begins.
    pub start: usize,
    /// Where the last instruction that made or filled it ends.
    pub end: usize,
    /// Elements, kept or not: items or pairs.
    pub count: u64,
    /// Elements that were not kept.
    pub left_out: u64,
    first: u32,
    last: u32,
}

/// How a part belongs to its node.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// An item, by its place.
    Item(u64),
    /// A value of a mapping, by its key.
    Entry(Value),
    /// A key that is itself a node, by its place among the pairs.
    Key(u64),
    /// The class or function.
    Callable,
    /// The tuple of arguments.
    Arguments,
    /// The dict of keyword arguments.
    Keywords,
    /// What BUILD gave it.
    State,
    /// A persistent id.
    Id,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    role: Role,
    value: Value,
    next: u32,
}

const END: u32 = u32::MAX;

/// How much of a stream the graph keeps.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nodes in all.
    pub nodes: usize,
    /// Parts of nodes in all.
    pub edges: usize,
    /// Plain data kept in one container; nodes are kept beyond it, since a finding may sit there.
    pub atoms: u64,
    /// Calls listed.
    pub calls: usize,
}

impl Bounds {
    /// Enough for any ordinary stream, and a few bytes for a byte of a huge one.
    pub fn of_stream(bytes: usize) -> Bounds {
        Bounds { nodes: 200_000 + bytes / 16, edges: 400_000 + bytes / 8, atoms: 1000, calls: 10_000 }
    }
}

/// The nodes of a graph.
pub struct Arena {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    bounds: Bounds,
}

impl Arena {
    /// An empty arena with these bounds.
    pub fn new(bounds: Bounds) -> Arena {
        Arena { nodes: Vec::new(), edges: Vec::new(), bounds }
    }

    /// A new node; `None` if the arena is full.
    pub fn add(&mut self, shape: Shape, start: usize) -> Option<u32> {
        if self.nodes.len() >= self.bounds.nodes.min(END as usize) {
            return None;
        }
        self.nodes.push(Node { shape, start, end: start + 1, count: 0, left_out: 0, first: END, last: END });
        Some((self.nodes.len() - 1) as u32)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node.
    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    /// A node, to change.
    pub fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// Whether a container that holds `held` elements keeps one more.
    fn keeps(&self, held: u64, value: Value) -> bool {
        self.edges.len() < self.bounds.edges && (held < self.bounds.atoms || value.node().is_some())
    }

    /// Adds an item, or a pair if there is a key.
    pub fn element(&mut self, id: u32, key: Option<Value>, value: Value) {
        let node = self.node(id);
        let place = node.count;
        let role = key.map_or(Role::Item(place), Role::Entry);
        let kept = self.keeps(place - node.left_out, value);
        if let Some(key) = key.filter(|key| key.node().is_some() && self.edges.len() < self.bounds.edges) {
            self.part(id, Role::Key(place), key);
        }
        if kept {
            self.part(id, role, value);
        }
        let node = self.node_mut(id);
        node.count += 1;
        node.left_out += u64::from(!kept);
    }

    /// Adds a part that is no element. A full arena forgets it.
    pub fn part(&mut self, id: u32, role: Role, value: Value) {
        if self.edges.len() >= (self.bounds.edges + self.bounds.nodes).min(END as usize) {
            return;
        }
        let at = self.edges.len() as u32;
        self.edges.push(Edge { role, value, next: END });
        let node = self.node_mut(id);
        let last = std::mem::replace(&mut node.last, at);
        match last {
            END => node.first = at,
            last => self.edges[last as usize].next = at,
        }
    }

    /// The parts of a node, in stream order.
    pub fn parts(&self, id: u32) -> impl Iterator<Item = (Role, Value)> + '_ {
        let mut at = self.node(id).first;
        std::iter::from_fn(move || {
            let edge = self.edges.get(at as usize)?;
            at = edge.next;
            Some((edge.role, edge.value))
        })
    }

    /// The part with a role that a node has once, such as its callable.
    pub fn single(&self, id: u32, wanted: Role) -> Option<Value> {
        let same = |role: &Role| std::mem::discriminant(role) == std::mem::discriminant(&wanted);
        // Callable, arguments and keywords come first; states may come after any number of items.
        let most = if matches!(wanted, Role::State) { usize::MAX } else { 3 };
        self.parts(id).take(most).find(|(role, _)| same(role)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stack holds a value for every byte of a hostile stream; a wider one breaks the memory promise.
    #[test]
    fn a_value_is_two_words() {
        assert_eq!(std::mem::size_of::<Value>(), 16);
        for what in [What::Atom(1 << 50), What::Node(u32::MAX), What::Beyond(Kind::Unknown), What::Beyond(Kind::List)] {
            assert_eq!(Value::new(what, 7).what(), what);
        }
    }

    /// An arena that grows with the stream would hold gigabytes for one of them.
    #[test]
    fn a_full_arena_counts_and_forgets() {
        let mut arena = Arena::new(Bounds { nodes: 2, edges: 3, atoms: 2, calls: 0 });
        let list = arena.add(Shape::List, 0).unwrap();
        let inner = arena.add(Shape::List, 1).unwrap();
        assert!(arena.add(Shape::List, 2).is_none());
        for offset in 0..5 {
            arena.element(list, None, Value::new(What::Atom(offset), offset));
        }
        arena.element(list, None, Value::new(What::Node(inner), 9));
        arena.element(list, None, Value::new(What::Node(inner), 9));
        assert_eq!((arena.node(list).count, arena.node(list).left_out), (7, 4));
        assert_eq!(arena.parts(list).count(), 3);
    }
}
