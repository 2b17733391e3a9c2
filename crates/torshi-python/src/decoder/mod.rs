//! The building domain: the machine's steps on Python objects. It runs only over a stream that was
//! checked, imports only what the check resolved, and decides nothing about trust.

mod fill;
mod habit;
mod keys;
mod lent;
mod load;
mod locate;
mod named;
mod placeholder;
mod plain;
mod records;
mod resolve;
mod shapes;
mod shortcut;
mod state;
mod stream;

use crate::ffi::make;
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyCFunction, PyDict, PyFloat, PyFrozenSet, PyFunction, PyInt, PyIterator, PyList,
    PyMemoryView, PyModule, PySet, PyString, PyTuple, PyType,
};
use std::borrow::Cow;
use torshi_core::domain::{Constant, Domain, Items, Kind};
use torshi_core::error::{Fault, FaultBox, Site};

pub use load::{build, build_checked, check_whole, extension_names, vet, within, Extensions, Request};
pub use placeholder::{is_placeholder, register, wants_placeholders};
pub use plain::of_bytes as plain_of_bytes;
pub use resolve::find_class;
pub use stream::{Parted, Stream};

type Object<'py> = Bound<'py, PyAny>;

/// Why building stops.
pub enum Failure {
    /// The stream is at fault.
    Fault(FaultBox),
    /// Python raised.
    Python(PyErr),
}

impl From<FaultBox> for Failure {
    fn from(fault: FaultBox) -> Self {
        Failure::Fault(fault)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(error)
    }
}

type Built<T> = Result<T, Failure>;

/// How Python 2 strings become objects.
pub struct TextCodec<'r> {
    /// The codec, as the caller named it; `bytes` leaves them undecoded.
    pub encoding: Cow<'r, str>,
    /// The error handler.
    pub errors: Cow<'r, str>,
}

