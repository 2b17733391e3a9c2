//! Records: classes whose state is their fields (dataclasses, attrs classes), and whether a state has them all. What a class
//! has is asked once for each class of a process; a state with all fields costs a comparison of addresses. What to do
//! about one that has not, `torshi._fields` knows.

use super::Object;
use crate::ffi::{instance, make};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use rustc_hash::FxHashMap;

/// Classes remembered: a program with more makes them by the dozen.
const MOST_CLASSES: usize = 1024;

/// One class with fields.
struct Record {
    /// Interned, as names of attributes are.
    names: Vec<Py<PyAny>>,
    /// The keys of the state met last that had all fields, by address.
    whole: Vec<Py<PyAny>>,
}

/// All of them, from load to load.
#[derive(Default)]
pub struct Records {
    /// By address and version of the type: no two states of types ever have both alike.
    places: FxHashMap<(usize, u32), Option<usize>>,
    all: Vec<Record>,
}

impl Records {
    /// Where the record of a class is, if it has fields.
    pub fn of(&mut self, class: &Bound<'_, PyType>) -> PyResult<Option<usize>> {
        let py = class.py();
        let has = |name| instance::class_attribute(class.as_any(), name).is_some();
        if !has(pyo3::intern!(py, "__dataclass_fields__")) && !has(pyo3::intern!(py, "__attrs_attrs__")) {
            return Ok(None);
        }
        let key = (class.as_ptr() as usize, instance::type_version(class.as_any()));
        match self.places.get(&key) {
            Some(place) if key.1 != 0 => Ok(*place),
            _ => self.ask(class, key),
        }
    }

    #[cold]
    fn ask(&mut self, class: &Bound<'_, PyType>, key: (usize, u32)) -> PyResult<Option<usize>> {
        let py = class.py();
        let module = py.import(pyo3::intern!(py, "torshi._fields"))?;
        let names: Option<Vec<Py<PyAny>>> = module.getattr(pyo3::intern!(py, "names"))?.call1((class,))?.extract()?;
        let place = names.map(|names| {
            self.all.push(Record { names, whole: Vec::new() });
            self.all.len() - 1
        });
        self.places.insert(key, place);
        Ok(place)
    }

    /// Whether these are too many classes, which are to be forgotten between loads.
    pub fn are_too_many(&self) -> bool {
        self.places.len() > MOST_CLASSES
    }

    /// Whether the keys of a state are all fields of a record, by what was so last time.
    pub fn were_whole<'p, 'py: 'p>(&self, place: usize, keys: impl Iterator<Item = &'p Object<'py>>) -> bool {
        keys.map(|key| key.as_ptr()).eq(self.all[place].whole.iter().map(Py::as_ptr))
    }

    /// The same by looking at each; the keys are exact str.
    pub fn are_whole<'p, 'py: 'p>(
        &mut self, place: usize, keys: impl Iterator<Item = &'p Object<'py>> + Clone,
    ) -> bool {
        let record = &mut self.all[place];
        let twins: Vec<_> = keys.clone().map(|key| make::interned(key.clone())).collect();
        let whole = record.names.iter().all(|name| twins.iter().any(|twin| twin.is(name)));
        if whole {
            record.whole = keys.map(|key| key.clone().unbind()).collect();
        }
        whole
    }

    /// Whether a state as a whole lacks fields of a record.
    pub fn lacks(&self, place: usize, state: &Object<'_>) -> PyResult<bool> {
        let names = &self.all[place].names;
        if let Ok(dict) = state.cast::<PyDict>() {
            return lack(names, std::slice::from_ref(dict));
        }
        if let Ok(pair) = state.cast::<PyTuple>() {
            let halves: Vec<_> = pair.iter().filter_map(|half| half.cast_into::<PyDict>().ok()).collect();
            if pair.len() == 2 && !halves.is_empty() {
                return lack(names, &halves);
            }
            return Ok(pair.len() < names.len());
        }
        Ok(state.cast::<PyList>().is_ok_and(|values| values.len() < names.len()))
    }
}

fn lack(names: &[Py<PyAny>], halves: &[Bound<'_, PyDict>]) -> PyResult<bool> {
    for name in names {
        let mut found = false;
        for half in halves {
            found = found || half.contains(name)?;
        }
        if !found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives an instance the fields that its state lacks.
#[cold]
pub fn complete(target: &Object<'_>) -> PyResult<()> {
    let py = target.py();
    let module = py.import(pyo3::intern!(py, "torshi._fields"))?;
    module.getattr(pyo3::intern!(py, "complete"))?.call1((target,)).map(drop)
}
