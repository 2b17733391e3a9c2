//! Lists, tuples, dicts and sets, in batches of 1000.
//!
//! Items are fetched one by one as owned references: whatever is pickled may change its container.
use super::failure::{Done, Step};
use super::opcode::*;
use super::{Encoder, Ways};
use crate::ffi::{call, peek};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Items between two APPENDS, SETITEMS or ADDITEMS.
const BATCH: usize = 1000;

impl<'py> Encoder<'py> {
    pub(super) fn save_list(&mut self, list: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        let entered = self.enter(list)?;
        if self.protocol >= 1 {
            self.out.op(EMPTY_LIST);
        } else {
            self.out.buffer.put([MARK, LIST]);
        }
        self.memoize(list, ways, shared)?;
        if self.protocol == 0 {
            let mut i = 0;
            while let Some(item) = peek::list_item(list, i) {
                self.save(&item, Ways::Counted).map_err(|e| e.at_index(i))?;
                self.out.op(APPEND);
                i += 1;
            }
        } else {
            match peek::list_len(list) {
                0 => {}
                1 => {
                    if let Some(item) = peek::list_item(list, 0) {
                        self.save(&item, Ways::Counted).map_err(|e| e.at_index(0))?;
                        self.out.op(APPEND);
                    }
                }
                _ => self.save_list_batches(list)?,
            }
        }
        self.leave(entered);
        Ok(())
    }

    fn save_list_batches(&mut self, list: &Bound<'py, PyAny>) -> Done {
        let mut i = 0;
        loop {
            self.out.op(MARK);
            let end = i + BATCH;
            while i < end {
                let Some(item) = peek::list_item(list, i) else { break };
                self.save(&item, Ways::Counted).map_err(|e| e.at_index(i))?;
                i += 1;
            }
            self.out.op(APPENDS);
            if i < end || i >= peek::list_len(list) {
                return Ok(());
            }
        }
    }

    pub(super) fn save_tuple(&mut self, tuple: &Bound<'py, PyAny>, ways: Ways, shared: bool, below: Ways) -> Done {
        let len = peek::tuple_len(tuple);
        let short = self.protocol >= 2 && len <= 3;
        if len == 0 {
            match self.protocol {
                0 => self.out.buffer.put([MARK, TUPLE]),
                _ => self.out.op(EMPTY_TUPLE),
            }
            return Ok(());
        }
        let epoch = self.memo.epoch();
        if !short {
            self.out.op(MARK);
        }
        for i in 0..len {
            let Some(item) = peek::tuple_item(tuple, i) else {
                return Err(self.refuse("tuple with an empty place"));
            };
            self.save(&item, below).map_err(|e| e.at_index(i))?;
        }
        // What is in the memo now, after the items, but was not before them, is recursive: it exists already
        // when it is loaded, so the items on the stack are thrown away.
        if let Some(index) = self.recursive(tuple, shared, epoch) {
            match (short, self.protocol) {
                (true, _) => (0..len).for_each(|_| self.out.op(POP)),
                (false, 0) => (0..=len).for_each(|_| self.out.op(POP)),
                (false, _) => self.out.op(POP_MARK),
            }
            self.get(index);
            return Ok(());
        }
        self.out.op(match (short, len) {
            (true, 1) => TUPLE1,
            (true, 2) => TUPLE2,
            (true, _) => TUPLE3,
            (false, _) => TUPLE,
        });
        self.memoize_late(tuple, ways, shared, epoch)
    }

    pub(super) fn save_dict(&mut self, dict: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        let entered = self.enter(dict)?;
        if self.protocol >= 1 {
            self.out.op(EMPTY_DICT);
        } else {
            self.out.buffer.put([MARK, DICT]);
        }
        self.memoize(dict, ways, shared)?;
        match (peek::dict_len(dict), self.protocol) {
            (0, _) => {}
            (_, 0) => {
                self.foreign()?;
                let items = call::attribute(dict, self.imports.names.items.bind(self.py))?;
                self.save_pairs(&call::iterate(&call::call0(&items)?)?)?;
            }
            (1, _) => {
                if let Some((key, value)) = peek::dict_next(dict, &mut 0) {
                    self.save_pair(&key, &value, Ways::Counted)?;
                    self.out.op(SETITEM);
                }
            }
            (len, _) => self.save_dict_batches(dict, len)?,
        }
        self.leave(entered);
        Ok(())
    }