/// What a building machine may use.
pub struct Objects<'py, 'l> {
    py: Python<'py>,
    stream: &'l [u8],
    codec: &'l TextCodec<'l>,
    names: resolve::Names<'py, 'l>,
    persistent_load: Option<Object<'py>>,
    buffers: Option<Bound<'py, PyIterator>>,
    /// What fills the gaps of the stream.
    payloads: Vec<Option<Object<'py>>>,
    lent: lent::Lent<'py>,
    collisions: fill::Collisions,
    /// None, False and True, in the order of `Constant`.
    constants: [Object<'py>; 3],
    learnt: Box<habit::Learnt>,
    shortcuts: shortcut::Shortcuts<'py>,
    named_tuples: named::NamedTuples<'py>,
}

impl<'py> Objects<'py, '_> {
    fn decode(&self, bytes: &[u8]) -> Built<Object<'py>> {
        let raw = make::bytes(self.py, bytes)?;
        self.decode_object(raw)
    }

    fn decode_object(&self, raw: Object<'py>) -> Built<Object<'py>> {
        if self.codec.encoding == "bytes" {
            return Ok(raw);
        }
        let encoding = make::text(self.py, self.codec.encoding.as_bytes())?;
        let errors = make::text(self.py, self.codec.errors.as_bytes())?;
        Ok(raw.call_method1(pyo3::intern!(self.py, "decode"), (encoding, errors))?)
    }

    fn as_type(&self, class: &Object<'py>, site: Site) -> Built<Bound<'py, PyType>> {
        match class.cast::<PyType>() {
            Ok(class) => Ok(class.clone()),
            Err(_) => {
                let what = format!("{} class argument must be a type, not {}", site.opcode.name(), type_name(class));
                Err(Fault::malformed(site, what).into())
            }
        }
    }
}

/// The name of an object's type, for errors.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

impl<'a, 'py> Domain<'a> for Objects<'py, '_> {
    type Value = Object<'py>;
    type Slot = Py<PyAny>;
    type Error = Failure;

    #[inline(always)]
    fn kind(&self, value: &Object<'py>) -> Kind {
        kind_of(value)
    }

    #[inline(always)]
    fn is_none(&self, value: &Object<'py>) -> bool {
        value.is_none()
    }

    #[inline(always)]
    fn keep(&self, value: &Object<'py>) -> Py<PyAny> {
        value.clone().unbind()
    }

    #[inline(always)]
    fn restore(&mut self, slot: &Py<PyAny>, stack: &mut Vec<Object<'py>>) {
        stack.push(slot.bind(self.py).clone());
    }

    #[inline(always)]
    fn restore_row<'s>(
        &mut self, stack: &mut Vec<Object<'py>>, slots: &[u32], get: impl FnMut(u32) -> Option<&'s Py<PyAny>>,
    ) -> usize {
        make::extend(self.py, stack, slots, get)
    }

    #[inline(always)]
    fn constant(&mut self, constant: Constant) -> Object<'py> {
        self.constants[constant as usize].clone()
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) -> Built<Object<'py>> {
        Ok(make::integer(self.py, value)?)
    }

    fn long(&mut self, bytes: &'a [u8]) -> Built<Object<'py>> {
        Ok(make::long(self.py, bytes)?)
    }

    fn integer_text(&mut self, text: &'a [u8], _: Site) -> Built<Object<'py>> {
        let literal = make::bytes(self.py, text)?;
        Ok(self.py.get_type::<PyInt>().call1((literal, 0))?)
    }

    #[inline(always)]
    fn float(&mut self, value: f64) -> Built<Object<'py>> {
        Ok(make::float(self.py, value)?)
    }

    fn float_text(&mut self, text: &'a [u8], _: Site) -> Built<Object<'py>> {
        let literal = make::bytes(self.py, text)?;
        Ok(self.py.get_type::<PyFloat>().call1((literal,))?)
    }

    #[inline(always)]
    fn text(&mut self, utf8: &'a [u8]) -> Built<Object<'py>> {
        match self.learnt.keys.text(self.py, utf8, self.stream) {
            Some(text) => Ok(text),
            None => Err(PyErr::fetch(self.py).into()),
        }
    }

    fn text_escaped(&mut self, raw: &'a [u8], _: Site) -> Built<Object<'py>> {
        let text = make::text_escaped(self.py, raw)?;
        Ok(self.learnt.keys.first_interned(text, raw))
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &'a [u8]) -> Built<Object<'py>> {
        Ok(make::bytes(self.py, bytes)?)
    }

    fn bytearray(&mut self, bytes: &'a [u8]) -> Built<Object<'py>> {
        match self.lent.view(bytes) {
            Some(view) => Ok(view?),
            None => Ok(make::bytearray(self.py, bytes)?),
        }
    }

    fn payload(&mut self, place: usize, site: Site) -> Built<Object<'py>> {
        match self.payloads.get_mut(place).and_then(Option::take) {
            Some(payload) => Ok(payload),
            None => Err(Fault::malformed(site, "a payload is not in the stream").into()),
        }
    }

    fn string(&mut self, bytes: &'a [u8], _: Site) -> Built<Object<'py>> {
        self.decode(bytes)
    }

    fn string_escaped(&mut self, raw: &'a [u8], _: Site) -> Built<Object<'py>> {
        let bytes = make::bytes_unescaped(self.py, raw)?;
        self.decode_object(bytes)
    }

    fn next_buffer(&mut self, site: Site) -> Built<Object<'py>> {
        let Some(buffers) = &mut self.buffers else {
            let what = "pickle stream refers to out-of-band data but no *buffers* argument was given";
            return Err(Fault::malformed(site, what).into());
        };
        match buffers.next() {
            Some(Ok(buffer)) => Ok(buffer),
            Some(Err(error)) if !error.is_instance_of::<PyStopIteration>(self.py) => Err(error.into()),
            _ => Err(Fault::malformed(site, "not enough out-of-band buffers").into()),
        }
    }

    fn readonly_buffer(&mut self, buffer: Object<'py>, _: Site) -> Built<Object<'py>> {
        let view = PyMemoryView::from(&buffer)?;
        match view.getattr(pyo3::intern!(self.py, "readonly"))?.is_truthy()? {
            true => Ok(buffer),
            false => Ok(view.call_method0(pyo3::intern!(self.py, "toreadonly"))?),
        }
    }

    #[inline(always)]
    fn empty_list(&mut self) -> Built<Object<'py>> {
        Ok(make::list(self.py)?)
    }

    #[inline(always)]
    fn empty_dict(&mut self) -> Built<Object<'py>> {
        Ok(make::dict(self.py)?)
    }

    fn empty_set(&mut self) -> Built<Object<'py>> {
        Ok(make::set(self.py)?)
    }

    #[inline(always)]
    fn tuple(&mut self, mut items: Items<'_, Object<'py>>, _: Site) -> Built<Object<'py>> {
        Ok(make::tuple_of(self.py, items.drain())?)
    }

    fn list(&mut self, mut items: Items<'_, Object<'py>>, _: Site) -> Built<Object<'py>> {
        Ok(make::list_of(self.py, items.drain())?)
    }

    fn dict(&mut self, pairs: Items<'_, Object<'py>>, site: Site) -> Built<Object<'py>> {
        let dict = make::dict(self.py)?;
        self.fill_dict(&dict, pairs, site)?;
        Ok(dict)
    }

    fn frozenset(&mut self, items: Items<'_, Object<'py>>, site: Site) -> Built<Object<'py>> {
        self.make_frozenset(items.as_slice().iter().cloned(), site)
    }

    #[inline(always)]
    fn list_extend(&mut self, list: &Object<'py>, mut items: Items<'_, Object<'py>>, _: Site) -> Built<()> {
        let list = list.cast::<PyList>().map_err(PyErr::from)?;
        Ok(make::extend_list(list, items.drain())?)
    }

    #[inline(always)]
    fn dict_update(&mut self, dict: &Object<'py>, pairs: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        self.fill_dict(dict, pairs, site)
    }

    fn set_update(&mut self, set: &Object<'py>, items: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        self.fill_set(set, items, site)
    }

    fn instance_extend(&mut self, target: &Object<'py>, items: Items<'_, Object<'py>>, _: Site) -> Built<()> {
        self.extend_instance(target, items)
    }

    fn instance_update(&mut self, target: &Object<'py>, pairs: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        self.update_instance(target, pairs, site)
    }

    fn instance_add(&mut self, target: &Object<'py>, items: Items<'_, Object<'py>>, site: Site) -> Built<()> {
        self.add_to_instance(target, items, site)
    }

    fn global(&mut self, module: &'a [u8], name: &'a [u8], python2: bool, site: Site) -> Built<Object<'py>> {
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
            return Err(Fault::bad_value(site, "the name of a global is not UTF-8").into());
        };
        self.find(module, name, python2)
    }

    fn stack_global(
        &mut self, module: Object<'py>, name: Object<'py>, python2: bool, site: Site,
    ) -> Built<Object<'py>> {
        let (Ok(module), Ok(name)) = (module.cast::<PyString>(), name.cast::<PyString>()) else {
            return Err(Fault::malformed(site, "STACK_GLOBAL requires str").into());
        };
        self.find(module.to_str()?, name.to_str()?, python2)
    }

    fn extension(&mut self, code: i64, python2: bool, site: Site) -> Built<Object<'py>> {
        match self.names.extension(code) {
            Some((module, name)) => self.find(&module, &name, python2),
            None => Err(Fault::bad_value(site, format!("unregistered extension code {code}")).into()),
        }
    }

    #[inline(always)]
    fn call(&mut self, callable: Object<'py>, arguments: Object<'py>, site: Site) -> Built<Object<'py>> {
        let Ok(arguments) = arguments.cast::<PyTuple>() else {
            return Err(PyTypeError::new_err("argument list must be a tuple").into());
        };
        if self.names.placeholders.is_some() {
            if let Some(made) = self.call_of_placeholder(&callable, arguments)? {
                return Ok(made);
            }
        }
        if let Some(made) = self.make_set(&callable, arguments, site)? {
            return Ok(made);
        }
        match self.shortcut(&callable, arguments)? {
            Some(made) => Ok(made),
            None => Ok(callable.call1(arguments)?),
        }
    }

    #[inline(always)]
    fn construct(
        &mut self, class: Object<'py>, arguments: Object<'py>, keywords: Option<Object<'py>>, site: Site,
    ) -> Built<Object<'py>> {
        let class = self.as_type(&class, site)?;
        let Ok(arguments) = arguments.cast::<PyTuple>() else {
            return Err(Fault::malformed(site, "NEWOBJ expected an arg tuple").into());
        };
        let keywords = match &keywords {
            Some(keywords) => Some(keywords.cast::<PyDict>().map_err(PyErr::from)?),
            None => match self.named_tuples.make(&class, arguments)? {
                Some(made) => return Ok(made),
                None => None,
            },
        };
        match self.construct_placeholder(&class, arguments, keywords)? {
            Some(made) => Ok(made),
            None => Ok(make::new_object(&class, arguments, keywords)?),
        }
    }

    fn instantiate(
        &mut self, class: Object<'py>, mut arguments: Items<'_, Object<'py>>, _: Site,
    ) -> Built<Object<'py>> {
        let arguments = make::tuple_of(self.py, arguments.drain())?;
        let arguments = arguments.cast::<PyTuple>().map_err(PyErr::from)?;
        if let Some(made) = self.call_of_placeholder(&class, arguments)? {
            return Ok(made);
        }
        match class.cast::<PyType>() {
            Ok(class) if arguments.is_empty() && !class.hasattr(pyo3::intern!(self.py, "__getinitargs__"))? => {
                Ok(make::new_object(class, arguments, None)?)
            }
            _ => Ok(class.call1(arguments)?),
        }
    }

    #[inline(always)]
    fn set_state(&mut self, target: &Object<'py>, state: Object<'py>, site: Site) -> Built<()> {
        self.give_state(target, state, site)
    }

    #[inline(always)]
    fn takes_pairs(&mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>]) -> bool {
        self.takes_attributes(target, dict, pairs)
    }

    #[inline(always)]
    fn set_state_pairs(
        &mut self, target: &Object<'py>, _: Object<'py>, pairs: Items<'_, Object<'py>>, _: Site,
    ) -> Built<()> {
        self.give_attributes(target, pairs)
    }

    #[inline(always)]
    fn takes_slot_pairs(
        &mut self, target: &Object<'py>, dict: &Object<'py>, pairs: &[Object<'py>], tuple_is_read: bool,
    ) -> bool {
        !tuple_is_read && self.takes_slots(target, dict, pairs)
    }

    #[inline(always)]
    fn set_slot_pairs(
        &mut self, target: &Object<'py>, _: Object<'py>, _: Object<'py>, pairs: Items<'_, Object<'py>>, _: Site,
    ) -> Built<Option<Object<'py>>> {
        self.give_slots(target, pairs)?;
        Ok(None)
    }

    fn persistent_line(&mut self, id: &'a [u8], site: Site) -> Built<Object<'py>> {
        if !id.is_ascii() {
            return Err(Fault::malformed(site, "persistent IDs in protocol 0 must be ASCII strings").into());
        }
        let id = make::text(self.py, id)?;
        self.persistent(id, site)
    }

    fn persistent(&mut self, id: Object<'py>, site: Site) -> Built<Object<'py>> {
        match &self.persistent_load {
            Some(load) => Ok(load.call1((id,))?),
            None => {
                let what =
                    "A load persistent id instruction was encountered, but no persistent_load function was specified.";
                Err(Fault::malformed(site, what).into())
            }
        }
    }

    fn stop(&mut self, value: Object<'py>, _: Site) -> Built<Object<'py>> {
        Ok(value)
    }
}

/// What the machine's rules ask of a value.
#[inline(always)]
fn kind_of(value: &Bound<'_, PyAny>) -> Kind {
    if value.is_exact_instance_of::<PyList>() {
        Kind::List
    } else if value.is_exact_instance_of::<PyDict>() {
        Kind::Dict
    } else if value.is_exact_instance_of::<PyTuple>() {
        Kind::Tuple
    } else if value.is_exact_instance_of::<PySet>() {
        Kind::Set
    } else if value.is_exact_instance_of::<PyString>() {
        Kind::Text
    } else if is_code(value) {
        Kind::Global
    } else if is_plain(value) {
        Kind::Plain
    } else {
        Kind::Instance
    }
}

/// None, False and True, in the order of `Constant`.
fn constants(py: Python<'_>) -> [Object<'_>; 3] {
    let boolean = |value| PyBool::new(py, value).to_owned().into_any();
    [py.None().into_bound(py), boolean(false), boolean(true)]
}

/// Values that hold no others.
#[inline(always)]
fn is_atom(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}

/// Classes, functions and modules: what BUILD must never reach.
#[inline(always)]
fn is_code(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyType>()
        || value.is_exact_instance_of::<PyFunction>()
        || value.is_instance_of::<PyCFunction>()
        || value.is_instance_of::<PyModule>()
}

fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyByteArray>()
        || value.is_exact_instance_of::<PyFrozenSet>()
}
