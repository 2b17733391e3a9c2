//! A plane that lies column by column into rows: in squares of one cache line by as many elements as a line has.
//!
//! A square is turned in registers, where there are instructions for it, into memory that stays in the nearest cache, and
//! goes from there to its rows a line at a time: rows and columns of some lengths would drive each other out of the cache.
use super::wide::{wide, Loop};

const LINE: usize = 64;
/// How many columns before they are read memory is asked for them.
const AHEAD: usize = 16;
/// As many lines as a line has units are used: four of sixteen bytes, or sixty-four of one.
pub type Square = [[u8; LINE]; LINE];
pub const BLANK: Square = [[0; LINE]; LINE];

/// A plane to be read.
pub struct Plane {
    pub data: *const u8,
    /// Bytes from one row to the next, and from one column to the next.
    pub down: isize,
    pub right: isize,
    pub height: usize,
    pub width: usize,
    /// Bytes from the start of a row to the start of the next where they go.
    pub out_row: usize,
}

impl Plane {
    fn place(&self, row: usize, column: usize) -> *const u8 {
        self.data.wrapping_offset(row as isize * self.down + column as isize * self.right)
    }
}

/// The rows of a plane of units of `N` bytes into `out`.
///
/// # Safety
///
/// All units of the plane can be read.
pub unsafe fn fill<const N: usize>(plane: &Plane, square: &mut Square, out: &mut [u8]) {
    wide(Fill::<N> { plane, square, out });
}

/// Is made by `fill` alone, whose callers' word it relies on.
struct Fill<'a, const N: usize> {
    plane: &'a Plane,
    square: &'a mut Square,
    out: &'a mut [u8],
}

impl<const N: usize> Loop for Fill<'_, N> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        // SAFETY: that of `fill`.
        unsafe { fill_squares::<N>(self.plane, self.square, self.out) };
    }
}

/// # Safety
///
/// That of `fill`.
#[inline(always)]
unsafe fn fill_squares<const N: usize>(plane: &Plane, square: &mut Square, out: &mut [u8]) {
    let side = LINE / N;
    let mut left = 0;
    while left < plane.width {
        let (column, width) = stretch(left, plane.width, side);
        left = column + width;
        let mut top = 0;
        while top < plane.height {
            let (row, height) = stretch(top, plane.height, side);
            top = row + height;
            let from = plane.place(row, column);
            for next in left + AHEAD..plane.width.min(left + AHEAD + side) {
                fetch(plane.place(row, next));
            }
            // SAFETY: the square is within the plane.
            unsafe {
                if height == side && width == side && plane.down == N as isize {
                    turn::<N>(from, plane.right, square);
                } else {
                    pick::<N>(from, plane, (height, width), square);
                }
            }
            let mut start = row * plane.out_row + column * N;
            for line in &square[..height] {
                let place = &mut out[start..start + width * N];
                match <&mut [u8; LINE]>::try_from(&mut *place) {
                    Ok(whole) => *whole = *line,
                    Err(_) => place.copy_from_slice(&line[..width * N]),
                }
                start += plane.out_row;
            }
        }
    }
}

/// Of `extent`, where the square that has `at` starts, and how much of it there is: a whole one that ends where the plane
/// does, over what is done already, unless little is left.
#[inline(always)]
fn stretch(at: usize, extent: usize, side: usize) -> (usize, usize) {
    let left = extent - at;
    if left >= side {
        (at, side)
    } else if extent >= side && left * 8 > side {
        (extent - side, side)
    } else {
        (at, left)
    }
}

