//! BUILD: handing state to an object, by its own `__setstate__` or attribute by attribute as stock
//! pickle does. How a type takes state is looked up once a load.

use super::{Built, Object, Objects};
use crate::ffi::make;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;
use torshi_core::error::{Fault, FaultKind, Site};

/// How the objects of a type take state.
#[derive(Clone, Copy)]
enum Way {
    /// The type has neither `__setstate__` nor hooks that could make one up.
    Attributes,
    /// Each object must be asked.
    Ask,
}

/// How types take state, by address of the type; the types are kept alive beside.
#[derive(Default)]
pub struct StateWays {
    ways: FxHashMap<usize, (Way, Py<PyType>)>,
    last: Option<(usize, Way)>,
}

impl StateWays {
    #[inline(always)]
    fn of(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Way> {
        let address = object.get_type_ptr() as usize;
        match self.last {
            Some((last, way)) if last == address => Ok(way),
            _ => self.find(address, object),
        }
    }

    fn find(&mut self, address: usize, object: &Bound<'_, PyAny>) -> PyResult<Way> {
        let way = match self.ways.get(&address) {
            Some((way, _)) => *way,
            None => {
                let class = object.get_type();
                let way = way_of(&class)?;
                self.ways.insert(address, (way, class.unbind()));
                way
            }
        };
        self.last = Some((address, way));
        Ok(way)
    }
}

fn way_of(class: &Bound<'_, PyType>) -> PyResult<Way> {
    let py = class.py();
    let lookup = pyo3::intern!(py, "__getattribute__");
    let own_lookup = !class.getattr(lookup)?.is(py.get_type::<PyAny>().getattr(lookup)?);
    let asks = own_lookup
        || class.hasattr(pyo3::intern!(py, "__getattr__"))?
        || class.hasattr(pyo3::intern!(py, "__setstate__"))?;
    Ok(if asks { Way::Ask } else { Way::Attributes })
}

impl<'py> Objects<'py, '_> {
    #[inline(always)]
    pub(super) fn give_state(&mut self, target: &Object<'py>, state: Object<'py>, site: Site) -> Built<()> {
        if let Way::Ask = self.states.of(target)? {
            if let Some(set_state) = target.getattr_opt(pyo3::intern!(self.py, "__setstate__"))? {
                set_state.call1((state,))?;
                return Ok(());
            }
        }
        let (attributes, slots) = match state.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, Some(pair.get_item(1)?)),
            _ => (state, None),
        };
        if !attributes.is_none() {
            self.set_attributes(target, &attributes, site)?;
        }
        match slots {
            Some(slots) if !slots.is_none() => self.set_slots(target, &slots, site),
            _ => Ok(()),
        }
    }

    fn set_attributes(&mut self, target: &Object<'py>, state: &Object<'py>, site: Site) -> Built<()> {
        let Ok(state) = state.cast::<PyDict>() else {
            return Err(Fault::malformed(site, "state is not a dictionary").into());
        };
        let own = target.getattr(pyo3::intern!(self.py, "__dict__"))?;
        let own_dict = own.cast_exact::<PyDict>().ok();
        make::for_each_pair(state, |name, value| {
            // Attribute names are interned, as the compiler's own are, so lookups find them by address.
            let name = if name.is_exact_instance_of::<PyString>() { make::interned(name) } else { name };
            match own_dict {
                Some(dict) => dict.set_item(name, value)?,
                None => own.set_item(name, value)?,
            }
            Ok(())
        })
    }

    fn set_slots(&mut self, target: &Object<'py>, state: &Object<'py>, site: Site) -> Built<()> {
        let Ok(state) = state.cast::<PyDict>() else {
            return Err(Fault::malformed(site, "slot state is not a dictionary").into());
        };
        make::for_each_pair(state, |name, value| match name.cast::<PyString>() {
            Ok(name) => Ok(target.setattr(name, value)?),
            Err(_) => {
                let what = FaultKind::BadType("slot state has a key that is no name".to_owned());
                Err(Fault::new(site, what).into())
            }
        })
    }
}
