//! Rows: instructions of one kind that follow each other, as the items of a list do. Each is read as the reader
//! reads it, but without a dispatch in between, and where possible without a branch that depends on it.

use crate::domain::Constant;
use crate::opcode::Opcode;

/// A cursor over what is left of a frame, small enough to be handed around in registers.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
    /// Where the instruction taken last begins, for errors; noted of memo reads, which alone can fail.
    pub(super) last: usize,
}

/// How an integer's bytes stand behind its opcode. A shift of nought marks opcodes of other kinds.
#[derive(Clone, Copy)]
struct Integer {
    width: u8,
    /// By how much to shift it up and down again, so that only its own bits remain.
    shift: u8,
    signed: bool,
    counted: bool,
}

static CONSTANTS: [Option<Constant>; 256] = {
    let mut constants = [None; 256];
    constants[Opcode::None as usize] = Some(Constant::None);
    constants[Opcode::Newfalse as usize] = Some(Constant::False);
    constants[Opcode::Newtrue as usize] = Some(Constant::True);
    constants
};

static INTEGERS: [Integer; 256] = {
    let mut integers = [Integer { width: 0, shift: 0, signed: false, counted: false }; 256];
    integers[Opcode::Binint1 as usize] = Integer { width: 1, shift: 56, signed: false, counted: false };
    integers[Opcode::Binint2 as usize] = Integer { width: 2, shift: 48, signed: false, counted: false };
    integers[Opcode::Binint as usize] = Integer { width: 4, shift: 32, signed: true, counted: false };
    integers[Opcode::Long1 as usize] = Integer { width: 0, shift: 1, signed: true, counted: true };
    integers
};

#[inline(always)]
pub(super) fn is_integer(byte: u8, length: u8) -> bool {
    let layout = INTEGERS[byte as usize];
    layout.shift != 0 && !(layout.counted && length > 8)
}

#[inline(always)]
pub(super) fn is_constant(byte: u8) -> bool {
    constant(byte).is_some()
}

/// The constant that an opcode stands for.
#[inline(always)]
pub(super) fn constant(byte: u8) -> Option<Constant> {
    CONSTANTS[byte as usize]
}

#[inline(always)]
pub(super) fn is_get(byte: u8) -> bool {
    byte == Opcode::Binget as u8 || byte == Opcode::LongBinget as u8
}

impl<'a> Row<'a> {
    /// What comes at `at`, which must be where an instruction begins.
    #[inline(always)]
    pub(super) fn at_offset(data: &'a [u8], at: usize) -> Self {
        Row { data, at, last: at }
    }

    /// Where the next instruction begins.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Where the memo read taken last begins.
    #[inline(always)]
    pub fn last(&self) -> usize {
        self.last
    }

    /// Goes on behind memo reads that are known.
    #[inline(always)]
    pub fn leap(&mut self, at: usize, last: usize) {
        (self.at, self.last) = (at, last);
    }

    /// Takes a BININT, BININT1, BININT2 or LONG1 if one comes next, has at most 64 bits and does not stand at the
    /// very end. All widths go one way, so that a mix of them costs no mispredicted branches. Notes in `small`
    /// whether it was a BININT1.
    #[inline(always)]
    pub fn following_integer(&mut self, small: &mut u8) -> Option<i64> {
        let [byte, length, rest @ ..] = self.data[self.at..].first_chunk::<10>()?;
        let layout = INTEGERS[*byte as usize];
        let counted = layout.counted;
        // LONG1 says in a byte of its own how many bytes it has.
        let width = if counted { *length } else { layout.width };
        let shift = if counted { 64u8.wrapping_sub(length.wrapping_mul(8)) } else { layout.shift };
        if layout.shift == 0 || width > 8 || width == 0 {
            return None;
        }
        let behind = u64::from_le_bytes(*rest);
        let raw = if counted { behind } else { behind << 8 | u64::from(*length) };
        let high = raw << shift;
        let value = if layout.signed { (high as i64) >> shift } else { (high >> shift) as i64 };
        self.at += 1 + usize::from(counted) + width as usize;
        *small = *small << 1 | u8::from(*byte == Opcode::Binint1 as u8);
        Some(value)
    }

