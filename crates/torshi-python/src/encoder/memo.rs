//! Objects already written: address to memo index.
//!
//! Every object that gets a PUT is noted in a log (`Held`); only those that can be met again go into the hash
//! table at once. Before foreign code runs the log is settled: references taken, the rest put into the table.
use crate::ffi::held::Held;
use crate::ffi::peek;
use pyo3::prelude::*;
use std::cell::Cell;

/// The memo of one dump, or of a pickler between dumps.
#[derive(Default)]
pub struct Memo {
    log: Held,
    table: Table,
    /// Counts the times foreign code may have run.
    epoch: u32,
}

impl Memo {
    /// Number of entries, which is also the next index.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Changes whenever foreign code may have run.
    #[inline(always)]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The index of an object that is in the table.
    #[inline(always)]
    pub fn get(&self, object: &Bound<'_, PyAny>) -> Option<u32> {
        self.table.get(peek::address(object))
    }

    /// Gives `object` the next index. `shared`: it can be met again even if no foreign code runs.
    #[inline(always)]
    pub fn put(&mut self, object: &Bound<'_, PyAny>, shared: bool) -> Result<u32, Full> {
        let index = u32::try_from(self.log.len()).map_err(|_| Full)?;
        if shared {
            self.table.insert(peek::address(object), index)?;
        }
        if self.log.note(object, shared) {
            Ok(index)
        } else {
            Err(Full)
        }
    }

    /// The index of an object that is in the table; gives it the next one if it is not.
    #[inline(always)]
    pub fn get_or_put(&mut self, object: &Bound<'_, PyAny>) -> Result<Option<u32>, Full> {
        let index = u32::try_from(self.log.len()).map_err(|_| Full)?;
        let known = self.table.get_or_insert(peek::address(object), index)?;
        if known.is_none() && !self.log.note(object, true) {
            return Err(Full);
        }
        Ok(known)
    }

    /// Gives the next index to something no other reference leads to.
    #[inline(always)]
    pub fn put_nothing(&mut self) -> Result<u32, Full> {
        let index = u32::try_from(self.log.len()).map_err(|_| Full)?;
        if self.log.note_nothing() {
            Ok(index)
        } else {
            Err(Full)
        }
    }

    /// To be called before foreign code runs and before a temporary is dropped.
    #[inline(always)]
    pub fn settle(&mut self) -> Result<(), Full> {
        self.epoch = self.epoch.wrapping_add(1);
        if self.log.is_settled() {
            return Ok(());
        }
        self.settle_entries()
    }

    #[inline(never)]
    fn settle_entries(&mut self) -> Result<(), Full> {
        let (log, table) = (&mut self.log, &mut self.table);
        let mut full = false;
        log.settle(|address, index| full |= table.insert(address, index).is_err());
        if full {
            Err(Full)
        } else {
            Ok(())
        }
    }

    /// A copy with the same entries.
    pub fn duplicate(&mut self, py: Python<'_>) -> Result<Memo, Full> {
        self.settle()?;
        Memo::from_entries(self.entries(py).into_iter())
    }

    /// Every entry: object and index. The memo must be settled.
    pub fn entries<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyAny>, u32)> {
        self.log.objects(py).filter_map(|(address, object)| Some((object, self.table.get(address)?))).collect()
    }

    /// A memo with given entries.
    pub fn from_entries<'py>(entries: impl Iterator<Item = (Bound<'py, PyAny>, u32)>) -> Result<Memo, Full> {
        let mut memo = Memo::default();
        for (object, index) in entries {
            if memo.get(&object).is_none() && !memo.log.note(&object, true) {
                return Err(Full);
            }
            memo.table.insert(peek::address(&object), index)?;
        }
        memo.settle()?;
        Ok(memo)
    }

    /// Shows the objects to the cyclic collector.
    pub fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.log.traverse(visit)
    }
}

/// The memo cannot grow: no memory, or 2^32 entries.
#[derive(Debug)]
pub struct Full;

/// Tables up to this many places are kept for the next dump of the thread.
const KEEP: usize = 256;
/// Places of a table to begin with: few, since they must be emptied first.
const FIRST: usize = 64;

thread_local! {
    static SPARE: Cell<Vec<Place>> = const { Cell::new(Vec::new()) };
}

impl Drop for Table {
    fn drop(&mut self) {
        if (1..=KEEP).contains(&self.places.capacity()) {
            let places = std::mem::take(&mut self.places);
            let _ = SPARE.try_with(|spare| spare.set(places)); // fails only while the thread ends
        }
    }
}

/// An address and its index; without gaps, so that emptying a table is one fill with zeros.
type Place = (usize, usize);

/// Open addressing with linear probing; address 0 is an empty place.
#[derive(Default)]
struct Table {
    places: Vec<Place>,
    used: usize,
    shift: u32,
}

impl Table {
    /// Multiplication by the golden ratio spreads addresses, which share their low and high bits.
    #[inline(always)]
    fn start(&self, address: usize) -> usize {
        ((address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline(always)]
    fn get(&self, address: usize) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let mask = self.places.len() - 1;
        let mut i = self.start(address) & mask;
        loop {
            let (found, index) = self.places[i & mask];
            if found == address {
                return Some(index as u32);
            }
            if found == 0 {
                return None;
            }
            i = (i + 1) & mask;
        }
    }

    /// The index under this address; puts this one there if there is none.
    #[inline(always)]
    fn get_or_insert(&mut self, address: usize, index: u32) -> Result<Option<u32>, Full> {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow()?;
        }
        let mask = self.places.len() - 1;
        let mut i = self.start(address) & mask;
        loop {
            let place = &mut self.places[i & mask];
            if place.0 == address {
                return Ok(Some(place.1 as u32));
            }
            if place.0 == 0 {
                *place = (address, index as usize);
                self.used += 1;
                return Ok(None);
            }
            i = (i + 1) & mask;
        }
    }

    #[inline]
    fn insert(&mut self, address: usize, index: u32) -> Result<(), Full> {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow()?;
        }
        let mask = self.places.len() - 1;
        let mut i = self.start(address) & mask;
        while self.places[i].0 != 0 && self.places[i].0 != address {
            i = (i + 1) & mask;
        }
        self.used += usize::from(self.places[i].0 == 0);
        self.places[i] = (address, index as usize);
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> Result<(), Full> {
        if self.places.is_empty() {
            let mut places = SPARE.try_with(Cell::take).unwrap_or_default();
            if places.capacity() >= FIRST {
                places.clear();
                places.resize(FIRST, (0, 0));
                self.shift = 64 - FIRST.trailing_zeros();
                self.places = places;
                return Ok(());
            }
        }
        let size = if self.places.len() < 1 << 16 { (self.places.len() * 4).max(FIRST) } else { self.places.len() * 2 };
        let mut places = Vec::new();
        places.try_reserve_exact(size).map_err(|_| Full)?;
        places.resize(size, (0, 0));
        let old = std::mem::replace(&mut self.places, places);
        self.shift = 64 - size.trailing_zeros();
        self.used = 0;
        for (address, index) in old.into_iter().filter(|place| place.0 != 0) {
            self.insert(address, index as u32)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_table_finds_what_was_put_in_and_nothing_else() {
        let mut table = Table::default();
        assert_eq!(table.get(16), None);
        for i in 1..5000usize {
            table.insert(i * 16, i as u32).unwrap();
        }
        assert!((1..5000).all(|i| table.get(i * 16) == Some(i as u32)));
        assert_eq!(table.get(8), None);
        table.insert(160, 7).unwrap();
        assert_eq!((table.get(160), table.used), (Some(7), 4999));
    }
}
