//! scipy: sparse matrices, whose C++ takes indices for addresses, and splines, whose C takes counts for lengths.
use super::numpy::contents::array;
use super::{demand, int, refuse, Outcome};
use crate::policy::pattern::{Shape, View};

pub(super) mod lists;
pub(super) mod stats;

/// Rows or columns.
const LENGTH: u64 = 1 << 48;

fn shape<W: View>(w: &W, v: W::V) -> Option<Vec<u64>> {
    let Shape::Tuple(axes) = w.shape(v) else { return None };
    let size = |v: &W::V| int(w, *v).and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= LENGTH);
    axes.iter().map(size).collect()
}

/// Rows, columns and stored elements of a checked matrix of a format.
pub(crate) fn compressed<W: View>(w: &W, v: W::V, format: &str) -> Option<(u64, u64, u64)> {
    let Shape::Instance { module, name, state: Some(state), .. } = w.shape(v) else { return None };
    if !module.starts_with("scipy.sparse") || !name.starts_with(format) {
        return None;
    }
    match shape(w, w.entry(state, "_shape")?)?[..] {
        [rows, columns] => Some((rows, columns, array(w, w.entry(state, "data")?)?.count)),
        _ => None,
    }
}

/// A dict of these names and no others, each once, that is the first state of its owner.
fn attributes<W: View>(w: &W, v: W::V, target: Option<W::V>, names: &[&str]) -> Outcome {
    let first = target.is_none_or(|target| matches!(w.shape(target), Shape::Instance { state: None, .. }));
    demand(first, w, v, "the only state")?;
    demand(matches!(w.shape(v), Shape::Dict { .. }) && w.whole(v), w, v, "attributes that are all known")?;
    for (key, value) in w.pairs(v) {
        let known = matches!(w.shape(key), Shape::Text(key) if names.contains(&key));
        demand(known, w, value, "only attributes that the class has")?;
    }
    Ok(())
}

/// The attributes of a sparse matrix or array.
pub(super) fn sparse<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let Some(Shape::Instance { name, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a state of a matrix");
    };
    attributes(w, v, target, KEYS)?;
    let flags =
        ["_has_canonical_format", "_has_sorted_indices", "has_canonical_format", "_maxprint", "maxprint", "blocksize"];
    let small = flags.iter().all(|key| {
        w.entry(v, key).is_none_or(|value| {
            matches!(w.shape(value), Shape::Bool(_) | Shape::None)
                || int(w, value).is_some_and(|n| (0..=1 << 30).contains(&n))
        })
    });
    demand(
        small && agrees(w, v, &name[..3]).is_some(),
        w,
        v,
        "indices within the shape, and as many as there are elements",
    )
}

const KEYS: &[&str] = &[
    "_shape",
    "maxprint",
    "_maxprint",
    "data",
    "indices",
    "indptr",
    "coords",
    "row",
    "col",
    "offsets",
    "_has_canonical_format",
    "_has_sorted_indices",
    "has_canonical_format",
];

fn agrees<W: View>(w: &W, v: W::V, format: &str) -> Option<()> {
    let entry = |key: &str| w.entry(v, key);
    let part = |key: &str| array(w, entry(key)?);
    let shape = shape(w, entry("_shape")?)?;
    let index = |array: &super::numpy::contents::Array<'_, W::V>| array.is('i', 4) || array.is('i', 8);
    let plain = |array: &super::numpy::contents::Array<'_, W::V>| {
        !array.dtype.structured && matches!(array.dtype.kind, 'b' | 'i' | 'u' | 'f' | 'c' | 'O')
    };
    let [rows, columns] = shape[..] else {
        // One axis: as a single row.
        return match (format, &shape[..]) {
            ("csr", [columns]) => lines(w, v, 1, *columns),
            ("coo", shape) if !shape.is_empty() && shape.len() < 16 => coordinates(w, v, shape),
            _ => None,
        };
    };
    match format {
        "csr" => lines(w, v, rows, columns),
        "csc" => lines(w, v, columns, rows),
        "bsr" => {
            let data = part("data").filter(plain)?;
            let [count, height, width] = data.shape[..] else { return None };
            if height == 0 || width == 0 || rows % height != 0 || columns % width != 0 {
                return None;
            }
            pointers(w, v, rows / height, columns / width, count)
        }
        "coo" => coordinates(w, v, &[rows, columns]),
        "dia" => {
            let (data, offsets) = (part("data").filter(plain)?, part("offsets").filter(index)?);
            let [diagonals, _] = data.shape[..] else { return None };
            let far = i64::try_from(rows.max(columns)).ok()?;
            let near = offsets.shape == [diagonals] && offsets.within(w, -far, far as u64 + 1);
            (near && !data.fortran).then_some(())
        }
        _ => None,
    }
}

