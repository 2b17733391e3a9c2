//! `_native.Policy`: the core's policy as a Python object, and the way from `trust=` to one.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, OnceLock};
use torshi_core::limits::Limits;
use torshi_core::policy::{suggest, Denial, Policy, PolicyError, Row, Verdict};

/// An immutable list of what is allowed.
#[pyclass(name = "Policy", module = "torshi._native", frozen, from_py_object)]
#[derive(Clone)]
pub struct PyPolicy {
    pub inner: Policy,
}

/// A row: where it stands, why, and what it lets a stream do, with the patterns of arguments and state.
fn described<'py>(py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    found.set_item("table", row.table)?;
    found.set_item("reason", &row.reason)?;
    found.set_item("call", row.call.as_ref().map(ToString::to_string))?;
    found.set_item("construct", row.construct.as_ref().map(ToString::to_string))?;
    found.set_item("state", row.state.as_ref().map(ToString::to_string))?;
    found.set_item("value", row.value)?;
    found.set_item("items", row.items || row.append || row.add)?;
    Ok(found)
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

    /// Whether a stream may use a global at all.
    fn lists(&self, module: &str, name: &str) -> bool {
        matches!(self.inner.find(module, name), Verdict::Allowed(_))
    }

    /// The row of a global, or None.
    fn find<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self.inner.find(module, name) {
            Verdict::Allowed(row) => described(py, row).map(Some),
            Verdict::Denied(_) => Ok(None),
        }
    }

    /// Why a global may not be used, and the entry that would allow it, if one can; None if it may.
    fn denial(&self, module: &str, name: &str) -> Option<(String, Option<String>)> {
        match self.inner.find(module, name) {
            Verdict::Allowed(_) => None,
            Verdict::Denied(denial) => {
                let way_out = if denial == Denial::NotListed { suggest(module, name) } else { None };
                Some((denial.to_string(), way_out))
            }
        }
    }

    /// Every row of the reviewed tables, with its names.
    #[staticmethod]
    fn rows(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
        let rows = Policy::rows().iter().map(|row| {
            let found = described(py, row)?;
            found.set_item("names", row.names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            Ok(found)
        });
        rows.collect()
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

/// A `trust` argument seen before, by identity, and what it came to.
struct Known {
    /// The items of a list; of anything else, itself.
    items: Vec<Py<PyAny>>,
    is_list: bool,
    policy: Policy,
}

/// The last few trust arguments: programs use the same one for every message.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
const MOST_KNOWN: usize = 8;

/// The policy of a load's `trust` and `type` arguments.
pub fn resolve(py: Python<'_>, trust: Option<&Bound<'_, PyAny>>, kind: Option<&Bound<'_, PyAny>>) -> PyResult<Policy> {
    let kind = kind.filter(|kind| !kind.is_none());
    let trust = trust.filter(|trust| !trust.is_none());
    match (trust, kind) {
        (None, None) => Ok(default_policy()),
        (Some(trust), None) if is_cacheable(trust)? => match remembered(trust) {
            Some(policy) => Ok(policy),
            None => {
                let policy = ask(py, Some(trust), None)?;
                remember(trust, &policy);
                Ok(policy)
            }
        },
        _ => ask(py, trust, kind),
    }
}

fn default_policy() -> Policy {
    static DEFAULT: OnceLock<Policy> = OnceLock::new();
    DEFAULT.get_or_init(Policy::default).clone()
}

fn ask(py: Python<'_>, trust: Option<&Bound<'_, PyAny>>, kind: Option<&Bound<'_, PyAny>>) -> PyResult<Policy> {
    let module = py.import(pyo3::intern!(py, "torshi._policy"))?;
    let resolved = module.getattr(pyo3::intern!(py, "resolve"))?.call1((trust, kind))?;
    Ok(resolved.cast::<PyPolicy>()?.get().inner.clone())
}

/// Lists are compared item by item; policies are immutable. Other containers may change unseen.
fn is_cacheable(trust: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = trust.py();
    if trust.is_exact_instance_of::<PyList>() || trust.is_exact_instance_of::<PyPolicy>() {
        return Ok(true);
    }
    let module = py.import(pyo3::intern!(py, "torshi._policy"))?;
    Ok(trust.get_type().is(module.getattr(pyo3::intern!(py, "Policy"))?))
}

/// Items are kept alive in the cache, so the same address is the same object; all are immutable
/// (names, policies) or known by name (classes, functions).
fn remembered(trust: &Bound<'_, PyAny>) -> Option<Policy> {
    let known = KNOWN.lock().ok()?;
    let list = trust.cast_exact::<PyList>().ok();
    let same = |known: &&Known| match list {
        Some(list) => {
            known.is_list
                && known.items.len() == list.len()
                && known.items.iter().zip(list.iter()).all(|(item, now)| now.is(item))
        }
        None => !known.is_list && known.items.iter().all(|item| trust.is(item)),
    };
    known.iter().find(same).map(|known| known.policy.clone())
}

fn remember(trust: &Bound<'_, PyAny>, policy: &Policy) {
    let (items, is_list) = match trust.cast_exact::<PyList>() {
        Ok(list) => (list.iter().map(Bound::unbind).collect(), true),
        Err(_) => (vec![trust.clone().unbind()], false),
    };
    let dropped = KNOWN.lock().ok().and_then(|mut known| {
        known.insert(0, Known { items, is_list, policy: policy.clone() });
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
        all.expansion = given.getattr("expansion")?.extract()?;
        all.stream = given.getattr("stream")?.extract()?;
    }
    Ok(all)
}
