//! Calls and states whose outcome is known, done without going through the Python code that would come
//! to the same: members of enumerations, arrays over bytes, UUIDs. Each applies only where it meets the very
//! class or function it knows, unchanged, and arguments it knows; everything else is called as stock
//! pickle calls it. Trust is not its affair: all was checked before.

use super::{Built, Object, Objects};
use crate::ffi::{attribute, instance, make};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};

/// What shortcuts need of a load's names; looked up when first needed.
#[derive(Default)]
pub struct Shortcuts<'py> {
    /// `enum.EnumType`, if calling it is enum's own affair.
    enum_type: Option<Option<Object<'py>>>,
    /// numpy's `_frombuffer` and the C function it calls.
    frombuffer: Option<(Object<'py>, Object<'py>)>,
}

/// Where `uuid.UUID` keeps its two attributes, and the second one's value in a state that leaves it out.
pub struct UuidSlots {
    int: isize,
    is_safe: isize,
    unknown: Py<PyAny>,
}

impl<'py> Shortcuts<'py> {
    /// Takes note of an object that the stream names.
    pub fn note(&mut self, module: &str, qualname: &str, object: &Object<'py>) {
        let of_numpy = matches!(module, "numpy.core.numeric" | "numpy._core.numeric");
        if of_numpy && qualname == "_frombuffer" && defined_in(object, &["numpy.core.numeric", "numpy._core.numeric"]) {
            let globals = object.getattr(pyo3::intern!(object.py(), "__globals__"));
            let maker = globals.and_then(|globals| globals.get_item(pyo3::intern!(object.py(), "frombuffer")));
            self.frombuffer = maker.ok().map(|maker| (object.clone(), maker));
        }
    }

    /// `enum.EnumType`, where it is imported and unchanged.
    fn enum_type(&mut self, py: Python<'py>) -> Option<&Object<'py>> {
        let known = self.enum_type.get_or_insert_with(|| {
            let module = make::imported(&make::text(py, b"enum").ok()?).ok()??;
            let class = module.getattr(pyo3::intern!(py, "EnumMeta")).ok()?;
            let call = class.getattr(pyo3::intern!(py, "__call__")).ok()?;
            defined_in(&call, &["enum"]).then_some(class)
        });
        known.as_ref()
    }
}

/// Whether a function says it was defined in one of these modules: another put in its place would say otherwise.
fn defined_in(function: &Object<'_>, modules: &[&str]) -> bool {
    let home = function.getattr(pyo3::intern!(function.py(), "__module__"));
    home.is_ok_and(|home| home.extract::<&str>().is_ok_and(|home| modules.contains(&home)))
}

/// `uuid.UUID`, if the class is it and takes its state in its own way.
pub fn uuid_slots(class: &Bound<'_, PyType>) -> Option<UuidSlots> {
    let py = class.py();
    let module = make::imported(&make::text(py, b"uuid").ok()?).ok()??;
    let is_it = module.getattr(pyo3::intern!(py, "UUID")).ok()?.is(class);
    if !is_it || !defined_in(&class.getattr(pyo3::intern!(py, "__setstate__")).ok()?, &["uuid"]) {
        return None;
    }
    let unknown = module.getattr(pyo3::intern!(py, "SafeUUID")).ok()?.getattr(pyo3::intern!(py, "unknown")).ok()?;
    let slot = |name: &str| {
        let descriptor = instance::class_attribute(class.as_any(), &make::text(py, name.as_bytes()).ok()?)?;
        instance::slot_offset(class.as_any(), &descriptor)
    };
    Some(UuidSlots { int: slot("int")?, is_safe: slot("is_safe")?, unknown: unknown.unbind() })
}

impl UuidSlots {
    /// Whether a state of these pairs is an integer and nothing else.
    pub fn takes(&self, pairs: &[Object<'_>]) -> bool {
        matches!(pairs, [name, _] if make::is_ascii_text(name, b"int"))
    }

    /// Gives such a state, as `__setstate__` does.
    pub fn give<'py>(&self, target: &Object<'py>, int: &Object<'py>) {
        attribute::store(target, self.int, int.clone());
        attribute::store(target, self.is_safe, self.unknown.bind(target.py()).clone());
    }
}

impl<'py> Objects<'py, '_> {
    /// What a call comes to, if it is one that is known.
    #[inline(always)]
    pub(super) fn shortcut(
        &mut self, callable: &Object<'py>, arguments: &Bound<'py, PyTuple>,
    ) -> Built<Option<Object<'py>>> {
        match arguments.len() {
            1 => Ok(self.member(callable, arguments)?),
            4 => Ok(self.array(callable, arguments)?),
            _ => Ok(None),
        }
    }

    /// `Color("red")`: the member is in a table of the class.
    #[inline(always)]
    fn member(&mut self, callable: &Object<'py>, arguments: &Bound<'py, PyTuple>) -> PyResult<Option<Object<'py>>> {
        let Some(value) = make::only_item(arguments) else { return Ok(None) };
        if !(value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyInt>()) {
            return Ok(None);
        }
        let Ok(class) = callable.cast::<PyType>() else { return Ok(None) };
        let meta = class.get_type();
        if meta.is(self.py.get_type::<PyType>()) {
            return Ok(None);
        }
        match self.shortcuts.enum_type(self.py) {
            Some(enum_type) if meta.is(enum_type) => {}
            _ => return Ok(None),
        }
        let members = instance::class_attribute(callable, pyo3::intern!(self.py, "_value2member_map_"));
        match members.as_ref().map(|members| members.cast_exact::<PyDict>()) {
            Some(Ok(members)) => members.get_item(value),
            _ => Ok(None),
        }
    }

    /// `_frombuffer(buffer, dtype, (n,), 'C')`: numpy's own function makes an array and a view of it.
    fn array(&mut self, callable: &Object<'py>, arguments: &Bound<'py, PyTuple>) -> PyResult<Option<Object<'py>>> {
        let Some((function, maker)) = &self.shortcuts.frombuffer else { return Ok(None) };
        if !callable.is(function) {
            return Ok(None);
        }
        let (shape, order) = (arguments.get_borrowed_item(2)?, arguments.get_borrowed_item(3)?);
        let made = maker.call1((arguments.get_borrowed_item(0)?, arguments.get_borrowed_item(1)?))?;
        let plain = match shape.cast_exact::<PyTuple>() {
            Ok(shape) if make::is_ascii_text(&order, b"C") => match make::only_item(&shape) {
                Some(length) if length.is_exact_instance_of::<PyInt>() => {
                    make::small_integer(&length).is_some_and(|n| made.len().is_ok_and(|len| len as i64 == n))
                }
                _ => false,
            },
            _ => false,
        };
        if plain {
            return Ok(Some(made)); // one dimension of that very length: the view would be the same again
        }
        let keywords = make::dict(self.py)?.cast_into::<PyDict>()?;
        keywords.set_item(pyo3::intern!(self.py, "order"), order)?;
        Ok(Some(made.call_method(pyo3::intern!(self.py, "reshape"), (shape,), Some(&keywords))?))
    }
}
