//! The arena: containers and instances the stream describes, as far as checking needs them. It keeps
//! the items of tuples (they may become arguments) and, of other containers, only the children
//! that are containers themselves. It never keeps text, numbers or bytes.

use super::value::Symbol;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NodeKind {
    List,
    Dict,
    Set,
    FrozenSet,
    Tuple,
    Instance,
}

/// The global of an instance whose class is not known by name.
pub const NO_GLOBAL: u32 = u32::MAX;
const END: u32 = u32::MAX;
/// Pairs of a dict kept whole: more than any state that a rule looks into has.
pub const KEPT_PAIRS: usize = 32;

/// One container or instance.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Of a dict: of the pairs not kept whole, every key is text and none is a dunder name.
    pub attribute_keys: bool,
    /// Of a tuple: it holds a global that may not stand as data, directly or in a tuple.
    pub holds_raw_global: bool,
    /// Of an instance: what it was made by; only what `makes` says may be done with it.
    pub open: bool,
    /// Held by another node.
    pub held: bool,
    /// Kept by reference in a checked state: it may not change any more.
    pub frozen: bool,
    /// Of an instance: its class among the globals.
    pub global: u32,
    /// Steps that hashing it may take, saturating.
    pub weight: u32,
    /// How deep hashing it recurses, saturating.
    pub depth: u32,
    /// Items or pairs it was given.
    pub count: u32,
    first: u32,
    len: u32,
    chunk: u32,
}

struct Chunk {
    first: u32,
    len: u32,
    next: u32,
    pairs: bool,
}

/// All nodes of a stream.
#[derive(Default)]
pub struct Arena {
    nodes: Vec<Node>,
    /// Whether a node grew after another held it, so that weights may be too low.
    pub grown_late: bool,
    symbols: Vec<Symbol>,
    chunks: Vec<Chunk>,
}

impl Arena {
    /// An arena with room for what a stream of this many bytes commonly needs.
    pub fn for_stream(bytes: usize) -> Self {
        Arena {
            nodes: Vec::with_capacity((bytes / 32).clamp(4, 1024)),
            symbols: Vec::with_capacity((bytes / 6).clamp(8, 4096)),
            chunks: Vec::with_capacity((bytes / 64).clamp(4, 1024)),
            grown_late: false,
        }
    }

