//! What `torshi.guard` asks for where stock pickle does the building: the next pickle of a file as bytes, a check
//! of these bytes with the settings of that load, and the lookup of one name. Builds nothing.

use crate::decoder::{check as check_stream, find_class as look_up, Request, Stream, TextCodec};
use crate::ffi::make;
use crate::policy::{limits as limits_of, PyPolicy};
use crate::source::{stream_of, FileHooks};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::borrow::Cow;
use torshi_core::reader::{Progress, Scanner};

/// The bytes of the next pickle of a file, which then stands right behind it; of what is no whole pickle, the rest.
#[pyfunction]
#[pyo3(signature = (file, limits=None))]
fn take_pickle<'py>(
    py: Python<'py>, file: &Bound<'py, PyAny>, limits: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let hooks = FileHooks::of(file)?;
    let stream = hooks.stream(py, &mut Vec::new(), &limits_of(limits)?)?;
    let data = stream.as_slice();
    let end = match (&stream, Scanner::default().advance(data)) {
        (Stream::Bytes(..), Ok(Progress::Complete(end))) => end,
        _ => data.len(),
    };
    hooks.consumed(py, &stream, end)?;
    Ok(PyBytes::new(py, &data[..end]))
}

/// Raises what a load of the bytes with these settings would raise before building; builds nothing.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None, *, fix_imports=true, encoding="ASCII", errors="strict", persistent=false))]
#[allow(clippy::too_many_arguments)] // the settings of a load
fn vet(
    py: Python<'_>, data: &Bound<'_, PyAny>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>, fix_imports: bool,
    encoding: &str, errors: &str, persistent: bool,
) -> PyResult<()> {
    let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
    let request = Request {
        policy: &policy.inner,
        limits: &limits_of(limits)?,
        codec: &codec,
        fix_imports,
        buffers: None,
        find_class: None,
        // Whether there is one is all a check asks.
        persistent_load: persistent.then(|| py.None().into_bound(py)),
        protocol: None,
    };
    check_stream(py, stream_of(data)?.as_slice(), &request, None).map(drop)
}

/// The object of a name that the policy allows, imported if need be.
#[pyfunction]
fn find_class<'py>(
    py: Python<'py>, policy: &PyPolicy, module: &str, name: &str, python2: bool, dotted: bool,
) -> PyResult<Bound<'py, PyAny>> {
    look_up(py, &policy.inner, module, name, python2, dotted)
}

/// Whether the audit event at hand comes from a load of torshi.
#[pyfunction]
fn is_auditing() -> bool {
    make::is_auditing()
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(take_pickle, module)?)?;
    module.add_function(wrap_pyfunction!(vet, module)?)?;
    module.add_function(wrap_pyfunction!(find_class, module)?)?;
    module.add_function(wrap_pyfunction!(is_auditing, module)?)
}
