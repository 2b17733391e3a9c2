//! torch's tensors in files of torshi: views of numpy arrays, by torch's public functions.
//!
//! `from_numpy` makes a row of numbers over an array, `Tensor.view` reads the row as another type, `as_strided` is the
//! only tensor that is given out: offset, sizes and strides within the row. torch compares most of this itself; it does
//! not look at bools, which its compiled code takes for 0 or 1.
use super::numpy::contents::{array, Array};
use super::{demand, refuse, torch, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Elements of a tensor that has more of them than its storage: what goes over them takes its time, not memory.
const MOST_ELEMENTS: u64 = 1 << 32;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Anything that has gradients but complex numbers.
    Real,
    Complex,
    Integer,
    Bool,
}

/// Types of torch as `Tensor.view` may be asked for, with the size of an element.
const TYPES: &[(&str, Kind, u64)] = &[
    ("float64", Kind::Real, 8),
    ("float32", Kind::Real, 4),
    ("float16", Kind::Real, 2),
    ("bfloat16", Kind::Real, 2),
    ("float8_e4m3fn", Kind::Real, 1),
    ("float8_e5m2", Kind::Real, 1),
    ("float8_e4m3fnuz", Kind::Real, 1),
    ("float8_e5m2fnuz", Kind::Real, 1),
    ("float8_e8m0fnu", Kind::Real, 1),
    ("float4_e2m1fn_x2", Kind::Integer, 1),
    ("complex128", Kind::Complex, 16),
    ("complex64", Kind::Complex, 8),
    ("complex32", Kind::Complex, 4),
    ("int64", Kind::Integer, 8),
    ("int32", Kind::Integer, 4),
    ("int16", Kind::Integer, 2),
    ("int8", Kind::Integer, 1),
    ("uint64", Kind::Integer, 8),
    ("uint32", Kind::Integer, 4),
    ("uint16", Kind::Integer, 2),
    ("uint8", Kind::Integer, 1),
    ("bool", Kind::Bool, 1),
];

/// A row of numbers that views are made of.
#[derive(Clone, Copy)]
struct Row {
    count: u64,
    kind: Kind,
}

/// The arguments of a call of a function of torch.
fn arguments<'w, W: View>(w: &'w W, v: W::V, function: &str) -> Option<&'w [W::V]> {
    match w.shape(v) {
        Shape::Instance { module: "torch", name, args: Some(args), state: None, .. } if name == function => {
            match w.shape(args) {
                Shape::Tuple(items) => Some(items),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What a number of an array is to torch; nothing if torch has no such type, or would not take the array.
fn kind_of<V: Copy>(array: &Array<'_, V>) -> Option<Kind> {
    let plain = !array.dtype.structured && !array.dtype.object && array.shape.len() == 1 && array.is_little_endian();
    match (array.dtype.kind, array.dtype.size) {
        _ if !plain => None,
        ('f', 2 | 4 | 8) => Some(Kind::Real),
        ('c', 8 | 16) => Some(Kind::Complex),
        ('i' | 'u', 1 | 2 | 4 | 8) => Some(Kind::Integer),
        ('b', 1) => Some(Kind::Bool),
        _ => None,
    }
}

/// The array that a row is made over.
fn array_of<W: View>(w: &W, row: W::V) -> Option<Array<'_, W::V>> {
    match arguments(w, row, "from_numpy")? {
        [only] => array(w, *only),
        _ => None,
    }
}

fn row<W: View>(w: &W, v: W::V) -> Option<Row> {
    if let Some([base, dtype]) = arguments(w, v, "Tensor.view") {
        let array = array_of(w, *base)?;
        let (kind, size) = named_type(w, *dtype)?;
        return Some(Row { count: array.count.checked_mul(array.dtype.size)? / size, kind });
    }
    let array = array_of(w, v)?;
    Some(Row { count: array.count, kind: kind_of(&array)? })
}

fn named_type<W: View>(w: &W, v: W::V) -> Option<(Kind, u64)> {
    let Shape::Global { module: "torch", name, row: Some(_) } = w.shape(v) else { return None };
    TYPES.iter().find(|(known, ..)| *known == name).map(|(_, kind, size)| (*kind, *size))
}

/// Is every byte of an array 0 or 1? No if they cannot be read; then that is told.
fn holds_bools<W: View>(w: &W, array: &Array<'_, W::V>) -> bool {
    array.seen(w).is_some_and(|bytes| w.spend(bytes.len() as u64) && bytes.iter().fold(0, |all, byte| all | byte) <= 1)
}

/// `(array,)`: over memory that may be written to.
pub(super) fn from_numpy<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a row of numbers over a bytearray,)";
    let [only] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(array) = over_bytearray(w, *only) else { return refuse(w, *only, expected) };
    let Some(kind) = kind_of(&array) else { return refuse(w, *only, "a row of numbers of a type that torch has") };
    demand(kind != Kind::Bool || holds_bools(w, &array), w, *only, "bools that are 0 or 1")
}

