//! Calls of cached functions: arguments as they were written into bytes to look up by, and a result in memory straight to
//! its caller. Only plain values are spelled (numbers, text, bytes, None, tuples of these); of anything else, which could
//! change or compare in its own way, Python's half makes a digest. Nothing here keeps a result or computes one.

use crate::ffi::call;
use crate::ffi::peek::{self, Int, Kind, Text};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Bytes that a spelling has at most: a longer one would keep more in memory than it is worth.
const LONGEST: usize = 1000;
/// Tuples within each other.
const DEEPEST: usize = 16;
/// What stands between arguments by position and those by name.
const BY_NAME: u8 = b'=';

/// A spelling that is being made. Each value is a tag and content of a known length, so that no two calls have the same.
#[derive(Default)]
struct Spelling {
    bytes: Vec<u8>,
}

impl Spelling {
    /// Puts content behind its tag and length; false if it is too long.
    fn put(&mut self, tag: u8, content: &[u8]) -> bool {
        if self.bytes.len() + content.len() > LONGEST {
            return false;
        }
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(content.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(content);
        true
    }

    /// Units of more than a byte each.
    fn put_units<const N: usize, T: Copy>(&mut self, tag: u8, units: &[T], bytes: impl Fn(T) -> [u8; N]) -> bool {
        if units.len() > LONGEST {
            return false;
        }
        let content: Vec<u8> = units.iter().flat_map(|&unit| bytes(unit)).collect();
        self.put(tag, &content)
    }

    /// A value; false if it is not plain, or too long.
    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        match peek::kind(value) {
            Kind::None => self.put(b'n', &[]),
            Kind::Bool => self.put(b'b', &[u8::from(peek::is_true(value))]),
            Kind::Int => match peek::int(value) {
                Int::Small(number) => self.put(b'i', &number.to_le_bytes()),
                Int::Big { negative, digits } => {
                    self.put_units(if negative { b'-' } else { b'+' }, digits, u32::to_le_bytes)
                }
            },
            // By its bits, which tell zeros apart. A NaN equals nothing, and is no argument to be found again.
            Kind::Float => match peek::float(value) {
                number if number.is_nan() => false,
                number => self.put(b'f', &number.to_bits().to_le_bytes()),
            },
            Kind::Str => self.text(value),
            Kind::Bytes => self.put(b'y', peek::bytes(value)),
            Kind::Tuple => self.tuple(value, depth),
            _ => false,
        }
    }

    /// Text, as it is stored: equal text is stored alike, and text that is not is only looked up in vain.
    fn text(&mut self, text: &Bound<'_, PyAny>) -> bool {
        match peek::text(text) {
            Some(Text::Ascii(bytes)) => self.put(b'a', bytes),
            Some(Text::Latin1(bytes)) => self.put(b'l', bytes),
            Some(Text::Ucs2(units)) => self.put_units(b'u', units, u16::to_le_bytes),
            Some(Text::Ucs4(units)) => self.put_units(b'w', units, u32::to_le_bytes),
            None => false,
        }
    }

    fn tuple(&mut self, tuple: &Bound<'_, PyAny>, depth: usize) -> bool {
        let count = peek::tuple_len(tuple);
        count <= LONGEST
            && depth < DEEPEST
            && self.put(b't', &(count as u16).to_le_bytes())
            && (0..count).all(|i| peek::tuple_item(tuple, i).is_some_and(|item| self.value(&item, depth + 1)))
    }

    /// All arguments of a call; false if one of them is not plain, or they are too long.
    fn call(&mut self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> bool {
        self.bytes.reserve(128);
        for i in 0..peek::tuple_len(args) {
            if !peek::tuple_item(args, i).is_some_and(|value| self.value(&value, 0)) {
                return false;
            }
        }
        let Some(kwargs) = kwargs else { return true };
        let mut position = 0;
        while let Some((name, value)) = peek::dict_next(kwargs, &mut position) {
            self.bytes.push(BY_NAME);
            if peek::kind(&name) != Kind::Str || !self.text(&name) || !self.value(&value, 0) {
                return false;
            }
        }
        true
    }
}

/// The arguments of a call as they were written, or None if one of them is not plain or they are long. Equal bytes are
/// equal arguments of the same types; the same call in another order, or by other names, has other bytes.
#[pyfunction]
#[pyo3(signature = (args, kwargs, /))]
fn spelled<'py>(
    py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut spelling = Spelling::default();
    spelling.call(args, Some(kwargs)).then(|| call::bytes(py, &spelling.bytes)).transpose()
}

/// What a cached function derives from: a call whose result is in memory, and fresh, is answered here. Every other goes to
/// `_missed`, with arguments, arguments by name, and the spelling if there is one.
#[pyclass(module = "torshi._native", subclass, frozen)]
struct Hits {
    /// Entries by spelling, of Python's half; none where calls are not looked up as they are written.
    entries: OnceLock<Py<PyDict>>,
    /// Whether somebody wants to be told of each hit.
    told: AtomicBool,
    count: AtomicUsize,
}

#[pymethods]
impl Hits {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Hits { entries: OnceLock::new(), told: AtomicBool::new(false), count: AtomicUsize::new(0) }
    }

    /// Has calls be looked up among these entries; with `told`, `_tell` is called with each that is found.
    fn _look_in(&self, entries: Bound<'_, PyDict>, told: bool) {
        self.told.store(told, Ordering::Relaxed);
        let _ = self.entries.set(entries.unbind());
    }

    /// How many calls were answered here since this was last asked for.
    fn _take_count(&self) -> usize {
        self.count.swap(0, Ordering::Relaxed)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let mut key = None;
        if let Some(entries) = slf.get().entries.get() {
            let mut spelling = Spelling::default();
            if spelling.call(args, kwargs) {
                let spelled = call::bytes(py, &spelling.bytes)?;
                if let Some(entry) = call::dict_get(entries.bind(py), &spelled)? {
                    if let Some(value) = slf.get().fresh(slf, &entry)? {
                        return Ok(value);
                    }
                }
                key = Some(spelled);
            }
        }
        let kwargs = match kwargs {
            Some(kwargs) => kwargs.clone(),
            None => call::dict(py)?,
        };
        slf.call_method1(intern!(py, "_missed"), (args, kwargs, key))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Nothing is cleared here: the memory of the function has the same dict, and empties it.
        match self.entries.get() {
            Some(entries) => visit.call(entries),
            None => Ok(()),
        }
    }
}

impl Hits {
    /// The value of an entry, if nothing about it has to be looked at first.
    fn fresh<'py>(&self, slf: &Bound<'py, Self>, entry: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let now = call::call0(monotonic(py)?)?;
        if now.extract::<f64>()? >= entry.getattr(intern!(py, "until"))?.extract::<f64>()? {
            return Ok(None);
        }
        entry.setattr(intern!(py, "used"), now)?;
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.told.load(Ordering::Relaxed) {
            slf.call_method1(intern!(py, "_tell"), (entry,))?;
        }
        entry.getattr(intern!(py, "value")).map(Some)
    }
}

/// Python's clock that entries are timed by.
fn monotonic(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLOCK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLOCK.get_or_try_init(py, || Ok(py.import("time")?.getattr("monotonic")?.unbind())).map(|clock| clock.bind(py))
}

/// Adds everything of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Hits>()?;
    module.add_function(wrap_pyfunction!(spelled, module)?)
}