/// Compressed lines: pointers that rise, indices within a line.
fn lines<W: View>(w: &W, v: W::V, lines: u64, width: u64) -> Option<()> {
    let data = array(w, w.entry(v, "data")?)?;
    let plain = !data.dtype.structured && matches!(data.dtype.kind, 'b' | 'i' | 'u' | 'f' | 'c' | 'O');
    (plain && data.shape.len() == 1).then(|| pointers(w, v, lines, width, data.count))?
}

fn pointers<W: View>(w: &W, v: W::V, lines: u64, width: u64, stored: u64) -> Option<()> {
    let index = |key: &str| {
        array(w, w.entry(v, key)?).filter(|array| (array.is('i', 4) || array.is('i', 8)) && array.shape.len() == 1)
    };
    let (indices, starts) = (index("indices")?, index("indptr")?);
    // Compiled for one size of index: the greater of two would be read as the smaller.
    let sound = indices.dtype.size == starts.dtype.size
        && starts.count == lines + 1
        && indices.within(w, 0, width)
        && w.spend(starts.count);
    if !sound {
        return None;
    }
    let mut last = 0;
    for (at, start) in starts.integers(w)?.enumerate() {
        if start < last || at == 0 && start != 0 {
            return None;
        }
        last = start;
    }
    let last = u64::try_from(last).ok()?;
    (last <= stored && last <= indices.count).then_some(())
}

/// An index for each axis of each element.
fn coordinates<W: View>(w: &W, v: W::V, shape: &[u64]) -> Option<()> {
    let data = array(w, w.entry(v, "data")?)?;
    let plain =
        !data.dtype.structured && matches!(data.dtype.kind, 'b' | 'i' | 'u' | 'f' | 'c' | 'O') && data.shape.len() == 1;
    let axes: Vec<W::V> = match w.entry(v, "coords") {
        Some(coords) => match w.shape(coords) {
            Shape::Tuple(axes) => axes.to_vec(),
            _ => return None,
        },
        None => vec![w.entry(v, "row")?, w.entry(v, "col")?],
    };
    let mut size = None;
    let sound = axes.len() == shape.len()
        && axes.iter().zip(shape).all(|(axis, length)| {
            array(w, *axis).is_some_and(|axis| {
                (axis.is('i', 4) || axis.is('i', 8))
                    && *size.get_or_insert(axis.dtype.size) == axis.dtype.size
                    && axis.shape == [data.count]
                    && axis.within(w, 0, *length)
            })
        });
    (plain && sound).then_some(())
}

/// `{'_t': knots, '_c': coefficients, 'k': degree, ...}`: as many knots as coefficients and degree need.
pub(super) fn spline<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first && w.whole(v), w, v, "a spline without a state so far")?;
    let mut known = 0;
    for key in ["_t", "t", "_c", "c", "k", "extrapolate", "axis", "_asarray"] {
        known += u64::from(w.entry(v, key).is_some());
    }
    demand(w.count(v) == Some(known), w, v, "only attributes of a spline")?;
    let part = |one: &str, other: &str| w.entry(v, one).or_else(|| w.entry(v, other)).and_then(|part| array(w, part));
    let number = |key: &str| w.entry(v, key).and_then(|number| int(w, number));
    let (Some(knots), Some(values), Some(degree)) = (part("_t", "t"), part("_c", "c"), number("k")) else {
        return refuse(w, v, "knots, coefficients and a degree");
    };
    let axis = number("axis").unwrap_or(0);
    let agree = knots.is('f', 8)
        && knots.shape.len() == 1
        && matches!((values.dtype.kind, values.dtype.size), ('f', 8) | ('c', 16))
        && !values.fortran
        && (0..=100).contains(&degree)
        && (0..values.shape.len().min(8) as i64).contains(&axis)
        && values.shape.first().is_some_and(|count| *count > degree as u64 && count + (degree as u64) < knots.count)
        && knots.count >= 2 * (degree as u64 + 1)
        && rises(w, &knots);
    let extrapolate = w
        .entry(v, "extrapolate")
        .is_none_or(|flag| matches!(w.shape(flag), Shape::Bool(_) | Shape::None | Shape::Text("periodic")));
    demand(agree && extrapolate, w, v, "as many knots, in order, as coefficients and degree need")
}

/// Do floats never fall? Intervals are looked for by stepping along them.
fn rises<W: View>(w: &W, array: &super::numpy::contents::Array<'_, W::V>) -> bool {
    let Some(bytes) = array.seen(w) else { return false };
    let mut last = f64::NEG_INFINITY;
    bytes.chunks_exact(8).all(|item| {
        let value = f64::from_le_bytes(item.try_into().unwrap_or([0xff; 8]));
        let sound = value.is_finite() && value >= last;
        last = value;
        sound
    })
}
