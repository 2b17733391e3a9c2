//! The domain: what values are. The machine is one; its domains are three (symbols to check, nodes
//! to inspect, Python objects to build), and each only says what making, filling, naming, calling and
//! setting state mean for its kind of value. A domain never sees an opcode's layout, the stack or the memo.

use crate::error::{Fault, FaultBox, FaultKind, Site};
use crate::reader::{Atoms, Chunk, CHUNK};

/// What the machine must know of a value to hold the type rules of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An exact list.
    List,
    /// An exact dict.
    Dict,
    /// An exact set.
    Set,
    /// An exact tuple.
    Tuple,
    /// Text.
    Text,
    /// Something imported by name: a class, a function, a module.
    Global,
    /// An object of any other type that may have state and methods.
    Instance,
    /// Plain data with neither state nor items.
    Plain,
    /// Of a type this domain cannot tell; the domain that builds will.
    Unknown,
}

impl Kind {
    /// The word for it in an error.
    pub fn word(self) -> &'static str {
        match self {
            Kind::List => "a list",
            Kind::Dict => "a dict",
            Kind::Set => "a set",
            Kind::Tuple => "a tuple",
            Kind::Text => "a str",
            Kind::Global => "a class, function or module",
            Kind::Instance => "an object",
            Kind::Plain => "plain data",
            Kind::Unknown => "an unknown object",
        }
    }
}

/// The values that are always the same objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Constant {
    None,
    False,
    True,
}

/// The top of the stack from a mark on, as one operand. Dropping it drops what was not taken.
pub struct Items<'s, V> {
    stack: &'s mut Vec<V>,
    from: usize,
}

impl<'s, V> Items<'s, V> {
    pub(crate) fn new(stack: &'s mut Vec<V>, from: usize) -> Self {
        Items { stack, from }
    }

    /// The items, deepest first.
    #[inline(always)]
    pub fn as_slice(&self) -> &[V] {
        &self.stack[self.from..]
    }

    /// How many there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.stack.len() - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes them off the stack one by one, deepest first.
    #[inline(always)]
    pub fn drain(&mut self) -> std::vec::Drain<'_, V> {
        self.stack.drain(self.from..)
    }
}

impl<V> Drop for Items<'_, V> {
    #[inline(always)]
    fn drop(&mut self) {
        self.stack.truncate(self.from);
    }
}

