//! Files to memory without reading them: a private mapping as an object with a buffer. Pages come from the file when they
//! are touched; what is written to them stays in the process. It goes when the last view of it does.
//!
//! A file that is cut short while it is mapped takes its pages along, and whoever touches one is ended by SIGBUS: this is
//! so for every mapping, and is said where mapping is described to users.

use super::blank::Payload;
use super::make;
use memmap2::{MmapOptions, MmapRaw};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PySlice};
use std::os::raw::c_int;

/// The first bytes of a file, mapped.
#[pyclass(module = "torshi._native", name = "Mapping", frozen)]
pub struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps `length` bytes of a file, which must have them.
    pub fn of(py: Python<'_>, fd: c_int, length: usize) -> PyResult<Bound<'_, Mapping>> {
        let mut options = MmapOptions::new();
        options.len(length).no_reserve_swap();
        // SAFETY: nothing here keeps a reference into the mapping beyond a call: what it holds may change until a page
        // is first written to, and is only ever read as plain bytes.
        let map = unsafe { options.map_copy(fd) }?;
        Bound::new(py, Mapping { map: map.into() })
    }

    /// The bytes of a part as an object of their own, which keeps the mapping; read-only ones cannot be written to.
    pub fn payload<'py>(
        this: &Bound<'py, Mapping>, at: usize, length: usize, readonly: bool,
    ) -> PyResult<Payload<'py>> {
        let py = this.py();
        let map = &this.get().map;
        if at.checked_add(length).is_none_or(|end| end > map.len()) {
            return Err(pyo3::exceptions::PyValueError::new_err("a payload outside the mapping"));
        }
        let whole = PyMemoryView::from(this.as_any())?;
        let mut view = whole.get_item(PySlice::new(py, at as isize, (at + length) as isize, 1))?;
        if readonly {
            view = view.call_method0(pyo3::intern!(py, "toreadonly"))?;
        }
        // SAFETY: within the mapping, as was looked at above; the view holds on to it.
        Ok(unsafe { Payload::mapped(view, map.as_ptr().add(at), length) })
    }
}

#[pymethods]
impl Mapping {
    /// The whole of it, for `memoryview`.
    ///
    /// # Safety
    ///
    /// Called by the interpreter alone, with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let map = &slf.get().map;
        let (start, length) = (map.as_mut_ptr(), make::signed(map.len())?);
        // SAFETY: the view is the interpreter's to fill; it takes a reference to the object, which keeps the memory.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), length, 0, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