/// An array over a bytearray or a buffer that stayed in the file. Bytes are not to change, and a state could.
fn over_bytearray<W: View>(w: &W, v: W::V) -> Option<Array<'_, W::V>> {
    let Shape::Instance { module: "numpy", name: "ndarray", args: Some(args), state: None, .. } = w.shape(v) else {
        return None;
    };
    let Shape::Tuple([buffer, ..]) = w.shape(args) else { return None };
    let array = array(w, v)?;
    let length = array.count.checked_mul(array.dtype.size)?;
    match w.shape(*buffer) {
        Shape::ByteArray(_) => Some(array),
        Shape::Buffer => (w.extent(*buffer) == Some(length)).then_some(array),
        _ => None,
    }
}

/// `(row, type)`: a row as one of another type.
pub(super) fn view<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a row of numbers, a type)";
    let [base, dtype] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(array) = array_of(w, *base) else { return refuse(w, *base, "a row of numbers over an array") };
    let Some((kind, size)) = named_type(w, *dtype) else { return refuse(w, *dtype, "a type of numbers") };
    let whole = array.count.checked_mul(array.dtype.size).is_some_and(|bytes| bytes % size == 0);
    demand(whole && kind_of(&array).is_some(), w, v, "as many bytes as numbers of the type have")?;
    demand(kind != Kind::Bool || holds_bools(w, &array), w, *base, "bools that are 0 or 1")
}

/// `(row, sizes, strides, offset)`.
pub(super) fn as_strided<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a row of numbers, sizes, strides, an offset)";
    let [base, sizes, strides, offset] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(row) = row(w, *base) else { return refuse(w, *base, "a row of numbers over an array") };
    let Some(sizes) = torch::within(w, *offset, *sizes, *strides, row.count) else {
        return refuse(w, v, "offset, sizes and strides within the row");
    };
    demand(elements(&sizes).is_some_and(|all| all <= row.count.max(MOST_ELEMENTS)), w, v, "no more than 2**32 elements")
}

/// How many elements; overflow counts beside a zero too, since torch multiplies the others for its strides.
fn elements(sizes: &[u64]) -> Option<u64> {
    let product = sizes.iter().filter(|size| **size != 0).try_fold(1u64, |all, size| all.checked_mul(*size));
    let product = product.filter(|all| i64::try_from(all.checked_mul(16).unwrap_or(u64::MAX)).is_ok())?;
    Some(if sizes.contains(&0) { 0 } else { product })
}

/// What a number of a view is.
fn kind_of_view<W: View>(w: &W, v: W::V) -> Option<Kind> {
    let view = match arguments(w, v, "conj") {
        Some([view]) => *view,
        _ => v,
    };
    match arguments(w, view, "as_strided")? {
        [base, ..] => row(w, *base).map(|row| row.kind),
        _ => None,
    }
}

/// Is it a view, without gradients so far?
pub(super) fn is_view<W: View>(w: &W, v: W::V) -> bool {
    kind_of_view(w, v).is_some()
}

/// Can a view have gradients?
pub(super) fn has_gradients<W: View>(w: &W, v: W::V) -> bool {
    matches!(kind_of_view(w, v), Some(Kind::Real | Kind::Complex))
}

/// `(view,)`: of complex numbers.
pub(super) fn conj<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a view of complex numbers,)";
    let [view] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let complex = arguments(w, *view, "as_strided").is_some() && kind_of_view(w, *view) == Some(Kind::Complex);
    demand(complex, w, *view, expected)
}

/// `(view,)`: of numbers that can have gradients.
pub(super) fn requires_grad<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a view of numbers that can have gradients,)";
    let [view] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    demand(has_gradients(w, *view), w, *view, expected)
}
