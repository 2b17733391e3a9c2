//! Reads the innards of live objects: kinds, items, text, digits, buffers, counts.
//!
//! Nothing here runs Python code (`Export` aside), changes an object or keeps a borrowed pointer beyond the
//! borrow it was given; items come out as owned references, so a container may change meanwhile.
use pyo3::ffi;
use pyo3::prelude::*;

/// What the encoder dispatches on: exact builtin types, and everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    None,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    ByteArray,
    List,
    Tuple,
    Dict,
    Set,
    FrozenSet,
    PickleBuffer,
    Type,
    Function,
    Other,
}

/// The exact kind of an object.
#[inline(always)]
pub fn kind(object: &Bound<'_, PyAny>) -> Kind {
    // SAFETY: reads the type pointer of a live object and compares it with static addresses.
    unsafe {
        let t = ffi::Py_TYPE(object.as_ptr());
        if t == &raw mut ffi::PyUnicode_Type {
            Kind::Str
        } else if t == &raw mut ffi::PyLong_Type {
            Kind::Int
        } else if t == &raw mut ffi::PyFloat_Type {
            Kind::Float
        } else if t == &raw mut ffi::PyList_Type {
            Kind::List
        } else if t == &raw mut ffi::PyDict_Type {
            Kind::Dict
        } else if object.as_ptr() == ffi::Py_None() {
            Kind::None
        } else if t == &raw mut ffi::PyBool_Type {
            Kind::Bool
        } else if t == &raw mut ffi::PyTuple_Type {
            Kind::Tuple
        } else if t == &raw mut ffi::PyBytes_Type {
            Kind::Bytes
        } else {
            rare_kind(t)
        }
    }
}

fn rare_kind(t: *mut ffi::PyTypeObject) -> Kind {
    // The last three are few; the first test sends instances of classes on quickly.
    if t == &raw mut ffi::PySet_Type {
        Kind::Set
    } else if t == &raw mut ffi::PyFrozenSet_Type {
        Kind::FrozenSet
    } else if t == &raw mut ffi::PyType_Type {
        Kind::Type
    } else if t == &raw mut ffi::PyFunction_Type {
        Kind::Function
    } else if t == &raw mut ffi::PyByteArray_Type {
        Kind::ByteArray
    } else if t == &raw mut PyPickleBuffer_Type {
        Kind::PickleBuffer
    } else {
        Kind::Other
    }
}

extern "C" {
    static mut PyPickleBuffer_Type: ffi::PyTypeObject;
}

/// How many references there are to the object (meaningless on free-threaded builds: a large number).
#[inline(always)]
pub fn references(object: &Bound<'_, PyAny>) -> isize {
    #[cfg(Py_GIL_DISABLED)]
    {
        let _ = object;
        isize::MAX
    }
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: reads the count of a live object.
    unsafe {
        ffi::Py_REFCNT(object.as_ptr())
    }
}

/// The address, as the memo's key.
#[inline(always)]
pub fn address(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr() as usize
}

/// The address of the object's type.
#[inline(always)]
pub fn type_address(object: &Bound<'_, PyAny>) -> usize {
    object.get_type_ptr() as usize
}

/// The name of the object's type, as C messages show it.
#[cold]
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    // SAFETY: a type's `tp_name` is a C string that lives as long as the type.
    let name = unsafe { std::ffi::CStr::from_ptr((*object.get_type_ptr()).tp_name) };
    name.to_string_lossy().into_owned()
}

/// Is it the object `True`?
#[inline(always)]
pub fn is_true(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: compares addresses.
    object.as_ptr() == unsafe { ffi::Py_True() }
}

macro_rules! subtype {
    ($name:ident, $check:ident, $what:literal) => {
        #[doc = concat!("Is it ", $what, "?")]
        #[inline]
        pub fn $name(object: &Bound<'_, PyAny>) -> bool {
            // SAFETY: reads the type flags of a live object.
            unsafe { ffi::$check(object.as_ptr()) != 0 }
        }
    };
}
subtype!(is_text, PyUnicode_Check, "a str or of a subclass");
subtype!(is_tuple, PyTuple_Check, "a tuple or of a subclass");
subtype!(is_dict, PyDict_Check, "a dict or of a subclass");
subtype!(is_type, PyType_Check, "a class");
subtype!(is_int, PyLong_Check, "an int or of a subclass");
subtype!(is_callable, PyCallable_Check, "callable");

