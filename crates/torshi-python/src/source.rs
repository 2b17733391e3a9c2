//! Files to streams: reads exactly one pickle from a Python file object, so that the position ends
//! right behind STOP, also where nothing can be unread. It asks the file for bytes and lines, keeps
//! what a file gives beyond that for the next pickle, and never interprets a byte itself.

use crate::decoder::{within, Parted, Stream};
use crate::errors;
use crate::ffi::make;
use crate::regular::RegularFile;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use torshi_core::limits::Limits;
use torshi_core::reader::{Progress, Scanner};

/// Most bytes asked for at once where a stream claims a long value: a claim is not yet a length.
const CHUNK: u64 = 1 << 20;
/// Bytes asked for ahead of need where a file can show them without giving them up.
const AHEAD: usize = 128 << 10;

/// The methods of a file that a load uses.
pub struct FileHooks {
    file: Py<PyAny>,
    read: Py<PyAny>,
    readline: Py<PyAny>,
    peek: Option<Py<PyAny>>,
}

impl FileHooks {
    /// Looks the methods up.
    pub fn of(file: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = file.py();
        let (read, readline) =
            (file.getattr_opt(pyo3::intern!(py, "read"))?, file.getattr_opt(pyo3::intern!(py, "readline"))?);
        let (Some(read), Some(readline)) = (read, readline) else {
            return Err(PyTypeError::new_err("file must have 'read' and 'readline' attributes"));
        };
        let peek = file.getattr_opt(pyo3::intern!(py, "peek"))?;
        Ok(FileHooks {
            file: file.clone().unbind(),
            read: read.unbind(),
            readline: readline.unbind(),
            peek: peek.map(Bound::unbind),
        })
    }

    /// The objects held, for the garbage collector.
    pub fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        [&self.file, &self.read, &self.readline].into_iter().chain(&self.peek)
    }

    /// The next pickle of the file. `pending` holds bytes read before and not used yet; what is left
    /// over stays there.
    pub fn stream<'py>(&self, py: Python<'py>, pending: &mut Vec<u8>, limits: &Limits) -> PyResult<Stream<'py>> {
        if pending.is_empty() {
            if let Some(stream) = self.in_memory(py)? {
                return Ok(stream);
            }
        }
        let mut stream = Parted::of(std::mem::take(pending));
        let mut scanner = Scanner::default();
        loop {
            let progress = scanner.advance(&stream.data).map_err(|mut fault| {
                fault.offset = stream.offset(fault.offset);
                errors::fault(py, &fault, &stream.data)
            })?;
            within(py, limits, stream.len())?;
            let grown = match progress {
                Progress::Complete(end) => {
                    *pending = stream.data.split_off(end);
                    return Ok(stream.into());
                }
                Progress::Line => self.line(py, &mut stream.data)?,
                Progress::Bytes(need) => match self.look_ahead(py, &mut stream.data, &mut scanner, need)? {
                    Some(grown) => grown,
                    None => self.bytes(py, &mut stream.data, need)?,
                },
                Progress::Payload { opcode, start, length } => {
                    let need = length - (stream.data.len() - start) as u64;
                    match RegularFile::with(self.file.bind(py), need)? {
                        Some(file) => {
                            within(py, limits, stream.len().saturating_add(need))?;
                            scanner.kept_apart(start);
                            file.part(opcode, start, length, &mut stream)?
                        }
                        None => self.bytes(py, &mut stream.data, need)?,
                    }
                }
            };
            if !grown {
                return Ok(stream.into()); // the machine will say what is missing
            }
        }
    }

    /// The rest of an exact `io.BytesIO`, without copying; the position is moved by `consumed`.
    fn in_memory<'py>(&self, py: Python<'py>) -> PyResult<Option<Stream<'py>>> {
        let file = self.file.bind(py);
        static BYTES_IO: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let bytes_io = BYTES_IO.get_or_try_init(py, || {
            let io = make::import(&make::text(py, b"io")?)?;
            Ok::<_, PyErr>(io.getattr(pyo3::intern!(py, "BytesIO"))?.unbind())
        })?;
        if !file.get_type().is(bytes_io) {
            return Ok(None);
        }
        let from: usize = file.call_method0(pyo3::intern!(py, "tell"))?.extract()?;
        let value = file.call_method0(pyo3::intern!(py, "getvalue"))?;
        let bytes = value.cast_into::<PyBytes>()?;
        let from = from.min(bytes.as_bytes().len());
        Ok(Some(Stream::Bytes(bytes, from)))
    }

    /// Moves a file that was read `in_memory` behind the pickle.
    pub fn consumed(&self, py: Python<'_>, stream: &Stream<'_>, end: usize) -> PyResult<()> {
        if let Stream::Bytes(_, from) = stream {
            self.file.bind(py).call_method1(pyo3::intern!(py, "seek"), (make::integer(py, (from + end) as i64)?,))?;
        }
        Ok(())
    }

    /// What the file has buffered, taken only as far as the pickle reaches. `None`: it cannot show any.
    fn look_ahead(
        &self, py: Python<'_>, data: &mut Vec<u8>, scanner: &mut Scanner, need: u64,
    ) -> PyResult<Option<bool>> {
        let Some(peek) = &self.peek else { return Ok(None) };
        if need > AHEAD as u64 {
            return Ok(None);
        }
        let shown = match peek.bind(py).call1((make::integer(py, AHEAD as i64)?,)) {
            Ok(shown) => shown,
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(shown) = shown.cast::<PyBytes>() else { return Ok(None) };
        let shown = shown.as_bytes();
        if shown.is_empty() {
            return Ok(None);
        }
        let before = data.len();
        data.extend_from_slice(shown);
        let wanted = match scanner.clone().advance(data) {
            Ok(Progress::Complete(end)) => end - before,
            _ => shown.len(),
        };
        data.truncate(before);
        self.bytes(py, data, wanted as u64).map(Some)
    }

    /// Reads up to `need` bytes more; whether there were any.
    fn bytes(&self, py: Python<'_>, data: &mut Vec<u8>, need: u64) -> PyResult<bool> {
        let ask = need.min(CHUNK.max(data.len() as u64));
        let got = self.read.bind(py).call1((make::integer(py, ask as i64)?,))?;
        take(&got, data, "read")
    }

    fn line(&self, py: Python<'_>, data: &mut Vec<u8>) -> PyResult<bool> {
        let got = self.readline.bind(py).call0()?;
        take(&got, data, "readline")
    }
}

/// Appends what a file gave.
fn take(got: &Bound<'_, PyAny>, data: &mut Vec<u8>, method: &str) -> PyResult<bool> {
    match got.cast::<PyBytes>() {
        Ok(bytes) => {
            data.extend_from_slice(bytes.as_bytes());
            Ok(!bytes.as_bytes().is_empty())
        }
        Err(_) => {
            let what = crate::decoder::type_name(got);
            Err(PyTypeError::new_err(format!("{method}() returned non-bytes object ({what})")))
        }
    }
}

/// The bytes of an object given to `loads`. Only `bytes` can be used in place: anything else could
/// be changed between checking and building, so it is copied.
pub fn stream_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Stream<'py>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Stream::Bytes(bytes.clone(), 0));
    }
    if let Ok(array) = data.cast_exact::<PyByteArray>() {
        return Ok(Stream::Owned(array.to_vec()));
    }
    let view = PyMemoryView::from(data)?;
    let copy = view.call_method0(pyo3::intern!(data.py(), "tobytes"))?;
    Ok(Stream::Bytes(copy.cast_into::<PyBytes>()?, 0))
}
