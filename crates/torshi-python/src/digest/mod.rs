//! `torshi.digest`: objects into 32 bytes that are the same for the same content, wherever and whenever.
//!
//! An object is walked into a form (`form`), whose BLAKE3 digest it is. `walk` knows what was met before and writes builtin
//! values, `unordered` sets and dicts, `class` and `instance` everything else, `array` numpy's arrays, `bulk` hashes
//! long runs of bytes. `docs/digest.md` has the forms, which are frozen. Nothing here makes a pickle stream.
mod array;
mod bulk;
mod class;
mod form;
mod instance;
mod unordered;
mod walk;

use crate::ffi::call;
use crate::pickler;
use pyo3::prelude::*;

/// Adds the function of this file to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(digest, m)?)
}

/// Return the digest of what an object holds.
#[pyfunction]
#[pyo3(signature = (obj, /))]
fn digest<'py>(obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = obj.py();
    match walk::Walker::new(py)?.digest(obj) {
        Ok(digest) => call::bytes(py, &digest),
        Err(failed) => Err(pickler::raised(py, failed, "digesting")),
    }
}
