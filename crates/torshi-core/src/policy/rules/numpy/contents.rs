//! A checked array as rules of other libraries see it: shape, kind, and the elements where they stand in the stream.
//!
//! Native code trusts index arrays blindly, so rules read them. What cannot be read (an out-of-band buffer, an axis
//! order, a subclass with a layout of its own) is not guessed: then there is no array, or none with contents.
use std::borrow::Cow;

use super::super::{content, int};
use super::dtype::{checked, Checked};
use super::ndarray::elements;
use crate::policy::pattern::{Shape, View};

/// Where the elements of an array are.
pub(crate) enum Elements<'w, V> {
    /// Bytes, in the order of the array's memory.
    Bytes(Cow<'w, [u8]>),
    /// A list of references.
    Objects(V),
    /// Somewhere the check cannot look.
    Hidden(V),
}

/// An array whose state or buffer has been checked.
pub(crate) struct Array<'w, V> {
    /// Lengths of its axes.
    pub(crate) shape: Vec<u64>,
    /// How many elements it has.
    pub(crate) count: u64,
    /// What an element is.
    pub(crate) dtype: Checked,
    /// The dtype instance.
    pub(crate) dtype_value: V,
    /// Stored in Fortran's order.
    pub(crate) fortran: bool,
    /// The elements.
    pub(crate) elements: Elements<'w, V>,
    big_endian: bool,
}

/// The array of an instance of `numpy.ndarray`, made by a reconstructor and a state or over a buffer.
pub(crate) fn array<W: View>(w: &W, v: W::V) -> Option<Array<'_, W::V>> {
    let Shape::Instance { module: "numpy", name: "ndarray", args: Some(args), state, .. } = w.shape(v) else {
        return None;
    };
    let Shape::Tuple(args) = w.shape(args) else { return None };
    let (shape, dtype, fortran, data) = match (state, args) {
        (Some(state), [class, ..]) if matches!(w.shape(*class), Shape::Global { .. }) => {
            let Shape::Tuple([_, shape, dtype, fortran, data]) = w.shape(state) else { return None };
            (*shape, *dtype, int(w, *fortran)? != 0, *data)
        }
        (None, [buffer, dtype, shape, order]) if !matches!(w.shape(*buffer), Shape::Global { .. }) => {
            let fortran = matches!(w.shape(*order), Shape::Text("F"));
            (*shape, *dtype, fortran, *buffer)
        }
        _ => return None,
    };
    let checked = checked(w, dtype)?;
    let count = elements(w, shape)?;
    let Shape::Tuple(axes) = w.shape(shape) else { return None };
    let shape =
        axes.iter().map(|axis| int(w, *axis).and_then(|axis| u64::try_from(axis).ok())).collect::<Option<_>>()?;
    let elements = match w.shape(data) {
        Shape::List => Elements::Objects(data),
        Shape::Buffer => Elements::Hidden(data),
        _ => content::bytes(w, data).map_or(Elements::Hidden(data), Elements::Bytes),
    };
    // Checking goes on behind a finding, so an array may stand here that was refused.
    if matches!(&elements, Elements::Bytes(bytes) if count.checked_mul(checked.size) != Some(bytes.len() as u64)) {
        return None;
    }
    let big_endian = byte_order(w, dtype)?;
    Some(Array { shape, count, dtype: checked, dtype_value: dtype, fortran, elements, big_endian })
}

/// Whether the elements of a checked dtype stand with the high byte first.
fn byte_order<W: View>(w: &W, dtype: W::V) -> Option<bool> {
    let Shape::Instance { state, .. } = w.shape(dtype) else { return None };
    let Some(state) = state else { return Some(false) };
    let Shape::Tuple([_, order, ..]) = w.shape(state) else { return None };
    let order = content::bytes(w, *order)?;
    Some(matches!(&*order, b">") || (cfg!(target_endian = "big") && matches!(&*order, b"=")))
}

