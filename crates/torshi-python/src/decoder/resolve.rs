//! Names to objects: importing the globals that a check allowed, and looking at each again once it is
//! there, since only then is it known what a name leads to. Nothing is imported that the policy does
//! not allow; an application's own `find_class` may stand in its place.

use super::load::ExtensionNames;
use super::placeholder::Placeholders;
use super::shortcut::Shortcuts;
use super::{Built, Object, Objects};
use crate::errors;
use crate::ffi::make;
use crate::renames::Moves;
use pyo3::exceptions::{PyAttributeError, PyImportError};
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString, PyType};
use rustc_hash::FxHashMap;
use torshi_core::compat;
use torshi_core::policy::{Matched, Policy, Verdict};
use torshi_core::symbolic::{moved, GlobalUse, Origin, Plan};

/// Where a building machine finds the objects its stream names.
pub struct Names<'py, 'l> {
    found: FxHashMap<Vec<u8>, Object<'py>>,
    key: Vec<u8>,
    hook: Option<Object<'py>>,
    extensions: ExtensionNames,
    policy: &'l Policy,
    /// Whether dots lead through names: from protocol 4 on.
    dotted: bool,
    /// Whether what is not there is replaced; with what, once something is not.
    replaces: bool,
    pub(super) placeholders: Option<Box<Placeholders<'py>>>,
}

impl<'py, 'l> Names<'py, 'l> {
    /// Imports what the plan names, unless the application finds classes itself. Nothing, if a name is not there and a
    /// library says where it went: `moves` knows that now, and the stream is to be checked again. `replaces`: what is not
    /// there anywhere is replaced by a placeholder.
    pub fn resolve(
        py: Python<'py>, plan: &Plan, policy: &'l Policy, hook: Option<Object<'py>>, extensions: ExtensionNames,
        moves: &mut Moves<'py>, replaces: bool,
    ) -> PyResult<Option<(Self, Shortcuts<'py>)>> {
        let mut shortcuts = Shortcuts::default();
        let mut names = Names {
            found: FxHashMap::default(),
            key: Vec::new(),
            hook,
            extensions,
            policy,
            dotted: plan.protocol >= 4,
            replaces,
            placeholders: None,
        };
        if names.hook.is_none() {
            for global in &plan.globals {
                if !names.add(py, global, &mut shortcuts, moves)? {
                    return Ok(None);
                }
            }
        }
        check_states(py, plan, &names)?;
        Ok(Some((names, shortcuts)))
    }

    fn add(
        &mut self, py: Python<'py>, global: &GlobalUse, shortcuts: &mut Shortcuts<'py>, moves: &mut Moves<'py>,
    ) -> PyResult<bool> {
        match global.origin {
            Origin::Implied => return Ok(true),
            // Its owner is asked for it while building; here it is only checked.
            Origin::Attribute if self.policy.is_unrestricted() => return Ok(true),
            _ => {}
        }
        let dotted = self.dotted || global.origin == Origin::Attribute;
        let (module, name) = match &global.old {
            Some((module, name)) => (module, name),
            None => (&global.module, &global.qualname),
        };
        let object = match resolve(py, self.policy, module, name, dotted) {
            Err(error) if is_missing(py, &error) => {
                if moves.note_gone(module, name)? {
                    return Ok(false);
                }
                if !self.replaces {
                    return Err(error);
                }
                // It is written back by the name that the stream has.
                let (module, name) = global.renamed.as_ref().map_or((module, name), |(module, name)| (module, name));
                self.placeholder(py, module, name)?
            }
            found => found?,
        };
        shortcuts.note(&global.module, &global.qualname, &object);
        if global.origin == Origin::Named {
            let (module, name) = global.spelled();
            self.set_key(module, name, global.python2);
            self.found.insert(self.key.clone(), object);
        }
        Ok(true)
    }

    fn placeholder(&mut self, py: Python<'py>, module: &str, name: &str) -> PyResult<Object<'py>> {
        if self.placeholders.is_none() {
            self.placeholders = Some(Box::new(Placeholders::new(py)?));
        }
        self.placeholders.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |known| known.of(module, name))
    }

    fn set_key(&mut self, module: &str, name: &str, python2: bool) {
        self.key.clear();
        for part in [module.as_bytes(), b"\0", name.as_bytes(), &[python2.into()]] {
            self.key.extend_from_slice(part);
        }
    }

    /// The names of an extension code, as they were when the stream was checked.
    pub fn extension(&self, code: i64) -> Option<(String, String)> {
        self.extensions.get(&code).cloned()
    }
}

