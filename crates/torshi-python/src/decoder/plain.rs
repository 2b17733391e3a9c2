//! The plain domain: a short stream of nothing but text, numbers, bytes and containers of them into those, in one
//! reading. It has no names, no policy and no hooks, so there is nothing it could import or call: what would need
//! one of these, or a limit that a short stream can reach, stops it, and the stream is then checked and
//! built like any other. It raises nothing and decides nothing about trust.

use super::fill::is_collision_free;
use super::habit::Learnt;
use super::{constants, is_atom, kind_of, Object};
use crate::ffi::make;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet};
use torshi_core::domain::{Constant, Domain, Items, Kind};
use torshi_core::error::{FaultBox, Site};
use torshi_core::machine::Machine;
use torshi_core::memo::Memo;
use torshi_core::opcode::Opcode;
use torshi_core::reader::may_hold;

/// Longest stream read so. No default limit but that on unfolding can be reached within it.
pub const LONGEST: usize = 4096;

/// Why it stopped: there is more to the stream than plain data, it is broken, or memory ran out. Which of them,
/// and what to raise, is for the load that follows to find out.
pub struct Beyond;

impl From<FaultBox> for Beyond {
    fn from(_: FaultBox) -> Self {
        Beyond
    }
}

impl From<PyErr> for Beyond {
    fn from(_: PyErr) -> Self {
        Beyond
    }
}

type Made<T> = Result<T, Beyond>;

const PROTO: u8 = Opcode::Proto as u8;

/// Whether a stream is worth trying: from protocol 4 on, hardly an instance goes without a STACK_GLOBAL.
pub fn is_likely(data: &[u8]) -> bool {
    data.len() <= LONGEST && matches!(data, [PROTO, 4 | 5, ..]) && !may_hold(data, Opcode::StackGlobal)
}

/// The value of a `bytes` object that is a stream of plain data and worth trying; `None` of anything else.
pub fn of_bytes<'py>(py: Python<'py>, object: &Object<'py>) -> Option<Object<'py>> {
    let data = object.cast::<PyBytes>().ok()?.as_bytes();
    if !is_likely(data) {
        return None;
    }
    build(py, data).map(|(value, _)| value)
}

/// The value of a stream of plain data and where it ends; `None` of any other.
pub fn build<'py>(py: Python<'py>, data: &[u8]) -> Option<(Object<'py>, usize)> {
    let mut learnt = Learnt::take(data.len());
    let slots = std::mem::take(&mut learnt.slots);
    let (stack, marks) = learnt.memory(py, 32);
    let plain = Plain { py, stream: data, constants: constants(py), learnt, shares: false };
    let mut machine = Machine::new(data, plain, Memo::keeping_all().in_memory_of(slots), false);
    machine.set_memory(stack, marks);
    let built = machine.run();
    let end = machine.offset();
    let memory = machine.take_memory();
    let Plain { mut learnt, .. } = machine.domain;
    learnt.keep_memory(memory);
    learnt.slots = machine.memo.take_parts().0;
    // Bound to the interpreter, each is let go of without asking whether there is one.
    learnt.slots.drain(..).flatten().for_each(|slot| drop(slot.into_bound(py)));
    learnt.give_back();
    Some((built.ok()?, end))
}

struct Plain<'py, 'a> {
    py: Python<'py>,
    stream: &'a [u8],
    /// None, False and True, in the order of `Constant`.
    constants: [Object<'py>; 3],
    learnt: Box<Learnt>,
    /// Whether a container was taken from the memo: a few of these may unfold beyond all limits.
    shares: bool,
}

impl<'a, 'py> Domain<'a> for Plain<'py, 'a> {
    type Value = Object<'py>;
    type Slot = Py<PyAny>;
    type Error = Beyond;

    #[inline(always)]
    fn kind(&self, value: &Object<'py>) -> Kind {
        kind_of(value)
    }

    #[inline(always)]
    fn keep(&self, value: &Object<'py>) -> Py<PyAny> {
        value.clone().unbind()
    }

    #[inline(always)]
    fn restore(&mut self, slot: &Py<PyAny>, stack: &mut Vec<Object<'py>>) {
        let value = slot.bind(self.py);
        self.shares |= !is_atom(value);
        stack.push(value.clone());
    }

