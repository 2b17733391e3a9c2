//! dtypes: `numpy.dtype(code, False, True)` and the state that follows it.
//!
//! What must hold: sizes agree with the code, fields lie inside the item, references are where the flags say and
//! nowhere else. A dtype that lies about any of these makes arrays that read raw bytes as pointers.
use super::super::{content, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Mismatch, Shape, View};

const REFCOUNT: i64 = 1;
const LIST_PICKLE: i64 = 2;
const ITEM_POINTER: i64 = 4;
const NEEDS_INIT: i64 = 8;
const NEEDS_PYAPI: i64 = 16;
const USE_GETITEM: i64 = 32;
const ALIGNED: i64 = 128;
/// All the flags of the object dtype.
const OBJECT: i64 = REFCOUNT | LIST_PICKLE | ITEM_POINTER | NEEDS_INIT | NEEDS_PYAPI | USE_GETITEM;
/// Flags that say: there are references in here.
const REFERENCES: i64 = REFCOUNT | LIST_PICKLE | ITEM_POINTER | USE_GETITEM;
/// Largest size of one item: numpy's own limit is the range of a C int.
const ITEM: u64 = i32::MAX as u64;
/// Pointers are as wide as where this runs.
const POINTER: u64 = size_of::<usize>() as u64;

/// The first argument of `numpy.dtype`: a kind, and the size of an item where the code gives one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Code {
    kind: char,
    size: Option<u64>,
}

/// A dtype whose state has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    /// Bytes of an item.
    pub(crate) size: u64,
    /// Arrays of it hold references, and are pickled as lists.
    pub(crate) object: bool,
    /// Has fields.
    pub(crate) structured: bool,
    /// Is a subarray, which no array has for its dtype.
    pub(crate) subarray: bool,
    /// The kind character; `T` for variable-width strings.
    pub(crate) kind: char,
    align: u64,
    flags: i64,
}

fn code<W: View>(w: &W, v: W::V) -> Option<Code> {
    let text = match w.shape(v) {
        Shape::Text(text) => text,
        // What record arrays have: a void of any size.
        Shape::Global { module, name: "record", row: Some(_) } if module.starts_with("numpy") => {
            return Some(Code { kind: 'V', size: None });
        }
        _ => return None,
    };
    let (kind, digits) = text.split_at_checked(1)?;
    let kind = kind.chars().next()?;
    let plain = digits.len() <= 10 && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = if plain { digits.parse().ok()? } else { return None };
    let size = match (kind, number) {
        ('b', 1)
        | ('i' | 'u', 1 | 2 | 4 | 8)
        | ('f', 2 | 4 | 8 | 12 | 16)
        | ('c', 8 | 16 | 24 | 32)
        | ('M' | 'm', 8) => number,
        ('O', 4 | 8) => POINTER,
        ('S' | 'V', 0..=ITEM) => number,
        ('U', 0..=ITEM) if number * 4 <= ITEM => number * 4,
        _ => return None,
    };
    Some(Code { kind, size: Some(size) })
}

/// `(code, False, True)`: not aligned, and a copy, because a state set on a shared dtype would change it for everyone.
pub(crate) fn arguments<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a type code, False, True)";
    let [spec, align, copy] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    demand(code(w, *spec).is_some(), w, *spec, "a type code as f8 or S10")?;
    demand(int(w, *align) == Some(0) && int(w, *copy) == Some(1), w, v, expected)
}

/// What a dtype instance is, if its state has been set (and so checked).
pub(crate) fn checked<W: View>(w: &W, v: W::V) -> Option<Checked> {
    let Shape::Instance { module, name, args: Some(args), state, .. } = w.shape(v) else { return None };
    if (module, name) == ("numpy.dtypes", "StringDType") {
        return Some(Checked {
            size: 16,
            object: true,
            structured: false,
            subarray: false,
            kind: 'T',
            align: 8,
            flags: OBJECT,
        });
    }
    if (module, name) != ("numpy", "dtype") {
        return None;
    }
    let Shape::Tuple([spec, ..]) = w.shape(args) else { return None };
    let code = code(w, *spec)?;
    let Shape::Tuple([_, _, subarray, _, fields, size, align, flags, ..]) = w.shape(state?) else { return None };
    let flags = flag_bits(int(w, *flags)?)?;
    let extended = matches!(code.kind, 'S' | 'U' | 'V');
    let size = if extended { u64::try_from(int(w, *size)?).ok()? } else { code.size? };
    let align = if extended { u64::try_from(int(w, *align)?).ok()? } else { natural(code.kind, size) };
    let structured = !matches!(w.shape(*fields), Shape::None);
    let subarray = !matches!(w.shape(*subarray), Shape::None);
    Some(Checked { size, object: flags & REFCOUNT != 0, structured, subarray, kind: code.kind, align, flags })
}

fn natural(kind: char, size: u64) -> u64 {
    match kind {
        'c' => size / 2,
        'f' if size == 12 => 4,
        _ => size,
    }
}

/// Flags as numpy 1 (a signed char) and numpy 2 (unsigned) write them.
fn flag_bits(flags: i64) -> Option<i64> {
    match flags {
        0..=255 => Some(flags),
        -128..=-1 => Some(flags + 256),
        _ => None,
    }
}

