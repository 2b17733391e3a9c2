//! The tree of a report: nodes of the graph from the top down, breadth first, so that what is left out for
//! size is left out at the bottom. Shared and cyclic nodes stand once and are referred to by their path
//! elsewhere. Built and freed without recursion deeper than its depth bound.

use super::path::Step;
use super::{Graph, Shape, Trace, Value, What};
use crate::preview;
use serde::Serialize;
use std::collections::VecDeque;

/// How much of the graph a tree shows.
#[derive(Clone, Copy, Debug)]
pub struct TreeBounds {
    /// Levels; readers of the JSON recurse too.
    pub depth: usize,
    /// Nodes in all.
    pub nodes: usize,
    /// Children of one node.
    pub children: usize,
    /// Bytes of paths, values and names in all.
    pub text: usize,
    /// Characters of a value.
    pub value: usize,
}

impl Default for TreeBounds {
    fn default() -> Self {
        TreeBounds { depth: 60, nodes: 20_000, children: 1000, text: 8 << 20, value: 60 }
    }
}

/// A value as the report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeNode {
    /// `dict`, `list`, `str`, `instance`, `global`, `call`, `reference`, `stack`...
    pub kind: &'static str,
    /// `module.qualname` of a global, of an instance's class, of what is called.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// A short text of plain data; the path that a reference refers to.
    pub value: Option<String>,
    /// Where its first instruction begins.
    pub start: usize,
    /// Where its last instruction ends.
    pub end: usize,
    /// Where it stands.
    pub path: String,
    /// Its parts.
    pub children: Vec<Child>,
    /// Parts left out.
    pub truncated: u64,
    /// Elements it holds; the length of bytes.
    pub count: Option<u64>,
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Child {
    /// Its key, attribute or argument; none for items of a sequence.
    pub key: Option<String>,
    /// The part.
    pub node: TreeNode,
}

struct Entry {
    parent: usize,
    key: Option<String>,
    depth: usize,
    node: TreeNode,
}

const NOWHERE: usize = usize::MAX;

/// The tree of a traced stream; of a broken one, of what stands on its stack.
pub fn tree(trace: &Trace<'_, '_>, bounds: TreeBounds) -> Option<TreeNode> {
    let graph = &trace.graph;
    let mut growth = Growth {
        graph,
        bounds,
        entries: Vec::new(),
        places: vec![NOWHERE; graph.arena.len()],
        queue: VecDeque::new(),
        text: 0,
        last_end: (NOWHERE, 0),
    };
    match (trace.root, &*trace.stack) {
        (Some(root), _) => growth.show(root, NOWHERE, None, "$".into(), 1),
        (None, []) => return None,
        (None, [only]) => growth.show(*only, NOWHERE, None, "$".into(), 1),
        (None, all) => growth.show_stack(all, trace.end),
    }
    while let Some((entry, id)) = growth.queue.pop_front() {
        growth.expand(entry, id);
    }
    growth.assemble()
}

struct Growth<'g, 'a, 's> {
    graph: &'g Graph<'a, 's>,
    bounds: TreeBounds,
    entries: Vec<Entry>,
    /// The entry of each node that is shown.
    places: Vec<usize>,
    queue: VecDeque<(usize, u32)>,
    text: usize,
    last_end: (usize, usize),
}

