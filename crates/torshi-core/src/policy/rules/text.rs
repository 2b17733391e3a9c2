//! Texts that name something or steer a parser: time zone keys, regular expression flags, Unicode errors.
//!
//! Checks spelling and ranges. Opens no file and compiles no expression.
use super::{content, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// The key of a time zone: a relative path of plain segments, since `zoneinfo` opens the file it names.
pub(super) fn zone_key<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let Shape::Text(key) = w.shape(v) else { return refuse(w, v, "the name of a time zone") };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    let sound = key.len() <= 100
        && key.split('/').all(|segment| !segment.is_empty() && segment.chars().all(plain))
        && key.starts_with(|c: char| c.is_ascii_alphabetic());
    demand(sound, w, v, "the name of a time zone, as Europe/Paris")
}

/// Flags of a compiled expression: all but DEBUG, which prints, and TEMPLATE, which is gone.
pub(super) fn re_flags<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    const KNOWN: i64 = 2 | 4 | 8 | 16 | 32 | 64 | 256;
    let sound = int(w, v).is_some_and(|flags| flags >= 0 && flags & !KNOWN == 0);
    demand(sound, w, v, "flags of a regular expression")
}

/// `(encoding?, object, start, end, reason)`: the message indexes the object, so the range must lie inside it.
pub(super) fn unicode_error<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(encoding, object, start, end, reason) with the range inside the object";
    let (object, start, end, texts) = match tuple(w, v, expected)? {
        [encoding, object, start, end, reason] => (object, start, end, vec![encoding, reason]),
        [object, start, end, reason] => (object, start, end, vec![reason]),
        _ => return refuse(w, v, expected),
    };
    let length = match w.shape(*object) {
        Shape::Text(text) => Some(text.chars().count() as u64),
        _ => content::length(w, *object),
    };
    let sound = texts.iter().all(|text| matches!(w.shape(**text), Shape::Text(_) | Shape::OpaqueText))
        && match (int(w, *start), int(w, *end), length) {
            (Some(start), Some(end), Some(length)) => 0 <= start && start <= end && end as u64 <= length,
            _ => false,
        };
    demand(sound, w, v, expected)
}
