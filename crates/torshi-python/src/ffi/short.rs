//! Short ASCII text into `str` objects, without a branch on its length: which length comes next is for no processor to
//! foretell, and a wrong guess costs as much as making the object. It says no to any other text.

use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes of a text that are looked at together.
const HALF: usize = 16;
/// Longest text that is short, in bytes: what the first and the last half cover.
pub const LONGEST: usize = 2 * HALF;

/// The lowest bytes, as many as the index says.
static LOWEST: [[u8; HALF]; HALF + 1] = {
    let mut masks = [[0; HALF]; HALF + 1];
    let mut count = 1;
    while count <= HALF {
        masks[count] = masks[count - 1];
        masks[count][count - 1] = 0xff;
        count += 1;
    }
    masks
};

/// ASCII text of two to thirty-two bytes.
#[derive(Clone, Copy)]
pub struct Short {
    /// The first sixteen bytes, the first of them lowest; noughts behind a shorter text.
    head: Half,
    /// The last sixteen bytes; of a text that has no more, the same as `head`.
    tail: Half,
    length: usize,
}

impl Short {
    /// `text` if it is short and ASCII. It is read best where it stands in a longer `stream`.
    #[inline(always)]
    pub fn of(text: &[u8], stream: &[u8]) -> Option<Self> {
        let length = text.len();
        if !(2..=LONGEST).contains(&length) {
            return None; // shorter ones are shared objects
        }
        let at = (text.as_ptr() as usize).wrapping_sub(stream.as_ptr() as usize);
        let window = match stream.get(at..).and_then(|rest| rest.first_chunk::<LONGEST>()) {
            Some(window) => window,
            None => &padded(text),
        };
        let first = length.min(HALF);
        let (head, tail) = (window.first_chunk()?, window[..length.max(HALF)].last_chunk()?);
        let (head, tail) = (Half::of(head, &LOWEST[first]), Half::of(tail, &LOWEST[first]));
        head.is_ascii_with(tail).then_some(Short { head, tail, length })
    }

    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        self.head.is(self.tail, other.head, other.tail) && self.length == other.length
    }

    /// A number that differs between most texts, in its high bits above all.
    #[inline(always)]
    pub fn mixed(&self) -> u64 {
        let ((low, high), (_, end)) = (self.head.words(), self.tail.words());
        let all = low ^ high.rotate_left(29) ^ end.rotate_left(47) ^ (self.length as u64) << 6;
        all.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// A new `str`. `None`: Python has raised.
    #[inline(always)]
    pub fn make<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let first = self.length.min(HALF);
        // Bits of what stands before a text that is shorter than a half.
        let before = 8 * (HALF - first);
        // SAFETY: a new str of `length` one-byte characters, which nobody else has seen, or null. Its characters stand
        // behind its header, which is longer than a half (asserted below), in one allocation. So both halves lie
        // within it, one ending behind the first `first` characters and one behind the last; what they cover of the
        // header is written as it was read. All characters are written, with ASCII as the maximum of 127 promises.
        unsafe {
            let made = Bound::from_owned_ptr_or_opt(py, ffi::PyUnicode_New(self.length as ffi::Py_ssize_t, 127))?;
            let start = ffi::PyUnicode_DATA(made.as_ptr()).cast::<u8>();
            let place = start.add(first).sub(HALF).cast::<u128>();
            let kept = u128::from_le(place.read_unaligned()) & ((1 << before) - 1);
            let head = self.head.number() << before | kept;
            place.write_unaligned(head.to_le());
            let is_longer = u128::from(self.length > HALF).wrapping_neg();
            let tail = self.tail.number() & is_longer | head & !is_longer;
            start.add(self.length).sub(HALF).cast::<u128>().write_unaligned(tail.to_le());
            Some(made)
        }
    }
}

const _: () = assert!(size_of::<ffi::PyASCIIObject>() >= HALF);

/// Sixteen bytes that are compared at once.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Half(std::arch::x86_64::__m128i);

