//! `torshi.digest`: objects into 32 bytes that are the same for the same content, wherever and whenever.
//!
//! An object is walked into a form (`form`), whose BLAKE3 digest it is. `walk` knows what was met before and writes builtin
//! values, `unordered` sets and dicts, `class` and `instance` everything else, `array` numpy's arrays, `bulk` hashes
//! long runs of bytes, in which `elements` makes numbers the same everywhere. `docs/digest.md` has the forms, which are frozen. Nothing here makes a pickle stream.
mod array;
mod bulk;
mod class;
mod elements;
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

/// Return 32 bytes that identify what an object holds: the same for equal content, in every process and on every machine.
///
/// Which object it is, who else refers to it, the order in which dicts and sets were filled, the hash seed and how arrays
/// lie in memory do not count; types do: ``1``, ``1.0`` and ``True`` differ. An object of a class with a method
/// ``__torshi_digest__`` is digested as what that returns. The form is frozen: docs/digest.md.
///
/// Args:
///     obj: Anything that can be pickled.
///
/// Raises:
///     PicklingError: The object, or something in it, cannot be pickled; ``path`` says which one.
///     TypeError, AttributeError: The same, as stock pickle raises them, with a note that says which object.
#[pyfunction]
#[pyo3(signature = (obj, /))]
fn digest<'py>(obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = obj.py();
    match walk::Walker::new(py)?.digest(obj) {
        Ok(digest) => call::bytes(py, &digest),
        Err(failed) => Err(pickler::raised(py, failed, "digesting")),
    }
}
