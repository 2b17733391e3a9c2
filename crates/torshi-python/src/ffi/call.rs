//! Calls and constructors whose every failure is an ordinary `PyErr`.
//!
//! pyo3's conveniences (`PyString::new`, lazy error messages, `intern!`) panic when an allocation
//! fails; nothing here does. Nothing here looks inside an object: that is `peek`.
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Result of a C API call that returns a new reference, or NULL with an error set.
///
/// # Safety
/// `ptr` is NULL with an error set, or a reference that becomes ours.
unsafe fn owned<'py>(py: Python<'py>, ptr: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise, word for word.
    match unsafe { Bound::from_owned_ptr_or_opt(py, ptr) } {
        Some(object) => Ok(object),
        None => Err(PyErr::fetch(py)),
    }
}

/// An exception of `class` with `message`; a `MemoryError` if even that cannot be made. Making it does not
/// start the cyclic collector, so no finalizer runs because something failed.
#[cold]
pub fn error(class: &Bound<'_, PyAny>, message: &str) -> PyErr {
    let py = class.py();
    without_collection(py, || match text(py, message) {
        Ok(text) => {
            // SAFETY: both are live objects; PyErr_SetObject takes its own references and checks the class.
            unsafe { ffi::PyErr_SetObject(class.as_ptr(), text.as_ptr()) };
            PyErr::fetch(py)
        }
        Err(failure) => failure,
    })
}

/// The interpreter's `MemoryError`, made without allocating anything that may fail.
#[cold]
pub fn no_memory(py: Python<'_>) -> PyErr {
    // SAFETY: sets the preallocated MemoryError and returns NULL, nothing else.
    unsafe { ffi::PyErr_NoMemory() };
    if PyErr::occurred(py) {
        PyErr::fetch(py)
    } else {
        PyMemoryError::new_err(())
    }
}

/// `RecursionError` with the interpreter's wording.
#[cold]
pub fn too_deep(py: Python<'_>) -> PyErr {
    let class = py.get_type::<pyo3::exceptions::PyRecursionError>().into_any();
    error(&class, "maximum recursion depth exceeded while pickling an object")
}

/// The interpreter's present recursion limit.
pub fn recursion_limit() -> usize {
    // SAFETY: reads a number; callers hold the interpreter, as every `Python<'py>` in this crate shows.
    (unsafe { ffi::Py_GetRecursionLimit() }).max(1) as usize
}

/// A new `str`.
pub fn text<'py>(py: Python<'py>, value: &str) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: pointer and length describe `value`; a new reference or NULL comes back.
    unsafe { owned(py, ffi::PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as isize)) }
}

/// A new `str` from Latin-1 bytes.
pub fn text_from_latin1<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as `text`.
    unsafe { owned(py, ffi::PyUnicode_DecodeLatin1(value.as_ptr().cast(), value.len() as isize, std::ptr::null())) }
}

/// A new `bytes`.
pub fn bytes<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: pointer and length describe `value`; a new reference or NULL comes back.
    unsafe { owned(py, ffi::PyBytes_FromStringAndSize(value.as_ptr().cast(), value.len() as isize)) }
}

/// The int `value`.
pub fn int(py: Python<'_>, value: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: a new reference or NULL comes back.
    unsafe { owned(py, ffi::PyLong_FromLongLong(value)) }
}

/// An empty dict.
pub fn dict(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    // SAFETY: a new reference to a dict, or NULL, comes back.
    unsafe { Ok(owned(py, ffi::PyDict_New())?.cast_into_unchecked()) }
}

/// A tuple of the given items.
pub fn tuple<'py>(py: Python<'py>, items: &[&Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyTuple>> {
    // SAFETY: the tuple is new and of that size, so each slot is stored once; the items' references are given away.
    unsafe {
        let tuple = owned(py, ffi::PyTuple_New(items.len() as isize))?;
        for (i, item) in items.iter().enumerate() {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), i as isize, (*item).clone().into_ptr());
        }
        Ok(tuple.cast_into_unchecked())
    }
}

/// `tuple[start:]`.
pub fn tuple_tail<'py>(tuple: &Bound<'py, PyTuple>, start: usize) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live tuple; out-of-range bounds are clipped by the call.
    unsafe { owned(tuple.py(), ffi::PyTuple_GetSlice(tuple.as_ptr(), start as isize, isize::MAX)) }
}

/// `list(object)`.
pub fn list<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; a new reference or NULL comes back.
    unsafe { owned(object.py(), ffi::PySequence_List(object.as_ptr())) }
}

/// `iter(object)`.
pub fn iterate<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as `list`.
    unsafe { owned(object.py(), ffi::PyObject_GetIter(object.as_ptr())) }
}

/// `next(iterator)`, `None` at the end. `iterator` must pass `is_iterator`.
pub fn advance<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !is_iterator(iterator) {
        return Ok(None);
    }
    // SAFETY: checked to be an iterator just above; NULL without an error means the end.
    match unsafe { Bound::from_owned_ptr_or_opt(iterator.py(), ffi::PyIter_Next(iterator.as_ptr())) } {
        Some(item) => Ok(Some(item)),
        None => match PyErr::take(iterator.py()) {
            Some(error) => Err(error),
            None => Ok(None),
        },
    }
}

