//! Literals: the text forms of protocol 0 and short two's complement numbers to values. What is unusual
//! is left unknown rather than guessed; the builder has Python's own rules.

/// Digits of a decimal that is worth its two's complement form: 2^128 and its like.
const MOST_DIGITS: usize = 80;

/// Little-endian two's complement of a plain decimal of moderate length.
pub fn decimal_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(digits.len() / 2 + 2);
    for digit in digits {
        let mut carry = u32::from(digit - b'0');
        for byte in &mut bytes {
            carry += u32::from(*byte) * 10;
            (*byte, carry) = (carry as u8, carry >> 8);
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    bytes.push(0); // room for the sign
    if digits.len() < text.len() {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    Some(bytes)
}

/// Decodes raw-unicode-escape; `None` where a character is no Unicode scalar or an escape is broken.
pub fn raw_unicode_escape(raw: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let digits = match (raw[at], raw.get(at + 1)) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            (b'\\', Some(b'\\')) => {
                out.push_str("\\\\"); // a doubled backslash is two, and escapes nothing
                at += 2;
                continue;
            }
            (byte, _) => {
                out.push(char::from(byte));
                at += 1;
                continue;
            }
        };
        let hex = std::str::from_utf8(raw.get(at + 2..at + 2 + digits)?).ok()?;
        let sound = hex.bytes().all(|b| b.is_ascii_hexdigit());
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok().filter(|_| sound)?)?);
        at += 2 + digits;
    }
    Some(out)
}

/// Undoes the backslash escapes of a Python 2 string literal; `None` where one is broken.
pub fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let escape = *raw.get(at + 1)?;
        at += 2;
        match escape {
            b'\n' => {}
            b'\\' | b'\'' | b'"' => out.push(escape),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'x' => {
                let hex = std::str::from_utf8(raw.get(at..at + 2)?).ok()?;
                let sound = hex.bytes().all(|b| b.is_ascii_hexdigit());
                out.push(u8::from_str_radix(hex, 16).ok().filter(|_| sound)?);
                at += 2;
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escape - b'0');
                for _ in 0..2 {
                    match raw.get(at) {
                        Some(digit @ b'0'..=b'7') => value = value * 8 + u32::from(digit - b'0'),
                        _ => break,
                    }
                    at += 1;
                }
                out.push(value as u8);
            }
            other => out.extend_from_slice(&[b'\\', other]),
        }
    }
    Some(out)
}

/// A little-endian two's complement number that fits 64 bits.
#[inline(always)]
pub fn small_integer(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let Some(&last) = bytes.last() else { return Some(0) };
    let mut wide = [if last >= 0x80 { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

/// A decimal without sign tricks, underscores, spaces or base prefixes; those are left to the domain.
pub fn plain_decimal(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || digits.len() > 18 || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0i64, |n, d| n * 10 + i64::from(d - b'0'));
    Some(if digits.len() < text.len() { -n } else { n })
}

/// A few bytes of the stream, fit for an error message.
pub fn excerpt(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(40)];
    let dots = if head.len() < bytes.len() { "..." } else { "" };
    format!("{}{dots}", head.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name spelled with escapes must be checked as what it spells.
    #[test]
    fn escapes_are_undone() {
        assert_eq!(raw_unicode_escape(b"\\u006fs").as_deref(), Some("os"));
        assert_eq!(raw_unicode_escape(b"\\ud800"), None);
        assert_eq!(raw_unicode_escape(b"\\u+06f"), None);
        assert_eq!(unescape(b"\\x6f\\163\\n").as_deref(), Some(&b"os\n"[..]));
        assert_eq!(unescape(b"\\x6"), None);
    }

    /// A rule that bounds a number must see the number.
    #[test]
    fn decimals_become_bytes() {
        assert_eq!(decimal_bytes(b"256").as_deref(), Some(&[0, 1, 0][..]));
        assert_eq!(decimal_bytes(b"-1").as_deref(), Some(&[255, 255][..]));
        assert_eq!(decimal_bytes(b"1_0"), None);
        let two_128 = decimal_bytes(b"340282366920938463463374607431768211456").unwrap();
        assert_eq!((two_128.len(), two_128[16], two_128[..16].iter().all(|b| *b == 0)), (18, 1, true));
    }
}
