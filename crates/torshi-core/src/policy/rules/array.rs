//! `array.array` and its reconstructor: type code, machine format and length must agree.
//!
//! Only shapes are checked; the elements of a list are converted, and refused where they do not fit, by `array` itself.
use super::{content, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Type codes of Python 3 (`w` since 3.13).
const CODES: &str = "bBuwhHiIlLqQfd";

fn code<W: View>(w: &W, v: W::V) -> Outcome {
    let sound = matches!(w.shape(v), Shape::Text(code) if code.len() == 1 && CODES.contains(code));
    demand(sound, w, v, "a type code of array")
}

/// `(typecode, list)` or `(typecode, bytes)`, or the type code alone.
pub(super) fn array<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    match tuple(w, v, "(typecode, list)")? {
        [only] => code(w, *only),
        [first, values] => {
            code(w, *first)?;
            let sound = matches!(w.shape(*values), Shape::List | Shape::Bytes(_));
            demand(sound, w, *values, "a list or bytes")
        }
        _ => refuse(w, v, "(typecode, list)"),
    }
}

/// `(array, typecode, machine format, bytes)`; the sizes are those of PEP 3118 formats as `array` numbers them.
pub(super) fn reconstructor<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(array.array, typecode, format, bytes)";
    let [class, first, format, data] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let plain = matches!(w.shape(*class), Shape::Global { module: "array", name: "array", row: Some(_) });
    demand(plain, w, *class, "array.array")?;
    code(w, *first)?;
    let size = match int(w, *format) {
        Some(0..=1) => 1,
        Some(2..=5 | 18..=19) => 2,
        Some(6..=9 | 14..=15 | 20..=21) => 4,
        Some(10..=13 | 16..=17) => 8,
        _ => return refuse(w, *format, "a machine format from 0 to 21"),
    };
    let whole = content::length(w, *data).is_some_and(|length| length % size == 0);
    demand(whole, w, *data, "bytes of a whole number of items")
}
