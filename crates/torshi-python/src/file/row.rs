//! Rows of a store: an object into a short stream and its names, and bytes into a sealed row and back. Which key seals and
//! what a row may use is Python's half to know; nothing here builds an object.

use super::save::stand_ins;
use super::seal::key_of;
use crate::encoder::memo::Memo;
use crate::encoder::writer::Writer;
use crate::encoder::{Encoder, Names};
use crate::ffi::watched::{Watched, WORDS};
use crate::ffi::{make, peek};
use crate::pickler::{hooks, raised};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The protocol of rows.
const PROTOCOL: u8 = 5;
/// Bytes of the proof in a row.
const PROOF: usize = 16;
/// What stands before text in a key, and how long text is that surely fits.
const TEXT: u8 = 2;
const SHORT_KEY: usize = 1000;

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
    let mut hooks = hooks(py, PROTOCOL, None, false)?;
    // Asked at every row: where no library has been imported, there is nothing that another call would stand for.
    if make::imported(pyo3::intern!(py, "torch").as_any())?.is_some() {
        hooks.stand_ins = Some(stand_ins(py)?);
    }
    let encoder = Encoder::new(py, PROTOCOL, true, writer, Memo::default(), hooks, false)?;
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
fn keyed_digest<'py>(py: Python<'py>, secret: &[u8], parts: Vec<Bound<'py, PyBytes>>) -> PyResult<Bound<'py, PyBytes>> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Ok(PyBytes::new(py, keyed(&key_of(secret)?, &parts).as_bytes()))
}

fn seal<'py>(
    py: Python<'py>, secret: &[u8; 32], store: &[u8], key: &[u8], head: &[u8], body: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let proof = keyed(secret, &[store, key, head, body]);
    PyBytes::new_with(py, head.len() + PROOF + body.len(), |row| {
        let (first, rest) = row.split_at_mut(head.len());
        first.copy_from_slice(head);
        rest[..PROOF].copy_from_slice(&proof.as_bytes()[..PROOF]);
        rest[PROOF..].copy_from_slice(body);
        Ok(())
    })
}

/// A row: head, proof and body. The proof is over all of it, and over where it stands: the store and the key.
#[pyfunction]
fn seal_row<'py>(
    py: Python<'py>, secret: &[u8], store: &[u8], key: &[u8], head: &[u8], body: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    seal(py, &key_of(secret)?, store, key, head, body)
}

/// The body of a row whose head has that length, if its proof is right for this store and key.
fn opened<'r>(secret: &[u8; 32], store: &[u8], key: &[u8], head: usize, row: &'r [u8]) -> Option<&'r [u8]> {
    let (head, rest) = row.split_at_checked(head)?;
    let (proof, body) = rest.split_at_checked(PROOF)?;
    let right = keyed(secret, &[store, key, head, body]);
    // All bytes are looked at, wherever the first difference is: how long it takes says nothing.
    let difference = right.as_bytes()[..PROOF].iter().zip(proof).fold(0, |sum, (a, b)| sum | (a ^ b));
    (std::hint::black_box(difference) == 0).then_some(body)
}

/// The body of a row whose head has that length; None if the secret did not make its proof, for this store and key.
#[pyfunction]
fn unseal_row<'py>(
    py: Python<'py>, secret: &[u8], store: &[u8], key: &[u8], head: usize, row: &[u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    Ok(opened(&key_of(secret)?, store, key, head, row).map(|body| PyBytes::new(py, body)))
}

/// The bytes of a key that is text, in its space, as most keys are: None for any other, and for text that has zeros or is
/// long. The layout is that of Python's half, which says what it means.
#[pyfunction]
fn text_key<'py>(py: Python<'py>, space: &[u8], key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if !key.is_exact_instance_of::<PyString>() {
        return Ok(None);
    }
    let Some(peek::Text::Ascii(text)) = peek::text(key) else { return Ok(None) };
    if text.len() > SHORT_KEY || text.contains(&0) {
        return Ok(None);
    }
    let start = space.len() + 1;
    PyBytes::new_with(py, start + text.len() + 1, |bytes| {
        bytes[..space.len()].copy_from_slice(space);
        bytes[space.len()] = TEXT;
        bytes[start..][..text.len()].copy_from_slice(text);
        Ok(())
    })
    .map(Some)
}

/// What most rows of a store are: sealed, and with no names but those of the default policy. Anything else is left to
/// Python's half, and so is every error.
#[pyclass(module = "torshi._native", frozen)]
struct RowSeal {
    secret: [u8; 32],
    store: Vec<u8>,
    head: Vec<u8>,
}

#[pymethods]
impl RowSeal {
    /// For the rows of one store, with the head that they begin with.
    #[new]
    fn new(secret: &[u8], store: &[u8], head: &[u8]) -> PyResult<Self> {
        Ok(RowSeal { secret: key_of(secret)?, store: store.to_vec(), head: head.to_vec() })
    }

    /// The object of a row, under the default policy; NotImplemented if the row is another than that, or not sealed with
    /// this secret.
    fn load<'py>(&self, py: Python<'py>, key: &[u8], row: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match row
            .starts_with(&self.head)
            .then(|| opened(&self.secret, &self.store, key, self.head.len(), row))
            .flatten()
        {
            Some(body) => crate::unpickler::loads_plainly(py, PyBytes::new(py, body).as_any()),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    /// The row of an object. If it is none of that kind, what `dumps_named` gives of it.
    #[pyo3(signature = (key, obj, short=false))]
    fn dump<'py>(
        &self, py: Python<'py>, key: &[u8], obj: &Bound<'py, PyAny>, short: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = dumps_named(py, obj, short)?;
        match &made {
            Some((bytes, None)) => {
                let body = bytes.cast::<PyBytes>()?.as_bytes();
                seal(py, &self.secret, &self.store, key, &self.head, body).map(Bound::into_any)
            }
            _ => Ok(made.into_pyobject(py)?.into_any()),
        }
    }
}

/// Whether a file has changed at its beginning, as seen through memory: no call of the system is made.
#[pyclass(module = "torshi._native", frozen)]
struct Watch {
    watched: Watched,
    noted: [AtomicU64; WORDS],
}

#[pymethods]
impl Watch {
    /// Of a file by its descriptor, which stays open and is not closed here. The file must not be cut while it is watched.
    #[new]
    fn new(fd: i32) -> PyResult<Self> {
        let watch = Watch { watched: Watched::of(fd)?, noted: Default::default() };
        watch.note();
        Ok(watch)
    }

    /// Keeps what stands there now.
    fn note(&self) {
        for (noted, word) in self.noted.iter().zip(self.watched.words()) {
            noted.store(word, Ordering::Relaxed);
        }
    }

    /// Whether what was kept stands there still.
    fn is_same(&self) -> bool {
        self.noted.iter().zip(self.watched.words()).all(|(noted, word)| noted.load(Ordering::Relaxed) == word)
    }
}

/// Adds the functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dumps_named, module)?)?;
    module.add_class::<Watch>()?;
    module.add_class::<RowSeal>()?;
    module.add_function(wrap_pyfunction!(text_key, module)?)?;
    module.add_function(wrap_pyfunction!(derive_key, module)?)?;
    module.add_function(wrap_pyfunction!(keyed_digest, module)?)?;
    module.add_function(wrap_pyfunction!(seal_row, module)?)?;
    module.add_function(wrap_pyfunction!(unseal_row, module)?)
}
