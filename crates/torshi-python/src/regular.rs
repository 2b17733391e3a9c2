//! Regular files to objects: reads a long payload straight into the `bytes` or `bytearray` that a load will give. Only
//! files that nothing but the interpreter's own code reads, since no other may see an object that is not checked yet;
//! and only as many bytes as the file is known to have: a length that a stream claims is not believed.

use crate::decoder::Parted;
use crate::ffi::blank::Blank;
use crate::ffi::make;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use torshi_core::opcode::Opcode;

/// What is needed of the standard library.
struct Library {
    buffered: Py<PyAny>,
    raw: Py<PyAny>,
    fstat: Py<PyAny>,
    is_regular: Py<PyAny>,
}

fn library(py: Python<'_>) -> PyResult<&'static Library> {
    static LIBRARY: PyOnceLock<Library> = PyOnceLock::new();
    LIBRARY.get_or_try_init(py, || {
        let of = |module: &[u8], name: &[u8]| -> PyResult<Py<PyAny>> {
            let module = make::import(&make::text(py, module)?)?;
            Ok(module.getattr(make::text(py, name)?.cast_into::<pyo3::types::PyString>()?)?.unbind())
        };
        Ok(Library {
            buffered: of(b"io", b"BufferedReader")?,
            raw: of(b"io", b"FileIO")?,
            fstat: of(b"os", b"fstat")?,
            is_regular: of(b"stat", b"S_ISREG")?,
        })
    })
}

/// A regular file, buffered or not.
pub struct RegularFile<'py> {
    file: Bound<'py, PyAny>,
    class: Bound<'py, PyType>,
}

impl<'py> RegularFile<'py> {
    /// The file, if it is one and has at least `length` bytes left.
    pub fn with(file: &Bound<'py, PyAny>, length: u64) -> PyResult<Option<Self>> {
        let (py, class) = (file.py(), file.get_type());
        let library = library(py)?;
        let raw = match class.is(&library.buffered) {
            true => file.getattr(pyo3::intern!(py, "raw"))?,
            false => file.clone(),
        };
        if !raw.get_type().is(&library.raw) || is_altered(file)? || is_altered(&raw)? {
            return Ok(None);
        }
        let this = RegularFile { file: file.clone(), class };
        let number = this.call("fileno")?;
        let status = library.fstat.bind(py).call1((number,))?;
        let mode = status.getattr(pyo3::intern!(py, "st_mode"))?;
        if !library.is_regular.bind(py).call1((mode,))?.is_truthy()? {
            return Ok(None);
        }
        let size: u64 = status.getattr(pyo3::intern!(py, "st_size"))?.extract()?;
        let at: u64 = this.call("tell")?.extract()?;
        Ok((size.saturating_sub(at) >= length).then_some(this))
    }

    /// The class's own method, whatever the instance has under the name.
    fn call(&self, method: &str) -> PyResult<Bound<'py, PyAny>> {
        self.class.getattr(method)?.call1((&self.file,))
    }

    /// Reads the payload of `length` bytes that begins at `start`, and that the stream may have a part of, into an
    /// object beside the stream; false if the file has become too short for it: then the stream has what there is.
    pub fn part(&self, opcode: Opcode, start: usize, length: u64, stream: &mut Parted<'py>) -> PyResult<bool> {
        let py = self.file.py();
        let length = usize::try_from(length).map_err(|_| PyMemoryError::new_err(()))?;
        let mut blank = match opcode {
            Opcode::Bytearray8 => Blank::bytearray(py, length)?,
            _ => Blank::bytes(py, length)?,
        };
        blank.put(&stream.data[start..]);
        stream.data.truncate(start);
        let readinto = self.class.getattr(pyo3::intern!(py, "readinto"))?;
        loop {
            let (more, count) = match blank.finish() {
                Ok(payload) => {
                    stream.push(payload);
                    return Ok(true);
                }
                Err(blank) => blank.fill(&readinto, &self.file)?,
            };
            if count == 0 {
                stream.data.extend_from_slice(more.filled());
                return Ok(false);
            }
            blank = more;
        }
    }
}

/// Has someone put a method of their own in the place of one that reads?
fn is_altered(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let own = file.getattr(pyo3::intern!(file.py(), "__dict__"))?;
    let own = own.cast::<PyDict>()?;
    Ok(own.contains(pyo3::intern!(file.py(), "read"))? || own.contains(pyo3::intern!(file.py(), "readinto"))?)
}
