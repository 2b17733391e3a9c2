//! The growing output buffer, which becomes the result.
//!
//! Short output is copied once, into a result of its size; longer output grows in the very object that is handed out.
//! Writes never fail: if memory runs out the buffer notes it and swallows the rest, and the writer asks
//! `is_exhausted` at the end. Nothing here knows what an opcode is.
use super::peek::{Export, Text};
use super::{fresh, make};
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Up to this size, memory is kept for the next dump of the thread, and output is copied: warm pages cost a sixth of
/// fresh ones.
const KEEP_LOCAL: usize = 64 << 10;
/// What output that outgrows its room is given beyond it, at the most.
const MOST_SLACK: usize = 64 << 20;
/// The longest output that is expected again.
const MOST_EXPECTED: usize = 1 << 30;

extern "C" {
    /// Gives a bytes object that nobody else refers to another length; where there is no memory for that, the object is
    /// gone, null stands in its place and an error is set.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, length: ffi::Py_ssize_t) -> c_int;
}

thread_local! {
    static LOCAL: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What objects of a type last came to: one of the same type is likely to come to as much. Type and length in pairs.
static LENGTHS: [[AtomicUsize; 2]; 16] = [const { [const { AtomicUsize::new(0) }; 2] }; 16];

fn place_of(kind: usize) -> &'static [AtomicUsize; 2] {
    &LENGTHS[((kind >> 4) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> (usize::BITS - 4)]
}

/// Bytes written so far.
pub struct Buffer {
    /// Where they are: in `own`, or in `object`.
    start: *mut u8,
    len: usize,
    capacity: usize,
    /// Memory of a `Vec` that counts itself as empty.
    own: Vec<u8>,
    /// A `bytes` object as long as the capacity, which nobody else has seen.
    object: Option<Py<PyAny>>,
    /// Whether long output becomes one object.
    is_whole: bool,
    /// The type of what it is the dump of.
    kind: usize,
    /// How much of the object the system was asked for.
    fresh: usize,
    exhausted: bool,
}

impl Buffer {
    /// An empty buffer, with the memory of an earlier one where that is free.
    pub fn new() -> Buffer {
        let mut own = LOCAL.try_with(Cell::take).unwrap_or_default();
        Buffer {
            start: own.as_mut_ptr(),
            len: 0,
            capacity: own.capacity(),
            own,
            object: None,
            is_whole: false,
            kind: 0,
            fresh: 0,
            exhausted: false,
        }
    }

    /// From here on what is written is one object in the end, the dump of an object of this type.
    pub fn becomes_whole(&mut self, root: &Bound<'_, PyAny>) {
        self.is_whole = true;
        self.kind = root.get_type_ptr() as usize;
    }

    /// Bytes in the buffer.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has memory run out?
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is good for `capacity` bytes, of which the first `len` were written: every method keeps it so.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Shortens, after moving what follows `from` down to `to`.
    pub fn close_gap(&mut self, to: usize, from: usize) {
        assert!(to <= from && from <= self.len);
        // SAFETY: both runs lie within the bytes written, which was just made sure of; they may overlap.
        unsafe { std::ptr::copy(self.start.add(from), self.start.add(to), self.len - from) };
        self.len -= from - to;
    }

    /// Overwrites at `at`, which must have been written before.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if at <= self.len && bytes.len() <= self.len - at {
            // SAFETY: the place lies within the bytes written; `bytes` is somebody else's.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at), bytes.len()) };
        }
    }

    /// Makes room for `n` more bytes; false if there is no memory (and then the write is left out).
    #[inline(always)]
    fn room(&mut self, n: usize) -> bool {
        self.capacity - self.len >= n || self.grow(n)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) -> bool {
        if self.exhausted {
            return false;
        }
        let Some(needed) = self.len.checked_add(n) else { return self.exhaust() };
        if self.is_whole && (self.object.is_some() || needed > KEEP_LOCAL) {
            return self.grow_object(needed);
        }
        // SAFETY: the first `len` bytes of the memory were written; the length is taken back before anybody looks.
        unsafe { self.own.set_len(self.len) };
        let more = n.max(self.capacity).max(1 << 12);
        let grown = self.own.try_reserve(more).is_ok() || self.own.try_reserve(n).is_ok();
        // SAFETY: no bytes at all are always written.
        unsafe { self.own.set_len(0) };
        (self.start, self.capacity) = (self.own.as_mut_ptr(), self.own.capacity());
        grown || self.exhaust()
    }

    fn exhaust(&mut self) -> bool {
        self.exhausted = true;
        (self.len, self.capacity) = (0, 0);
        false
    }

    /// Gives the object, or one that takes over what was written so far, room for `needed` bytes and some more.
    fn grow_object(&mut self, needed: usize) -> bool {
        let slack = if self.object.is_none() && needed >= fresh::HUGE { 0 } else { needed.min(MOST_SLACK) };
        let wanted = needed.saturating_add(slack.max(KEEP_LOCAL)).max(self.expected(needed));
        // SAFETY: the interpreter is attached whenever an object is written, and nobody else refers to the object. Its
        // data is good for `wanted` bytes, of which the first `len` are written: copied here, or kept by the call.
        unsafe {
            let py = Python::assume_attached();
            let first = self.object.is_none();
            let object = match self.object.take() {
                Some(object) => {
                    let mut object = object.into_ptr();
                    _PyBytes_Resize(&raw mut object, wanted as ffi::Py_ssize_t);
                    object
                }
                None => ffi::PyBytes_FromStringAndSize(std::ptr::null(), wanted as ffi::Py_ssize_t),
            };
            let Some(held) = Bound::from_owned_ptr_or_opt(py, object) else {
                ffi::PyErr_Clear(); // the writer raises it
                return self.exhaust();
            };
            let start = ffi::PyBytes_AsString(held.as_ptr()).cast::<u8>();
            if first {
                std::ptr::copy_nonoverlapping(self.start, start, self.len);
            }
            (self.start, self.capacity, self.object) = (start, wanted, Some(held.unbind()));
        }
        self.ask_for_pages();
        true
    }

    /// What objects of the type came to last, and a little more, if it is on the way there.
    fn expected(&self, needed: usize) -> usize {
        let [kind, length] = place_of(self.kind);
        let length = length.load(Ordering::Relaxed);
        let likely = kind.load(Ordering::Relaxed) == self.kind && needed >= length / 8 && length <= MOST_EXPECTED;
        if likely {
            length + 4096
        } else {
            0
        }
    }

    /// Tells the system that the room that is new is about to be written.
    fn ask_for_pages(&mut self) {
        let from = self.fresh.max(self.len);
        if self.capacity - from >= fresh::LARGE {
            // SAFETY: the run lies within the object's data.
            fresh::expect(unsafe { self.start.add(from) }, self.capacity - from);
        }
        self.fresh = self.capacity;
    }

    /// The bytes as an object.
    pub fn take_object<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(object) = self.object.take() else { return bytes_of(py, self.bytes()) };
        let [kind, length] = place_of(self.kind);
        kind.store(self.kind, Ordering::Relaxed);
        length.store(self.len, Ordering::Relaxed);
        let mut object = object.into_ptr();
        // SAFETY: nobody else refers to the object; it gets the length of what was written, or is given up with an error.
        unsafe {
            _PyBytes_Resize(&raw mut object, self.len as ffi::Py_ssize_t);
            Bound::from_owned_ptr_or_err(py, object)
        }
    }

    /// Appends a fixed number of bytes.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if self.room(N) {
            // SAFETY: `room` made sure of N bytes of capacity beyond `len`; they are written before the length covers them.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.len), N) };
            self.len += N;
        }
    }

    /// Appends the first `n` of a fixed number of bytes.
    #[inline(always)]
    pub fn put_prefix<const N: usize>(&mut self, bytes: [u8; N], n: usize) {
        if self.room(N) {
            // SAFETY: as `put`; the length covers no more than was written.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.len), N) };
            self.len += n.min(N);
        }
    }

    /// Appends any bytes.
    #[inline(always)]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        let n = bytes.len();
        if !self.room(n) {
            return;
        }
        // SAFETY: `room` made sure of n bytes beyond `len`.
        unsafe { copy(bytes, self.start.add(self.len)) };
        self.len += n;
    }

    /// Appends any bytes between two and one of a fixed number: one look at the room for all of them.
    #[inline(always)]
    pub fn put_between(&mut self, before: [u8; 2], bytes: &[u8], behind: u8) {
        let n = bytes.len();
        if !self.room(n + 3) {
            return;
        }
        // SAFETY: `room` made sure of n + 3 bytes beyond `len`, all of which are written before the length covers them.
        unsafe {
            let to = self.start.add(self.len);
            std::ptr::copy_nonoverlapping(before.as_ptr(), to, 2);
            copy(bytes, to.add(2));
            *to.add(2 + n) = behind;
        }
        self.len += n + 3;
    }

    /// Appends a long run of bytes.
    pub fn put_large(&mut self, bytes: &[u8]) {
        if self.room(bytes.len()) {
            // SAFETY: as `put_slice`; nobody else has seen the memory.
            unsafe { fresh::fill(bytes, self.start.add(self.len)) };
            self.len += bytes.len();
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
        // SAFETY: `size` was computed by `utf8_len` over the same units, so the sum of the lengths written is
        // `size`; `room` made sure of 4 bytes more, so a whole word may be stored at each step.
        unsafe {
            let start = self.start.add(self.len);
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
        }
        self.len += size;
    }
}

