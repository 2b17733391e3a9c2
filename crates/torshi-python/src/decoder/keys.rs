//! Short text met again and again: the keys of small messages, and words from a list of a few. A program that reads the
//! same kind of message a million times need not make and hash the same dozen strings a million times. What stood
//! in the same place of the load before is looked at first; text is kept once it is met a second time, so that what never
//! comes again is no more than a note of sixteen bits. It interns nothing.

use super::Object;
use crate::ffi::make;
use crate::ffi::short::Short;
use pyo3::prelude::*;
use rustc_hash::FxHashSet;

/// Places for strings, in sets of `WAYS`.
const SETS: usize = 256;
const WAYS: usize = 4;
/// Texts of a load whose places are known.
const COURSE: usize = 128;
/// Instead of a place: what stands there is ever new.
const NEW: u16 = u16::MAX;
/// Loads that look at new text too, of those at first and of those later.
const FIRST: u32 = 16;
const ONE_IN: u32 = 8;
/// Longest text that may be the name of an attribute, for loads that keep strings apart.
const LONGEST_NAME: usize = 1024;
/// Streams above this have a memo that does the same better.
const LARGEST_STREAM: usize = 16 << 10;
/// New texts a load may meet, beyond those found, before it stops looking.
const PATIENCE: u32 = 24;

/// The lowest and the highest bit of each tag of a set.
const LOW_BITS: u64 = 0x0001_0001_0001_0001;
const HIGH_BITS: u64 = LOW_BITS << 15;

/// The strings, from load to load.
#[derive(Default)]
pub struct Keys {
    sets: Vec<Set>,
    slots: Vec<Option<Slot>>,
    /// Where each of the first texts was found in the load before.
    course: Course,
    /// How many of these have been met, and up to how many are looked at: all or none.
    at: usize,
    end: usize,
    /// Whether texts are looked up of which the course knows nothing, and how many more may turn out to be new.
    looks: bool,
    patience: u32,
    loads: u32,
    /// Of a load that keeps strings apart as the stream does: the texts met.
    met: Option<FxHashSet<Box<[u8]>>>,
}

struct Course([u16; COURSE]);

impl Default for Course {
    fn default() -> Self {
        Course([NEW; COURSE])
    }
}

#[derive(Clone, Default)]
struct Set {
    /// Sixteen bits of each text, so that most of what is not known is told by eight bytes.
    tags: u64,
    /// The tags of the last few that were new.
    noted: u64,
    /// A bit for each text that was met since all bits were cleared.
    met: u64,
}

struct Slot {
    known: Short,
    text: Py<PyAny>,
}

impl Keys {
    /// Makes ready for a stream of this many bytes.
    pub fn begin(&mut self, stream: usize) {
        self.met = None;
        (self.at, self.end, self.looks) = (0, 0, false);
        if stream > LARGEST_STREAM {
            return;
        }
        self.loads = self.loads.wrapping_add(1);
        (self.end, self.patience) = (COURSE, PATIENCE);
        self.looks = self.loads < FIRST || self.loads % ONE_IN == 0;
        if self.sets.is_empty() {
            self.sets.resize(SETS, Set::default());
            self.slots.resize_with(SETS * WAYS, || None);
        }
    }

    /// Has a load keep strings apart as the stream does, so that what it gives is written as it was read: no string of
    /// an earlier load is used, and the first of a text is interned, as names of attributes are by who wrote it.
    pub fn keep_apart(&mut self) {
        (self.end, self.looks) = (0, false);
        self.met = Some(FxHashSet::default());
    }

