//! The bytes that are digested: tags, lengths, numbers, and what is too long to stand where it is.
//!
//! A form of more than `INLINE` bytes stands in what holds it as its digest, so that no form is long because of what is
//! inside it, and something met a second time need not be walked again. Nothing here knows what an object is.
use crate::encoder::failure::{Done, Failed};
use crate::ffi::call;
use crate::ffi::peek::Text;
use blake3::Hasher;
use pyo3::prelude::*;

/// What a form begins with; `docs/digest.md` has the table. Frozen.
pub mod tag {
    pub const NONE: u8 = b'N';
    pub const TRUE: u8 = b'T';
    pub const FALSE: u8 = b'F';
    pub const INT: u8 = b'i';
    pub const FLOAT: u8 = b'f';
    pub const STR: u8 = b's';
    pub const BYTES: u8 = b'b';
    pub const BYTEARRAY: u8 = b'B';
    pub const BUFFER: u8 = b'P';
    pub const LIST: u8 = b'l';
    pub const TUPLE: u8 = b't';
    pub const DICT: u8 = b'd';
    pub const SET: u8 = b'S';
    pub const FROZENSET: u8 = b'Z';
    pub const NAME: u8 = b'n';
    pub const OBJECT: u8 = b'o';
    pub const CALL: u8 = b'r';
    pub const ENUM: u8 = b'e';
    pub const INSTEAD: u8 = b'h';
    pub const ARRAY: u8 = b'a';
    pub const SCALAR: u8 = b'v';
    pub const DTYPE: u8 = b'y';
    pub const AGAIN: u8 = b'^';
    pub const DIGEST: u8 = b'#';
    pub const END: u8 = b'.';
}

/// The longest form that stands where it is: a chunk of BLAKE3, so that records of usual size do.
pub const INLINE: usize = 1024;
/// Bytes of an unfinished form that are kept before they are hashed: long enough for the widest hashing.
const FLUSH: usize = 1 << 16;
/// Kept for the next digest of the thread.
const KEEP: usize = 1 << 17;

thread_local! {
    static SPARE: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}

/// The forms in progress, one behind the other.
pub struct Forms<'py> {
    py: Python<'py>,
    bytes: Vec<u8>,
}

/// A form that is being written.
pub struct Open {
    start: usize,
    hasher: Option<Box<Hasher>>,
}

