//! Instances into forms: by the plan `dumps` has for their class, by what they say of themselves, or by what stands for them.
//!
//! What an object says (`__reduce_ex__`) is not taken as it stands: items of sets and of dicts go into order, and how
//! the object is made is told the same way whoever says it.
use super::class::{Class, Slot, Way};
use super::form::{tag, Open};
use super::walk::Walker;
use crate::encoder::failure::{Done, Failed, Step};
use crate::encoder::plan::{is_ordinary, Plan};
use crate::ffi::peek::{self, Kind, Text};
use crate::ffi::{call, instance};
use pyo3::prelude::*;

pub use super::class::Recent;

/// What follows the arguments in a form.
mod part {
    pub const NAMED: u8 = 1;
    pub const STATE: u8 = 2;
    pub const ITEMS: u8 = 4;
    pub const PAIRS: u8 = 8;
    pub const SETTER: u8 = 16;
}

impl<'py> Walker<'py> {
    pub(super) fn put_instance(&mut self, object: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let class = self.class_of(object)?;
        if peek::is_key(self.imports.dispatch_table.bind(self.py), object.get_type().as_any())? {
            return self.put_asked(object, &class, open);
        }
        match &class.way {
            Way::Planned(plan, slots) => {
                let dict = if plan.has_dict() { instance::dict(object)? } else { None };
                if dict.as_ref().is_some_and(|dict| !is_ordinary(dict)) {
                    return self.put_asked(object, &class, open);
                }
                self.put_planned(object, &class, plan, slots, dict)
            }
            Way::Asked | Way::Set => self.put_asked(object, &class, open),
            Way::Hook => {
                let method = call::attribute(object, self.imports.names.digest.bind(self.py))?;
                let value = call::call0(&method)?;
                self.put_instead(object, &class, &value)
            }
            Way::Instead(function) => {
                let value = call::call1(function.bind(self.py), object)?;
                if value.is(&self.imports.not_implemented) {
                    return self.put_asked(object, &class, open);
                }
                self.put_instead(object, &class, &value)
            }
            Way::Enum => self.put_enum(object, &class),
            Way::Array => self.put_array(object, &class, open),
            Way::Scalar => self.put_scalar(object, open),
            Way::Dtype => {
                self.forms.tag(tag::DTYPE)?;
                let value = call::call1(&self.canonical("described")?, object)?;
                self.costly = true;
                self.walk(&value)
            }
        }
    }

    /// Functions and classes are leaves: their names. (Not the classes of a metaclass that is registered with copyreg.)
    #[inline(always)]
    pub(super) fn walk_named(&mut self, object: &Bound<'py, PyAny>, kind: Kind) -> Result<bool, Failed> {
        if kind == Kind::Function {
            self.put_name(object, None)?;
            return Ok(true);
        }
        if !peek::is_type(object) {
            return Ok(false);
        }
        if kind == Kind::Other && peek::is_key(self.imports.dispatch_table.bind(self.py), object.get_type().as_any())? {
            return Ok(false);
        }
        let known = self.class(object)?;
        self.put_class(object, &known)?;
        Ok(true)
    }

    /// A chain of objects that are told by other objects must end.
    fn deeper(&mut self, walk: impl FnOnce(&mut Self) -> Done) -> Done {
        self.calls += 1;
        if self.calls > call::recursion_limit() {
            return Err(call::too_deep(self.py).into());
        }
        walk(self)?;
        self.calls -= 1;
        self.costly = true;
        Ok(())
    }

    fn put_instead(&mut self, object: &Bound<'py, PyAny>, class: &Class, value: &Bound<'py, PyAny>) -> Done {
        self.forms.tag(tag::INSTEAD)?;
        self.put_class(object.get_type().as_any(), class)?;
        self.deeper(|walker| walker.walk(value).map_err(|e| e.at(Step::Inside("what stands for it"))))
    }

