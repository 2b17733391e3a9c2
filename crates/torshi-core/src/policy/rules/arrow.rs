//! Arrow's arrays: types by their constructors, and `_restore_array`, whose C++ believes every length and offset.
//!
//! What Arrow itself checks only when asked (`validate(full=True)`) is checked here, always: buffers as long as the
//! type needs, offsets that rise within their data, indices within their dictionary, text that is UTF-8. Buffers whose
//! content is believed must stand in the stream; of plain numbers and bytes the length is enough. Layouts that are not known here (views, unions, run ends, extensions) are refused.
use std::borrow::Cow;
use std::ops::BitOr;

use super::{content, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Children of children; Arrow's own reader stops at 64.
const DEPTH: usize = 32;
/// Elements of an array.
const LENGTH: i64 = 1 << 40;

/// What the values of a type are in memory.
#[derive(Clone, Debug, PartialEq)]
enum Layout<V> {
    Null,
    /// So many bits each.
    Fixed(u64),
    /// Offsets of so many bytes, into bytes or text.
    Variable {
        width: usize,
        text: bool,
    },
    List {
        width: usize,
        item: V,
    },
    FixedList {
        size: u64,
        item: V,
    },
    Struct(Vec<V>),
    /// Indices of so many bytes, signed or not, into a dictionary of a type.
    Dictionary {
        width: usize,
        signed: bool,
        value: V,
    },
}

fn alias<V>(name: &str) -> Option<Layout<V>> {
    Some(match name {
        "null" => Layout::Null,
        "bool" => Layout::Fixed(1),
        "int8" | "uint8" => Layout::Fixed(8),
        "int16" | "uint16" | "halffloat" | "float16" => Layout::Fixed(16),
        "int32" | "uint32" | "float" | "float32" | "date32" | "date32[day]" | "time32[s]" | "time32[ms]" => {
            Layout::Fixed(32)
        }
        "int64" | "uint64" | "double" | "float64" | "date64" | "date64[ms]" | "time64[us]" | "time64[ns]" => {
            Layout::Fixed(64)
        }
        "timestamp[s]" | "timestamp[ms]" | "timestamp[us]" | "timestamp[ns]" => Layout::Fixed(64),
        "duration[s]" | "duration[ms]" | "duration[us]" | "duration[ns]" => Layout::Fixed(64),
        "month_day_nano_interval" => Layout::Fixed(128),
        "string" | "str" | "utf8" => Layout::Variable { width: 4, text: true },
        "binary" => Layout::Variable { width: 4, text: false },
        "large_string" | "large_str" | "large_utf8" => Layout::Variable { width: 8, text: true },
        "large_binary" => Layout::Variable { width: 8, text: false },
        _ => return None,
    })
}

/// The layout of a type instance.
fn layout<W: View>(w: &W, v: W::V) -> Option<Layout<W::V>> {
    let Shape::Instance { module: "pyarrow.lib", args: Some(args), .. } = w.shape(v) else { return None };
    let Shape::Tuple(args) = w.shape(args) else { return None };
    let made = made(w, v)?;
    Some(match (made.as_str(), args) {
        ("type_for_alias", [name]) => match w.shape(*name) {
            Shape::Text(name) => alias(name)?,
            _ => return None,
        },
        ("timestamp" | "duration", _) => Layout::Fixed(64),
        ("time64", _) => Layout::Fixed(64),
        ("time32", _) => Layout::Fixed(32),
        ("decimal128", _) => Layout::Fixed(128),
        ("decimal256", _) => Layout::Fixed(256),
        ("binary", [size]) => match int(w, *size)? {
            -1 => Layout::Variable { width: 4, text: false },
            size => Layout::Fixed(u64::try_from(size).ok()?.checked_mul(8)?),
        },
        ("list_", [item]) => Layout::List { width: 4, item: field_type(w, *item)? },
        ("list_", [item, size]) => match int(w, *size)? {
            -1 => Layout::List { width: 4, item: field_type(w, *item)? },
            // Of these the type of the items is written without its field.
            size => {
                let item = field_type(w, *item).unwrap_or(*item);
                Layout::FixedList { size: u64::try_from(size).ok()?, item }
            }
        },
        ("large_list", [item]) => Layout::List { width: 8, item: field_type(w, *item)? },
        ("struct", [fields]) => {
            let fields = w.elements(*fields)?;
            Layout::Struct(fields.into_iter().map(|field| field_type(w, field)).collect::<Option<_>>()?)
        }
        ("dictionary", [index, value, ..]) => {
            let (width, signed) = index_width(w, *index)?;
            Layout::Dictionary { width, signed, value: *value }
        }
        _ => return None,
    })
}

/// The name of the function that made an Arrow value: each has a row of its own, whose instances are called after it.
fn made<W: View>(w: &W, v: W::V) -> Option<String> {
    match w.shape(v) {
        Shape::Instance { module: "pyarrow.lib", name, .. } => Some(name.to_owned()),
        _ => None,
    }
}

fn index_width<W: View>(w: &W, v: W::V) -> Option<(usize, bool)> {
    let Shape::Instance { module: "pyarrow.lib", name: "type_for_alias", args: Some(args), .. } = w.shape(v) else {
        return None;
    };
    let Shape::Tuple([name]) = w.shape(args) else { return None };
    let Shape::Text(name) = w.shape(*name) else { return None };
    Some(match name {
        "int8" => (1, true),
        "int16" => (2, true),
        "int32" => (4, true),
        "int64" => (8, true),
        "uint8" => (1, false),
        "uint16" => (2, false),
        "uint32" => (4, false),
        "uint64" => (8, false),
        _ => return None,
    })
}

/// The type of `field(name, type, nullable, metadata)`.
fn field_type<W: View>(w: &W, v: W::V) -> Option<W::V> {
    match w.shape(v) {
        Shape::Instance { module: "pyarrow.lib", name: "field", args: Some(args), .. } => match w.shape(args) {
            Shape::Tuple([_, kind, ..]) => Some(*kind),
            _ => None,
        },
        _ => None,
    }
}

/// A type whose values can be checked.
pub(super) fn data_type<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    demand(layout(w, v).is_some(), w, v, "a type of Arrow")
}