    /// A node without items.
    #[inline]
    pub fn container(&mut self, kind: NodeKind) -> u32 {
        self.add(Node {
            kind,
            attribute_keys: true,
            holds_raw_global: false,
            open: false,
            held: false,
            frozen: false,
            global: NO_GLOBAL,
            weight: 1,
            depth: 1,
            count: 0,
            first: 0,
            len: 0,
            chunk: END,
        })
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// A tuple of these items.
    #[inline]
    pub fn tuple(&mut self, items: &[Symbol]) -> u32 {
        let id = self.container(NodeKind::Tuple);
        let first = self.symbols.len() as u32;
        self.symbols.extend_from_slice(items);
        let (weight, depth) = self.reckon(first as usize);
        let node = &mut self.nodes[id as usize];
        (node.first, node.len) = (first, items.len() as u32);
        (node.weight, node.depth) = (weight.saturating_add(1), depth.saturating_add(1));
        id
    }

    /// An instance made by a global from arguments.
    #[inline]
    pub fn instance(&mut self, global: u32, arguments: Symbol) -> u32 {
        let id = self.container(NodeKind::Instance);
        let first = self.symbols.len() as u32;
        self.symbols.extend_from_slice(&[arguments, Symbol::Opaque]);
        let (weight, depth) = self.reckon(first as usize);
        let node = &mut self.nodes[id as usize];
        (node.first, node.len, node.global, node.open) = (first, 1, global, true);
        (node.weight, node.depth) = (weight.saturating_add(1), depth.saturating_add(1));
        id
    }

    /// Notes the state given to an instance.
    pub fn set_state(&mut self, id: u32, state: Symbol) {
        let at = self.nodes[id as usize].first as usize + 1;
        self.symbols[at] = state;
        let (weight, depth) = match state {
            Symbol::Node(state) => {
                self.nodes[state as usize].held = true;
                self.nodes[state as usize].hashed()
            }
            _ => (1, 0),
        };
        let node = &mut self.nodes[id as usize];
        self.grown_late |= node.held;
        node.len = 2;
        node.weight = node.weight.saturating_add(weight);
        node.depth = node.depth.max(depth.saturating_add(1));
    }

    /// Notes items of a list, set or instance; only those with parts of their own are kept.
    #[inline]
    pub fn fill(&mut self, id: u32, items: &[Symbol]) {
        let first = self.symbols.len();
        if !all_atoms(items) {
            self.symbols.extend(items.iter().filter(|item| !item.is_atom()));
        }
        self.filled(id, first, items.len(), false);
    }

    /// Notes pairs of a dict or instance. The first few are kept whole, since they may be a state
    /// that a rule looks into; of the others, the values with parts of their own.
    #[inline]
    pub fn fill_pairs(&mut self, id: u32, pairs: &[Symbol]) {
        let room = KEPT_PAIRS.saturating_sub(self.nodes[id as usize].count as usize);
        let (whole, rest) = pairs.split_at((room * 2).min(pairs.len()));
        let first = self.symbols.len();
        self.symbols.extend_from_slice(whole);
        if all_atoms(whole) {
            self.linked(id, first, whole.len() / 2, true);
        } else {
            self.filled(id, first, whole.len() / 2, true);
        }
        if !rest.is_empty() {
            let first = self.symbols.len();
            let values = rest.iter().skip(1).step_by(2);
            self.symbols.extend(values.filter(|value| !value.is_atom()));
            self.filled(id, first, rest.len() / 2, false);
        }
    }

    /// Accounts for symbols kept from `first` on.
    #[inline]
    fn filled(&mut self, id: u32, first: usize, count: usize, pairs: bool) {
        if self.symbols.len() > first {
            let (weight, depth) = self.reckon(first);
            let node = &mut self.nodes[id as usize];
            node.weight = node.weight.saturating_add(weight);
            node.depth = node.depth.max(depth.saturating_add(1));
        }
        self.linked(id, first, count, pairs);
    }

    /// Counts items, and links the symbols kept from `first` on to their container.
    #[inline]
    fn linked(&mut self, id: u32, first: usize, count: usize, pairs: bool) {
        let len = self.symbols.len() - first;
        let node = &mut self.nodes[id as usize];
        self.grown_late |= node.held;
        node.count = node.count.saturating_add(count as u32);
        node.weight = node.weight.saturating_add(count as u32);
        if len > 0 {
            let next = std::mem::replace(&mut node.chunk, self.chunks.len() as u32);
            self.chunks.push(Chunk { first: first as u32, len: len as u32, next, pairs });
        }
    }

    /// Steps and depth of hashing a value that holds the symbols kept from `first` on; holds them.
    #[inline]
    fn reckon(&mut self, first: usize) -> (u32, u32) {
        let (mut weight, mut depth) = ((self.symbols.len() - first) as u32, 0u32);
        for symbol in &self.symbols[first..] {
            if let Symbol::Node(child) = *symbol {
                let child = &mut self.nodes[child as usize];
                child.held = true;
                let (w, d) = child.hashed();
                weight = weight.saturating_add(w);
                depth = depth.max(d);
            }
        }
        (weight, depth)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node.
    #[inline(always)]
    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    /// A node, to change.
    #[inline(always)]
    pub fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// The items of a tuple.
    #[inline]
    pub fn items(&self, id: u32) -> &[Symbol] {
        let node = &self.nodes[id as usize];
        &self.symbols[node.first as usize..(node.first + node.len) as usize]
    }

    /// The arguments an instance was made from.
    pub fn arguments(&self, id: u32) -> Option<Symbol> {
        let node = &self.nodes[id as usize];
        (node.kind == NodeKind::Instance && node.len > 0).then(|| self.symbols[node.first as usize])
    }

    /// The state an instance was given.
    pub fn state(&self, id: u32) -> Option<Symbol> {
        let node = &self.nodes[id as usize];
        let given = node.kind == NodeKind::Instance && node.len == 2;
        given.then(|| self.symbols[node.first as usize + 1])
    }

    fn chunks_of(&self, id: u32) -> impl Iterator<Item = (&[Symbol], bool)> {
        let chunk = |at: u32| self.chunks.get(at as usize);
        std::iter::successors(chunk(self.nodes[id as usize].chunk), move |c| chunk(c.next))
            .map(|c| (&self.symbols[c.first as usize..(c.first + c.len) as usize], c.pairs))
    }

    /// The items of a list or set, and the values of a dict, that have parts of their own.
    pub fn children(&self, id: u32) -> Vec<Symbol> {
        let mut all = Vec::new();
        for (symbols, pairs) in self.chunks_of(id) {
            let (skip, step) = if pairs { (1, 2) } else { (0, 1) };
            let values = symbols.iter().skip(skip).step_by(step);
            all.extend(values.filter(|value| !value.is_atom()));
        }
        all
    }

    /// The pairs of a dict that were kept, the last written first.
    pub fn pairs(&self, id: u32) -> impl Iterator<Item = (Symbol, Symbol)> + '_ {
        let kept = self.chunks_of(id).filter(|(_, pairs)| *pairs);
        kept.flat_map(|(symbols, _)| symbols.rchunks_exact(2).map(|pair| (pair[0], pair[1])))
    }

    /// Every node that is an instance.
    pub fn instances(&self) -> impl Iterator<Item = (u32, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, n)| n.kind == NodeKind::Instance).map(|(i, n)| (i as u32, n))
    }
}

/// Whether nothing among these has parts of its own.
#[inline(always)]
pub fn all_atoms(symbols: &[Symbol]) -> bool {
    symbols.iter().fold(true, |all, symbol| all & symbol.is_atom())
}

impl Node {
    /// What it adds to the hashing of a value that holds it. A frozenset keeps the hashes of its
    /// items, so hashing one never goes below it.
    #[inline(always)]
    fn hashed(&self) -> (u32, u32) {
        if self.kind == NodeKind::FrozenSet {
            (1, 1)
        } else {
            (self.weight, self.depth)
        }
    }
}
