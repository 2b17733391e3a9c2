//! Short text met again and again: the keys of small messages. A program that reads the same kind of
//! message a million times need not make and hash the same dozen strings a million times. It gives
//! up within a load as soon as text turns out to be new, and interns nothing.

use super::Object;
use crate::ffi::make;
use pyo3::prelude::*;
use std::sync::Mutex;

/// Slots of the cache; a slot is one string.
const SLOTS: usize = 2048;
/// Longest text kept, in bytes.
const LONGEST: usize = 32;
/// Streams above this have a memo that does the same better.
const LARGEST_STREAM: usize = 16 << 10;
/// New texts a load may meet, beyond those found, before it stops looking.
const PATIENCE: u32 = 24;

type Slots = Vec<Option<Py<PyAny>>>;

/// The cache while no load has it.
static SPARE: Mutex<Slots> = Mutex::new(Vec::new());

/// The cache in the hands of one load.
pub struct Keys {
    slots: Slots,
    patience: u32,
}

impl Keys {
    /// Takes the cache for a stream of this many bytes; a load within a load goes without.
    pub fn take(stream: usize) -> Self {
        if stream > LARGEST_STREAM {
            return Keys { slots: Vec::new(), patience: 0 };
        }
        let slots = SPARE.try_lock().map_or_else(|_| Vec::new(), |mut spare| std::mem::take(&mut *spare));
        let mut keys = Keys { slots, patience: PATIENCE };
        if keys.slots.is_empty() {
            keys.slots.resize_with(SLOTS, || None);
        }
        keys
    }

    /// A `str` of this UTF-8, which may be one made before.
    #[inline(always)]
    pub fn text<'py>(&mut self, py: Python<'py>, utf8: &[u8]) -> PyResult<Object<'py>> {
        if self.patience == 0 || utf8.len() > LONGEST || utf8.len() < 2 {
            return make::text(py, utf8);
        }
        self.look_up(py, utf8)
    }

    fn look_up<'py>(&mut self, py: Python<'py>, utf8: &[u8]) -> PyResult<Object<'py>> {
        let at = place_of(utf8);
        if let Some(known) = &self.slots[at] {
            let known = known.bind(py);
            if make::is_ascii_text(known, utf8) {
                self.patience += 1;
                return Ok(known.clone());
            }
        }
        let made = make::text(py, utf8)?;
        self.patience -= 1;
        if utf8.is_ascii() {
            self.slots[at] = Some(made.clone().unbind());
        }
        Ok(made)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if !self.slots.is_empty() {
            if let Ok(mut spare) = SPARE.try_lock() {
                *spare = std::mem::take(&mut self.slots);
            }
        }
    }
}

/// A slot by length, first and last bytes: cheap, and good enough for names. At least two bytes.
#[inline(always)]
fn place_of(utf8: &[u8]) -> usize {
    let (head, tail) = match (utf8.first_chunk::<8>(), utf8.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (utf8.first_chunk::<4>(), utf8.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ => (utf8[0].into(), u64::from(utf8[1]) << 8 | u64::from(utf8[utf8.len() - 1])),
        },
    };
    let mixed = (head ^ tail.rotate_left(23) ^ utf8.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 53) as usize
}