/// A list of fields, all of checked types.
pub(super) fn fields<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = w.elements(v).is_some_and(|all| all.iter().all(|field| field_type(w, *field).is_some()));
    demand(sound, w, v, "a list of fields")
}

/// The length of an array or a chunked array.
pub(super) fn length<W: View>(w: &W, v: W::V) -> Option<u64> {
    match restored(w, v) {
        Some((_, length)) => u64::try_from(length).ok(),
        None => {
            let (chunks, _) = chunked(w, v)?;
            chunks.into_iter().try_fold(0u64, |sum, chunk| sum.checked_add(u64::try_from(restored(w, chunk)?.1).ok()?))
        }
    }
}

/// The type of an array or a chunked array.
fn type_of<W: View>(w: &W, v: W::V) -> Option<W::V> {
    restored(w, v).map(|(kind, _)| kind).or_else(|| chunked(w, v).map(|(_, kind)| kind))
}

/// Is it an array of this type?
pub(super) fn is_of<W: View>(w: &W, v: W::V, kind: W::V) -> bool {
    type_of(w, v).is_some_and(|own| same_type(w, own, kind))
}

/// Is it an array of text?
pub(super) fn is_text<W: View>(w: &W, v: W::V) -> bool {
    type_of(w, v).and_then(|kind| layout(w, kind)).is_some_and(|kind| match kind {
        Layout::Variable { text, .. } => text,
        _ => false,
    })
}

fn restored<W: View>(w: &W, v: W::V) -> Option<(W::V, i64)> {
    let Shape::Instance { module: "pyarrow.lib", name: "_restore_array", args: Some(args), .. } = w.shape(v) else {
        return None;
    };
    let Shape::Tuple([data]) = w.shape(args) else { return None };
    let Shape::Tuple([kind, length, ..]) = w.shape(*data) else { return None };
    Some((*kind, int(w, *length)?))
}

fn chunked<W: View>(w: &W, v: W::V) -> Option<(Vec<W::V>, W::V)> {
    let Shape::Instance { module: "pyarrow.lib", name: "chunked_array", args: Some(args), .. } = w.shape(v) else {
        return None;
    };
    match w.shape(args) {
        Shape::Tuple([chunks, kind]) => Some((w.elements(*chunks)?, *kind)),
        _ => None,
    }
}

