//! `_native.Policy`: the core's policy as a Python object, and the way from `trust=` to one.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use torshi_core::limits::Limits;
use torshi_core::policy::{Policy, PolicyError, Verdict};

/// An immutable list of what is allowed.
#[pyclass(name = "Policy", module = "torshi._native", frozen, from_py_object)]
#[derive(Clone)]
pub struct PyPolicy {
    pub inner: Policy,
}

fn refused(error: PolicyError) -> PyErr {
    PyValueError::new_err(error.message)
}

#[pymethods]
impl PyPolicy {
    /// All tables: builtins, the standard library's value types, numpy.
    #[staticmethod]
    fn default() -> Self {
        PyPolicy { inner: Policy::default() }
    }

    /// Builtins and the standard library's value types.
    #[staticmethod]
    fn builtins() -> Self {
        PyPolicy { inner: Policy::builtins() }
    }

    /// No names at all.
    #[staticmethod]
    fn empty() -> Self {
        PyPolicy { inner: Policy::empty() }
    }

    /// Everything, as stock pickle.
    #[staticmethod]
    fn unrestricted() -> Self {
        PyPolicy { inner: Policy::unrestricted() }
    }

    /// Reads a policy from TOML text.
    #[staticmethod]
    fn from_toml(text: &str) -> PyResult<Self> {
        Ok(PyPolicy { inner: Policy::from_toml(text).map_err(refused)? })
    }

    /// The policy as TOML text.
    fn to_toml(&self) -> String {
        self.inner.to_toml()
    }

    /// This policy and one more entry.
    fn allow(&self, pattern: &str) -> PyResult<Self> {
        Ok(PyPolicy { inner: self.inner.allow(pattern).map_err(refused)? })
    }

    /// This policy without what an entry names.
    fn deny(&self, pattern: &str) -> PyResult<Self> {
        Ok(PyPolicy { inner: self.inner.deny(pattern).map_err(refused)? })
    }

    /// What either allows, without what either denies.
    fn union(&self, other: &PyPolicy) -> Self {
        PyPolicy { inner: self.inner.union(&other.inner) }
    }

    /// The row of a global, or None.
    fn find<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Verdict::Allowed(row) = self.inner.find(module, name) else { return Ok(None) };
        let found = PyDict::new(py);
        found.set_item("table", row.table)?;
        found.set_item("reason", &row.reason)?;
        found.set_item("call", row.call.is_some())?;
        found.set_item("construct", row.construct.is_some())?;
        found.set_item("state", row.state.is_some())?;
        found.set_item("value", row.value)?;
        found.set_item("items", row.items)?;
        found.set_item("append", row.append)?;
        found.set_item("add", row.add)?;
        Ok(Some(found))
    }

    /// Whether it allows everything.
    fn is_unrestricted(&self) -> bool {
        self.inner.is_unrestricted()
    }

    fn __eq__(&self, other: &PyPolicy) -> bool {
        self.inner == other.inner
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.inner)
    }
}

/// A trust list seen before: its items, by identity, and what they came to.
struct Known {
    items: Vec<Py<PyAny>>,
    policy: Policy,
}

/// The last few trust lists: programs use the same one for every message.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
const MOST_KNOWN: usize = 8;

/// The policy of a load's `trust` and `type` arguments.
pub fn resolve(py: Python<'_>, trust: Option<&Bound<'_, PyAny>>, kind: Option<&Bound<'_, PyAny>>) -> PyResult<Policy> {
    let trust = trust.filter(|trust| !trust.is_none());
    let list = trust.and_then(|trust| trust.cast_exact::<PyList>().ok());
    match (trust, list, kind) {
        (None, _, None) => return Ok(Policy::default()),
        (Some(_), Some(list), None) => {
            if let Some(policy) = remembered(list) {
                return Ok(policy);
            }
        }
        _ => {}
    }
    let resolved = py.import("torshi._policy")?.getattr("resolve")?.call1((trust, kind))?;
    let policy = resolved.extract::<PyPolicy>()?.inner;
    if let (Some(list), None) = (list, kind) {
        remember(list, &policy);
    }
    Ok(policy)
}

/// Items are kept alive in the cache, so the same address is the same object; all are immutable
/// (names) or known by name (classes, functions).
fn remembered(list: &Bound<'_, PyList>) -> Option<Policy> {
    let known = KNOWN.lock().ok()?;
    let same = |known: &&Known| {
        known.items.len() == list.len() && known.items.iter().zip(list.iter()).all(|(item, now)| now.is(item))
    };
    known.iter().find(same).map(|known| known.policy.clone())
}

fn remember(list: &Bound<'_, PyList>, policy: &Policy) {
    let items = list.iter().map(Bound::unbind).collect();
    let dropped = KNOWN.lock().ok().and_then(|mut known| {
        known.insert(0, Known { items, policy: policy.clone() });
        (known.len() > MOST_KNOWN).then(|| known.pop())
    });
    drop(dropped); // outside the lock: dropping may run Python code
}

/// The limits of a load.
pub fn limits(limits: Option<&Bound<'_, PyAny>>) -> PyResult<Limits> {
    let mut all = Limits::default();
    if let Some(given) = limits.filter(|limits| !limits.is_none()) {
        all.memory = given.getattr("memory")?.extract()?;
        all.hash_steps = given.getattr("hash_steps")?.extract()?;
        all.collisions = given.getattr("collisions")?.extract()?;
        all.depth = given.getattr("depth")?.extract()?;
        all.stream = given.getattr("stream")?.extract()?;
    }
    Ok(all)
}
