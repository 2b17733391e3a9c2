//! The names of a stream to objects: those that a check allowed are found before anything is built, and given to the
//! builder as it comes to them. An application's own `find_class` may stand in the place of finding them.

use super::load::ExtensionNames;
use super::locate::{find, is_missing, Places};
use super::placeholder::Placeholders;
use super::shortcut::Shortcuts;
use super::{Built, Object, Objects};
use crate::errors;
use crate::ffi::make;
use crate::renames::Moves;
use pyo3::prelude::*;
use pyo3::types::PyType;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use torshi_core::compat;
use torshi_core::policy::Policy;
use torshi_core::symbolic::{judged, GlobalUse, Judged, Origin, Plan};

/// Names that are looked through one by one: most streams have no more.
const FEW: usize = 8;

/// Where a building machine finds the objects its stream names.
pub struct Names<'py, 'l> {
    found: Vec<(Arc<Judged>, Object<'py>)>,
    /// Places in `found` by spelling, once there are more than a few.
    places: FxHashMap<Vec<u8>, usize>,
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
    /// Finds what the plan names, unless the application finds classes itself. Nothing, if a name is not there and a
    /// library says where it went: `moves` knows that now, and the stream is to be checked again. `replaces`: what is not
    /// there anywhere is replaced by a placeholder.
    pub fn resolve(
        py: Python<'py>, plan: &Plan, policy: &'l Policy, hook: Option<Object<'py>>, extensions: ExtensionNames,
        (moves, known): (&mut Moves<'py>, &mut Places), replaces: bool,
    ) -> PyResult<Option<(Self, Shortcuts<'py>)>> {
        let mut shortcuts = Shortcuts::default();
        let mut names = Names {
            found: Vec::new(),
            places: FxHashMap::default(),
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
                if !names.add(py, global, &mut shortcuts, moves, known)? {
                    return Ok(None);
                }
            }
        }
        check_states(py, plan, &names)?;
        Ok(Some((names, shortcuts)))
    }

    fn add(
        &mut self, py: Python<'py>, global: &GlobalUse, shortcuts: &mut Shortcuts<'py>, moves: &mut Moves<'py>,
        known: &mut Places,
    ) -> PyResult<bool> {
        match global.origin {
            Origin::Implied => return Ok(true),
            // Its owner is asked for it while building; here it is only checked.
            Origin::Attribute if self.policy.is_unrestricted() => return Ok(true),
            _ => {}
        }
        let dotted = self.dotted || global.origin == Origin::Attribute;
        let object = match known.find(py, &global.judged, dotted) {
            Err(error) if is_missing(py, &error) => {
                let (module, name) = global.asked();
                if moves.note_gone(module, name)? {
                    return Ok(false);
                }
                if !self.replaces {
                    return Err(error);
                }
                // It is written back by the name that the stream has.
                match &global.renamed {
                    Some((module, name)) => self.placeholder(py, module, name)?,
                    None => self.placeholder(py, module, name)?,
                }
            }
            found => found?,
        };
        shortcuts.note(&global.module, &global.qualname, &object);
        if global.origin == Origin::Named {
            self.found.push((global.judged.clone(), object));
            if self.found.len() > FEW {
                self.sort_in();
            }
        }
        Ok(true)
    }

    fn placeholder(&mut self, py: Python<'py>, module: &str, name: &str) -> PyResult<Object<'py>> {
        if self.placeholders.is_none() {
            self.placeholders = Some(Box::new(Placeholders::new(py)?));
        }
        self.placeholders.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |known| known.of(module, name))
    }

    /// Notes by their spelling the names that are not yet.
    fn sort_in(&mut self) {
        for place in self.places.len()..self.found.len() {
            let judged = self.found[place].0.clone();
            let (module, name) = judged.spelled();
            self.set_key(module, name, judged.python2);
            self.places.insert(self.key.clone(), place);
        }
    }

    fn named(&mut self, module: &str, name: &str, python2: bool) -> Option<Object<'py>> {
        if self.found.len() <= FEW {
            let is_it = |found: &&(Arc<Judged>, Object<'py>)| found.0.is_of(module, name, python2, Origin::Named);
            return self.found.iter().find(is_it).map(|found| found.1.clone());
        }
        self.set_key(module, name, python2);
        self.places.get(&self.key).map(|place| self.found[*place].1.clone())
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
        let class = match &names.hook {
            // The application's own classes are asked for now, where they decide whether anything is built.
            Some(hook) if global.origin == Origin::Named => {
                Some(hook.call1((make::text(py, module.as_bytes())?, make::text(py, name.as_bytes())?))?)
            }
            _ => {
                let found = names.found.iter().find(|(judged, _)| judged.spelled() == (module, name));
                found.map(|(_, class)| class.clone())
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
        match self.names.named(module, name, python2) {
            Some(object) => Ok(object),
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
        let renamed = |module: &str, name: &str, listed| moves.find(module, name, listed);
        let judged = judged((policy, Some(&renamed)), module, name, false, Origin::Named);
        moves.settle()?;
        let (new_module, new_name) = judged.asked();
        if let Some(denial) = &judged.denial {
            let full = format!("{new_module}.{new_name}");
            return Err(errors::untrusted_name(&format!("{full} is {denial}"), new_module, new_name));
        }
        match find(py, &judged, dotted) {
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