    /// Passes over the integers that `following_integer` would take; how many they are.
    #[inline(always)]
    pub fn pass_integers(&mut self) -> usize {
        // Small ones first: where each is need not be read from the one before.
        let mut count = self.following_small().len();
        let mut rest = &self.data[self.at..];
        while let Some([byte, length, ..]) = rest.first_chunk::<10>() {
            let layout = INTEGERS[*byte as usize];
            let width = if layout.counted { *length } else { layout.width };
            if width > 8 || width == 0 {
                break;
            }
            rest = &rest[1 + usize::from(layout.counted) + width as usize..];
            count += 1;
        }
        self.at = self.data.len() - rest.len();
        count
    }

    /// Takes all BININT1 that come next; their bytes.
    #[inline(always)]
    pub fn following_small(&mut self) -> impl ExactSizeIterator<Item = u8> + use<'a> {
        let pairs = self.data[self.at..].chunks_exact(2);
        let count = pairs.clone().take_while(|pair| pair[0] == Opcode::Binint1 as u8).count();
        self.at += 2 * count;
        pairs.take(count).map(|pair| pair[1])
    }

    /// Takes NONE, NEWTRUE or NEWFALSE if one comes next.
    #[inline(always)]
    pub fn following_constant(&mut self) -> Option<Constant> {
        let constant = constant(*self.data.get(self.at)?)?;
        self.at += 1;
        Some(constant)
    }

    /// Takes the BINGET and LONG_BINGET that come next, as many as there is room for; how many, their slots are in
    /// `slots`. With a branch between the two: guessed mostly right, it spares the wait for the opcode before the next
    /// one can be looked at.
    #[inline(always)]
    pub fn following_gets(&mut self, slots: &mut [u32]) -> usize {
        const SHORT: u8 = Opcode::Binget as u8;
        const LONG: u8 = Opcode::LongBinget as u8;
        let (mut rest, mut last, mut count) = (&self.data[self.at..], None, 0);
        for slot in slots {
            let before = rest.len();
            match rest {
                [LONG, a, b, c, d, behind @ ..] => (*slot, rest) = (u32::from_le_bytes([*a, *b, *c, *d]), behind),
                [SHORT, index, behind @ ..] => (*slot, rest) = (u32::from(*index), behind),
                _ => break,
            }
            last = Some(before);
            count += 1;
        }
        self.at = self.data.len() - rest.len();
        self.last = last.map_or(self.last, |before| self.data.len() - before);
        count
    }

    /// Takes an APPENDS if it comes next.
    #[inline(always)]
    pub fn following_appends(&mut self) -> bool {
        let follows = self.data.get(self.at) == Some(&(Opcode::Appends as u8));
        self.at += usize::from(follows);
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    /// The quick way for rows of integers must read what the plain way reads, at the ends of all widths.
    #[test]
    fn rows_of_integers_read_as_single_ones() {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for n in [0u8, 1, 127, 128, 255] {
            stream.extend([Opcode::Binint1 as u8, n]);
            expected.push(i64::from(n));
        }
        for n in [0u16, 255, 256, 65535] {
            stream.push(Opcode::Binint2 as u8);
            stream.extend(n.to_le_bytes());
            expected.push(i64::from(n));
        }
        for n in [0i32, -1, i32::MIN, i32::MAX] {
            stream.push(Opcode::Binint as u8);
            stream.extend(n.to_le_bytes());
            expected.push(i64::from(n));
        }
        for n in [1i64 << 31, -(1 << 31) - 1, 1 << 39, i64::MIN, i64::MAX, -1] {
            for width in (1..=8).filter(|w| *w == 8 || (n << (64 - 8 * w)) >> (64 - 8 * w) == n) {
                stream.extend([Opcode::Long1 as u8, width as u8]);
                stream.extend(&n.to_le_bytes()[..width as usize]);
                expected.push(n);
            }
        }
        stream.extend([0; 10]);
        let mut reader = Reader::new(&stream).row();
        assert_eq!(std::iter::from_fn(|| reader.following_integer(&mut 0)).collect::<Vec<_>>(), expected);
        assert_eq!(reader.at, stream.len() - 10);
        let mut passing = Reader::new(&stream).row();
        assert_eq!((passing.pass_integers(), passing.at), (expected.len(), reader.at));
        for other in [&b"\x8a\x00..........."[..], b"\x8a\x09...........", b"K", b"J\x01\x02\x03", b"N.........."] {
            assert_eq!(Reader::new(other).row().following_integer(&mut 0), None);
            assert_eq!(Reader::new(other).row().pass_integers(), 0);
        }
    }
}
