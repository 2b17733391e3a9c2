//! Arrays and scalars: reconstructors, buffers, states.
//!
//! Bytes must be exactly as many as shape and dtype say, a list exactly as long: numpy reads a list of references
//! without looking at its length. A state is given once, to an array that a reconstructor made empty.
use super::super::{content, demand, int, refuse, tuple, Outcome};
use super::dtype::{checked, layout, Checked};
use crate::policy::pattern::{same_module, Mismatch, Shape, View};

/// Dimensions numpy 2 allows.
const DIMENSIONS: usize = 64;
/// Elements of an array of empty items, which have no bytes to show for themselves.
const EMPTY_ITEMS: u64 = 1 << 20;
/// Items of a tuple among which a nested state is looked for; states of subclasses have two or three.
const NESTED: usize = 16;
/// Parts of two dtypes that are compared.
const LAYOUT: usize = 1 << 12;

/// Array classes that add no state of their own, in every module they have been pickled from.
const CLASSES: &[(&str, &str)] = &[
    ("numpy", "ndarray"),
    ("numpy", "matrix"),
    ("numpy.matrixlib.defmatrix", "matrix"),
    ("numpy", "recarray"),
    ("numpy.rec", "recarray"),
    ("numpy._core.records", "recarray"),
    ("numpy", "chararray"),
    ("numpy.char", "chararray"),
    ("numpy._core.defchararray", "chararray"),
    ("numpy", "memmap"),
    ("numpy._core.memmap", "memmap"),
];

fn array_class<W: View>(w: &W, v: W::V) -> bool {
    match w.shape(v) {
        Shape::Global { module, name, row: Some(row) } => {
            (row.trusted && row.construct.is_some())
                || CLASSES.iter().any(|(m, n)| *n == name && same_module(m, module))
        }
        _ => false,
    }
}

/// The product of a shape: a tuple of dimensions that are not negative. `None` if it is anything else.
pub(crate) fn elements<W: View>(w: &W, v: W::V) -> Option<u64> {
    let Shape::Tuple(dimensions) = w.shape(v) else { return None };
    if dimensions.len() > DIMENSIONS {
        return None;
    }
    let mut product: u64 = 1;
    let mut empty = false;
    for dimension in dimensions {
        match int(w, *dimension).and_then(|dimension| u64::try_from(dimension).ok())? {
            0 => empty = true,
            // Overflow counts beside a zero too: numpy multiplies the others for the strides.
            size => product = product.checked_mul(size).filter(|product| i64::try_from(*product).is_ok())?,
        }
    }
    Some(if empty { 0 } else { product })
}

/// Bytes of so many items of a size.
fn volume(count: u64, size: u64) -> Option<u64> {
    if size == 0 && count > EMPTY_ITEMS {
        return None;
    }
    count.checked_mul(size).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// A dtype an array may have.
fn whole<W: View>(w: &W, v: W::V) -> Option<Checked> {
    checked(w, v).filter(|dtype| !dtype.subarray)
}

fn empty_shape<W: View>(w: &W, v: W::V) -> bool {
    matches!(w.shape(v), Shape::Tuple([only]) if int(w, *only) == Some(0))
}

fn byte_code<W: View>(w: &W, v: W::V) -> bool {
    content::bytes(w, v).is_some_and(|code| *code == b"b"[..])
}

/// `(class, (0,), b'b')`: an array without elements, to be filled by its state.
pub(crate) fn reconstruct<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(an array class, (0,), b'b')";
    let [class, shape, code] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    demand(array_class(w, *class), w, *class, "an array class")?;
    demand(empty_shape(w, *shape) && byte_code(w, *code), w, v, expected)
}

/// `(MaskedArray, array class, (0,), 'b')`.
pub(crate) fn masked<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(MaskedArray, an array class, (0,), 'b')";
    let [class, base, shape, code] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let masked = match w.shape(*class) {
        Shape::Global { module: "numpy.ma" | "numpy.ma.core", name: "MaskedArray", row: Some(_) } => true,
        Shape::Global { row: Some(row), .. } => row.trusted && row.construct.is_some(),
        _ => false,
    };
    demand(masked, w, *class, "numpy.ma.MaskedArray")?;
    demand(array_class(w, *base), w, *base, "an array class")?;
    demand(empty_shape(w, *shape) && byte_code(w, *code), w, v, expected)
}

