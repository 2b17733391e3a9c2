//! numpy's arrays and scalars: what their dtype is called, their shape, and their elements in C order, little-endian.
//!
//! An array that lies so in memory is read where it is, piece by piece, and looked at again after each; of any other
//! `torshi._canonical` makes such pieces.
use super::bulk::{self, Floats};
use super::class::Class;
use super::form::{tag, Open, INLINE};
use super::walk::Walker;
use crate::encoder::failure::{Done, Failed};
use crate::ffi::call;
use crate::ffi::peek::{self, Int};
use crate::ffi::value;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};

/// What the elements of an array are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Bytes that can be read as they lie, if the array is in C order.
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
        let answer = call::call1(&self.canonical("facts")?, dtype)?;
        let parts = (
            peek::tuple_item(&answer, 0),
            small(peek::tuple_item(&answer, 1)),
            small(peek::tuple_item(&answer, 2)),
            small(peek::tuple_item(&answer, 3)),
        );
        let (Some(name), Some(item_size), Some(floats), Some(content)) = parts else {
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
        let Some(view) = value::array(array) else {
            return self.put_made(array, tag, open);
        };
        let dtype = self.dtype(&view.dtype)?;
        if dtype.content != Content::Direct || !view.is_c_order {
            return self.put_made(array, tag, open);
        }
        // Describing the dtype may have run anything.
        let Some(view) = value::array(array).filter(|view| view.is_c_order && view.dtype.is(&dtype._dtype)) else {
            return Err(self.changed("array"));
        };
        self.forms.tag(tag)?;
        self.forms.put(&dtype.form)?;
        self.forms.number(view.shape.len() as u64)?;
        for &extent in view.shape {
            self.forms.number(extent as u64)?;
        }
        match view.bytes(dtype.item_size) {
            Some(bytes) if bytes.len() <= INLINE => self.short_data(bytes, dtype.floats),
            Some(bytes) => self.put_long(array, bytes.as_ptr(), bytes.len(), &dtype, open),
            None => Err(self.changed("array")),
        }
    }

    /// A long array in C order. Between two pieces anything may happen to it, so it is looked at each time.
    fn put_long(
        &mut self, array: &Bound<'py, PyAny>, at: *const u8, len: usize, dtype: &Dtype, open: &mut Open,
    ) -> Done {
        let crew = bulk::crew(len);
        let mut done = 0;
        while done < len {
            if done > 0 {
                self.pause()?;
            }
            let view = value::array(array).filter(|view| view.is_c_order && view.dtype.is(&dtype._dtype));
            match view.as_ref().and_then(|view| view.bytes(dtype.item_size)) {
                Some(bytes) if bytes.as_ptr() == at && bytes.len() == len => {
                    let piece = &bytes[done..len.min(done + bulk::STRIDE)];
                    bulk::feed(self.forms.spill(open), piece, dtype.floats, crew.as_ref());
                    done += piece.len();
                }
                _ => return Err(self.changed("array")),
            }
        }
        Ok(())
    }

    /// An array whose elements have to be brought into order first.
    fn put_made(&mut self, array: &Bound<'py, PyAny>, tag: u8, open: &mut Open) -> Done {
        let dtype = self.dtype(&call::attribute(array, self.imports.names.dtype.bind(self.py))?)?;
        self.forms.tag(tag)?;
        self.forms.put(&dtype.form)?;
        let shape = call::attribute(array, self.imports.names.shape.bind(self.py))?;
        self.forms.number(peek::tuple_len(&shape) as u64)?;
        for i in 0..peek::tuple_len(&shape) {
            match small(peek::tuple_item(&shape, i)) {
                Some(extent) => self.forms.number(extent as u64)?,
                None => return Err(self.changed("array")),
            }
        }
        let parts = call::call1(&self.canonical("parts")?, array)?;
        let parts = call::iterate(&parts)?;
        let mut i = 0;
        while let Some(part) = call::advance(&parts)? {
            match dtype.content {
                Content::Objects | Content::Fields => self.walk(&part).map_err(|e| e.at_index(i))?,
                Content::Direct | Content::Pieces => self.put_piece(&part, open)?,
            }
            self.turn(open)?;
            i += 1;
        }
        Ok(())
    }

    /// Elements that `torshi._canonical` has put into order, in an array of their own.
    fn put_piece(&mut self, piece: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        if value::recognize(piece.get_type().as_any()) != Some(value::Value::Array) {
            return Err(self.changed("array"));
        }
        let dtype = self.dtype(&call::attribute(piece, self.imports.names.dtype.bind(self.py))?)?;
        let view = value::array(piece).filter(|view| view.is_c_order && view.dtype.is(&dtype._dtype));
        match view.as_ref().and_then(|view| view.bytes(dtype.item_size)) {
            Some(_) if dtype.content != Content::Direct => Err(self.changed("array")),
            Some(bytes) if bytes.len() <= INLINE => self.short_data(bytes, dtype.floats),
            Some(bytes) => self.put_long(piece, bytes.as_ptr(), bytes.len(), &dtype, open),
            None => Err(self.changed("array")),
        }
    }
}
