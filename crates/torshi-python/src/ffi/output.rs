//! The growing output buffer and the one exact copy into the result.
//!
//! Writes never fail: if memory runs out the buffer notes it and swallows the rest, and the writer asks
//! `is_exhausted` at the end. Nothing here knows what an opcode is.
use super::peek::{Export, Text};
use super::{fresh, make};
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::Mutex;

/// Buffers up to this size are kept for the next dump of the process: warm pages cost a sixth of fresh ones.
const KEEP: usize = 16 << 20;
/// Up to this size, for the next dump of the thread: a lock would take as long as writing a small message.
const KEEP_LOCAL: usize = 64 << 10;

static SPARE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

thread_local! {
    static LOCAL: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes written so far.
pub struct Buffer {
    bytes: Vec<u8>,
    exhausted: bool,
}

impl Buffer {
    /// An empty buffer, with the memory of an earlier one where that is free.
    pub fn new() -> Buffer {
        Buffer { bytes: LOCAL.try_with(Cell::take).unwrap_or_default(), exhausted: false }
    }

    /// Bytes in the buffer.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Has memory run out?
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Shortens to `len`, after moving what follows `from` down to `to`.
    pub fn close_gap(&mut self, to: usize, from: usize) {
        self.bytes.drain(to..from);
    }

    /// Overwrites at `at`, which must have been written before.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Makes room for `n` more bytes; false if there is no memory (and then the write is left out).
    #[inline(always)]
    fn room(&mut self, n: usize) -> bool {
        self.bytes.capacity() - self.bytes.len() >= n || self.grow(n)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) -> bool {
        if self.bytes.len() + n > KEEP_LOCAL && self.bytes.capacity() <= KEEP_LOCAL && self.take_spare(n) {
            return true;
        }
        let more = n.max(self.bytes.capacity()).max(1 << 12);
        if self.bytes.try_reserve(more).is_err() && self.bytes.try_reserve(n).is_err() {
            self.exhausted = true;
        }
        !self.exhausted
    }

    /// Moves to the large memory of an earlier dump, if that is free and has room for `n` bytes more.
    fn take_spare(&mut self, n: usize) -> bool {
        let Ok(mut spare) = SPARE.try_lock() else { return false };
        if spare.capacity() - spare.len() < self.bytes.len() + n {
            return false;
        }
        let mut large = std::mem::take(&mut *spare);
        large.extend_from_slice(&self.bytes);
        self.bytes = large;
        true
    }

    /// Appends a fixed number of bytes.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if self.room(N) {
            let len = self.bytes.len();
            // SAFETY: `room` made sure of N bytes of capacity beyond `len`; they are written before the length covers them.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.bytes.as_mut_ptr().add(len), N);
                self.bytes.set_len(len + N);
            }
        }
    }

    /// Appends the first `n` of a fixed number of bytes.
    #[inline(always)]
    pub fn put_prefix<const N: usize>(&mut self, bytes: [u8; N], n: usize) {
        if self.room(N) {
            let len = self.bytes.len();
            // SAFETY: as `put`; the length covers no more than was written.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.bytes.as_mut_ptr().add(len), N);
                self.bytes.set_len(len + n.min(N));
            }
        }
    }

    /// Appends any bytes.
    #[inline(always)]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        let n = bytes.len();
        if !self.room(n) {
            return;
        }
        let len = self.bytes.len();
        // SAFETY: `room` made sure of n bytes beyond `len`. Short runs are copied as two overlapping words, both
        // within the n bytes of source and target.
        unsafe {
            let (from, to) = (bytes.as_ptr(), self.bytes.as_mut_ptr().add(len));
            match n {
                17..=32 => pair::<16>(from, to, n),
                8..=16 => pair::<8>(from, to, n),
                4..=7 => pair::<4>(from, to, n),
                _ => std::ptr::copy_nonoverlapping(from, to, n),
            }
            self.bytes.set_len(len + n);
        }
    }

    /// Appends a str as UTF-8 (lone surrogates as three bytes); `size` is `utf8_len` of it.
    #[inline]
    pub fn put_utf8(&mut self, text: Text<'_>, size: usize) {
        match text {
            Text::Ascii(bytes) => self.put_slice(bytes),
            Text::Latin1(units) => self.encode::<2>(units.iter().map(|&u| u.into()), size),
            Text::Ucs2(units) => self.encode::<3>(units.iter().map(|&u| u.into()), size),
            Text::Ucs4(units) => self.encode::<4>(units.iter().copied(), size),
        }
    }

    #[inline(always)]
    fn encode<const WIDEST: usize>(&mut self, units: impl Iterator<Item = u32>, size: usize) {
        if !self.room(size + 4) {
            return;
        }
        let len = self.bytes.len();
        // SAFETY: `size` was computed by `utf8_len` over the same units, so the sum of the lengths written is
        // `size`; `room` made sure of 4 bytes more, so a whole word may be stored at each step.
        unsafe {
            let start = self.bytes.as_mut_ptr().add(len);
            let mut to = start;
            for u in units {
                // Computed both ways and chosen: text of mixed scripts defeats branch prediction.
                let two = (0xc0 | u >> 6) | (0x80 | u & 0x3f) << 8;
                let three = (0xe0 | u >> 12) | (0x80 | u >> 6 & 0x3f) << 8 | (0x80 | u & 0x3f) << 16;
                let mut word = if u < 0x80 { u } else { two };
                let mut len = 1 + usize::from(u >= 0x80);
                if WIDEST >= 3 {
                    word = if u < 0x800 { word } else { three };
                    len += usize::from(u >= 0x800);
                }
                if WIDEST >= 4 && u >= 0x10000 {
                    word = (0xf0 | u >> 18)
                        | (0x80 | u >> 12 & 0x3f) << 8
                        | (0x80 | u >> 6 & 0x3f) << 16
                        | (0x80 | u & 0x3f) << 24;
                    len = 4;
                }
                to.cast::<[u8; 4]>().write_unaligned(word.to_le_bytes());
                to = to.add(len);
            }
            debug_assert_eq!(to.offset_from(start) as usize, size);
            self.bytes.set_len(len + size);
        }
    }
}

