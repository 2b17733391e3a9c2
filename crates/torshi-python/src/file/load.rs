//! Files to objects: the manifest first, from the file's end; then the stream, unpacked if need be, whose large buffers may
//! stay in the file. What was read is digested and compared with the manifest before anything is built of it.

use super::raised;
use super::seal::key_of;
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
use std::io::{self, Read};
use torshi_core::limits::Limits;
use torshi_core::opcode::Opcode;
use torshi_core::reader::{Progress, Scanner, APART};
use torshi_file::compress::Unpacker;
use torshi_file::digest::{digest_of, Digest, StreamDigest};
use torshi_file::layout::{find, Container, Problem, Trailer, ALIGNMENT, HEAD};
use torshi_file::manifest::Manifest;
use torshi_file::proof::{self, StreamProof, PROOF, SALT};
use torshi_file::seal::{self, message, Seal};

/// Bytes read at a time: too few for a large buffer to be whole before it is seen.
const PIECE: usize = 256 << 10;
const _: () = assert!(PIECE < APART as usize);

/// Where the bytes of a file are.
enum Place {
    Descriptor(i32),
    Memory(Py<PyBytes>),
    /// What a function of offset and length gives.
    Ranges(Py<PyAny>),
}

impl Place {
    fn read_at(&self, py: Python<'_>, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Place::Descriptor(fd) => py.detach(|| read_at(*fd, offset, into)),
            Place::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let part = bytes.as_bytes(py).get(start..).and_then(|rest| rest.get(..into.len()));
                into.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Place::Ranges(read) => {
                let given = read.bind(py).call1((offset, into.len()))?;
                let bytes = given.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
                if bytes.len() != into.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                into.copy_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// The part of a file that holds the stream, in order.
struct Span<'p, 'py> {
    py: Python<'py>,
    place: &'p Place,
    at: u64,
    end: u64,
}

impl Read for Span<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = (self.end - self.at).min(into.len() as u64) as usize;
        self.place.read_at(self.py, self.at, &mut into[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A file that `save` wrote, or one that is compressed, open.
#[pyclass(module = "torshi._native", frozen)]
pub struct StoredFile {
    place: Place,
    size: u64,
    trailer: Trailer,
    /// A compressed pickle of someone else has none.
    manifest: Option<Manifest>,
    seals: Vec<Seal>,
}

impl StoredFile {
    /// Bytes that the stream may have: as many as it has, or for a compressed one that nobody vouches for, what any load
    /// may ask for of a file of that size.
    fn bound(&self, py: Python<'_>, limits: &Limits, vouched: bool) -> PyResult<u64> {
        let stream = self.trailer.stream;
        if self.manifest.is_some() {
            within(py, limits, stream)?;
        }
        if self.trailer.container == Container::Plain || (vouched && self.manifest.is_some()) {
            return Ok(stream);
        }
        let bound = limits.stream.unwrap_or_else(|| limits.memory_for(self.size as usize));
        match self.manifest.is_some() && stream > bound {
            true => Err(errors::unpacked_too_long(py, stream, bound, self.size)),
            false => Ok(bound),
        }
    }

    /// The stream, with its large buffers apart.
    fn stream<'py>(
        &self, py: Python<'py>, limits: &Limits, mmap: bool, vouched: bool, proven: bool,
    ) -> PyResult<Fetched<'py>> {
        let bound = self.bound(py, limits, vouched)?;
        let span = Span { py, place: &self.place, at: 0, end: self.trailer.end };
        let mut source = Unpacker::new(self.trailer.container, span).map_err(|error| unreadable(py, error))?;
        let mut stream = Parted::of(Vec::new());
        let mut scanner = Scanner::default();
        let mut mapping = None;
        let mut digests = Vec::new();
        loop {
            let progress = scanner.advance(&stream.data).map_err(|mut fault| {
                fault.offset = stream.offset(fault.offset);
                errors::fault(py, &fault, &stream.data)
            })?;
            match progress {
                Progress::Complete(end) => {
                    let whole = end == stream.data.len() && source.read(&mut [0]).is_ok_and(|n| n == 0);
                    return match whole || self.manifest.is_none() {
                        true => Ok(Fetched { stream: stream.into(), digests }),
                        false => Err(damaged(py, "the pickle ends before the stream does")),
                    };
                }
                Progress::Payload { opcode, start, length } if self.may_be_apart(&stream, start, length, bound) => {
                    scanner.kept_apart(start);
                    match self.map(py, &mut source, &mut mapping, opcode, start, length, &stream, mmap)? {
                        Some(payload) => {
                            stream.data.truncate(start);
                            stream.push(payload);
                            digests.push(None);
                        }
                        None => {
                            let length = size(length)?;
                            digests.push(read_payload(py, &mut source, opcode, start, length, &mut stream, !proven)?);
                        }
                    }
                }
                _ => {
                    let before = stream.data.len();
                    let piece = self.ahead(&source, stream.len());
                    if stream.data.try_reserve(piece).is_err() {
                        return Err(PyMemoryError::new_err(()));
                    }
                    stream.data.resize(before + piece, 0);
                    let read = source.read(&mut stream.data[before..]).map_err(|error| unreadable(py, error))?;
                    stream.data.truncate(before + read);
                    if read == 0 {
                        return match self.manifest {
                            Some(_) => Err(damaged(py, "the stream ends before the pickle does")),
                            None => Ok(Fetched { stream: stream.into(), digests }), // the machine says what is missing
                        };
                    }
                    if stream.len() > bound {
                        return Err(self.too_long(py, bound));
                    }
                }
            }
        }
    }

    /// How many bytes to read next: no more than there are before the next large buffer, which may stay where it is.
    fn ahead(&self, source: &Unpacker<Span<'_, '_>>, read: u64) -> usize {
        let (Unpacker::Plain(span), Some(manifest)) = (source, &self.manifest) else { return PIECE };
        let next = manifest.buffers.partition_point(|buffer| buffer.offset <= read);
        let until = manifest.buffers.get(next).map_or(u64::MAX, |buffer| buffer.offset - read);
        until.min(span.end - span.at).min(PIECE as u64) as usize
    }

    fn too_long(&self, py: Python<'_>, bound: u64) -> PyErr {
        match self.manifest.is_some() && bound == self.trailer.stream {
            true => damaged(py, "the stream is longer than its manifest says"),
            false => errors::unpacked_too_long(py, bound.saturating_add(1), bound, self.size),
        }
    }

    fn listed(&self, offset: u64) -> Option<&torshi_file::manifest::Buffer> {
        let buffers = &self.manifest.as_ref()?.buffers;
        let at = buffers.binary_search_by_key(&offset, |buffer| buffer.offset).ok()?;
        Some(&buffers[at])
    }

    /// Whether a payload is read into an object of its own: one of the table, and any of a file without one; not one of a
    /// length that it cannot have.
    fn may_be_apart(&self, stream: &Parted<'_>, start: usize, length: u64, bound: u64) -> bool {
        let offset = stream.offset(start) as u64;
        length >= APART
            && offset.checked_add(length).is_some_and(|end| end <= bound)
            && (self.manifest.is_none() || self.listed(offset).is_some_and(|buffer| buffer.length == length))
    }

    /// A buffer left in the file, if it may be.
    #[allow(clippy::too_many_arguments)] // the state of the loop above
    fn map<'p, 'py>(
        &'p self, py: Python<'py>, source: &mut Unpacker<Span<'p, 'py>>, mapping: &mut Option<Bound<'py, Mapping>>,
        opcode: Opcode, start: usize, length: u64, stream: &Parted<'py>, mmap: bool,
    ) -> PyResult<Option<crate::ffi::blank::Payload<'py>>> {
        let (Unpacker::Plain(span), Place::Descriptor(fd), true) = (source, &self.place, mmap) else { return Ok(None) };
        let at = span.at - (stream.data.len() - start) as u64;
        let lent = self.listed(stream.offset(start) as u64).is_some_and(|buffer| buffer.lent);
        if !lent || at % ALIGNMENT != 0 {
            return Ok(None);
        }
        let whole = match mapping {
            Some(whole) => whole,
            None => mapping.insert(Mapping::of(py, *fd, size(self.trailer.stream)?)?),
        };
        let payload = Mapping::payload(whole, size(at)?, size(length)?, opcode != Opcode::Bytearray8)?;
        span.at = at + length;
        Ok(Some(payload))
    }

    /// Compares the stream with its proof, all of it, and its buffers with the table of the manifest.
    fn prove(&self, py: Python<'_>, fetched: &Fetched<'_>, proven: &Proven) -> PyResult<()> {
        let Some(manifest) = &self.manifest else { return Err(damaged(py, "it has no manifest")) };
        let mut proof = StreamProof::new(&proven.secret, &proven.salt);
        let mut buffers = manifest.buffers.iter();
        let mut from = 0;
        let stream = &fetched.stream;
        let data = stream.as_slice();
        if let Stream::Parted(parted) = stream {
            for (gap, (offset, payload)) in parted.gaps().iter().zip(parted.payloads()) {
                proof.part(&data[from..gap.at]);
                from = gap.at;
                let listed =
                    buffers.next().is_some_and(|known| (known.offset, known.length) == (offset, gap.length as u64));
                if !listed {
                    return Err(damaged(py, TABLE));
                }
                let content = payload.as_slice();
                py.detach(|| proof.part(content));
            }
        }
        proof.part(&data[from..]);
        match buffers.next().is_none() && stream_length(stream) == manifest.stream && proof.is(&proven.proof) {
            true => Ok(()),
            false => Err(damaged(py, "the pickle is not as it was written: its proof is another")),
        }
    }

    /// Compares the stream with the manifest; mapped buffers only where that is asked for.
    fn compare(&self, py: Python<'_>, fetched: &Fetched<'_>, verify: bool) -> PyResult<()> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let mut digest = StreamDigest::default();
        let mut buffers = manifest.buffers.iter();
        let mut from = 0;
        let stream = &fetched.stream;
        let data = stream.as_slice();
        if let Stream::Parted(parted) = stream {
            let payloads = parted.payloads().zip(&fetched.digests);
            for (gap, ((offset, payload), own)) in parted.gaps().iter().zip(payloads) {
                digest.part(&data[from..gap.at]);
                from = gap.at;
                let known = buffers.next().filter(|known| (known.offset, known.length) == (offset, gap.length as u64));
                let Some(known) = known else { return Err(damaged(py, TABLE)) };
                let own = match own {
                    None if verify => {
                        let content = payload.as_slice();
                        Some(py.detach(|| digest_of(content)))
                    }
                    own => *own,
                };
                if own.is_some_and(|own| own != known.digest) {
                    return Err(damaged(py, &format!("the buffer at byte {offset} is not as it was written")));
                }
                digest.buffer(&known.digest);
            }
        }
        digest.part(&data[from..]);
        if buffers.next().is_some() {
            return Err(damaged(py, TABLE));
        }
        match digest.finish() == manifest.digest && stream_length(stream) == manifest.stream {
            true => Ok(()),
            false => Err(damaged(py, "the pickle is not as it was written: its digest is another")),
        }
    }
}

const TABLE: &str = "the table of buffers is not that of the stream";

/// What a stream is compared with instead of its digests, if the processor is quick at it.
struct Proven {
    secret: [u8; 32],
    salt: [u8; SALT],
    proof: [u8; PROOF],
}

/// A stream as it was read, and the digests of its large buffers that were.
struct Fetched<'py> {
    stream: Stream<'py>,
    digests: Vec<Option<Digest>>,
}

