//! Everything without an opcode of its own: asks the object how it is made, and writes that.
//!
//! What the answer holds is temporary: it is held by the memo as soon as it is memoized, and the memo is
//! settled before the answer is dropped.
use super::failure::{Done, Failed, Step};
use super::opcode::*;
use super::{Encoder, Ways};
use crate::ffi::peek::{self, Kind, Text};
use crate::ffi::{call, instance};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// The object a reduce answer is about, and what was known when it was begun.
#[derive(Clone, Copy)]
struct Subject<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    ways: Ways,
    shared: bool,
    epoch: u32,
}

impl<'py> Encoder<'py> {
    pub(super) fn save_instance(
        &mut self, object: &Bound<'py, PyAny>, kind: Kind, ways: Ways, shared: bool, below: Ways,
    ) -> Done {
        if self.planned && kind == Kind::Other && self.save_planned(object, ways, shared, below)? {
            return Ok(());
        }
        let epoch = self.memo.epoch();
        let unhooked = self.hooks.reducer_override.is_none() && self.hooks.dispatch_table.is_none();
        let names = &self.imports.names;
        let own = [names.reduce_ex.bind(self.py).as_any(), names.reduce.bind(self.py).as_any()];
        if unhooked && (kind != Kind::Other || peek::is_type(object) || instance::reduces_in_c(object, own)) {
            self.settle()?;
        } else {
            self.foreign()?;
        }
        let mut answer = None;
        if let Some(hook) = self.hooks.reducer_override.clone() {
            let value = call::call1(&hook, object)?;
            if !value.is(&self.imports.not_implemented) {
                answer = Some(value);
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => match kind {
                Kind::Type => return self.save_type(object, ways, shared, epoch),
                Kind::Function => return self.save_global(object, None, ways, shared, epoch),
                _ => match self.ask(object)? {
                    Some(answer) => answer,
                    None => return self.save_global(object, None, ways, shared, epoch),
                },
            },
        };
        if self.planned {
            self.learn_array(object, &answer);
        }
        // A chain of new objects that make new objects must end; containers may be as deep as they like.
        self.calls += 1;
        if self.calls > call::recursion_limit() {
            return Err(call::too_deep(self.py).into());
        }
        let done = self.save_answer(&answer, Subject { object, ways, shared, epoch });
        self.calls -= 1;
        self.settle().and(done)
    }

    /// What the dispatch table, `__reduce_ex__` or `__reduce__` say; `None`: a class, saved by name.
    pub(super) fn ask(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let (py, imports) = (self.py, self.imports);
        let class = object.get_type().into_any();
        let registered = match &self.hooks.dispatch_table {
            Some(table) => call::item(table, &class)?,
            None => call::dict_get(imports.dispatch_table.bind(py), &class)?,
        };
        if let Some(function) = registered {
            return Ok(Some(call::call1(&function, object)?));
        }
        if peek::is_type(object) {
            return Ok(None);
        }
        if let Some(method) = call::lookup(object, imports.names.reduce_ex.bind(py).as_any())? {
            let protocol = imports.protocol_numbers[usize::from(self.protocol)].bind(py);
            return Ok(Some(call::call1(&method, protocol)?));
        }
        if let Some(method) = call::lookup(object, imports.names.reduce.bind(py).as_any())? {
            return Ok(Some(call::call0(&method)?));
        }
        let repr = call::repr(object)?;
        Err(self.refuse(&format!("can't pickle '{}' object: {}", peek::type_name(object), peek::display(&repr))))
    }

    fn save_answer(&mut self, answer: &Bound<'py, PyAny>, subject: Subject<'_, 'py>) -> Done {
        if peek::is_text(answer) {
            return self.save_global(subject.object, Some(answer), subject.ways, subject.shared, subject.epoch);
        }
        if !peek::is_tuple(answer) {
            return Err(self.refuse("__reduce__ must return a string or tuple"));
        }
        let len = peek::tuple_len(answer);
        if !(2..=6).contains(&len) {
            return Err(self.refuse("tuple returned by __reduce__ must contain 2 through 6 elements"));
        }
        let part = |i| peek::tuple_item(answer, i).filter(|part| !part.is_none());
        let (Some(callable), Some(args)) = (peek::tuple_item(answer, 0), peek::tuple_item(answer, 1)) else {
            return Err(self.refuse("__reduce__ must return a string or tuple"));
        };
        let (state, items, pairs, setter) = (part(2), part(3), part(4), part(5));
        if !peek::is_callable(&callable) {
            return Err(self.refuse("first item of the tuple returned by __reduce__ must be callable"));
        }
        if !peek::is_tuple(&args) {
            return Err(self.refuse("second item of the tuple returned by __reduce__ must be a tuple"));
        }
        for (part, place) in [(&items, "fourth"), (&pairs, "fifth")] {
            if let Some(part) = part.as_ref().filter(|part| !call::is_iterator(part)) {
                let name = peek::type_name(part);
                return Err(self.refuse(&format!(
                    "{place} element of the tuple returned by __reduce__ must be an iterator, not {name}"
                )));
            }
        }
        if let Some(setter) = setter.as_ref().filter(|setter| !peek::is_callable(setter)) {
            let name = peek::type_name(setter);
            return Err(self
                .refuse(&format!("sixth element of the tuple returned by __reduce__ must be a function, not {name}")));
        }
        self.save_construction(&callable, &args, subject.object)?;
        if let Some(index) = self.recursive(subject.object, subject.shared, subject.epoch) {
            self.out.op(POP);
            self.get(index);
            return Ok(());
        }
        self.memoize_late(subject.object, subject.ways, subject.shared, subject.epoch)?;
        if let Some(items) = items {
            self.save_items(&items)?;
        }
        if let Some(pairs) = pairs {
            self.save_pairs(&pairs)?;
        }
        match (state, setter) {
            (None, _) => {}
            (Some(state), None) => {
                self.save(&state, Ways::Passing).map_err(Failed::in_state)?;
                self.out.op(BUILD);
            }
            (Some(state), Some(setter)) => {
                self.save(&setter, Ways::Passing)?;
                self.save(subject.object, Ways::Again)?;
                self.save(&state, Ways::Passing).map_err(Failed::in_state)?;
                self.out.buffer.put([TUPLE2, REDUCE, POP]);
            }
        }
        Ok(())
    }

    /// The call that makes an object: NEWOBJ, NEWOBJ_EX or REDUCE.
    fn save_construction(
        &mut self, callable: &Bound<'py, PyAny>, args: &Bound<'py, PyAny>, object: &Bound<'py, PyAny>,
    ) -> Done {
        let inside = |e: Failed| e.at(Step::Inside("arguments"));
        if self.protocol >= 2 {
            let name = call::lookup(callable, self.imports.names.name.bind(self.py).as_any())?;
            match name.as_ref().filter(|name| peek::is_text(name)).and_then(peek::text) {
                Some(Text::Ascii(b"__newobj_ex__")) => return self.save_newobj_ex(args),
                Some(Text::Ascii(b"__newobj__")) => return self.save_newobj(args, object),
                _ => {}
            }
        }
        self.save(callable, Ways::Passing)?;
        self.save(args, Ways::Passing).map_err(inside)?;
        self.out.op(REDUCE);
        Ok(())
    }

    fn save_newobj(&mut self, args: &Bound<'py, PyAny>, object: &Bound<'py, PyAny>) -> Done {
        let Some(class) = peek::tuple_item(args, 0) else {
            return Err(self.refuse("__newobj__ arglist is empty"));
        };
        if !peek::is_type(&class) {
            return Err(self.refuse("args[0] from __newobj__ args is not a type"));
        }
        let of = call::lookup(object, self.imports.names.class.bind(self.py).as_any())?;
        if !of.is_some_and(|of| of.is(&class)) {
            return Err(self.refuse("args[0] from __newobj__ args has the wrong class"));
        }
        self.save(&class, Ways::Passing)?;
        let rest = call::tuple_tail(as_tuple(args), 1)?;
        self.save(&rest, Ways::Passing).map_err(|e| e.at(Step::Inside("arguments")))?;
        self.out.op(NEWOBJ);
        self.settle()
    }

    fn save_newobj_ex(&mut self, args: &Bound<'py, PyAny>) -> Done {
        let parts = (peek::tuple_item(args, 0), peek::tuple_item(args, 1), peek::tuple_item(args, 2));
        let ((Some(class), Some(positional), Some(named)), 3) = (parts, peek::tuple_len(args)) else {
            let message =
                format!("length of the NEWOBJ_EX argument tuple must be exactly 3, not {}", peek::tuple_len(args));
            return Err(self.refuse(&message));
        };
        let wrong = |place, what, part| {
            format!("{place} item from NEWOBJ_EX argument tuple must be a {what}, not {}", peek::type_name(part))
        };
        if !peek::is_type(&class) {
            return Err(self.refuse(&wrong("first", "class", &class)));
        }
        if !peek::is_tuple(&positional) {
            return Err(self.refuse(&wrong("second", "tuple", &positional)));
        }
        if !peek::is_dict(&named) {
            return Err(self.refuse(&wrong("third", "dict", &named)));
        }
        if self.protocol >= 4 {
            self.save(&class, Ways::Passing)?;
            self.save(&positional, Ways::Passing)?;
            self.save(&named, Ways::Passing)?;
            self.out.op(NEWOBJ_EX);
            return Ok(());
        }
        // partial(class.__new__, class, *args, **kwargs), called without arguments.
        let new = call::attribute(&class, self.imports.names.new.bind(self.py))?;
        let positional: Vec<_> =
            (0..peek::tuple_len(&positional)).filter_map(|i| peek::tuple_item(&positional, i)).collect();
        let mut all = vec![&new, &class];
        all.extend(positional.iter());
        let all = call::tuple(self.py, &all)?;
        let partial = call::call(self.imports.partial.bind(self.py), &all, as_dict(&named))?;
        let done = self.save(&partial, Ways::Passing);
        self.foreign().and(done)?;
        self.save(self.empty_tuple()?.as_any(), Ways::Passing)?;
        self.out.op(REDUCE);
        Ok(())
    }
}

/// A tuple that has been checked to be one.
fn as_tuple<'a, 'py>(object: &'a Bound<'py, PyAny>) -> &'a Bound<'py, PyTuple> {
    object.cast().expect("checked to be a tuple")
}

fn as_dict<'a, 'py>(object: &'a Bound<'py, PyAny>) -> &'a Bound<'py, pyo3::types::PyDict> {
    object.cast().expect("checked to be a dict")
}