/// Was the target made by a reconstructor (its first argument is a class) and left without a state?
fn fresh<W: View>(w: &W, target: Option<W::V>) -> bool {
    let Some(Shape::Instance { args: Some(args), state: None, .. }) = target.map(|target| w.shape(target)) else {
        return false;
    };
    matches!(w.shape(args), Shape::Tuple([class, ..]) if matches!(w.shape(*class), Shape::Global { .. }))
}

/// `(1, shape, dtype, fortran, data)`.
pub(crate) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "an array without a state so far")?;
    let expected = "(1, shape, dtype, fortran order, data)";
    match tuple(w, v, expected)? {
        [version, shape, dtype, fortran, data] if int(w, *version) == Some(1) => {
            demand(int(w, *fortran).is_some_and(|flag| (0..=1).contains(&flag)), w, *fortran, expected)?;
            contents(w, *shape, *dtype, *data).map(drop)
        }
        _ => refuse(w, v, expected),
    }
}

/// What the elements of an array take.
pub(crate) enum Extent {
    /// So many bytes.
    Bytes(u64),
    /// References, which have no bytes to show.
    References,
}

/// What an array of a shape and a checked dtype takes. `None`: they do not say.
pub(crate) fn extent<W: View>(w: &W, shape: W::V, dtype: W::V) -> Option<Extent> {
    let (count, dtype) = (elements(w, shape)?, whole(w, dtype)?);
    if dtype.object {
        return Some(Extent::References);
    }
    volume(count, dtype.size).map(Extent::Bytes)
}

/// Do shape, dtype and data agree? Gives the number of elements.
fn contents<W: View>(w: &W, shape: W::V, dtype: W::V, data: W::V) -> Result<u64, Mismatch> {
    let Some(count) = elements(w, shape) else { return refuse(w, shape, "a shape") };
    let Some(dtype) = whole(w, dtype) else { return refuse(w, dtype, "a dtype whose state is set") };
    if dtype.object {
        // No more elements than the list has: numpy allocates by the shape and reads by the shape.
        let whole = matches!(w.shape(data), Shape::List) && w.count(data) == Some(count);
        demand(whole, w, data, format_args!("a list of {count}"))?;
        return Ok(count);
    }
    let bytes = volume(count, dtype.size);
    let kind = matches!(w.shape(data), Shape::Bytes(_) | Shape::Text(_) | Shape::Instance { .. });
    let whole = kind && bytes.is_some() && content::length(w, data) == bytes;
    demand(whole, w, data, format_args!("{} bytes", bytes.map_or("fewer".to_owned(), |bytes| bytes.to_string())))?;
    Ok(count)
}

/// Does a state of a trusted class hold nothing that numpy would read past its end? A subclass of ndarray hands
/// the array's part of its state on to numpy, as it is or inside a tuple of its own.
pub(crate) fn honest<W: View>(w: &W, v: W::V, depth: usize) -> Outcome {
    let Shape::Tuple(items) = w.shape(v) else { return Ok(()) };
    for part in items.windows(4) {
        let [shape, dtype, _, data] = part else { continue };
        let array = matches!(w.shape(*shape), Shape::Tuple(_))
            && matches!(w.shape(*dtype), Shape::Instance { module: "numpy", name: "dtype", .. });
        if array {
            contents(w, *shape, *dtype, *data)?;
        }
    }
    if depth == 0 || items.len() > NESTED {
        return Ok(());
    }
    items.iter().try_for_each(|item| honest(w, *item, depth - 1))
}

