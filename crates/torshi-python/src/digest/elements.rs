//! Numbers into the one way in which they are digested: little-endian, and every NaN the same. Nothing here hashes.
use crate::ffi::wide::{wide, Loop};

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

            #[inline(always)]
            pub fn same(bytes: &mut [u8]) {
                for place in bytes.chunks_exact_mut(SIZE) {
                    if let Ok(place) = <&mut [u8; SIZE]>::try_from(place) {
                        let number = <$bits>::from_le_bytes(*place);
                        let mask = (sum(number) >> (<$bits>::BITS - 1)).wrapping_neg();
                        *place = ((number & !mask) | ($nan & mask)).to_le_bytes();
                    }
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

/// Every NaN as the positive quiet one without payload.
pub fn same_nan(bytes: &mut [u8], floats: Floats) {
    wide(Same(bytes, floats));
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

struct Same<'a>(&'a mut [u8], Floats);

impl Loop for Same<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        match self.1 {
            Floats::No => {}
            Floats::Half => half::same(self.0),
            Floats::Single => single::same(self.0),
            Floats::Double => double::same(self.0),
        }
    }
}

/// Numbers of `size` bytes, the other way round; as they are, if that is 0.
pub fn swap(bytes: &mut [u8], size: usize) {
    wide(Swap(bytes, size));
}

struct Swap<'a>(&'a mut [u8], usize);

impl Loop for Swap<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        match self.1 {
            2 => reverse::<2>(self.0),
            4 => reverse::<4>(self.0),
            8 => reverse::<8>(self.0),
            16 => reverse::<16>(self.0),
            _ => {}
        }
    }
}

#[inline(always)]
fn reverse<const N: usize>(bytes: &mut [u8]) {
    for number in bytes.chunks_exact_mut(N) {
        if let Ok(number) = <&mut [u8; N]>::try_from(number) {
            let mut turned = *number;
            turned.reverse();
            *number = turned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nans_of_every_size_are_the_quiet_one_and_infinities_are_not() {
        let halves = [0xfe01u16, 0x7c01, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0x7bff];
        let mut bytes: Vec<u8> = halves.iter().flat_map(|n| n.to_le_bytes()).collect();
        same_nan(&mut bytes, Floats::Half);
        let same = [0x7e00u16, 0x7e00, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0x7bff];
        assert_eq!(bytes, same.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
        for (number, is_nan) in [(f32::NAN, true), (-f32::NAN, true), (f32::INFINITY, false), (f32::MIN, false)] {
            assert_eq!(Floats::Single.any_nan(&[[0; 4], number.to_le_bytes()].concat()), is_nan);
            assert_eq!(Floats::Double.any_nan(&f64::from(number).to_le_bytes()), is_nan);
        }
    }

    #[test]
    fn numbers_are_turned_round_one_by_one() {
        for size in [2, 4, 8, 16] {
            let mut bytes: Vec<u8> = (0..=255).collect();
            swap(&mut bytes, size);
            assert!(bytes.iter().enumerate().all(|(i, &byte)| byte as usize == i / size * size + (size - 1 - i % size)));
        }
    }
}
