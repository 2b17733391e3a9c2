//! Seals as Python has them: keys as bytes in, records out; which keys there are and what they are trusted with is
//! Python's half to know.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use torshi_file::manifest::Manifest;
use torshi_file::seal::{id_of, message, parse, render, Key, Kind, Seal};

pub fn kind_named(name: &str) -> PyResult<Kind> {
    Kind::named(name).ok_or_else(|| PyValueError::new_err(format!("no such kind of key: {name}")))
}

pub fn key_of(bytes: &[u8]) -> PyResult<Key> {
    Key::try_from(bytes).map_err(|_| PyValueError::new_err("a key has 32 bytes"))
}

/// The record of a seal over a manifest, the stream it is of, and the records of the seals before it.
#[pyfunction]
fn make_seal<'py>(
    py: Python<'py>, kind: &str, secret: &[u8], manifest: &[u8], before: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let parsed = Manifest::parse(manifest).map_err(PyValueError::new_err)?;
    let before = parse(before).map_err(PyValueError::new_err)?;
    let seal = Seal::make(kind_named(kind)?, &key_of(secret)?, &message(&parsed, manifest, &before));
    Ok(PyBytes::new(py, &render(&[seal])))
}

/// What the key with this secret is known by: for a pair the public half.
#[pyfunction]
fn key_id<'py>(py: Python<'py>, kind: &str, secret: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &id_of(kind_named(kind)?, &key_of(secret)?)))
}

/// Adds the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(make_seal, module)?)?;
    module.add_function(wrap_pyfunction!(key_id, module)?)
}
