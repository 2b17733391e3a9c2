//! Arrow's stream format, as polars' frames and series hold it: messages in a row, each a flatbuffer and a body.
//!
//! polars' reader makes room for whatever length a message declares, and takes offsets, views and codes from the body. So
//! every buffer must lie in its body, every offset, view and code within what it leads to, and every text be UTF-8. The
//! flatbuffers are read by the library that polars reads them by. Compression, delta dictionaries, types that polars does
//! not write and marks of its own that are not known here (extension types name addresses) are refused.
use polars_arrow_format::ipc::planus::ReadAsRoot;
use polars_arrow_format::ipc::{MessageHeaderRef, MessageRef, MetadataVersion, RecordBatchRef, SchemaRef};
use rustc_hash::FxHashMap;

use super::{content, demand, refuse, Outcome};
use crate::policy::pattern::{Shape, View};

mod column;
mod schema;

use column::{Column, Held};
use schema::{Field, Layout};

/// Rows of columns that take no bytes, such as those without values.
const LONGEST_EMPTY: u64 = 1 << 24;
/// Messages of a stream.
const MOST_MESSAGES: usize = 1 << 20;
const CONTINUATION: &[u8] = &[0xff; 4];

/// The state of a frame: a stream of any columns.
pub(super) fn frame<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    stream(w, v, target, None)
}

/// The state of a series: a stream of one column.
pub(super) fn series<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    stream(w, v, target, Some(1))
}

fn stream<W: View>(w: &W, v: W::V, target: Option<W::V>, columns: Option<usize>) -> Outcome {
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "the only state")?;
    let Some(data) = content::bytes(w, v) else { return refuse(w, v, "bytes that stand in the stream") };
    if !w.spend(4 * data.len() as u64) {
        return refuse(w, v, "a stream whose parts are not shared so often");
    }
    match Stream::read(&data) {
        Some(stream) if columns.is_none_or(|columns| columns == stream.fields.len()) => Ok(()),
        _ => refuse(w, v, "Arrow's stream format, with lengths, offsets, views and codes that stay within their data"),
    }
}

/// What is known of a stream while its messages are read.
struct Stream<'d> {
    data: &'d [u8],
    fields: Vec<Field>,
    /// The layouts of the dictionaries that fields name.
    wanted: FxHashMap<i64, Layout>,
    /// The dictionaries that were met.
    held: Held,
}

impl<'d> Stream<'d> {
    /// Reads a stream from its schema to its end; `None` if anything is amiss.
    fn read(data: &'d [u8]) -> Option<Stream<'d>> {
        let mut rest = data;
        let (header, body) = message(&mut rest)??;
        let MessageHeaderRef::Schema(schema) = header else { return None };
        let mut stream = Stream::of_schema(data, schema)?;
        if !body.is_empty() {
            return None;
        }
        for _ in 0..MOST_MESSAGES {
            match message(&mut rest)? {
                None => return rest.is_empty().then_some(stream),
                Some((MessageHeaderRef::RecordBatch(batch), body)) => stream.batch(batch, body)?,
                Some((MessageHeaderRef::DictionaryBatch(batch), body)) => {
                    let (id, data) = (batch.id().ok()?, batch.data().ok()??);
                    if batch.is_delta().ok()? {
                        return None;
                    }
                    stream.dictionary(id, data, body)?;
                }
                Some(_) => return None,
            }
        }
        None
    }

    fn of_schema(data: &'d [u8], schema: SchemaRef<'_>) -> Option<Stream<'d>> {
        let mut wanted = FxHashMap::default();
        let fields = schema::fields(&schema, &mut wanted)?;
        Some(Stream { data, fields, wanted, held: Held::default() })
    }

    /// A batch of rows.
    fn batch(&mut self, batch: RecordBatchRef<'_>, body: &[u8]) -> Option<()> {
        let rows = u64::try_from(batch.length().ok()?).ok()?;
        let mut columns = Column::all(batch, body, self.data.len() as u64)?;
        for field in &self.fields {
            let length = columns.check(&field.layout, &self.held, schema::DEPTH)?;
            if length != rows {
                return None;
            }
        }
        columns.is_done().then_some(())
    }

    /// The values that codes stand for.
    fn dictionary(&mut self, id: i64, batch: RecordBatchRef<'_>, body: &[u8]) -> Option<()> {
        let layout = self.wanted.get(&id)?;
        let rows = u64::try_from(batch.length().ok()?).ok()?;
        let mut columns = Column::all(batch, body, self.data.len() as u64)?;
        let length = columns.check(layout, &self.held, schema::DEPTH)?;
        if length != rows || !columns.is_done() {
            return None;
        }
        let named = self.fields.iter().filter_map(|field| field.categories(id));
        let texts = columns.take_texts();
        for names in named {
            if names.len() != texts.len() || names.iter().zip(&texts).any(|(name, text)| name.as_bytes() != *text) {
                return None;
            }
        }
        self.held.note(id, length);
        Some(())
    }
}

type Message<'d> = (MessageHeaderRef<'d>, &'d [u8]);

/// The next message with its body; `Some(None)` at the end of the stream.
fn message<'d>(rest: &mut &'d [u8]) -> Option<Option<Message<'d>>> {
    let (mark, behind) = rest.split_at_checked(4)?;
    if mark != CONTINUATION {
        return None; // as before version 0.15 of the format
    }
    let (length, behind) = behind.split_at_checked(4)?;
    let length = usize::try_from(i32::from_le_bytes(length.try_into().ok()?)).ok()?;
    if length == 0 {
        *rest = behind;
        return Some(None);
    }
    let (metadata, behind) = behind.split_at_checked(length)?;
    let message = MessageRef::read_as_root(metadata).ok()?;
    if !matches!(message.version().ok()?, MetadataVersion::V5) || message.custom_metadata().ok()?.is_some() {
        return None;
    }
    let (body, behind) = behind.split_at_checked(usize::try_from(message.body_length().ok()?).ok()?)?;
    *rest = behind;
    Some(Some((message.header().ok()??, body)))
}
