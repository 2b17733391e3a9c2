//! Atoms: the values without parts that follow each other in a list, None, booleans, numbers and short texts. They are
//! passed over without being read, and told apart by kind, so that who makes them can make all of one kind in a row. What
//! they are is read where somebody asks, and by the readers of rows.

use super::row::{constant, is_constant, Row};
use crate::domain::Constant;
use crate::opcode::Opcode;

/// One more than the atoms that are told apart together.
pub const CHUNK: usize = 256;

/// How an atom stands in the stream, in one word: how many bytes it has, all bits where the byte behind the opcode counts
/// more of them, and its kind. Nought marks opcodes that are none.
static LAYOUTS: [u32; 256] = {
    let mut layouts = [0; 256];
    layouts[Opcode::None as usize] = 1 | CONSTANTS << KIND | NONE;
    layouts[Opcode::Newfalse as usize] = 1 | CONSTANTS << KIND;
    layouts[Opcode::Newtrue as usize] = 1 | CONSTANTS << KIND;
    layouts[Opcode::Binint1 as usize] = 2 | INTEGERS << KIND;
    layouts[Opcode::Binint2 as usize] = 3 | INTEGERS << KIND;
    layouts[Opcode::Binint as usize] = 5 | INTEGERS << KIND;
    layouts[Opcode::Long1 as usize] = 2 | COUNTED | INTEGERS << KIND | LONG;
    layouts[Opcode::Binfloat as usize] = 9 | FLOATS << KIND;
    layouts[Opcode::ShortBinunicode as usize] = 2 | COUNTED | TEXTS << KIND | TEXT;
    layouts[Opcode::Memoize as usize] = 1 | MEMOIZED << KIND;
    layouts
};
const WIDTH: u32 = 0xff;
const COUNTED: u32 = 0xff << 8;
const NONE: u32 = 1 << 16;
const LONG: u32 = 1 << 17;
const TEXT: u32 = 1 << 18;
const KIND: u32 = 24;

const KINDS: usize = 5;
/// Kinds with room for more, so that every number of few enough bits is one.
const LANES: usize = KINDS.next_power_of_two();
const CONSTANTS: u32 = 0;
const INTEGERS: u32 = 1;
const FLOATS: u32 = 2;
const TEXTS: u32 = 3;
/// No kind of its own: texts once more, those that a MEMOIZE stands behind.
const MEMOIZED: u32 = 4;

/// Constants that are looked at together.
const STRIDE: usize = 64;

/// In a place: bits of the offset from where the chunk begins, below the number of the atom.
const OFFSET: u32 = 24;
/// The least place of the last atom of a chunk.
const LAST_PLACE: u32 = (CHUNK as u32 - 1) << OFFSET;

/// In a history: so many atoms of one kind are a row, which goes on as it began.
const ROW: u16 = u16::MAX;

/// What is told of atoms that were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atoms {
    /// Where the first begins, and where the last ends.
    pub from: usize,
    /// See `from`.
    pub to: usize,
    /// How many there are.
    pub count: usize,
    /// How many of them are memoized.
    pub memoized: usize,
    /// Whether one of them is None.
    pub has_none: bool,
    /// Whether all of them were told apart.
    pub are_mixed: bool,
}

/// Some atoms, told apart.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'s> {
    from: usize,
    /// Number and offset of each, those of one kind together.
    places: &'s [u32],
    counts: [u16; KINDS - 1],
}

