//! Numbers in texts and states: decimals, fractions, UUIDs, the words of a Mersenne twister.
//!
//! Bounds what parsing costs and what the finished object may hold. Computes no number itself.
use super::{demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Digits a decimal may have: parsing takes time quadratic in them, and ten thousand parse in a millisecond.
const DECIMAL_DIGITS: usize = 10_000;
/// Digits of each part of a fraction: CPython's own limit for an integer from text.
const INTEGER_DIGITS: usize = 4_300;
/// Bytes of an integer that arithmetic (a greatest common divisor) is done on while loading.
const MODEST_BYTES: usize = 4_096;

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// The text of a `decimal.Decimal`: a number, an infinity or a NaN with a payload.
pub(super) fn decimal_text<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let Shape::Text(text) = w.shape(v) else { return refuse(w, v, "the text of a decimal") };
    let body = unsigned(text);
    let is_sound = || {
        let (number, exponent) = match body.split_once(['E', 'e']) {
            Some((number, exponent)) => (number, Some(unsigned(exponent))),
            None => (body, None),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let nan = body.strip_prefix("sNaN").or_else(|| body.strip_prefix("NaN"));
        body == "Infinity"
            || nan.is_some_and(|payload| payload.is_empty() || digits(payload))
            || (some_digits(whole, part) && exponent.is_none_or(|e| digits(e) && e.len() <= 19))
    };
    let sound = text.len() <= DECIMAL_DIGITS && (is_plain(body) || is_sound());
    demand(sound, w, v, "the text of a decimal of at most 10000 characters")
}

/// Digits with at most one point among them: what most decimals are, told in one walk without a branch.
fn is_plain(text: &str) -> bool {
    let count = |counted: fn(u8) -> bool| text.bytes().map(|byte| usize::from(counted(byte))).sum::<usize>();
    let (digits, points) = (count(|byte| byte.is_ascii_digit()), count(|byte| byte == b'.'));
    digits > 0 && points <= 1 && digits + points == text.len()
}

/// Digits before or behind a point, and nothing else.
fn some_digits(whole: &str, part: &str) -> bool {
    let fine = |text: &str| text.is_empty() || digits(text);
    fine(whole) && fine(part) && !(whole.is_empty() && part.is_empty())
}

/// `digits/digits` or `digits`: never an exponent, whose power would be computed.
pub(super) fn fraction_text<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let Shape::Text(text) = w.shape(v) else { return refuse(w, v, "the text of a fraction") };
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let numerator = unsigned(numerator);
    let sound = [numerator, denominator].iter().all(|part| digits(part) && part.len() <= INTEGER_DIGITS);
    demand(sound, w, v, "digits/digits")
}

/// An integer of at most 4096 bytes.
pub(super) fn modest<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = matches!(w.shape(v), Shape::Int(_) | Shape::Bool(_))
        || matches!(w.shape(v), Shape::BigInt { bytes } if bytes <= MODEST_BYTES);
    demand(sound, w, v, "an integer of at most 4096 bytes")
}

/// Is the integer in `0..2**bits`? Of a wide one the sign is only known if the view shows its digits.
pub(super) fn fits<W: View>(w: &W, v: W::V, bits: usize) -> bool {
    match w.shape(v) {
        Shape::Int(value) => value >= 0 && (bits >= 63 || value < 1 << bits),
        Shape::BigInt { bytes } => match w.digits(v) {
            // Little-endian two's complement: the top bit set means negative.
            Some(digits) => {
                digits.last().is_some_and(|top| *top < 0x80) && digits.iter().skip(bits / 8).all(|byte| *byte == 0)
            }
            None => bytes <= bits / 8 + 1,
        },
        _ => false,
    }
}

/// `{'int': 0..2**128}`, and `is_safe` where it is known.
pub(super) fn uuid_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let value = w.entry(v, "int");
    let safe = if w.count(v) == Some(1) && value.is_some() { None } else { w.entry(v, "is_safe") };
    let known = 1 + u64::from(safe.is_some());
    let sound = matches!(w.shape(v), Shape::Dict { attrs: true })
        && w.count(v) == Some(known)
        && value.is_some_and(|value| fits(w, value, 128))
        && safe.is_none_or(|safe| match w.shape(safe) {
            Shape::None | Shape::Int(-1..=0) => true,
            Shape::Instance { module, name, .. } => (module, name) == ("uuid", "SafeUUID"),
            _ => false,
        });
    demand(sound, w, v, "a dict of int, 0 to 2**128, and is_safe")
}

/// `(version, 625 words, gauss)`: the last word is an index into the first 624, and C code trusts it.
pub(super) fn random_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(2 or 3, 624 words of 32 bits and an index up to 624, None or a float)";
    let [version, words, gauss] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    // Version 2 (Python 2) wrote words as signed longs; Python 3 reduces them itself.
    let low = match int(w, *version) {
        Some(2) => i64::from(i32::MIN),
        Some(3) => 0,
        _ => return refuse(w, *version, expected),
    };
    demand(matches!(w.shape(*gauss), Shape::None | Shape::Float(_)), w, *gauss, expected)?;
    let [words @ .., index] = tuple(w, *words, expected)? else { return refuse(w, *words, expected) };
    demand(words.len() == 624, w, v, expected)?;
    for word in words {
        let sound = int(w, *word).is_some_and(|word| (low..=i64::from(u32::MAX)).contains(&word));
        demand(sound, w, *word, "a word of 32 bits")?;
    }
    demand(int(w, *index).is_some_and(|index| (0..=624).contains(&index)), w, *index, "an index from 0 to 624")
}