#[cfg(target_arch = "x86_64")]
impl Half {
    #[inline(always)]
    fn of(bytes: &[u8; HALF], mask: &[u8; HALF]) -> Self {
        use std::arch::x86_64::{_mm_and_si128, _mm_loadu_si128};
        // SAFETY: two loads of the sixteen bytes of an array each; every processor of this kind has the instructions.
        unsafe { Half(_mm_and_si128(_mm_loadu_si128(bytes.as_ptr().cast()), _mm_loadu_si128(mask.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn is_ascii_with(self, other: Self) -> bool {
        use std::arch::x86_64::{_mm_movemask_epi8, _mm_or_si128};
        // SAFETY: on registers only; every processor of this kind has the instructions.
        unsafe { _mm_movemask_epi8(_mm_or_si128(self.0, other.0)) == 0 }
    }

    #[inline(always)]
    fn is(self, and: Self, a: Self, b: Self) -> bool {
        use std::arch::x86_64::{_mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8};
        // SAFETY: on registers only; every processor of this kind has the instructions.
        unsafe { _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(self.0, a.0), _mm_cmpeq_epi8(and.0, b.0))) == 0xffff }
    }

    #[inline(always)]
    fn words(self) -> (u64, u64) {
        use std::arch::x86_64::{_mm_cvtsi128_si64, _mm_unpackhi_epi64};
        // SAFETY: on registers only; every processor of this kind has the instructions.
        unsafe { (_mm_cvtsi128_si64(self.0) as u64, _mm_cvtsi128_si64(_mm_unpackhi_epi64(self.0, self.0)) as u64) }
    }

    #[inline(always)]
    fn number(self) -> u128 {
        let (low, high) = self.words();
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The same where a processor's registers for that are not known here.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy)]
struct Half(u128);

#[cfg(not(target_arch = "x86_64"))]
impl Half {
    #[inline(always)]
    fn of(bytes: &[u8; HALF], mask: &[u8; HALF]) -> Self {
        Half(u128::from_le_bytes(*bytes) & u128::from_le_bytes(*mask))
    }

    #[inline(always)]
    fn is_ascii_with(self, other: Self) -> bool {
        (self.0 | other.0) & u128::from_ne_bytes([0x80; HALF]) == 0
    }

    #[inline(always)]
    fn is(self, and: Self, a: Self, b: Self) -> bool {
        (self.0 ^ a.0) | (and.0 ^ b.0) == 0
    }

    #[inline(always)]
    fn words(self) -> (u64, u64) {
        (self.0 as u64, (self.0 >> 64) as u64)
    }

    #[inline(always)]
    fn number(self) -> u128 {
        self.0
    }
}

/// A text near the end of its stream.
#[inline(never)]
fn padded(text: &[u8]) -> [u8; LONGEST] {
    let mut window = [0; LONGEST];
    window[..text.len()].copy_from_slice(text);
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts taken for one would put one message's words into another.
    #[test]
    fn short_texts_are_told_apart_by_all_they_have() {
        let stream: Vec<u8> = (0..80).map(|n| b'a' + n % 23).collect();
        for length in 2..=LONGEST {
            let text = &stream[..length];
            let short = Short::of(text, &stream).unwrap();
            assert!(short.is(&Short::of(text, b"").unwrap()));
            for at in 0..length {
                let mut other = stream.clone();
                other[at] ^= 1;
                assert!(!short.is(&Short::of(&other[..length], &other).unwrap()), "byte {at} of {length}");
                other[at] = 0x80;
                assert!(Short::of(&other[..length], &other).is_none());
            }
        }
        let noughts = [0; 80];
        let short = |length: usize| Short::of(&noughts[..length], &noughts);
        assert!(short(1).is_none() && short(LONGEST + 1).is_none());
        assert!((3..=LONGEST).all(|length| !short(length).unwrap().is(&short(length - 1).unwrap())));
    }
}
