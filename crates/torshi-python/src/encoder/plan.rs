//! Instances of ordinary classes, written without calling them.
//!
//! A class whose instances would reduce by `object.__reduce_ex__` with nothing overridden gets a plan; so do
//! named tuples. A plan holds for one version of the class (`tp_version_tag` changes with any change to it or to
//! its bases); an instance whose own dict holds a double-underscore name, or a class in `copyreg`'s table, takes
//! the long way.
use super::failure::{Done, Failed};
use super::memo::Full;
use super::opcode::*;
use super::{Encoder, Ways};
use crate::ffi::peek::{self, Text};
use crate::ffi::value::{recognize, Value};
use crate::ffi::{call, instance};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};

/// Name and place of a slot.
pub type Slot = (Py<PyAny>, isize);

/// How instances of one class are written.
#[derive(Default)]
pub struct Plan {
    /// Slots by name and place.
    slots: Vec<Slot>,
    has_dict: bool,
    is_named_tuple: bool,
    value: Option<Value>,
    uuid: Option<Uuid>,
}

impl Plan {
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub fn has_dict(&self) -> bool {
        self.has_dict
    }

    pub fn is_named_tuple(&self) -> bool {
        self.is_named_tuple
    }

    /// Is there nothing to instances but the items of a named tuple, a dict and slots?
    pub fn is_plain(&self) -> bool {
        self.value.is_none() && self.uuid.is_none()
    }
}

/// `uuid.UUID`, whose `__getstate__` leaves out what is unknown: an integer, mostly, and nothing else.
struct Uuid {
    int: isize,
    is_safe: isize,
    unknown: Py<PyAny>,
}

/// What is known about one version of a class: `None`, that it has no plan.
#[derive(Clone)]
struct Known {
    version: u32,
    plan: Option<Arc<Plan>>,
}

/// By the address of the class. An entry of a class that has died is met by another version.
static KNOWN: Mutex<Option<FxHashMap<usize, Known>>> = Mutex::new(None);
/// Classes remembered at most: programs that make classes without end must not fill the memory.
const REMEMBERED: usize = 4096;
const MOST_SLOTS: usize = 255;

/// The classes met in this dump, latest first.
#[derive(Default)]
pub struct Recent<'py> {
    entries: Vec<Entry<'py>>,
}

struct Entry<'py> {
    class: Bound<'py, PyAny>,
    /// Valid as long as no foreign code has run.
    epoch: u32,
    known: Known,
}

