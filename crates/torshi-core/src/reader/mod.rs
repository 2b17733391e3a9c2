//! The reader: bytes in, opcodes and arguments out. The only code that knows how arguments are laid
//! out. It believes no declared length before the bytes are there, allocates nothing, and never
//! gives an opcode a meaning: that is the machine's.

use crate::error::{Fault, FaultBox, FaultKind, Site};
use crate::opcode::{ArgumentKind, Opcode, TABLE};
use memchr::memchr;

mod atom;
mod gap;
mod row;
mod scanner;

pub use atom::{Atoms, Chunk, Chunks, Sorter, CHUNK};
pub use gap::{whole_offset, Gap, Payload, APART};
pub use row::Row;
pub use scanner::{Progress, Scanner};

/// The argument of one instruction, borrowed from the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument<'a> {
    /// No argument.
    Nothing,
    /// A fixed-width integer.
    Int(i64),
    /// An unsigned 8-byte integer (a frame length).
    Uint(u64),
    /// A double.
    Float(f64),
    /// A length-prefixed run of bytes.
    Bytes(&'a [u8]),
    /// A line, without its newline.
    Line(&'a [u8]),
    /// Two lines: module and name.
    Pair(&'a [u8], &'a [u8]),
}

/// How a dict is about to become a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateForm {
    /// As it is.
    Dict,
    /// As second half of a tuple, which is put into a slot of the memo or not.
    Slots(Option<u64>),
}

/// A fixed-width number: its bytes, the bits it has, and its sign bit.
#[derive(Clone, Copy)]
struct Number {
    width: u8,
    mask: u64,
    sign: u64,
}

/// The number behind each opcode, made from the argument column of the opcode table.
static NUMBERS: [Number; 256] = {
    let mut numbers = [Number { width: 0, mask: 0, sign: 0 }; 256];
    let mut i = 0;
    while i < TABLE.len() {
        use ArgumentKind as K;
        let (width, signed) = match TABLE[i].argument {
            K::Uint1 | K::Long1 | K::String1 | K::Bytes1 | K::Unicode1 => (1u8, false),
            K::Uint2 => (2, false),
            K::Uint4 | K::Bytes4 | K::Unicode4 => (4, false),
            K::Int4 | K::Long4 | K::String4 => (4, true),
            K::Uint8 | K::Bytes8 | K::ByteArray8 | K::Unicode8 => (8, false),
            _ => (0, false),
        };
        if width > 0 {
            let mask = u64::MAX >> (64 - 8 * width as u32);
            let sign = if signed { 1 << (8 * width as u32 - 1) } else { 0 };
            numbers[TABLE[i].byte as usize] = Number { width, mask, sign };
        }
        i += 1;
    }
    numbers
};

/// Whether an opcode may be among these bytes: as an instruction, or as a byte of something else.
pub fn may_hold(data: &[u8], opcode: Opcode) -> bool {
    memchr(opcode as u8, data).is_some()
}

