//! What loads learn from each other: strings, shapes of records, memory. A program mostly loads the same kind
//! of message again and again. Nothing here changes what a load gives.

use super::keys::Keys;
use super::locate::Places;
use super::records::Records;
use super::shapes::Shapes;
use super::state::StateWays;
use super::Object;
use pyo3::prelude::*;
use std::sync::Mutex;

/// Values of the largest stack whose memory is kept.
const MOST_STACK: usize = 8192;

/// What one load has learnt from those before it.
#[derive(Default)]
pub struct Learnt {
    pub keys: Keys,
    pub places: Places,
    pub shapes: Shapes,
    pub records: Records,
    pub states: StateWays,
    /// Memory for the stack and the marks of the machine.
    stack: Vec<Py<PyAny>>,
    marks: Vec<usize>,
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
        if learnt.records.are_too_many() {
            (learnt.states, learnt.records) = Default::default(); // the ones lead to the others
        } else if learnt.states.are_past() {
            learnt.states = StateWays::default();
        }
        learnt
    }

    /// Where what is known of how an object takes state is.
    #[inline(always)]
    pub fn way_of(&mut self, object: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.states.of(&mut self.records, object)
    }

    /// Memory for stack and marks of a machine, the stack with room for so many values.
    pub fn memory<'py>(&mut self, py: Python<'py>, room: usize) -> (Vec<Object<'py>>, Vec<usize>) {
        // Nothing is in it: what is collected is the same memory under another type.
        let mut stack: Vec<_> = std::mem::take(&mut self.stack).into_iter().map(|value| value.into_bound(py)).collect();
        stack.reserve(room);
        (stack, std::mem::take(&mut self.marks))
    }

    /// Keeps that memory for the next load.
    pub fn keep_memory(&mut self, (mut stack, marks): (Vec<Object<'_>>, Vec<usize>)) {
        stack.clear();
        self.marks = marks;
        if stack.capacity() <= MOST_STACK {
            self.stack = stack.into_iter().map(Bound::unbind).collect();
        }
    }

    /// Leaves it to the next load.
    pub fn give_back(self: Box<Self>) {
        let old = SPARE.try_lock().ok().and_then(|mut spare| spare.replace(self));
        drop(old); // outside the lock: dropping strings runs no code, but takes time
    }
}
