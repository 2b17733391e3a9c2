//! Pickles inside values of pickles: a stream that was checked in, the bytes and texts in it that are pickles with
//! findings out, each told under the code that the caller gives. Where values stand is the core reader's to say; what an inner pickle does, the core machine's.

use crate::code::Code;
use crate::hidden;
use crate::pickles::{broken, calls, check, has_header, names_are_plausible, tell, Broken};
use crate::walk::{Place, Walk};
use std::ops::Range;
use torshi_core::finding::Finding;
use torshi_core::literal::{raw_unicode_escape, unescape};
use torshi_core::opcode::Opcode;
use torshi_core::reader::{Argument, Reader};

/// Findings of one inner pickle that are told.
const MOST_NESTED: usize = 20;
/// The shortest bytes that can name something and call it.
const SHORTEST: usize = 8;

/// Looks into every bytes and text value of a pickle that was read to its end.
pub(crate) fn nested(walk: &mut Walk<'_>, data: &[u8], arrays: &[Range<usize>], place: &Place, role: Code) {
    // Its own header aside. Escapes of text protocols can stand for any byte.
    let behind = data.get(2..).unwrap_or_default();
    if !hidden::has_likely_place(behind) && memchr::memchr(b'\\', behind).is_none() {
        return;
    }
    let mut reader = Reader::new(data);
    let mut arrays = arrays.iter().peekable();
    loop {
        if let Some(array) = arrays.next_if(|array| array.start == reader.offset()) {
            reader = Reader::from_offset(data, array.end);
            if let Some(pickle) = data.get(array.clone()).filter(|data| has_header(data)) {
                nested(walk, pickle, &[], &place.at(array.start), role); // of an array of objects
            }
        }
        let Ok(opcode) = reader.opcode() else { return };
        let Ok(argument) = reader.argument() else { return };
        let (Argument::Bytes(value) | Argument::Line(value)) = argument else { continue };
        if value.len() < SHORTEST || !may_be_pickle(value[0]) {
            continue;
        }
        let offset = reader.offset() - value.len();
        match opcode {
            Opcode::Binbytes
            | Opcode::ShortBinbytes
            | Opcode::Binbytes8
            | Opcode::Bytearray8
            | Opcode::Binstring
            | Opcode::ShortBinstring => inner(walk, value, place, offset, role),
            Opcode::Binunicode | Opcode::ShortBinunicode | Opcode::Binunicode8 => {
                if let Some(bytes) = std::str::from_utf8(value).ok().and_then(latin1) {
                    inner(walk, &bytes, place, offset, role);
                }
            }
            Opcode::Unicode => {
                if let Some(bytes) = raw_unicode_escape(value).as_deref().and_then(latin1) {
                    inner(walk, &bytes, place, offset, role);
                }
            }
            Opcode::String => {
                if let Some(bytes) = unescape(&value[1..value.len() - 1]) {
                    inner(walk, &bytes, place, offset, role);
                }
            }
            _ => {}
        }
    }
}

/// The first bytes of what is looked into: PROTO (also as text), quotes of a literal, and what begins a pickle
/// of protocol 0 or 1 that calls something.
fn may_be_pickle(first: u8) -> bool {
    matches!(first, 0x80 | 0xc2 | b'\'' | b'"' | b'\\' | b'c' | b'(' | b']' | b'}' | b'i')
}

/// Text as the bytes it stands for, where bytes are pickled as text; only text that may be a pickle.
fn latin1(text: &str) -> Option<Vec<u8>> {
    let likely = text.starts_with('\u{80}') || text.ends_with('.') && text.contains('\n');
    if !likely {
        return None;
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// A value that may be a pickle: told only if it has findings.
fn inner(walk: &mut Walk<'_>, value: &[u8], place: &Place, offset: usize, role: Code) {
    let header = has_header(value);
    if value.len() < SHORTEST || !(header || value.ends_with(b".") && memchr::memchr(b'\n', value).is_some()) {
        return;
    }
    let here = Place { depth: place.depth + 1, ..place.at(offset) };
    if here.depth > walk.settings.limits.nesting {
        let message = format!("pickles inside pickles: over the limit nesting={}", walk.settings.limits.nesting);
        return walk.say(Code::Nesting, message, &here, None);
    }
    let checked = check(value, &walk.settings.policy, &walk.settings.limits.load, place.torch);
    let told = match &checked.outcome.fault {
        None if header => true,
        None => names_are_plausible(&checked.outcome) && calls(&checked.outcome),
        Some(fault) => header && broken(value, &checked.outcome, fault) == Broken::Acts,
    };
    if !told {
        return;
    }
    for finding in checked.outcome.findings.iter().take(MOST_NESTED) {
        let message = format!("a value of the pickle is itself a pickle, in which {}", finding.message);
        tell(walk, role, Finding { message, ..finding.clone() }, &here);
    }
    if let (None, end) = (&checked.outcome.fault, checked.outcome.plan.end) {
        nested(walk, &value[..end], checked.arrays.as_deref().unwrap_or_default(), &here, role);
    }
}
