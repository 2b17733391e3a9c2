//! Rows: which slots a run of BINGET and LONG_BINGET reads, and which atoms of mixed kinds a list has. The check writes
//! the long ones down and the builder takes them from there: which opcode comes next is for no processor to foretell, so
//! that reading a row costs more than going by it. It never holds more than four bytes for each read or atom of the
//! stream.

use std::cell::Cell;

use crate::reader::{Atoms, Chunk, Chunks, Row, Sorter};

/// Memo reads of a row that are looked at together: a batch of pickle's has a thousand.
const ROW: usize = 1024;
/// Rows of so many reads are written down.
const LONG: usize = 64;
/// Short rows of atoms in a row, after which only one mark in `PASSED` is looked behind.
const PATIENCE: u8 = 4;
const PASSED: u8 = 16;
/// Slots a thread keeps the memory of.
const MOST_SPARE: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Known {
    /// Where it begins, where the last read begins, and where it ends.
    at: usize,
    last: usize,
    end: usize,
    /// Where its slots are, and how many they are.
    first: usize,
    count: usize,
}

/// A row of atoms, all told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownAtoms {
    pub atoms: Atoms,
    /// Where its chunks are, and how many they are.
    first: usize,
    chunks: usize,
}

/// The rows of a stream, in order.
#[derive(Debug)]
pub struct Rows {
    /// Once there is one: most small streams have none that is worth it.
    held: Option<Box<Held>>,
    noting: bool,
    /// How many more rows of atoms may turn out to be short before only some are looked at.
    patience: u8,
    /// How many marks to pass by until then.
    passing: u8,
    /// Where the known row of atoms to come begins; nowhere if there is none.
    atoms_at: usize,
}

#[derive(Debug, Default)]
struct Held {
    known: Vec<Known>,
    slots: Vec<u32>,
    /// How many of the slots belong to known rows; those behind are for the row in hand.
    used: usize,
    /// The known row to come.
    next: usize,
    /// The row read last: who finds that it is not what was looked for comes here a second time.
    last: Option<Known>,
    sorter: Option<Box<Sorter>>,
    atoms: Vec<KnownAtoms>,
    chunks: Chunks,
    /// How many chunks belong to rows written down.
    settled: usize,
    /// The known row of atoms to come.
    next_atoms: usize,
}

thread_local! {
    static SPARE: Cell<Option<Box<Held>>> = const { Cell::new(None) };
}

impl Default for Rows {
    #[inline(always)]
    fn default() -> Self {
        Rows { held: None, noting: false, patience: PATIENCE, passing: 0, atoms_at: usize::MAX }
    }
}

impl Rows {
    /// Rows that are written down as they are read.
    pub fn noting() -> Self {
        let mut rows = Rows::default();
        rows.noting = true;
        rows
    }

    /// What was written down, for who reads the same stream again.
    pub fn noted(mut self) -> Self {
        self.noting = false;
        if let Some(held) = &mut self.held {
            (held.next, held.last, held.next_atoms) = (0, None, 0);
        }
        self.look_ahead();
        self
    }

    fn look_ahead(&mut self) {
        let next = self.held.as_ref().and_then(|held| held.atoms.get(held.next_atoms));
        self.atoms_at = next.map_or(usize::MAX, |known| known.atoms.from);
    }

    /// Whether to look for a row of atoms behind this mark: short ones are done sooner one by one, and who has many lists
    /// has mostly short ones.
    #[inline(always)]
    pub(super) fn may_be_long(&mut self) -> bool {
        if self.patience > 0 {
            return true;
        }
        self.passing = self.passing.wrapping_sub(1) % PASSED;
        self.passing == 0
    }

    /// Passes over the atoms of a row; the texts that are memoized are given to `memoized`. To be followed by `settle`.
    #[inline(always)]
    pub(super) fn pass<'a>(&mut self, row: &mut Row<'a>, memoized: impl FnMut(&'a [u8])) -> Atoms {
        let held = held(&mut self.held);
        let sorter = held.sorter.get_or_insert_with(Box::default);
        row.following_atoms(sorter, &mut held.chunks, memoized)
    }

    /// Writes a row down for who builds, or lets go of it.
    #[inline(always)]
    pub(super) fn settle(&mut self, atoms: Atoms, taken: bool) {
        let held = held(&mut self.held);
        let first = held.settled;
        self.patience = if atoms.count >= LONG { PATIENCE } else { self.patience.saturating_sub(1) };
        if taken && atoms.are_mixed && self.noting {
            held.settled = held.chunks.len();
            held.atoms.push(KnownAtoms { atoms, first, chunks: held.settled - first });
        } else {
            held.chunks.truncate(first);
        }
    }

    /// The row of atoms that begins here, if it is known.
    #[inline(always)]
    pub(super) fn known_atoms(&mut self, at: usize) -> Option<KnownAtoms> {
        if at < self.atoms_at {
            return None;
        }
        self.next_known_atoms(at)
    }

