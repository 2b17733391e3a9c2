//! torshi._native: the Python face of the pickle machine. Arguments come in here and objects go out;
//! what streams mean is `torshi-core`'s, what they become is `decoder`'s, what makes them `encoder`'s.

mod decoder;
mod digest;
mod encoder;
mod errors;
mod ffi;
mod file;
mod gate;
mod inspect;
mod pickler;
mod policy;
mod regular;
mod renames;
mod scan;
mod source;
mod spelling;
mod unpickler;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<policy::PyPolicy>()?;
    file::register(module)?;
    gate::register(module)?;
    inspect::register(module)?;
    pickler::register(module)?;
    decoder::register(module)?;
    digest::register(module)?;
    renames::register(module)?;
    scan::register(module)?;
    spelling::register(module)?;
    unpickler::register(module)
}