impl<'s> Chunk<'s> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn kind(&self, kind: u32) -> impl Iterator<Item = (usize, usize)> + 's {
        let first: usize = self.counts[..kind as usize].iter().copied().map(usize::from).sum();
        let (from, places) = (self.from, &self.places[first..][..usize::from(self.counts[kind as usize])]);
        places.iter().map(move |place| ((place >> OFFSET) as usize, from + (place & ((1 << OFFSET) - 1)) as usize))
    }

    /// The constants of a stream that are among them, each with its number.
    pub fn constants<'d>(&self, data: &'d [u8]) -> impl Iterator<Item = (usize, Constant)> + use<'s, 'd> {
        self.kind(CONSTANTS).filter_map(move |(number, at)| Some((number, constant(data[at])?)))
    }

    /// The integers.
    pub fn integers<'d>(&self, data: &'d [u8]) -> impl Iterator<Item = (usize, i64)> + use<'s, 'd> {
        self.kind(INTEGERS)
            .filter_map(move |(number, at)| Some((number, Row::at_offset(data, at).following_integer(&mut 0)?)))
    }

    /// The floats.
    pub fn floats<'d>(&self, data: &'d [u8]) -> impl Iterator<Item = (usize, f64)> + use<'s, 'd> {
        self.kind(FLOATS)
            .filter_map(move |(number, at)| Some((number, f64::from_be_bytes(*data[at + 1..].first_chunk()?))))
    }

    /// The UTF-8 of the texts.
    pub fn texts<'d>(&self, data: &'d [u8]) -> impl Iterator<Item = (usize, &'d [u8])> + use<'s, 'd> {
        self.kind(TEXTS).map(move |(number, at)| (number, &data[at + 2..][..usize::from(data[at + 1])]))
    }
}

/// A chunk in the making.
#[derive(Debug)]
pub struct Sorter {
    from: usize,
    /// A lane of places for each kind, one behind the other.
    places: Box<[u32; CHUNK * LANES]>,
    counts: [u32; LANES],
    /// A bit for each of the last sixteen: was it of the kind of the one before?
    history: u16,
    before: u8,
    /// All that the atoms are.
    seen: u32,
    /// The layout of what came last.
    last: u32,
}

impl Default for Sorter {
    fn default() -> Self {
        let (places, counts) = (Box::new([0; CHUNK * LANES]), [0; LANES]);
        Sorter { from: 0, places, counts, history: 0, before: 0, seen: 0, last: 0 }
    }
}

impl Sorter {
    fn begin(&mut self) {
        (self.history, self.before, self.seen, self.last) = (0, 0, 0, 0);
    }

    fn len(&self) -> usize {
        self.counts[..MEMOIZED as usize].iter().sum::<u32>() as usize
    }

    fn lane(&self, kind: u32) -> &[u32] {
        &self.places[kind as usize * CHUNK..][..self.counts[kind as usize] as usize]
    }

    fn memoized<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        let from = self.from;
        self.lane(MEMOIZED).iter().map(move |place| {
            let at = from + (place & ((1 << OFFSET) - 1)) as usize;
            &data[at + 2..][..usize::from(data[at + 1])]
        })
    }
}

/// Chunks that are kept.
#[derive(Debug, Default)]
pub struct Chunks {
    places: Vec<u32>,
    heads: Vec<(usize, usize, [u16; KINDS - 1])>,
}

impl Chunks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Lets go of all but the first so many.
    pub fn truncate(&mut self, len: usize) {
        if let Some((_, first, _)) = self.heads.get(len) {
            self.places.truncate(*first);
            self.heads.truncate(len);
        }
    }

    fn keep(&mut self, sorter: &Sorter) {
        let first = self.places.len();
        let mut counts = [0; KINDS - 1];
        for (kind, kept) in (0..).zip(&mut counts) {
            self.places.extend_from_slice(sorter.lane(kind));
            *kept = sorter.counts[kind as usize] as u16;
        }
        self.heads.push((sorter.from, first, counts));
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<Chunk<'_>> {
        let (from, first, counts) = *self.heads.get(index)?;
        let len: usize = counts.iter().copied().map(usize::from).sum();
        Some(Chunk { from, places: &self.places[first..][..len], counts })
    }
}

/// Whether an atom may begin with this byte.
#[inline(always)]
pub(super) fn is_atom(byte: u8) -> bool {
    !matches!(LAYOUTS[byte as usize], 0 | MEMOIZE)
}
const MEMOIZE: u32 = 1 | MEMOIZED << KIND;

