//! None, bool, int and float into their opcodes. Never memoized.
use super::failure::Done;
use super::opcode::*;
use super::Encoder;
use crate::ffi::call;
use crate::ffi::peek::{self, Int};
use pyo3::prelude::*;

impl<'py> Encoder<'py> {
    #[inline(always)]
    pub(super) fn save_bool(&mut self, object: &Bound<'py, PyAny>) {
        let value = peek::is_true(object);
        if self.protocol >= 2 {
            self.out.op(if value { NEWTRUE } else { NEWFALSE });
        } else {
            self.out.buffer.put([INT, b'0', b'0' + u8::from(value), b'\n']);
        }
    }

    #[inline(always)]
    pub(super) fn save_int(&mut self, object: &Bound<'py, PyAny>) -> Done {
        if self.protocol >= 2 {
            if let Int::Small(value) = peek::int(object) {
                self.save_small(value);
                return Ok(());
            }
        }
        self.save_int_slowly(object)
    }

    /// An int of up to 60 bits, at protocol 2 or later.
    #[inline(always)]
    pub(super) fn save_small(&mut self, value: i64) {
        // Sizes of ints are hard to guess for a processor, so all forms are computed and one is chosen.
        const OPCODES: [u8; 3] = [BININT1, BININT2, BININT];
        const LENGTHS: [usize; 3] = [2, 3, 5];
        let low = value as u32;
        let size = usize::from(low > 0xff) + usize::from(low > 0xffff);
        let narrow = u64::from(OPCODES[size]) | u64::from(low) << 8;
        if value == i64::from(value as i32) {
            self.out.buffer.put_prefix(narrow.to_le_bytes(), LENGTHS[size]);
        } else {
            let len = signed_len(value);
            let wide = u128::from(LONG1) | (len as u128) << 8 | u128::from(value as u64) << 16;
            self.out.buffer.put_prefix(wide.to_le_bytes(), 2 + len);
        }
    }

    #[inline(always)]
    fn save_i32(&mut self, value: i32) {
        let [a, b, c, d] = value.to_le_bytes();
        match value as u32 {
            0..=0xff => self.out.buffer.put([BININT1, a]),
            0x100..=0xffff => self.out.buffer.put([BININT2, a, b]),
            _ => self.out.buffer.put([BININT, a, b, c, d]),
        }
    }

    #[inline(never)]
    fn save_int_slowly(&mut self, object: &Bound<'py, PyAny>) -> Done {
        match (peek::int(object), self.protocol) {
            (Int::Small(value), _) if i32::try_from(value).is_ok() => {
                if self.protocol > 0 {
                    self.save_i32(value as i32);
                } else {
                    self.out.op(INT);
                    self.out.buffer.put_slice(value.to_string().as_bytes());
                    self.out.op(b'\n');
                }
            }
            (_, 0 | 1) => {
                let text = call::repr(object)?;
                self.out.op(LONG);
                self.out.buffer.put_slice(peek::display(&text).as_bytes());
                self.out.buffer.put(*b"L\n");
            }
            (Int::Small(value), _) => self.save_small(value),
            (Int::Big { negative, digits }, _) => {
                let Some(bytes) = twos_complement(negative, digits) else {
                    return Err(call::no_memory(self.py).into());
                };
                if bytes.len() < 256 {
                    self.out.buffer.put([LONG1, bytes.len() as u8]);
                } else if let Ok(len) = i32::try_from(bytes.len()) {
                    self.out.op_u32(LONG4, len as u32);
                } else {
                    let class = self.py.get_type::<pyo3::exceptions::PyOverflowError>().into_any();
                    return Err(call::error(&class, "int too large to pickle").into());
                }
                self.out.buffer.put_slice(&bytes);
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn save_float(&mut self, object: &Bound<'py, PyAny>) -> Done {
        if self.protocol >= 1 {
            let mut bytes = [BINFLOAT; 9];
            bytes[1..].copy_from_slice(&peek::float(object).to_be_bytes());
            self.out.buffer.put(bytes);
            return Ok(());
        }
        let text = call::repr(object)?;
        self.out.op(FLOAT);
        self.out.buffer.put_slice(peek::display(&text).as_bytes());
        self.out.op(b'\n');
        Ok(())
    }
}

/// Bytes of the shortest two's complement form.
#[inline(always)]
pub fn signed_len(value: i64) -> usize {
    let magnitude_bits = 64 - (if value < 0 { !value } else { value }).leading_zeros() as usize;
    magnitude_bits / 8 + 1
}

/// The shortest little-endian two's complement form of an int given by its 30-bit digits.
pub fn twos_complement(negative: bool, digits: &[u32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(digits.len() * 4 + 2).ok()?;
    let (mut window, mut bits) = (0u64, 0);
    for &digit in digits {
        window |= u64::from(digit) << bits;
        bits += 30;
        while bits >= 8 {
            bytes.push(window as u8);
            window >>= 8;
            bits -= 8;
        }
    }
    bytes.push(window as u8);
    bytes.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let filler = if negative { 0xff } else { 0 };
    while bytes.len() > 1 && bytes[bytes.len() - 1] == filler && (bytes[bytes.len() - 2] ^ filler) & 0x80 == 0 {
        bytes.pop();
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{signed_len, twos_complement};

    fn digits(mut magnitude: u128) -> Vec<u32> {
        let mut digits = Vec::new();
        while magnitude > 0 {
            digits.push((magnitude & 0x3fff_ffff) as u32);
            magnitude >>= 30;
        }
        digits
    }

    #[test]
    fn the_shortest_form_is_sign_extended_to_the_value() {
        for shift in 0..126 {
            for delta in [-1i128, 0, 1] {
                for value in [(1i128 << shift) + delta, -(1i128 << shift) + delta] {
                    if value == 0 {
                        continue;
                    }
                    let bytes = twos_complement(value < 0, &digits(value.unsigned_abs())).unwrap();
                    let mut whole = [if value < 0 { 0xff } else { 0 }; 16];
                    whole[..bytes.len()].copy_from_slice(&bytes);
                    assert_eq!(i128::from_le_bytes(whole), value);
                    if let Ok(value) = i64::try_from(value) {
                        assert_eq!(signed_len(value), bytes.len(), "{value}");
                    }
                }
            }
        }
    }
}
