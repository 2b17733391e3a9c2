//! numpy's `.npy`: a header, then raw numbers or one pickle. The header's text is only asked whether the
//! dtype holds objects; it is never evaluated.

use crate::code::Code;
use crate::walk::{Place, Walk};
use crate::{hidden, pickles};
use memchr::memmem;

/// Looks at an array file.
pub(crate) fn scan(walk: &mut Walk<'_>, data: &[u8], place: &Place) -> u64 {
    let Some((header, body)) = split(data) else {
        let message = "the header of the array is damaged or cut off".to_owned();
        walk.say(Code::Damaged, message, &Place { format: place.chain("npy"), ..place.clone() }, None);
        let found = hidden::search(walk, data, place);
        walk.entry(place, "npy", data.len(), found);
        return found;
    };
    let inner = Place { base: (data.len() - body.len()) as u64, ..place.inside("npy") };
    walk.is(&inner.format, place);
    // numpy reads a pickle if the dtype has objects; a pickle in any other array is seen by the search.
    if let Some(found) = pickles::row(walk, body, &inner, !has_objects(header)) {
        return found;
    }
    if has_objects(header) {
        walk.say(Code::UnknownLayout, "an array of objects without a pickle".to_owned(), &inner, None);
    }
    let found = hidden::search(walk, body, &inner);
    walk.entry(place, "npy", data.len(), found);
    found
}

/// The header's text and what follows it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (at, length) = match data.get(6)? {
        1 => (10, usize::from(u16::from_le_bytes(*data.get(8..10)?.first_chunk()?))),
        _ => (12, u32::from_le_bytes(*data.get(8..12)?.first_chunk()?) as usize),
    };
    let end = at + length;
    Some((data.get(at..end)?, data.get(end..)?))
}

/// Whether a dtype of the header may hold objects: `|O`, `O8`, `object`, as the descr or in a field of it. Names of
/// fields may have the letter too; then a pickle is expected for nothing.
fn has_objects(header: &[u8]) -> bool {
    let descr = memmem::find(header, b"descr").map_or(header, |at| &header[at..]);
    descr.split(|byte| b"'\"".contains(byte)).any(|word| {
        let code = word.strip_prefix(b"|").or_else(|| word.strip_prefix(b"<")).unwrap_or(word);
        let code = code.strip_prefix(b">").or_else(|| code.strip_prefix(b"=")).unwrap_or(code);
        matches!(code, [b'O', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) || code == b"object"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array of objects taken for numbers would go unread.
    #[test]
    fn objects_are_told_by_the_dtype() {
        assert!(has_objects(b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"));
        assert!(has_objects(b"{'descr': [('a', '<i8'), ('b', '|O')], 'fortran_order': False, 'shape': (2,), }"));
        assert!(!has_objects(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"));
    }
}