/// `([array, ...], type)`: arrays that all have it.
pub(super) fn chunks<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a list of arrays, their type)";
    let [chunks, kind] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(chunks) = w.elements(*chunks) else { return refuse(w, *chunks, expected) };
    let sound = layout(w, *kind).is_some()
        && chunks.iter().all(|chunk| restored(w, *chunk).is_some_and(|(own, _)| same_type(w, own, *kind)));
    demand(sound, w, v, expected)
}

/// `([column, ...], schema)`: columns of one length, each of the type its field says.
pub(super) fn table<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(columns of one length, a schema of their types)";
    let [columns, schema] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(columns) = w.elements(*columns) else { return refuse(w, *columns, expected) };
    let Shape::Instance { module: "pyarrow.lib", name: "schema", args: Some(args), .. } = w.shape(*schema) else {
        return refuse(w, *schema, expected);
    };
    let Shape::Tuple([fields, ..]) = w.shape(args) else { return refuse(w, args, expected) };
    let Some(fields) = w.elements(*fields) else { return refuse(w, *fields, expected) };
    let first = columns.first().and_then(|column| length(w, *column));
    let sound = columns.len() == fields.len()
        && columns.iter().zip(&fields).all(|(column, field)| {
            length(w, *column) == first
                && first.is_some()
                && field_type(w, *field).is_some_and(|kind| is_of(w, *column, kind))
        });
    demand(sound, w, v, expected)
}

/// `((type, length, nulls, offset, [buffer], [children], dictionary),)`.
pub(super) fn restore<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let [data] = tuple(w, v, "the parts of an Arrow array")? else { return refuse(w, v, "the parts of an array") };
    array(w, *data, DEPTH).map(drop)
}

/// What an array is known to be.
struct Known<V> {
    kind: V,
    length: u64,
}

