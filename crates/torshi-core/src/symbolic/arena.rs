//! The arena: containers and instances the stream describes, as far as checking needs them. It keeps
//! the items of tuples (they may become arguments) and, of other containers, only the children
//! that are containers themselves. It never keeps text, numbers or bytes.

use super::value::Symbol;
use crate::reader::Atoms;

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
pub const KEPT_PAIRS: usize = 128;
/// A list of so few items keeps a None among them in its place: lists of optional parts are told by it.
const SHORT: u32 = 4;
/// Atoms kept of any stream whose rules look at them, and a quarter for each byte of it.
const MOST_ATOMS: usize = 1 << 16;

/// One container or instance.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Of a dict: of the pairs not kept whole, every key is text and none is a dunder name.
    pub attribute_keys: bool,
    /// Of an instance: what it was made by; only what `makes` says may be done with it.
    pub open: bool,
    /// Kept by reference in a checked state: it may not change any more.
    pub frozen: bool,
    /// Of an instance: its class among the globals.
    pub global: u32,
    /// Items or pairs it was given.
    pub count: u32,
    first: u32,
    len: u32,
    chunk: u32,
}

/// A node of which nothing is known yet.
const EMPTY: Node = Node {
    kind: NodeKind::List,
    attribute_keys: true,
    open: false,
    frozen: false,
    global: NO_GLOBAL,
    count: 0,
    first: 0,
    len: 0,
    chunk: END,
};

/// What whoever holds a node must know of it: eight bytes, apart from the rest, since lists of shared
/// objects look at nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Gist {
    /// Steps that hashing it may take, saturating. A frozenset keeps the hashes of its items, so
    /// hashing one never goes below it.
    pub weight: u32,
    /// How deep hashing it recurses, saturating.
    pub depth: u16,
    /// It is a tuple with a global that may not stand as data, directly or in a tuple.
    pub holds_raw_global: bool,
    /// Another node holds it.
    pub held: bool,
}

struct Chunk {
    first: u32,
    len: u32,
    next: u32,
    holds: Holds,
}

/// What a chunk is a run of.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// Items, in `symbols`.
    Items,
    /// Keys and values in turn, in `symbols`.
    Pairs,
    /// Items all of which are nodes, in `ids`.
    Nodes,
    /// Atoms that stand in the stream, one place in `rows`.
    Row,
}

/// All nodes of a stream.
#[derive(Default)]
pub struct Arena {
    nodes: Vec<Node>,
    gists: Vec<Gist>,
    /// Whether a node grew after another held it, so that weights may be too low.
    pub grown_late: bool,
    /// The empty tuple, once there is one: every object without arguments has it.
    empty: Option<u32>,
    /// Numbers and texts that lists and dicts may still keep: none until a name is met whose rules look at such.
    atoms: usize,
    /// How often a node came to be held that another held already.
    pub reused: u64,
    /// The greatest depth of any node.
    pub deepest: u16,
    symbols: Vec<Symbol>,
    /// Nodes that lists hold: a quarter of the memory of symbols, and lists of shared objects are long.
    ids: Vec<u32>,
    /// Items that were left in the stream.
    rows: Vec<Atoms>,
    chunks: Vec<Chunk>,
}