/// `(version, byte order, subarray, names, fields, size, alignment, flags[, metadata])`, once per dtype.
pub(crate) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let expected = "the state of a dtype";
    let Some(Shape::Instance { args: Some(args), state: None, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a dtype without a state so far");
    };
    let Shape::Tuple([spec, ..]) = w.shape(args) else { return refuse(w, args, expected) };
    let Some(code) = code(w, *spec) else { return refuse(w, *spec, "a type code") };
    let items = tuple(w, v, expected)?;
    let [version, order, subarray, names, fields, size, align, flags, metadata @ ..] = items else {
        return refuse(w, v, expected);
    };
    demand(
        int(w, *version) == Some(3 + metadata.len() as i64) && metadata.len() <= 1,
        w,
        v,
        "a dtype state of version 3 or 4",
    )?;
    let order = content::bytes(w, *order);
    demand(matches!(order.as_deref(), Some(b"<" | b">" | b"=" | b"|")), w, v, "a byte order")?;
    if let [metadata] = metadata {
        check_metadata(w, *metadata, code.kind)?;
    }
    let Some(flags) = int(w, *flags).and_then(flag_bits) else { return refuse(w, *flags, "the flags of a dtype") };
    let (size, align) = (int(w, *size), int(w, *align));
    let bare =
        matches!((w.shape(*subarray), w.shape(*names), w.shape(*fields)), (Shape::None, Shape::None, Shape::None));
    if code.kind != 'V' {
        demand(bare, w, v, "no fields and no subarray")?;
    }
    let layout = match code.kind {
        'O' => demand(size == Some(-1) && align == Some(-1) && flags == OBJECT, w, v, "an honest object dtype"),
        'S' => demand(size == signed(code.size) && align == Some(1) && flags == 0, w, v, "an honest bytes dtype"),
        'U' => {
            let honest = size == signed(code.size) && align == Some(4) && (flags == NEEDS_INIT || flags == 0);
            demand(honest, w, v, "an honest string dtype")
        }
        'V' => Ok(()),
        _ => demand(size == Some(-1) && align == Some(-1) && flags == 0, w, v, "an honest numeric dtype"),
    };
    layout?;
    if code.kind != 'V' {
        return Ok(());
    }
    let item = size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size <= ITEM);
    let Some(size) = item.filter(|size| code.size.is_none_or(|coded| coded == *size)) else {
        return refuse(w, v, "a size that agrees with the type code");
    };
    let Some(align) = align.filter(|align| [1, 2, 4, 8, 16, 32].contains(align)) else {
        return refuse(w, v, "an alignment that is a power of two");
    };
    let item = Item { size, align: align as u64, flags };
    if bare {
        demand(flags & !NEEDS_PYAPI == 0, w, v, "a void without references")
    } else if matches!(w.shape(*subarray), Shape::None) {
        structure(w, *names, *fields, item)
    } else {
        let plain = matches!((w.shape(*names), w.shape(*fields)), (Shape::None, Shape::None));
        demand(plain, w, v, "a subarray without fields")?;
        subarrays(w, *subarray, item)
    }
}

fn signed(size: Option<u64>) -> Option<i64> {
    size.and_then(|size| i64::try_from(size).ok())
}

/// What the state claims.
#[derive(Clone, Copy)]
struct Item {
    size: u64,
    align: u64,
    flags: i64,
}

/// `(base, shape)`.
fn subarrays<W: View>(w: &W, v: W::V, item: Item) -> Outcome {
    let expected = "(a checked dtype, shape) of the item's size";
    let [base, shape] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(base) = checked(w, *base) else { return refuse(w, *base, expected) };
    let count = match w.shape(*shape) {
        Shape::Int(count) => u64::try_from(count).ok(),
        _ => super::ndarray::elements(w, *shape),
    };
    let size = count.and_then(|count| count.checked_mul(base.size));
    let honest = size == Some(item.size) && item.flags == base.flags && item.align == base.align && base.kind != 'T';
    demand(honest, w, v, expected)
}