/// A cursor over a complete stream.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The stream as far as the present frame goes: where one ends no argument reaches, at no cost.
    data: &'a [u8],
    whole: &'a [u8],
    gaps: &'a [Gap],
    frame_end: usize,
    at: usize,
    site: Site,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Reader::from_offset(data, 0)
    }

    /// A reader at `at`, which must be the start of an opcode for the result to mean anything.
    pub fn from_offset(data: &'a [u8], at: usize) -> Self {
        let site = Site { offset: at, opcode: Opcode::Stop };
        Reader { data, whole: data, gaps: &[], frame_end: 0, at: at.min(data.len()), site }
    }

    /// The same reader, over a stream that lacks the payloads of `gaps`, which are in stream order.
    pub fn with_gaps(mut self, gaps: &'a [Gap]) -> Self {
        self.gaps = gaps;
        self
    }

    /// Where the next byte will be read.
    #[inline(always)]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The place of the instruction read last.
    #[inline(always)]
    pub fn site(&self) -> Site {
        self.site
    }

    /// The next opcode. Its argument must be read before the next call.
    #[inline(always)]
    pub fn opcode(&mut self) -> Result<Opcode, FaultBox> {
        let byte = match self.data.get(self.at) {
            Some(&byte) => byte,
            None => {
                self.data = self.whole; // behind a frame
                match self.data.get(self.at) {
                    Some(&byte) => byte,
                    None => return Err(end(self.at)),
                }
            }
        };
        let Some(opcode) = Opcode::from_byte(byte) else {
            return Err(unknown(self.at, byte));
        };
        self.site = Site { offset: self.at, opcode };
        self.at += 1;
        Ok(opcode)
    }

    #[inline(always)]
    fn truncated(&self, need: u64) -> FaultBox {
        match self.data.len() < self.whole.len() {
            true => out_of_frame(self.site),
            false => Fault::new(self.site, FaultKind::Truncated { need, have: (self.data.len() - self.at) as u64 }),
        }
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FaultBox> {
        match self.data[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.truncated(N as u64)),
        }
    }

    /// The next `n` bytes.
    #[inline(always)]
    pub fn take(&mut self, n: u64) -> Result<&'a [u8], FaultBox> {
        let rest = &self.data[self.at..];
        if n > rest.len() as u64 {
            return Err(self.truncated(n));
        }
        let bytes = &rest[..n as usize];
        self.at += n as usize;
        Ok(bytes)
    }

    /// The next `n` bytes of a layout in which raw bytes stand between instructions, where no frame is open: who reads
    /// from a file would take them from behind the frame.
    pub fn raw(&mut self, n: u64) -> Result<&'a [u8], FaultBox> {
        if self.at < self.frame_end {
            return Err(Fault::malformed(self.site, "raw bytes of an array within a frame"));
        }
        self.data = self.whole;
        self.take(n)
    }

    /// Takes a MEMOIZE or BINPUT if one comes next; the slot it fills, where `next` is MEMOIZE's.
    #[inline(always)]
    pub fn following_put(&mut self, next: u64) -> Option<u64> {
        match self.data[self.at..] {
            [byte, ..] if byte == Opcode::Memoize as u8 => {
                self.at += 1;
                Some(next)
            }
            [byte, index, ..] if byte == Opcode::Binput as u8 => {
                self.at += 2;
                Some(index.into())
            }
            _ => None,
        }
    }

    /// Whether one of BININT, BININT1, BININT2 and LONG1 comes next, with at most 64 bits.
    #[inline(always)]
    pub fn integer_follows(&self) -> bool {
        matches!(self.data[self.at..], [byte, length, ..] if row::is_integer(byte, length))
    }

    /// Whether NONE, NEWTRUE or NEWFALSE comes next.
    #[inline(always)]
    pub fn constant_follows(&self) -> bool {
        self.data.get(self.at).is_some_and(|&byte| row::is_constant(byte))
    }

    /// Whether a BINGET or LONG_BINGET comes next.
    #[inline(always)]
    pub fn get_follows(&self) -> bool {
        self.data.get(self.at).is_some_and(|&byte| row::is_get(byte))
    }

    /// Whether a NEWOBJ comes next.
    #[inline(always)]
    pub fn newobj_follows(&self) -> bool {
        self.data.get(self.at) == Some(&(Opcode::Newobj as u8))
    }

    /// Takes a BINGET or LONG_BINGET if one comes next; its slot.
    #[inline(always)]
    pub fn following_get(&mut self) -> Result<Option<u32>, FaultBox> {
        if !self.get_follows() {
            return Ok(None);
        }
        match self.opcode()? {
            Opcode::Binget => Ok(Some(self.uint1()?.into())),
            _ => Ok(Some(self.uint4()?)),
        }
    }

    /// Whether a constant, a number or a short text comes next.
    #[inline(always)]
    pub fn atom_follows(&self) -> bool {
        self.data.get(self.at).is_some_and(|&byte| atom::is_atom(byte))
    }

    /// What comes next, as a row.
    #[inline(always)]
    pub fn row(&self) -> Row<'a> {
        Row { data: self.data, at: self.at, last: self.site.offset }
    }

    /// Goes on at `at`, behind a row that is known.
    #[inline(always)]
    pub fn leap(&mut self, at: usize) {
        self.at = at;
    }

    /// Goes on behind what was taken of a row; the opcode of the present site stays that of what stood before.
    #[inline(always)]
    pub fn leave_row(&mut self, row: Row<'a>) {
        (self.at, self.site.offset) = (row.at, row.last);
    }

    /// Whether the value on the stack is about to be the state of the object below it: by itself, or as the
    /// second half of a tuple. `next` is the slot that MEMOIZE fills.
    #[inline(always)]
    pub fn following_build(&self, next: u64) -> Option<StateForm> {
        const BUILD: u8 = Opcode::Build as u8;
        const TUPLE2: u8 = Opcode::Tuple2 as u8;
        const MEMOIZE: u8 = Opcode::Memoize as u8;
        const BINPUT: u8 = Opcode::Binput as u8;
        match self.data[self.at..] {
            [BUILD, ..] => Some(StateForm::Dict),
            [TUPLE2, MEMOIZE, BUILD, ..] => Some(StateForm::Slots(Some(next))),
            [TUPLE2, BINPUT, index, BUILD, ..] => Some(StateForm::Slots(Some(index.into()))),
            [TUPLE2, BUILD, ..] => Some(StateForm::Slots(None)),
            _ => None,
        }
    }

    /// Begins a frame of `length` bytes: they must be there, no other frame may be open, and no instruction
    /// may reach over its end. Stock pickle drops what it has read ahead in such streams when it reads
    /// from a file, and not when it reads from bytes, so they have no meaning to keep.
    #[inline]
    pub fn enter_frame(&mut self, length: u64) -> Result<(), FaultBox> {
        if self.site.offset < self.frame_end {
            return Err(Fault::malformed(self.site, "beginning of a new frame before end of current frame"));
        }
        self.data = self.whole;
        if length > (self.whole.len() - self.at) as u64 {
            return Err(self.truncated(length));
        }
        self.frame_end = self.at + length as usize;
        self.data = &self.whole[..self.frame_end];
        Ok(())
    }

    /// The integer or length that follows an opcode with a fixed-width number, whatever its width: one
    /// way for all of them, so that a mix of widths costs no mispredicted branches.
    #[inline(always)]
    pub fn number(&mut self) -> Result<i64, FaultBox> {
        let layout = NUMBERS[self.site.opcode as usize];
        let rest = &self.data[self.at..];
        let raw = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => {
                if rest.len() < layout.width as usize {
                    return Err(self.truncated(layout.width.into()));
                }
                let mut bytes = [0; 8];
                bytes[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(bytes)
            }
        };
        self.at += layout.width as usize;
        Ok(((raw & layout.mask) ^ layout.sign).wrapping_sub(layout.sign) as i64)
    }

    /// The bytes behind a length of any width.
    #[inline(always)]
    pub fn counted(&mut self) -> Result<&'a [u8], FaultBox> {
        let n = self.number()? as u64;
        self.take(n)
    }

    /// The bytes behind a length of any width, which may be kept apart.
    #[inline(always)]
    pub fn payload(&mut self) -> Result<Payload<'a>, FaultBox> {
        let n = self.number()? as u64;
        if n >= APART {
            if let Some(place) = gap_of(self.gaps, self.at, n) {
                return Ok(Payload::Apart(place));
            }
        }
        Ok(Payload::Here(self.take(n)?))
    }

    /// An unsigned byte.
    #[inline(always)]
    pub fn uint1(&mut self) -> Result<u8, FaultBox> {
        Ok(u8::from_le_bytes(self.fixed()?))
    }

    /// An unsigned 2-byte integer.
    #[inline(always)]
    pub fn uint2(&mut self) -> Result<u16, FaultBox> {
        Ok(u16::from_le_bytes(self.fixed()?))
    }

    /// An unsigned 4-byte integer.
    #[inline(always)]
    pub fn uint4(&mut self) -> Result<u32, FaultBox> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    /// A signed 4-byte integer.
    #[inline(always)]
    pub fn int4(&mut self) -> Result<i32, FaultBox> {
        Ok(i32::from_le_bytes(self.fixed()?))
    }

    /// An unsigned 8-byte integer.
    #[inline(always)]
    pub fn uint8(&mut self) -> Result<u64, FaultBox> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }

    /// A big-endian double, the one big-endian number of the format.
    #[inline(always)]
    pub fn float8(&mut self) -> Result<f64, FaultBox> {
        Ok(f64::from_be_bytes(self.fixed()?))
    }

    /// Bytes after a 1-byte length.
    #[inline(always)]
    pub fn counted1(&mut self) -> Result<&'a [u8], FaultBox> {
        let n = self.uint1()?;
        self.take(n.into())
    }

    /// Bytes after a 4-byte length.
    #[inline(always)]
    pub fn counted4(&mut self) -> Result<&'a [u8], FaultBox> {
        let n = self.uint4()?;
        self.take(n.into())
    }

    /// Bytes after a signed 4-byte length, which the format forbids to be negative.
    #[inline(always)]
    pub fn counted4_signed(&mut self) -> Result<&'a [u8], FaultBox> {
        let n = self.int4()?;
        if n < 0 {
            let what = match self.site.opcode {
                Opcode::Long4 => "LONG pickle has negative byte count",
                _ => "BINSTRING pickle has negative byte count",
            };
            return Err(Fault::malformed(self.site, what));
        }
        self.take(n as u64)
    }

    /// Bytes after an 8-byte length.
    #[inline(always)]
    pub fn counted8(&mut self) -> Result<&'a [u8], FaultBox> {
        let n = self.uint8()?;
        self.take(n)
    }

    /// A line, without its newline.
    #[inline(always)]
    pub fn line(&mut self) -> Result<&'a [u8], FaultBox> {
        let rest = &self.data[self.at..];
        match memchr(b'\n', rest) {
            Some(n) => {
                self.at += n + 1;
                Ok(&rest[..n])
            }
            None if self.data.len() < self.whole.len() => Err(out_of_frame(self.site)),
            None => Err(Fault::new(self.site, FaultKind::UnendedLine)),
        }
    }

    /// The argument of the opcode read last, by its row of the table.
    pub fn argument(&mut self) -> Result<Argument<'a>, FaultBox> {
        use ArgumentKind as K;
        Ok(match self.site.opcode.row().argument {
            K::Nothing => Argument::Nothing,
            K::Uint1 => Argument::Int(self.uint1()?.into()),
            K::Uint2 => Argument::Int(self.uint2()?.into()),
            K::Uint4 => Argument::Int(self.uint4()?.into()),
            K::Int4 => Argument::Int(self.int4()?.into()),
            K::Uint8 => Argument::Uint(self.uint8()?),
            K::Float8 => Argument::Float(self.float8()?),
            K::Long1 | K::String1 | K::Bytes1 | K::Unicode1 => Argument::Bytes(self.counted1()?),
            K::Long4 | K::String4 => Argument::Bytes(self.counted4_signed()?),
            K::Bytes4 | K::Unicode4 => Argument::Bytes(self.counted4()?),
            K::Bytes8 | K::ByteArray8 | K::Unicode8 => Argument::Bytes(self.counted8()?),
            K::DecimalLine | K::FloatLine | K::UnicodeLine | K::QuotedLine | K::RawLine => Argument::Line(self.line()?),
            K::NamePair => Argument::Pair(self.line()?, self.line()?),
        })
    }
}