/// Copies bytes; short runs as two overlapping words, both within the source and as much of the target.
///
/// # Safety
/// `to` is good for as many bytes, which are not the source's.
#[inline(always)]
unsafe fn copy(bytes: &[u8], to: *mut u8) {
    let (from, n) = (bytes.as_ptr(), bytes.len());
    // SAFETY: by the caller; each arm's words lie within the n bytes.
    unsafe {
        match n {
            17..=32 => pair::<16>(from, to, n),
            8..=16 => pair::<8>(from, to, n),
            4..=7 => pair::<4>(from, to, n),
            2..=3 => pair::<2>(from, to, n),
            _ => std::ptr::copy_nonoverlapping(from, to, n),
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
        if self.own.capacity() <= KEEP_LOCAL {
            let own = std::mem::take(&mut self.own);
            let _ = LOCAL.try_with(|local| local.set(own)); // fails only while the thread ends
        }
    }
}

/// A long run of bytes.
pub enum Payload<'py> {
    /// An immutable bytes object.
    Bytes(Bound<'py, PyAny>),
    /// Somebody's memory.
    Export(Export),
}

impl Payload<'_> {
    /// The bytes of it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Bytes(object) => super::peek::bytes(object),
            Payload::Export(export) => export.bytes(),
        }
    }
}

/// A bytes object of its own.
pub fn bytes_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new bytes object of that many uninitialised bytes, referenced by nobody else, all of which are filled.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), bytes.len() as ffi::Py_ssize_t);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let to = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
        match bytes.len() >= fresh::LARGE {
            true => fresh::copy(bytes, to),
            false => std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()),
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
