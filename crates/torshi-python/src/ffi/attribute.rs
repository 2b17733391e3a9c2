//! Sets attributes of ordinary instances: slots by their place, others by the generic way. It decides nothing:
//! whether a class may be treated so is for the caller to find out first.

use super::instance;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Are attributes set the plain way (no `__setattr__`, no `__delattr__`)?
pub fn has_plain_setattr(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a live class; the field is read and compared, not called.
    let found = unsafe { (*class.as_type_ptr()).tp_setattro };
    found.is_some_and(|found| found as usize == ffi::PyObject_GenericSetAttr as *const () as usize)
}

/// Does setting the attribute `name` (a str) the generic way store it in the `__dict__` of the instance, and run
/// nothing: has the class a dict of the ordinary kind, and no descriptor of that name that takes stores?
pub fn lives_in_dict(class: &Bound<'_, PyType>, name: &Bound<'_, PyAny>) -> bool {
    let own_dict = instance::class_attribute(class, pyo3::intern!(class.py(), "__dict__"));
    // SAFETY: live classes and objects; type slots are read only.
    unsafe {
        let is_getset = own_dict.is_some_and(|d| d.get_type_ptr() == &raw mut ffi::PyGetSetDescr_Type);
        let takes_stores = match instance::class_attribute(class, name) {
            Some(found) => (*found.get_type_ptr()).tp_descr_set.is_some(),
            None => false,
        };
        is_getset && !takes_stores && (*class.as_type_ptr()).tp_dictoffset != 0
    }
}

/// `object.__setattr__(object, name, value)`.
#[inline(always)]
pub fn set<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    // SAFETY: live objects; the call takes references of its own, and checks that the name is a str.
    match unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(object.py())),
    }
}

/// Where a writable slot named `name` (a str) lies in the instances of a class whose attributes are set plainly.
pub fn slot_offset(class: &Bound<'_, PyType>, name: &Bound<'_, PyAny>) -> Option<isize> {
    let descriptor = instance::class_attribute(class, name)?;
    let offset = instance::slot_offset(class, &descriptor)?;
    // SAFETY: `instance::slot_offset` has found it to be a member descriptor, so its definition is there.
    let flags = unsafe { (*(*descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>()).d_member).flags };
    (flags & ffi::Py_READONLY == 0).then_some(offset)
}

/// Stores a value in a slot; `offset` must come from `slot_offset` for the very class of `object`.
#[inline(always)]
pub fn store<'py>(object: &Bound<'py, PyAny>, offset: isize, value: Bound<'py, PyAny>) {
    let py = object.py();
    // SAFETY: the offset lies within the object and holds a reference or NULL (the caller keeps offsets by class).
    // The new reference is in place before the old one is dropped, which may run code.
    let old = unsafe {
        let place = object.as_ptr().cast::<u8>().offset(offset).cast::<*mut ffi::PyObject>();
        let old = std::ptr::replace(place, value.into_ptr());
        Bound::from_owned_ptr_or_opt(py, old)
    };
    drop(old);
}
