//! Sets and dicts: their forms in the order of the bytes of the elements' or the keys' forms.
//!
//! Dicts whose keys are the very objects that those of an earlier dict were, one after the other, are put down in the
//! order found for that one.
use super::form::{tag, Open, Piece, INLINE};
use super::walk::Walker;
use crate::encoder::failure::{Done, Failed, Step};
use crate::ffi::call;
use crate::ffi::peek::{self, Kind};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::ops::Range;
use std::rc::Rc;

/// Keys in the order of a dict, which are strings, and the order and the bytes of their forms.
struct Shape<'py> {
    keys: Vec<Bound<'py, PyAny>>,
    forms: Vec<u8>,
    /// Which key comes next, and where its form stands.
    order: Vec<(u32, Range<usize>)>,
}

/// Shapes by number of keys and the address of the first.
#[derive(Default)]
pub struct Shapes<'py> {
    known: FxHashMap<(usize, usize), Rc<Shape<'py>>>,
    /// Dicts put into order one by one.
    ordered: usize,
}

const MOST_SHAPES: usize = 64;
const MOST_KEYS: usize = 256;
/// A digest of fewer dicts is not worth learning for.
const FEW: usize = 3;

/// A key and its value.
pub type Entry<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

impl<'py> Walker<'py> {
    pub(super) fn put_dict(&mut self, dict: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let len = peek::dict_len(dict);
        let mut position = 0;
        let Some((key, value)) = peek::dict_next(dict, &mut position) else {
            return self.forms.tagged(tag::DICT, 0);
        };
        if let Some(shape) = self.shapes.known.get(&(len, peek::address(&key))).cloned() {
            if self.take_values(dict, &shape, value, position)? {
                return self.put_shaped(&shape, open);
            }
        }
        let mut entries = Vec::new();
        entries.try_reserve(len).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        position = 0;
        while let Some(entry) = peek::dict_next(dict, &mut position) {
            entries.push(entry);
        }
        self.put_entries(entries, true, open)
    }

