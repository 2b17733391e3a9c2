//! Instances of some classes as calls of functions that are known by name, in a file: what such an instance would say of
//! itself is of no use there.
//!
//! Which classes these are, and which calls, is said in Python (`torshi._tensors`); here it is asked once a class, and
//! written. A name is written as it is given, since functions of compiled modules do not tell where they are found.
use super::failure::{Done, Failed, Step};
use super::opcode::*;
use super::{Encoder, Ways};
use crate::ffi::call;
use crate::ffi::peek;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

/// What is known of classes in this dump, by their address: the class, which so stays where it is, and who writes its
/// instances, if they are written by calls.
pub type Known<'py> = FxHashMap<usize, (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)>;

impl<'py> Encoder<'py> {
    /// Who says by which call an instance is written, if its class is one of those.
    pub(super) fn stand_in(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let class = object.get_type().into_any();
        if let Some((_, known)) = self.stand_ins.get(&peek::address(&class)) {
            return Ok(known.clone());
        }
        let Some(ask) = self.hooks.stand_ins.clone() else { return Ok(None) };
        self.foreign()?;
        let found = Some(call::call1(&ask, &class)?).filter(|found| !found.is_none());
        self.stand_ins.insert(peek::address(&class), (class, found.clone()));
        Ok(found)
    }

    /// An object as a call: what `calls` says of it is `((module, name), arguments)`.
    pub(super) fn save_stand_in(
        &mut self, object: &Bound<'py, PyAny>, calls: &Bound<'py, PyAny>, ways: Ways, shared: bool, epoch: u32,
    ) -> Done {
        self.foreign()?;
        let answer = call::call1(calls, object)?;
        let parts = (peek::is_tuple(&answer) && peek::tuple_len(&answer) == 2)
            .then(|| peek::tuple_item(&answer, 0).zip(peek::tuple_item(&answer, 1)))
            .flatten();
        let Some((function, arguments)) = parts else {
            return Err(self.refuse("an object that stands for another must be a name and arguments"));
        };
        self.calls += 1;
        if self.calls > call::recursion_limit() {
            return Err(call::too_deep(self.py).into());
        }
        let done = self.save_named_call(&function, &arguments);
        self.calls -= 1;
        self.settle().and(done)?;
        if let Some(index) = self.recursive(object, shared, epoch) {
            self.out.op(POP);
            self.get(index);
            return Ok(());
        }
        self.memoize_late(object, ways, shared, epoch)
    }

    fn save_named_call(&mut self, function: &Bound<'py, PyAny>, arguments: &Bound<'py, PyAny>) -> Done {
        match self.memo.get(function) {
            Some(index) => self.get(index),
            None => self.save_given_name(function)?,
        }
        self.save(arguments, Ways::Passing).map_err(|e| e.at(Step::Inside("arguments")))?;
        self.out.op(REDUCE);
        Ok(())
    }

    /// A global by the names given for it.
    fn save_given_name(&mut self, function: &Bound<'py, PyAny>) -> Done {
        let names = (peek::is_tuple(function) && peek::tuple_len(function) == 2)
            .then(|| peek::tuple_item(function, 0).zip(peek::tuple_item(function, 1)))
            .flatten();
        let Some((module, name)) = names.filter(|(module, name)| peek::is_text(module) && peek::is_text(name)) else {
            return Err(self.refuse("a name of a function must be a module and a name in it"));
        };
        if let Some(names) = &self.named {
            names.borrow_mut().push(format!("{}:{}", peek::display(&module), peek::display(&name)));
        }
        self.save(&module, Ways::Again)?;
        self.save(&name, Ways::Again)?;
        self.out.op(STACK_GLOBAL);
        self.memoize(function, Ways::Again, true)
    }
}