/// Checks one array and those below it.
fn array<W: View>(w: &W, v: W::V, depth: usize) -> Result<Known<W::V>, super::Mismatch> {
    let expected = "(type, length, nulls, offset, [buffer, ...], [child, ...], dictionary)";
    let [kind, length, nulls, offset, buffers, children, dictionary] = tuple(w, v, expected)? else {
        return refuse(w, v, expected);
    };
    let Some(layout) = layout(w, *kind) else { return refuse(w, *kind, "a type of Arrow") };
    let number = |v| int(w, v).filter(|n| (0..=LENGTH).contains(n));
    let (Some(length), Some(offset)) = (number(*length), number(*offset)) else { return refuse(w, v, expected) };
    let (length, offset) = (length as u64, offset as u64);
    let end = offset + length;
    if depth == 0 || !w.spend(end + 64) {
        return refuse(w, v, "an array that nests less, and whose parts are not shared so often");
    }
    let Some(buffers) = w.elements(*buffers) else { return refuse(w, *buffers, "a list of buffers or None") };
    let Some(below) = w.elements(*children) else { return refuse(w, *children, "a list of children") };
    let wanted = match layout {
        Layout::Null | Layout::Struct(_) | Layout::FixedList { .. } => 1,
        Layout::Variable { .. } => 3,
        _ => 2,
    };
    demand(buffers.len() == wanted, w, v, "as many buffers as the type has")?;
    let mut held = buffers.iter().map(|buffer| Held::of(w, *buffer)).collect::<Result<Vec<_>, _>>()?;
    // Values of a fixed width and bytes may be anything: of these the length is enough.
    let unread = match layout {
        Layout::Fixed(_) => Some(1),
        Layout::Variable { text: false, .. } => Some(2),
        _ => None,
    };
    let mut unseen = None;
    for (place, held) in held.iter().enumerate().filter(|(place, _)| Some(*place) != unread) {
        if let Some(Held::Hidden(_, buffer)) = held {
            w.wants(*buffer);
            unseen = Some(buffers[place]);
        }
    }
    if let Some(buffer) = unseen {
        // What else has to be seen is told at once, so that few rounds are enough.
        below.iter().chain([dictionary]).for_each(|child| drop(array(w, *child, depth - 1)));
        return refuse(w, buffer, "a buffer that stands in the stream");
    }
    let validity = held.remove(0).and_then(Held::seen);
    // Even where there is no element: C++ goes to the data before it counts.
    let buffers: Vec<Held<'_, W::V>> = match held.into_iter().collect() {
        Some(buffers) => buffers,
        None => return refuse(w, v, "a buffer of data"),
    };
    let zeros = match &validity {
        Some(bits) if bits.len() as u64 * 8 >= end => (offset..end).filter(|at| !bit(bits, *at)).count() as i64,
        Some(_) => return refuse(w, v, "a bit of validity for every element"),
        None => 0,
    };
    let all_null = matches!(layout, Layout::Null);
    let told = int(w, *nulls);
    demand(
        told == Some(-1) || told == Some(zeros) || (all_null && validity.is_none()),
        w,
        *nulls,
        "the number of nulls",
    )?;
    let children = below.iter().map(|child| array(w, *child, depth - 1)).collect::<Result<Vec<_>, _>>()?;
    let valid = |at: u64| validity.as_ref().is_none_or(|bits| bit(bits, at));
    let sound = match &layout {
        Layout::Null => children.is_empty(),
        Layout::Fixed(bits) => {
            let bytes = end.checked_mul(*bits).map(|bits| bits.div_ceil(8));
            let long = |data: &Held<'_, W::V>| bytes.is_some_and(|bytes| data.len() >= bytes);
            children.is_empty() && buffers.first().is_some_and(long)
        }
        Layout::Variable { width, text } => {
            let (data, limit) = buffers.get(1).map_or((&[][..], 0), |data| (data.bytes(), data.len()));
            children.is_empty()
                && rising(buffers[0].bytes(), *width, offset, end, limit)
                    .is_some_and(|ends| !text || is_utf8(data, &ends))
        }
        Layout::List { width, item } => match &children[..] {
            [child] => {
                same_type(w, child.kind, *item)
                    && rising(buffers[0].bytes(), *width, offset, end, child.length).is_some()
            }
            _ => false,
        },
        Layout::FixedList { size, item } => match &children[..] {
            [child] => {
                same_type(w, child.kind, *item) && end.checked_mul(*size).is_some_and(|needed| needed <= child.length)
            }
            _ => false,
        },
        Layout::Struct(fields) => {
            fields.len() == children.len()
                && fields
                    .iter()
                    .zip(&children)
                    .all(|(kind, child)| same_type(w, child.kind, *kind) && child.length >= end)
        }
        Layout::Dictionary { width, signed, value } => {
            let words = array(w, *dictionary, depth - 1)?;
            let indices = |data: &Held<'_, W::V>| {
                (offset..end).all(|at| {
                    number_at(data.bytes(), *width, at, *signed)
                        .is_some_and(|index| !valid(at) || (index >= 0 && (index as u64) < words.length))
                })
            };
            children.is_empty() && same_type(w, words.kind, *value) && buffers.first().is_some_and(indices)
        }
    };
    let bare = matches!(layout, Layout::Dictionary { .. }) || matches!(w.shape(*dictionary), Shape::None);
    demand(sound && bare, w, v, "buffers, offsets and children that agree with type and length")?;
    Ok(Known { kind: *kind, length })
}

/// Are two types one? They are written anew for a child, so their parts are compared.
fn same_type<W: View>(w: &W, a: W::V, b: W::V) -> bool {
    if !w.spend(64) {
        return false;
    }
    let (Some(left), Some(right)) = (layout(w, a), layout(w, b)) else { return false };
    match (left, right) {
        (Layout::List { width, item }, Layout::List { width: other, item: others }) => {
            width == other && same_type(w, item, others)
        }
        (Layout::FixedList { size, item }, Layout::FixedList { size: other, item: others }) => {
            size == other && same_type(w, item, others)
        }
        (Layout::Struct(fields), Layout::Struct(others)) => {
            fields.len() == others.len() && fields.iter().zip(others).all(|(a, b)| same_type(w, *a, b))
        }
        (
            Layout::Dictionary { width, signed, value },
            Layout::Dictionary { width: other, signed: others, value: values },
        ) => width == other && signed == others && same_type(w, value, values),
        (Layout::Null, Layout::Null) => true,
        (Layout::Fixed(a), Layout::Fixed(b)) => a == b,
        (Layout::Variable { width, text }, Layout::Variable { width: other, text: others }) => {
            width == other && text == others
        }
        _ => false,
    }
}

/// What is known of a buffer.
enum Held<'w, V> {
    /// Its bytes.
    Bytes(Cow<'w, [u8]>),
    /// How many they are.
    Hidden(u64, V),
}