    fn duplicate(&mut self, value: &Object<'py>) -> Made<Object<'py>> {
        self.shares |= !is_atom(value);
        Ok(value.clone())
    }

    #[inline(always)]
    fn constant(&mut self, constant: Constant) -> Object<'py> {
        self.constants[constant as usize].clone()
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) -> Made<Object<'py>> {
        Ok(make::integer(self.py, value)?)
    }

    fn long(&mut self, bytes: &'a [u8]) -> Made<Object<'py>> {
        Ok(make::long(self.py, bytes)?)
    }

    #[inline(always)]
    fn float(&mut self, value: f64) -> Made<Object<'py>> {
        Ok(make::float(self.py, value)?)
    }

    #[inline(always)]
    fn text(&mut self, utf8: &'a [u8]) -> Made<Object<'py>> {
        match self.learnt.keys.text(self.py, utf8, self.stream) {
            Some(text) => Ok(text),
            None => Err(PyErr::fetch(self.py).into()),
        }
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &'a [u8]) -> Made<Object<'py>> {
        Ok(make::bytes(self.py, bytes)?)
    }

    fn bytearray(&mut self, bytes: &'a [u8]) -> Made<Object<'py>> {
        Ok(make::bytearray(self.py, bytes)?)
    }

    #[inline(always)]
    fn empty_list(&mut self) -> Made<Object<'py>> {
        Ok(make::list(self.py)?)
    }

    #[inline(always)]
    fn empty_dict(&mut self) -> Made<Object<'py>> {
        Ok(make::dict(self.py)?)
    }

    fn empty_set(&mut self) -> Made<Object<'py>> {
        Ok(make::set(self.py)?)
    }

    #[inline(always)]
    fn tuple(&mut self, mut items: Items<'_, Object<'py>>, _: Site) -> Made<Object<'py>> {
        Ok(make::tuple_of(self.py, items.drain())?)
    }

    fn list(&mut self, mut items: Items<'_, Object<'py>>, _: Site) -> Made<Object<'py>> {
        Ok(make::list_of(self.py, items.drain())?)
    }

    fn dict(&mut self, pairs: Items<'_, Object<'py>>, site: Site) -> Made<Object<'py>> {
        let dict = make::dict(self.py)?;
        self.dict_update(&dict, pairs, site)?;
        Ok(dict)
    }

    #[inline(always)]
    fn list_extend(&mut self, list: &Object<'py>, mut items: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        let list = list.cast::<PyList>().map_err(|_| Beyond)?;
        Ok(make::extend_list(list, items.drain())?)
    }

    #[inline(always)]
    fn dict_update(&mut self, dict: &Object<'py>, pairs: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        let dict = dict.cast::<PyDict>().map_err(|_| Beyond)?;
        if dict.is_empty() && self.learnt.shapes.fill(dict, pairs.as_slice())? {
            return Ok(());
        }
        for pair in pairs.as_slice().chunks_exact(2) {
            if !is_collision_free(&pair[0]) {
                return Err(Beyond); // hashing it may take long
            }
            dict.set_item(&pair[0], &pair[1])?;
        }
        Ok(())
    }

    fn set_update(&mut self, set: &Object<'py>, items: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        let set = set.cast::<PySet>().map_err(|_| Beyond)?;
        for item in items.as_slice() {
            if !is_collision_free(item) {
                return Err(Beyond);
            }
            set.add(item)?;
        }
        Ok(())
    }

    fn stop(&mut self, value: Object<'py>, _: Site) -> Made<Object<'py>> {
        match self.shares {
            true => Err(Beyond),
            false => Ok(value),
        }
    }

    // What only the checked load does.

    fn integer_text(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn float_text(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn text_escaped(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn string(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn string_escaped(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn next_buffer(&mut self, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn readonly_buffer(&mut self, _: Object<'py>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn frozenset(&mut self, _: Items<'_, Object<'py>>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn instance_extend(&mut self, _: &Object<'py>, _: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        Err(Beyond)
    }

    fn instance_update(&mut self, _: &Object<'py>, _: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        Err(Beyond)
    }

    fn instance_add(&mut self, _: &Object<'py>, _: Items<'_, Object<'py>>, _: Site) -> Made<()> {
        Err(Beyond)
    }

    fn global(&mut self, _: &'a [u8], _: &'a [u8], _: bool, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn stack_global(&mut self, _: Object<'py>, _: Object<'py>, _: bool, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn extension(&mut self, _: i64, _: bool, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn call(&mut self, _: Object<'py>, _: Object<'py>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn construct(&mut self, _: Object<'py>, _: Object<'py>, _: Option<Object<'py>>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn instantiate(&mut self, _: Object<'py>, _: Items<'_, Object<'py>>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn set_state(&mut self, _: &Object<'py>, _: Object<'py>, _: Site) -> Made<()> {
        Err(Beyond)
    }

    fn persistent_line(&mut self, _: &'a [u8], _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }

    fn persistent(&mut self, _: Object<'py>, _: Site) -> Made<Object<'py>> {
        Err(Beyond)
    }
}