impl<V: Copy> Array<'_, V> {
    /// Is it of this kind (`f`, `i`, ...) and this size of an element?
    pub(crate) fn is(&self, kind: char, size: u64) -> bool {
        !self.dtype.structured && self.dtype.kind == kind && self.dtype.size == size
    }

    /// Do its elements stand as this kind of machine has them, the low byte first?
    pub(crate) fn is_little_endian(&self) -> bool {
        self.dtype.size == 1 || !self.big_endian
    }

    /// Are all elements integers from `low` up to but not including `high`? No if they cannot be read.
    pub(crate) fn within<W: View<V = V>>(&self, w: &W, low: i64, high: u64) -> bool {
        let high = i64::try_from(high).unwrap_or(i64::MAX);
        self.count == 0
            || w.spend(self.count) && self.extremes(w).is_some_and(|(least, most)| least >= low && most < high)
    }

    /// The least and the greatest element of an array of integers or bools.
    fn extremes<W: View<V = V>>(&self, w: &W) -> Option<(i64, i64)> {
        let signed = self.dtype.kind == 'i';
        match (&self.elements, self.dtype.size) {
            (Elements::Bytes(bytes), 4) if signed && !self.big_endian => {
                span(bytes.chunks_exact(4).map(|n| i32::from_le_bytes([n[0], n[1], n[2], n[3]])))
            }
            (Elements::Bytes(bytes), 8) if signed && !self.big_endian => span(
                bytes.chunks_exact(8).map(|n| i64::from_le_bytes([n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]])),
            ),
            (Elements::Bytes(bytes), 2) if signed && !self.big_endian => {
                span(bytes.chunks_exact(2).map(|n| i16::from_le_bytes([n[0], n[1]])))
            }
            (Elements::Bytes(bytes), 1) if signed => span(bytes.iter().map(|n| *n as i8)),
            _ => span(self.integers(w)?),
        }
    }

    /// The elements of an array of integers or bools, in the order of its memory.
    pub(crate) fn integers<'s, W: View<V = V>>(&'s self, w: &W) -> Option<impl Iterator<Item = i64> + use<'s, V, W>> {
        let bytes = self.seen(w)?;
        if self.dtype.structured || !matches!(self.dtype.kind, 'i' | 'u' | 'b') {
            return None;
        }
        Some(bytes.chunks_exact(self.dtype.size as usize).map(|item| self.integer(item)))
    }

    /// The bytes of the elements, if the check can look at them. If it could, were they in memory, that is told.
    pub(crate) fn seen<W: View<V = V>>(&self, w: &W) -> Option<&[u8]> {
        match &self.elements {
            Elements::Bytes(bytes) => Some(bytes),
            Elements::Hidden(buffer) => {
                w.wants(*buffer);
                None
            }
            Elements::Objects(_) => None,
        }
    }

    fn integer(&self, item: &[u8]) -> i64 {
        integer(item, self.big_endian, self.dtype.kind == 'i')
    }

    /// The objects of an array of references, unless there is an atom among them.
    pub(crate) fn objects<W: View<V = V>>(&self, w: &W) -> Option<Vec<V>> {
        let Elements::Objects(list) = &self.elements else { return None };
        w.elements(*list).filter(|all| all.len() as u64 == self.count)
    }

    /// A column of a structured array: where it starts in an item, and what it is.
    pub(crate) fn column<W: View<V = V>>(&self, w: &W, name: &str) -> Option<Column> {
        let Shape::Instance { state: Some(state), .. } = w.shape(self.dtype_value) else { return None };
        let Shape::Tuple([_, _, _, _, fields, ..]) = w.shape(state) else { return None };
        let Shape::Tuple([dtype, offset, ..]) = w.shape(w.entry(*fields, name)?) else { return None };
        let checked = checked(w, *dtype)?;
        let offset = usize::try_from(int(w, *offset)?).ok()?;
        Some(Column { offset, size: checked.size as usize, kind: checked.kind, big_endian: byte_order(w, *dtype)? })
    }
}

/// The unit of a dtype of dates or spans, if it counts single ones.
pub(crate) fn time_unit<W: View>(w: &W, dtype: W::V) -> Option<Cow<'_, [u8]>> {
    let Shape::Instance { state: Some(state), .. } = w.shape(dtype) else { return None };
    let Shape::Tuple([.., metadata]) = w.shape(state) else { return None };
    let Shape::Tuple([_, unit]) = w.shape(*metadata) else { return None };
    let Shape::Tuple([unit, number, denominator, ..]) = w.shape(*unit) else { return None };
    (int(w, *number)? == 1 && int(w, *denominator)? == 1).then(|| content::bytes(w, *unit))?
}

/// A column of a structured array.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    offset: usize,
    size: usize,
    kind: char,
    big_endian: bool,
}

impl Column {
    /// Does it stand here, as this, with the low byte first?
    pub(crate) fn is(&self, offset: usize, kind: char, size: usize) -> bool {
        (self.offset, self.kind, self.size) == (offset, kind, size) && (size == 1 || !self.big_endian)
    }
}

/// The least and the greatest of some numbers. One walk without a way out, so that it goes over many at once.
fn span<N: Ord + Copy + Into<i64>>(mut all: impl Iterator<Item = N>) -> Option<(i64, i64)> {
    let first = all.next()?;
    let (least, most) = all.fold((first, first), |(least, most), n| (least.min(n), most.max(n)));
    Some((least.into(), most.into()))
}

/// An integer of up to eight bytes; what does not fit the sign counts as the greatest.
fn integer(item: &[u8], big_endian: bool, signed: bool) -> i64 {
    let mut wide = [0u8; 8];
    let size = item.len().min(8);
    for (at, byte) in item.iter().take(8).enumerate() {
        wide[if big_endian { size - 1 - at } else { at }] = *byte;
    }
    let value = u64::from_le_bytes(wide);
    if signed {
        let shift = 64 - 8 * size as u32;
        ((value << shift) as i64) >> shift
    } else {
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::integer;

    /// A sign or a byte order read wrongly lets an index outside through.
    #[test]
    fn integers_are_read_as_numpy_reads_them() {
        assert_eq!(integer(&[0xff], false, true), -1);
        assert_eq!(integer(&[0xff], false, false), 255);
        assert_eq!(integer(&[1, 0, 0, 0], true, true), 1 << 24);
        assert_eq!(integer(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false, true), -2);
        assert_eq!(integer(&[0xff; 8], false, false), i64::MAX);
    }
}
