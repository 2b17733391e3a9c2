//! numpy's arrays and scalars: what their dtype is called, their shape, and their elements in C order, little-endian.
//!
//! Arrays are read where they are, however they lie, a stride at a time, and looked at again after each; only of long
//! doubles `torshi._canonical` makes what is digested.
use super::bulk::{Bytes, Run, Source};
use super::class::Class;
use super::elements::Floats;
use super::form::{tag, Open, INLINE};
use super::walk::Walker;
use crate::encoder::failure::{Done, Failed};
use crate::ffi::call;
use crate::ffi::peek::{self, Int};
use crate::ffi::strided::strided;
use crate::ffi::value;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};

/// What the elements of an array are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Bytes that can be read as they lie.
    Direct,
    /// Bytes, of which pieces have to be made.
    Pieces,
    Objects,
    /// An array for each field.
    Fields,
}

struct Dtype {
    /// Keeps the address taken.
    _dtype: Py<PyAny>,
    form: Vec<u8>,
    item_size: usize,
    floats: Floats,
    content: Content,
    /// Bytes of a number whose bytes lie the other way round, or 0.
    swapped: usize,
}

impl Dtype {
    /// Are its numbers digested otherwise than they lie?
    fn is_mended(&self) -> bool {
        self.floats != Floats::No || self.swapped != 0
    }
}

/// By address.
static DTYPES: Mutex<Option<FxHashMap<usize, Arc<Dtype>>>> = Mutex::new(None);
const REMEMBERED: usize = 256;

fn small(object: Option<Bound<'_, PyAny>>) -> Option<usize> {
    let object = object.filter(peek::is_int)?;
    match peek::int(&object) {
        Int::Small(value) => usize::try_from(value).ok(),
        Int::Big { .. } => None,
    }
}

impl<'py> Walker<'py> {
    fn dtype(&mut self, dtype: &Bound<'py, PyAny>) -> Result<Arc<Dtype>, Failed> {
        let address = peek::address(dtype);
        let cached = DTYPES.try_lock().ok().and_then(|known| known.as_ref()?.get(&address).cloned());
        if let Some(known) = cached {
            return Ok(known);
        }
        let answer = self.told("facts", dtype)?;
        let parts = (
            peek::tuple_item(&answer, 0),
            small(peek::tuple_item(&answer, 1)),
            small(peek::tuple_item(&answer, 2)),
            small(peek::tuple_item(&answer, 3)),
            small(peek::tuple_item(&answer, 4)),
        );
        let (Some(name), Some(item_size), Some(floats), Some(content), Some(swapped)) = parts else {
            return Err(self.refuse("a dtype that cannot be described"));
        };
        let (start, count) = (self.forms.len(), self.count);
        self.walk(&name)?;
        self.count = count;
        let form = self.forms.since(start).to_vec();
        self.forms.truncate(start);
        let found = Arc::new(Dtype {
            _dtype: dtype.clone().unbind(),
            form,
            item_size,
            floats: [Floats::No, Floats::Half, Floats::Single, Floats::Double][floats.min(3)],
            content: [Content::Direct, Content::Pieces, Content::Objects, Content::Fields][content.min(3)],
            swapped,
        });
        if let Ok(mut known) = DTYPES.try_lock() {
            let known = known.get_or_insert_default();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(address, found.clone());
        }
        Ok(found)
    }

    /// An array, or an instance of a subclass that says nothing of its own.
    pub(super) fn put_array(&mut self, array: &Bound<'py, PyAny>, class: &Class, open: &mut Open) -> Done {
        if value::recognize(array.get_type().as_any()) != Some(value::Value::Array) {
            self.forms.tag(tag::INSTEAD)?;
            self.put_class(array.get_type().as_any(), class)?;
        }
        self.put_content(array, tag::ARRAY, open)
    }

    /// A scalar, as an array without dimensions.
    pub(super) fn put_scalar(&mut self, scalar: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let array = call::call1(&self.canonical("as_array")?, scalar)?;
        self.costly = true;
        self.put_content(&array, tag::SCALAR, open)
    }

    fn put_content(&mut self, array: &Bound<'py, PyAny>, tag: u8, open: &mut Open) -> Done {
        // Python code has said so; what is read below must be one.
        if !value::is_array(array) {
            return Err(self.refuse(&format!("{} is no array", peek::type_name(array))));
        }
        let Some(view) = value::any_array(array) else {
            return self.put_made(array, tag, open);
        };
        let dtype = self.dtype(&view.dtype)?;
        if dtype.content != Content::Direct {
            return self.put_made(array, tag, open);
        }
        // Describing the dtype may have run anything.
        let Some(view) = value::any_array(array).filter(|view| view.dtype.is(&dtype._dtype)) else {
            return Err(self.changed("array"));
        };
        self.forms.tag(tag)?;
        self.forms.put(&dtype.form)?;
        self.forms.number(view.shape.len() as u64)?;
        for &extent in view.shape {
            self.forms.number(extent as u64)?;
        }
        self.put_numbers(array, &dtype)
    }

