//! Files of `save` and `load`: streams on their way to a file, digested as they go, and files with a manifest on their
//! way back. What the bytes around the stream mean is `torshi-file`'s; trust is decided in Python's half.

mod load;
mod rewrite;
mod row;
mod save;
mod seal;
mod sink;

pub use sink::{FileSink, Run};

use pyo3::prelude::*;

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    save::register(module)?;
    rewrite::register(module)?;
    seal::register(module)?;
    row::register(module)?;
    load::register(module)
}

/// An error of the system as Python has it, with its number.
fn raised(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => Python::attach(|py| {
            let text = py.import("os").and_then(|os| os.getattr("strerror")?.call1((number,))?.extract::<String>());
            pyo3::exceptions::PyOSError::new_err((number, text.unwrap_or_else(|_| error.to_string())))
        }),
        None => error.into(),
    }
}