fn stream_length(stream: &Stream<'_>) -> u64 {
    match stream {
        Stream::Parted(parted) => parted.len(),
        _ => stream.as_slice().len() as u64,
    }
}

fn size(length: u64) -> PyResult<usize> {
    usize::try_from(length).map_err(|_| PyMemoryError::new_err(()))
}

/// Reads a payload, of which the stream may have a part, into the object it will be; its digest, if that is wanted.
fn read_payload<'py>(
    py: Python<'py>, source: &mut impl Read, opcode: Opcode, start: usize, length: usize, stream: &mut Parted<'py>,
    digested: bool,
) -> PyResult<Option<Digest>> {
    let mut blank = match opcode {
        Opcode::Bytearray8 => Blank::bytearray(py, length)?,
        _ => Blank::bytes(py, length)?,
    };
    let mut digest = digested.then(StreamDigest::default);
    blank.put(&stream.data[start..]);
    digest.iter_mut().for_each(|digest| digest.part(&stream.data[start..]));
    stream.data.truncate(start);
    let mut piece = vec![0; PIECE];
    loop {
        blank = match blank.finish() {
            Ok(payload) => {
                stream.push(payload);
                return Ok(digest.map(|digest| digest.finish()));
            }
            Err(blank) => blank,
        };
        let rest = length - blank.filled().len();
        let read = source.read(&mut piece[..rest.min(PIECE)]).map_err(|error| unreadable(py, error))?;
        if read == 0 {
            return Err(damaged(py, "the stream ends within a buffer"));
        }
        blank.put(&piece[..read]);
        digest.iter_mut().for_each(|digest| digest.part(&piece[..read]));
    }
}

