//! BUILD: handing state to an object, by its own `__setstate__` or attribute by attribute as stock
//! pickle does. How a type takes state, and where it keeps each attribute, is looked up once, as long as the type stays
//! as it is.

use super::records::{complete, Records};
use super::shortcut::{uuid_slots, UuidSlots};
use super::{habit, Built, Object, Objects};
use crate::ffi::{attribute, instance, make};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;
use torshi_core::domain::Items;
use torshi_core::error::{Fault, FaultKind, Site};

/// How the objects of a type take state.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The type has neither `__setstate__` nor hooks that could make one up.
    Attributes,
    /// Each object must be asked.
    Ask,
}

/// Where an attribute is kept.
#[derive(Clone, Copy)]
enum Place {
    /// In the instance's dict, and nothing stands in the way to it.
    Dict,
    /// In a slot at this offset.
    Slot(isize),
    /// Setting it may do anything.
    Elsewhere,
}

/// An attribute of a type, as state names it.
struct Attribute {
    /// The very str met in a stream last: kept alive, so that its address tells it again.
    met: Py<PyAny>,
    /// Its interned twin, as attribute names are kept, so that look-ups find them by address.
    name: Py<PyAny>,
    /// Where the dict half of a state puts it.
    in_dict: Place,
    /// Where the slots half of a state puts it.
    in_slots: Place,
}

/// What is known of a type. It does not keep the type alive.
struct Known {
    way: Way,
    attributes: Vec<Attribute>,
    uuid: Option<UuidSlots>,
    /// Its record, if its state is its fields.
    record: Option<usize>,
    /// Length of the pairs of a state with the first of the attributes, in order, in which no field is missing.
    usual: usize,
}

/// Attributes remembered of a type; a state with more is a mapping rather than a record.
const MOST_ATTRIBUTES: usize = 64;

/// Types remembered: a program with more makes them by the dozen.
const MOST_TYPES: usize = 1024;

/// How types take state, from load to load, by address and version of the type: no two states of types ever have both
/// alike. A type without a version is looked at anew in each load.
#[derive(Default)]
pub struct StateWays {
    places: FxHashMap<(usize, u32), usize>,
    known: Vec<Known>,
    last: ((usize, u32), usize),
    /// Whether there are types without a version, or with all the attributes that are remembered of one.
    passing: bool,
    /// The types without a version: kept while they are told by their address alone.
    kept: Vec<Py<PyType>>,
}

impl StateWays {
    /// Whether something in it may not be so any more, or these are too many types: to be forgotten between loads.
    pub fn are_past(&self) -> bool {
        self.passing || self.known.len() > MOST_TYPES
    }

    /// Where what is known of an object's type is.
    #[inline(always)]
    pub fn of(&mut self, records: &mut Records, object: &Bound<'_, PyAny>) -> PyResult<usize> {
        let key = (object.get_type_ptr() as usize, instance::version_of_type(object));
        match self.last {
            (last, at) if last == key => Ok(at),
            _ => self.find(records, key, object),
        }
    }

    #[inline(never)]
    fn find(&mut self, records: &mut Records, key: (usize, u32), object: &Bound<'_, PyAny>) -> PyResult<usize> {
        let at = match self.places.get(&key) {
            Some(&at) => at,
            None => self.add(records, object)?,
        };
        self.last = ((key.0, instance::version_of_type(object)), at);
        Ok(at)
    }

    #[cold]
    fn add(&mut self, records: &mut Records, object: &Bound<'_, PyAny>) -> PyResult<usize> {
        let class = object.get_type();
        let way = way_of(&class);
        let uuid = if way == Way::Ask { uuid_slots(&class) } else { None };
        let record = records.of(&class)?;
        // Looking at a type gives it a version, if it had none.
        let version = instance::version_of_type(object);
        self.known.push(Known { way, attributes: Vec::new(), uuid, record, usual: 0 });
        self.places.insert((class.as_ptr() as usize, version), self.known.len() - 1);
        if version == 0 {
            self.passing = true;
            self.kept.push(class.unbind());
        }
        Ok(self.known.len() - 1)
    }
}

