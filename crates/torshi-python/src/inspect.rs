//! `inspect` and `disassemble`: bytes to a description of them. Nothing is imported, built or called.

use crate::decoder::{extension_names, Extensions};
use crate::policy::{limits as limits_of, PyPolicy};
use crate::source::stream_of;
use pyo3::prelude::*;
use torshi_core::disassemble::disassemble as disassembly;
use torshi_core::report::inspect as report;
use torshi_core::symbolic::{Encoding, Settings};

/// A report on one pickle, as JSON.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None))]
fn inspect(
    py: Python<'_>, data: &Bound<'_, PyAny>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let extensions = Extensions::default();
    let settings = Settings {
        encoding: Encoding::Ascii,
        fix_imports: true,
        // Who looks need not answer persistent ids: they are shown as what they are.
        persistent: true,
        extension: &|code| extension_names(py, code, &extensions),
        earlier: 0,
        recall: &|_| None,
    };
    let stream = stream_of(data)?;
    Ok(report(stream.as_slice(), &policy.inner, &limits_of(limits)?, &settings).to_json())
}

/// The opcodes of one pickle, a line each, as far as it can be read.
#[pyfunction]
fn disassemble(data: &Bound<'_, PyAny>) -> PyResult<String> {
    let stream = stream_of(data)?;
    let done = disassembly(stream.as_slice());
    Ok(match done.fault {
        Some(fault) => format!("{}{fault}\n", done.text),
        None => done.text,
    })
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(inspect, module)?)?;
    module.add_function(wrap_pyfunction!(disassemble, module)?)
}
