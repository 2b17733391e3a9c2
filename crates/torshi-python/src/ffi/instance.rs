//! Reads instances of ordinary classes: layout, slots, attributes. Writes nothing, runs no Python code.
use super::call;
use pyo3::ffi;
use pyo3::prelude::*;

const MANAGED_DICT: std::ffi::c_ulong = 1 << 4;
/// `T_OBJECT_EX`: a slot that raises AttributeError while it is empty.
const OBJECT_EX: std::ffi::c_int = 16;

/// Names one state of a class: changes whenever the class or a base of it is changed. 0: unknown.
#[inline(always)]
pub fn type_version(class: &Bound<'_, PyAny>) -> u32 {
    debug_assert!(super::peek::is_type(class));
    // SAFETY: a live class by the caller's dispatch.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_version_tag }
}

/// `type_version` of the object's type.
#[inline(always)]
pub fn version_of_type(object: &Bound<'_, PyAny>) -> u32 {
    // SAFETY: the type of a live object is alive.
    unsafe { (*object.get_type_ptr()).tp_version_tag }
}

/// Are attributes looked up the plain way (no `__getattr__`, no `__getattribute__`)?
pub fn has_plain_attributes(class: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live class by the caller's dispatch.
    let found = unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_getattro };
    found.is_some_and(|found| found as usize == ffi::PyObject_GenericGetAttr as *const () as usize)
}

/// Has an instance nothing but a dict, weak references and `slots` slots: what `object.__reduce_ex__` asks?
pub fn has_plain_layout(class: &Bound<'_, PyAny>, slots: usize) -> bool {
    // SAFETY: live classes; fields are read only.
    unsafe {
        let t = class.as_ptr().cast::<ffi::PyTypeObject>();
        let mut size = ffi::PyBaseObject_Type.tp_basicsize;
        if (*t).tp_dictoffset != 0 && (*t).tp_flags & MANAGED_DICT == 0 {
            size += size_of::<*mut ffi::PyObject>() as isize;
        }
        if (*t).tp_weaklistoffset > 0 {
            size += size_of::<*mut ffi::PyObject>() as isize;
        }
        (*t).tp_itemsize == 0 && (*t).tp_basicsize <= size + (slots * size_of::<*mut ffi::PyObject>()) as isize
    }
}

/// Was the class made by a `class` statement or the like, not by a static C definition?
pub fn is_heap_type(class: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live class by the caller's dispatch.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_flags & (1 << 9) != 0 }
}

/// Is the class, as a key of a dict, hashed and compared by its address alone?
pub fn hashes_by_address(class: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type of a live object is alive; slots are compared, not called.
    unsafe {
        let (meta, plain) = (class.get_type_ptr(), &raw const ffi::PyType_Type);
        let slot =
            |t: *const ffi::PyTypeObject| ((*t).tp_hash.map(|f| f as usize), (*t).tp_richcompare.map(|f| f as usize));
        slot(meta) == slot(plain)
    }
}

/// Is it a class derived from tuple?
pub fn derives_from_tuple(class: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live class by the caller's dispatch.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_flags & (1 << 26) != 0 }
}

extern "C" {
    fn _PyType_Lookup(class: *mut ffi::PyTypeObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// What the class or a base of it has under `name` (a str), without binding it and without running code.
pub fn class_attribute<'py>(class: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    debug_assert!(super::peek::is_type(class));
    // SAFETY: a live class and a live str; a borrowed reference or NULL comes back, without an error set.
    unsafe { Bound::from_borrowed_ptr_or_opt(class.py(), _PyType_Lookup(class.as_ptr().cast(), name.as_ptr())) }
}

/// Does the object's own class (or `numpy.dtype`, for the dtypes) define one of the methods `names` in C?
pub fn reduces_in_c(object: &Bound<'_, PyAny>, names: [&Bound<'_, PyAny>; 2]) -> bool {
    let class = object.get_type_ptr();
    names.iter().any(|name| {
        // SAFETY: the type of a live object and a live str; the attribute found is only looked at.
        unsafe {
            let found = _PyType_Lookup(class, name.as_ptr());
            if found.is_null() || ffi::Py_TYPE(found) != &raw mut ffi::PyMethodDescr_Type {
                return false;
            }
            let owner = (*found.cast::<ffi::PyMethodDescrObject>()).d_common.d_type;
            owner == class || std::ffi::CStr::from_ptr((*owner).tp_name) == c"numpy.dtype"
        }
    })
}

/// Have instances of the class a `__dict__`?
pub fn has_dict(class: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live class by the caller's dispatch.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_dictoffset != 0 }
}

/// Is it a class derived from list, tuple, dict or another builtin whose content a plain plan would miss?
pub fn derives_from_builtin(class: &Bound<'_, PyAny>) -> bool {
    const CONTENT: std::ffi::c_ulong = 0xff << 24;
    // SAFETY: a live class by the caller's dispatch.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_flags & CONTENT != 0 }
}

/// Where a slot lies in the instances of `class`, if `descriptor` is one of its own plain slots.
pub fn slot_offset(class: &Bound<'_, PyAny>, descriptor: &Bound<'_, PyAny>) -> Option<isize> {
    // SAFETY: the exact type of the descriptor is checked before its fields are read, and its owner is checked
    // to be a base of `class`, so the offset lies within instances of it.
    unsafe {
        if descriptor.get_type_ptr() != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        let member = descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>();
        let owner = (*member).d_common.d_type;
        let definition = (*member).d_member;
        if ffi::PyType_IsSubtype(class.as_ptr().cast(), owner) == 0 || (*definition).type_code != OBJECT_EX {
            return None;
        }
        Some((*definition).offset)
    }
}

/// The value in a slot; `offset` must come from `slot_offset` for the present type of `object`.
#[inline(always)]
pub fn slot<'py>(object: &Bound<'py, PyAny>, offset: isize) -> Option<Bound<'py, PyAny>> {
    // SAFETY: plans keep offsets by type and type version, and are looked up by those of `object`, so the offset
    // lies within it and holds a reference or NULL.
    unsafe {
        let place = object.as_ptr().cast::<u8>().offset(offset).cast::<*mut ffi::PyObject>();
        Bound::from_borrowed_ptr_or_opt(object.py(), *place)
    }
}

/// The instance's `__dict__`, `None` if it is empty.
pub fn dict<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    // The dict may have to be made; pausing the collector keeps finalizers from running because of that.
    let dict = call::without_collection(py, || {
        // SAFETY: an instance whose class has a dict offset, as plans check; a new reference or NULL comes back.
        unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut())) }
    });
    match dict {
        Some(dict) if super::peek::is_dict(&dict) && super::peek::dict_len(&dict) == 0 => Ok(None),
        Some(dict) => Ok(Some(dict)),
        None => Err(PyErr::fetch(py)),
    }
}
