//! Tells the crate which CPython it is built for (`cfg(Py_3_12)` and so on): some innards that
//! `ffi/` reads are laid out differently from version to version.
fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
