//! Making and filling Python objects: safe functions over the C API, each of which answers a failed
//! allocation with the Python error and never with a panic. They make; they decide nothing.

use super::fresh;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyTuple, PyType};
use std::cell::Cell;
use std::os::raw::c_char;
use std::vec::Drain;

pub use super::text::text;

/// Takes over a new reference from the C API, or the error it set.
///
/// SAFETY: the caller passes a new reference that nobody else owns, or null with an error set.
#[inline(always)]
pub(super) unsafe fn owned<'py>(py: Python<'py>, ptr: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: forwarded from the caller.
    unsafe { Bound::from_owned_ptr_or_err(py, ptr) }
}

/// An `int`.
#[inline(always)]
pub fn integer(py: Python<'_>, n: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached (`py`); the call returns a new reference or null.
    unsafe { owned(py, ffi::PyLong_FromLongLong(n)) }
}

/// An `int` from little-endian two's complement bytes.
pub fn long<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: pointer and length are those of one live slice; a new reference or null comes back. The flag
    // 1 asks for little-endian, which is signed.
    #[cfg(Py_3_13)]
    unsafe {
        owned(py, ffi::PyLong_FromNativeBytes(bytes.as_ptr().cast(), bytes.len(), 1))
    }
    // SAFETY: as above, by the older name; the two flags are little-endian and signed.
    #[cfg(not(Py_3_13))]
    unsafe {
        owned(py, ffi::_PyLong_FromByteArray(bytes.as_ptr(), bytes.len(), 1, 1))
    }
}

/// A `float`.
#[inline(always)]
pub fn float(py: Python<'_>, x: f64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; a new reference or null comes back.
    unsafe { owned(py, ffi::PyFloat_FromDouble(x)) }
}

/// A `str` from raw-unicode-escape.
pub fn text_escaped<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (ptr, len) = (raw.as_ptr().cast::<c_char>(), raw.len() as ffi::Py_ssize_t);
    // SAFETY: as in `text`; a null error handler means "strict".
    unsafe { owned(py, ffi::PyUnicode_DecodeRawUnicodeEscape(ptr, len, std::ptr::null())) }
}

/// `bytes` from a literal with backslash escapes.
pub fn bytes_unescaped<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (ptr, len) = (raw.as_ptr().cast::<c_char>(), raw.len() as ffi::Py_ssize_t);
    // SAFETY: as in `text`; null error handler and encoding are allowed, and mean strict and none.
    unsafe { owned(py, ffi::PyBytes_DecodeEscape(ptr, len, std::ptr::null(), 0, std::ptr::null())) }
}

/// `bytes`.
#[inline(always)]
pub fn bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (ptr, len) = (data.as_ptr().cast::<c_char>(), data.len() as ffi::Py_ssize_t);
    if data.len() >= fresh::LARGE {
        // SAFETY: null asks for a new object of that size with its bytes unwritten, all of which are written here.
        return unsafe {
            let made = owned(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), len))?;
            fresh::copy(data, ffi::PyBytes_AsString(made.as_ptr()).cast());
            Ok(made)
        };
    }
    // SAFETY: pointer and length are those of one live slice; the bytes are copied.
    unsafe { owned(py, ffi::PyBytes_FromStringAndSize(ptr, len)) }
}

/// A `bytearray`.
pub fn bytearray<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (ptr, len) = (data.as_ptr().cast::<c_char>(), data.len() as ffi::Py_ssize_t);
    if data.len() >= fresh::LARGE {
        // SAFETY: as for `bytes`.
        return unsafe {
            let made = owned(py, ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len))?;
            fresh::copy(data, ffi::PyByteArray_AsString(made.as_ptr()).cast());
            Ok(made)
        };
    }
    // SAFETY: pointer and length are those of one live slice; the bytes are copied.
    unsafe { owned(py, ffi::PyByteArray_FromStringAndSize(ptr, len)) }
}

/// An empty `list`.
#[inline(always)]
pub fn list(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; a new reference or null comes back.
    unsafe { owned(py, ffi::PyList_New(0)) }
}