    #[cold]
    fn next_known_atoms(&mut self, at: usize) -> Option<KnownAtoms> {
        while self.atoms_at < at {
            self.held.as_mut()?.next_atoms += 1;
            self.look_ahead();
        }
        let held = self.held.as_mut()?;
        let found = held.atoms.get(held.next_atoms).filter(|known| known.atoms.from == at).copied();
        if found.is_some() {
            held.next_atoms += 1;
            self.look_ahead();
        }
        found
    }

    /// The chunks of such a row.
    pub(super) fn chunks_of(&self, known: KnownAtoms) -> impl Iterator<Item = Chunk<'_>> {
        let held = self.held.as_deref();
        (known.first..known.first + known.chunks).filter_map(move |chunk| held?.chunks.get(chunk))
    }

    /// Takes memo reads of a row; the numbers of their slots.
    #[inline(always)]
    pub(super) fn take(&mut self, row: &mut Row<'_>) -> &[u32] {
        let held = held(&mut self.held);
        let known = held.last.filter(|last| last.at == row.at());
        match known.or_else(|| if self.noting { None } else { held.known(row.at()) }) {
            Some(known) => {
                row.leap(known.end, known.last);
                &held.slots[known.first..][..known.count]
            }
            None => held.read(row, self.noting),
        }
    }
}

#[inline(always)]
fn held(rows: &mut Option<Box<Held>>) -> &mut Held {
    rows.get_or_insert_with(|| SPARE.take().unwrap_or_default())
}

impl Held {
    /// The row that begins here, if it is known.
    #[inline(always)]
    fn known(&mut self, at: usize) -> Option<Known> {
        let mut known = *self.known.get(self.next)?;
        while known.at < at {
            self.next += 1;
            known = *self.known.get(self.next)?;
        }
        if known.at != at {
            return None;
        }
        self.next += 1;
        Some(known)
    }

    #[inline(always)]
    fn read(&mut self, row: &mut Row<'_>, noting: bool) -> &[u32] {
        if self.slots.len() < self.used + ROW {
            self.grow();
        }
        let (at, first) = (row.at(), self.used);
        let count = row.following_gets(&mut self.slots[first..][..ROW]);
        let known = Known { at, last: row.last(), end: row.at(), first, count };
        self.last = Some(known);
        if noting && count >= LONG {
            self.known.push(known);
            self.used += count;
        }
        &self.slots[first..][..count]
    }

    #[cold]
    fn grow(&mut self) {
        self.slots.resize(self.used + ROW, 0);
    }
}

impl Drop for Rows {
    /// Keeps the memory for the next stream of this thread.
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            spare(held);
        }
    }
}

#[cold]
fn spare(mut held: Box<Held>) {
    let slots = if held.slots.len() <= MOST_SPARE { std::mem::take(&mut held.slots) } else { Vec::new() };
    let mut known = if slots.is_empty() { Vec::new() } else { std::mem::take(&mut held.known) };
    known.clear();
    let sorter = held.sorter.take();
    *held = Held { known, slots, sorter, ..Held::default() };
    let _ = SPARE.try_with(|spare| spare.set(Some(held))); // at the end of a thread there is no next stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::Opcode;
    use crate::reader::Reader;

    fn stream(reads: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for n in 0..reads {
            match n % 3 {
                0 => stream.extend([Opcode::Binget as u8, n as u8]),
                _ => {
                    stream.push(Opcode::LongBinget as u8);
                    stream.extend((n as u32).to_le_bytes());
                }
            }
        }
        stream.push(Opcode::Stop as u8);
        stream
    }

    /// A builder that goes by other slots than the check read would build another object than was checked.
    #[test]
    fn a_row_written_down_is_the_row_that_was_read() {
        for reads in [1, LONG - 1, LONG, ROW, ROW + 1, 3 * ROW + 7] {
            let stream = stream(reads);
            let mut rows = Rows::noting();
            let walk = |rows: &mut Rows| {
                let (mut row, mut slots) = (Reader::new(&stream).row(), Vec::new());
                loop {
                    let taken = rows.take(&mut row).to_vec();
                    if taken.is_empty() {
                        return (slots, row.at(), row.last());
                    }
                    slots.extend(taken);
                }
            };
            let first = walk(&mut rows);
            assert_eq!(first.0.len(), reads);
            let mut rows = rows.noted();
            assert_eq!(walk(&mut rows), first);
            let held = rows.held.as_deref().unwrap();
            assert_eq!(held.next, held.known.len());
        }
    }

    /// A row that is asked for twice, since it was not what was looked for, is written down once.
    #[test]
    fn a_row_may_be_looked_at_twice() {
        let stream = stream(LONG);
        let mut rows = Rows::noting();
        let (mut row, mut again) = (Reader::new(&stream).row(), Reader::new(&stream).row());
        let slots = rows.take(&mut row).to_vec();
        assert_eq!(rows.take(&mut again), slots);
        assert_eq!((rows.held.as_deref().unwrap().known.len(), again.at()), (1, row.at()));
    }
}