    fn put_enum(&mut self, object: &Bound<'py, PyAny>, class: &Class) -> Done {
        self.forms.tag(tag::ENUM)?;
        self.put_class(object.get_type().as_any(), class)?;
        let names = &self.imports.names;
        for name in [&names.member_name, &names.member_value] {
            let name = name.bind(self.py);
            let value = call::attribute(object, name)?;
            self.walk(&value).map_err(|e| e.at_key(name).in_state())?;
        }
        self.costly = true;
        Ok(())
    }

    fn put_planned(
        &mut self, object: &Bound<'py, PyAny>, class: &Class, plan: &Plan, slots: &[Slot],
        dict: Option<Bound<'py, PyAny>>,
    ) -> Done {
        self.forms.tag(tag::OBJECT)?;
        self.put_class(object.get_type().as_any(), class)?;
        if plan.is_named_tuple() {
            self.container(|walker, open| walker.put_tuple(object, open))?;
        } else {
            self.forms.tagged(tag::TUPLE, 0)?;
            self.count += 1;
        }
        let filled = slots.iter().filter(|slot| instance::slot(object, slot.place).is_some()).count();
        if filled == 0 {
            return match dict {
                None => self.forms.tag(0),
                Some(dict) => {
                    self.forms.tag(part::STATE)?;
                    self.walk(&dict).map_err(Failed::in_state)
                }
            };
        }
        self.forms.tag(part::STATE)?;
        let state = self.container(|walker, _| {
            walker.forms.tagged(tag::TUPLE, 2)?;
            match &dict {
                Some(dict) => walker.walk(dict).map_err(Failed::in_state)?,
                None => walker.forms.tag(tag::NONE)?,
            }
            walker.container(|walker, open| walker.put_slots(object, slots, filled, open)).map(drop)
        });
        state.map(drop)
    }

    fn put_slots(&mut self, object: &Bound<'py, PyAny>, slots: &[Slot], filled: usize, open: &mut Open) -> Done {
        self.forms.tagged(tag::DICT, filled as u64)?;
        let mut left = filled;
        for slot in slots {
            let Some(value) = instance::slot(object, slot.place) else { continue };
            left = left.wrapping_sub(1);
            self.forms.put(&slot.form)?;
            self.walk(&value).map_err(|e| e.at_key(slot.name.bind(self.py)).in_state())?;
            self.turn(open)?;
        }
        if left != 0 {
            return Err(self.changed("object"));
        }
        Ok(())
    }

    /// By what the object's own methods, or the function registered for its class, say.
    pub(super) fn put_asked(&mut self, object: &Bound<'py, PyAny>, class: &Class, open: &mut Open) -> Done {
        let Some(answer) = self.encoder()?.reduced(object)? else {
            return self.put_name(object, None);
        };
        if peek::is_text(&answer) {
            self.costly = true;
            return self.put_name(object, Some(&answer));
        }
        if !peek::is_tuple(&answer) {
            return Err(self.refuse("__reduce__ must return a string or tuple"));
        }
        self.deeper(|walker| walker.put_answer(class, &answer, open))
    }

    fn put_answer(&mut self, class: &Class, answer: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let part = |i| peek::tuple_item(answer, i).filter(|part| !part.is_none());
        let (Some(callable), Some(args), 2..=6) = (part(0), part(1), peek::tuple_len(answer)) else {
            return Err(self.refuse("tuple returned by __reduce__ must contain 2 through 6 elements"));
        };
        if !peek::is_callable(&callable) || !peek::is_tuple(&args) {
            return Err(self.refuse("__reduce__ must return a callable and a tuple of arguments"));
        }
        let (state, items, pairs, setter) = (part(2), part(3), part(4), part(5));
        let named = self.put_construction(&callable, &args, class)?;
        let mut parts = if named.is_some() { part::NAMED } else { 0 };
        for (part, flag) in
            [(&state, part::STATE), (&items, part::ITEMS), (&pairs, part::PAIRS), (&setter, part::SETTER)]
        {
            parts |= if part.is_some() { flag } else { 0 };
        }
        self.forms.tag(parts)?;
        if let Some(named) = named {
            self.walk(&named).map_err(|e| e.at(Step::Inside("arguments")))?;
        }
        if let Some(state) = state {
            self.walk(&state).map_err(Failed::in_state)?;
        }
        if let Some(items) = items {
            self.put_items(&items, open)?;
        }
        if let Some(pairs) = pairs {
            self.put_pairs(&pairs, class.is_ordered, open)?;
        }
        match setter {
            Some(setter) => self.walk(&setter),
            None => Ok(()),
        }
    }