    /// `text` as `keep_apart` says, if it was called; `raw` tells it from others.
    pub fn first_interned<'py>(&mut self, text: Object<'py>, raw: &[u8]) -> Object<'py> {
        match self.met.as_mut().is_some_and(|met| met.insert(raw.into())) {
            true => make::interned(text),
            false => text,
        }
    }

    /// A `str` of this UTF-8, which stands in `stream`; it may be one made before. `None`: Python has raised.
    #[inline(always)]
    pub fn text<'py>(&mut self, py: Python<'py>, utf8: &[u8], stream: &[u8]) -> Option<Object<'py>> {
        let Some(short) = Short::of(utf8, stream) else { return self.other(py, utf8) };
        if self.at >= self.end {
            return self.beyond(py, utf8, short);
        }
        let place = self.course.0[self.at % COURSE];
        self.at += 1;
        match self.slots.get(usize::from(place)) {
            Some(Some(slot)) if slot.known.is(&short) => Some(slot.text.bind(py).clone()),
            None if !self.looks => short.make(py),
            _ => self.look_anew(py, short),
        }
    }

    /// Text that is not short, or of a load that keeps strings apart.
    #[inline(never)]
    fn other<'py>(&mut self, py: Python<'py>, utf8: &[u8]) -> Option<Object<'py>> {
        match make::text(py, utf8) {
            Ok(made) if self.met.is_some() && (1..=LONGEST_NAME).contains(&utf8.len()) => {
                Some(self.first_interned(made, utf8))
            }
            Ok(made) => Some(made),
            Err(error) => {
                error.restore(py);
                None
            }
        }
    }

    /// Text behind those whose places are known.
    #[inline(always)]
    fn beyond<'py>(&mut self, py: Python<'py>, utf8: &[u8], short: Short) -> Option<Object<'py>> {
        if self.met.is_some() {
            return self.other(py, utf8);
        }
        if self.end == 0 || self.patience == 0 {
            return short.make(py);
        }
        self.look(py, &short).map(|found| found.0)
    }

    /// Text that is not what stood in its place before.
    #[inline(never)]
    fn look_anew<'py>(&mut self, py: Python<'py>, short: Short) -> Option<Object<'py>> {
        let (text, place) = self.look(py, &short)?;
        self.course.0[(self.at - 1) % COURSE] = place;
        Some(text)
    }

    /// Text that may be known, and its place.
    #[inline(never)]
    fn look<'py>(&mut self, py: Python<'py>, short: &Short) -> Option<(Object<'py>, u16)> {
        let mixed = short.mixed();
        let at = set_of(mixed);
        let set = &mut self.sets[at];
        if let Some(way) = way_of(set.tags, mixed) {
            let place = at * WAYS + way;
            if let Some(slot) = self.slots[place].as_ref().filter(|slot| slot.known.is(short)) {
                set.met |= 1 << way;
                self.patience = self.patience.saturating_add(1);
                return Some((slot.text.bind(py).clone(), place as u16));
            }
        }
        if way_of(set.noted, mixed).is_some() {
            return self.keep(py, short, mixed);
        }
        set.noted = set.noted << 16 | tag_of(mixed);
        self.patience = self.patience.saturating_sub(1);
        Some((short.make(py)?, NEW))
    }

    /// Keeps a text in the place of one that was not met for longer.
    #[inline(never)]
    fn keep<'py>(&mut self, py: Python<'py>, known: &Short, mixed: u64) -> Option<(Object<'py>, u16)> {
        let text = known.make(py)?;
        let at = set_of(mixed);
        let set = &mut self.sets[at];
        if set.met == (1 << WAYS) - 1 {
            set.met = 0;
        }
        let way = set.met.trailing_ones() as usize;
        set.met |= 1 << way;
        set.tags = set.tags & !(0xffff << (16 * way)) | tag_of(mixed) << (16 * way);
        let place = at * WAYS + way;
        self.slots[place] = Some(Slot { known: *known, text: text.clone().unbind() });
        Some((text, place as u16))
    }
}

// The number of a text is best in its high bits.

#[inline(always)]
fn set_of(mixed: u64) -> usize {
    (mixed >> 56) as usize % SETS
}

#[inline(always)]
fn tag_of(mixed: u64) -> u64 {
    mixed >> 40 & 0xffff
}

/// Where in a set a tag like that of a text is.
#[inline(always)]
fn way_of(tags: u64, mixed: u64) -> Option<usize> {
    // The one looked for leaves nought: the lowest nought shows first.
    let unlike = tags ^ LOW_BITS.wrapping_mul(tag_of(mixed));
    let like = unlike.wrapping_sub(LOW_BITS) & !unlike & HIGH_BITS;
    (like != 0).then(|| like.trailing_zeros() as usize / 16)
}