impl<'w, V: Copy> Held<'w, V> {
    /// Of `py_buffer(bytes)`; None for None.
    fn of<W: View<V = V>>(w: &'w W, v: V) -> Result<Option<Held<'w, V>>, super::Mismatch> {
        let expected = "a buffer that stands in the stream";
        let args = match w.shape(v) {
            Shape::None => return Ok(None),
            Shape::Instance { module: "pyarrow.lib", name: "py_buffer", args: Some(args), .. } => args,
            _ => return refuse(w, v, expected),
        };
        let Shape::Tuple([data]) = w.shape(args) else { return refuse(w, v, expected) };
        let hidden = || w.extent(*data).map(|length| Held::Hidden(length, *data));
        match content::bytes(w, *data).map(Held::Bytes).or_else(hidden) {
            Some(held) => Ok(Some(held)),
            None => refuse(w, v, expected),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Held::Bytes(bytes) => bytes.len() as u64,
            Held::Hidden(length, _) => *length,
        }
    }

    /// Its bytes; none where only their number is known, so that nothing can be found in them.
    fn bytes(&self) -> &[u8] {
        match self {
            Held::Bytes(bytes) => bytes,
            Held::Hidden(..) => &[],
        }
    }

    fn seen(self) -> Option<Cow<'w, [u8]>> {
        match self {
            Held::Bytes(bytes) => Some(bytes),
            Held::Hidden(..) => None,
        }
    }
}

fn bit(bits: &[u8], at: u64) -> bool {
    bits.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn number_at(data: &[u8], width: usize, at: u64, signed: bool) -> Option<i64> {
    let start = usize::try_from(at).ok()?.checked_mul(width)?;
    let item = data.get(start..start.checked_add(width)?)?;
    let mut wide = [if signed && item.last()? & 0x80 != 0 { 0xff } else { 0 }; 8];
    wide[..width].copy_from_slice(item);
    Some(i64::from_le_bytes(wide))
}

/// Offsets that rise, and stay within what they point into.
struct Ends<'d> {
    data: &'d [u8],
    width: usize,
}

impl Ends<'_> {
    fn all(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let wide = |item: &[u8]| match item {
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
            _ => item.first_chunk().map_or(0, |item| u64::from_le_bytes(*item) as usize),
        };
        self.data.chunks_exact(self.width).map(wide)
    }
}

/// The offsets from `from` to `to`, if they rise and stay within `limit`.
fn rising(data: &[u8], width: usize, from: u64, to: u64, limit: u64) -> Option<Ends<'_>> {
    let place = |at: u64| usize::try_from(at).ok()?.checked_mul(width);
    let data = data.get(place(from)?..place(to.checked_add(1)?)?)?;
    let (first, last) = (number_at(data, width, 0, true)?, number_at(data, width, to - from, true)?);
    let within = first >= 0 && last as u64 <= limit; // so are all that rise from the one to the other
    let (before, behind) = (&data[..data.len() - width], &data[width..]);
    let rise = match width {
        4 => rise(before, behind, |item: [u8; 4]| i32::from_le_bytes(item), i32::wrapping_sub) >= 0,
        _ => rise(before, behind, |item: [u8; 8]| i64::from_le_bytes(item), i64::wrapping_sub) >= 0,
    };
    (within && rise).then_some(Ends { data, width })
}

/// Negative if one of the numbers behind is, or is less than the one before it. One walk without a way out and without a
/// comparison, so that it goes over many at once.
fn rise<N, const WIDTH: usize>(before: &[u8], behind: &[u8], read: fn([u8; WIDTH]) -> N, less: fn(N, N) -> N) -> N
where
    N: BitOr<Output = N> + Copy + Default,
{
    let (before, behind) = (before.chunks_exact(WIDTH), behind.chunks_exact(WIDTH));
    let number = |item: &[u8]| item.first_chunk().map_or_else(N::default, |item| read(*item));
    before.zip(behind).fold(N::default(), |seen, (before, next)| {
        let next = number(next);
        seen | next | less(next, number(before))
    })
}

/// Is every value between these offsets UTF-8 by itself?
fn is_utf8(data: &[u8], ends: &Ends<'_>) -> bool {
    let (Some(first), Some(last)) = (ends.all().next(), ends.all().next_back()) else { return true };
    let Some(data) = data.get(first..last) else { return false };
    if data.is_ascii() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(data) else { return false };
    ends.all().all(|end| text.is_char_boundary(end - first))
}
