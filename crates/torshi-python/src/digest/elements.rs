//! Numbers into the one way in which they are digested: little-endian, and every NaN the same. Nothing here hashes.
use crate::ffi::wide::{change, wide, Change, Loop};

/// How the bytes are read to find NaNs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Floats {
    No,
    Half,
    Single,
    Double,
}

/// Finds NaNs among little-endian numbers, and makes them all the positive quiet one without payload. A NaN is what is
/// more than infinity without its sign: then a sum reaches the highest bit. Every processor adds many numbers at once; not
/// every one can compare them.
macro_rules! nans {
    ($module:ident, $bits:ty, $infinity:literal, $nan:literal) => {
        mod $module {
            const SIZE: usize = size_of::<$bits>();
            const MOST: $bits = <$bits>::MAX >> 1;

            #[inline(always)]
            fn read(number: &[u8]) -> $bits {
                match number.try_into() {
                    Ok(number) => <$bits>::from_le_bytes(number),
                    Err(_) => 0,
                }
            }

            #[inline(always)]
            fn sum(number: $bits) -> $bits {
                (number & MOST) + (MOST - $infinity)
            }

            #[inline(always)]
            pub fn any(bytes: &[u8]) -> bool {
                let mut all = 0;
                for number in bytes.chunks_exact(SIZE) {
                    all |= sum(read(number));
                }
                all > MOST
            }

            pub struct Same;

            impl super::Change<SIZE> for Same {
                #[inline(always)]
                fn change(number: [u8; SIZE]) -> [u8; SIZE] {
                    let number = <$bits>::from_le_bytes(number);
                    let mask = (sum(number) >> (<$bits>::BITS - 1)).wrapping_neg();
                    ((number & !mask) | ($nan & mask)).to_le_bytes()
                }
            }
        }
    };
}
nans!(half, u16, 0x7c00, 0x7e00);
nans!(single, u32, 0x7f80_0000, 0x7fc0_0000);
nans!(double, u64, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000);

impl Floats {
    /// Is one of the numbers a NaN?
    pub fn any_nan(self, bytes: &[u8]) -> bool {
        wide(Any(bytes, self))
    }
}

/// Numbers with every NaN as the positive quiet one without payload.
pub fn same_nan(bytes: &[u8], out: &mut [u8], floats: Floats) {
    match floats {
        Floats::No => out.copy_from_slice(bytes),
        Floats::Half => change::<2, half::Same>(bytes, out),
        Floats::Single => change::<4, single::Same>(bytes, out),
        Floats::Double => change::<8, double::Same>(bytes, out),
    }
}

struct Turned;

impl<const N: usize> Change<N> for Turned {
    #[inline(always)]
    fn change(number: [u8; N]) -> [u8; N] {
        let mut turned = number;
        let mut i = 0;
        while i < N {
            turned[i] = number[N - 1 - i];
            i += 1;
        }
        turned
    }
}

/// Numbers of `size` bytes, the other way round.
pub fn swap(bytes: &[u8], out: &mut [u8], size: usize) {
    match size {
        2 => change::<2, Turned>(bytes, out),
        4 => change::<4, Turned>(bytes, out),
        8 => change::<8, Turned>(bytes, out),
        16 => change::<16, Turned>(bytes, out),
        _ => out.copy_from_slice(bytes),
    }
}

struct Any<'a>(&'a [u8], Floats);

impl Loop for Any<'_> {
    type Out = bool;

    #[inline(always)]
    fn run(self) -> bool {
        match self.1 {
            Floats::No => false,
            Floats::Half => half::any(self.0),
            Floats::Single => single::any(self.0),
            Floats::Double => double::any(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nans_of_every_size_are_the_quiet_one_and_infinities_are_not() {
        let halves = [0xfe01u16, 0x7c01, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0x7bff];
        let bytes: Vec<u8> = halves.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut out = vec![1; bytes.len()];
        same_nan(&bytes, &mut out, Floats::Half);
        let same = [0x7e00u16, 0x7e00, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0x7bff];
        assert_eq!(out, same.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
        for (number, is_nan) in [(f32::NAN, true), (-f32::NAN, true), (f32::INFINITY, false), (f32::MIN, false)] {
            assert_eq!(Floats::Single.any_nan(&[[0; 4], number.to_le_bytes()].concat()), is_nan);
            assert_eq!(Floats::Double.any_nan(&f64::from(number).to_le_bytes()), is_nan);
        }
    }

    #[test]
    fn numbers_are_turned_round_one_by_one() {
        for size in [2, 4, 8, 16] {
            let bytes: Vec<u8> = (0..=255).collect();
            let mut out = vec![0; bytes.len()];
            swap(&bytes, &mut out, size);
            assert!(out.iter().enumerate().all(|(i, &byte)| byte as usize == i / size * size + (size - 1 - i % size)));
        }
    }
}
