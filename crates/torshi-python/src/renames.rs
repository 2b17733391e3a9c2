//! The renames in force: what the program said (`torshi.renames`) and what installed libraries say of themselves, as
//! tables of the core, and one view of both for each load, so that its check and its build go by the same names. What
//! libraries say is read when a name is not trusted or not there, and is data: no library is imported for it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock};
use torshi_core::renames::Renames;

type Entries = Vec<(String, String)>;

static SAID: RwLock<Option<Arc<Renames>>> = RwLock::new(None);
static INSTALLED: PyOnceLock<Renames> = PyOnceLock::new();

fn table(entries: &Entries) -> PyResult<Renames> {
    let pairs = entries.iter().map(|(old, new)| (old.as_str(), new.as_str()));
    Renames::of(pairs).map_err(PyValueError::new_err)
}

/// The renames of one load.
pub struct Moves<'py> {
    py: Python<'py>,
    said: Option<Arc<Renames>>,
    /// Names that are trusted as they stand, and turned out not to be there.
    gone: Entries,
    /// What went wrong while the libraries' tables were read, for who asked for the load.
    error: RefCell<Option<Box<PyErr>>>,
}

impl<'py> Moves<'py> {
    /// Those in force now.
    pub fn now(py: Python<'py>) -> Self {
        let said = SAID.read().unwrap_or_else(PoisonError::into_inner).clone();
        Moves { py, said, gone: Vec::new(), error: RefCell::default() }
    }

    fn installed(&self) -> PyResult<&'py Renames> {
        INSTALLED.get_or_try_init(self.py, || {
            let module = self.py.import(pyo3::intern!(self.py, "torshi._renames"))?;
            table(&module.getattr(pyo3::intern!(self.py, "installed"))?.call0()?.extract()?)
        })
    }

    fn is_gone(&self, module: &str, name: &str) -> bool {
        self.gone.iter().any(|(m, n)| m == module && n == name)
    }

    /// What a name is called today, if it was renamed. `listed`: the policy lists it as it stands, so that what
    /// libraries say does not count while it is there.
    pub fn find(&self, module: &str, name: &str, listed: bool) -> Option<(String, String)> {
        let said = self.said.as_ref().and_then(|said| said.find(module, name));
        let (at, listed) = match &said {
            Some((module, name)) => ((module.as_str(), name.as_str()), true),
            None => ((module, name), listed),
        };
        if listed && !self.is_gone(at.0, at.1) {
            return said;
        }
        match self.installed() {
            Ok(installed) => installed.find(at.0, at.1).or(said),
            Err(error) => {
                self.error.replace(Some(Box::new(error)));
                said
            }
        }
    }

    /// Raises what finding names ran into.
    pub fn settle(&self) -> PyResult<()> {
        self.error.take().map_or(Ok(()), |error| Err(*error))
    }

    /// Takes note of a trusted name that is not there; whether a library says where it went, so that the stream is to be
    /// checked again under the new name.
    pub fn note_gone(&mut self, module: &str, name: &str) -> PyResult<bool> {
        if self.is_gone(module, name) || self.installed()?.find(module, name).is_none() {
            return Ok(false);
        }
        self.gone.push((module.to_owned(), name.to_owned()));
        Ok(true)
    }
}

/// Puts the program's table in the place of the one before.
#[pyfunction]
fn set_renames(entries: Entries) -> PyResult<()> {
    let fresh = table(&entries)?;
    let fresh = (!fresh.is_empty()).then(|| Arc::new(fresh));
    *SAID.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    Ok(())
}

/// Raises ValueError for entries that are no table.
#[pyfunction]
fn check_renames(entries: Entries) -> PyResult<()> {
    table(&entries).map(drop)
}

/// What a name (`module:qualname`) is called today by the program's table, in the same form; None if it was not renamed.
#[pyfunction]
fn renamed(py: Python<'_>, name: &str) -> Option<String> {
    let (module, qualname) = name.split_once(':')?;
    Moves::now(py).find(module, qualname, true).map(|(module, qualname)| format!("{module}:{qualname}"))
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_renames, module)?)?;
    module.add_function(wrap_pyfunction!(check_renames, module)?)?;
    module.add_function(wrap_pyfunction!(renamed, module)?)
}
