//! The bytes of a value however they were written: bytes, a Python 2 string decoded as latin-1, or the call
//! forms protocols 0 to 2 use (`_codecs.encode(text, "latin1")`, `bytearray(...)`).
//!
//! Gives contents where the stream holds them and a length where it only declares one. Never guesses either.
use std::borrow::Cow;

use crate::policy::pattern::{Shape, View};

/// The bytes of `v`, if the stream holds them. Costs a copy only for text beyond ASCII.
pub(crate) fn bytes<W: View>(w: &W, v: W::V) -> Option<Cow<'_, [u8]>> {
    match w.shape(v) {
        Shape::Bytes(data) | Shape::ByteArray(data) => Some(Cow::Borrowed(data)),
        Shape::Text(text) => latin1(text),
        Shape::Instance { module: "builtins", name: "bytes" | "bytearray", args: Some(args), .. } => {
            let Shape::Tuple(items) = w.shape(args) else { return None };
            match items {
                [] => Some(Cow::Borrowed(&[])),
                [only] => match w.shape(*only) {
                    Shape::Bytes(data) => Some(Cow::Borrowed(data)),
                    // A bytearray of bytes of text: the call forms nest this deep and no deeper.
                    Shape::Instance { module: "builtins", name: "bytes", args: Some(args), .. } => encoded(w, args),
                    _ => None,
                },
                _ => encoded(w, args),
            }
        }
        _ => None,
    }
}

/// What `(text, "latin1")` encodes to; `()` is empty.
fn encoded<W: View>(w: &W, args: W::V) -> Option<Cow<'_, [u8]>> {
    match w.shape(args) {
        Shape::Tuple([]) => Some(Cow::Borrowed(&[])),
        Shape::Tuple([text, codec]) => match (w.shape(*text), w.shape(*codec)) {
            (Shape::Text(text), Shape::Text("latin1" | "latin-1")) => latin1(text),
            _ => None,
        },
        _ => None,
    }
}

/// How many bytes `v` holds, where that is known before building.
pub(crate) fn length<W: View>(w: &W, v: W::V) -> Option<u64> {
    match w.shape(v) {
        Shape::Bytes(data) | Shape::ByteArray(data) => Some(data.len() as u64),
        _ => bytes(w, v).map(|data| data.len() as u64),
    }
}

/// Text as the bytes Python's latin-1 codec makes of it; `None` if it has wider characters.
fn latin1(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}