/// Looked up in the class as an attribute of an instance is: a metaclass has no say in it.
fn way_of(class: &Bound<'_, PyType>) -> Way {
    let py = class.py();
    let own = |name| instance::class_attribute(class.as_any(), name).is_some();
    let plain = instance::has_plain_attributes(class.as_any());
    match !plain || own(pyo3::intern!(py, "__getattr__")) || own(pyo3::intern!(py, "__setstate__")) {
        true => Way::Ask,
        false => Way::Attributes,
    }
}

impl Known {
    /// The attribute of an object of this type that a state names with `key`, an exact str; `nth` is its place in the
    /// state, where it mostly stood last time too.
    #[inline(always)]
    fn attribute(&mut self, target: &Object<'_>, key: &Object<'_>, nth: usize) -> Option<&Attribute> {
        match self.attributes.get(nth) {
            Some(attribute) if key.is(&attribute.met) => self.attributes.get(nth),
            _ => self.find(target, key),
        }
    }

    #[inline(never)]
    fn find(&mut self, target: &Object<'_>, key: &Object<'_>) -> Option<&Attribute> {
        self.usual = 0; // what comes is not what came
        let mut known = self.attributes.iter().position(|attribute| key.is(&attribute.met));
        if known.is_none() {
            let name = make::interned(key.clone());
            known = self.attributes.iter().position(|attribute| name.is(&attribute.name));
            match known {
                Some(at) => self.attributes[at].met = key.clone().unbind(),
                None if self.attributes.len() < MOST_ATTRIBUTES => {
                    self.attributes.push(Attribute::of(&target.get_type(), key, name));
                    return self.attributes.last();
                }
                None => {}
            }
        }
        self.attributes.get(known?)
    }
}

impl Attribute {
    fn of(class: &Bound<'_, PyType>, key: &Object<'_>, name: Object<'_>) -> Self {
        let in_dict = if attribute::lives_in_dict(class, &name) { Place::Dict } else { Place::Elsewhere };
        let in_slots = match attribute::slot_offset(class, &name) {
            Some(offset) if attribute::has_plain_setattr(class) => Place::Slot(offset),
            _ => Place::Elsewhere,
        };
        Attribute { met: key.clone().unbind(), name: name.unbind(), in_dict, in_slots }
    }
}