/// Copies n bytes, N <= n <= 2 N, as the first N and the last N.
///
/// # Safety
/// Both pointers are good for n bytes and the two runs do not overlap each other.
#[inline(always)]
unsafe fn pair<const N: usize>(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise, and n - N + N = n.
    unsafe {
        let first = from.cast::<[u8; N]>().read_unaligned();
        let last = from.add(n - N).cast::<[u8; N]>().read_unaligned();
        to.cast::<[u8; N]>().write_unaligned(first);
        to.add(n - N).cast::<[u8; N]>().write_unaligned(last);
    }
}

/// Bytes of a str in UTF-8, lone surrogates as three.
#[inline]
pub fn utf8_len(text: Text<'_>) -> usize {
    match text {
        Text::Ascii(bytes) => bytes.len(),
        Text::Latin1(units) => units.len() + units.iter().filter(|&&u| u >= 0x80).count(),
        Text::Ucs2(units) => units.iter().map(|&u| 1 + usize::from(u >= 0x80) + usize::from(u >= 0x800)).sum(),
        Text::Ucs4(units) => units
            .iter()
            .map(|&u| 1 + usize::from(u >= 0x80) + usize::from(u >= 0x800) + usize::from(u >= 0x10000))
            .sum(),
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() <= KEEP_LOCAL {
            bytes.clear();
            let _ = LOCAL.try_with(|local| local.set(bytes)); // fails only while the thread ends
        } else if bytes.capacity() <= KEEP {
            if let Ok(mut spare) = SPARE.try_lock() {
                if spare.capacity() < bytes.capacity() {
                    bytes.clear();
                    *spare = bytes;
                }
            }
        }
    }
}

/// A large piece of the result that is copied only once, at the end.
pub enum Payload<'py> {
    /// An immutable bytes object.
    Bytes(Bound<'py, PyAny>),
    /// An immutable ASCII str.
    Text(Bound<'py, PyAny>),
    /// Somebody's memory, which may still change until `freeze`.
    Export(Export),
    /// Memory of our own.
    Copy(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes of it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Bytes(object) => super::peek::bytes(object),
            Payload::Text(object) => match super::peek::text(object) {
                Some(Text::Ascii(bytes)) => bytes,
                _ => &[],
            },
            Payload::Export(export) => export.bytes(),
            Payload::Copy(bytes) => bytes,
        }
    }

    /// Copies what others could change; false if there is no memory.
    pub fn freeze(&mut self) -> bool {
        if let Payload::Export(export) = self {
            let mut copy = Vec::new();
            if copy.try_reserve_exact(export.bytes().len()).is_err() {
                return false;
            }
            copy.extend_from_slice(export.bytes());
            *self = Payload::Copy(copy);
        }
        true
    }
}

/// One bytes object made of pieces, in order.
pub fn join<'py>(py: Python<'py>, pieces: &[&[u8]]) -> PyResult<Bound<'py, PyAny>> {
    let total = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    // SAFETY: a new bytes object of `total` uninitialised bytes, referenced by nobody else; the pieces fill
    // exactly `total` of them, and none of them lies in the new object.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), total as isize);
        let Some(object) = Bound::from_owned_ptr_or_opt(py, object) else {
            return Err(PyErr::fetch(py));
        };
        let mut to = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
        if total >= fresh::LARGE {
            let mut room = fresh::Filling::new(to, total);
            pieces.iter().for_each(|piece| room.put(piece));
            return Ok(object);
        }
        for piece in pieces {
            std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len());
            to = to.add(piece.len());
        }
        Ok(object)
    }
}

/// Asks the C library to give freed memory back to the system.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer and touches no memory in use; glibc's own locks make it safe from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Hands the interpreter a copy of the buffer as bytes.
pub fn copied<'py>(py: Python<'py>, buffer: &Buffer) -> PyResult<Bound<'py, PyAny>> {
    make::bytes(py, buffer.bytes())
}