/// An empty `dict`.
#[inline(always)]
pub fn dict(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; a new reference or null comes back.
    unsafe { owned(py, ffi::PyDict_New()) }
}

/// An empty `set`.
pub fn set(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; null as iterable means empty.
    unsafe { owned(py, ffi::PySet_New(std::ptr::null_mut())) }
}

/// Pushes new references to what stands in these slots, up to one in which nothing does; how many. Into spare places,
/// whose number is noted at the end: a push would have to wait for the one before it to note the new length.
#[inline(always)]
pub fn extend<'py, 's>(
    py: Python<'py>, stack: &mut Vec<Bound<'py, PyAny>>, slots: &[u32],
    mut get: impl FnMut(u32) -> Option<&'s Py<PyAny>>,
) -> usize {
    stack.reserve(slots.len());
    let mut count = 0;
    for (place, slot) in stack.spare_capacity_mut().iter_mut().zip(slots) {
        let Some(object) = get(*slot) else { break };
        place.write(object.bind(py).clone());
        count += 1;
    }
    // SAFETY: the first `count` of the spare places were written just now.
    unsafe { stack.set_len(stack.len() + count) };
    count
}

/// Moves the items of a drain to `slots`, which must have room for them.
///
/// SAFETY: `slots` points to at least `items.len()` writable slots that hold nothing yet. A `Bound` is one
/// pointer to an owned reference; leaking the drain leaves its vector without the items, so each
/// reference then lives in its slot and nowhere else.
#[inline(always)]
unsafe fn move_items(items: Drain<'_, Bound<'_, PyAny>>, slots: *mut *mut ffi::PyObject) {
    let slice = items.as_slice();
    // SAFETY: source and target are valid for `slice.len()` pointers and do not overlap (caller).
    unsafe { std::ptr::copy_nonoverlapping(slice.as_ptr().cast(), slots, slice.len()) };
    std::mem::forget(items);
}

/// A `tuple` that takes the items over.
#[inline(always)]
pub fn tuple_of<'py>(py: Python<'py>, items: Drain<'_, Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let empty = items.as_slice().is_empty();
    // SAFETY: a new tuple of exactly as many empty slots as there are items, or null; the slots are
    // filled before any other code sees the tuple. The empty tuple is shared and has no slots.
    unsafe {
        let tuple = owned(py, ffi::PyTuple_New(items.as_slice().len() as ffi::Py_ssize_t))?;
        if !empty {
            let object = tuple.as_ptr().cast::<ffi::PyTupleObject>();
            move_items(items, (&raw mut (*object).ob_item).cast());
        }
        Ok(tuple)
    }
}

/// A `list` that takes the items over.
pub fn list_of<'py>(py: Python<'py>, items: Drain<'_, Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let made = list(py)?;
    extend_list(made.cast::<PyList>()?, items)?;
    Ok(made)
}

/// Appends items to an exact list, which takes them over: one growth, then one store an item.
#[cfg(not(Py_GIL_DISABLED))]
#[inline(always)]
pub fn extend_list<'py>(list: &Bound<'py, PyList>, items: Drain<'_, Bound<'py, PyAny>>) -> PyResult<()> {
    let object = list.as_ptr().cast::<ffi::PyListObject>();
    let (old, more) = (list.len(), items.as_slice().len());
    let Some(new) = old.checked_add(more).filter(|n| *n <= isize::MAX as usize / 16) else {
        return Err(pyo3::exceptions::PyMemoryError::new_err(()));
    };
    // SAFETY: `object` is a live exact list, and no Python code runs between here and the end, so
    // nobody else sees it change (the interpreter lock is held: `list` is bound). CPython allocates
    // `ob_item` with the PyMem family and keeps `0 <= ob_size <= allocated`; both stay true: the block
    // is grown with PyMem_Realloc, the new slots are filled before the size is raised to them.
    unsafe {
        if (*object).allocated < new as ffi::Py_ssize_t {
            // A list in the making is filled in batches: exactly once, or with room for as much again.
            let room = if old == 0 { new } else { new + new / 2 };
            let block = ffi::PyMem_Realloc((*object).ob_item.cast(), room * size_of::<*mut ffi::PyObject>());
            if block.is_null() {
                return Err(pyo3::exceptions::PyMemoryError::new_err(()));
            }
            (*object).ob_item = block.cast();
            (*object).allocated = room as ffi::Py_ssize_t;
        }
        move_items(items, (*object).ob_item.add(old));
        (*object).ob_base.ob_size = new as ffi::Py_ssize_t;
    }
    Ok(())
}

