//! `save`'s native half: an object as a stream into a file that Python opened, and what the manifest has to say of it;
//! and the bytes that follow the stream.

use super::sink::{FileSink, Target};
use crate::encoder::memo::Memo;
use crate::encoder::writer::Writer;
use crate::encoder::Encoder;
use crate::pickler::{hooks, raised};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::RefCell;
use std::rc::Rc;
use torshi_file::compress::Way;
use torshi_file::digest::to_hex;
use torshi_file::layout::{render, Container};
use torshi_file::proof::{self, StreamProof, SALT};

/// The protocol of files: any Python since 3.8 reads it, and large buffers stand in it as they are.
const PROTOCOL: u8 = 5;

/// Length, digest, large buffers and names of a stream in a file.
pub type Saved = (u64, String, Vec<(u64, u64, String, bool)>, Vec<String>);

/// Writes the stream of an object; its length, digest, large buffers and names, and with a secret and salt a proof,
/// where that takes little.
#[pyfunction]
#[pyo3(signature = (obj, file, container="plain", level=None, progress=None, by_value=false, prove=None))]
#[allow(clippy::too_many_arguments)] // the settings of a save
fn save_stream<'py>(
    py: Python<'py>, obj: &Bound<'py, PyAny>, file: &Bound<'py, PyAny>, container: &str, level: Option<i32>,
    progress: Option<Py<PyAny>>, by_value: bool, prove: Option<([u8; 32], [u8; SALT])>,
) -> PyResult<(Saved, Option<Bound<'py, PyBytes>>)> {
    let prove = prove.filter(|_| proof::is_quick());
    let proof = prove.map(|(secret, salt)| StreamProof::new(&secret, &salt));
    let sink = FileSink::new(target(file), way(container, level)?, progress)?.proving(proof);
    let sink = Rc::new(RefCell::new(sink));
    let writer = Writer::saving(Rc::clone(&sink));
    let mut hooks = hooks(py, PROTOCOL, None, by_value)?;
    hooks.stand_ins = Some(stand_ins(py)?);
    let encoder = Encoder::new(py, PROTOCOL, true, writer, Memo::default(), hooks, false)?;
    let names = sink.borrow().names();
    encoder.telling(names).dump_once(obj).map_err(|failed| raised(py, failed, "pickling"))?;
    let mut sink = sink.borrow_mut();
    let saved = saved(&mut sink)?;
    Ok((saved, sink.proof().map(|proof| PyBytes::new(py, &proof))))
}

/// Who says which objects are written as calls that stand for them: one for each stream.
pub fn stand_ins(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("torshi._tensors")?.getattr("Tensors")?.call0()?.getattr("calls_of")
}

/// A file that Python opened, by its descriptor or its `write`.
pub fn target(file: &Bound<'_, PyAny>) -> Target {
    match file.extract::<i32>() {
        Ok(fd) => Target::Descriptor(fd),
        Err(_) => Target::Object(file.clone().unbind()),
    }
}

/// What came of a stream that is in its file.
pub fn saved(sink: &mut FileSink) -> PyResult<Saved> {
    let (length, digest, buffers, names) = sink.finish()?;
    let named = |digest: &[u8]| format!("blake3:{}", to_hex(digest));
    let buffers = buffers.into_iter().map(|(at, length, digest, lent)| (at, length, named(&digest), lent)).collect();
    Ok((length, named(&digest), buffers, names))
}

/// How to compress, if at all.
pub fn way(container: &str, level: Option<i32>) -> PyResult<Option<Way>> {
    let Some(container) = Container::named(container) else {
        return Err(PyValueError::new_err(format!("no such compression: {container}; there are zstd, lz4 and gzip")));
    };
    let levels = Way::levels(container);
    match level {
        Some(level) if !levels.contains(&level) => Err(PyValueError::new_err(match levels.end() {
            0 => format!("{} has no levels", container.name()),
            last => format!("{} has levels from {} to {last}, not {level}", container.name(), levels.start()),
        })),
        _ if container == Container::Plain => Ok(None),
        _ => Ok(Some(Way { container, level })),
    }
}

/// Raises if there is no such compression.
#[pyfunction]
fn check_compression(container: &str, level: Option<i32>) -> PyResult<()> {
    way(container, level).map(drop)
}

/// What follows a stream of that length in a file of that kind.
#[pyfunction]
fn render_trailer<'py>(
    py: Python<'py>, container: &str, stream: u64, manifest: &[u8], seals: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let container = Container::named(container)
        .ok_or_else(|| PyValueError::new_err(format!("no such kind of file: {container}")))?;
    Ok(PyBytes::new(py, &render(container, stream, manifest, seals)))
}

/// Adds the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(save_stream, module)?)?;
    module.add_function(wrap_pyfunction!(check_compression, module)?)?;
    module.add_function(wrap_pyfunction!(render_trailer, module)?)
}
