//! Rows of a store: an object into a short stream and its names, and bytes into a sealed row and back. Which key seals and
//! what a row may use is Python's half to know; nothing here builds an object.

use super::seal::key_of;
use crate::encoder::memo::Memo;
use crate::encoder::writer::Writer;
use crate::encoder::{Encoder, Names};
use crate::pickler::{hooks, raised};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::cell::Cell;
use std::rc::Rc;

/// The protocol of rows.
const PROTOCOL: u8 = 5;
/// Bytes of the proof in a row.
const PROOF: usize = 16;

/// The stream of an object and the names in it, each once, None if there are none. With `short` it is None instead if the
/// stream does not fit in one frame, 64 KiB, and no more of it is made than that.
#[pyfunction]
#[pyo3(signature = (obj, short=false))]
#[allow(clippy::type_complexity)] // what Python sees: a pair, or None
fn dumps_named<'py>(
    py: Python<'py>, obj: &Bound<'py, PyAny>, short: bool,
) -> PyResult<Option<(Bound<'py, PyAny>, Option<Bound<'py, PyList>>)>> {
    let given_up = Rc::new(Cell::new(false));
    let writer = match short {
        true => Writer::short(Rc::clone(&given_up)),
        false => Writer::new(None),
    };
    let names = Names::default();
    let encoder = Encoder::new(py, PROTOCOL, true, writer, Memo::default(), hooks(py, PROTOCOL, None, false)?, false)?;
    let bytes = match encoder.telling(Rc::clone(&names)).dump_once(obj) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => PyBytes::new(py, b"").into_any(),
        Err(_) if given_up.get() => return Ok(None),
        Err(failed) => return Err(raised(py, failed, "pickling")),
    };
    let mut names = names.take();
    if names.is_empty() {
        return Ok(Some((bytes, None)));
    }
    names.sort_unstable();
    names.dedup();
    Ok(Some((bytes, Some(PyList::new(py, names)?))))
}

/// A key for one purpose, made of a secret: of a `context` that names the purpose, and says nothing about the secret.
#[pyfunction]
fn derive_key<'py>(py: Python<'py>, context: &str, secret: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &blake3::derive_key(context, secret))
}

/// The keyed hash of some parts. Each stands behind its length, so that parts cannot run into each other.
fn keyed(secret: &[u8; 32], parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

/// The keyed BLAKE3 hash of some parts, 32 bytes; a secret has 32 too.
#[pyfunction]
#[pyo3(signature = (secret, parts, /))]
fn keyed_digest<'py>(
    py: Python<'py>, secret: &[u8], parts: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Ok(PyBytes::new(py, keyed(&key_of(secret)?, &parts).as_bytes()))
}

/// A row: head, proof and body. The proof is over all of it, and over where it stands: the store and the key.
#[pyfunction]
fn seal_row<'py>(
    py: Python<'py>, secret: &[u8], store: &[u8], key: &[u8], head: &[u8], body: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let proof = keyed(&key_of(secret)?, &[store, key, head, body]);
    PyBytes::new_with(py, head.len() + PROOF + body.len(), |row| {
        let (first, rest) = row.split_at_mut(head.len());
        first.copy_from_slice(head);
        rest[..PROOF].copy_from_slice(&proof.as_bytes()[..PROOF]);
        rest[PROOF..].copy_from_slice(body);
        Ok(())
    })
}

/// The body of a row whose head has that length; None if the secret did not make its proof, for this store and key.
#[pyfunction]
fn unseal_row<'py>(
    py: Python<'py>, secret: &[u8], store: &[u8], key: &[u8], head: usize, row: &[u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let Some((head, rest)) = row.split_at_checked(head) else { return Ok(None) };
    let Some((proof, body)) = rest.split_at_checked(PROOF) else { return Ok(None) };
    let right = keyed(&key_of(secret)?, &[store, key, head, body]);
    let proof: [u8; PROOF] = proof.try_into().map_err(|_| PyValueError::new_err("a proof has 16 bytes"))?;
    // All bytes are looked at, wherever the first difference is: how long it takes says nothing.
    let difference = right.as_bytes()[..PROOF].iter().zip(proof).fold(0, |sum, (a, b)| sum | (a ^ b));
    Ok((std::hint::black_box(difference) == 0).then(|| PyBytes::new(py, body)))
}

/// Adds the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dumps_named, module)?)?;
    module.add_function(wrap_pyfunction!(derive_key, module)?)?;
    module.add_function(wrap_pyfunction!(keyed_digest, module)?)?;
    module.add_function(wrap_pyfunction!(seal_row, module)?)?;
    module.add_function(wrap_pyfunction!(unseal_row, module)?)
}