/// Has the type a `__next__`?
pub fn is_iterator(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads type slots of a live object.
    unsafe { ffi::PyIter_Check(object.as_ptr()) != 0 }
}

/// `function()`.
pub fn call0<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; a new reference or NULL comes back.
    unsafe { owned(function.py(), ffi::PyObject_CallNoArgs(function.as_ptr())) }
}

/// `function(argument)`.
pub fn call1<'py>(function: &Bound<'py, PyAny>, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: live objects; a new reference or NULL comes back.
    unsafe { owned(function.py(), ffi::PyObject_CallOneArg(function.as_ptr(), argument.as_ptr())) }
}

/// `function(*args, **kwargs)`.
pub fn call<'py>(
    function: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live callable, a tuple and a dict, as the types say.
    unsafe { owned(function.py(), ffi::PyObject_Call(function.as_ptr(), args.as_ptr(), kwargs.as_ptr())) }
}

/// `str(object)`.
pub fn str<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; a new reference or NULL comes back.
    unsafe { owned(object.py(), ffi::PyObject_Str(object.as_ptr())) }
}

/// `repr(object)`.
pub fn repr<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as `str`.
    unsafe { owned(object.py(), ffi::PyObject_Repr(object.as_ptr())) }
}

/// `getattr(object, name)`.
pub fn attribute<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: live objects; a new reference or NULL comes back.
    unsafe { owned(object.py(), ffi::PyObject_GetAttr(object.as_ptr(), name.as_ptr())) }
}

#[cfg(not(Py_3_13))]
extern "C" {
    fn _PyObject_LookupAttr(
        object: *mut ffi::PyObject, name: *mut ffi::PyObject, result: *mut *mut ffi::PyObject,
    ) -> std::ffi::c_int;
}

/// `getattr(object, name)`, `None` on AttributeError only.
pub fn lookup<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut result = std::ptr::null_mut();
    // SAFETY: live objects; `result` receives a new reference or NULL, errors are told by a negative answer.
    // A name that is not a str is refused by the call with TypeError.
    unsafe {
        #[cfg(Py_3_13)]
        let status = ffi::PyObject_GetOptionalAttr(object.as_ptr(), name.as_ptr(), &mut result);
        #[cfg(not(Py_3_13))]
        let status = _PyObject_LookupAttr(object.as_ptr(), name.as_ptr(), &mut result);
        if status < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Bound::from_owned_ptr_or_opt(object.py(), result))
    }
}

/// `mapping[key]`, `None` on KeyError only.
pub fn item<'py>(mapping: &Bound<'py, PyAny>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: live objects; a new reference or NULL comes back.
    match unsafe { owned(mapping.py(), ffi::PyObject_GetItem(mapping.as_ptr(), key.as_ptr())) } {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyKeyError>(mapping.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `dict.get(key)` for a real dict.
pub fn dict_get<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: a dict, as the type says; a borrowed reference, NULL, or NULL with an error comes back.
    match unsafe {
        Bound::from_borrowed_ptr_or_opt(dict.py(), ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr()))
    } {
        Some(value) => Ok(Some(value)),
        None => match PyErr::take(dict.py()) {
            Some(error) => Err(error),
            None => Ok(None),
        },
    }
}

/// `bool(object)`.
pub fn truth(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: a live object.
    match unsafe { ffi::PyObject_IsTrue(object.as_ptr()) } {
        -1 => Err(PyErr::fetch(object.py())),
        answer => Ok(answer != 0),
    }
}

/// `__import__(name, level=0)`: the top package; look the module up in `sys.modules` afterwards.
pub fn import<'py>(name: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = name.py();
    let none = std::ptr::null_mut();
    // SAFETY: a live name (checked to be a str by the call), no globals, locals or from-list, absolute.
    unsafe { owned(py, ffi::PyImport_ImportModuleLevelObject(name.as_ptr(), none, none, none, 0)) }.map(drop)
}

/// `sys.modules`.
pub fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: a borrowed reference, or NULL.
    match unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyImport_GetModuleDict()) } {
        Some(modules) => Ok(modules),
        None => Err(no_memory(py)),
    }
}

/// `sys.modules[name]`, `None` if absent.
pub fn module<'py>(name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: a live name; a new reference, NULL, or NULL with an error comes back.
    match unsafe { Bound::from_owned_ptr_or_opt(name.py(), ffi::PyImport_GetModule(name.as_ptr())) } {
        Some(module) => Ok(Some(module)),
        None => match PyErr::take(name.py()) {
            Some(error) => Err(error),
            None => Ok(None),
        },
    }
}

/// Runs `work` with the cyclic collector paused, so that no finalizer runs because of it.
pub fn without_collection<R>(_py: Python<'_>, work: impl FnOnce() -> R) -> R {
    // SAFETY: both calls set a flag and return the old one; the interpreter is attached (`_py`).
    let was_on = unsafe { ffi::PyGC_Disable() } != 0;
    let result = work();
    if was_on {
        // SAFETY: as above.
        unsafe { ffi::PyGC_Enable() };
    }
    result
}