/// `names` and `{name: (dtype, offset[, title])}`, titles being keys too.
fn structure<W: View>(w: &W, names: W::V, fields: W::V, item: Item) -> Outcome {
    let expected = "fields that lie inside the item";
    let names = tuple(w, names, "a tuple of names")?;
    let mut spans = Vec::with_capacity(names.len());
    let mut titles = 0;
    let mut inherited = 0;
    for name in names {
        let Shape::Text(name) = w.shape(*name) else { return refuse(w, *name, "a name") };
        let Some(entry) = w.entry(fields, name) else { return refuse(w, fields, format!("a field {name:?}")) };
        let (field, offset, title) = field(w, entry)?;
        if let Some(title) = title {
            // Looked up by title the same field must be found, or the title is a second, unchecked one.
            let same = match w.entry(fields, title) {
                Some(other) => field_eq(self::field(w, other)?, (field, offset)),
                None => false,
            };
            demand(same && title != name, w, entry, "a title that stands for its field")?;
            titles += 1;
        }
        let end = offset.checked_add(field.size);
        demand(end.is_some_and(|end| end <= item.size) && field.kind != 'T', w, entry, expected)?;
        let placed =
            item.flags & ALIGNED == 0 || (field.align > 0 && offset % field.align == 0 && item.align >= field.align);
        demand(placed, w, entry, "a field at its alignment")?;
        inherited |= field.flags & (REFCOUNT | LIST_PICKLE | NEEDS_INIT | NEEDS_PYAPI);
        spans.push((offset, offset + field.size, field.object));
    }
    // Equal keys are counted again, so this also says that no name stands twice.
    demand(w.count(fields) == Some(names.len() as u64 + titles), w, fields, "one entry a field")?;
    demand(item.flags & ALIGNED == 0 || item.size % item.align == 0, w, fields, "a size of whole alignments")?;
    let wanted = inherited & (REFERENCES | NEEDS_INIT);
    let honest =
        item.flags & (REFERENCES | NEEDS_INIT) == wanted || item.flags & REFERENCES == 0 && wanted == NEEDS_INIT;
    demand(honest, w, fields, "flags that tell where references are")?;
    spans.sort_unstable();
    let mut reach = (0, false);
    for (start, end, object) in spans {
        // A reference under another field could be overwritten with bytes.
        demand(start >= reach.0 || !(object || reach.1), w, fields, "references no other field overlaps")?;
        reach = (end.max(reach.0), object || (start < reach.0 && reach.1));
    }
    Ok(())
}

fn field_eq<T>(found: (Checked, u64, T), wanted: (Checked, u64)) -> bool {
    let (field, offset) = wanted;
    (found.0.size, found.0.flags, found.0.kind, found.1) == (field.size, field.flags, field.kind, offset)
}

fn field<W: View>(w: &W, v: W::V) -> Result<(Checked, u64, Option<&str>), Mismatch> {
    let expected = "(a checked dtype, offset)";
    let (dtype, offset, title) = match tuple(w, v, expected)? {
        [dtype, offset] => (dtype, offset, None),
        [dtype, offset, title] => match w.shape(*title) {
            Shape::Text(title) => (dtype, offset, Some(title)),
            Shape::None => (dtype, offset, None),
            _ => return refuse(w, *title, "a title"),
        },
        _ => return refuse(w, v, expected),
    };
    match (checked(w, *dtype), int(w, *offset).and_then(|offset| u64::try_from(offset).ok())) {
        (Some(checked), Some(offset)) => Ok((checked, offset, title)),
        _ => refuse(w, v, expected),
    }
}

/// `None` or a dict; for dates `(None or a dict, (unit, number, denominator, event))`.
fn check_metadata<W: View>(w: &W, v: W::V, kind: char) -> Outcome {
    let plain = |v| matches!(w.shape(v), Shape::None | Shape::Dict { .. });
    if !matches!(kind, 'M' | 'm') {
        return demand(plain(v), w, v, "metadata");
    }
    let expected = "(None, (unit, number, denominator, event))";
    let [metadata, unit] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    demand(plain(*metadata), w, *metadata, "metadata")?;
    let [unit, counts @ ..] = tuple(w, *unit, expected)? else { return refuse(w, *unit, expected) };
    const UNITS: &[&[u8]] =
        &[b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as", b"generic"];
    let known = content::bytes(w, *unit).is_some_and(|unit| UNITS.contains(&&*unit));
    let counted = counts.len() == 3
        && counts.iter().all(|count| int(w, *count).is_some_and(|count| (1..=i64::from(i32::MAX)).contains(&count)));
    demand(known && counted, w, v, expected)
}

/// The elements of a dtype one after the other, as (offset, kind, size), for comparing two dtypes.
/// `None` if there are more than `budget` or one is not checked.
pub(crate) fn layout<W: View>(w: &W, v: W::V, budget: usize) -> Option<Vec<(u64, char, u64)>> {
    let mut pending = vec![(v, 0)];
    let mut flat = Vec::new();
    let mut steps = 0;
    while let Some((v, base)) = pending.pop() {
        steps += 1;
        let checked = checked(w, v)?;
        let Shape::Instance { state: Some(state), .. } = w.shape(v) else { return None };
        let Shape::Tuple([_, _, subarray, names, fields, ..]) = w.shape(state) else { return None };
        match (w.shape(*subarray), w.shape(*names)) {
            (Shape::None, Shape::Tuple(names)) => {
                for name in names {
                    let Shape::Text(name) = w.shape(*name) else { return None };
                    let entry = w.entry(*fields, name)?;
                    let Shape::Tuple([dtype, ..]) = w.shape(entry) else { return None };
                    pending.push((*dtype, base + field(w, entry).ok()?.1));
                }
            }
            // The first element and the whole size tell one subarray from another.
            (Shape::Tuple([dtype, _]), _) => {
                flat.push((base, '[', checked.size));
                pending.push((*dtype, base));
            }
            _ => flat.push((base, checked.kind, checked.size)),
        }
        if steps + flat.len() + pending.len() > budget {
            return None;
        }
    }
    flat.sort_unstable();
    Some(flat)
}
