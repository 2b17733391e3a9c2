//! Placeholders: what a load puts in the place of names that are not there, where the caller asked for that, and of what
//! the stream makes of them. What is done to one is recorded by `torshi._placeholder`, nothing is run. Whether a name may
//! stand in the stream at all was decided before, by the policy.

use super::{Built, Object, Objects};
use crate::ffi::make;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use torshi_core::domain::Items;

static KIND: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether a class is a placeholder for a name that is not there.
pub fn is_placeholder(class: &Bound<'_, PyAny>) -> bool {
    let py = class.py();
    KIND.get(py).is_some_and(|kind| class.get_type().is(kind.bind(py)))
}

/// What recording needs; there only where a name of the stream is not.
pub struct Placeholders<'py> {
    module: Bound<'py, PyModule>,
    getattr: Object<'py>,
    /// `copyreg._reconstructor`, `__newobj__` and `__newobj_ex__`.
    makers: [Object<'py>; 3],
}

impl<'py> Placeholders<'py> {
    pub fn new(py: Python<'py>) -> PyResult<Self> {
        let (copyreg, builtins) = (py.import("copyreg")?, py.import("builtins")?);
        let maker = |name: &str| copyreg.getattr(name);
        Ok(Placeholders {
            module: py.import("torshi._placeholder")?,
            getattr: builtins.getattr("getattr")?,
            makers: [maker("_reconstructor")?, maker("__newobj__")?, maker("__newobj_ex__")?],
        })
    }

    /// The placeholder for a name.
    pub fn of(&self, module: &str, qualname: &str) -> PyResult<Object<'py>> {
        let py = self.module.py();
        let names = (make::text(py, module.as_bytes())?, make::text(py, qualname.as_bytes())?);
        self.module.getattr(pyo3::intern!(py, "placeholder_for"))?.call1(names)
    }

    fn made(&self, how: &str, class: &Object<'py>, arguments: &Object<'py>) -> PyResult<Object<'py>> {
        self.module.getattr(pyo3::intern!(self.module.py(), "made"))?.call1((how, class, arguments))
    }
}

impl<'py> Objects<'py, '_> {
    fn is_made_of_placeholder(&self, target: &Object<'py>) -> bool {
        self.names.placeholders.is_some() && is_placeholder(&target.get_type())
    }

    /// What a call comes to that only a placeholder can answer: one of it, or of what makes instances or looks up
    /// attributes with it.
    pub(super) fn call_of_placeholder(
        &self, callable: &Object<'py>, arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Object<'py>>> {
        let Some(known) = &self.names.placeholders else { return Ok(None) };
        if is_placeholder(callable) {
            return known.made("call", callable, arguments).map(Some);
        }
        let Ok(first) = arguments.get_item(0) else { return Ok(None) };
        if !is_placeholder(&first) {
            return Ok(None);
        }
        if callable.is(&known.getattr) && arguments.len() == 2 {
            let name = arguments.get_item(1)?;
            let attribute = known.module.getattr(pyo3::intern!(self.py, "attribute"))?;
            return attribute.call1((first, name)).map(Some);
        }
        let how = known.makers.iter().zip(["rebuild", "new", "new_ex"]).find(|(maker, _)| callable.is(maker));
        match how {
            Some((_, how)) => known.made(how, &first, &arguments.get_slice(1, arguments.len())).map(Some),
            None => Ok(None),
        }
    }

    /// What constructing a placeholder comes to, if it is one.
    pub(super) fn construct_placeholder(
        &self, class: &Bound<'py, PyType>, arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Object<'py>>> {
        let Some(known) = self.names.placeholders.as_ref().filter(|_| is_placeholder(class)) else { return Ok(None) };
        let made = match keywords {
            None => known.made("new", class, arguments),
            Some(keywords) => {
                known.made("new_ex", class, PyTuple::new(self.py, [arguments.as_any(), keywords])?.as_any())
            }
        };
        made.map(Some)
    }

    /// Records items, if they are a placeholder's; whether they were.
    pub(super) fn record_items(
        &self, target: &Object<'py>, what: &str, items: &mut Items<'_, Object<'py>>,
    ) -> Built<bool> {
        let Some(known) = self.names.placeholders.as_ref().filter(|_| self.is_made_of_placeholder(target)) else {
            return Ok(false);
        };
        let list = make::list_of(self.py, items.drain())?;
        known.module.getattr(pyo3::intern!(self.py, "filled"))?.call1((target, what, list))?;
        Ok(true)
    }
}

/// Tells the class of all placeholder classes.
#[pyfunction]
fn set_placeholder_kind(py: Python<'_>, kind: Bound<'_, PyType>) {
    KIND.get_or_init(py, || kind.unbind());
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_placeholder_kind, module)?)
}

/// Whether a load puts placeholders in the place of what is not there.
///
/// # Errors
///
/// ValueError: `missing` is neither of the two.
pub fn wants_placeholders(missing: &str) -> PyResult<bool> {
    match missing {
        "error" => Ok(false),
        "placeholder" => Ok(true),
        _ => {
            let message = format!("missing wants 'error' or 'placeholder', not {missing:?}");
            Err(PyValueError::new_err(message))
        }
    }
}
