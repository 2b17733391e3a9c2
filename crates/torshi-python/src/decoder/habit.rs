//! What loads learn from each other: strings, shapes of records, memory. A program mostly loads the same kind
//! of message again and again. Nothing here changes what a load gives.

use super::keys::Keys;
use super::locate::Places;
use super::records::Records;
use super::shapes::Shapes;
use super::state::StateWays;
use pyo3::prelude::*;
use std::sync::Mutex;

/// What one load has learnt from those before it.
#[derive(Default)]
pub struct Learnt {
    pub keys: Keys,
    pub places: Places,
    pub shapes: Shapes,
    pub records: Records,
    pub states: StateWays,
    /// Memory for the marks of the machine.
    pub marks: Vec<usize>,
    /// Memory for the memo of a short load.
    pub slots: Vec<Option<Py<PyAny>>>,
}

/// It while no load has it.
static SPARE: Mutex<Option<Box<Learnt>>> = Mutex::new(None);

impl Learnt {
    /// Takes it for a stream of this many bytes. A load within a load, or beside it in another thread, begins anew.
    pub fn take(stream: usize) -> Box<Self> {
        let mut learnt = SPARE.try_lock().ok().and_then(|mut spare| spare.take()).unwrap_or_default();
        learnt.keys.begin(stream);
        if learnt.states.are_past() || learnt.records.are_too_many() {
            (learnt.states, learnt.records) = Default::default(); // the ones lead to the others
        }
        learnt
    }

    /// Where what is known of how an object takes state is.
    #[inline(always)]
    pub fn way_of(&mut self, object: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.states.of(&mut self.records, object)
    }

    /// Leaves it to the next load.
    pub fn give_back(self: Box<Self>) {
        let old = SPARE.try_lock().ok().and_then(|mut spare| spare.replace(self));
        drop(old); // outside the lock: dropping strings runs no code, but takes time
    }
}