    fn put_numbers(&mut self, array: &Bound<'py, PyAny>, dtype: &Dtype) -> Done {
        let view = value::any_array(array);
        let Some((view, len)) = view.as_ref().and_then(|view| Some((view, view.size(dtype.item_size)?))) else {
            return Err(self.changed("array"));
        };
        if len > INLINE {
            return self.put_long(array, len, dtype);
        }
        let mut copy = [0; INLINE];
        let copy = &mut copy[..len];
        match source(view, dtype) {
            Some(source) => source.short(copy),
            None if len == 0 => {}
            None => return Err(self.changed("array")),
        }
        self.forms.put(copy)
    }

    /// Between two strides anything may happen to the array, so it is looked at each time.
    fn put_long(&mut self, array: &Bound<'py, PyAny>, len: usize, dtype: &Dtype) -> Done {
        let mut begun: Option<(Vec<isize>, Run)> = None;
        loop {
            let view = value::any_array(array).filter(|view| view.dtype.is(&dtype._dtype));
            let Some((view, source)) = view.as_ref().and_then(|view| Some((view, source(view, dtype)?))) else {
                return Err(self.changed("array"));
            };
            let (place, run) = match &mut begun {
                Some(begun) => begun,
                None => {
                    let run = Run::new(len, &source).ok_or_else(|| Failed::from(call::no_memory(self.py)))?;
                    begun.insert((view.place(), run))
                }
            };
            if *place != view.place() {
                return Err(self.changed("array"));
            }
            if run.advance(&source) {
                break;
            }
            self.pause()?;
        }
        if let Some((_, run)) = begun {
            self.forms.put_digest(&run.finish())?;
            self.costly = true;
        }
        Ok(())
    }

    /// An array whose elements have to be brought into order first.
    fn put_made(&mut self, array: &Bound<'py, PyAny>, tag: u8, open: &mut Open) -> Done {
        let dtype = self.dtype(&call::attribute(array, self.imports.names.dtype.bind(self.py))?)?;
        self.forms.tag(tag)?;
        self.forms.put(&dtype.form)?;
        let shape = call::attribute(array, self.imports.names.shape.bind(self.py))?;
        if !peek::is_tuple(&shape) {
            return Err(self.changed("array"));
        }
        self.forms.number(peek::tuple_len(&shape) as u64)?;
        for i in 0..peek::tuple_len(&shape) {
            match small(peek::tuple_item(&shape, i)) {
                Some(extent) => self.forms.number(extent as u64)?,
                None => return Err(self.changed("array")),
            }
        }
        let parts = call::call1(&self.canonical("parts")?, array)?;
        let parts = call::iterate(&parts)?;
        if let Content::Direct | Content::Pieces = dtype.content {
            let mut run = self.forms.open();
            while let Some(part) = call::advance(&parts)? {
                self.put_piece(&part, &mut run)?;
            }
            self.costly = self.forms.close(run)?.is_some();
            return Ok(());
        }
        let mut i = 0;
        while let Some(part) = call::advance(&parts)? {
            self.walk(&part).map_err(|e| e.at_index(i))?;
            self.turn(open)?;
            i += 1;
        }
        Ok(())
    }

    /// Elements that `torshi._canonical` has put into order, in an array of their own.
    fn put_piece(&mut self, piece: &Bound<'py, PyAny>, run: &mut Open) -> Done {
        if value::recognize(piece.get_type().as_any()) != Some(value::Value::Array) {
            return Err(self.changed("array"));
        }
        let dtype = self.dtype(&call::attribute(piece, self.imports.names.dtype.bind(self.py))?)?;
        let view = value::array(piece).filter(|view| view.is_c_order && view.dtype.is(&dtype._dtype));
        match view.as_ref().and_then(|view| view.bytes(dtype.item_size)) {
            Some(_) if dtype.content != Content::Direct || dtype.is_mended() => Err(self.changed("array")),
            Some(bytes) if bytes.len() <= INLINE => self.forms.put(bytes),
            Some(bytes) => {
                self.forms.spill(run).update(bytes);
                Ok(())
            }
            None => Err(self.changed("array")),
        }
    }
}

/// What there is to be read of an array; None if it is nothing, or cannot be told.
fn source<'a>(view: &'a value::Array<'_, '_>, dtype: &Dtype) -> Option<Source<'a>> {
    let bytes = if view.is_c_order {
        Bytes::InOrder(view.bytes(dtype.item_size)?)
    } else {
        Bytes::Strided(strided(view, dtype.item_size)?)
    };
    Some(Source { bytes, floats: dtype.floats, swapped: dtype.swapped })
}
