//! Files with a manifest to objects: the manifest first, from the file's end; then the stream, whose large buffers may stay
//! in the file. What was read is digested and compared with the manifest before anything is built of it.

use super::raised;
use crate::decoder::{build, within, Parted, Request, Stream, TextCodec};
use crate::errors;
use crate::ffi::blank::Blank;
use crate::ffi::descriptor::read_at;
use crate::ffi::mapping::Mapping;
use crate::policy::{limits as limits_of, PyPolicy};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::borrow::Cow;
use torshi_core::limits::Limits;
use torshi_core::opcode::Opcode;
use torshi_core::reader::{Progress, Scanner, APART};
use torshi_file::digest::{digest_of, StreamDigest};
use torshi_file::layout::{find, Container, Problem, Trailer, ALIGNMENT, HEAD};
use torshi_file::manifest::Manifest;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// A file with a manifest, open.
#[pyclass(module = "torshi._native", frozen)]
pub struct StoredFile {
    fd: i32,
    trailer: Trailer,
    manifest: Manifest,
}

/// What is read of a file in order.
trait Source {
    /// Some of the next bytes.
    fn read(&mut self, into: &mut [u8]) -> PyResult<usize>;
}

/// A stream as it stands in the file.
struct Plain {
    fd: i32,
    at: u64,
    end: u64,
}

impl Source for Plain {
    fn read(&mut self, into: &mut [u8]) -> PyResult<usize> {
        let n = (self.end - self.at).min(into.len() as u64) as usize;
        read_at(self.fd, self.at, &mut into[..n]).map_err(raised)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl StoredFile {
    /// The stream, with its large buffers apart.
    fn stream<'py>(&self, py: Python<'py>, limits: &Limits, mmap: bool) -> PyResult<Stream<'py>> {
        within(py, limits, self.trailer.stream)?;
        let mut source = Plain { fd: self.fd, at: 0, end: self.trailer.stream };
        let mut stream = Parted::of(Vec::new());
        let mut scanner = Scanner::default();
        let mut mapping = None;
        loop {
            let progress = scanner.advance(&stream.data).map_err(|mut fault| {
                fault.offset = stream.offset(fault.offset);
                errors::fault(py, &fault, &stream.data)
            })?;
            match progress {
                Progress::Complete(end) if end == stream.data.len() && source.at == source.end => {
                    return Ok(stream.into())
                }
                Progress::Complete(_) => return Err(damaged(py, "the pickle ends before the stream does")),
                Progress::Payload { opcode, start, length } if self.is_listed(&stream, start, length) => {
                    scanner.kept_apart(start);
                    let have = stream.data.len() - start;
                    let at = source.at - have as u64;
                    let listed = self.listed(stream.offset(start) as u64);
                    if mmap && listed.is_some_and(|lent| lent) && at % ALIGNMENT == 0 {
                        let whole = match &mapping {
                            Some(whole) => whole,
                            None => mapping.insert(Mapping::of(py, self.fd, size(self.trailer.stream)?)?),
                        };
                        let readonly = opcode != Opcode::Bytearray8;
                        stream.data.truncate(start);
                        stream.push(Mapping::payload(whole, size(at)?, size(length)?, readonly)?);
                        source.at = at + length;
                    } else {
                        read_payload(py, &mut source, opcode, start, size(length)?, &mut stream)?;
                    }
                }
                _ => {
                    let before = stream.data.len();
                    let more = PIECE.max(before.min(16 << 20));
                    if stream.data.try_reserve(more).is_err() {
                        return Err(PyMemoryError::new_err(()));
                    }
                    stream.data.resize(before + more, 0);
                    let n = source.read(&mut stream.data[before..])?;
                    stream.data.truncate(before + n);
                    if n == 0 {
                        return Err(damaged(py, "the stream ends before the pickle does"));
                    }
                }
            }
        }
    }

    fn listed(&self, offset: u64) -> Option<bool> {
        let at = self.manifest.buffers.binary_search_by_key(&offset, |buffer| buffer.offset).ok()?;
        Some(self.manifest.buffers[at].lent)
    }

    /// Whether a payload is one of the table, and lies in the stream.
    fn is_listed(&self, stream: &Parted<'_>, start: usize, length: u64) -> bool {
        let offset = stream.offset(start) as u64;
        let at = self.manifest.buffers.binary_search_by_key(&offset, |buffer| buffer.offset);
        length >= APART && at.is_ok_and(|at| self.manifest.buffers[at].length == length)
    }

    /// Compares the stream with the manifest; mapped buffers only where that is asked for.
    fn compare(&self, py: Python<'_>, stream: &Stream<'_>, verify: bool) -> PyResult<()> {
        let mut digest = StreamDigest::default();
        let mut buffers = self.manifest.buffers.iter();
        let mut from = 0;
        let data = stream.as_slice();
        if let Stream::Parted(parted) = stream {
            for (gap, (offset, payload)) in parted.gaps().iter().zip(parted.payloads()) {
                digest.part(&data[from..gap.at]);
                from = gap.at;
                let known = buffers.next().filter(|known| (known.offset, known.length) == (offset, gap.length as u64));
                let Some(known) = known else {
                    return Err(damaged(py, "the table of buffers is not that of the stream"));
                };
                if (verify || !payload.is_mapped()) && digest_of(payload.as_slice()) != known.digest {
                    return Err(damaged(py, &format!("the buffer at byte {offset} is not as it was written")));
                }
                digest.buffer(&known.digest);
            }
        }
        digest.part(&data[from..]);
        if buffers.next().is_some() {
            return Err(damaged(py, "the table of buffers is not that of the stream"));
        }
        match digest.finish() == self.manifest.digest {
            true => Ok(()),
            false => Err(damaged(py, "the pickle is not as it was written: its digest is another")),
        }
    }
}

