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

/// An ndarray.
pub struct Array<'a, 'py> {
    pub(super) data: *const u8,
    pub shape: &'a [isize],
    pub(super) strides: &'a [isize],
    pub dtype: Bound<'py, PyAny>,
    pub is_c_order: bool,
    is_contiguous: bool,
    pub is_readonly: bool,
}

/// What `numpy.ndarray` holds, if it lies in one run of memory.
pub fn array<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<Array<'a, 'py>> {
    any_array(object).filter(|array| array.is_contiguous)
}

/// What `numpy.ndarray` holds, however it lies.
pub fn any_array<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<Array<'a, 'py>> {
    // SAFETY: `recognize` or `is_array` has found the object to be one of numpy's ndarray, of at least this size; `shape` and
    // `strides` have as many entries as there are dimensions and are not changed while no other code runs.
    unsafe {
        let layout = object.as_ptr().cast::<ArrayLayout>();
        let flags = (*layout).flags;
        let count = (*layout).dimensions as usize;
        let is_missing = |list: *const isize| count > 0 && list.is_null();
        if (*layout).dtype.is_null() || (*layout).data.is_null() || is_missing((*layout).strides) {
            return None;
        }
        let list = |at: *const isize| if count == 0 { &[][..] } else { std::slice::from_raw_parts(at, count) };
        Some(Array {
            data: (*layout).data,
            shape: list((*layout).shape),
            strides: list((*layout).strides),
            dtype: Bound::from_borrowed_ptr(object.py(), (*layout).dtype),
            is_c_order: flags & C_CONTIGUOUS != 0,
            is_contiguous: flags & (C_CONTIGUOUS | F_CONTIGUOUS) != 0,
            is_readonly: flags & WRITEABLE == 0 || flags & WARN_ON_WRITE != 0,
        })
    }
}

impl Array<'_, '_> {
    /// How many bytes there are, `item_size` each element (as the dtype says).
    pub fn size(&self, item_size: usize) -> Option<usize> {
        let extents = self.shape.iter().map(|&extent| usize::try_from(extent).ok());
        extents.into_iter().try_fold(item_size, |size, extent| size.checked_mul(extent?))
    }

    /// Where the elements lie: two that are equal are of the same ones, if of one dtype.
    pub fn place(&self) -> Vec<isize> {
        let data = self.data as isize;
        std::iter::once(data).chain(self.shape.iter().copied()).chain(self.strides.iter().copied()).collect()
    }

    /// The elements, if they lie in one run of memory.
    pub fn bytes(&self, item_size: usize) -> Option<&[u8]> {
        let size = self.size(item_size).filter(|_| self.is_contiguous)?;
        // SAFETY: a contiguous array holds exactly the product of its shape and its dtype's size at `data`, and it
        // is borrowed while this is.
        Some(unsafe { std::slice::from_raw_parts(self.data, size) })
    }
}