/// What is said of a file that is not as it was written.
fn damaged(py: Python<'_>, what: &str) -> PyErr {
    errors::damaged(py, &format!("the file is damaged: {what}"))
}

/// What is said where bytes cannot be had: the system says why, or the unpacker that they are no such bytes.
fn unreadable(py: Python<'_>, error: io::Error) -> PyErr {
    let of_python = error.get_ref().is_some_and(|inner| inner.is::<PyErr>());
    match error.raw_os_error() {
        Some(_) => raised(error),
        None if of_python => raised(error),
        None => damaged(py, &format!("it cannot be unpacked: {error}")),
    }
}

fn problem(py: Python<'_>, problem: Problem) -> PyErr {
    match problem {
        Problem::Damaged(what) => damaged(py, &what),
        Problem::Io(error) => raised(error),
    }
}

#[pymethods]
impl StoredFile {
    /// A file by its descriptor and size, or its bytes, or a function of offset and length that gives these, and size; None if it is neither compressed nor has a manifest.
    #[staticmethod]
    #[pyo3(signature = (file, size=None))]
    fn open(py: Python<'_>, file: &Bound<'_, PyAny>, size: Option<u64>) -> PyResult<Option<StoredFile>> {
        let (place, size) = match (file.cast::<PyBytes>(), size) {
            (Ok(bytes), _) => (Place::Memory(bytes.clone().unbind()), bytes.as_bytes().len() as u64),
            (Err(_), size) if file.is_callable() => (Place::Ranges(file.clone().unbind()), size.unwrap_or(0)),
            (Err(_), size) => (Place::Descriptor(file.extract()?), size.unwrap_or(0)),
        };
        let found = find(size, |at, into| place.read_at(py, at, into)).map_err(|error| problem(py, error))?;
        let Some(trailer) = found else {
            let mut first = [0; 4];
            let first = &mut first[..size.min(4) as usize];
            place.read_at(py, 0, first).map_err(raised)?;
            return Ok(match Container::sniff(first) {
                Container::Plain => None,
                container => {
                    let trailer = Trailer { container, stream: 0, manifest: Vec::new(), seals: Vec::new(), end: size };
                    Some(StoredFile { place, size, trailer, manifest: None, seals: Vec::new() })
                }
            });
        };
        let manifest = Manifest::parse(&trailer.manifest).map_err(|what| damaged(py, &what))?;
        if manifest.stream != trailer.stream {
            return Err(damaged(py, "manifest and tail have different lengths of the stream"));
        }
        let seals = seal::parse(&trailer.seals).map_err(|what| damaged(py, &what))?;
        Ok(Some(StoredFile { place, size, trailer, manifest: Some(manifest), seals }))
    }