/// Appends items to an exact list.
#[cfg(Py_GIL_DISABLED)]
pub fn extend_list<'py>(list: &Bound<'py, PyList>, items: Drain<'_, Bound<'py, PyAny>>) -> PyResult<()> {
    for item in items {
        list.append(item)?;
    }
    Ok(())
}

/// A `frozenset`, filled by `add` before anyone else sees it.
pub fn frozenset<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the interpreter is attached; null as iterable means empty. On CPython before 3.10 the
    // empty frozenset was shared; here every call makes a new one, so filling it is allowed.
    unsafe { owned(py, ffi::PyFrozenSet_New(std::ptr::null_mut())) }
}

/// Adds to a frozenset nobody else has seen yet.
pub fn frozenset_add<'py>(target: &Bound<'py, PyFrozenSet>, item: &Bound<'py, PyAny>) -> PyResult<()> {
    // SAFETY: `PySet_Add` may fill a frozenset as long as no other code has a reference to it: the
    // caller has just made it with `frozenset` and hands it out only when it is full.
    let status = unsafe { ffi::PySet_Add(target.as_ptr(), item.as_ptr()) };
    if status < 0 {
        Err(PyErr::fetch(target.py()))
    } else {
        Ok(())
    }
}

/// `cls.__new__(cls, *arguments, **keywords)` by the type's slot, as NEWOBJ promises.
#[inline(always)]
pub fn new_object<'py>(
    class: &Bound<'py, PyType>, arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = keywords.map_or(std::ptr::null_mut(), |k| k.as_ptr());
    // SAFETY: `class` is a live type object, so its `tp_new` may be read, and called with a type, a
    // tuple and null or a dict; it returns a new reference or null with an error set.
    unsafe {
        match (*class.as_type_ptr()).tp_new {
            Some(new) => owned(class.py(), new(class.as_type_ptr(), arguments.as_ptr(), keywords)),
            None => Err(PyTypeError::new_err("NEWOBJ class argument has NULL tp_new")),
        }
    }
}

/// `tuple.__new__(class, items)` for a class derived from `tuple`.
#[inline(always)]
pub fn tuple_like<'py>(class: &Bound<'py, PyType>, items: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live class whose instances are tuples (the caller's check), so its `tp_alloc` gives one of as many empty
    // places as asked for, or null; each is filled once with a reference of its own before any other code runs.
    unsafe {
        let (kind, items) = (class.as_type_ptr(), items.as_ptr());
        let count = ffi::PyTuple_GET_SIZE(items);
        let Some(alloc) = (*kind).tp_alloc else { return Err(PyTypeError::new_err("cannot create instances")) };
        let made = owned(class.py(), alloc(kind, count))?;
        for i in 0..count {
            let item = ffi::PyTuple_GET_ITEM(items, i);
            ffi::Py_INCREF(item);
            ffi::PyTuple_SET_ITEM(made.as_ptr(), i, item);
        }
        Ok(made)
    }
}

/// The value of an exact `int` if 64 bits hold it.
#[inline(always)]
pub fn small_integer(value: &Bound<'_, PyAny>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: `value` is a live int (callers check), so no error can be set; `overflow` outlives the call.
    let n = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &mut overflow) };
    (overflow == 0).then_some(n)
}