impl<'py> Objects<'py, '_> {
    #[inline(always)]
    pub(super) fn give_state(&mut self, target: &Object<'py>, state: Object<'py>, site: Site) -> Built<()> {
        let at = self.learnt.way_of(target)?;
        match self.learnt.states.known[at].record {
            None => self.give(target, at, state, site),
            Some(record) => {
                let lacks = self.learnt.records.lacks(record, &state)?;
                self.give(target, at, state, site)?;
                match lacks {
                    true => Ok(complete(target)?),
                    false => Ok(()),
                }
            }
        }
    }

    fn give(&mut self, target: &Object<'py>, at: usize, state: Object<'py>, site: Site) -> Built<()> {
        if self.learnt.states.known[at].way == Way::Ask {
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
            Some(slots) if !slots.is_none() => self.set_slots(target, at, &slots, site),
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

    fn set_slots(&mut self, target: &Object<'py>, at: usize, state: &Object<'py>, site: Site) -> Built<()> {
        let Ok(state) = state.cast::<PyDict>() else {
            return Err(Fault::malformed(site, "slot state is not a dictionary").into());
        };
        let mut nth = 0;
        make::for_each_pair(state, |name, value| {
            if name.is_exact_instance_of::<PyString>() {
                // Looked up anew for each, since what an attribute does when it is set may be another load.
                let known = self.learnt.states.known[at].attribute(target, &name, nth);
                nth += 1;
                if let Some(Attribute { in_slots: Place::Slot(offset), .. }) = known {
                    attribute::store(target, *offset, value);
                    return Ok(());
                }
            }
            match name.cast::<PyString>() {
                Ok(name) => Ok(target.setattr(name, value)?),
                Err(_) => {
                    let what = FaultKind::BadType("slot state has a key that is no name".to_owned());
                    Err(Fault::new(site, what).into())
                }
            }
        })
    }

    /// Whether a state of these pairs comes to attributes in the instance's dict and nothing else.
    #[inline(always)]
    pub(super) fn takes_attributes(&mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>]) -> bool {
        self.takes_all(target, dict, pairs, |known| matches!(known.in_dict, Place::Dict))
            || self.takes_uuid(target, dict, pairs)
    }

    fn takes_uuid(&mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>]) -> bool {
        let Ok(at) = self.learnt.way_of(target) else { return false };
        make::is_only_reference(dict)
            && self.learnt.states.known[at].uuid.as_ref().is_some_and(|uuid| uuid.takes(pairs))
    }

    /// Whether a slot state of these pairs comes to stores into slots and nothing else.
    #[inline(always)]
    pub(super) fn takes_slots(&mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>]) -> bool {
        self.takes_all(target, dict, pairs, |known| matches!(known.in_slots, Place::Slot(_)))
    }

    #[inline(always)]
    fn takes_all(
        &mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>], fits: impl Fn(&Attribute) -> bool,
    ) -> bool {
        // Whoever else holds the dict would see it filled.
        if !make::is_only_reference(dict) || dict.cast::<PyDict>().map_or(true, |dict| !dict.is_empty()) {
            return false;
        }
        let Ok(at) = self.learnt.way_of(target) else { return false };
        let known = &mut self.learnt.states.known[at];
        let takes = known.way == Way::Attributes
            && pairs.chunks_exact(2).enumerate().all(|(nth, pair)| {
                pair[0].is_exact_instance_of::<PyString>() && known.attribute(target, &pair[0], nth).is_some_and(&fits)
            });
        // Of a type whose objects have ever other attributes, those to come have not to stand back behind those that were.
        if !takes && known.attributes.len() == MOST_ATTRIBUTES {
            self.learnt.states.passing = true;
        }
        takes
    }

    /// Gives a state that `takes_attributes` has looked at.
    #[inline(always)]
    pub(super) fn give_attributes(&mut self, target: &Object<'py>, pairs: Items<'_, Object<'py>>) -> Built<()> {
        let at = self.learnt.way_of(target)?;
        if let (Some(uuid), [_, int]) = (&self.learnt.states.known[at].uuid, pairs.as_slice()) {
            uuid.give(target, int);
            return Ok(());
        }
        for (nth, pair) in pairs.as_slice().chunks_exact(2).enumerate() {
            match self.learnt.states.known[at].attribute(target, &pair[0], nth) {
                Some(known) => attribute::set(target, known.name.bind(self.py), &pair[1])?,
                None => attribute::set(target, &make::interned(pair[0].clone()), &pair[1])?,
            }
        }
        match pairs.len() == self.learnt.states.known[at].usual {
            true => Ok(()),
            false => self.look_for_fields(target, at, pairs.as_slice()),
        }
    }

    /// Gives a state that `takes_slots` has looked at.
    #[inline(always)]
    pub(super) fn give_slots(&mut self, target: &Object<'py>, pairs: Items<'_, Object<'py>>) -> Built<()> {
        let at = self.learnt.way_of(target)?;
        for (nth, pair) in pairs.as_slice().chunks_exact(2).enumerate() {
            match self.learnt.states.known[at].attribute(target, &pair[0], nth) {
                Some(Attribute { in_slots: Place::Slot(offset), .. }) => {
                    attribute::store(target, *offset, pair[1].clone());
                }
                _ => target.setattr(pair[0].cast::<PyString>().map_err(PyErr::from)?, &pair[1])?,
            }
        }
        match pairs.len() == self.learnt.states.known[at].usual {
            true => Ok(()),
            false => self.look_for_fields(target, at, pairs.as_slice()),
        }
    }

    /// After a state of other pairs than those before it: whether fields were missing in it, and are to be filled in.
    #[cold]
    #[inline(never)]
    fn look_for_fields(&mut self, target: &Object<'py>, at: usize, pairs: &[Object<'py>]) -> Built<()> {
        let habit::Learnt { states, records, .. } = &mut *self.learnt;
        let known = &mut states.known[at];
        let keys = pairs.iter().step_by(2);
        let in_order = keys.clone().zip(&known.attributes).filter(|(key, own)| key.is(&own.met)).count() * 2;
        if let Some(record) = known.record {
            if !records.were_whole(record, keys.clone()) && !records.are_whole(record, keys) {
                return Ok(complete(target)?);
            }
        }
        if in_order == pairs.len() {
            known.usual = in_order;
        }
        Ok(())
    }
}
