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
        let answer = self.told("facts", dtype)?;
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
        // Python code has said so; what is read below must be one.
        if !value::is_array(array) {
            return Err(self.refuse(&format!("{} is no array", peek::type_name(array))));
        }
        let Some(view) = value::array(array) else {
            return self.put_made(array, tag, open);
        };
        let dtype = self.dtype(&view.dtype)?;
        // Describing the dtype may have run anything.
        let Some(view) = value::array(array).filter(|view| view.dtype.is(&dtype._dtype)) else {
            return Err(self.changed("array"));
        };
        let by_columns = !view.is_c_order && view.shape.len() == 2 && matches!(dtype.item_size, 1 | 2 | 4 | 8 | 16);
        if dtype.content != Content::Direct || !(view.is_c_order || by_columns) {
            return self.put_made(array, tag, open);
        }
        self.forms.tag(tag)?;
        self.forms.put(&dtype.form)?;
        self.forms.number(view.shape.len() as u64)?;
        for &extent in view.shape {
            self.forms.number(extent as u64)?;
        }
        match view.bytes(dtype.item_size) {
            Some(bytes) => {
                let (at, len) = (bytes.as_ptr(), bytes.len());
                if by_columns {
                    let height = view.shape.first().map_or(0, |&height| height as usize);
                    return self.run(|walker, run| walker.put_columns(array, (at, len), height, &dtype, run));
                }
                if len <= INLINE {
                    return self.short_data(bytes, dtype.floats);
                }
                self.run(|walker, run| walker.put_long(array, (at, len), &dtype, run))
            }
            None => Err(self.changed("array")),
        }
    }

    /// What an array holds, if it still lies at this place.
    fn still<'a>(
        view: Option<&'a value::Array<'a, 'py>>, (at, len): (*const u8, usize), dtype: &Dtype,
    ) -> Option<&'a [u8]> {
        let view = view.filter(|view| view.dtype.is(&dtype._dtype))?;
        view.bytes(dtype.item_size).filter(|bytes| bytes.as_ptr() == at && bytes.len() == len)
    }

    /// A matrix that lies column by column: its rows, a few megabytes at a time.
    fn put_columns(
        &mut self, array: &Bound<'py, PyAny>, place: (*const u8, usize), height: usize, dtype: &Dtype, run: &mut Open,
    ) -> Done {
        let row = place.1 / height.max(1);
        let most = (bulk::STRIDE / row.max(1)).clamp(1, height.max(1)) * row;
        let mut rows = Vec::new();
        rows.try_reserve_exact(most).map_err(|_| Failed::from(call::no_memory(self.py)))?;
        let crew = bulk::crew(place.1);
        let mut done = 0;
        while done < place.1 {
            if done > 0 {
                self.pause()?;
            }
            rows.resize(most.min(place.1 - done), 0);
            let view =
                value::array(array).filter(|view| !view.is_c_order && view.shape.first() == Some(&(height as isize)));
            match Self::still(view.as_ref(), place, dtype) {
                Some(bytes)
                    if bulk::gather(bytes, dtype.item_size, height, done / row, &mut rows, row, crew.as_ref()) => {}
                _ => return Err(self.changed("array")),
            }
            if place.1 <= INLINE {
                return self.short_data(&rows, dtype.floats);
            }
            bulk::feed(self.forms.spill(run), &rows, dtype.floats, crew.as_ref());
            done += rows.len();
        }
        Ok(())
    }

    /// Bytes that stand where they are, or as their digest.
    fn run(&mut self, put: impl FnOnce(&mut Self, &mut Open) -> Done) -> Done {
        let mut run = self.forms.open();
        put(self, &mut run)?;
        self.costly = self.forms.close(run)?.is_some();
        Ok(())
    }

    /// A long array in C order. Between two pieces anything may happen to it, so it is looked at each time.
    fn put_long(
        &mut self, array: &Bound<'py, PyAny>, place: (*const u8, usize), dtype: &Dtype, run: &mut Open,
    ) -> Done {
        let len = place.1;
        let crew = bulk::crew(len);
        let mut done = 0;
        while done < len {
            if done > 0 {
                self.pause()?;
            }
            let view = value::array(array).filter(|view| view.is_c_order);
            match Self::still(view.as_ref(), place, dtype) {
                Some(bytes) => {
                    let piece = &bytes[done..len.min(done + bulk::STRIDE)];
                    bulk::feed(self.forms.spill(run), piece, dtype.floats, crew.as_ref());
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
            return self.run(|walker, run| {
                while let Some(part) = call::advance(&parts)? {
                    walker.put_piece(&part, run)?;
                }
                Ok(())
            });
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
            Some(_) if dtype.content != Content::Direct => Err(self.changed("array")),
            Some(bytes) if bytes.len() <= INLINE => self.short_data(bytes, dtype.floats),
            Some(bytes) => self.put_long(piece, (bytes.as_ptr(), bytes.len()), &dtype, run),
            None => Err(self.changed("array")),
        }
    }
}