impl<'a> Row<'a> {
    /// Passes over all atoms that come next; each text that is memoized is given to `memoized`, and the atoms told apart
    /// to `kept`. Which kind comes next is mostly for no processor to foretell, so that all that depends on it comes from
    /// a table; in rows of one kind, where it can be foretold, nothing waits for that.
    #[inline(always)]
    pub fn following_atoms(
        &mut self, sorter: &mut Sorter, kept: &mut Chunks, mut memoized: impl FnMut(&'a [u8]),
    ) -> Atoms {
        sorter.begin();
        let (from, chunks) = (self.at, kept.len());
        let mut told = Atoms { from, to: from, count: 0, memoized: 0, has_none: false, are_mixed: true };
        if self.data.get(from).is_some_and(|&byte| is_constant(byte)) {
            (told.count, told.has_none) = self.many_constants();
            told.are_mixed = told.count == 0;
        }
        loop {
            let goes_on = self.mixed_atoms(sorter);
            sorter.memoized(self.data).for_each(&mut memoized);
            told.count += sorter.len();
            told.memoized += sorter.counts[MEMOIZED as usize] as usize;
            // A few are not worth keeping, and an integer at the very end may have to be read otherwise.
            let whole = sorter.seen & LONG == 0 && self.data.len() - self.at >= 16;
            told.are_mixed &= whole && (goes_on || kept.len() > chunks);
            if told.are_mixed {
                kept.keep(sorter);
            }
            if !goes_on {
                (told.to, told.has_none) = (self.at, told.has_none | (sorter.seen & NONE != 0));
                return told;
            }
            if sorter.history == ROW {
                let (row, texts) = self.atoms_like(sorter.before, &mut memoized);
                (told.count, told.memoized, told.are_mixed) = (told.count + row, told.memoized + texts, false);
                sorter.history = 0;
            }
        }
    }

    /// Passes over constants, if there are many: which of them comes next is for nobody to foretell, so that they are looked
    /// at many at a time. How many, and whether one is None.
    #[inline(never)] // as for `mixed_atoms`
    fn many_constants(&mut self) -> (usize, bool) {
        const NONE: u8 = Opcode::None as u8;
        const TRUE: u8 = Opcode::Newtrue as u8;
        const FALSE: u8 = Opcode::Newfalse as u8;
        let is_one = |byte: &u8| (*byte == NONE) | (*byte == TRUE) | (*byte == FALSE);
        let (mut count, mut has_none) = (0, false);
        for many in self.data[self.at..].chunks_exact(STRIDE) {
            if !many.iter().fold(true, |all, byte| all & is_one(byte)) {
                break;
            }
            has_none |= many.iter().fold(false, |any, byte| any | (*byte == NONE));
            count += STRIDE;
        }
        self.at += count;
        (count, has_none)
    }

    /// Passes over atoms of any kind, until there is a chunk of them or a row of one kind; whether there may be more.
    #[inline(never)] // a loop of its own, with registers of its own
    fn mixed_atoms(&mut self, sorter: &mut Sorter) -> bool {
        let mut rest = &self.data[self.at..];
        let Sorter { mut history, mut before, mut seen, mut last, .. } = *sorter;
        sorter.from = self.at;
        let mut counts = [0; LANES];
        // The place of the next atom, number and offset in one, and of the last one.
        let (mut next, mut place) = (0u32, 0u32);
        let goes_on = loop {
            let &[byte, length, ..] = rest else { break false };
            let layout = LAYOUTS[byte as usize];
            let width = (layout & WIDTH) as usize + usize::from(length & (layout >> 8) as u8);
            let memoizes = layout == MEMOIZE;
            if (layout == 0) | (memoizes & (last >> KIND != TEXTS)) {
                break false;
            }
            // A text is not parted from its MEMOIZE.
            if next >= LAST_PLACE && !memoizes {
                break true;
            }
            let Some(behind) = rest.get(width..) else { break false };
            rest = behind;
            // Behind a text, the text once more.
            place = if memoizes { place } else { next };
            next += width as u32 + (u32::from(!memoizes) << OFFSET);
            let kind = (layout >> KIND) as usize % LANES;
            let count: u32 = counts[kind];
            sorter.places[(kind * CHUNK + count as usize) % (CHUNK * LANES)] = place;
            counts[kind] = count + 1;
            seen |= layout;
            last = layout;
            let again = history << 1 | u16::from(byte == before);
            history = if memoizes { history } else { again };
            before = if memoizes { before } else { byte };
            // A row goes on behind a whole text. One question, of a word: whether it is a text, nobody can foretell.
            if u32::from(history) | (layout & TEXT) == u32::from(ROW) {
                break true;
            }
        };
        self.at = self.data.len() - rest.len();
        sorter.counts = counts;
        (sorter.history, sorter.before, sorter.seen, sorter.last) = (history, before, seen, last);
        goes_on
    }

    /// Passes over the atoms of one kind that come next; how many, and how many of them are memoized texts.
    #[inline(always)]
    fn atoms_like(&mut self, byte: u8, memoized: &mut impl FnMut(&'a [u8])) -> (usize, usize) {
        const SHORT_TEXT: u8 = Opcode::ShortBinunicode as u8;
        const MEMOIZE: u8 = Opcode::Memoize as u8;
        let (mut rest, mut count, mut texts) = (&self.data[self.at..], 0, 0);
        let layout = LAYOUTS[byte as usize];
        if layout & COUNTED == 0 {
            let width = (layout & WIDTH) as usize;
            count = rest.chunks_exact(width).take_while(|atom| atom[0] == byte).count();
            rest = &rest[count * width..];
        } else if byte == SHORT_TEXT {
            while let [SHORT_TEXT, length, behind @ ..] = rest {
                let Some((text, [MEMOIZE, behind @ ..])) = behind.split_at_checked(usize::from(*length)) else { break };
                memoized(text);
                rest = behind;
                texts += 1;
            }
            count = texts;
        }
        self.at = self.data.len() - rest.len();
        (count, texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    /// Floats, texts, integers and None in turn, `count` of them, and an instruction that is no atom.
    fn stream(count: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for number in 0..count {
            match number % 4 {
                0 => {
                    stream.push(Opcode::Binfloat as u8);
                    stream.extend((number as f64).to_be_bytes());
                }
                1 => stream.extend([Opcode::ShortBinunicode as u8, 2, b'a', b'0' + (number % 10) as u8, 0x94]),
                2 => {
                    stream.push(Opcode::Binint as u8);
                    stream.extend((number as i32).to_le_bytes());
                }
                _ => stream.push(Opcode::None as u8),
            }
        }
        stream.push(Opcode::Appends as u8);
        stream.extend([Opcode::Stop as u8; 16]);
        stream
    }

    /// An atom under another's number would stand in another's place in the list that is built.
    #[test]
    fn atoms_told_apart_have_their_numbers() {
        for count in [1, 254, 255, 256, 510, 511, 2000] {
            let (stream, mut chunks, mut texts) = (stream(count), Chunks::default(), 0);
            let mut row = Reader::new(&stream).row();
            let told = row.following_atoms(&mut Sorter::default(), &mut chunks, |text| texts += text.len() / 2);
            assert_eq!((told.count, told.memoized, told.to), (count, texts, stream.len() - 17));
            assert_eq!((texts, told.has_none), ((count + 2) / 4, count > 3));
            let mut first = 0;
            for chunk in (0..).map_while(|at| chunks.get(at)) {
                let at = |number: usize| first + number;
                assert!(chunk.constants(&stream).all(|(n, constant)| at(n) % 4 == 3 && constant == Constant::None));
                assert!(chunk.integers(&stream).all(|(n, value)| at(n) as i64 == value));
                assert!(chunk.floats(&stream).all(|(n, value)| at(n) as f64 == value));
                assert!(chunk.texts(&stream).all(|(n, text)| text[1] == b'0' + (at(n) % 10) as u8));
                first += chunk.len();
            }
            // Less than a chunk is not worth keeping.
            assert_eq!(first, if count < CHUNK { 0 } else { count });
        }
    }

    /// A row of one kind is passed over in its own way, and is nothing for the builder.
    #[test]
    fn a_row_of_one_kind_is_not_kept() {
        for (atom, memoized) in [(&b"G?\xf8\0\0\0\0\0\0"[..], 0), (b"K\x01", 0), (b"\x8c\x01a\x94", 1000)] {
            let mut stream = atom.repeat(1000);
            stream.extend([Opcode::Stop as u8; 16]);
            let (mut chunks, mut row) = (Chunks::default(), Reader::new(&stream).row());
            let told = row.following_atoms(&mut Sorter::default(), &mut chunks, |_| {});
            assert_eq!((told.count, told.memoized, told.are_mixed), (1000, memoized, false));
        }
    }
}
