//! Paths: where in the object a node stands, such as `$.servers[3].port`. Found breadth first from the
//! value of the pickle, so a shared node is called by its shortest path and a cycle ends. Only nodes have
//! paths here; a path is written out when it is asked for.

use super::{trace, trace_around, Bounds, Graph, Role, Shape, Trace, Value};
use crate::finding::{Finding, FindingKind};
use crate::preview;
use crate::symbolic::Settings;
use std::collections::VecDeque;
use std::ops::Range;

/// Steps of a path that are written; of a longer one, the middle is left out.
const MOST_STEPS: usize = 48;
/// Parts of a container that are searched for the global a finding is about.
const MOST_LOOKS: usize = 5000;
/// Characters of a key in a path.
const KEY_WIDTH: usize = 40;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Step {
    Item(u64),
    Entry(Value),
    Key(u64),
    Attribute(Value),
    Argument(u64),
    Keyword(Value),
    Callable,
    Arguments,
    Keywords,
    State,
    Id,
    /// An item of the stack of a broken stream.
    Stack(u64),
}

impl Graph<'_, '_> {
    /// Calls `visit` for every part of a node as a person sees it: the items of an argument tuple as
    /// arguments, the entries of a state as attributes. Stops when `visit` says so.
    pub fn each_part(&self, id: u32, visit: &mut dyn FnMut(Step, Value) -> bool) {
        for (role, value) in self.arena.parts(id) {
            let goes_on = match role {
                Role::Item(at) => visit(Step::Item(at), value),
                Role::Entry(key) => visit(Step::Entry(key), value),
                Role::Key(at) => visit(Step::Key(at), value),
                Role::Callable => visit(Step::Callable, value),
                Role::Id => visit(Step::Id, value),
                // The classes a reconstructor is given are what makes the object, not parts of it.
                Role::Arguments if self.class_of(id).is_some() => self.each_argument(value, &mut |step, value| {
                    visit(if self.is_global(value) { Step::Callable } else { step }, value)
                }),
                Role::Arguments => self.each_argument(value, visit),
                Role::Keywords => self.each_entry(value, Step::Keyword, Step::Keywords, visit),
                Role::State => self.each_state(value, visit),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether a value is a global by its own name.
    pub fn is_global(&self, value: Value) -> bool {
        value.node().is_some_and(|id| matches!(self.arena.node(id).shape, Shape::Global { .. }))
    }

    /// Elements that were not kept of the parts that `each_part` shows as the node's own.
    pub fn merged_left_out(&self, id: u32) -> u64 {
        let merged =
            |role| self.arena.single(id, role).and_then(Value::node).map_or(0, |id| self.arena.node(id).left_out);
        match self.arena.node(id).shape {
            Shape::Call | Shape::Instance => {
                [Role::Arguments, Role::Keywords, Role::State].into_iter().map(merged).sum()
            }
            _ => 0,
        }
    }

    fn each_argument(&self, arguments: Value, visit: &mut dyn FnMut(Step, Value) -> bool) -> bool {
        match arguments.node() {
            Some(id) if matches!(self.arena.node(id).shape, Shape::Tuple) => {
                self.arena.parts(id).all(|(role, value)| match role {
                    Role::Item(at) => visit(Step::Argument(at), value),
                    _ => true,
                })
            }
            None if self.short(arguments, 4) == "()" => true,
            _ => visit(Step::Arguments, arguments),
        }
    }

    fn each_entry(
        &self, dict: Value, inner: fn(Value) -> Step, whole: Step, visit: &mut dyn FnMut(Step, Value) -> bool,
    ) -> bool {
        match dict.node() {
            Some(id) if matches!(self.arena.node(id).shape, Shape::Dict) => {
                self.arena.parts(id).all(|(role, value)| match role {
                    Role::Entry(key) => visit(inner(key), value),
                    Role::Key(at) => visit(Step::Key(at), value),
                    _ => true,
                })
            }
            _ => visit(whole, dict),
        }
    }

    /// A state is a dict, or a pair of one (or None) and the dict of slots, or anything a class likes.
    fn each_state(&self, state: Value, visit: &mut dyn FnMut(Step, Value) -> bool) -> bool {
        let dict = |value: Value| value.node().filter(|&id| matches!(self.arena.node(id).shape, Shape::Dict));
        let pair = state.node().filter(|&id| matches!(self.arena.node(id).shape, Shape::Tuple)).and_then(|id| {
            let mut items = self.arena.parts(id).map(|(_, item)| item);
            let pair = (items.next()?, items.next()?);
            let slots = dict(pair.1).is_some() && (dict(pair.0).is_some() || self.word(pair.0) == "none");
            (slots && self.arena.node(id).count == 2).then_some(pair)
        });
        match pair {
            Some((plain, slots)) => {
                let plain = dict(plain).is_none() || self.each_entry(plain, Step::Attribute, Step::State, visit);
                plain && self.each_entry(slots, Step::Attribute, Step::State, visit)
            }
            None => self.each_entry(state, Step::Attribute, Step::State, visit),
        }
    }

    /// A step as it is written.
    pub fn step_text(&self, step: Step) -> String {
        match step {
            Step::Item(at) => format!("[{at}]"),
            Step::Key(at) => format!(".keys()[{at}]"),
            Step::Argument(at) => format!("({at})"),
            Step::Keyword(key) => format!("({})", self.key_text(key)),
            Step::Callable => String::new(),
            Step::Arguments => "(*)".into(),
            Step::Keywords => "(**)".into(),
            Step::State => ".<state>".into(),
            Step::Id => ".<id>".into(),
            Step::Stack(at) => format!("<stack>[{at}]"),
            Step::Entry(key) | Step::Attribute(key) => match self.text_of(key) {
                Some(text) if is_identifier(&text) && text.len() <= KEY_WIDTH => format!(".{text}"),
                _ => format!("[{}]", self.short(key, KEY_WIDTH)),
            },
        }
    }

    /// A key as the tree shows it: text as it stands, anything else as a literal.
    pub fn key_text(&self, key: Value) -> String {
        match self.text_of(key) {
            Some(text) if text.chars().count() <= KEY_WIDTH => preview::escaped(&text),
            Some(text) => preview::escaped(&text.chars().take(KEY_WIDTH).collect::<String>()) + "...",
            None => self.short(key, KEY_WIDTH),
        }
    }

    fn text_of(&self, key: Value) -> Option<String> {
        match key.what() {
            super::What::Atom(at) => preview::text(self.data, at),
            _ => None,
        }
    }
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// How a node is reached.
#[derive(Clone, Copy)]
struct Way {
    parent: u32,
    step: Step,
    /// Steps from the root.
    depth: u32,
    /// The node on the way to it at which the beginning of a long path ends.
    gate: u32,
}

/// The way to every node that can be reached.
pub struct Paths<'g, 'a, 's> {
    graph: &'g Graph<'a, 's>,
    ways: Vec<Option<Way>>,
    root: Option<u32>,
}

impl<'g, 'a, 's> Paths<'g, 'a, 's> {
    /// Paths from `root`. Parts shared many times are gone through again each time, up to a bound.
    pub fn from(graph: &'g Graph<'a, 's>, root: Value) -> Self {
        let mut ways: Vec<Option<Way>> = vec![None; graph.arena.len()];
        let mut budget = 4 * (graph.arena.len() + 100_000);
        let mut queue: VecDeque<u32> = root.node().into_iter().collect();
        while let Some(id) = queue.pop_front() {
            let (depth, gate) = ways[id as usize].map_or((1, id), |way| (way.depth + 1, way.gate));
            graph.each_part(id, &mut |step, value| {
                if let Some(inner) = value.node() {
                    if Some(inner) != root.node() && ways[inner as usize].is_none() {
                        let gate = if depth as usize <= MOST_STEPS / 2 { inner } else { gate };
                        ways[inner as usize] = Some(Way { parent: id, step, depth, gate });
                        queue.push_back(inner);
                    }
                }
                budget = budget.saturating_sub(1);
                budget > 0
            });
            if budget == 0 {
                break;
            }
        }
        Paths { graph, ways, root: root.node() }
    }

    /// The path of a value, if it is part of the object. Takes as long for a deep one as for one of `MOST_STEPS` steps.
    pub fn of(&self, value: Value) -> Option<String> {
        let id = value.node()?;
        if Some(id) == self.root {
            return Some("$".to_owned());
        }
        let way = self.ways[id as usize]?;
        let mut path = String::from("$");
        match way.depth as usize {
            depth if depth > MOST_STEPS => {
                self.write(way.gate, MOST_STEPS / 2, &mut path);
                path.push_str("...");
                self.write(id, MOST_STEPS / 2, &mut path);
            }
            depth => self.write(id, depth, &mut path),
        }
        Some(path)
    }

    /// Writes the last so many steps of the way to a node.
    fn write(&self, mut id: u32, count: usize, path: &mut String) {
        let mut steps = Vec::with_capacity(count);
        while let Some(way) = self.ways[id as usize].filter(|_| steps.len() < count) {
            steps.push(way.step);
            id = way.parent;
        }
        steps.into_iter().rev().for_each(|step| path.push_str(&self.graph.step_text(step)));
    }
}

/// Where in the object the values stand that the instructions at `offsets` make or change; `None`
/// for what is no part of it, and for a stream without an end.
pub fn locate(data: &[u8], offsets: &[usize], settings: &Settings<'_>) -> Vec<Option<String>> {
    let trace = trace(data, settings, Bounds::of_stream(data.len()), offsets.to_vec());
    let Some(root) = trace.root else { return vec![None; offsets.len()] };
    let paths = Paths::from(&trace.graph, root);
    offsets.iter().map(|&offset| place(&trace, &paths, root, offset, None)).collect()
}

/// Fills in the paths of findings.
pub fn add_paths(data: &[u8], findings: &mut [Finding], settings: &Settings<'_>) {
    add_paths_around(data, findings, settings, &[]);
}

/// The same for a layout with parts that are no instructions, given in stream order.
pub fn add_paths_around(data: &[u8], findings: &mut [Finding], settings: &Settings<'_>, foreign: &[Range<usize>]) {
    if findings.is_empty() {
        return;
    }
    let offsets = findings.iter().map(|finding| finding.offset).collect();
    let trace = trace_around(data, settings, Bounds::of_stream(data.len()), offsets, foreign);
    place_findings(&trace, findings);
}

/// Fills in the paths of findings from a trace that watched them.
pub(crate) fn place_findings(trace: &Trace<'_, '_>, findings: &mut [Finding]) {
    let Some(root) = trace.root else { return };
    let paths = Paths::from(&trace.graph, root);
    for finding in findings {
        let wanted = finding.name.as_deref().filter(|_| finding.kind == FindingKind::Value);
        finding.path = place(trace, &paths, root, finding.offset, wanted);
    }
}

/// `global`: the finding is about this global's standing in what the instruction filled.
fn place(
    trace: &Trace<'_, '_>, paths: &Paths<'_, '_, '_>, root: Value, offset: usize, global: Option<&str>,
) -> Option<String> {
    let graph = &trace.graph;
    // The last one: an INST names its class first and then makes its instance.
    let &(_, value) = graph.seen.iter().rev().find(|&&(at, _)| at == offset)?;
    let mut exact = None;
    if let (Some(name), Some(id)) = (global, value.node()) {
        let mut looks = MOST_LOOKS;
        graph.each_part(id, &mut |_, part| {
            if graph.is_global(part) && graph.full_name(part).as_deref() == Some(name) {
                exact = Some(part);
            }
            looks -= 1;
            exact.is_none() && looks > 0
        });
    }
    exact.and_then(|part| paths.of(part)).or_else(|| paths.of(value)).or_else(|| {
        // Plain data has no path of its own, unless it is all there is.
        (value.node().is_none() && value.what() == root.what()).then(|| "$".into())
    })
}
