//! Fills an empty dict in one go with the keys of another that has just the keys wanted, and puts the values in
//! their places: records of one kind then share the work of hashing and placing keys. Where the layout of a
//! dict is not the known one it does nothing and says so.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The head of a dict's table of keys, as CPython 3.11 to 3.13 have it, where this is tested (`Include/internal/pycore_dict.h`).
#[repr(C)]
struct Keys {
    refcnt: isize,
    log2_size: u8,
    log2_index_bytes: u8,
    kind: u8,
    version: u32,
    usable: isize,
    entries: isize,
    // the indices, `1 << log2_index_bytes` bytes, then the entries
}

/// An entry of a table whose keys are all str.
#[repr(C)]
struct Entry {
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
}

/// `DICT_KEYS_UNICODE`.
const ALL_TEXT: u8 = 1;
pub const LAYOUT_IS_KNOWN: bool = cfg!(all(not(Py_GIL_DISABLED), not(Py_3_14), target_pointer_width = "64"));

/// The entries of a dict that has exactly `count` pairs, all keys str, none ever deleted.
///
/// SAFETY: `dict` is a live exact dict, and the layout is the known one.
#[inline(always)]
unsafe fn entries(dict: *mut ffi::PyObject, count: usize) -> Option<*mut Entry> {
    // SAFETY: a dict's fields, in the layout its version has; a table without values of its own ("combined")
    // has its entries right behind its indices.
    unsafe {
        let object = dict.cast::<ffi::PyDictObject>();
        let keys = (*object).ma_keys.cast::<Keys>();
        let combined = (*object).ma_values.is_null();
        if !combined || (*keys).kind != ALL_TEXT || (*keys).entries != count as isize {
            return None;
        }
        Some(keys.add(1).cast::<u8>().add(1 << (*keys).log2_index_bytes).cast())
    }
}

/// A dict with the keys of `pairs` (keys and values in turn) and None for every value, if a dict with just these
/// keys can serve as a template: distinct str, in a table of the known layout.
pub fn template<'py>(py: Python<'py>, pairs: &[Bound<'py, PyAny>]) -> PyResult<Option<Bound<'py, PyDict>>> {
    if !LAYOUT_IS_KNOWN {
        return Ok(None);
    }
    let made = super::make::dict(py)?.cast_into::<PyDict>()?;
    for pair in pairs.chunks_exact(2) {
        made.set_item(&pair[0], py.None())?;
    }
    // SAFETY: a live exact dict; the entries are only compared with the keys it was just given.
    let known = unsafe {
        entries(made.as_ptr(), pairs.len() / 2).is_some_and(|entries| {
            pairs.chunks_exact(2).enumerate().all(|(at, pair)| (*entries.add(at)).key == pair[0].as_ptr())
        })
    };
    Ok(known.then_some(made))
}

/// Fills an empty exact dict with `pairs`, whose keys are those of the template, in order and by address. `false`
/// where the dict came to look otherwise than expected: it then holds the keys, and the values are to be set.
#[inline(always)]
pub fn fill<'py>(
    dict: &Bound<'py, PyDict>, template: &Bound<'py, PyDict>, pairs: &[Bound<'py, PyAny>],
) -> PyResult<bool> {
    // SAFETY: two live exact dicts. The call copies the keys, which are str, so no code of theirs runs.
    if unsafe { ffi::PyDict_Update(dict.as_ptr(), template.as_ptr()) } < 0 {
        return Err(PyErr::fetch(dict.py()));
    }
    // SAFETY: nothing else runs between here and the end, so the table stays as it is. Each key is compared before
    // its value is replaced; the template's values are None, whose references are given back. A dict that comes
    // to hold containers is shown to the cyclic collector, as CPython does when it stores one.
    unsafe {
        let Some(entries) = entries(dict.as_ptr(), pairs.len() / 2) else { return Ok(false) };
        let mut has_containers = false;
        for (at, pair) in pairs.chunks_exact(2).enumerate() {
            let entry = entries.add(at);
            if (*entry).key != pair[0].as_ptr() {
                return Ok(false);
            }
            let value = pair[1].clone().into_ptr();
            has_containers |= ffi::PyType_IS_GC(ffi::Py_TYPE(value)) != 0;
            let old = std::mem::replace(&mut (*entry).value, value);
            ffi::Py_DECREF(old);
        }
        if has_containers && ffi::PyObject_GC_IsTracked(dict.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(dict.as_ptr().cast());
        }
        Ok(true)
    }
}