impl Arena {
    /// Empties it, keeping its memory for the next stream.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.gists.clear();
        self.symbols.clear();
        self.ids.clear();
        self.rows.clear();
        self.chunks.clear();
        self.grown_late = false;
        self.empty = None;
        self.atoms = 0;
        self.deepest = 0;
        self.reused = 0;
    }

    /// Bytes of memory in use. What is allocated beyond was never written, and so is no memory yet.
    pub fn footprint(&self) -> usize {
        self.nodes.len() * (size_of::<Node>() + size_of::<Gist>())
            + self.symbols.len() * size_of::<Symbol>()
            + self.ids.len() * size_of::<u32>()
            + self.rows.len() * size_of::<Atoms>()
            + self.chunks.len() * size_of::<Chunk>()
    }

    /// A node without items.
    #[inline]
    pub fn container(&mut self, kind: NodeKind) -> u32 {
        self.add(Node { kind, ..EMPTY })
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.gists.push(Gist { weight: 1, depth: 1, holds_raw_global: false, held: false });
        (self.nodes.len() - 1) as u32
    }

    /// A tuple of these items.
    #[inline]
    pub fn tuple(&mut self, items: &[Symbol]) -> u32 {
        if items.is_empty() {
            if let Some(empty) = self.empty {
                return empty;
            }
            self.empty = Some(self.nodes.len() as u32);
        }
        let id = self.container(NodeKind::Tuple);
        let first = self.symbols.len() as u32;
        self.symbols.extend_from_slice(items);
        let (weight, depth) = self.reckon(first as usize);
        let node = &mut self.nodes[id as usize];
        (node.first, node.len) = (first, items.len() as u32);
        self.weigh(id, weight, depth);
        id
    }

    /// An instance made by a global from arguments.
    #[inline]
    pub fn instance(&mut self, global: u32, arguments: Symbol) -> u32 {
        let first = self.symbols.len();
        self.symbols.extend_from_slice(&[arguments, Symbol::Opaque]);
        let (weight, depth) = match arguments {
            Symbol::Node(id) => {
                let gist = &mut self.gists[id as usize];
                // Of the one empty tuple that all such instances hold it is no news that it is held again.
                self.reused += u64::from(std::mem::replace(&mut gist.held, true) && self.empty != Some(id));
                (gist.weight.saturating_add(2), gist.depth)
            }
            _ => (2, 0),
        };
        let kind = NodeKind::Instance;
        let id = self.add(Node { kind, global, open: true, first: first as u32, len: 1, ..EMPTY });
        self.weigh(id, weight, depth);
        id
    }

    /// Notes the state given to an instance.
    pub fn set_state(&mut self, id: u32, state: Symbol) {
        let at = self.nodes[id as usize].first as usize + 1;
        self.symbols[at] = state;
        let (weight, depth) = match state {
            Symbol::Node(state) => {
                let gist = &mut self.gists[state as usize];
                self.reused += u64::from(std::mem::replace(&mut gist.held, true));
                (gist.weight, gist.depth)
            }
            _ => (1, 0),
        };
        let node = &mut self.nodes[id as usize];
        node.len = 2;
        self.grown_late |= self.gists[id as usize].held;
        self.weigh(id, weight, depth);
    }

    /// Notes items of a list, set or instance; only those with parts of their own are kept. Whether any
    /// of them is, or holds, a global that may not stand as data is for the caller to look at.
    #[inline]
    pub fn fill(&mut self, id: u32, items: &[Symbol]) {
        let first = self.symbols.len();
        if self.keeps_none(id, items) {
            self.symbols.extend_from_slice(items);
        } else if !all_atoms(items) {
            self.symbols.extend(items.iter().filter(|item| !item.is_atom()));
        }
        self.filled(id, first, items.len(), Holds::Items);
    }

    /// `fill`, for items none of which may be a raw global: one walk. `false` where one may be, and
    /// nothing is noted then.
    #[inline(never)] // a loop of its own, with registers of its own
    pub fn fill_nodes(&mut self, id: u32, items: &[Symbol]) -> bool {
        if self.keeps_none(id, items) {
            return false;
        }
        let first = self.ids.len();
        let (mut weight, mut depth, mut kept, mut again) = (items.len() as u32, 0u16, 0usize, 0u64);
        let plain = items.first().is_none_or(Symbol::is_atom) && all_atoms(items);
        let looked_at = if plain { &[] } else { items };
        self.ids.reserve(looked_at.len());
        for item in looked_at {
            match *item {
                Symbol::Node(id) => {
                    let child = &mut self.gists[id as usize];
                    if child.holds_raw_global {
                        self.ids.truncate(first);
                        return false;
                    }
                    weight = weight.saturating_add(child.weight);
                    depth = depth.max(child.depth);
                    kept += 1;
                    self.ids.push(id);
                    // Written once: a store to part of what is read next would hold up every reader.
                    if child.held {
                        again += 1;
                    } else {
                        child.held = true;
                    }
                }
                _ if item.is_atom() => {}
                _ => {
                    self.ids.truncate(first);
                    return false;
                }
            }
        }
        self.reused += again;
        self.weigh(id, weight, depth);
        self.linked(id, first, kept, items.len(), Holds::Nodes);
        true
    }

    /// `fill_nodes`, for one node: what APPEND gives to a list.
    #[inline(always)]
    pub fn append_node(&mut self, id: u32, item: u32) -> bool {
        let gist = &mut self.gists[item as usize];
        if gist.holds_raw_global {
            return false;
        }
        let (weight, depth) = (gist.weight.saturating_add(1), gist.depth);
        self.reused += u64::from(std::mem::replace(&mut gist.held, true));
        let first = self.ids.len();
        self.ids.push(item);
        self.weigh(id, weight, depth);
        self.linked(id, first, 1, 1, Holds::Nodes);
        true
    }

    /// `fill`, for what stands in these slots of the memo. `false` where there is nothing in one, where one may be a raw
    /// global or where atoms are kept, and nothing is noted then.
    #[inline(always)]
    pub fn fill_row<'s>(&mut self, id: u32, slots: &[u32], mut get: impl FnMut(u32) -> &'s Option<Symbol>) -> bool {
        let short = slots.len() <= SHORT as usize;
        // Two walks, so that neither waits for both memories: one to the memo, one to what is known of the nodes.
        let (first, mut kept, mut count) = (self.ids.len(), 0, 0);
        self.ids.resize(first + slots.len(), 0);
        let nodes = &mut self.ids[first..];
        for slot in slots {
            match get(*slot) {
                Some(Symbol::Node(child)) => {
                    nodes[kept] = *child;
                    kept += 1;
                }
                Some(symbol) if symbol.is_atom() && !(short && *symbol == Symbol::None) => {}
                _ => break,
            }
            count += 1;
        }
        self.ids.truncate(first + kept);
        let (mut weight, mut depth, mut again, mut raw) = (slots.len() as u64, 0u16, 0u64, false);
        for child in &self.ids[first..] {
            let gist = &mut self.gists[*child as usize];
            raw |= gist.holds_raw_global;
            weight += u64::from(gist.weight);
            depth = depth.max(gist.depth);
            again += u64::from(std::mem::replace(&mut gist.held, true));
        }
        if count < slots.len() || raw || (kept < count && self.atoms > count) {
            self.ids.truncate(first);
            return false;
        }
        self.reused += again;
        self.weigh(id, u32::try_from(weight).unwrap_or(u32::MAX), depth);
        self.linked(id, first, kept, count, Holds::Nodes);
        true
    }

    /// `fill`, for atoms that stay in the stream; where they stand is noted if somebody may ask for them.
    pub fn fill_atoms(&mut self, id: u32, atoms: Atoms) {
        let node = &self.nodes[id as usize];
        let short = atoms.has_none && atoms.count <= SHORT as usize && node.count + atoms.count as u32 <= SHORT;
        let kept = usize::from(short || self.atoms > 0);
        let first = self.rows.len();
        if kept > 0 {
            self.rows.push(atoms);
        }
        self.weigh(id, atoms.count as u32, 0);
        self.linked(id, first, kept, atoms.count, Holds::Row);
    }

    /// From here on lists and dicts keep atoms: rules will look at them.
    pub fn keep_atoms(&mut self, stream: usize) {
        if self.atoms == 0 {
            self.atoms = MOST_ATOMS + stream / 4;
        }
    }

    #[inline(always)]
    fn keeps_none(&mut self, id: u32, items: &[Symbol]) -> bool {
        if self.atoms > items.len() {
            let held = items.iter().any(Symbol::is_atom);
            self.atoms -= if held { items.len() } else { 0 };
            return held;
        }
        items.len() <= SHORT as usize
            && items.iter().any(|item| matches!(item, Symbol::None))
            && self.nodes[id as usize].count + items.len() as u32 <= SHORT
    }

    /// How many more pairs of a dict are kept whole.
    #[inline(always)]
    pub fn room(&self, id: u32) -> usize {
        KEPT_PAIRS.saturating_sub(self.nodes[id as usize].count as usize)
    }

    /// Notes pairs of a dict or instance. The first few are kept whole, since they may be a state
    /// that a rule looks into; of the others, the values with parts of their own.
    #[inline]
    pub fn fill_pairs(&mut self, id: u32, pairs: &[Symbol]) {
        let mut room = self.room(id);
        if pairs.len() > 2 * room && self.atoms > pairs.len() {
            self.atoms -= pairs.len();
            room = pairs.len();
        }
        let (whole, rest) = pairs.split_at((room * 2).min(pairs.len()));
        let first = self.symbols.len();
        self.symbols.extend_from_slice(whole);
        if all_atoms(whole) {
            self.weigh(id, whole.len() as u32, 0);
            self.linked(id, first, whole.len(), whole.len() / 2, Holds::Pairs);
        } else {
            self.filled(id, first, whole.len() / 2, Holds::Pairs);
        }
        if !rest.is_empty() {
            self.fill_values(id, rest);
        }
    }

    /// Notes pairs of which only the values with parts of their own are kept.
    #[inline]
    pub fn fill_values(&mut self, id: u32, pairs: &[Symbol]) {
        let first = self.symbols.len();
        self.symbols.extend(pairs.iter().skip(1).step_by(2).filter(|value| !value.is_atom()));
        self.filled(id, first, pairs.len() / 2, Holds::Items);
    }

    /// `fill_values`, for values none of which may be a raw global: one walk. `false` where one may be, and nothing is
    /// noted then.
    #[inline]
    pub fn fill_value_nodes(&mut self, id: u32, pairs: &[Symbol]) -> bool {
        let first = self.ids.len();
        let (count, mut depth, mut again) = (pairs.len() / 2, 0u16, 0u64);
        let mut weight = count as u32;
        for pair in pairs.chunks_exact(2) {
            match pair[1] {
                Symbol::Node(child) if !self.gists[child as usize].holds_raw_global => {
                    let gist = &mut self.gists[child as usize];
                    weight = weight.saturating_add(gist.weight);
                    depth = depth.max(gist.depth);
                    again += u64::from(std::mem::replace(&mut gist.held, true));
                    self.ids.push(child);
                }
                value if value.is_atom() => {}
                _ => {
                    self.ids.truncate(first);
                    return false;
                }
            }
        }
        self.reused += again;
        self.weigh(id, weight, depth);
        self.linked(id, first, self.ids.len() - first, count, Holds::Nodes);
        true
    }

    /// Accounts for symbols kept from `first` on.
    #[inline]
    fn filled(&mut self, id: u32, first: usize, count: usize, holds: Holds) {
        let mut weight = count as u32;
        let mut depth = 0;
        if self.symbols.len() > first {
            let (below, deep) = self.reckon(first);
            weight = weight.saturating_add(below);
            depth = deep;
        }
        self.weigh(id, weight, depth);
        self.linked(id, first, self.symbols.len() - first, count, holds);
    }

    /// Counts items, and links the symbols kept from `first` on to their container.
    #[inline]
    fn linked(&mut self, id: u32, first: usize, len: usize, count: usize, holds: Holds) {
        let node = &mut self.nodes[id as usize];
        self.grown_late |= self.gists[id as usize].held;
        node.count = node.count.saturating_add(count as u32);
        if len > 0 {
            let next = std::mem::replace(&mut node.chunk, self.chunks.len() as u32);
            self.chunks.push(Chunk { first: first as u32, len: len as u32, next, holds });
        }
    }

    /// Steps and depth of hashing a value that holds the symbols kept from `first` on; holds them.
    #[inline]
    fn reckon(&mut self, first: usize) -> (u32, u16) {
        let (mut weight, mut depth) = ((self.symbols.len() - first) as u32, 0u16);
        for symbol in &self.symbols[first..] {
            if let Symbol::Node(child) = *symbol {
                let child = &mut self.gists[child as usize];
                weight = weight.saturating_add(child.weight);
                depth = depth.max(child.depth);
                if child.held {
                    self.reused += 1;
                } else {
                    child.held = true;
                }
            }
        }
        (weight, depth)
    }

    /// Adds what a node came to hold to its own weight and depth.
    #[inline(always)]
    fn weigh(&mut self, id: u32, weight: u32, depth: u16) {
        if self.nodes[id as usize].kind != NodeKind::FrozenSet {
            let gist = &mut self.gists[id as usize];
            gist.weight = gist.weight.saturating_add(weight);
            gist.depth = gist.depth.max(depth.saturating_add(1));
            self.deepest = self.deepest.max(gist.depth);
        }
    }

    /// What the holders of a node must know of it.
    #[inline(always)]
    pub fn gist(&self, id: u32) -> &Gist {
        &self.gists[id as usize]
    }

    /// Says whether a tuple holds a global that may not stand as data.
    #[inline(always)]
    pub fn set_raw(&mut self, id: u32, raw: bool) {
        self.gists[id as usize].holds_raw_global = raw;
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

    fn chunks_of(&self, id: u32) -> impl Iterator<Item = (std::ops::Range<usize>, Holds)> + '_ {
        let chunk = |at: u32| self.chunks.get(at as usize);
        std::iter::successors(chunk(self.nodes[id as usize].chunk), move |c| chunk(c.next))
            .map(|c| (c.first as usize..(c.first + c.len) as usize, c.holds))
    }

    /// The items of a list or set, and the values of a dict, that have parts of their own.
    pub fn children(&self, id: u32) -> Vec<Symbol> {
        let mut all = Vec::new();
        for (range, holds) in self.chunks_of(id) {
            match holds {
                Holds::Nodes => all.extend(self.ids[range].iter().map(|&child| Symbol::Node(child))),
                Holds::Items => all.extend(self.symbols[range].iter().filter(|item| !item.is_atom())),
                Holds::Pairs => {
                    let values = self.symbols[range].iter().skip(1).step_by(2);
                    all.extend(values.filter(|value| !value.is_atom()));
                }
                Holds::Row => {}
            }
        }
        all
    }

    /// All items of a list in their order, if none of them was let go; `read` reads those that stand in the stream.
    pub fn elements(&self, id: u32, read: impl Fn(Atoms, &mut Vec<Symbol>)) -> Option<Vec<Symbol>> {
        let chunks: Vec<_> = self.chunks_of(id).collect();
        let mut all = Vec::new();
        for (range, holds) in chunks.into_iter().rev() {
            match holds {
                Holds::Nodes => all.extend(self.ids[range].iter().map(|&child| Symbol::Node(child))),
                Holds::Items => all.extend_from_slice(&self.symbols[range]),
                Holds::Row => self.rows[range].iter().for_each(|atoms| read(*atoms, &mut all)),
                Holds::Pairs => return None,
            }
        }
        (all.len() == self.nodes[id as usize].count as usize).then_some(all)
    }

    /// Calls `each` with every node that a node holds: items, values, what it was made of and its state.
    pub fn each_part(&self, id: u32, mut each: impl FnMut(u32)) {
        let node = &self.nodes[id as usize];
        nodes_of(&self.symbols[node.first as usize..(node.first + node.len) as usize]).for_each(&mut each);
        for (range, holds) in self.chunks_of(id) {
            match holds {
                Holds::Nodes => self.ids[range].iter().copied().for_each(&mut each),
                Holds::Items => nodes_of(&self.symbols[range]).for_each(&mut each),
                Holds::Row => {}
                Holds::Pairs => {
                    self.symbols[range].chunks_exact(2).flat_map(|pair| nodes_of(&pair[1..])).for_each(&mut each)
                }
            }
        }
    }

    /// The pairs of a dict that were kept, the last written first.
    pub fn pairs(&self, id: u32) -> impl Iterator<Item = (Symbol, Symbol)> + '_ {
        let kept = self.chunks_of(id).filter(|(_, holds)| *holds == Holds::Pairs);
        kept.flat_map(|(range, _)| self.symbols[range].rchunks_exact(2).map(|pair| (pair[0], pair[1])))
    }

    /// How many pairs of a dict were kept.
    pub fn kept_pairs(&self, id: u32) -> usize {
        self.chunks_of(id).map(|(range, holds)| if holds == Holds::Pairs { range.len() / 2 } else { 0 }).sum()
    }

    /// The value of the pair of such a key that was written last, of those that were kept.
    pub fn pair(&self, id: u32, is_key: impl Fn(Symbol) -> bool) -> Option<Symbol> {
        for (range, holds) in self.chunks_of(id) {
            let pairs = if holds == Holds::Pairs { &self.symbols[range] } else { &[] };
            if let Some(pair) = pairs.rchunks_exact(2).find(|pair| is_key(pair[0])) {
                return Some(pair[1]);
            }
        }
        None
    }

    /// Every node that is an instance.
    pub fn instances(&self) -> impl Iterator<Item = (u32, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, n)| n.kind == NodeKind::Instance).map(|(i, n)| (i as u32, n))
    }
}

fn nodes_of(symbols: &[Symbol]) -> impl Iterator<Item = u32> + '_ {
    symbols.iter().filter_map(|symbol| if let Symbol::Node(node) = *symbol { Some(node) } else { None })
}

/// Whether nothing among these has parts of its own.
#[inline(always)]
pub fn all_atoms(symbols: &[Symbol]) -> bool {
    symbols.iter().fold(true, |all, symbol| all & symbol.is_atom())
}
