//! What `torshi.guard` asks for where stock pickle does the building: the next pickle of a file as bytes, a check
//! of these bytes with the settings of that load, and the lookup of one name; and what learning asks for, the names
//! of a pickle with their uses. Builds nothing.

use crate::decoder::{extension_names, find_class as look_up, vet as vet_stream};
use crate::decoder::{Extensions, Request, Stream, TextCodec};
use crate::errors;
use crate::ffi::make;
use crate::policy::{limits as limits_of, PyPolicy};
use crate::renames::Moves;
use crate::source::{stream_of, FileHooks};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use std::borrow::Cow;
use torshi_core::reader::{Progress, Scanner};
use torshi_core::symbolic::{is_wrapper, usage, verify, verify_joblib, Encoding, Origin, Settings};

/// The bytes of the next pickle of a file, which then stands right behind it; of what is no whole pickle, the rest.
#[pyfunction]
#[pyo3(signature = (file, limits=None))]
fn take_pickle<'py>(
    py: Python<'py>, file: &Bound<'py, PyAny>, limits: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let hooks = FileHooks::of(file)?;
    let mut stream = hooks.stream(py, &mut Vec::new(), &limits_of(limits)?)?;
    stream.join()?;
    let data = stream.as_slice();
    let end = match (&stream, Scanner::default().advance(data)) {
        (Stream::Bytes(..), Ok(Progress::Complete(end))) => end,
        _ => data.len(),
    };
    hooks.consumed(py, &stream, end)?;
    Ok(PyBytes::new(py, &data[..end]))
}

/// Raises what a load of the bytes with these settings would raise before building; builds nothing. In joblib's
/// layout the bytes of arrays follow where joblib reads them. Gives the bytes the pickle has.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None, *, fix_imports=true, encoding="ASCII", errors="strict", persistent=false, joblib=false))]
#[allow(clippy::too_many_arguments)] // the settings of a load
fn vet(
    py: Python<'_>, data: &Bound<'_, PyAny>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>, fix_imports: bool,
    encoding: &str, errors: &str, persistent: bool, joblib: bool,
) -> PyResult<usize> {
    let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
    let request = Request {
        policy: &policy.inner,
        limits: &limits_of(limits)?,
        codec: &codec,
        fix_imports,
        buffers: None,
        find_class: None,
        placeholders: false,
        // Whether there is one is all a check asks.
        persistent_load: persistent.then(|| py.None().into_bound(py)),
        protocol: None,
    };
    let stream = stream_of(data)?;
    vet_stream(py, stream.as_slice(), &request, joblib)
}

/// The names that the pickle beginning at `start` uses, as JSON, with what it does with each, what the policy does
/// not allow, and the bytes it has. One with joblib's array wrappers is read in joblib's layout.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None, start=0))]
fn survey(
    py: Python<'_>, data: &Bound<'_, PyAny>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>, start: usize,
) -> PyResult<String> {
    let (extensions, moves) = (Extensions::default(), Moves::now(py));
    let settings = Settings {
        encoding: Encoding::Ascii,
        fix_imports: true,
        persistent: true,
        extension: &|code| extension_names(py, code, &extensions),
        renamed: &|module, name, listed| moves.find(module, name, listed),
        earlier: 0,
        recall: &|_| None,
    };
    let (stream, limits) = (stream_of(data)?, limits_of(limits)?);
    let pickle = stream.as_slice().get(start..).unwrap_or_default();
    let mut outcome = verify(pickle, &policy.inner, &limits, &settings);
    if outcome.plan.globals.iter().any(|global| is_wrapper(&global.module, &global.qualname)) {
        let laid = verify_joblib(pickle, &policy.inner, &limits, &settings);
        if !laid.foreign.is_empty() {
            outcome = laid.outcome;
        }
    }
    moves.settle()?;
    if let Some(fault) = outcome.fault {
        return Err(errors::fault(py, &fault, pickle));
    }
    let globals = outcome.plan.globals.iter().filter(|global| global.origin != Origin::Implied);
    let globals = globals.map(|global| {
        let uses: Vec<_> =
            usage::WORDS.iter().filter(|(bit, _)| global.uses & bit != 0).map(|(_, word)| word).collect();
        json!({
            "name": format!("{}:{}", global.module, global.qualname),
            "offset": global.site.offset,
            "uses": uses,
            "allowed": global.denial.is_none(),
        })
    });
    let record = json!({
        "size": outcome.plan.end,
        "globals": globals.collect::<Vec<_>>(),
        "findings": outcome.findings,
    });
    Ok(record.to_string())
}

/// The object of a name that the policy allows, imported if need be.
#[pyfunction]
fn find_class<'py>(
    py: Python<'py>, policy: &PyPolicy, module: &str, name: &str, python2: bool, dotted: bool,
) -> PyResult<Bound<'py, PyAny>> {
    look_up(py, &policy.inner, module, name, python2, dotted, false)
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
    module.add_function(wrap_pyfunction!(survey, module)?)?;
    module.add_function(wrap_pyfunction!(find_class, module)?)?;
    module.add_function(wrap_pyfunction!(is_auditing, module)?)
}
