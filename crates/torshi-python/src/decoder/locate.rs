//! A name that a policy allows into the object it leads to: looked up where it is, imported where it is not there yet,
//! and looked at again once it is there, since only then is it known what the name leads to. Nothing is imported here of
//! which the policy has not said yes before.

use super::Object;
use crate::errors;
use crate::ffi::make;
use crate::ffi::place::Place;
use pyo3::exceptions::{PyAttributeError, PyImportError};
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString};
use rustc_hash::FxHasher;
use std::hash::Hasher;
use torshi_core::compat;
use torshi_core::policy::Matched;
use torshi_core::symbolic::Judged;

/// Names remembered.
const SLOTS: usize = 256;

/// Where objects were found, from load to load.
#[derive(Default)]
pub struct Places {
    slots: Vec<Option<Known>>,
}

struct Known {
    module: Py<PyString>,
    name: Py<PyString>,
    place: Place,
}

impl Places {
    /// The object of an allowed name. `dotted`: a dot leads through what stands before it, instead of being part of a name.
    pub fn find<'py>(&mut self, py: Python<'py>, judged: &Judged, dotted: bool) -> PyResult<Object<'py>> {
        let (module, name) = judged.asked();
        if let Some(Some(known)) = self.slots.get(slot_of(module, name)) {
            let (its_module, its_name) = (known.module.bind(py), known.name.bind(py));
            let is_it =
                make::is_ascii_text(its_name, name.as_bytes()) && make::is_ascii_text(its_module, module.as_bytes());
            if let Some(object) = known.place.object(py).filter(|_| is_it) {
                make::audit_find_class(its_module, its_name)?;
                recheck(&object, false, judged)?;
                return Ok(object);
            }
        }
        let object = find(py, judged, dotted)?;
        self.note(judged, &object)?;
        Ok(object)
    }

    /// Notes where it is, if that is the plainest of all places.
    #[cold]
    fn note(&mut self, judged: &Judged, object: &Object<'_>) -> PyResult<()> {
        let py = object.py();
        let (module, name) = judged.asked();
        if judged.old.is_some() || compat::today(module).is_some() || name.contains('.') {
            return Ok(());
        }
        let slot = slot_of(module, name);
        let text = |text: &str| PyResult::Ok(make::text(py, text.as_bytes())?.cast_into::<PyString>()?);
        let (module, name) = (text(module)?, text(name)?);
        let Some(place) = Place::of(&module, &name, object)? else { return Ok(()) };
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        self.slots[slot] = Some(Known { module: module.unbind(), name: name.unbind(), place });
        Ok(())
    }
}

fn slot_of(module: &str, name: &str) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(module.as_bytes());
    hasher.write(name.as_bytes());
    (hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % SLOTS
}

/// The same where nothing is remembered.
pub fn find<'py>(py: Python<'py>, judged: &Judged, dotted: bool) -> PyResult<Object<'py>> {
    let (module, qualname) = judged.asked();
    make::audit_find_class(&make::text(py, module.as_bytes())?, &make::text(py, qualname.as_bytes())?)?;
    let present = compat::present(module, qualname).map(|(module, name)| locate(py, module, name, dotted));
    let today = || -> PyResult<Option<(Object<'py>, bool)>> {
        let Some((package, module)) = compat::today(module) else { return Ok(None) };
        // What has to be there for the name is there once its package is: looking for more would take each load its time.
        make::import(&make::text(py, package.as_bytes())?)?;
        let found = make::imported(&make::text(py, module.as_bytes())?)?;
        Ok(found.and_then(|found| walk(&found, qualname, dotted).ok()))
    };
    let located = || match today() {
        Ok(Some(found)) => Ok(found),
        Ok(None) => locate(py, module, qualname, dotted),
        Err(error) => Err(error),
    };
    let (object, through_module) = match present.unwrap_or_else(located) {
        Err(error) if is_missing(py, &error) => {
            // Its library is of another release: an earlier one, or a later one than the name.
            let other = compat::moved(module);
            locate(py, other.as_deref().unwrap_or(module), qualname, dotted).map_err(|_| error)?
        }
        found => found?,
    };
    recheck(&object, through_module, judged)?;
    Ok(object)
}

/// Whether a name leads nowhere.
pub fn is_missing(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyImportError>(py) || error.is_instance_of::<PyAttributeError>(py)
}

/// The object, and whether the way to it led through a module below the first.
fn locate<'py>(py: Python<'py>, module: &str, qualname: &str, dotted: bool) -> PyResult<(Object<'py>, bool)> {
    let name = make::text(py, module.as_bytes())?;
    if let Some(found) = make::imported(&name)? {
        // A module that is just being imported may not have the attribute yet: then wait for it.
        if let Ok(found) = walk(&found, qualname, dotted) {
            return Ok(found);
        }
    }
    walk(&make::import(&name)?, qualname, dotted)
}

fn walk<'py>(module: &Object<'py>, qualname: &str, dotted: bool) -> PyResult<(Object<'py>, bool)> {
    let (mut object, mut through_module) = (module.clone(), false);
    let parts = if dotted { usize::MAX } else { 1 };
    for (at, part) in qualname.splitn(parts, '.').enumerate() {
        through_module |= at > 0 && object.is_instance_of::<PyModule>();
        let next = match part {
            "<locals>" => None,
            _ => {
                let name = make::text(object.py(), part.as_bytes())?;
                let name = name.cast::<PyString>().map_err(PyErr::from)?;
                object.getattr_opt(name)?
            }
        };
        object = match next {
            Some(next) => next,
            None => return Err(no_attribute(module, qualname)),
        };
    }
    Ok((object, through_module))
}

fn no_attribute(module: &Object<'_>, qualname: &str) -> PyErr {
    let local = qualname.split('.').any(|part| part == "<locals>");
    let what = if local { "Can't get local attribute" } else { "Can't get attribute" };
    let on = module.repr().map_or_else(|_| "module".to_owned(), |text| text.to_string());
    PyAttributeError::new_err(format!("{what} '{qualname}' on {on}"))
}

/// What a glob let in must live below the glob's prefix: a package that imports `os` has not vouched for it.
fn recheck(object: &Object<'_>, through_module: bool, judged: &Judged) -> PyResult<()> {
    let Matched::Glob(prefix) = &judged.matched else { return Ok(()) };
    let (module, qualname) = judged.asked();
    let full = format!("{module}.{qualname}");
    let home = match object.getattr_opt(pyo3::intern!(object.py(), "__module__"))? {
        Some(home) => home.extract::<String>().unwrap_or_default(),
        None => String::new(),
    };
    let below = home == *prefix || home.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'));
    if through_module || object.is_instance_of::<PyModule>() || !below {
        let what = if home.is_empty() { "an object of no module" } else { &home };
        let message = format!("{full} is not trusted: it leads to {what}, which is not below {prefix}");
        return Err(errors::untrusted_name(&message, module, qualname));
    }
    Ok(())
}