impl<'py> Forms<'py> {
    pub fn new(py: Python<'py>) -> Self {
        Forms { py, bytes: SPARE.try_with(std::cell::Cell::take).unwrap_or_default() }
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    pub fn since(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    #[inline(always)]
    pub fn truncate(&mut self, to: usize) {
        self.bytes.truncate(to);
    }

    #[inline(always)]
    fn room(&mut self, more: usize) -> Done {
        if self.bytes.capacity() - self.bytes.len() < more {
            return self.grow(more);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> Done {
        self.bytes.try_reserve(more.max(256)).map_err(|_| Failed::from(call::no_memory(self.py)))
    }

    #[inline(always)]
    pub fn put(&mut self, bytes: &[u8]) -> Done {
        self.room(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    #[inline(always)]
    pub fn tag(&mut self, tag: u8) -> Done {
        self.put(&[tag])
    }

    /// A tag and a number: seven bits a byte, the lowest first, the high bit set in all but the last (LEB128).
    #[inline(always)]
    pub fn tagged(&mut self, tag: u8, number: u64) -> Done {
        if number < 0x80 {
            return self.put(&[tag, number as u8]);
        }
        self.tag(tag)?;
        self.number(number)
    }

    pub fn number(&mut self, mut number: u64) -> Done {
        let (mut bytes, mut len) = ([0; 10], 0);
        loop {
            bytes[len] = (number & 0x7f) as u8 | if number > 0x7f { 0x80 } else { 0 };
            len += 1;
            number >>= 7;
            if number == 0 {
                return self.put(&bytes[..len]);
            }
        }
    }

    /// UTF-8, in which lone surrogates are encoded like any other code point.
    pub fn put_utf8(&mut self, text: Text<'_>, size: usize) -> Done {
        self.room(size)?;
        match text {
            Text::Ascii(bytes) => self.bytes.extend_from_slice(bytes),
            Text::Latin1(units) => units.iter().for_each(|&u| self.put_point(u.into())),
            Text::Ucs2(units) => units.iter().for_each(|&u| self.put_point(u.into())),
            Text::Ucs4(units) => units.iter().for_each(|&u| self.put_point(u)),
        }
        Ok(())
    }

    /// Room for it must be there.
    #[inline(always)]
    fn put_point(&mut self, point: u32) {
        let low = |shift: u32| 0x80 | (point >> shift & 0x3f) as u8;
        match point {
            0..0x80 => self.bytes.push(point as u8),
            0x80..0x800 => self.bytes.extend_from_slice(&[0xc0 | (point >> 6) as u8, low(0)]),
            0x800..0x10000 => self.bytes.extend_from_slice(&[0xe0 | (point >> 12) as u8, low(6), low(0)]),
            _ => self.bytes.extend_from_slice(&[0xf0 | (point >> 18) as u8, low(12), low(6), low(0)]),
        }
    }

    #[inline(always)]
    pub fn open(&self) -> Open {
        Open { start: self.bytes.len(), hasher: None }
    }

    /// Hashes what there is of the form, if it is much; whether it was.
    #[inline(always)]
    pub fn turn(&mut self, open: &mut Open) -> bool {
        let much = self.bytes.len() - open.start >= FLUSH;
        if much {
            self.spill(open);
        }
        much
    }

    /// Hashes what there is of the form, which must be sure to be longer than `INLINE`.
    pub fn spill<'o>(&mut self, open: &'o mut Open) -> &'o mut Hasher {
        let hasher = open.hasher.get_or_insert_default();
        hasher.update(&self.bytes[open.start..]);
        self.bytes.truncate(open.start);
        hasher
    }

    /// Ends the form. If it is long, its digest comes back, and stands in its place.
    #[inline(always)]
    pub fn close(&mut self, mut open: Open) -> Result<Option<[u8; 32]>, Failed> {
        if open.hasher.is_none() && self.bytes.len() - open.start <= INLINE {
            return Ok(None);
        }
        let digest = *self.spill(&mut open).finalize().as_bytes();
        self.put_digest(&digest)?;
        Ok(Some(digest))
    }

    pub fn put_digest(&mut self, digest: &[u8; 32]) -> Done {
        self.tag(tag::DIGEST)?;
        self.put(digest)
    }

    /// The digest of the one finished form there is.
    pub fn finish(&self) -> [u8; 32] {
        match &self.bytes[..] {
            // Only a form that was long begins so.
            [tag::DIGEST, digest @ ..] => digest.try_into().unwrap_or_default(),
            form => *blake3::hash(form).as_bytes(),
        }
    }
}

impl Drop for Forms<'_> {
    fn drop(&mut self) {
        if self.bytes.capacity() <= KEEP {
            self.bytes.clear();
            let bytes = std::mem::take(&mut self.bytes);
            let _ = SPARE.try_with(|spare| spare.set(bytes)); // fails only while the thread ends
        }
    }
}

/// Forms that stand one behind the other, into their order.
pub struct Piece {
    /// The first bytes, which mostly decide.
    prefix: u64,
    pub start: usize,
    pub end: usize,
}

impl Piece {
    pub fn new(all: &[u8], start: usize, end: usize) -> Self {
        let mut first = [0; 8];
        let len = (end - start).min(8);
        first[..len].copy_from_slice(&all[start..start + len]);
        Piece { prefix: u64::from_be_bytes(first), start, end }
    }

    /// As bytes are compared.
    #[inline(always)]
    pub fn compare(&self, other: &Self, all: &[u8]) -> std::cmp::Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| all[self.start..self.end].cmp(&all[other.start..other.end]))
    }
}
