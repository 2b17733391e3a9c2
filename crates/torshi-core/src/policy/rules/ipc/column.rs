//! The columns of a batch: its nodes and buffers, taken in the order in which Arrow writes them, each held against what
//! the layout of the column says. Nothing is believed that the body of the message does not have.
use polars_arrow_format::ipc::RecordBatchRef;
use rustc_hash::FxHashMap;

use super::schema::Layout;
use super::LONGEST_EMPTY;

/// Bytes of a view, and of the value in one that holds it.
const VIEW: usize = 16;
const INLINE: usize = 12;

/// How many values each dictionary has.
#[derive(Debug, Default)]
pub(super) struct Held(FxHashMap<i64, u64>);

impl Held {
    pub(super) fn note(&mut self, id: i64, length: u64) {
        self.0.insert(id, length);
    }
}

/// The parts of a batch that no column has taken yet.
pub(super) struct Column<'d> {
    nodes: std::vec::IntoIter<(u64, u64)>,
    buffers: std::vec::IntoIter<&'d [u8]>,
    variadic: std::vec::IntoIter<usize>,
    /// Of the whole stream.
    size: u64,
    /// The texts of the column checked last, if that is one of texts.
    texts: Vec<&'d [u8]>,
}

impl<'d> Column<'d> {
    /// All parts of a batch, if all lie in its body.
    pub(super) fn all(batch: RecordBatchRef<'_>, body: &'d [u8], size: u64) -> Option<Column<'d>> {
        if batch.compression().ok()?.is_some() {
            return None;
        }
        let mut nodes = Vec::new();
        for node in batch.nodes().ok()?.into_iter().flatten() {
            nodes.push((u64::try_from(node.length()).ok()?, u64::try_from(node.null_count()).ok()?));
        }
        let mut buffers = Vec::new();
        for buffer in batch.buffers().ok()?.into_iter().flatten() {
            let start = usize::try_from(buffer.offset()).ok()?;
            let end = start.checked_add(usize::try_from(buffer.length()).ok()?)?;
            buffers.push(body.get(start..end)?);
        }
        let counts = batch.variadic_buffer_counts().ok()?.into_iter().flatten();
        let variadic = counts.map(|count| usize::try_from(count).ok()).collect::<Option<Vec<_>>>()?;
        let (nodes, buffers, variadic) = (nodes.into_iter(), buffers.into_iter(), variadic.into_iter());
        Some(Column { nodes, buffers, variadic, size, texts: Vec::new() })
    }

    /// Whether every part was a column's.
    pub(super) fn is_done(&self) -> bool {
        self.nodes.as_slice().is_empty() && self.buffers.as_slice().is_empty() && self.variadic.as_slice().is_empty()
    }

    /// The texts of the column checked last, those of rows without a value included.
    pub(super) fn take_texts(&mut self) -> Vec<&'d [u8]> {
        std::mem::take(&mut self.texts)
    }

    /// Takes a column; gives its length, if all of it is sound.
    pub(super) fn check(&mut self, layout: &Layout, held: &Held, depth: usize) -> Option<u64> {
        let (rows, nulls) = self.nodes.next()?;
        let depth = depth.checked_sub(1)?;
        if nulls > rows {
            return None;
        }
        if let Layout::Null = layout {
            return (rows <= LONGEST_EMPTY.max(8 * self.size)).then_some(rows);
        }
        let validity = self.validity(rows, nulls)?;
        let sound = match layout {
            Layout::Null => false,
            Layout::Fixed(bits) => {
                let needed = rows.checked_mul(*bits)?.div_ceil(8);
                self.buffers.next()?.len() as u64 >= needed
            }
            Layout::Bytes { width, text } => {
                let (offsets, data) = (self.buffers.next()?, self.buffers.next()?);
                let ends = rising(offsets, *width, rows, data.len() as u64)?;
                self.texts = ends.windows(2).filter_map(|pair| data.get(pair[0]..pair[1])).collect();
                !text || self.texts.iter().all(|text| std::str::from_utf8(text).is_ok())
            }
            Layout::Views { text } => self.views(rows, *text)?,
            Layout::List { width, item } => {
                let offsets = self.buffers.next()?;
                let length = self.check(item, held, depth)?;
                rising(offsets, *width, rows, length).is_some()
            }
            Layout::FixedList { size, item } => {
                let length = self.check(item, held, depth)?;
                rows.checked_mul(*size) == Some(length) && (*size > 0 || rows <= LONGEST_EMPTY.max(8 * self.size))
            }
            Layout::Struct(fields) => {
                fields.iter().all(|field| self.check(field, held, depth) == Some(rows))
                    && (!fields.is_empty() || rows <= LONGEST_EMPTY.max(8 * self.size))
            }
            Layout::Codes { id, width, signed } => {
                let codes = self.buffers.next()?;
                let length = *held.0.get(id)?;
                let valid = |at: u64| validity.is_none_or(|bits| bit(bits, at));
                (0..rows).all(|at| {
                    number(codes, *width, at, *signed)
                        .is_some_and(|code| !valid(at) || code >= 0 && (code as u64) < length)
                })
            }
        };
        sound.then_some(rows)
    }

    /// Which rows have values, where any has none.
    fn validity(&mut self, rows: u64, nulls: u64) -> Option<Option<&'d [u8]>> {
        let bits = self.buffers.next()?;
        if nulls == 0 {
            return Some(None); // then nobody looks at the bits
        }
        let unset = || (0..rows).filter(|at| !bit(bits, *at)).count() as u64;
        (bits.len() as u64 * 8 >= rows && unset() == nulls).then_some(Some(bits))
    }

    /// Views that hold their value, or lead to one in a buffer and begin like it.
    fn views(&mut self, rows: u64, text: bool) -> Option<bool> {
        let views = self.buffers.next()?;
        let count = self.variadic.next()?;
        if count > self.buffers.as_slice().len() {
            return None;
        }
        let buffers: Vec<&[u8]> = self.buffers.by_ref().take(count).collect();
        let views = views.get(..usize::try_from(rows).ok()?.checked_mul(VIEW)?)?;
        self.texts = Vec::with_capacity(views.len() / VIEW);
        for view in views.chunks_exact(VIEW) {
            let word = |at: usize| number(view, 4, at as u64, false).and_then(|word| usize::try_from(word).ok());
            let length = word(0)?;
            let value = match length {
                0..=INLINE if view[4 + length..].iter().all(|byte| *byte == 0) => &view[4..4 + length],
                0..=INLINE => return None,
                _ => {
                    let start = word(3)?;
                    let value = buffers.get(word(2)?)?.get(start..start.checked_add(length)?)?;
                    (value[..4] == view[4..8]).then_some(value)?
                }
            };
            if text && std::str::from_utf8(value).is_err() {
                return None;
            }
            self.texts.push(value);
        }
        Some(true)
    }
}

fn bit(bits: &[u8], at: u64) -> bool {
    bits.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn number(data: &[u8], width: usize, at: u64, signed: bool) -> Option<i64> {
    let start = usize::try_from(at).ok()?.checked_mul(width)?;
    let item = data.get(start..start.checked_add(width)?)?;
    let mut wide = [if signed && item.last()? & 0x80 != 0 { 0xff } else { 0 }; 8];
    wide[..width].copy_from_slice(item);
    Some(i64::from_le_bytes(wide))
}

/// The offsets of so many rows, if they rise and stay within `limit`.
fn rising(data: &[u8], width: usize, rows: u64, limit: u64) -> Option<Vec<usize>> {
    if rows == 0 && data.is_empty() {
        return Some(Vec::new());
    }
    let mut last = 0;
    let mut all = Vec::new();
    for at in 0..=rows {
        let next = number(data, width, at, true)?;
        if next < last || next as u64 > limit {
            return None;
        }
        last = next;
        all.push(usize::try_from(next).ok()?);
    }
    Some(all)
}