/// Length of a list.
#[inline(always)]
pub fn list_len(list: &Bound<'_, PyAny>) -> usize {
    debug_assert!(kind(list) == Kind::List);
    // SAFETY: the encoder asks this of exact lists only; reads the size field.
    unsafe { ffi::Py_SIZE(list.as_ptr()) as usize }
}

/// Items of a list that are fetched into the cache before they are needed.
const AHEAD: usize = 6;

/// Brings item `i` of a list into the cache, if there is one.
#[inline(always)]
fn prefetch(list: &Bound<'_, PyAny>, i: usize) {
    #[cfg(target_arch = "x86_64")]
    if i < list_len(list) {
        // SAFETY: `i` is within the list; a prefetch reads nothing that could fault.
        unsafe {
            use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
            _mm_prefetch::<_MM_HINT_T0>(ffi::PyList_GET_ITEM(list.as_ptr(), i as isize).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (list, i);
}

/// Item `i` of a list, if it is (still) that long.
#[inline(always)]
pub fn list_item<'py>(list: &Bound<'py, PyAny>, i: usize) -> Option<Bound<'py, PyAny>> {
    if i >= list_len(list) {
        return None;
    }
    prefetch(list, i + AHEAD);
    // SAFETY: `i` is within the list at this moment and the interpreter is attached, so the slot holds a live object.
    unsafe { Some(Bound::from_borrowed_ptr(list.py(), ffi::PyList_GET_ITEM(list.as_ptr(), i as isize))) }
}

/// Length of a tuple (or of an instance of a subclass of tuple).
#[inline(always)]
pub fn tuple_len(tuple: &Bound<'_, PyAny>) -> usize {
    debug_assert!(is_tuple(tuple));
    // SAFETY: a tuple by the caller's dispatch; reads the size field.
    unsafe { ffi::Py_SIZE(tuple.as_ptr()) as usize }
}

/// Item `i` of a tuple.
#[inline(always)]
pub fn tuple_item<'py>(tuple: &Bound<'py, PyAny>, i: usize) -> Option<Bound<'py, PyAny>> {
    if i >= tuple_len(tuple) {
        return None;
    }
    // SAFETY: within the tuple. A slot may be NULL in a tuple that is being built, hence the option.
    unsafe { Bound::from_borrowed_ptr_or_opt(tuple.py(), ffi::PyTuple_GET_ITEM(tuple.as_ptr(), i as isize)) }
}

/// Number of entries of a dict.
#[inline(always)]
pub fn dict_len(dict: &Bound<'_, PyAny>) -> usize {
    debug_assert!(is_dict(dict));
    // SAFETY: a dict by the caller's dispatch; reads the count.
    unsafe { (*dict.as_ptr().cast::<ffi::PyDictObject>()).ma_used as usize }
}

/// The next entry of a dict after `position` (0 to begin).
#[inline(always)]
pub fn dict_next<'py>(
    dict: &Bound<'py, PyAny>, position: &mut isize,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: a dict by the caller's dispatch; the call checks `position` against the table as it is now, and
    // the borrowed pair is turned into owned references before anything else runs.
    unsafe {
        if ffi::PyDict_Next(dict.as_ptr(), position, &mut key, &mut value) == 0 {
            return None;
        }
        Some((Bound::from_borrowed_ptr(dict.py(), key), Bound::from_borrowed_ptr(dict.py(), value)))
    }
}

/// Is `key` (hashed by address, such as a class) in the dict?
#[inline]
pub fn is_key(dict: &Bound<'_, pyo3::types::PyDict>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(super::call::dict_get(dict, key)?.is_some())
}

#[repr(C)]
struct SetEntry {
    key: *mut ffi::PyObject,
    hash: ffi::Py_hash_t,
}