/// `(1, shape, dtype, fortran, data, mask, fill value)`.
pub(crate) fn masked_state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "a masked array without a state so far")?;
    let expected = "(1, shape, dtype, fortran order, data, mask, fill value)";
    let [version, shape, dtype, fortran, data, mask, fill] = tuple(w, v, expected)? else {
        return refuse(w, v, expected);
    };
    let flags = int(w, *version) == Some(1) && int(w, *fortran).is_some_and(|flag| (0..=1).contains(&flag));
    demand(flags, w, v, expected)?;
    let count = contents(w, *shape, *dtype, *data)?;
    // A mask of a structure has a byte for each leaf; numpy compares that length itself and holds no references in it.
    let leaves = checked(w, *dtype).is_some_and(|dtype| dtype.structured);
    let length = content::length(w, *mask);
    demand(if leaves { length.is_some() } else { length == Some(count) }, w, *mask, "a mask of the same shape")?;
    // Not a list: it would be made into an array, and shared lists expand without bound.
    let plain = match w.shape(*fill) {
        Shape::None | Shape::Bool(_) | Shape::Int(_) | Shape::BigInt { .. } | Shape::Float(_) => true,
        Shape::Text(_) | Shape::OpaqueText | Shape::Bytes(_) | Shape::Opaque => true,
        Shape::Instance { module, name, .. } => {
            matches!((module, name), ("numpy", "ndarray" | "generic") | ("builtins", "complex" | "bytes"))
        }
        _ => false,
    };
    demand(plain, w, *fill, "a fill value")
}

/// `(buffer, dtype, shape, order[, axis order])`.
pub(crate) fn frombuffer<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(buffer, dtype, shape, order)";
    let (buffer, dtype, shape, order) = match tuple(w, v, expected)? {
        [buffer, dtype, shape, order] => (buffer, dtype, shape, order),
        [buffer, dtype, shape, order, axes] => {
            let plain = matches!(w.shape(*axes), Shape::None)
                || matches!(w.shape(*axes), Shape::Tuple(axes) if axes.len() <= DIMENSIONS && axes.iter().all(|axis| int(w, *axis).is_some()));
            demand(plain, w, *axes, "an axis order")?;
            (buffer, dtype, shape, order)
        }
        _ => return refuse(w, v, expected),
    };
    demand(matches!(w.shape(*order), Shape::Text("C" | "F" | "A" | "K")), w, *order, "an order")?;
    let Some(dtype) = whole(w, *dtype) else { return refuse(w, *dtype, "a dtype whose state is set") };
    demand(!dtype.object, w, v, "a dtype without references")?;
    let Some(bytes) = elements(w, *shape).and_then(|count| volume(count, dtype.size)) else {
        return refuse(w, *shape, "a shape");
    };
    match w.shape(*buffer) {
        // Out of band: its length is numpy's to compare, which it does before reading.
        Shape::Buffer => {
            if matches!(dtype.kind, 'f' | 'c') && !dtype.structured {
                w.holds_floats(*buffer);
            }
            Ok(())
        }
        Shape::Bytes(_) | Shape::ByteArray(_) | Shape::Instance { module: "builtins", .. } => {
            demand(content::length(w, *buffer) == Some(bytes), w, *buffer, format_args!("{bytes} bytes"))
        }
        _ => refuse(w, *buffer, "a buffer"),
    }
}

/// `(dtype, bytes)`; for a structure with references `(dtype, an array of that dtype)`, whose data numpy copies
/// without comparing the two dtypes.
pub(crate) fn scalar<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(dtype, bytes)";
    let [kind, value] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(dtype) = whole(w, *kind) else { return refuse(w, *kind, "a dtype whose state is set") };
    if !dtype.object {
        let whole = content::length(w, *value) == Some(dtype.size) && !matches!(w.shape(*value), Shape::ByteArray(_));
        return demand(whole, w, *value, format_args!("{} bytes", dtype.size));
    }
    if !dtype.structured {
        let plain = dtype.kind == 'O' && !matches!(w.shape(*value), Shape::Global { .. });
        return demand(plain, w, *value, "data");
    }
    let expected = "an array of one element of that dtype";
    let Shape::Instance { module: "numpy", name: "ndarray", state: Some(state), .. } = w.shape(*value) else {
        return refuse(w, *value, expected);
    };
    let Shape::Tuple([_, shape, other, ..]) = w.shape(state) else { return refuse(w, *value, expected) };
    let same = layout(w, *kind, LAYOUT).is_some_and(|mine| layout(w, *other, LAYOUT) == Some(mine));
    let sized = checked(w, *other).is_some_and(|other| other.size == dtype.size);
    demand(same && sized && elements(w, *shape) == Some(1), w, *value, expected)
}
