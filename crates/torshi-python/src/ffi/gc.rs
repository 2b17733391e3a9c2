//! Pausing the cyclic collector while objects are built: new objects cannot be garbage yet, and on
//! Python 3.11 going through them again and again is up to half of a load. Always undone on the way out.

use pyo3::ffi;
use pyo3::prelude::*;

/// Keeps the collector off while it lives.
pub struct Pause<'py> {
    was_on: bool,
    _attached: Python<'py>,
}

impl<'py> Pause<'py> {
    /// Turns the collector off.
    pub fn new(py: Python<'py>) -> Self {
        // SAFETY: the interpreter is attached (`py`).
        let was_on = unsafe { ffi::PyGC_Disable() } == 1;
        Pause { was_on, _attached: py }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: the interpreter is attached: a `Pause` lives no longer than its token.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