#[repr(C)]
struct SetLayout {
    base: ffi::PyObject,
    fill: isize,
    used: isize,
    mask: isize,
    table: *mut SetEntry,
}

/// Number of elements of a set or frozenset.
#[inline]
pub fn set_len(set: &Bound<'_, PyAny>) -> usize {
    // SAFETY: an exact set or frozenset by the caller's dispatch; the layout is the same in CPython 3.11 to 3.13.
    unsafe { (*set.as_ptr().cast::<SetLayout>()).used as usize }
}

/// The next element of a set after `position` (0 to begin).
#[inline]
pub fn set_next<'py>(set: &Bound<'py, PyAny>, position: &mut usize) -> Option<Bound<'py, PyAny>> {
    // SAFETY: as `set_len`; the table and its mask are read anew on each call, so `position` is always within
    // it. A removed entry keeps the dummy with hash -1, which no element has.
    unsafe {
        let layout = set.as_ptr().cast::<SetLayout>();
        while *position <= (*layout).mask as usize {
            let entry = (*layout).table.add(*position);
            *position += 1;
            if !(*entry).key.is_null() && (*entry).hash != -1 {
                return Some(Bound::from_borrowed_ptr(set.py(), (*entry).key));
            }
        }
        None
    }
}

/// The code points of a str, as they are stored.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    Ascii(&'a [u8]),
    Latin1(&'a [u8]),
    Ucs2(&'a [u16]),
    Ucs4(&'a [u32]),
}

/// The code points of a str; `None` only if an old-style one could not be made ready (memory).
#[inline(always)]
pub fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<Text<'a>> {
    debug_assert!(is_text(object));
    let p = object.as_ptr();
    // SAFETY: a str by the caller's dispatch, ready; its characters never change and live as long as it does.
    unsafe {
        #[cfg(not(Py_3_12))]
        if ffi::PyUnicode_READY(p) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        let n = ffi::PyUnicode_GET_LENGTH(p) as usize;
        if ffi::PyUnicode_IS_COMPACT_ASCII(p) != 0 {
            let data = p.cast::<ffi::PyASCIIObject>().add(1).cast::<u8>();
            return Some(Text::Ascii(std::slice::from_raw_parts(data, n)));
        }
        let data = ffi::PyUnicode_DATA(p);
        Some(match ffi::PyUnicode_KIND(p) {
            ffi::PyUnicode_1BYTE_KIND if ffi::PyUnicode_IS_ASCII(p) != 0 => {
                Text::Ascii(std::slice::from_raw_parts(data.cast(), n))
            }
            ffi::PyUnicode_1BYTE_KIND => Text::Latin1(std::slice::from_raw_parts(data.cast(), n)),
            ffi::PyUnicode_2BYTE_KIND => Text::Ucs2(std::slice::from_raw_parts(data.cast(), n)),
            _ => Text::Ucs4(std::slice::from_raw_parts(data.cast(), n)),
        })
    }
}

/// A str for a message: whatever cannot be shown is replaced.
pub fn display(object: &Bound<'_, PyAny>) -> String {
    match text(object) {
        Some(Text::Ascii(bytes)) => bytes.iter().map(|&b| b as char).collect(),
        Some(Text::Latin1(bytes)) => bytes.iter().map(|&b| b as char).collect(),
        Some(Text::Ucs2(units)) => units.iter().map(|&u| char::from_u32(u.into()).unwrap_or('\u{fffd}')).collect(),
        Some(Text::Ucs4(units)) => units.iter().map(|&u| char::from_u32(u).unwrap_or('\u{fffd}')).collect(),
        None => String::new(),
    }
}

/// An int: its value, or the 30-bit digits of its magnitude, least significant first.
pub enum Int<'a> {
    Small(i64),
    Big { negative: bool, digits: &'a [u32] },
}

#[repr(C)]
struct IntLayout {
    base: ffi::PyObject,
    /// 3.11: signed count of digits. 3.12 and later: count << 3 | sign (0 positive, 1 zero, 2 negative).
    tag: isize,
    digits: [u32; 1],
}

/// The value of an int (30-bit digits: every 64-bit build).
#[inline(always)]
pub fn int<'a>(object: &'a Bound<'_, PyAny>) -> Int<'a> {
    debug_assert!(is_int(object));
    // SAFETY: an int by the caller's dispatch; its digits never change and live as long as it does. The layout
    // of 64-bit CPython 3.11 to 3.13 is checked by `layout_as_expected` when the module is imported.
    unsafe {
        let layout = object.as_ptr().cast::<IntLayout>();
        let tag = (*layout).tag;
        #[cfg(Py_3_12)]
        let (count, negative) = ((tag as usize) >> 3, tag & 3 == 2);
        #[cfg(not(Py_3_12))]
        let (count, negative) = (tag.unsigned_abs(), tag < 0);
        let first = &raw const (*layout).digits as *const u32;
        let magnitude = match count {
            0 => 0,
            1 => i64::from(*first),
            2 => i64::from(*first) | i64::from(*first.add(1)) << 30,
            3 if *first.add(2) < 8 => {
                i64::from(*first) | i64::from(*first.add(1)) << 30 | i64::from(*first.add(2)) << 60
            }
            _ => return Int::Big { negative, digits: std::slice::from_raw_parts(first, count) },
        };
        Int::Small(if negative { -magnitude } else { magnitude })
    }
}

/// Do the innards read here lie where they are expected to? (Asked once, at import.)
pub fn layout_as_expected(py: Python<'_>) -> bool {
    let cases: [i64; 8] = [0, 1, -5, 1 << 29, -(1 << 45), (1 << 59) + 12345, i64::MAX, -i64::MAX];
    cases.iter().all(|&value| match super::call::int(py, value) {
        Ok(object) => matches!(int(&object), Int::Small(read) if read == value),
        Err(_) => false,
    })
}

/// The value of a float.
#[inline(always)]
pub fn float(object: &Bound<'_, PyAny>) -> f64 {
    // SAFETY: an exact float by the caller's dispatch.
    unsafe { (*object.as_ptr().cast::<ffi::PyFloatObject>()).ob_fval }
}

/// The content of a bytes object.
#[inline(always)]
pub fn bytes<'a>(object: &'a Bound<'_, PyAny>) -> &'a [u8] {
    // SAFETY: an exact bytes object by the caller's dispatch; it never changes and lives as long as it does.
    unsafe {
        let p = object.as_ptr();
        std::slice::from_raw_parts(ffi::PyBytes_AS_STRING(p).cast(), ffi::Py_SIZE(p) as usize)
    }
}

/// A buffer some object exports; while this lives, the exporter cannot free or resize it.
pub struct Export(Box<ffi::Py_buffer>);

impl Export {
    /// Asks `object` for its buffer, whatever its shape. What is behind a PickleBuffer may run Python code for that.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Export> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: fills `view`, which stays at its address in the box until it is released; on failure it owns nothing.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, ffi::PyBUF_FULL_RO) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Export(view))
    }

    /// One run of memory, in C or Fortran order?
    pub fn is_contiguous(&self) -> bool {
        // SAFETY: a filled view.
        self.0.suboffsets.is_null() && unsafe { ffi::PyBuffer_IsContiguous(&*self.0, b'A' as std::ffi::c_char) } != 0
    }

    /// May the memory not be written?
    pub fn is_readonly(&self) -> bool {
        self.0.readonly != 0
    }

    /// The memory of a contiguous buffer (nothing, if it is not).
    pub fn bytes(&self) -> &[u8] {
        if self.0.buf.is_null() || self.0.len == 0 || !self.is_contiguous() {
            return &[];
        }
        // SAFETY: the exporter keeps `len` bytes at `buf` in place until release. Their values may be changed by
        // whoever owns them; callers copy them while the interpreter is attached and read them as plain bytes.
        unsafe { std::slice::from_raw_parts(self.0.buf.cast(), self.0.len as usize) }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // SAFETY: filled by `new`, released once. Exports live inside an encoder, which is only ever dropped
        // with the interpreter attached.
        unsafe { ffi::PyBuffer_Release(&mut *self.0) }
    }
}
