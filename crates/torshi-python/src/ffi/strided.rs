//! An ndarray's elements, however they lie, into their bytes in C order: any stretch of them, into memory of the caller's.
//!
//! Axes that lie as one are made one, and elements are taken as units of 1, 2, 4, 8 or 16 bytes. Where a row hops from
//! cache line to cache line, and an outer axis runs along the lines, both are walked together in squares (`squares`), so
//! that no line is read again for each of its elements. Calls nothing of the interpreter's and never writes to the array.
use super::squares::{self, Plane, BLANK};
use super::value::Array;
use super::wide::{wide, Loop};
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes that memory gives at once.
const LINE: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Axis {
    extent: usize,
    /// Bytes from one element to the next.
    step: isize,
    /// Units in the axes behind this one.
    inner: usize,
}

/// The elements of an array while it is borrowed.
#[derive(PartialEq, Eq)]
pub struct Strided<'a> {
    data: *const u8,
    unit: usize,
    /// At least one; none has an extent of 0.
    axes: Vec<Axis>,
    /// The axis that is walked together with the last one.
    along: Option<usize>,
    _array: PhantomData<&'a ()>,
}

// SAFETY: the elements are only read; threads that do so end before the borrow does.
unsafe impl Sync for Strided<'_> {}

/// The elements of an array, `item_size` bytes each (as the dtype says); None if there is nothing in it.
pub fn strided<'a>(array: &'a Array<'_, '_>, item_size: usize) -> Option<Strided<'a>> {
    if array.size(item_size)? == 0 {
        return None;
    }
    let unit = 1 << item_size.trailing_zeros().min(4);
    let mut axes: Vec<Axis> = Vec::with_capacity(array.shape.len() + 1);
    let own = array.shape.iter().map(|&extent| extent as usize).zip(array.strides.iter().copied());
    for (extent, step) in own.chain([(item_size / unit, unit as isize)]) {
        if extent == 1 {
            continue;
        }
        match axes.last_mut() {
            // The outer one steps over exactly the inner one: they are one axis.
            Some(outer) if isize::try_from(extent).ok().and_then(|n| step.checked_mul(n)) == Some(outer.step) => {
                *outer = Axis { extent: outer.extent.checked_mul(extent)?, step, inner: 1 };
            }
            _ => axes.push(Axis { extent, step, inner: 1 }),
        }
    }
    if axes.is_empty() {
        axes.push(Axis { extent: 1, step: unit as isize, inner: 1 });
    }
    for i in (1..axes.len()).rev() {
        axes[i - 1].inner = axes[i].inner.checked_mul(axes[i].extent)?;
    }
    let along = along(&axes);
    Some(Strided { data: array.data, unit, axes, along, _array: PhantomData })
}

/// The axis that runs along the lines of memory, if the last one does not.
fn along(axes: &[Axis]) -> Option<usize> {
    let (last, outer) = axes.split_last()?;
    if last.step.unsigned_abs() < LINE {
        return None;
    }
    let runs = |axis: &Axis| axis.step != 0 && axis.step.unsigned_abs() <= LINE / 2;
    let found = outer.iter().enumerate().filter(|(_, axis)| runs(axis));
    found.min_by_key(|(_, axis)| axis.step.unsigned_abs()).map(|(i, _)| i)
}

