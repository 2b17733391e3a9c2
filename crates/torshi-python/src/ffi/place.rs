//! Where an object was found by its name: in a module that is imported, as an item of its dict. As long as neither the
//! table of modules nor that dict has changed it is there still, and need not be looked for. Holds nothing alive.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Whether dicts tell that they changed.
const VERSIONS_ARE_KNOWN: bool = cfg!(all(not(Py_GIL_DISABLED), not(Py_3_14)));

/// A place in the dict of a module, and the versions of `sys.modules` and of that dict when the object was there. No two
/// states of any dicts have a version in common.
pub struct Place {
    modules: u64,
    dict: *mut ffi::PyObject,
    version: u64,
    object: *mut ffi::PyObject,
}

// SAFETY: the pointers are followed only by who is attached to the interpreter, and only after `object` has found that
// what they lead to is alive.
unsafe impl Send for Place {}

/// The version of a dict; 0 if it has none.
///
/// SAFETY: `dict` is a live exact dict.
#[inline(always)]
unsafe fn version(dict: *mut ffi::PyObject) -> u64 {
    #[cfg(all(not(Py_GIL_DISABLED), not(Py_3_14)))]
    #[allow(deprecated)] // there is no other way to ask, and where there is none at all nothing is remembered
    // SAFETY: the field of a live dict (the caller's).
    unsafe {
        (*dict.cast::<ffi::PyDictObject>()).ma_version_tag
    }
    #[cfg(any(Py_GIL_DISABLED, Py_3_14))]
    {
        let _ = dict;
        0
    }
}

/// `sys.modules`, if it is a dict.
#[inline(always)]
fn modules(_: Python<'_>) -> Option<*mut ffi::PyObject> {
    // SAFETY: the interpreter is attached; a borrowed reference comes back, to what it holds itself.
    unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        (!modules.is_null() && ffi::PyDict_CheckExact(modules) != 0).then_some(modules)
    }
}

impl Place {
    /// The place of `object`, which was found as the attribute `name` of the module called `module`. `None`: it may be
    /// there for another reason than that the module's dict has it.
    pub fn of(
        module: &Bound<'_, PyString>, name: &Bound<'_, PyString>, object: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Place>> {
        let py = object.py();
        let Some(modules) = modules(py).filter(|_| VERSIONS_ARE_KNOWN) else { return Ok(None) };
        // SAFETY: `modules` is a live exact dict. The dict of a live module of the very type, whose attributes are the
        // items of its dict, is a borrowed reference to an exact dict that it keeps for its life.
        unsafe {
            let table = Bound::from_borrowed_ptr(py, modules).cast_into_unchecked::<PyDict>();
            let Some(home) = table.get_item(module)? else { return Ok(None) };
            if home.get_type_ptr() != &raw mut ffi::PyModule_Type {
                return Ok(None);
            }
            let dict = ffi::PyModule_GetDict(home.as_ptr());
            let items = Bound::from_borrowed_ptr(py, dict).cast_into_unchecked::<PyDict>();
            let place = Place { modules: version(modules), dict, version: version(dict), object: object.as_ptr() };
            let is_there = items.get_item(name)?.is_some_and(|item| item.is(object));
            Ok((is_there && place.modules != 0 && place.version != 0).then_some(place))
        }
    }

    /// The object, if it is there still.
    #[inline]
    pub fn object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let modules = modules(py)?;
        // SAFETY: `sys.modules` is live, and in the state in which it held the module; so that is alive, and with it its
        // dict. That is in the state in which it held the object, so that is alive too.
        unsafe {
            if version(modules) != self.modules || version(self.dict) != self.version {
                return None;
            }
            Some(Bound::from_borrowed_ptr(py, self.object))
        }
    }
}
