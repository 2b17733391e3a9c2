//! datetime, Decimal and small ndarrays, written as their own reduce methods would have them, without the detour.
//!
//! Only exact C classes, at protocol 4 and later (ndarray: 5), without hooks; anything odd takes the long way.
use super::failure::{Done, Failed};
use super::opcode::*;
use super::writer::FRAME_TARGET;
use super::{Encoder, Ways};
use crate::ffi::call;
use crate::ffi::peek::{self, Text};
use crate::ffi::value::{self, Value};
use pyo3::prelude::*;

/// What was learned about arrays in this dump.
#[derive(Default)]
pub struct Arrays<'py> {
    /// numpy's `_frombuffer`, from the first array's own answer.
    function: Option<Bound<'py, PyAny>>,
    /// The last dtype, and the size of its items if they are plain bytes.
    dtype: Option<(Bound<'py, PyAny>, Option<usize>)>,
}

impl<'py> Encoder<'py> {
    pub(super) fn save_known_value(
        &mut self, object: &Bound<'py, PyAny>, kind: Value, ways: Ways, shared: bool, below: Ways,
    ) -> Result<bool, Failed> {
        if self.protocol < 4 {
            return Ok(false);
        }
        let epoch = self.memo.epoch();
        match kind {
            Value::DateTime => self.save_datetime(object, below)?,
            Value::Decimal => self.save_decimal(object)?,
            Value::Array => {
                if !self.save_array(object)? {
                    return Ok(false);
                }
            }
        }
        self.memoize_nothing()?;
        self.out.op(REDUCE);
        if let Some(index) = self.recursive(object, shared, epoch) {
            self.out.op(POP);
            self.get(index);
            return Ok(true);
        }
        self.memoize_late(object, ways, shared, epoch)?;
        Ok(true)
    }

    fn save_datetime(&mut self, object: &Bound<'py, PyAny>, below: Ways) -> Done {
        let (bytes, zone) = value::datetime(object);
        self.save(object.get_type().as_any(), Ways::Again)?;
        self.between()?;
        self.between()?;
        self.out.buffer.put([SHORT_BINBYTES, bytes.len() as u8]);
        self.out.buffer.put(bytes);
        self.memoize_nothing()?;
        match zone {
            Some(zone) => {
                self.save(&zone, below)?;
                self.out.op(TUPLE2);
            }
            None => self.out.op(TUPLE1),
        }
        Ok(())
    }

    fn save_decimal(&mut self, object: &Bound<'py, PyAny>) -> Done {
        let text = call::str(object)?;
        self.save(object.get_type().as_any(), Ways::Again)?;
        self.between()?;
        self.between()?;
        match peek::text(&text) {
            Some(Text::Ascii(digits)) if digits.len() < 256 => {
                self.out.buffer.put([SHORT_BINUNICODE, digits.len() as u8]);
                self.out.buffer.put_slice(digits);
                self.memoize_nothing()?;
            }
            _ => {
                self.save(&text, Ways::Passing)?;
                self.settle()?;
            }
        }
        self.out.op(TUPLE1);
        Ok(())
    }

    /// The first array of a dump answers for itself; this remembers the function it names.
    pub(super) fn learn_array(&mut self, object: &Bound<'py, PyAny>, answer: &Bound<'py, PyAny>) {
        if value::recognize(object.get_type().as_any()) != Some(Value::Array)
            || !peek::is_tuple(answer)
            || peek::tuple_len(answer) != 2
        {
            return;
        }
        let Some(function) = peek::tuple_item(answer, 0) else { return };
        let name = self.imports.names.name.bind(self.py).as_any();
        if let Ok(Some(name)) = call::lookup(&function, name) {
            if peek::is_text(&name) && matches!(peek::text(&name), Some(Text::Ascii(b"_frombuffer"))) {
                self.arrays.function = Some(function);
            }
        }
    }

    /// Size of the items of a dtype, if they are plain numbers.
    fn item_size(&mut self, dtype: &Bound<'py, PyAny>) -> Result<Option<usize>, Failed> {
        if let Some((last, size)) = &self.arrays.dtype {
            if last.is(dtype) {
                return Ok(*size);
            }
        }
        let names = &self.imports.names;
        let kind = call::attribute(dtype, names.kind.bind(self.py))?;
        let own = call::attribute(dtype, names.isbuiltin.bind(self.py))?;
        // Numbers in native order: every one of them has a buffer format, as datetime64 for instance has not.
        let is_number = peek::is_text(&kind)
            && matches!(peek::text(&kind), Some(Text::Ascii([b'b' | b'i' | b'u' | b'f' | b'c'])))
            && peek::is_int(&own)
            && matches!(peek::int(&own), peek::Int::Small(1));
        let size = call::attribute(dtype, names.itemsize.bind(self.py))?;
        let size = match peek::is_int(&size).then(|| peek::int(&size)) {
            Some(peek::Int::Small(size)) if size > 0 && is_number => usize::try_from(size).ok(),
            _ => None,
        };
        self.arrays.dtype = Some((dtype.clone(), size));
        Ok(size)
    }

    fn save_array(&mut self, object: &Bound<'py, PyAny>) -> Result<bool, Failed> {
        let (5.., None, Some(function)) = (self.protocol, &self.hooks.buffer_callback, self.arrays.function.clone())
        else {
            return Ok(false);
        };
        let Some(array) = value::array(object) else { return Ok(false) };
        let Some(item_size) = self.item_size(&array.dtype)? else { return Ok(false) };
        match array.bytes(item_size) {
            Some(bytes) if bytes.len() < FRAME_TARGET => {}
            _ => return Ok(false),
        }
        self.save(&function, Ways::Again)?;
        self.between()?;
        self.out.op(MARK);
        self.between()?;
        // Saving the function may have run anything: the array is looked at again.
        let Some(array) = value::array(object) else {
            return Err(self.changed("array changed while it was pickled"));
        };
        match array.bytes(item_size) {
            Some(bytes) if bytes.len() < FRAME_TARGET => {
                match (array.is_readonly, bytes.len()) {
                    (false, len) => self.out.op_u64(BYTEARRAY8, len as u64),
                    (true, len @ 0..256) => self.out.buffer.put([SHORT_BINBYTES, len as u8]),
                    (true, len) => self.out.op_u32(BINBYTES, len as u32),
                }
                self.out.buffer.put_slice(bytes);
            }
            _ => return Err(self.changed("array changed while it was pickled")),
        }
        self.memoize_nothing()?;
        let order = if array.is_c_order { "C" } else { "F" };
        let shape: Vec<isize> = array.shape.to_vec();
        self.save(&array.dtype, Ways::Again)?;
        self.save_shape(&shape)?;
        self.save(&call::text(self.py, order)?, Ways::Passing)?;
        self.settle()?;
        self.out.op(TUPLE);
        Ok(true)
    }

    fn save_shape(&mut self, shape: &[isize]) -> Done {
        self.between()?;
        if shape.is_empty() {
            self.out.op(EMPTY_TUPLE);
            return Ok(());
        }
        if shape.len() > 3 {
            self.out.op(MARK);
        }
        for &extent in shape {
            self.between()?;
            self.save_small(extent as i64);
        }
        self.out.op(match shape.len() {
            1 => TUPLE1,
            2 => TUPLE2,
            3 => TUPLE3,
            _ => TUPLE,
        });
        self.memoize_nothing()
    }
}