    /// How the stream is held.
    #[getter]
    fn container(&self) -> &'static str {
        self.trailer.container.name()
    }

    /// The manifest, as JSON; None if the file has none.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.manifest.is_some().then(|| PyBytes::new(py, &self.trailer.manifest))
    }

    /// The names of the manifest.
    #[getter]
    fn globals(&self) -> Vec<String> {
        self.manifest.as_ref().map(|manifest| manifest.globals.clone()).unwrap_or_default()
    }

    /// The seals: kind, and what the key is known by.
    #[getter]
    fn seals<'py>(&self, py: Python<'py>) -> Vec<(&'static str, Bound<'py, PyBytes>)> {
        self.seals.iter().map(|seal| (seal.kind.name(), PyBytes::new(py, &seal.id))).collect()
    }

    /// The records of the seals, as the file has them.
    #[getter]
    fn seal_records<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.trailer.seals)
    }

    /// Where the stream ends in the file.
    #[getter]
    fn end(&self) -> u64 {
        self.trailer.end
    }

    /// Bytes of the stream.
    #[getter]
    fn length(&self) -> u64 {
        self.trailer.stream
    }

    /// Whether a key made a seal over this manifest, and so over the stream that it is of, and over the seals before it:
    /// `load` and `verify` say whether the file has that stream.
    fn is_sealed_by(&self, place: usize, key: &[u8]) -> PyResult<bool> {
        let (Some(manifest), Some(seal)) = (&self.manifest, self.seals.get(place)) else { return Ok(false) };
        Ok(seal.is_by(&key_of(key)?, &message(manifest, &self.trailer.manifest, &self.seals[..place])))
    }

    /// Checks and builds the object. With `verify` mapped buffers are compared as well, all of the stream by `proof` if
    /// there is one: secret, salt and proof. `vouched`: a compressed stream may have any length.
    #[pyo3(signature = (policy, limits, fix_imports, encoding, errors, buffers, mmap, verify, vouched=false, placeholders=false, proof=None))]
    #[allow(clippy::too_many_arguments)] // the settings of a load, and five
    fn load<'py>(
        &self, py: Python<'py>, policy: &PyPolicy, limits: Option<&Bound<'py, PyAny>>, fix_imports: bool,
        encoding: &str, errors: &str, buffers: Option<Bound<'py, PyAny>>, mmap: bool, verify: bool, vouched: bool,
        placeholders: bool, proof: Option<([u8; 32], [u8; SALT], [u8; PROOF])>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = limits_of(limits)?;
        let proven = proof.filter(|_| verify && proof::is_quick());
        let proven = proven.map(|(secret, salt, proof)| Proven { secret, salt, proof });
        let mut fetched = self.stream(py, &limits, mmap, vouched, proven.is_some())?;
        match &proven {
            Some(proven) => self.prove(py, &fetched, proven)?,
            None => self.compare(py, &fetched, verify)?,
        }
        let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
        let request = Request {
            policy: &policy.inner,
            limits: &limits,
            codec: &codec,
            fix_imports,
            buffers,
            find_class: None,
            placeholders,
            persistent_load: None,
            protocol: None,
        };
        build(py, &mut fetched.stream, request, None).map(|(value, _)| value)
    }

    /// Compares all of the file with the manifest.
    #[pyo3(signature = (vouched=false))]
    fn verify(&self, py: Python<'_>, vouched: bool) -> PyResult<()> {
        let fetched = self.stream(py, &Limits::default(), true, vouched, false)?;
        self.compare(py, &fetched, true)
    }

    /// The pickle, in one piece.
    #[pyo3(signature = (limits=None, vouched=false))]
    fn pickle<'py>(
        &self, py: Python<'py>, limits: Option<&Bound<'py, PyAny>>, vouched: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut fetched = self.stream(py, &limits_of(limits)?, false, vouched, false)?;
        self.compare(py, &fetched, true)?;
        fetched.stream.join()?;
        Ok(PyBytes::new(py, fetched.stream.as_slice()))
    }
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
    module.add_function(wrap_pyfunction!(sniff_container, module)?)
}