fn size(length: u64) -> PyResult<usize> {
    usize::try_from(length).map_err(|_| PyMemoryError::new_err(()))
}

/// Reads a payload, of which the stream may have a part, into the object it will be.
fn read_payload<'py>(
    py: Python<'py>, source: &mut Plain, opcode: Opcode, start: usize, length: usize, stream: &mut Parted<'py>,
) -> PyResult<()> {
    let mut blank = match opcode {
        Opcode::Bytearray8 => Blank::bytearray(py, length)?,
        _ => Blank::bytes(py, length)?,
    };
    blank.put(&stream.data[start..]);
    stream.data.truncate(start);
    let mut piece = vec![0; PIECE];
    loop {
        blank = match blank.finish() {
            Ok(payload) => {
                stream.push(payload);
                return Ok(());
            }
            Err(blank) => blank,
        };
        let rest = length - blank.filled().len();
        let n = source.read(&mut piece[..rest.min(PIECE)])?;
        if n == 0 {
            return Err(damaged(py, "the stream ends within a buffer"));
        }
        blank.put(&piece[..n]);
    }
}

/// What is said of a file that is not as it was written.
fn damaged(py: Python<'_>, what: &str) -> PyErr {
    errors::damaged(py, &format!("the file is damaged: {what}"))
}

fn problem(py: Python<'_>, problem: Problem) -> PyErr {
    match problem {
        Problem::Damaged(what) => damaged(py, &what),
        Problem::Io(error) => raised(error),
    }
}

#[pymethods]
impl StoredFile {
    /// The file of a descriptor, if it has a manifest.
    #[staticmethod]
    fn open(py: Python<'_>, fd: i32, size: u64) -> PyResult<Option<StoredFile>> {
        let found = find(size, |at, into| read_at(fd, at, into)).map_err(|error| problem(py, error))?;
        let Some(trailer) = found else { return Ok(None) };
        let manifest = Manifest::parse(&trailer.manifest).map_err(|what| damaged(py, &what))?;
        if manifest.stream != trailer.stream {
            return Err(damaged(py, "manifest and tail have different lengths of the stream"));
        }
        Ok(Some(StoredFile { fd, trailer, manifest }))
    }

    /// How the stream is held.
    #[getter]
    fn container(&self) -> &'static str {
        self.trailer.container.name()
    }

    /// The manifest, as JSON.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.trailer.manifest)
    }

    /// The names of the manifest.
    #[getter]
    fn globals(&self) -> Vec<String> {
        self.manifest.globals.clone()
    }

    /// Checks and builds the object. With `verify` mapped buffers are digested as well.
    #[pyo3(signature = (policy, limits, fix_imports, encoding, errors, buffers, mmap, verify))]
    #[allow(clippy::too_many_arguments)] // the settings of a load, and two
    fn load<'py>(
        &self, py: Python<'py>, policy: &PyPolicy, limits: Option<&Bound<'py, PyAny>>, fix_imports: bool,
        encoding: &str, errors: &str, buffers: Option<Bound<'py, PyAny>>, mmap: bool, verify: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = limits_of(limits)?;
        let mut stream = self.stream(py, &limits, mmap)?;
        self.compare(py, &stream, verify)?;
        let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
        let request = Request {
            policy: &policy.inner,
            limits: &limits,
            codec: &codec,
            fix_imports,
            buffers,
            find_class: None,
            persistent_load: None,
            protocol: None,
        };
        build(py, &mut stream, request, None).map(|(value, _)| value)
    }

    /// Compares all of the file with the manifest.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.stream(py, &Limits::default(), true)?;
        self.compare(py, &stream, true)
    }
}

/// How many of a file's bytes are its pickles, and not the manifest that follows them.
#[pyfunction]
fn stream_length(py: Python<'_>, data: &[u8]) -> PyResult<usize> {
    let read = |at: u64, into: &mut [u8]| {
        let at = at as usize;
        into.copy_from_slice(&data[at..at + into.len()]);
        Ok(())
    };
    let found = find(data.len() as u64, read).map_err(|error| problem(py, error))?;
    Ok(found.filter(|trailer| trailer.container == Container::Plain).map_or(data.len(), |trailer| trailer.end as usize))
}

/// What the first bytes of a file say that it is: plain, zstd, lz4 or gzip.
#[pyfunction]
fn sniff_container(first: &[u8]) -> &'static str {
    Container::sniff(first).name()
}

/// Adds everything of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<StoredFile>()?;
    module.add("MANIFEST_HEAD", PyBytes::new(module.py(), &HEAD))?;
    module.add_function(wrap_pyfunction!(stream_length, module)?)?;
    module.add_function(wrap_pyfunction!(sniff_container, module)?)
}
