//! Objects made before their content is known: `bytes` and `bytearray` that a file fills in place, so that a long
//! payload is neither copied nor held twice. Until it is given away, nothing but its owner here refers to one.

use super::{fresh, make};
use pyo3::ffi;
use pyo3::prelude::*;
use std::os::raw::c_char;

/// An object of which a part is written.
pub struct Blank<'py> {
    object: Bound<'py, PyAny>,
    start: *mut u8,
    len: usize,
    filled: usize,
}

/// A whole object, which cannot change before it is given away, unless it is mapped.
pub struct Payload<'py> {
    object: Bound<'py, PyAny>,
    start: *const u8,
    len: usize,
    mapped: bool,
}

impl<'py> Blank<'py> {
    /// A `bytes` object.
    pub fn bytes(py: Python<'py>, len: usize) -> PyResult<Self> {
        // SAFETY: null asks for a new object of that size with its bytes unwritten; `Blank` shows only what is written.
        unsafe {
            let object = make::owned(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), make::signed(len)?))?;
            let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
            Ok(Blank::new(object, start, len))
        }
    }

    /// A `bytearray`.
    pub fn bytearray(py: Python<'py>, len: usize) -> PyResult<Self> {
        // SAFETY: as for `bytes`.
        unsafe {
            let object = make::owned(py, ffi::PyByteArray_FromStringAndSize(std::ptr::null(), make::signed(len)?))?;
            let start = ffi::PyByteArray_AsString(object.as_ptr()).cast::<u8>();
            Ok(Blank::new(object, start, len))
        }
    }

    fn new(object: Bound<'py, PyAny>, start: *mut u8, len: usize) -> Self {
        fresh::expect(start, len);
        Blank { object, start, len, filled: 0 }
    }

    /// Writes the next bytes; those beyond its end are left out.
    pub fn put(&mut self, data: &[u8]) {
        let n = data.len().min(self.len - self.filled);
        // SAFETY: `n` bytes of room are left behind those filled, and no slice of ours lies there.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.start.add(self.filled), n) };
        self.filled += n;
    }

    /// Lets a file write the next bytes; how many it did. `readinto` must be the method of a file type of the
    /// interpreter's own, which neither keeps what it is given nor says that it wrote what it did not.
    pub fn fill(mut self, readinto: &Bound<'py, PyAny>, file: &Bound<'py, PyAny>) -> PyResult<(Self, usize)> {
        const WRITE: std::os::raw::c_int = 0x200;
        let rest = self.len - self.filled;
        // SAFETY: the view is of the room left in a live object. It is released below before the object can go, and
        // where that fails the object stays for ever.
        let view = unsafe {
            let room = self.start.add(self.filled).cast::<c_char>();
            make::owned(file.py(), ffi::PyMemoryView_FromMemory(room, rest as ffi::Py_ssize_t, WRITE))?
        };
        let given = readinto.call1((file, &view));
        if let Err(error) = view.call_method0(pyo3::intern!(file.py(), "release")) {
            std::mem::forget(self.object);
            return Err(error);
        }
        let n = given?.extract::<usize>()?.min(rest);
        self.filled += n;
        Ok((self, n))
    }

    /// What is written.
    pub fn filled(&self) -> &[u8] {
        // SAFETY: that many bytes from the start were written, and nobody else has the object, so they stay.
        unsafe { std::slice::from_raw_parts(self.start, self.filled) }
    }

    /// The whole object, if it is that.
    pub fn finish(self) -> Result<Payload<'py>, Self> {
        match self.filled == self.len {
            true => Ok(Payload { object: self.object, start: self.start, len: self.len, mapped: false }),
            false => Err(self),
        }
    }
}

impl<'py> Payload<'py> {
    /// An object over bytes of a mapped file.
    ///
    /// # Safety
    ///
    /// `len` bytes are at `start` as long as the object lives.
    pub unsafe fn mapped(object: Bound<'py, PyAny>, start: *const u8, len: usize) -> Self {
        Payload { object, start, len, mapped: true }
    }

    /// Whether its bytes are a file's, and may change: no check may go by what they are.
    pub fn is_mapped(&self) -> bool {
        self.mapped
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its content.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: all of it was written, and nobody else has the object, so it stays as it is. Of a mapped one whoever
        // asks copies or digests the bytes, and goes by the copy or the digest alone.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The same bytes in an object of their own: `bytes` for what cannot be written to, a `bytearray` for the rest.
    pub fn copied(&self, py: Python<'py>) -> PyResult<Payload<'py>> {
        let readonly = self.object.getattr(pyo3::intern!(py, "readonly"))?.is_truthy()?;
        let mut blank = if readonly { Blank::bytes(py, self.len)? } else { Blank::bytearray(py, self.len)? };
        blank.put(self.as_slice());
        blank.finish().map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))
    }

    /// The object, for everyone.
    pub fn into_object(self) -> Bound<'py, PyAny> {
        self.object
    }
}
