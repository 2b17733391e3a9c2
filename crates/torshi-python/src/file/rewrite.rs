//! Streams rewritten, and broken ones mended, as Python has them: bytes in, another stream and what is different out, or
//! that stream into a file as `save` writes one. Nothing of a stream is imported, built or called.

use super::save::{saved, target, way, Saved};
use super::sink::{FileSink, Run};
use crate::decoder::{extension_names, Extensions};
use crate::errors;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::Read;
use torshi_core::json::json;
use torshi_core::opcode::Opcode;
use torshi_core::reader::Gap;
use torshi_core::rewrite::{rewrite as write_anew, rewrite_joblib, Changes, Refusal, Renames, Request, PROTOCOLS};
use torshi_core::salvage::{salvage as save_whole, Incomplete};
use torshi_core::symbolic::{Encoding, Settings};
use torshi_file::compress::Unpacker;
use torshi_file::layout::Container;

/// Bytes unpacked at a time.
const PIECE: usize = 64 << 10;

/// A stream written anew.
#[pyclass(module = "torshi._native", frozen)]
pub struct RewrittenStream {
    /// What it was made of, where its long payloads stand.
    source: Py<PyBytes>,
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
    /// Where in the source the payload of each gap begins.
    places: Vec<usize>,
    changes: Changes,
    #[pyo3(get)]
    names: Vec<String>,
    /// Bytes of the pickle it was made of.
    #[pyo3(get)]
    end: usize,
}

impl RewrittenStream {
    /// The pieces of the stream in order: what stands before each payload, and the payload.
    fn pieces<'s>(&'s self, source: &'s [u8]) -> impl Iterator<Item = (&'s [u8], &'s [u8])> {
        let starts = std::iter::once(0).chain(self.gaps.iter().map(|gap| gap.at));
        let payloads = self.gaps.iter().zip(&self.places).map(|(gap, &at)| &source[at..at + gap.length]);
        let ends = self.gaps.iter().map(|gap| gap.at);
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).zip(payloads)
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.gaps.last().map_or(0, |gap| gap.at)..]
    }

    fn joined(&self, source: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.bytes.len() + self.gaps.iter().map(|gap| gap.length).sum::<usize>());
        for (part, payload) in self.pieces(source) {
            whole.extend_from_slice(part);
            whole.extend_from_slice(payload);
        }
        whole.extend_from_slice(self.rest());
        whole
    }
}

#[pymethods]
impl RewrittenStream {
    /// The protocol that was declared before.
    #[getter]
    fn protocol(&self) -> u8 {
        self.changes.protocol
    }

    /// Old name, new name, how often.
    #[getter]
    fn renamed(&self) -> Vec<(String, String, u64)> {
        self.changes.renamed.clone()
    }

    /// Instructions of another form.
    #[getter]
    fn reformed(&self) -> u64 {
        self.changes.reformed
    }

    /// Memo slots left out.
    #[getter]
    fn dropped(&self) -> u64 {
        self.changes.dropped
    }

    /// The stream in one piece.
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.joined(self.source.as_bytes(py)))
    }

    /// Writes the stream as `save` does; its length, digest, large buffers and names. `lent` says of each large buffer
    /// whether it may come back as another buffer.
    #[pyo3(signature = (file, container="plain", level=None, progress=None, lent=Vec::new()))]
    fn write(
        &self, py: Python<'_>, file: &Bound<'_, PyAny>, container: &str, level: Option<i32>,
        progress: Option<Py<PyAny>>, lent: Vec<bool>,
    ) -> PyResult<Saved> {
        let mut sink = FileSink::new(target(file), way(container, level)?, progress)?;
        let source = self.source.as_bytes(py);
        let known = lent.len() == self.gaps.len();
        for (place, (part, payload)) in self.pieces(source).enumerate() {
            let (before, header) = part.split_at(part.len() - header_length(part, payload.len() as u64));
            sink.part(py, before)?;
            // A run of bytes and the order to drop it: three bytes or more.
            if let Some(rest) = sink.filler(header.len()).checked_sub(3) {
                let mut filler = vec![Opcode::ShortBinbytes as u8, rest as u8];
                filler.resize(rest + 2, 0);
                filler.push(Opcode::Pop as u8);
                sink.part(py, &filler)?;
            }
            sink.part(py, header)?;
            sink.run(py, payload, Run::Buffer { lent: known && lent[place] })?;
        }
        sink.part(py, self.rest())?;
        sink.names().borrow_mut().extend_from_slice(&self.names);
        saved(&mut sink)
    }
}

/// Bytes of the instruction that a payload belongs to: opcode and length, which are the last of what stands before it.
fn header_length(part: &[u8], length: u64) -> usize {
    const EIGHT: [u8; 2] = [Opcode::Binbytes8 as u8, Opcode::Bytearray8 as u8];
    match part.last_chunk::<9>() {
        Some([opcode, rest @ ..]) if EIGHT.contains(opcode) && u64::from_le_bytes(*rest) == length => 9,
        _ => 5,
    }
}