/// Has the second cache get a line that will be read soon. It may be any address.
#[inline(always)]
fn fetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which every x86-64 knows, and which never fails.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// One unit at a time.
///
/// # Safety
///
/// The units can be read.
#[inline(always)]
unsafe fn pick<const N: usize>(from: *const u8, plane: &Plane, (height, width): (usize, usize), square: &mut Square) {
    for column in 0..width {
        let top = from.wrapping_offset(column as isize * plane.right);
        let mut row = 0;
        while row < height {
            // SAFETY: the caller's; a square has no more rows and columns than lines have units.
            unsafe {
                let unit = top.wrapping_offset(row as isize * plane.down).cast::<[u8; N]>().read_unaligned();
                square[row].as_mut_ptr().add(column * N).cast::<[u8; N]>().write_unaligned(unit);
            }
            row += 1;
        }
    }
}

/// A whole square, whose columns are lines of memory.
///
/// # Safety
///
/// The lines can be read.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn turn<const N: usize>(from: *const u8, right: isize, square: &mut Square) {
    for column in 0..LINE / N {
        // SAFETY: the caller's.
        let units = unsafe { from.wrapping_offset(column as isize * right).cast::<[u8; LINE]>().read_unaligned() };
        for (unit, line) in units.chunks_exact(N).zip(square.iter_mut()) {
            line[column * N..(column + 1) * N].copy_from_slice(unit);
        }
    }
}

/// A whole square, whose columns are lines of memory: in registers of sixteen bytes.
///
/// # Safety
///
/// The lines can be read.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn turn<const N: usize>(from: *const u8, right: isize, square: &mut Square) {
    // SAFETY: the caller's.
    unsafe {
        match N {
            1 => turn_by::<1, 16>(from, right, square),
            2 => turn_by::<2, 8>(from, right, square),
            4 => turn_by::<4, 4>(from, right, square),
            8 => turn_by::<8, 2>(from, right, square),
            _ => turn_by::<16, 1>(from, right, square),
        }
    }
}

/// `C` units of `N` bytes fill a register.
///
/// # Safety
///
/// The lines can be read.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn turn_by<const N: usize, const C: usize>(from: *const u8, right: isize, square: &mut Square) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128};
    let to = square.as_mut_ptr().cast::<u8>();
    for column in (0..LINE / N).step_by(C) {
        for part in 0..LINE / 16 {
            // SAFETY: the lines can be read, by the caller; every x86-64 has these instructions; what is written is within
            // the square: C rows from a multiple of C below 64 / N on, sixteen bytes from a multiple of 16 below 64 on.
            unsafe {
                let mut rows = [_mm_setzero_si128(); C];
                let mut i = 0;
                while i < C {
                    let line = from.wrapping_offset((column + i) as isize * right);
                    rows[i] = _mm_loadu_si128(line.wrapping_add(16 * part).cast());
                    i += 1;
                }
                let mut times = C;
                while times > 1 {
                    rows = shuffled::<N, C>(&rows);
                    times /= 2;
                }
                i = 0;
                while i < C {
                    _mm_storeu_si128(to.add((part * C + i) * LINE + column * N).cast(), rows[i]);
                    i += 1;
                }
            }
        }
    }
}

/// One half of the rows into the other, as the two halves of a deck of cards. As many times as halves can be halved, and
/// rows are columns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn shuffled<const N: usize, const C: usize>(rows: &[std::arch::x86_64::__m128i; C]) -> [std::arch::x86_64::__m128i; C] {
    use std::arch::x86_64::*;

    let mut next = *rows;
    let mut i = 0;
    while i < C / 2 {
        let (one, other) = (rows[i], rows[i + C / 2]);
        // Until Rust 1.87 these are unsafe.
        #[allow(unused_unsafe)]
        // SAFETY: every x86-64 has these instructions.
        unsafe {
            (next[2 * i], next[2 * i + 1]) = match N {
                1 => (_mm_unpacklo_epi8(one, other), _mm_unpackhi_epi8(one, other)),
                2 => (_mm_unpacklo_epi16(one, other), _mm_unpackhi_epi16(one, other)),
                4 => (_mm_unpacklo_epi32(one, other), _mm_unpackhi_epi32(one, other)),
                _ => (_mm_unpacklo_epi64(one, other), _mm_unpackhi_epi64(one, other)),
            };
        }
        i += 1;
    }
    next
}
