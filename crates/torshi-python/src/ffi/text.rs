//! Makes `str` objects from UTF-8. ASCII is copied; other text is measured first, so that it is written once, at its
//! final width. It refuses nothing: what is not plain UTF-8 goes to CPython's own decoder, which has the last
//! word on it, and raises what it raises.

use super::fresh;
use pyo3::ffi;
use pyo3::prelude::*;
use std::mem::MaybeUninit;
use std::os::raw::c_char;

/// A `str` from UTF-8 in which surrogates may stand.
#[inline(always)]
pub fn text<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match utf8.len() {
        1 if utf8[0].is_ascii() => character(py, utf8[0]),
        0 | 1 => decoded(py, utf8), // one shared object, or none
        _ if utf8.is_ascii() => ascii(py, utf8),
        _ => wide(py, utf8),
    }
}

/// A `str` of one ASCII character, which is shared.
#[inline(always)]
fn character<'py>(py: Python<'py>, ascii: u8) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a code point there is; a new reference or null comes back.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_FromOrdinal(ascii.into())) }
}

/// A `str` by CPython's own decoder.
#[cold]
fn decoded<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (ptr, len) = (utf8.as_ptr().cast::<c_char>(), utf8.len() as ffi::Py_ssize_t);
    // SAFETY: pointer and length are those of one live slice, no longer than isize::MAX; the name of
    // the error handler is a C string; a new reference or null comes back.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_DecodeUTF8(ptr, len, c"surrogatepass".as_ptr())) }
}

#[inline(always)]
fn ascii<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new str of `len` one-byte characters, or null; its characters are all written, with
    // ASCII as the maximum of 127 promises, before any other code sees it.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_New(text.len() as ffi::Py_ssize_t, 127))?;
        let data = ffi::PyUnicode_DATA(made.as_ptr()).cast::<u8>();
        fresh::copy(text, data);
        Ok(made)
    }
}

/// Text with characters beyond ASCII. The highest byte is a lead byte, and tells the width the text needs.
fn wide<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (mut characters, mut highest) = (0usize, 0u8);
    for &byte in utf8 {
        characters += usize::from(byte & 0xc0 != 0x80);
        highest = highest.max(byte);
    }
    let made = match highest {
        _ if characters < 2 => None, // single characters are shared
        0xc2..=0xc3 => filled::<u8>(py, utf8, characters, 0xff)?,
        0xc4..=0xef => filled::<u16>(py, utf8, characters, 0xffff)?,
        0xf0..=0xf4 => filled::<u32>(py, utf8, characters, 0x10_ffff)?,
        _ => None,
    };
    match made {
        Some(made) => Ok(made),
        None => decoded(py, utf8),
    }
}

/// A `str` whose characters are `C` wide; `None` if the bytes are not UTF-8.
fn filled<'py, C: Unit>(
    py: Python<'py>, utf8: &[u8], characters: usize, most: u32,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: a new str of `characters` units of the width that `most` stands for, or null. The units are seen by no
    // other code until `decode` has written them all; if it has not, the object is dropped unread. That one
    // of them needs the width is so because the highest lead byte is that of such a character.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_New(characters as ffi::Py_ssize_t, most))?;
        let data = ffi::PyUnicode_DATA(made.as_ptr()).cast::<MaybeUninit<C>>();
        let whole = decode(utf8, std::slice::from_raw_parts_mut(data, characters));
        Ok(whole.then_some(made))
    }
}

/// A character of a `str`.
trait Unit: Copy {
    fn of(scalar: u32) -> Self;
}

impl Unit for u8 {
    #[inline(always)]
    fn of(scalar: u32) -> Self {
        scalar as u8
    }
}

impl Unit for u16 {
    #[inline(always)]
    fn of(scalar: u32) -> Self {
        scalar as u16
    }
}

impl Unit for u32 {
    #[inline(always)]
    fn of(scalar: u32) -> Self {
        scalar
    }
}

/// Decodes UTF-8 into just as many characters as there is room for; whether it was UTF-8, and did fill it.
fn decode<C: Unit>(utf8: &[u8], out: &mut [MaybeUninit<C>]) -> bool {
    let mut rest = utf8;
    for place in out {
        let (scalar, width) = match *rest {
            [a, ..] if a < 0x80 => (u32::from(a), 1),
            [a @ 0xc2..=0xdf, b, ..] if is_tail(b) => (u32::from(a & 0x1f) << 6 | low(b), 2),
            [a @ 0xe0..=0xef, b, c, ..] if is_tail(b) && is_tail(c) => {
                let scalar = u32::from(a & 0x0f) << 12 | low(b) << 6 | low(c);
                if scalar < 0x800 || (0xd800..0xe000).contains(&scalar) {
                    return false;
                }
                (scalar, 3)
            }
            [a @ 0xf0..=0xf4, b, c, d, ..] if is_tail(b) && is_tail(c) && is_tail(d) => {
                let scalar = u32::from(a & 0x07) << 18 | low(b) << 12 | low(c) << 6 | low(d);
                if !(0x1_0000..=0x10_ffff).contains(&scalar) {
                    return false;
                }
                (scalar, 4)
            }
            _ => return false,
        };
        place.write(C::of(scalar));
        rest = &rest[width..];
    }
    rest.is_empty()
}

#[inline(always)]
fn is_tail(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[inline(always)]
fn low(byte: u8) -> u32 {
    u32::from(byte & 0x3f)
}
