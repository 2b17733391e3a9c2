//! `inspect` and `disassemble`: bytes to a description of them. Nothing is imported, built or called.

use crate::decoder::{extension_names, Extensions};
use crate::policy::{limits as limits_of, PyPolicy};
use crate::renames::Moves;
use crate::source::stream_of;
use pyo3::prelude::*;
use torshi_core::disassemble::disassemble as disassembly;
use torshi_core::report::{foreign, inspect as report};
use torshi_core::symbolic::{Encoding, Settings};

/// A report on the pickle that begins at `start`, as JSON; its offsets count from there.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None, start=0))]
fn inspect(
    py: Python<'_>, data: &Bound<'_, PyAny>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>, start: usize,
) -> PyResult<String> {
    let (extensions, moves) = (Extensions::default(), Moves::now(py));
    let settings = Settings {
        encoding: Encoding::Ascii,
        fix_imports: true,
        // Who looks need not answer persistent ids: they are shown as what they are.
        persistent: true,
        extension: &|code| extension_names(py, code, &extensions),
        renamed: &|module, name, listed| moves.find(module, name, listed),
        earlier: 0,
        recall: &|_| None,
    };
    let stream = stream_of(data)?;
    let pickle = stream.as_slice().get(start..).unwrap_or_default();
    let told = report(pickle, &policy.inner, &limits_of(limits)?, &settings).to_json();
    moves.settle()?;
    Ok(told)
}

/// The opcodes of the pickle that begins at `start`, a line each; why it cannot be read on, if so; and
/// the bytes it has.
#[pyfunction]
#[pyo3(signature = (data, start=0))]
fn disassemble(data: &Bound<'_, PyAny>, start: usize) -> PyResult<(String, Option<String>, usize)> {
    let stream = stream_of(data)?;
    let pickle = stream.as_slice().get(start..).unwrap_or_default();
    let done = disassembly(pickle);
    let fault = done.fault.map(|fault| match foreign(pickle, &fault) {
        Some(what) => format!("not a pickle: this is {what}"),
        None => fault.to_string(),
    });
    Ok((done.text, fault, pickle.len() - done.trailing))
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(inspect, module)?)?;
    module.add_function(wrap_pyfunction!(disassemble, module)?)
}