    /// How the object is made; arguments by name come back.
    fn put_construction(
        &mut self, callable: &Bound<'py, PyAny>, args: &Bound<'py, PyAny>, class: &Class,
    ) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let inside = |e: Failed| e.at(Step::Inside("arguments"));
        let name = call::lookup(callable, self.imports.names.name.bind(self.py).as_any())?;
        let (made, rest, named) = match name.as_ref().filter(|name| peek::is_text(name)).and_then(peek::text) {
            Some(Text::Ascii(b"__newobj__")) => {
                let rest = call::tuple_tail(args.cast().map_err(PyErr::from)?, 1)?;
                (peek::tuple_item(args, 0), Some(rest), None)
            }
            Some(Text::Ascii(b"__newobj_ex__")) if peek::tuple_len(args) == 3 => {
                let named = peek::tuple_item(args, 2).filter(|n| !(peek::is_dict(n) && peek::dict_len(n) == 0));
                (peek::tuple_item(args, 0), peek::tuple_item(args, 1), named)
            }
            _ => (None, None, None),
        };
        if let (Some(made), Some(rest)) = (&made, &rest) {
            self.forms.tag(tag::OBJECT)?;
            self.walk(made)?;
            self.walk(rest).map_err(inside)?;
            return Ok(named);
        }
        self.forms.tag(tag::CALL)?;
        self.walk(callable)?;
        match (&class.way, peek::tuple_item(args, 0)) {
            (Way::Set, Some(elements)) if peek::kind(&elements) == Kind::List => {
                self.container(|walker, open| {
                    walker.forms.tagged(tag::TUPLE, 1)?;
                    walker.container(|walker, inner| walker.put_list_as_set(&elements, inner))?;
                    walker.turn(open)
                })?;
            }
            _ => self.walk(args).map_err(inside)?,
        }
        Ok(None)
    }

    fn put_list_as_set(&mut self, list: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let mut elements = Vec::new();
        while let Some(element) = peek::list_item(list, elements.len()) {
            elements.push(element);
        }
        self.put_elements(tag::SET, &elements, open)
    }

    fn iterator(&self, part: &Bound<'py, PyAny>) -> Done {
        if call::is_iterator(part) {
            return Ok(());
        }
        Err(self.refuse(&format!(
            "fourth and fifth element of the tuple returned by __reduce__ must be iterators, not {}",
            peek::type_name(part)
        )))
    }

    fn put_items(&mut self, items: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        self.iterator(items)?;
        let mut i = 0;
        while let Some(item) = call::advance(items)? {
            self.walk(&item).map_err(|e| e.at_index(i))?;
            self.turn(open)?;
            i += 1;
        }
        self.forms.tag(tag::END)
    }

    fn put_pairs(&mut self, pairs: &Bound<'py, PyAny>, is_ordered: bool, open: &mut Open) -> Done {
        self.iterator(pairs)?;
        let mut entries = Vec::new();
        while let Some(pair) = call::advance(pairs)? {
            let parts = if peek::is_tuple(&pair) && peek::tuple_len(&pair) == 2 {
                peek::tuple_item(&pair, 0).zip(peek::tuple_item(&pair, 1))
            } else {
                None
            };
            let Some((key, value)) = parts else {
                return Err(self.refuse("dict items iterator must return 2-tuples"));
            };
            if is_ordered {
                self.walk(&key).map_err(|e| e.at(Step::Inside("key")))?;
                self.walk(&value).map_err(|e| e.at_key(&key))?;
                self.turn(open)?;
            } else {
                entries.push((key, value));
            }
        }
        if is_ordered {
            return self.forms.tag(tag::END);
        }
        self.put_entries(entries, false, open)
    }
}
