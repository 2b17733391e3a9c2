//! scipy's matrices of lists and of keys. Cython writes the values of a matrix of lists into arrays that are as long as
//! its indices say, so the lists are gone through here; a matrix of keys is Python, which looks at its keys itself.
use super::super::numpy::contents::array;
use super::super::numpy::dtype::checked;
use super::super::{demand, int, Outcome};
use super::{attributes, shape};
use crate::policy::pattern::{Shape, View};

/// `{'_shape': (m, n), 'dtype': dtype, 'rows': array of lists of columns, 'data': array of lists of values, ...}`.
pub(in super::super) fn lists<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes(w, v, target, &["_shape", "maxprint", "_maxprint", "dtype", "rows", "data"])?;
    demand(agree(w, v).is_some(), w, v, "a list of columns, in order, and one of as many values for each row")
}

fn agree<W: View>(w: &W, v: W::V) -> Option<()> {
    let [rows, columns] = shape(w, w.entry(v, "_shape")?)?[..] else { return None };
    numeric(w, w.entry(v, "dtype")?)?;
    let lists = |key: &str| {
        let lists = array(w, w.entry(v, key)?).filter(|lists| lists.shape == [rows])?;
        lists.objects(w)
    };
    let (indices, values) = (lists("rows")?, lists("data")?);
    for (indices, values) in indices.into_iter().zip(values) {
        let (indices, values) = (list(w, indices)?, list(w, values)?);
        let mut next = 0;
        for index in &indices {
            let index = int(w, *index).and_then(|index| u64::try_from(index).ok())?;
            if index < next || index >= columns {
                return None;
            }
            next = index + 1;
        }
        let plain = values.iter().all(|value| !matches!(w.shape(*value), Shape::Global { .. } | Shape::Opaque));
        if !plain || indices.len() != values.len() {
            return None;
        }
    }
    Some(())
}

fn list<W: View>(w: &W, v: W::V) -> Option<Vec<W::V>> {
    matches!(w.shape(v), Shape::List).then(|| w.elements(v))?
}

fn numeric<W: View>(w: &W, v: W::V) -> Option<()> {
    let dtype = checked(w, v)?;
    (!dtype.structured && matches!(dtype.kind, 'b' | 'i' | 'u' | 'f' | 'c' | 'O')).then_some(())
}

/// `{'_shape': (m, n), 'dtype': dtype, '_dict': {(i, j): value, ...}, ...}`.
pub(in super::super) fn keys<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes(w, v, target, &["_shape", "maxprint", "_maxprint", "dtype", "_dict"])?;
    let sound = || {
        shape(w, w.entry(v, "_shape")?)?;
        numeric(w, w.entry(v, "dtype")?)?;
        // Before scipy 1.13 the matrix was the dict.
        w.entry(v, "_dict").is_none_or(|keys| matches!(w.shape(keys), Shape::Dict { .. })).then_some(())
    };
    demand(sound().is_some(), w, v, "a shape, a dtype of numbers and a dict")
}