/// Whether a `str` is just these ASCII bytes.
#[inline(always)]
pub fn is_ascii_text(text: &Bound<'_, PyAny>, ascii: &[u8]) -> bool {
    let object = text.as_ptr();
    // SAFETY: the object is live; only if it is a str are its length and data read, and only if that is
    // compact ASCII is the data as many bytes as the length says. No Python code runs in between.
    unsafe {
        ffi::PyUnicode_CheckExact(object) != 0
            && ffi::PyUnicode_IS_COMPACT_ASCII(object) != 0
            && ffi::PyUnicode_GET_LENGTH(object) as usize == ascii.len()
            && std::slice::from_raw_parts(ffi::PyUnicode_DATA(object).cast::<u8>(), ascii.len()) == ascii
    }
}

/// The item of a tuple that has just one.
#[inline(always)]
pub fn only_item<'py>(tuple: &Bound<'py, PyTuple>) -> Option<Bound<'py, PyAny>> {
    match tuple.len() {
        1 => tuple.get_item(0).ok(),
        _ => None,
    }
}

/// Whether nobody but the caller holds the object.
#[inline(always)]
pub fn is_only_reference(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reads the count of a live object.
    cfg!(not(Py_GIL_DISABLED)) && unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// The interned twin of a `str`, as attribute names are kept.
pub fn interned<'py>(text: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let py = text.py();
    let mut ptr = text.into_ptr();
    // SAFETY: `ptr` is the one owned reference to an exact str (callers check); interning swaps it
    // for another owned reference, or leaves it, and never fails.
    unsafe {
        ffi::PyUnicode_InternInPlace(&mut ptr);
        Bound::from_owned_ptr(py, ptr)
    }
}

/// Goes through a dict; what `visit` does to the dict meanwhile ends the walk with `RuntimeError`.
pub fn for_each_pair<'py, E: From<PyErr>>(
    dict: &Bound<'py, PyDict>, mut visit: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> Result<(), E>,
) -> Result<(), E> {
    let (py, size) = (dict.py(), dict.len());
    let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: `dict` is a live dict and the three out-pointers outlive each call; the borrowed key and
    // value are turned into owned references before any code can run that may change the dict.
    while unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut at, &mut key, &mut value) } != 0 {
        // SAFETY: `PyDict_Next` answered non-zero, so both point to live objects of the dict.
        let (key, value) = unsafe { (Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)) };
        visit(key, value)?;
        if dict.len() != size {
            let changed = pyo3::exceptions::PyRuntimeError::new_err("dictionary changed size during iteration");
            return Err(changed.into());
        }
    }
    Ok(())
}

extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> std::os::raw::c_int;
}

thread_local! {
    /// Whether this thread is telling audit hooks of a lookup of torshi's own.
    static AUDITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the audit event that a hook of this thread is looking at comes from a load of torshi, whose names a
/// policy has allowed, and not from stock pickle.
pub fn is_auditing() -> bool {
    AUDITING.get()
}

/// Tells audit hooks which global is about to be looked up, as stock pickle does.
pub fn audit_find_class(module: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let before = AUDITING.replace(true);
    // SAFETY: two C strings and, as the format "OO" says, two live objects; the call takes references of its own.
    let status = unsafe { PySys_Audit(c"pickle.find_class".as_ptr(), c"OO".as_ptr(), module.as_ptr(), name.as_ptr()) };
    AUDITING.set(before);
    match status {
        0 => Ok(()),
        _ => Err(PyErr::fetch(module.py())),
    }
}

/// The module of this name if it is imported already.
pub fn imported<'py>(name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: `name` is a live str; the call returns a new reference, or null with or without an error.
    let module = unsafe { ffi::PyImport_GetModule(name.as_ptr()) };
    if module.is_null() {
        return match PyErr::take(name.py()) {
            Some(error) => Err(error),
            None => Ok(None),
        };
    }
    // SAFETY: a new, non-null reference that nobody else owns.
    Ok(Some(unsafe { Bound::from_owned_ptr(name.py(), module) }))
}

/// Imports a module, as stock pickle does.
pub fn import<'py>(name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `name` is a live str; a new reference or null with an error set comes back.
    unsafe { owned(name.py(), ffi::PyImport_Import(name.as_ptr())) }
}

/// A length as the interpreter counts.
pub fn signed(len: usize) -> PyResult<ffi::Py_ssize_t> {
    ffi::Py_ssize_t::try_from(len).map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))
}
