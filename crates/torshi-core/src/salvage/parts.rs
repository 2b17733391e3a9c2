//! What can be said of the values on the stack of a broken stream: of which type they are, whether they are whole, and how
//! they would be filled. Goes by what the stream did with values of the same class before.

use crate::graph::{Graph, Role, Shape, Step, Trace, Value, What};
use crate::opcode::Opcode;
use rustc_hash::{FxHashMap, FxHashSet};

/// Items that a pickler writes behind one mark: a container with a multiple of it may go on.
const BATCH: u64 = 1000;
/// Classes of which it is known how they are filled, though no instance has been yet.
const FILLED: &[(&str, Opcode)] = &[
    ("collections.OrderedDict", Opcode::Setitems),
    ("collections.defaultdict", Opcode::Setitems),
    ("collections.Counter", Opcode::Setitems),
    ("collections.deque", Opcode::Appends),
];

/// The type of a value, as far as it is to be told from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type(&'static str, Option<String>);

/// What is known of the values of a stream.
pub struct Parts<'g, 'a, 's> {
    graph: &'g Graph<'a, 's>,
    /// Classes whose instances were given a state.
    stateful: FxHashSet<String>,
    /// Classes whose instances were done without.
    stateless: FxHashSet<String>,
    fills: FxHashMap<String, Opcode>,
    /// Whether the stream fills containers one item at a time, as protocol 0 does: then any may go on.
    singly: bool,
}

impl<'g, 'a, 's> Parts<'g, 'a, 's> {
    /// Looks at all of a stream; what stands on its stack has not been used yet.
    pub fn of(trace: &'g Trace<'a, 's>) -> Self {
        let graph = &trace.graph;
        let unused: FxHashSet<u32> = trace.stack.iter().filter_map(|value| value.node()).collect();
        let mut parts = Parts {
            graph,
            stateful: FxHashSet::default(),
            stateless: FxHashSet::default(),
            fills: FxHashMap::default(),
            singly: trace.protocols == 1,
        };
        let mut names: FxHashMap<u32, String> = FxHashMap::default();
        for id in 0..graph.arena.len() as u32 {
            if !matches!(graph.arena.node(id).shape, Shape::Call | Shape::Instance) {
                continue;
            }
            let Some(maker) = graph.class_of(id).or_else(|| graph.arena.single(id, Role::Callable)) else { continue };
            let Some(maker_id) = maker.node() else { continue };
            let name = names.entry(maker_id).or_insert_with(|| graph.full_name(maker).unwrap_or_default()).clone();
            let mut has_state = false;
            for (role, _) in graph.arena.parts(id) {
                match role {
                    Role::State => has_state = true,
                    Role::Item(_) => drop(parts.fills.insert(name.clone(), Opcode::Appends)),
                    Role::Entry(_) => drop(parts.fills.insert(name.clone(), Opcode::Setitems)),
                    _ => {}
                }
            }
            match has_state {
                true => parts.stateful.insert(name),
                false if !unused.contains(&id) => parts.stateless.insert(name),
                false => false,
            };
        }
        // Two of a class side by side: the second is no state of the first.
        for two in trace.stack.windows(2) {
            let [one, other] = [two[0], two[1]].map(|value| value.node().filter(|_| parts.is_instance(value)));
            if let (Some(one), Some(other)) = (one, other) {
                let class = parts.class(one);
                if class == parts.class(other) {
                    parts.stateless.insert(class);
                }
            }
        }
        parts
    }

    fn is_instance(&self, value: Value) -> bool {
        matches!(self.shape(value), Some(Shape::Call | Shape::Instance))
    }

    /// The class of an instance.
    fn class(&self, id: u32) -> String {
        self.graph.full_name(Value::new(What::Node(id), 0)).unwrap_or_default()
    }

    /// The type of a value.
    pub fn type_of(&self, value: Value) -> Type {
        let class = value
            .node()
            .filter(|&id| matches!(self.graph.arena.node(id).shape, Shape::Call | Shape::Instance | Shape::Persistent));
        Type(self.graph.word(value), class.map(|id| self.class(id)))
    }

    /// Whether what has begun is to become one of a type: an instance of the same class, or the name of that class.
    pub fn is_of(&self, begun: Value, wanted: &Type) -> bool {
        wanted.1.is_some() && self.graph.full_name(begun) == wanted.1
    }

    fn shape(&self, value: Value) -> Option<Shape> {
        value.node().map(|id| self.graph.arena.node(id).shape)
    }

    /// Items or pairs that a container has.
    pub fn count(&self, value: Value) -> u64 {
        value.node().map_or(0, |id| self.graph.arena.node(id).count)
    }

    /// Whether something has begun that needs more: a name, which is called next, or an instance without its state.
    pub fn is_begun(&self, value: Value) -> bool {
        match (self.shape(value), value.node()) {
            (Some(Shape::Global { .. }), _) => true,
            (Some(Shape::Call | Shape::Instance), Some(id)) => {
                if self.graph.arena.single(id, Role::State).is_some() {
                    return false;
                }
                let class = self.class(id);
                self.stateful.contains(&class) || !(self.stateless.contains(&class) || self.fills.contains_key(&class))
            }
            _ => false,
        }
    }

    /// Whether a value may be a key.
    pub fn is_hashable(&self, value: Value) -> bool {
        !matches!(self.shape(value), Some(Shape::List | Shape::Dict | Shape::Set))
    }

    /// The opcode that fills a value with what stands above a mark, if it may still be filled.
    pub fn filler(&self, value: Value) -> Option<Opcode> {
        if !self.singly && self.count(value) % BATCH != 0 {
            return None;
        }
        match (self.shape(value)?, value.node()?) {
            (Shape::List, _) => Some(Opcode::Appends),
            (Shape::Dict, _) => Some(Opcode::Setitems),
            (Shape::Set, _) => Some(Opcode::Additems),
            (Shape::Call | Shape::Instance, id) => {
                let class = self.class(id);
                let known = FILLED.iter().find(|(name, _)| *name == class).map(|&(_, opcode)| opcode);
                self.fills.get(&class).copied().or(known)
            }
            _ => None,
        }
    }

    /// Whether a value is a list, or a dict, that may be filled by one item at a time.
    pub fn is_waiting(&self, value: Value, shape: Shape) -> bool {
        let same = self.shape(value).is_some_and(|own| std::mem::discriminant(&own) == std::mem::discriminant(&shape));
        same && (self.singly || self.count(value) == 0)
    }

    /// A key as a step of a path.
    pub fn step(&self, key: Value) -> String {
        self.graph.step_text(Step::Entry(key))
    }
}