    fn save_dict_batches(&mut self, dict: &Bound<'py, PyAny>, len: usize) -> Done {
        let mut position = 0;
        loop {
            self.out.op(MARK);
            let mut count = 0;
            while count < BATCH {
                let Some((key, value)) = peek::dict_next(dict, &mut position) else { break };
                self.save_pair(&key, &value, Ways::Counted)?;
                count += 1;
            }
            self.out.op(SETITEMS);
            if peek::dict_len(dict) != len {
                return Err(self.changed("dictionary changed size during iteration"));
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    pub(super) fn save_pair(&mut self, key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>, ways: Ways) -> Done {
        self.save(key, ways).map_err(|e| e.at(Step::Inside("key")))?;
        self.save(value, ways).map_err(|e| e.at_key(key))
    }

    #[cold]
    pub(super) fn changed(&self, message: &str) -> super::Failed {
        let class = self.py.get_type::<pyo3::exceptions::PyRuntimeError>().into_any();
        call::error(&class, message).into()
    }

    pub(super) fn save_set(&mut self, set: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        if self.protocol < 4 {
            return self.save_set_as_call(set, self.imports.set.bind(self.py), ways, shared);
        }
        self.out.op(EMPTY_SET);
        self.memoize(set, ways, shared)?;
        let len = peek::set_len(set);
        if len == 0 {
            return Ok(());
        }
        let mut position = 0;
        loop {
            self.out.op(MARK);
            let mut count = 0;
            while count < BATCH {
                let Some(item) = peek::set_next(set, &mut position) else { break };
                self.save(&item, Ways::Counted).map_err(|e| e.at(Step::Inside("element")))?;
                count += 1;
            }
            self.out.op(ADDITEMS);
            if peek::set_len(set) != len {
                return Err(self.changed("set changed size during iteration"));
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    pub(super) fn save_frozenset(&mut self, set: &Bound<'py, PyAny>, ways: Ways, shared: bool, below: Ways) -> Done {
        let entered = self.enter(set)?;
        if self.protocol < 4 {
            self.save_set_as_call(set, self.imports.frozenset.bind(self.py), ways, shared)?;
            self.leave(entered);
            return Ok(());
        }
        let epoch = self.memo.epoch();
        self.out.op(MARK);
        let mut position = 0;
        while let Some(item) = peek::set_next(set, &mut position) {
            self.save(&item, below).map_err(|e| e.at(Step::Inside("element")))?;
        }
        self.leave(entered);
        if let Some(index) = self.recursive(set, shared, epoch) {
            self.out.op(POP_MARK);
            self.get(index);
            return Ok(());
        }
        self.out.op(FROZENSET);
        self.memoize_late(set, ways, shared, epoch)
    }

    /// `set([...])` for protocols that have no opcode for it.
    fn save_set_as_call(
        &mut self, set: &Bound<'py, PyAny>, class: &Bound<'py, PyAny>, ways: Ways, shared: bool,
    ) -> Done {
        self.settle()?;
        let items = call::list(set)?;
        let args = call::tuple(self.py, &[&items])?;
        self.save_call(class, &args, set, ways, shared)
    }

    /// `callable(*args)` for a builtin value that has no opcode at this protocol.
    pub(super) fn save_call(
        &mut self, callable: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>, object: &Bound<'py, PyAny>, ways: Ways,
        shared: bool,
    ) -> Done {
        let epoch = self.memo.epoch();
        self.save(callable, Ways::Again)?;
        self.save(args, Ways::Passing)?;
        self.out.op(REDUCE);
        // The argument tuple is about to go, and with it what only it holds.
        self.settle()?;
        if let Some(index) = self.recursive(object, shared, epoch) {
            self.out.op(POP);
            self.get(index);
            return Ok(());
        }
        self.memoize_late(object, ways, shared, epoch)
    }

    /// Items of an iterator, appended to what is on the stack.
    pub(super) fn save_items(&mut self, iterator: &Bound<'py, PyAny>) -> Done {
        let mut i = 0;
        if self.protocol == 0 {
            while let Some(item) = self.next(iterator)? {
                self.save_passing(&item, i)?;
                self.out.op(APPEND);
                i += 1;
            }
            return Ok(());
        }
        while let Some(first) = self.next(iterator)? {
            let Some(mut item) = self.next(iterator)? else {
                self.save_passing(&first, i)?;
                self.out.op(APPEND);
                return Ok(());
            };
            self.out.op(MARK);
            self.save_passing(&first, i)?;
            drop(first);
            let end = i + BATCH;
            i += 1;
            let more = loop {
                self.save_passing(&item, i)?;
                i += 1;
                if i == end {
                    break true;
                }
                match self.next(iterator)? {
                    Some(next) => item = next,
                    None => break false,
                }
            };
            self.out.op(APPENDS);
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn next(&mut self, iterator: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, super::Failed> {
        self.foreign()?;
        Ok(call::advance(iterator)?)
    }

    fn save_passing(&mut self, item: &Bound<'py, PyAny>, i: usize) -> Done {
        let done = self.save(item, Ways::Passing).map_err(|e| e.at_index(i));
        self.foreign().and(done)
    }

    /// Pairs of an iterator, set in what is on the stack.
    pub(super) fn save_pairs(&mut self, iterator: &Bound<'py, PyAny>) -> Done {
        if self.protocol == 0 {
            while let Some(pair) = self.next(iterator)? {
                self.save_passing_pair(&pair)?;
                self.out.op(SETITEM);
            }
            return Ok(());
        }
        while let Some(first) = self.next(iterator)? {
            let Some(mut pair) = self.next(iterator)? else {
                self.save_passing_pair(&first)?;
                self.out.op(SETITEM);
                return Ok(());
            };
            self.out.op(MARK);
            self.save_passing_pair(&first)?;
            drop(first);
            let mut count = 1;
            let more = loop {
                self.save_passing_pair(&pair)?;
                count += 1;
                if count == BATCH {
                    break true;
                }
                match self.next(iterator)? {
                    Some(next) => pair = next,
                    None => break false,
                }
            };
            self.out.op(SETITEMS);
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn save_passing_pair(&mut self, pair: &Bound<'py, PyAny>) -> Done {
        if peek::is_tuple(pair) && peek::tuple_len(pair) == 2 {
            if let (Some(key), Some(value)) = (peek::tuple_item(pair, 0), peek::tuple_item(pair, 1)) {
                let done = self.save_pair(&key, &value, Ways::Passing);
                return self.foreign().and(done);
            }
        }
        let class = self.py.get_type::<pyo3::exceptions::PyTypeError>().into_any();
        Err(call::error(&class, "dict items iterator must return 2-tuples").into())
    }
}