/// Dunder names in a state are data for a class with its own `__setstate__`, and an attack on any other.
fn check_states(py: Python<'_>, plan: &Plan, names: &Names<'_, '_>) -> PyResult<()> {
    for (id, site) in &plan.dunder_states {
        let global = &plan.globals[*id as usize];
        let (module, name) = global.spelled();
        let (module, name) = (module.as_bytes(), name.as_bytes());
        let class = match &names.hook {
            // The application's own classes are asked for now, where they decide whether anything is built.
            Some(hook) if global.origin == Origin::Named => {
                Some(hook.call1((make::text(py, module)?, make::text(py, name)?))?)
            }
            _ => {
                let spelled = [module, b"\0", name].concat();
                let is_it = |key: &[u8]| key.starts_with(&spelled) && key.len() == spelled.len() + 1;
                names.found.iter().find(|(key, _)| is_it(key)).map(|(_, class)| class.clone())
            }
        };
        let own = match class {
            Some(class) => class.cast::<PyType>().is_ok() && class.hasattr(pyo3::intern!(py, "__setstate__"))?,
            None => false,
        };
        if !own {
            let message = format!(
                "{} may not be given this state: it has names with double underscores, and the class has no __setstate__",
                global.full_name()
            );
            return Err(errors::untrusted_one(&message, &global.full_name(), *site));
        }
    }
    Ok(())
}

impl<'py> Objects<'py, '_> {
    /// The object of a name that stands in the stream.
    pub(super) fn find(&mut self, module: &str, name: &str, python2: bool) -> Built<Object<'py>> {
        if let Some(hook) = &self.names.hook {
            let (module, name) = (make::text(self.py, module.as_bytes())?, make::text(self.py, name.as_bytes())?);
            return Ok(hook.call1((module, name))?);
        }
        self.names.set_key(module, name, python2);
        match self.names.found.get(&self.names.key) {
            Some(object) => Ok(object.clone()),
            // Only an unrestricted stream may compute names, so only there one can be new.
            None => {
                let replaces = self.names.replaces;
                if replaces && self.names.placeholders.is_none() {
                    self.names.placeholders = Some(Box::new(Placeholders::new(self.py)?));
                }
                Ok(find_class(self.py, self.names.policy, module, name, python2, true, replaces)?)
            }
        }
    }
}

/// What `Unpickler.find_class` does: translates the name if asked to, asks the policy, imports. Below
/// protocol 4 a dot is part of a name, not a way through it. `replaces`: gives a placeholder for what is not there.
pub fn find_class<'py>(
    py: Python<'py>, policy: &Policy, module: &str, name: &str, python2: bool, dotted: bool, replaces: bool,
) -> PyResult<Object<'py>> {
    let (module, name) = match (python2, compat::python3_name(module, name)) {
        (true, Some(names)) => names,
        (true, None) => (compat::python3_module(module).unwrap_or(module), name),
        _ => (module, name),
    };
    let mut moves = Moves::now(py);
    loop {
        let new = moved(policy, &|module, name, listed| moves.find(module, name, listed), module, name);
        moves.settle()?;
        let (new_module, new_name) =
            new.as_ref().map_or((module, name), |(module, name)| (module.as_str(), name.as_str()));
        if let Verdict::Denied(denial) = policy.find(new_module, new_name) {
            let full = format!("{new_module}.{new_name}");
            return Err(errors::untrusted_name(&format!("{full} is {denial}"), new_module, new_name));
        }
        match resolve(py, policy, new_module, new_name, dotted) {
            Err(error) if is_missing(py, &error) => {
                if moves.note_gone(new_module, new_name)? {
                    continue;
                }
                return if replaces { Placeholders::new(py)?.of(module, name) } else { Err(error) };
            }
            found => return found,
        }
    }
}

fn resolve<'py>(py: Python<'py>, policy: &Policy, module: &str, qualname: &str, dotted: bool) -> PyResult<Object<'py>> {
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
    if let Matched::Glob(prefix) = policy.matched(module, qualname) {
        recheck(&object, through_module, &prefix, module, qualname)?;
    }
    Ok(object)
}

fn is_missing(py: Python<'_>, error: &PyErr) -> bool {
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
fn recheck(object: &Object<'_>, through_module: bool, prefix: &str, module: &str, qualname: &str) -> PyResult<()> {
    let full = format!("{module}.{qualname}");
    let home = match object.getattr_opt(pyo3::intern!(object.py(), "__module__"))? {
        Some(home) => home.extract::<String>().unwrap_or_default(),
        None => String::new(),
    };
    let below = home == prefix || home.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
    if through_module || object.is_instance_of::<PyModule>() || !below {
        let what = if home.is_empty() { "an object of no module" } else { &home };
        let message = format!("{full} is not trusted: it leads to {what}, which is not below {prefix}");
        return Err(errors::untrusted_name(&message, module, qualname));
    }
    Ok(())
}