    /// Keeps the values of a dict if its keys are those of the shape.
    #[inline(always)]
    fn take_values(
        &mut self, dict: &Bound<'py, PyAny>, shape: &Shape<'py>, first: Bound<'py, PyAny>, mut position: isize,
    ) -> Result<bool, Failed> {
        let base = self.values.len();
        self.values.try_reserve(shape.keys.len()).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        self.values.push(Some(first));
        for key in &shape.keys[1..] {
            match peek::dict_next(dict, &mut position) {
                Some((other, value)) if other.is(key) => self.values.push(Some(value)),
                _ => {
                    self.values.truncate(base);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn put_shaped(&mut self, shape: &Shape<'py>, open: &mut Open) -> Done {
        let base = self.values.len() - shape.keys.len();
        self.forms.tagged(tag::DICT, shape.keys.len() as u64)?;
        for (i, form) in &shape.order {
            self.forms.put(&shape.forms[form.clone()])?;
            let i = *i as usize;
            if let Some(value) = self.values[base + i].take() {
                self.walk(&value).map_err(|e| e.at_key(&shape.keys[i]))?;
            }
            self.turn(open)?;
        }
        self.values.truncate(base);
        Ok(())
    }

    /// A dict of these entries. `learn`: they are the whole of a dict, others like which may follow.
    pub(super) fn put_entries(&mut self, entries: Vec<Entry<'py>>, learn: bool, open: &mut Open) -> Done {
        self.forms.tagged(tag::DICT, entries.len() as u64)?;
        self.turn(open)?;
        let start = self.forms.len();
        let keys = entries.iter().map(|(key, _)| key);
        let pieces = self.put_apart(keys, |walker, key| walker.walk(key).map_err(|e| e.at(Step::Inside("key"))))?;
        let forms = self.copy_since(start)?;
        self.forms.truncate(start);
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_unstable_by(|&a, &b| pieces[a].compare(&pieces[b], &forms));
        let form = |i: usize| &forms[pieces[i].start..pieces[i].end];
        if learn {
            self.learn(&entries, &pieces, &order, &forms);
        }
        let mut at = 0;
        while at < order.len() {
            let i = order[at];
            let alike = order[at..].iter().take_while(|&&j| form(j) == form(i)).count();
            if alike == 1 {
                self.forms.put(form(i))?;
                let (key, value) = &entries[i];
                self.walk(value).map_err(|e| e.at_key(key))?;
            } else {
                let same: Vec<&Entry<'py>> = order[at..at + alike].iter().map(|&j| &entries[j]).collect();
                self.put_alike(form(i), &same)?;
            }
            self.turn(open)?;
            at += alike;
        }
        Ok(())
    }

    /// Entries whose keys have one form (such as NaNs), in the order of the forms of the values.
    fn put_alike(&mut self, key_form: &[u8], entries: &[&Entry<'py>]) -> Done {
        let start = self.forms.len();
        let pieces = self.put_apart(entries.iter(), |walker, (key, value)| {
            walker.forms.put(key_form)?;
            walker.walk(value).map_err(|e| e.at_key(key))
        })?;
        self.rearrange(start, pieces)
    }

    fn learn(&mut self, entries: &[Entry<'py>], pieces: &[Piece], order: &[usize], forms: &[u8]) {
        self.shapes.ordered += 1;
        if self.shapes.ordered <= FEW {
            return;
        }
        let plain = |entry: &Entry<'py>| peek::kind(&entry.0) == Kind::Str;
        if entries.is_empty() || entries.len() > MOST_KEYS || forms.len() > 8 * INLINE || !entries.iter().all(plain) {
            return;
        }
        if self.shapes.known.len() >= MOST_SHAPES {
            self.shapes.known.clear();
        }
        let shape = Shape {
            keys: entries.iter().map(|(key, _)| key.clone()).collect(),
            forms: forms.to_vec(),
            order: order.iter().map(|&i| (i as u32, pieces[i].start..pieces[i].end)).collect(),
        };
        self.shapes.known.insert((entries.len(), peek::address(&entries[0].0)), Rc::new(shape));
    }

    pub(super) fn put_set(&mut self, set: &Bound<'py, PyAny>, tag: u8, open: &mut Open) -> Done {
        let mut elements = Vec::new();
        elements.try_reserve(peek::set_len(set)).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        let mut position = 0;
        while let Some(element) = peek::set_next(set, &mut position) {
            elements.push(element);
        }
        self.put_elements(tag, &elements, open)
    }

    /// A set of these elements.
    pub(super) fn put_elements(&mut self, tag: u8, elements: &[Bound<'py, PyAny>], open: &mut Open) -> Done {
        self.forms.tagged(tag, elements.len() as u64)?;
        let start = self.forms.len();
        let pieces = self.put_apart(elements.iter(), |walker, element| {
            walker.walk(element).map_err(|e| e.at(Step::Inside("element")))
        })?;
        self.rearrange(start, pieces)?;
        self.turn(open)
    }

    /// Puts down one form behind the other, and tells where; positions count from here.
    fn put_apart<T>(
        &mut self, items: impl ExactSizeIterator<Item = T>, walk: impl Fn(&mut Self, T) -> Done,
    ) -> Result<Vec<Piece>, Failed> {
        let base = self.forms.len();
        let mut pieces = Vec::new();
        pieces.try_reserve(items.len()).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        for item in items {
            let start = self.forms.len() - base;
            self.apart(|walker| walk(walker, item))?;
            let all = self.forms.since(base);
            pieces.push(Piece::new(all, start, all.len()));
        }
        Ok(pieces)
    }

    /// Puts the forms behind `start` into order.
    fn rearrange(&mut self, start: usize, mut pieces: Vec<Piece>) -> Done {
        let forms = self.copy_since(start)?;
        pieces.sort_unstable_by(|a, b| a.compare(b, &forms));
        self.forms.truncate(start);
        pieces.iter().try_for_each(|piece| self.forms.put(&forms[piece.start..piece.end]))
    }

    fn copy_since(&self, start: usize) -> Result<Vec<u8>, Failed> {
        let forms = self.forms.since(start);
        let mut copy = Vec::new();
        copy.try_reserve_exact(forms.len()).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        copy.extend_from_slice(forms);
        Ok(copy)
    }
}