impl Growth<'_, '_, '_> {
    /// The parts of a broken pickle, deepest first: what would have become of them is not known.
    fn show_stack(&mut self, all: &[Value], end: usize) {
        let node = TreeNode {
            kind: "stack",
            type_name: None,
            value: None,
            start: all.first().map_or(0, |value| value.from),
            end,
            path: "$".into(),
            children: Vec::new(),
            truncated: all.len().saturating_sub(self.bounds.children) as u64,
            count: Some(all.len() as u64),
        };
        self.entries.push(Entry { parent: NOWHERE, key: None, depth: 1, node });
        for (at, &value) in all.iter().enumerate().take(self.bounds.children) {
            let path = format!("${}", self.graph.step_text(Step::Stack(at as u64)));
            self.show(value, 0, None, path, 2);
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.bounds.nodes || self.text >= self.bounds.text
    }

    fn show(&mut self, value: Value, parent: usize, key: Option<String>, path: String, depth: usize) {
        let mut node = self.describe(value, path);
        let at = self.entries.len();
        if let Some(id) = value.node() {
            let expands = !self.graph.is_global(value);
            match self.places[id as usize] {
                NOWHERE if expands => {
                    self.places[id as usize] = at;
                    self.queue.push_back((at, id));
                }
                NOWHERE => {}
                place => refer(&mut node, value, &self.entries[place].node.path, self.graph.data()),
            }
        }
        let texts = [&node.type_name, &node.value, &key];
        self.text += node.path.len() + texts.into_iter().flatten().map(String::len).sum::<usize>();
        self.entries.push(Entry { parent, key, depth, node });
    }

    /// Where an instruction ends. A long line that DUP pushed many times is gone through once.
    fn end_of(&mut self, from: usize) -> usize {
        if self.last_end.0 != from {
            self.last_end = (from, preview::instruction_end(self.graph.data(), from));
        }
        self.last_end.1
    }

    fn describe(&mut self, value: Value, path: String) -> TreeNode {
        let graph = self.graph;
        let mut node = TreeNode {
            kind: graph.word(value),
            type_name: None,
            value: None,
            start: value.from,
            end: value.from + 1,
            path,
            children: Vec::new(),
            truncated: 0,
            count: None,
        };
        match value.what() {
            What::Atom(at) => {
                node.value = preview::value(graph.data(), at, self.bounds.value);
                node.end = self.end_of(value.from);
                node.count = bytes_length(graph.data(), at);
            }
            What::Node(id) => {
                let inner = graph.arena.node(id);
                if !graph.is_global(value) {
                    (node.start, node.end) = (inner.start, inner.end);
                } else if value.from == inner.start {
                    node.end = inner.end;
                } else {
                    node.end = self.end_of(value.from); // a global read from the memo stands where it is read
                }
                node.truncated = inner.left_out + graph.merged_left_out(id);
                node.type_name = match (graph.class_of(id), inner.shape) {
                    (Some(class), _) => graph.full_name(class),
                    (None, Shape::Call | Shape::Instance | Shape::Global { .. }) => graph.full_name(value),
                    _ => None,
                };
                let always =
                    matches!(inner.shape, Shape::List | Shape::Dict | Shape::Set | Shape::FrozenSet | Shape::Tuple);
                node.count = (always || inner.count > 0).then_some(inner.count);
            }
            What::Beyond(_) => node.value = Some("<not kept: the stream holds too many values>".into()),
        }
        node
    }

    fn expand(&mut self, entry: usize, id: u32) {
        let (depth, path) = (self.entries[entry].depth, self.entries[entry].node.path.clone());
        let graph = self.graph;
        let (mut shown, mut left_out) = (0, 0);
        graph.each_part(id, &mut |step, value| {
            if matches!(step, Step::Callable) && graph.is_global(value) {
                return true; // it is the type already
            }
            if depth >= self.bounds.depth || shown >= self.bounds.children || self.is_full() {
                left_out += 1;
                return left_out < 100_000; // counting the rest exactly is not worth going through it
            }
            shown += 1;
            self.show(value, entry, key_of(graph, step), format!("{path}{}", graph.step_text(step)), depth + 1);
            true
        });
        self.entries[entry].node.truncated += left_out;
    }

    /// Hangs every node under its parent, the last ones first.
    fn assemble(mut self) -> Option<TreeNode> {
        while let Some(mut entry) = self.entries.pop() {
            entry.node.children.reverse(); // they were hung last first
            match self.entries.get_mut(entry.parent) {
                Some(parent) => parent.node.children.push(Child { key: entry.key, node: entry.node }),
                None => return Some(entry.node),
            }
        }
        None
    }
}

fn key_of(graph: &Graph<'_, '_>, step: Step) -> Option<String> {
    match step {
        Step::Item(_) | Step::Stack(_) => None,
        Step::Entry(key) | Step::Attribute(key) => Some(graph.key_text(key)),
        Step::Callable => Some("<callable>".into()),
        Step::Argument(_) | Step::Keyword(_) | Step::Arguments | Step::Keywords => Some(graph.step_text(step)),
        Step::Key(_) | Step::State | Step::Id => Some(graph.step_text(step).trim_start_matches('.').into()),
    }
}

/// Makes of a node a reference to the place where it stands already.
fn refer(node: &mut TreeNode, value: Value, path: &str, data: &[u8]) {
    node.kind = "reference";
    node.value = Some(path.into());
    (node.start, node.end) = (value.from, preview::instruction_end(data, value.from));
    (node.count, node.truncated) = (None, 0);
}

fn bytes_length(data: &[u8], offset: usize) -> Option<u64> {
    use crate::opcode::ArgumentKind as K;
    use crate::reader::Argument;
    let (opcode, argument) = preview::instruction(data, offset)?;
    match (opcode.row().argument, argument) {
        (K::Bytes1 | K::Bytes4 | K::Bytes8 | K::ByteArray8, Argument::Bytes(bytes)) => Some(bytes.len() as u64),
        _ => None,
    }
}