/// The meaning of values, for one machine. `'a` is the life of the stream.
///
/// Methods that take a [`Site`] can refuse; the others only make plain data.
#[allow(missing_docs)] // one method for each thing an opcode can do; the opcode table documents them
pub trait Domain<'a> {
    /// A value. Cloned by DUP and by memo reads.
    type Value: Clone;
    /// A value as the memo keeps it.
    type Slot;
    /// Why a step fails.
    type Error: From<FaultBox>;

    fn kind(&self, value: &Self::Value) -> Kind;

    /// Whether a value is None; only asked for the sake of `takes_slot_pairs`.
    fn is_none(&self, _value: &Self::Value) -> bool {
        false
    }

    fn keep(&self, value: &Self::Value) -> Self::Slot;
    /// Pushes the value of a slot.
    fn restore(&mut self, slot: &Self::Slot, stack: &mut Vec<Self::Value>);
    /// Pushes the values of these slots, up to one of which `get` knows nothing; how many.
    #[inline(always)]
    fn restore_row<'s>(
        &mut self, stack: &mut Vec<Self::Value>, slots: &[u32], mut get: impl FnMut(u32) -> Option<&'s Self::Slot>,
    ) -> usize
    where
        Self::Slot: 's,
    {
        for (count, slot) in slots.iter().enumerate() {
            match get(*slot) {
                Some(slot) => self.restore(slot, stack),
                None => return count,
            }
        }
        slots.len()
    }
    /// Whether `list_row` does anything.
    const LIST_ROWS: bool = false;
    /// Appends what stands in these memo slots to an exact list; `get` gives what stands in one, or nothing. `false`
    /// where it cannot, and nothing has been done then.
    fn list_row<'s>(
        &mut self, _list: &Self::Value, _slots: &[u32], _get: impl FnMut(u32) -> &'s Option<Self::Slot>,
    ) -> bool
    where
        Self::Slot: 's,
    {
        false
    }
    /// Whether `atom_row` does anything.
    const ATOM_ROWS: bool = false;
    /// Appends these atoms of the stream, which are not on the stack, to an exact list. `false` where it cannot, and
    /// nothing has been done then.
    fn atom_row(&mut self, _list: &Self::Value, _atoms: Atoms) -> bool {
        false
    }
    /// Pushes atoms of a stream that were told apart, in their order, having made all of one kind after the other.
    #[inline(always)]
    fn atoms(&mut self, stack: &mut Vec<Self::Value>, data: &'a [u8], atoms: Chunk<'_>) -> Result<(), Self::Error> {
        let mut made: [Option<Self::Value>; CHUNK] = [const { None }; CHUNK];
        for (number, constant) in atoms.constants(data) {
            made[number] = Some(self.constant(constant));
        }
        for (number, n) in atoms.integers(data) {
            made[number] = Some(self.integer(n)?);
        }
        for (number, x) in atoms.floats(data) {
            made[number] = Some(self.float(x)?);
        }
        for (number, utf8) in atoms.texts(data) {
            made[number] = Some(self.text(utf8)?);
        }
        let wanted = stack.len() + atoms.len();
        stack.extend(made.into_iter().flatten());
        if stack.len() != wanted {
            // Nobody writes such a row down; but what is built must never have fewer items than were checked.
            let what = FaultKind::Malformed("a row of atoms does not read as it was checked".to_owned());
            return Err(FaultBox::from(Fault { offset: 0, opcode: None, kind: what }).into());
        }
        Ok(())
    }
    /// A value for the second time, as DUP asks for it.
    fn duplicate(&mut self, value: &Self::Value) -> Result<Self::Value, Self::Error> {
        Ok(value.clone())
    }
    /// A slot that an earlier pickle filled, where pickles share a memo.
    fn recall(&mut self, _index: u64) -> Option<Self::Value> {
        None
    }

    fn constant(&mut self, constant: Constant) -> Self::Value;
    fn integer(&mut self, value: i64) -> Result<Self::Value, Self::Error>;
    /// Little-endian two's complement.
    fn long(&mut self, bytes: &'a [u8]) -> Result<Self::Value, Self::Error>;
    /// An integer literal that is not a plain 64-bit decimal.
    fn integer_text(&mut self, text: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    fn float(&mut self, value: f64) -> Result<Self::Value, Self::Error>;
    fn float_text(&mut self, text: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    /// UTF-8, with surrogates passed through.
    fn text(&mut self, utf8: &'a [u8]) -> Result<Self::Value, Self::Error>;
    /// raw-unicode-escape.
    fn text_escaped(&mut self, raw: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    fn bytes(&mut self, bytes: &'a [u8]) -> Result<Self::Value, Self::Error>;
    fn bytearray(&mut self, bytes: &'a [u8]) -> Result<Self::Value, Self::Error>;
    /// The bytes or the bytearray of a gap in the stream, by its place among the gaps; asked once for each, in order,
    /// and only of who has given the machine gaps.
    #[cold]
    fn payload(&mut self, _place: usize, site: Site) -> Result<Self::Value, Self::Error> {
        Err(Fault::malformed(site, "a payload is not in the stream").into())
    }
    /// A Python 2 `str`.
    fn string(&mut self, bytes: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    /// A Python 2 `str` with backslash escapes, quotes taken off.
    fn string_escaped(&mut self, raw: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    fn next_buffer(&mut self, site: Site) -> Result<Self::Value, Self::Error>;
    fn readonly_buffer(&mut self, buffer: Self::Value, site: Site) -> Result<Self::Value, Self::Error>;

    fn empty_list(&mut self) -> Result<Self::Value, Self::Error>;
    fn empty_dict(&mut self) -> Result<Self::Value, Self::Error>;
    fn empty_set(&mut self) -> Result<Self::Value, Self::Error>;
    fn tuple(&mut self, items: Items<'_, Self::Value>, site: Site) -> Result<Self::Value, Self::Error>;
    fn list(&mut self, items: Items<'_, Self::Value>, site: Site) -> Result<Self::Value, Self::Error>;
    fn dict(&mut self, pairs: Items<'_, Self::Value>, site: Site) -> Result<Self::Value, Self::Error>;
    fn frozenset(&mut self, items: Items<'_, Self::Value>, site: Site) -> Result<Self::Value, Self::Error>;

    /// Appends to an exact list.
    fn list_extend(&mut self, list: &Self::Value, items: Items<'_, Self::Value>, site: Site)
        -> Result<(), Self::Error>;
    /// Stores pairs in an exact dict.
    fn dict_update(&mut self, dict: &Self::Value, pairs: Items<'_, Self::Value>, site: Site)
        -> Result<(), Self::Error>;
    /// Adds to an exact set.
    fn set_update(&mut self, set: &Self::Value, items: Items<'_, Self::Value>, site: Site) -> Result<(), Self::Error>;
    /// Appends to an instance, by its methods.
    fn instance_extend(
        &mut self, target: &Self::Value, items: Items<'_, Self::Value>, site: Site,
    ) -> Result<(), Self::Error>;
    /// Stores pairs in an instance, by its methods.
    fn instance_update(
        &mut self, target: &Self::Value, pairs: Items<'_, Self::Value>, site: Site,
    ) -> Result<(), Self::Error>;
    /// Adds to an instance, by its methods.
    fn instance_add(
        &mut self, target: &Self::Value, items: Items<'_, Self::Value>, site: Site,
    ) -> Result<(), Self::Error>;

    /// A global by literal names; `python2` asks for Python 2 names to be translated.
    fn global(
        &mut self, module: &'a [u8], name: &'a [u8], python2: bool, site: Site,
    ) -> Result<Self::Value, Self::Error>;
    /// A global by names from the stack, both of kind `Text`.
    fn stack_global(
        &mut self, module: Self::Value, name: Self::Value, python2: bool, site: Site,
    ) -> Result<Self::Value, Self::Error>;
    fn extension(&mut self, code: i64, python2: bool, site: Site) -> Result<Self::Value, Self::Error>;

    /// `callable(*arguments)`.
    fn call(&mut self, callable: Self::Value, arguments: Self::Value, site: Site) -> Result<Self::Value, Self::Error>;
    /// `class.__new__(class, *arguments, **keywords)`.
    fn construct(
        &mut self, class: Self::Value, arguments: Self::Value, keywords: Option<Self::Value>, site: Site,
    ) -> Result<Self::Value, Self::Error>;
    /// `class.__new__(class)`.
    fn construct_bare(&mut self, class: Self::Value, site: Site) -> Result<Self::Value, Self::Error> {
        let arguments = self.tuple(Items::new(&mut Vec::new(), 0), site)?;
        self.construct(class, arguments, None, site)
    }
    /// The instance an INST or OBJ opcode makes.
    fn instantiate(
        &mut self, class: Self::Value, arguments: Items<'_, Self::Value>, site: Site,
    ) -> Result<Self::Value, Self::Error>;
    fn set_state(&mut self, target: &Self::Value, state: Self::Value, site: Site) -> Result<(), Self::Error>;
    /// Whether `set_state_pairs` comes to the same as filling `dict`, which is empty, and setting it as state.
    fn takes_pairs(&mut self, _target: &Self::Value, _dict: &Self::Value, _pairs: &[Self::Value]) -> bool {
        false
    }
    /// Both at once: most states are dicts made for nothing else.
    fn set_state_pairs(
        &mut self, target: &Self::Value, dict: Self::Value, pairs: Items<'_, Self::Value>, site: Site,
    ) -> Result<(), Self::Error> {
        self.dict_update(&dict, pairs, site)?;
        self.set_state(target, dict, site)
    }
    /// The same for a state `(None, dict)`, as objects with slots have it: whether `set_slot_pairs` will do.
    /// `tuple_is_read`: the stream may ask for the tuple again.
    fn takes_slot_pairs(
        &mut self, _target: &Self::Value, _dict: &Self::Value, _pairs: &[Self::Value], _tuple_is_read: bool,
    ) -> bool {
        false
    }
    /// All at once; the tuple, if one was made.
    fn set_slot_pairs(
        &mut self, target: &Self::Value, none: Self::Value, dict: Self::Value, pairs: Items<'_, Self::Value>,
        site: Site,
    ) -> Result<Option<Self::Value>, Self::Error> {
        self.dict_update(&dict, pairs, site)?;
        let mut half = vec![none, dict];
        let state = self.tuple(Items::new(&mut half, 0), site)?;
        self.set_state(target, state.clone(), site)?;
        Ok(Some(state))
    }

    fn persistent_line(&mut self, id: &'a [u8], site: Site) -> Result<Self::Value, Self::Error>;
    fn persistent(&mut self, id: Self::Value, site: Site) -> Result<Self::Value, Self::Error>;

    /// The value the pickle stands for.
    fn stop(&mut self, value: Self::Value, site: Site) -> Result<Self::Value, Self::Error>;
}