impl<'py> Encoder<'py> {
    fn plan(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Arc<Plan>>, Failed> {
        let address = peek::type_address(object);
        let epoch = self.memo.epoch();
        for (i, entry) in self.plans.entries.iter_mut().enumerate() {
            if peek::address(&entry.class) == address {
                if entry.epoch != epoch {
                    if entry.known.version != instance::version_of_type(object) || entry.known.version == 0 {
                        self.plans.entries.swap_remove(i);
                        break;
                    }
                    if entry.known.plan.is_some()
                        && peek::is_key(self.imports.dispatch_table.bind(self.py), &entry.class)?
                    {
                        return Ok(None);
                    }
                    entry.epoch = epoch;
                }
                return Ok(entry.known.plan.clone());
            }
        }
        self.find_plan(object)
    }

    #[inline(never)]
    fn find_plan(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Arc<Plan>>, Failed> {
        let class = object.get_type().into_any();
        if !instance::hashes_by_address(&class) {
            return Ok(None);
        }
        if peek::is_key(self.imports.dispatch_table.bind(self.py), &class)? {
            return Ok(None);
        }
        let (address, version) = (peek::address(&class), instance::type_version(&class));
        let cached = KNOWN.try_lock().ok().and_then(|known| known.as_ref()?.get(&address).cloned());
        let known = match cached {
            Some(known) if known.version == version && version != 0 => known,
            _ => {
                let plan = match self.plan_by_sight(&class) {
                    Some(plan) => plan,
                    None => {
                        self.foreign()?;
                        let plan = self.make_plan(&class)?;
                        // Asking may run code that changes the class.
                        self.plan_by_sight(&class).unwrap_or(plan)
                    }
                };
                let plan = plan.map(Arc::new);
                // Asking for the slot names changes the class, so the version is read afterwards.
                let known = Known { version: instance::type_version(&class), plan };
                if let Ok(mut cache) = KNOWN.try_lock() {
                    let cache = cache.get_or_insert_default();
                    if cache.len() >= REMEMBERED {
                        cache.clear();
                    }
                    cache.insert(address, known.clone());
                }
                known
            }
        };
        if self.plans.entries.len() >= 16 {
            self.plans.entries.pop();
        }
        let plan = known.plan.clone();
        self.plans.entries.push(Entry { class, epoch: self.memo.epoch(), known });
        Ok(plan)
    }

    /// What a look at the class says, which runs no code: its plan, or that it has none. `None`: it has to be asked.
    pub(super) fn plan_by_sight(&self, class: &Bound<'py, PyAny>) -> Option<Option<Plan>> {
        let (py, imports) = (self.py, self.imports);
        let names = &imports.names;
        if let value @ Some(_) = recognize(class) {
            return Some(Some(Plan { value, ..Plan::default() }));
        }
        let is = |name: &Py<pyo3::types::PyString>, expected: &Py<PyAny>| {
            instance::class_attribute(class, name.bind(py).as_any()).is_some_and(|found| found.is(expected))
        };
        let ordinary = is(&names.reduce_ex, &imports.object_reduce_ex)
            && is(&names.reduce, &imports.object_reduce)
            && is(&names.class, &imports.object_class)
            && instance::class_attribute(class, names.getnewargs_ex.bind(py).as_any()).is_none()
            && instance::has_plain_attributes(class)
            && instance::is_heap_type(class);
        (!ordinary).then_some(None)
    }

    /// The plan of a class that looks ordinary.
    pub(super) fn make_plan(&self, class: &Bound<'py, PyAny>) -> Result<Option<Plan>, Failed> {
        let (py, imports) = (self.py, self.imports);
        let names = &imports.names;
        if let uuid @ Some(_) = self.uuid(class)? {
            return Ok(Some(Plan { uuid, ..Plan::default() }));
        }
        let getstate = instance::class_attribute(class, names.getstate.bind(py).as_any());
        if !getstate.is_some_and(|found| found.is(&imports.object_getstate)) {
            return Ok(None);
        }
        let is_named_tuple = match instance::class_attribute(class, names.getnewargs.bind(py).as_any()) {
            None => false,
            Some(function) => {
                let named = peek::kind(&function) == peek::Kind::Function
                    && call::lookup(&function, names.code.bind(py).as_any())?
                        .is_some_and(|code| code.is(&imports.namedtuple_code));
                if !(named && instance::derives_from_tuple(class)) {
                    return Ok(None);
                }
                true
            }
        };
        let Some(slots) = self.slots(class)? else { return Ok(None) };
        if !is_named_tuple && (instance::derives_from_builtin(class) || !instance::has_plain_layout(class, slots.len()))
        {
            return Ok(None);
        }
        Ok(Some(Plan { slots, has_dict: instance::has_dict(class), is_named_tuple, ..Plan::default() }))
    }

    /// The class is `uuid.UUID`, and reduces as the standard library has it.
    fn uuid(&self, class: &Bound<'py, PyAny>) -> Result<Option<Uuid>, Failed> {
        let (py, names) = (self.py, &self.imports.names);
        let Some(module) = call::module(names.uuid.bind(py).as_any())? else { return Ok(None) };
        if !call::lookup(&module, names.uuid_class.bind(py).as_any())?.is_some_and(|found| found.is(class)) {
            return Ok(None);
        }
        let own = |name: &Py<pyo3::types::PyString>| instance::class_attribute(class, name.bind(py).as_any());
        // Another `__getstate__` put in its place would say that it is of another module.
        let home = match own(&names.getstate) {
            Some(function) => call::lookup(&function, names.module.bind(py).as_any())?,
            None => None,
        };
        let known = home.is_some_and(|home| matches!(peek::text(&home), Some(Text::Ascii(b"uuid"))))
            && own(&names.getnewargs).is_none();
        let place = |name| own(name).and_then(|slot| instance::slot_offset(class, &slot));
        let unknown = match call::lookup(&module, names.safe_uuid.bind(py).as_any())? {
            Some(safe) if known => call::lookup(&safe, names.unknown.bind(py).as_any())?,
            _ => None,
        };
        Ok(match (place(&names.int), place(&names.is_safe), unknown) {
            (Some(int), Some(is_safe), Some(unknown)) => Some(Uuid { int, is_safe, unknown: unknown.unbind() }),
            _ => None,
        })
    }

    /// The slots `copyreg` finds, with their places; `None` if one of them is not a plain slot.
    fn slots(&self, class: &Bound<'py, PyAny>) -> Result<Option<Vec<Slot>>, Failed> {
        let names = call::call1(self.imports.slotnames.bind(self.py), class)?;
        if peek::kind(&names) != peek::Kind::List || peek::list_len(&names) > MOST_SLOTS {
            return Ok(None);
        }
        let mut slots = Vec::new();
        while let Some(name) = peek::list_item(&names, slots.len()) {
            if peek::kind(&name) != peek::Kind::Str {
                return Ok(None);
            }
            let place = instance::class_attribute(class, &name).and_then(|slot| instance::slot_offset(class, &slot));
            let Some(place) = place else { return Ok(None) };
            slots.push((name.unbind(), place));
        }
        Ok(Some(slots))
    }

    /// Writes an instance by its class's plan; false, and nothing written, if it has none.
    pub(super) fn save_planned(
        &mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool, below: Ways,
    ) -> Result<bool, Failed> {
        if self.hooks.persistent_id.is_some() {
            return Ok(false);
        }
        let Some(plan) = self.plan(object)? else { return Ok(false) };
        if let Some(kind) = plan.value {
            return self.save_known_value(object, kind, ways, shared, below);
        }
        if plan.uuid.as_ref().is_some_and(|uuid| uuid.state(object).is_none()) {
            return Ok(false);
        }
        let dict = if plan.has_dict { instance::dict(object)? } else { None };
        if dict.as_ref().is_some_and(|dict| !is_ordinary(dict)) {
            return Ok(false);
        }
        let epoch = self.memo.epoch();
        let class = object.get_type().into_any();
        self.save(&class, Ways::Again)?;
        if plan.is_named_tuple {
            self.save_named_tuple_items(object, below)?;
        } else {
            self.between()?;
            self.out.op(EMPTY_TUPLE);
        }
        self.out.op(NEWOBJ);
        if let Some(index) = self.recursive(object, shared, epoch) {
            self.out.op(POP);
            self.get(index);
            return Ok(true);
        }
        self.memoize_late(object, ways, shared, epoch)?;
        match plan.uuid.as_ref().and_then(|uuid| uuid.state(object)) {
            Some(int) => self.save_uuid_state(&int)?,
            None => self.save_state(object, dict.as_ref(), &plan)?,
        }
        Ok(true)
    }

    /// `{'int': int}`, made anew each time.
    fn save_uuid_state(&mut self, int: &Bound<'py, PyAny>) -> Done {
        self.between()?;
        self.out.op(EMPTY_DICT);
        self.memoize_nothing()?;
        let name = self.imports.names.int.bind(self.py);
        self.save(name, Ways::Again)?;
        self.save(int, Ways::Counted).map_err(|e| e.at_key(name).in_state())?;
        self.out.op(SETITEM);
        self.out.op(BUILD);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn between(&mut self) -> Done {
        if self.out.is_full() {
            self.boundary()?;
        }
        Ok(())
    }

    /// Memoizes something that stock makes anew each time, and that nothing can lead to again.
    #[inline(always)]
    pub(super) fn memoize_nothing(&mut self) -> Done {
        match self.memo.put_nothing() {
            Ok(index) => {
                self.put(index);
                Ok(())
            }
            Err(Full) => Err(self.full()),
        }
    }

    /// The argument tuple of a named tuple, which is itself as a plain tuple.
    fn save_named_tuple_items(&mut self, object: &Bound<'py, PyAny>, below: Ways) -> Done {
        let len = peek::tuple_len(object);
        self.between()?;
        if len == 0 {
            self.out.op(EMPTY_TUPLE);
            return Ok(());
        }
        if len > 3 {
            self.out.op(MARK);
        }
        for i in 0..len {
            if let Some(item) = peek::tuple_item(object, i) {
                self.save(&item, below).map_err(|e| e.at_index(i))?;
            }
        }
        self.out.op(match len {
            1 => TUPLE1,
            2 => TUPLE2,
            3 => TUPLE3,
            _ => TUPLE,
        });
        self.memoize_nothing()
    }

    fn save_state(&mut self, object: &Bound<'py, PyAny>, dict: Option<&Bound<'py, PyAny>>, plan: &Plan) -> Done {
        let filled = plan.slots.iter().filter(|(_, place)| instance::slot(object, *place).is_some()).count();
        if filled == 0 {
            if let Some(dict) = dict {
                self.save(dict, Ways::Counted).map_err(Failed::in_state)?;
                self.out.op(BUILD);
            }
            return Ok(());
        }
        // (dict or None, {slot: value}), the pair and the second dict made anew each time.
        self.between()?;
        match dict {
            Some(dict) => self.save(dict, Ways::Counted).map_err(Failed::in_state)?,
            None => {
                self.between()?;
                self.out.op(NONE);
            }
        }
        self.between()?;
        self.out.op(EMPTY_DICT);
        self.memoize_nothing()?;
        if filled > 1 {
            self.out.op(MARK);
        }
        let mut left = filled;
        for (name, place) in &plan.slots {
            let Some(value) = instance::slot(object, *place) else { continue };
            let name = name.bind(self.py);
            if left == 0 {
                break;
            }
            left -= 1;
            self.save(name, Ways::Again)?;
            self.save(&value, Ways::Counted).map_err(|e| e.at_key(name).in_state())?;
        }
        if left > 0 {
            return Err(self.changed("slots changed during iteration"));
        }
        self.out.op(if filled > 1 { SETITEMS } else { SETITEM });
        self.out.op(TUPLE2);
        self.memoize_nothing()?;
        self.out.op(BUILD);
        Ok(())
    }
}

impl Uuid {
    /// The integer, if that is all there is to say.
    #[inline(always)]
    fn state<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let unknown = instance::slot(object, self.is_safe)?.is(&self.unknown);
        instance::slot(object, self.int).filter(|int| unknown && peek::kind(int) == peek::Kind::Int)
    }
}

/// No attribute of the instance hides a method that reducing would look up.
#[inline(always)]
pub fn is_ordinary(dict: &Bound<'_, PyAny>) -> bool {
    let mut position = 0;
    while let Some((key, _)) = peek::dict_next(dict, &mut position) {
        if peek::kind(&key) == peek::Kind::Str && matches!(peek::text(&key), Some(Text::Ascii([b'_', b'_', ..]))) {
            return false;
        }
    }
    true
}
