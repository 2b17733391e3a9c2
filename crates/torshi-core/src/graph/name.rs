//! Names of the graph: the global a node is, the type a call or an instance has. Read from the stream
//! when asked for, shortened, and never followed through more than a few calls.

use super::{Graph, Naming, Role, Shape, Value, What};
use crate::preview;
use crate::reader::Argument;
use crate::symbolic::modern;

/// Calls of calls that a name is looked for in: `f()()()` is called by the name of `f`.
const MOST_CALLS: usize = 8;

impl Graph<'_, '_> {
    /// Module and qualified name of a global, in Python 3 names.
    pub fn global_name(&self, id: u32) -> Option<(String, String)> {
        let Shape::Global { naming, python2 } = self.arena.node(id).shape else { return None };
        let (module, name) = match naming {
            Naming::Lines(at) => match preview::instruction(self.data, at)? {
                (_, Argument::Pair(module, name)) => {
                    (String::from_utf8_lossy(module).into_owned(), String::from_utf8_lossy(name).into_owned())
                }
                _ => return None,
            },
            Naming::Texts(module, name) => (preview::text(self.data, module)?, preview::text(self.data, name)?),
            Naming::Code(code) => (self.settings.extension)(code)?,
            Naming::Unseen => return None,
        };
        let (module, name) = if python2 { modern(&module, &name) } else { (&*module, &*name) };
        Some((preview::name(module), preview::name(name)))
    }

    /// `module.qualname` of a global, or of what makes a call or an instance.
    pub fn full_name(&self, value: Value) -> Option<String> {
        let mut id = value.node()?;
        for _ in 0..MOST_CALLS {
            match self.arena.node(id).shape {
                Shape::Global { .. } => return self.global_name(id).map(|(module, name)| format!("{module}.{name}")),
                Shape::Call | Shape::Instance => {
                    id = self.class_of(id).or_else(|| self.arena.single(id, Role::Callable))?.node()?;
                }
                _ => return None,
            }
        }
        None
    }

    /// The name of what is called, in every case.
    pub fn callable_name(&self, value: Value) -> String {
        self.full_name(value).unwrap_or_else(|| format!("<{}>", self.word(value)))
    }

    /// The class that a copyreg reconstructor makes an instance of: such a call stands for its class.
    pub fn class_of(&self, id: u32) -> Option<Value> {
        let callable = self.arena.single(id, Role::Callable)?.node()?;
        let (module, name) = self.global_name(callable)?;
        if module != "copyreg" || !matches!(&*name, "_reconstructor" | "__newobj__" | "__newobj_ex__") {
            return None;
        }
        let arguments = self.arena.single(id, Role::Arguments)?.node()?;
        let (_, class) = self.arena.parts(arguments).next()?;
        let is_global = matches!(self.arena.node(class.node()?).shape, Shape::Global { .. });
        is_global.then_some(class)
    }

    /// The word for the kind of a value, as reports show it.
    pub fn word(&self, value: Value) -> &'static str {
        match value.what() {
            What::Node(id) => match self.arena.node(id).shape {
                Shape::List => "list",
                Shape::Dict => "dict",
                Shape::Set => "set",
                Shape::FrozenSet => "frozenset",
                Shape::Tuple => "tuple",
                Shape::Global { .. } => "global",
                Shape::Call if self.class_of(id).is_some() => "instance",
                Shape::Call => "call",
                Shape::Instance => "instance",
                Shape::Persistent => "persistent",
            },
            What::Atom(at) => match preview::instruction(self.data, at) {
                Some((opcode, argument)) => preview::kind_word(opcode, &argument),
                None => "unknown",
            },
            What::Beyond(kind) => match kind.word().rsplit(' ').next() {
                Some("data" | "object" | "module") | None => "unknown",
                Some(word) => word,
            },
        }
    }

    /// A value as a short text; containers by their kind, small tuples of plain data in full.
    pub fn short(&self, value: Value, most: usize) -> String {
        match value.what() {
            What::Atom(at) => preview::value(self.data, at, most).unwrap_or_else(|| format!("<{}>", self.word(value))),
            What::Node(id) => match self.arena.node(id).shape {
                Shape::Tuple if self.arena.node(id).count <= 4 => {
                    let items: Vec<_> = self.arena.parts(id).map(|(_, item)| self.item(item, most)).collect();
                    format!("({}{})", items.join(", "), if items.len() == 1 { "," } else { "" })
                }
                _ => match self.full_name(value) {
                    Some(name) => preview::escaped(&name),
                    None => format!("<{}>", self.word(value)),
                },
            },
            What::Beyond(_) => format!("<{}>", self.word(value)),
        }
    }

    /// An item of a tuple shown in full: no tuple within a tuple, or the memo would make it grow without end.
    fn item(&self, value: Value, most: usize) -> String {
        match value.what() {
            What::Node(id) if matches!(self.arena.node(id).shape, Shape::Tuple) => "(...)".into(),
            _ => self.short(value, most),
        }
    }
}
