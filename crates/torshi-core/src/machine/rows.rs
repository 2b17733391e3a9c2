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
    known: Vec<Known>,
    slots: Vec<u32>,
    /// How many of the slots belong to known rows; those behind are for the row in hand.
    used: usize,
    /// The known row to come.
    next: usize,
    /// The row read last: who finds that it is not what was looked for comes here a second time.
    last: Option<Known>,
    noting: bool,
    sorter: Option<Box<Sorter>>,
    /// How many more rows of atoms may turn out to be short before only some are looked at.
    patience: u8,
    /// How many marks to pass by until then.
    passing: u8,
    atoms: Vec<KnownAtoms>,
    chunks: Chunks,
    /// How many chunks belong to rows written down.
    settled: usize,
    /// The known row of atoms to come, and where it begins.
    next_atoms: usize,
    /// See `next_atoms`; nowhere if there is none.
    atoms_at: usize,
}

thread_local! {
    static SPARE: Cell<(Vec<Known>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
    static SORTER: Cell<Option<Box<Sorter>>> = const { Cell::new(None) };
}

impl Default for Rows {
    fn default() -> Self {
        Rows {
            known: Vec::new(),
            slots: Vec::new(),
            used: 0,
            next: 0,
            last: None,
            noting: false,
            sorter: None,
            patience: PATIENCE,
            passing: 0,
            atoms: Vec::new(),
            chunks: Chunks::default(),
            settled: 0,
            next_atoms: 0,
            atoms_at: usize::MAX,
        }
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
        (self.noting, self.next, self.last) = (false, 0, None);
        self.next_atoms = 0;
        self.look_ahead();
        self
    }

    fn look_ahead(&mut self) {
        self.atoms_at = self.atoms.get(self.next_atoms).map_or(usize::MAX, |known| known.atoms.from);
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
        let sorter = self.sorter.get_or_insert_with(|| SORTER.take().unwrap_or_default());
        row.following_atoms(sorter, &mut self.chunks, memoized)
    }

    /// Writes a row down for who builds, or lets go of it.
    #[inline(always)]
    pub(super) fn settle(&mut self, atoms: Atoms, taken: bool) {
        let first = self.settled;
        self.patience = if atoms.count >= LONG { PATIENCE } else { self.patience.saturating_sub(1) };
        if taken && atoms.are_mixed && self.noting {
            self.settled = self.chunks.len();
            self.atoms.push(KnownAtoms { atoms, first, chunks: self.settled - first });
        } else {
            self.chunks.truncate(first);
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
            self.next_atoms += 1;
            self.look_ahead();
        }
        let found = self.atoms.get(self.next_atoms).filter(|known| known.atoms.from == at).copied();
        if found.is_some() {
            self.next_atoms += 1;
            self.look_ahead();
        }
        found
    }

    /// The chunks of such a row.
    pub(super) fn chunks_of(&self, known: KnownAtoms) -> impl Iterator<Item = Chunk<'_>> {
        (known.first..known.first + known.chunks).filter_map(|chunk| self.chunks.get(chunk))
    }

    /// Takes memo reads of a row; the numbers of their slots.
    #[inline(always)]
    pub(super) fn take(&mut self, row: &mut Row<'_>) -> &[u32] {
        match self.last.filter(|last| last.at == row.at()).or_else(|| self.known(row.at())) {
            Some(known) => {
                row.leap(known.end, known.last);
                &self.slots[known.first..][..known.count]
            }
            None => self.read(row),
        }
    }

    /// The row that begins here, if it is known.
    #[inline(always)]
    fn known(&mut self, at: usize) -> Option<Known> {
        if self.noting {
            return None;
        }
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
    fn read(&mut self, row: &mut Row<'_>) -> &[u32] {
        if self.slots.len() < self.used + ROW {
            self.grow();
        }
        let (at, first) = (row.at(), self.used);
        let count = row.following_gets(&mut self.slots[first..][..ROW]);
        let known = Known { at, last: row.last(), end: row.at(), first, count };
        self.last = Some(known);
        if self.noting && count >= LONG {
            self.known.push(known);
            self.used += count;
        }
        &self.slots[first..][..count]
    }
    #[cold]
    fn grow(&mut self) {
        if self.slots.is_empty() {
            (self.known, self.slots) = SPARE.take();
        }
        if self.slots.len() < self.used + ROW {
            self.slots.resize(self.used + ROW, 0);
        }
    }
}

impl Drop for Rows {
    /// Keeps the memory for the next stream of this thread.
    fn drop(&mut self) {
        if let Some(sorter) = self.sorter.take() {
            let _ = SORTER.try_with(|spare| spare.set(Some(sorter))); // as below
        }
        if !self.slots.is_empty() && self.slots.len() <= MOST_SPARE {
            self.known.clear();
            let kept = (std::mem::take(&mut self.known), std::mem::take(&mut self.slots));
            let _ = SPARE.try_with(|spare| spare.set(kept)); // at the end of a thread there is no next stream
        }
    }
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
            assert_eq!(rows.next, rows.known.len());
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
        assert_eq!((rows.known.len(), again.at()), (1, row.at()));
    }
}
