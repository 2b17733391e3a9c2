//! Shapes: the keys of records. Rows of a table, documents of one kind, messages of one type have the same
//! keys in the same order, and a dict with keys known from before is filled in one go. A shape is known by
//! the addresses of its keys, which memo and key cache make the same; what is met once only is not kept.

use crate::ffi::shape;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Shapes remembered, a power of two.
const SLOTS: usize = 64;
/// Keys of the longest shape remembered: more is a mapping, not a record.
const MOST_KEYS: usize = 32;
/// Characters of the longest key of a shape: the keys stay alive as long as the shape.
const LONGEST_KEY: usize = 64;

struct Slot {
    /// Of the keys met last.
    signature: u64,
    shape: Option<Shape>,
}

struct Shape {
    /// Kept alive by the template.
    keys: Vec<usize>,
    template: Py<PyDict>,
}

/// The shapes, from load to load.
#[derive(Default)]
pub struct Shapes {
    slots: Vec<Slot>,
}

impl Shapes {
    /// Fills an empty dict that is to have `pairs`, if their keys are a known shape. `false`: nothing was done,
    /// or only keys were put in.
    #[inline(always)]
    pub fn fill<'py>(&mut self, dict: &Bound<'py, PyDict>, pairs: &[Bound<'py, PyAny>]) -> PyResult<bool> {
        let count = pairs.len() / 2;
        if !(2..=MOST_KEYS).contains(&count) {
            return Ok(false);
        }
        let address = |at: usize| pairs[at].as_ptr() as u64;
        let mixed = address(0) ^ address(2).rotate_left(21) ^ address(pairs.len() - 2).rotate_left(42) ^ count as u64;
        let signature = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = (signature >> 58) as usize & (SLOTS - 1);
        match self.slots.get(at) {
            Some(Slot { signature: known, shape: Some(shape) }) if *known == signature && shape.fits(pairs) => {
                shape::fill(dict, shape.template.bind(dict.py()), pairs)
            }
            _ => self.learn(at, signature, dict.py(), pairs),
        }
    }

    /// Notes keys met for the first time; makes a template for those met again.
    #[inline(never)]
    fn learn<'py>(
        &mut self, at: usize, signature: u64, py: Python<'py>, pairs: &[Bound<'py, PyAny>],
    ) -> PyResult<bool> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || Slot { signature: 0, shape: None });
        }
        let slot = &mut self.slots[at];
        let again = slot.signature == signature;
        slot.signature = signature;
        let old = slot.shape.take();
        let is_name = |key: &Bound<'py, PyAny>| {
            key.is_exact_instance_of::<PyString>() && key.len().is_ok_and(|length| length <= LONGEST_KEY)
        };
        if again && pairs.iter().step_by(2).all(is_name) {
            if let Some(template) = shape::template(py, pairs)? {
                let keys = pairs.iter().step_by(2).map(|key| key.as_ptr() as usize).collect();
                slot.shape = Some(Shape { keys, template: template.unbind() });
            }
        }
        drop(old);
        Ok(false)
    }
}

impl Shape {
    #[inline(always)]
    fn fits(&self, pairs: &[Bound<'_, PyAny>]) -> bool {
        self.keys.len() * 2 == pairs.len()
            && self.keys.iter().zip(pairs.chunks_exact(2)).all(|(key, pair)| pair[0].as_ptr() as usize == *key)
    }
}
