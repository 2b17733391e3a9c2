//! Filling containers: exact ones directly, others by their methods as stock pickle does. Keys that
//! may collide by design are counted, so that no dict or set is driven into quadratic time.

use super::{Built, Object, Objects};
use crate::ffi::make;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;
use torshi_core::domain::Items;
use torshi_core::error::{Fault, Site};

/// Python's modulus for hashing numbers: below it, different ints have different hashes.
const HASH_MODULUS: i64 = (1 << 61) - 1;

/// Keys of equal hash, counted for each container.
pub struct Collisions {
    limit: u32,
    seen: FxHashMap<usize, FxHashMap<isize, u32>>,
}

impl Collisions {
    pub fn new(limit: u32) -> Self {
        Collisions { limit, seen: FxHashMap::default() }
    }

    /// Forgets a container that is filled from empty: an address may be used again.
    #[inline(always)]
    fn start(&mut self, container: &Bound<'_, PyAny>) {
        if !self.seen.is_empty() {
            self.seen.remove(&(container.as_ptr() as usize));
        }
    }

    /// Counts a key about to be stored.
    #[inline(always)]
    fn count(&mut self, container: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>, site: Site) -> Built<()> {
        if is_collision_free(key) {
            return Ok(());
        }
        self.count_hash(container, key.hash()?, site)
    }

    fn count_hash(&mut self, container: &Bound<'_, PyAny>, hash: isize, site: Site) -> Built<()> {
        let hashes = self.seen.entry(container.as_ptr() as usize).or_default();
        let count = hashes.entry(hash).or_insert(0);
        *count += 1;
        if *count > self.limit {
            let detail = format!("{count} keys of one {} have the same hash", super::type_name(container));
            return Err(Fault::limit(site, "collisions", self.limit.into(), detail).into());
        }
        Ok(())
    }
}

/// Text and bytes are hashed with a secret key, and small ints are their own hash.
#[inline(always)]
pub(super) fn is_collision_free(key: &Bound<'_, PyAny>) -> bool {
    if key.is_exact_instance_of::<PyString>() {
        return true;
    }
    if key.is_exact_instance_of::<PyInt>() {
        return make::small_integer(key).is_some_and(|n| -HASH_MODULUS < n && n < HASH_MODULUS);
    }
    key.is_exact_instance_of::<PyBytes>()
        || key.is_exact_instance_of::<PyFloat>()
        || key.is_none()
        || key.is_instance_of::<PyType>()
}

impl<'py> Objects<'py, '_> {
    #[inline(always)]
    pub(super) fn fill_dict(&mut self, dict: &Object<'py>, pairs: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        let dict = dict.cast::<PyDict>().map_err(PyErr::from)?;
        if dict.is_empty() {
            self.collisions.start(dict);
            if self.learnt.shapes.fill(dict, pairs.as_slice())? {
                return Ok(()); // all keys are text, so none collide by design
            }
        }
        for pair in pairs.as_slice().chunks_exact(2) {
            self.collisions.count(dict, &pair[0], site)?;
            dict.set_item(&pair[0], &pair[1])?;
        }
        Ok(())
    }

    pub(super) fn fill_set(&mut self, set: &Object<'py>, items: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        let set = set.cast::<PySet>().map_err(PyErr::from)?;
        if set.is_empty() {
            self.collisions.start(set);
        }
        for item in items.as_slice() {
            self.collisions.count(set, item, site)?;
            set.add(item)?;
        }
        Ok(())
    }

    pub(super) fn make_frozenset(
        &mut self, items: impl Iterator<Item = Object<'py>>, site: Site,
    ) -> Built<Object<'py>> {
        let made = make::frozenset(self.py)?;
        let target = made.cast::<PyFrozenSet>().map_err(PyErr::from)?;
        self.collisions.start(&made);
        for item in items {
            self.collisions.count(&made, &item, site)?;
            make::frozenset_add(target, &item)?;
        }
        Ok(made)
    }

    /// `set([...])` and `frozenset([...])`, as protocols 0 to 3 write them: the same filling, so the
    /// same counting. `None` where the call is anything else.
    #[inline(always)]
    pub(super) fn make_set(
        &mut self, callable: &Object<'py>, arguments: &Bound<'py, PyTuple>, site: Site,
    ) -> Built<Option<Object<'py>>> {
        if arguments.len() != 1 {
            return Ok(None);
        }
        // Most calls have no list, and end here.
        let items = arguments.get_borrowed_item(0)?;
        let Ok(items) = items.cast_exact::<PyList>() else { return Ok(None) };
        let (is_set, is_frozen) =
            (callable.is(self.py.get_type::<PySet>()), callable.is(self.py.get_type::<PyFrozenSet>()));
        if !(is_set || is_frozen) {
            return Ok(None);
        }
        let made = self.make_frozenset(items.iter(), site)?;
        match is_frozen {
            true => Ok(Some(made)),
            false => Ok(Some(callable.call1((made,))?)),
        }
    }

    /// By `extend` if the object has it, else item by item.
    pub(super) fn extend_instance(&mut self, target: &Object<'py>, mut items: Items<'_, Object<'py>>) -> Built<()> {
        if self.record_items(target, "items", &mut items)? {
            return Ok(());
        }
        if let Some(extend) = target.getattr_opt(pyo3::intern!(self.py, "extend"))? {
            let list = make::list_of(self.py, items.drain())?;
            extend.call1((list,))?;
            return Ok(());
        }
        let append = target.getattr(pyo3::intern!(self.py, "append"))?;
        for item in items.drain() {
            append.call1((item,))?;
        }
        Ok(())
    }

    pub(super) fn update_instance(
        &mut self, target: &Object<'py>, mut pairs: Items<'_, Object<'py>>, site: Site,
    ) -> Built<()> {
        if self.record_items(target, "entries", &mut pairs)? {
            return Ok(());
        }
        for pair in pairs.as_slice().chunks_exact(2) {
            self.collisions.count(target, &pair[0], site)?;
            target.set_item(&pair[0], &pair[1])?;
        }
        Ok(())
    }

    pub(super) fn add_to_instance(
        &mut self, target: &Object<'py>, mut items: Items<'_, Object<'py>>, site: Site,
    ) -> Built<()> {
        if self.record_items(target, "added", &mut items)? {
            return Ok(());
        }
        let add = target.getattr(pyo3::intern!(self.py, "add"))?;
        for item in items.drain() {
            self.collisions.count(target, &item, site)?;
            add.call1((item,))?;
        }
        Ok(())
    }
}
