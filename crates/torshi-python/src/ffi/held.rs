//! The memo's log: one entry for every memo index given out, and the references that keep them alive.
//!
//! Entries are first only noted, without taking a reference: while no foreign code runs, nothing that
//! has been written can die. `settle` takes the references, and must come before foreign code does.
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;

/// Set in an entry whose object is in the memo table already.
const IN_TABLE: usize = 1;

/// Entries up to this many have their memory kept for the next dump of the thread.
const KEEP: usize = 1024;

thread_local! {
    static SPARE: Cell<Vec<usize>> = const { Cell::new(Vec::new()) };
}

/// Objects by memo index; the first `held` of them are owned.
#[derive(Default)]
pub struct Held {
    entries: Vec<usize>,
    held: usize,
}

impl Held {
    /// Number of memo indices given out.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes `object` under the next index. `in_table`: the caller has put it into its table.
    /// False if there is no memory for it.
    #[inline(always)]
    pub fn note(&mut self, object: &Bound<'_, PyAny>, in_table: bool) -> bool {
        self.push(object.as_ptr() as usize | if in_table { IN_TABLE } else { 0 })
    }

    /// Gives out an index for something that no other reference can ever lead to.
    #[inline(always)]
    pub fn note_nothing(&mut self) -> bool {
        self.push(0)
    }

    #[inline(always)]
    fn push(&mut self, entry: usize) -> bool {
        if self.entries.len() == self.entries.capacity() && !self.grow() {
            return false;
        }
        self.entries.push(entry);
        true
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        if self.entries.capacity() == 0 {
            self.entries = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        self.entries.capacity() > self.entries.len() || self.entries.try_reserve(self.entries.len().max(64)).is_ok()
    }

    /// Are there entries that are not owned yet?
    #[inline(always)]
    pub fn is_settled(&self) -> bool {
        self.held == self.entries.len()
    }

    /// Takes a reference to every entry noted since the last time; `insert(address, index)` is called for
    /// those that are not in the caller's table.
    pub fn settle(&mut self, mut insert: impl FnMut(usize, u32)) {
        while self.held < self.entries.len() {
            let (index, entry) = (self.held, self.entries[self.held]);
            self.held += 1;
            let address = entry & !IN_TABLE;
            if address == 0 {
                continue;
            }
            // SAFETY: the object was alive when noted, and `Encoder` settles before foreign code runs and before
            // it drops a temporary, so it still is.
            unsafe { ffi::Py_INCREF(address as *mut ffi::PyObject) };
            if entry & IN_TABLE == 0 {
                insert(address, index as u32);
            }
        }
    }

    /// The held objects and their addresses.
    pub fn objects<'a, 'py>(
        &'a self, py: Python<'py>,
    ) -> impl Iterator<Item = (usize, Bound<'py, PyAny>)> + use<'a, 'py> {
        self.entries[..self.held].iter().map(|entry| entry & !IN_TABLE).filter(|&address| address != 0).map(
            move |address| {
                // SAFETY: one of the entries whose references this owns.
                (address, unsafe { Bound::from_borrowed_ptr(py, address as *mut ffi::PyObject) })
            },
        )
    }

    /// Shows the held objects to the cyclic collector.
    pub fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        for entry in &self.entries[..self.held] {
            let address = (entry & !IN_TABLE) as *mut ffi::PyObject;
            if !address.is_null() {
                // SAFETY: an owned entry; `Py` is lent for the visit only and never dropped. The collector runs with
                // the interpreter attached, and the token is used for nothing else.
                let object = std::mem::ManuallyDrop::new(unsafe {
                    Bound::<PyAny>::from_owned_ptr(Python::assume_attached(), address).unbind()
                });
                visit.call(&*object)?;
            }
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        for entry in &entries[..self.held] {
            let address = (entry & !IN_TABLE) as *mut ffi::PyObject;
            // SAFETY: a reference taken by `settle`, given back once. Memos are dropped with the interpreter attached:
            // at the end of a dump, or when their pickler is deallocated.
            unsafe { ffi::Py_XDECREF(address) };
        }
        if (1..=KEEP).contains(&entries.capacity()) {
            entries.clear();
            let _ = SPARE.try_with(|spare| spare.set(entries)); // fails only while the thread ends
        }
    }
}