#[cold]
fn out_of_frame(site: Site) -> FaultBox {
    Fault::malformed(site, "pickle exhausted before end of frame: an argument reaches over it")
}

/// The gap of a payload of `length` bytes that would begin at `at`. Not a method: whoever takes the reader's address
/// keeps its position out of the registers.
#[cold]
fn gap_of(gaps: &[Gap], at: usize, length: u64) -> Option<usize> {
    let place = gaps.binary_search_by_key(&at, |gap| gap.at).ok()?;
    (gaps[place].length as u64 == length).then_some(place)
}

#[cold]
fn end(offset: usize) -> FaultBox {
    Box::new(Fault { offset, opcode: None, kind: FaultKind::EndOfStream })
}

#[cold]
fn unknown(offset: usize, byte: u8) -> FaultBox {
    Box::new(Fault { offset, opcode: None, kind: FaultKind::UnknownOpcode(byte) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A declared length that is believed would read past the stream or allocate for it.
    #[test]
    fn lengths_are_not_believed() {
        let mut r = Reader::new(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffx");
        r.opcode().unwrap();
        assert!(matches!(r.argument().unwrap_err().kind, FaultKind::Truncated { have: 1, .. }));
    }

    /// Overlapping frames and arguments across a frame's end mean one thing to stock pickle's file reader and
    /// another to its reader of bytes; taking either side would let a stream hide from a checker.
    #[test]
    fn frames_hold_whole_instructions() {
        let frame = |length: u8| [0x95, length, 0, 0, 0, 0, 0, 0, 0];
        let run = |stream: &[u8]| {
            let mut r = Reader::new(stream);
            loop {
                let opcode = r.opcode()?;
                match r.argument()? {
                    _ if opcode == Opcode::Stop => return Ok::<_, FaultBox>(r.offset()),
                    Argument::Uint(length) => r.enter_frame(length)?,
                    _ => {}
                }
            }
        };
        let whole = [&frame(2)[..], b"K\x01", &frame(0)[..], b"N", &frame(1)[..], b"."].concat();
        assert_eq!(run(&whole).unwrap(), whole.len());
        assert!(run(&[&frame(4)[..], b"N.rest"].concat()).is_ok());
        for broken in [
            [&frame(1)[..], b"K\x01."].concat(),
            [&frame(2)[..], b"I1\n."].concat(),
            [&frame(20)[..], &frame(1)[..], b"N.01234567890"].concat(),
            [&frame(12)[..], &frame(2)[..], b"NN."].concat(),
        ] {
            assert!(matches!(run(&broken).unwrap_err().kind, FaultKind::Malformed(_)), "{broken:?}");
        }
    }
}
