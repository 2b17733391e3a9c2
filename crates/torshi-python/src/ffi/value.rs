//! Reads C-implemented value types whose layout is public: datetime and ndarray. Calls nothing.
use pyo3::ffi;
use pyo3::prelude::*;

/// C classes that a plan may write without asking them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    DateTime,
    Decimal,
    Array,
}

const IMMUTABLE: std::ffi::c_ulong = 1 << 8;
const HEAP: std::ffi::c_ulong = 1 << 9;

/// Is the class one of them? Python code can neither make a class of these names that is immutable, nor change one.
pub fn recognize(class: &Bound<'_, PyAny>) -> Option<Value> {
    debug_assert!(super::peek::is_type(class));
    // SAFETY: a live class by the caller's dispatch; its fields are read only.
    unsafe {
        let t = class.as_ptr().cast::<ffi::PyTypeObject>();
        if (*t).tp_flags & HEAP != 0 && (*t).tp_flags & IMMUTABLE == 0 {
            return None;
        }
        let has_size = |n: usize| (*t).tp_basicsize as usize >= n;
        match std::ffi::CStr::from_ptr((*t).tp_name).to_bytes() {
            b"datetime.datetime" if has_size(size_of::<ffi::PyDateTime_DateTime>()) => Some(Value::DateTime),
            b"decimal.Decimal" => Some(Value::Decimal),
            b"numpy.ndarray" if has_size(size_of::<ArrayLayout>()) => Some(Value::Array),
            _ => None,
        }
    }
}

/// Is it an array, or an instance of a class derived from it?
pub fn is_array(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    let mut class = object.get_type().into_any();
    loop {
        if recognize(&class) == Some(Value::Array) {
            return true;
        }
        // SAFETY: a live class; the base that its instances' layout comes from lives as long as it does.
        let base = unsafe {
            let base = (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_base;
            Bound::from_borrowed_ptr_or_opt(py, base.cast())
        };
        match base {
            Some(base) => class = base,
            None => return false,
        }
    }
}

/// The ten bytes of a datetime as protocol 4 has them (fold in the month's high bit), and its time zone.
pub fn datetime<'py>(object: &Bound<'py, PyAny>) -> ([u8; 10], Option<Bound<'py, PyAny>>) {
    // SAFETY: `recognize` has found the object's very class to be datetime, of at least this size; `tzinfo` exists and
    // holds a reference exactly when `hastzinfo` is set.
    unsafe {
        let layout = object.as_ptr().cast::<ffi::PyDateTime_DateTime>();
        let mut data = (*layout).data;
        if (*layout).fold != 0 {
            data[2] |= 0x80;
        }
        let zone = if (*layout).hastzinfo != 0 {
            Bound::from_borrowed_ptr_or_opt(object.py(), (*layout).tzinfo).filter(|zone| !zone.is_none())
        } else {
            None
        };
        (data, zone)
    }
}

/// The part of `PyArrayObject_fields` that has been the same since numpy 1.0.
#[repr(C)]
struct ArrayLayout {
    base: ffi::PyObject,
    data: *const u8,
    dimensions: std::ffi::c_int,
    shape: *const isize,
    strides: *const isize,
    owner: *mut ffi::PyObject,
    dtype: *mut ffi::PyObject,
    flags: std::ffi::c_int,
}

const C_CONTIGUOUS: i32 = 1;
const F_CONTIGUOUS: i32 = 2;
const WRITEABLE: i32 = 0x400;
const WARN_ON_WRITE: i32 = i32::MIN;

/// An ndarray in one run of memory.
pub struct Array<'a, 'py> {
    data: *const u8,
    pub shape: &'a [isize],
    pub dtype: Bound<'py, PyAny>,
    pub is_c_order: bool,
    pub is_readonly: bool,
}

/// What `numpy.ndarray` holds, if it lies in one run of memory.
pub fn array<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<Array<'a, 'py>> {
    // SAFETY: `recognize` or `is_array` has found the object to be one of numpy's ndarray, of at least this size; `shape` has
    // as many entries as there are dimensions and is not changed while no other code runs.
    unsafe {
        let layout = object.as_ptr().cast::<ArrayLayout>();
        let flags = (*layout).flags;
        if flags & (C_CONTIGUOUS | F_CONTIGUOUS) == 0 || (*layout).dtype.is_null() || (*layout).data.is_null() {
            return None;
        }
        let count = (*layout).dimensions as usize;
        let shape = if count == 0 { &[][..] } else { std::slice::from_raw_parts((*layout).shape, count) };
        Some(Array {
            data: (*layout).data,
            shape,
            dtype: Bound::from_borrowed_ptr(object.py(), (*layout).dtype),
            is_c_order: flags & C_CONTIGUOUS != 0,
            is_readonly: flags & WRITEABLE == 0 || flags & WARN_ON_WRITE != 0,
        })
    }
}

impl Array<'_, '_> {
    /// The elements, `item_size` bytes each (as the dtype says).
    pub fn bytes(&self, item_size: usize) -> Option<&[u8]> {
        let mut size = item_size;
        for &extent in self.shape {
            size = size.checked_mul(usize::try_from(extent).ok()?)?;
        }
        // SAFETY: a contiguous array holds exactly the product of its shape and its dtype's size at `data`, and it
        // is borrowed while this is.
        Some(unsafe { std::slice::from_raw_parts(self.data, size) })
    }
}
