//! The packed fields of `datetime` objects: 4, 6 or 10 bytes in, valid calendar fields or a refusal.
//!
//! CPython checks the length and one byte of them; forged fields make objects whose methods read outside tables.
use super::{content, refuse, Outcome};
use crate::policy::pattern::View;

/// `yyyy mm dd`; the top bit of the month is the fold of a datetime and not part of a date.
fn calendar(bytes: &[u8], fold: bool) -> bool {
    let [high, low, month, day] = bytes[..] else { return false };
    let year = u16::from(high) << 8 | u16::from(low);
    let month = if fold { month & 0x7f } else { month };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=9999).contains(&year) && (1..=days).contains(&day)
}

/// `hh mm ss` and three bytes of microseconds; the top bit of the hour is the fold of a time.
fn clock(bytes: &[u8], fold: bool) -> bool {
    let [hour, minute, second, a, b, c] = bytes[..] else { return false };
    let hour = if fold { hour & 0x7f } else { hour };
    let micros = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
    hour < 24 && minute < 60 && second < 60 && micros < 1_000_000
}

/// The packed form of a date.
pub(super) fn date<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    match content::bytes(w, v) {
        Some(bytes) if bytes.len() == 4 && calendar(&bytes, false) => Ok(()),
        _ => refuse(w, v, "four bytes that are a date"),
    }
}

/// The packed form of a time.
pub(super) fn time<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    match content::bytes(w, v) {
        Some(bytes) if bytes.len() == 6 && clock(&bytes, true) => Ok(()),
        _ => refuse(w, v, "six bytes that are a time"),
    }
}

/// The packed form of a datetime.
pub(super) fn datetime<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    match content::bytes(w, v) {
        Some(bytes) if bytes.len() == 10 && calendar(&bytes[..4], true) && clock(&bytes[4..], false) => Ok(()),
        _ => refuse(w, v, "ten bytes that are a date and a time"),
    }
}