/// The pickle that begins at `start` as another stream that builds the same; with `joblib`, one in joblib's layout.
#[pyfunction]
#[pyo3(signature = (data, renames, current=false, protocol=5, strip=false, fix_imports=true, joblib=false, start=0))]
#[allow(clippy::too_many_arguments)] // what may be asked for of a stream
fn rewrite(
    py: Python<'_>, data: &Bound<'_, PyBytes>, renames: Vec<(String, String)>, current: bool, protocol: u8,
    strip: bool, fix_imports: bool, joblib: bool, start: usize,
) -> PyResult<RewrittenStream> {
    if !PROTOCOLS.contains(&protocol) {
        let text = format!("protocol must be {} or {}, not {protocol}", PROTOCOLS.start(), PROTOCOLS.end());
        return Err(PyValueError::new_err(text));
    }
    let renames = Renames::new(&renames, current).map_err(PyValueError::new_err)?;
    let whole = data.as_bytes();
    let stream = whole.get(start..).unwrap_or_default();
    let request = Request { renames: &renames, protocol, strip, fix_imports };
    let made = match joblib {
        true => with_settings(py, |settings| rewrite_joblib(stream, &request, settings)),
        false => py.detach(|| write_anew(stream, &request)),
    };
    let made = made.map_err(|refusal| match refusal {
        Refusal::Fault(fault) => errors::fault(py, &fault, stream),
        Refusal::Differs => PyRuntimeError::new_err(
            "the rewritten stream would not build the same, so it was not written; this is a fault of torshi's",
        ),
    })?;
    let origin = whole.as_ptr() as usize;
    let places = made.payloads.iter().map(|payload| payload.as_ptr() as usize - origin).collect();
    let (bytes, gaps, changes, names, end) = (made.bytes, made.gaps, made.changes, made.names, made.end);
    Ok(RewrittenStream { source: data.clone().unbind(), bytes, gaps, places, changes, names, end })
}

type Mended = (Option<Py<PyBytes>>, Vec<(String, u64)>, Option<String>, Vec<String>, Option<String>, usize);

/// What is whole of the pickle that begins at `start`: a pickle of it; containers that are kept and were not whole, with
/// their items; where the first thing stands that is left out; guesses; the fault; bytes up to it.
#[pyfunction]
#[pyo3(signature = (data, incomplete="usual", start=0))]
fn salvage(py: Python<'_>, data: &Bound<'_, PyBytes>, incomplete: &str, start: usize) -> PyResult<Mended> {
    let incomplete = match incomplete {
        "usual" => Incomplete::Usual,
        "drop" => Incomplete::Drop,
        "keep" => Incomplete::Keep,
        other => return Err(PyValueError::new_err(format!("incomplete is usual, drop or keep, not {other}"))),
    };
    let stream = data.as_bytes().get(start..).unwrap_or_default();
    let done = with_settings(py, |settings| save_whole(stream, settings, incomplete));
    let kept = done.kept.into_iter().map(|kept| (kept.path, kept.items)).collect();
    let fault = done.fault.map(|fault| fault.to_string());
    let stream = done.stream.map(|stream| PyBytes::new(py, &stream).unbind());
    Ok((stream, kept, done.dropped, done.guesses, fault, done.end))
}

fn with_settings<T>(py: Python<'_>, work: impl FnOnce(&Settings<'_>) -> T) -> T {
    let extensions = Extensions::default();
    work(&Settings {
        encoding: Encoding::Ascii,
        fix_imports: true,
        persistent: true,
        extension: &|code| extension_names(py, code, &extensions),
        renamed: &|_, _, _| None, // names are rewritten as they stand, by the tables that the caller gave
        earlier: 0,
        recall: &|_| None,
    })
}

/// The data of a pickle as JSON: the text, or where something stands that JSON has no form for, and what it is.
#[pyfunction]
fn plain_json(py: Python<'_>, stream: &RewrittenStream, lossy: bool) -> Result<String, PyErr> {
    let joined = stream.joined(stream.source.as_bytes(py));
    let most = (64 << 20) + 32 * joined.len();
    with_settings(py, |settings| json(&joined, settings, lossy, most))
        .map_err(|unfit| PyValueError::new_err(format!("{} (at {})", unfit.what, unfit.path)))
}

/// What can be unpacked of bytes that were compressed, up to `most`; why not more, if so.
#[pyfunction]
fn unpack_some<'py>(py: Python<'py>, data: &[u8], most: usize) -> PyResult<(Bound<'py, PyBytes>, Option<String>)> {
    let mut unpacked = Vec::new();
    let fault = py.detach(|| {
        let mut source = match Unpacker::new(Container::sniff(data), data) {
            Ok(source) => source,
            Err(error) => return Some(error.to_string()),
        };
        loop {
            let before = unpacked.len();
            unpacked.resize(before + PIECE, 0);
            let read = source.read(&mut unpacked[before..]);
            unpacked.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return None,
                Ok(_) if unpacked.len() > most => return Some(format!("it unpacks to more than {most} bytes")),
                Ok(_) => {}
                Err(error) => return Some(error.to_string()),
            }
        }
    });
    Ok((PyBytes::new(py, &unpacked), fault))
}

/// Adds everything of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RewrittenStream>()?;
    module.add_function(wrap_pyfunction!(rewrite, module)?)?;
    module.add_function(wrap_pyfunction!(salvage, module)?)?;
    module.add_function(wrap_pyfunction!(plain_json, module)?)?;
    module.add_function(wrap_pyfunction!(unpack_some, module)?)
}