impl Strided<'_> {
    /// How long a stretch should be for what memory gives at once, and what it gives next, to be used while it is near.
    pub fn span(&self) -> usize {
        let Some(axis) = self.along.map(|along| &self.axes[along]) else { return 0 };
        let together = (4 * LINE / axis.step.unsigned_abs()).min(axis.extent);
        axis.inner.saturating_mul(self.unit).saturating_mul(together)
    }

    /// The bytes from `first` on, in C order, into the whole of `out`. Both must be multiples of 16, save where the
    /// elements end.
    ///
    /// Panics if they are not, or the elements end before.
    pub fn gather(&self, first: usize, out: &mut [u8]) {
        let (start, end) = (first / self.unit, (first + out.len()) / self.unit);
        let all = self.axes[0].inner * self.axes[0].extent;
        assert!(first % self.unit == 0 && out.len() % self.unit == 0 && end <= all, "a stretch that is not there");
        if start == end {
            return;
        }
        match self.unit {
            1 => self.fill::<1>(0, self.data, start..end, out),
            2 => self.fill::<2>(0, self.data, start..end, out),
            4 => self.fill::<4>(0, self.data, start..end, out),
            8 => self.fill::<8>(0, self.data, start..end, out),
            _ => self.fill::<16>(0, self.data, start..end, out),
        }
    }

    /// Of what lies at `base` on the axes from `depth` on, the units of a range, which is not empty.
    fn fill<const N: usize>(&self, depth: usize, base: *const u8, range: Range<usize>, out: &mut [u8]) {
        if self.along == Some(depth) {
            return self.fill_plane::<N>(depth, base, range, out);
        }
        if depth + 2 > self.axes.len() {
            let row = Axis { extent: 1, step: 0, inner: self.axes[depth].extent };
            return self.fill_rows::<N>(&row, base, range, out);
        }
        let axis = &self.axes[depth];
        if depth + 2 == self.axes.len() {
            return self.fill_rows::<N>(axis, base, range, out);
        }
        let mut rest = out;
        for i in range.start / axis.inner..=(range.end - 1) / axis.inner {
            let start = i * axis.inner;
            let within = range.start.max(start) - start..range.end.min(start + axis.inner) - start;
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(within.len() * N);
            self.fill::<N>(depth + 1, base.wrapping_offset(i as isize * axis.step), within, part);
            rest = behind;
        }
    }

    /// The last two axes, row by row: the end of one, whole ones, the start of one.
    fn fill_rows<const N: usize>(&self, rows: &Axis, base: *const u8, range: Range<usize>, out: &mut [u8]) {
        let (width, step) = (rows.inner, self.axes[self.axes.len() - 1].step);
        let mut rest = out;
        let mut at = range.start;
        while at < range.end {
            let (row, column) = (at / width, at % width);
            let whole = if column == 0 { (range.end - at) / width } else { 0 };
            let (height, breadth) = if whole > 0 { (whole, width) } else { (1, (width - column).min(range.end - at)) };
            let from = base.wrapping_offset(row as isize * rows.step + column as isize * step);
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(height * breadth * N);
            wide(Rows::<N> { from, down: rows.step, across: step, width: breadth, out: part });
            rest = behind;
            at += height * breadth;
        }
    }

    /// From the axis that runs along the lines on. What is behind it is walked once, for all of the axis that is asked
    /// for: one more of it, or one less, before and behind where the range starts and ends.
    fn fill_plane<const N: usize>(&self, depth: usize, base: *const u8, range: Range<usize>, out: &mut [u8]) {
        let axis = &self.axes[depth];
        let (first, last) = (range.start / axis.inner, range.end / axis.inner);
        let (head, tail) = (range.start % axis.inner, range.end % axis.inner);
        let bounds = [0, head.min(tail), head.max(tail), axis.inner];
        for places in bounds.windows(2) {
            let (start, end) = (places[0], places[1]);
            let from = if start < head { first + 1 } else { first };
            let to = if start < tail { last + 1 } else { last };
            if start < end && from < to {
                self.fill_zone::<N>(depth, base, (from, to), start..end, range.start, out);
            }
        }
    }

    /// From `from` to `to` on the axis `depth`, and on the axes behind it the units of a range.
    fn fill_zone<const N: usize>(
        &self, depth: usize, base: *const u8, (from, to): (usize, usize), range: Range<usize>, origin: usize,
        out: &mut [u8],
    ) {
        let (axis, last) = (&self.axes[depth], &self.axes[self.axes.len() - 1]);
        let mut square = BLANK;
        let mut at = range.start;
        while at < range.end {
            let column = at % last.extent;
            let breadth = (last.extent - column).min(range.end - at);
            let mut place = base.wrapping_offset(from as isize * axis.step);
            let mut left = at;
            for middle in &self.axes[depth + 1..] {
                place = place.wrapping_offset((left / middle.inner) as isize * middle.step);
                left %= middle.inner;
            }
            let plane = Plane {
                data: place,
                down: axis.step,
                right: last.step,
                height: to - from,
                width: breadth,
                out_row: axis.inner * N,
            };
            let start = (from * axis.inner + at - origin) * N;
            // SAFETY: the plane is within these two axes, and all their units can be read.
            unsafe { squares::fill::<N>(&plane, &mut square, &mut out[start..]) };
            at += breadth;
        }
    }
}

/// Rows of units that lie `across` bytes from each other, and `down` from row to row. As many rows as there is room for in
/// `out` are within the two axes of a `Strided`, all of whose units can be read.
struct Rows<'a, const N: usize> {
    from: *const u8,
    down: isize,
    across: isize,
    width: usize,
    out: &'a mut [u8],
}

impl<const N: usize> Loop for Rows<'_, N> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let (rows, n) = (self.out.chunks_exact_mut(self.width * N), N as isize);
        for (i, row) in rows.enumerate() {
            let place = self.from.wrapping_offset(i as isize * self.down);
            // SAFETY: whoever made this has seen to it.
            unsafe {
                if self.across == n {
                    row.copy_from_slice(std::slice::from_raw_parts(place, row.len()));
                } else if self.across == 2 * n {
                    copy_row::<N>(place, 2 * n, row);
                } else if self.across == -n {
                    copy_row::<N>(place, -n, row);
                } else {
                    copy_row::<N>(place, self.across, row);
                }
            }
        }
    }
}

/// # Safety
///
/// As many units as there is room for in `row` can be read from `from` on, `step` bytes from each other.
#[inline(always)]
unsafe fn copy_row<const N: usize>(from: *const u8, step: isize, row: &mut [u8]) {
    let (units, to) = (row.len() / N, row.as_mut_ptr().cast::<[u8; N]>());
    let mut i = 0;
    while i < units {
        // SAFETY: the caller's, and `row` has room for it.
        unsafe {
            let unit = from.offset(i as isize * step).cast::<[u8; N]>().read_unaligned();
            to.add(i).write_unaligned(unit);
        }
        i += 1;
    }
}
