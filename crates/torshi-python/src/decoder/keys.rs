//! Short text met again and again: the keys of small messages. A program that reads the same kind of
//! message a million times need not make and hash the same dozen strings a million times. It gives
//! up within a load as soon as text turns out to be new, and interns nothing.

use super::Object;
use crate::ffi::make;
use pyo3::prelude::*;
use rustc_hash::FxHashSet;

/// Slots of the cache; a slot is one string.
const SLOTS: usize = 2048;
/// Longest text kept, in bytes.
const LONGEST: usize = 32;
/// Longest text that may be the name of an attribute, for loads that keep strings apart.
const LONGEST_NAME: usize = 1024;
/// Streams above this have a memo that does the same better.
const LARGEST_STREAM: usize = 16 << 10;
/// New texts a load may meet, beyond those found, before it stops looking.
const PATIENCE: u32 = 24;

/// A string and what it is known by: up to sixteen bytes, length and both ends say it all.
struct Slot {
    ends: Ends,
    text: Option<Py<PyAny>>,
}

/// The first and last eight bytes of a text (overlapping, or fewer where it is shorter) and its length.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Ends {
    head: u64,
    tail: u64,
    length: usize,
}

/// The cache, from load to load.
#[derive(Default)]
pub struct Keys {
    slots: Vec<Slot>,
    patience: u32,
    /// Bytes of the texts looked up.
    shortest: usize,
    longest: usize,
    /// Of a load that keeps strings apart as the stream does: the texts met.
    met: Option<FxHashSet<Box<[u8]>>>,
}

impl Keys {
    /// Makes ready for a stream of this many bytes.
    pub fn begin(&mut self, stream: usize) {
        self.met = None;
        self.patience = if stream > LARGEST_STREAM { 0 } else { PATIENCE };
        (self.shortest, self.longest) = (2, if self.patience > 0 { LONGEST } else { 0 });
        if self.slots.is_empty() && self.patience > 0 {
            self.slots.resize_with(SLOTS, || Slot { ends: Ends::default(), text: None });
        }
    }

    /// Has a load keep strings apart as the stream does, so that what it gives is written as it was read: no string of
    /// an earlier load is used, and the first of a text is interned, as names of attributes are by who wrote it.
    pub fn keep_apart(&mut self) {
        self.slots = Vec::new();
        (self.shortest, self.longest) = (1, LONGEST_NAME);
        self.met = Some(FxHashSet::default());
    }

    /// `text` as `keep_apart` says, if it was called; `raw` tells it from others.
    pub fn first_interned<'py>(&mut self, text: Object<'py>, raw: &[u8]) -> Object<'py> {
        match self.met.as_mut().is_some_and(|met| met.insert(raw.into())) {
            true => make::interned(text),
            false => text,
        }
    }

    /// A `str` of this UTF-8, which may be one made before.
    #[inline(always)]
    pub fn text<'py>(&mut self, py: Python<'py>, utf8: &[u8]) -> PyResult<Object<'py>> {
        if utf8.len() > self.longest || utf8.len() < self.shortest {
            return make::text(py, utf8);
        }
        if utf8.len() > 1 {
            let ends = Ends::of(utf8);
            match self.slots.get(ends.place()) {
                Some(Slot { ends: known, text: Some(text) }) if *known == ends => {
                    let text = text.bind(py);
                    if ends.length <= 16 || make::is_ascii_text(text, utf8) {
                        self.patience += 1;
                        return Ok(text.clone());
                    }
                }
                _ => {}
            }
        }
        self.met_anew(py, utf8)
    }

    /// Text that is not known: kept, or interned where a load keeps strings apart.
    #[inline(never)]
    fn met_anew<'py>(&mut self, py: Python<'py>, utf8: &[u8]) -> PyResult<Object<'py>> {
        let made = make::text(py, utf8)?;
        if self.slots.is_empty() {
            return Ok(self.first_interned(made, utf8));
        }
        self.patience -= 1;
        if self.patience == 0 {
            self.longest = 0; // no more texts are looked up
        }
        if utf8.is_ascii() {
            let ends = Ends::of(utf8);
            self.slots[ends.place()] = Slot { ends, text: Some(made.clone().unbind()) };
        }
        Ok(made)
    }
}

impl Ends {
    /// Of at least two bytes.
    #[inline(always)]
    fn of(utf8: &[u8]) -> Self {
        let (head, tail) = match (utf8.first_chunk::<8>(), utf8.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (utf8.first_chunk::<4>(), utf8.last_chunk::<4>()) {
                (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
                _ => (utf8[0].into(), u64::from(utf8[1]) << 8 | u64::from(utf8[utf8.len() - 1])),
            },
        };
        Ends { head, tail, length: utf8.len() }
    }

    #[inline(always)]
    fn place(&self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(23) ^ self.length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 53) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts taken for one would put one message's words into another.
    #[test]
    fn ends_tell_short_texts_apart() {
        let texts = ["ab", "ba", "abc", "acb", "abcd", "abdc", "abcde", "abxde", "abcdefgh", "abcdefghi", "abcdxfghi"];
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                assert!(Ends::of(a.as_bytes()) != Ends::of(b.as_bytes()), "{a} {b}");
            }
        }
    }
}
