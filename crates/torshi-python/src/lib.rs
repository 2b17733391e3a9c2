//! torshi._native: the Python face of the pickle machine.
use pyo3::prelude::*;

mod encoder;
mod ffi;
mod pickler;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    pickler::register(m)
}
