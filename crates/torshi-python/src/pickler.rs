//! `dump`, `dumps` and the class `Pickler`: arguments, hooks and the memo between dumps.
//!
//! A pickler's memo is moved into the encoder while it dumps; whoever enters it again meanwhile is refused
//! with an ordinary RuntimeError, and no lock is held while foreign code runs.
use crate::encoder::failure::Failed;
use crate::encoder::imports::{imports, pickling_error, pickling_failure};
use crate::encoder::memo::Memo;
use crate::encoder::writer::Writer;
use crate::encoder::{Encoder, Hooks};
use crate::ffi::{call, peek};
use pyo3::exceptions::{PyAttributeError, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use std::sync::{Mutex, MutexGuard};

const HIGHEST: u8 = 5;
const DEFAULT: u8 = 5;

/// Adds the functions and classes of this file to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    if !peek::layout_as_expected(m.py()) {
        return Err(PyRuntimeError::new_err("torshi: this interpreter lays out its objects in an unknown way"));
    }
    imports(m.py())?;
    pickling_error(m.py())?;
    m.add_function(wrap_pyfunction!(dumps, m)?)?;
    m.add_function(wrap_pyfunction!(dump, m)?)?;
    m.add_class::<Pickler>()?;
    m.add_class::<PicklerMemoProxy>()
}

fn failure<T: pyo3::PyTypeInfo>(py: Python<'_>, message: &str) -> PyErr {
    call::error(py.get_type::<T>().as_any(), message)
}

/// The protocol an argument asks for.
fn protocol(py: Python<'_>, argument: Option<&Bound<'_, PyAny>>) -> PyResult<u8> {
    let Some(argument) = argument.filter(|argument| !argument.is_none()) else { return Ok(DEFAULT) };
    match argument.extract::<i32>()? {
        ..0 => Ok(HIGHEST),
        n => u8::try_from(n)
            .ok()
            .filter(|&n| n <= HIGHEST)
            .ok_or_else(|| failure::<PyValueError>(py, &format!("pickle protocol must be <= {HIGHEST}"))),
    }
}

fn callback<'py>(argument: Option<&Bound<'py, PyAny>>, protocol: u8) -> PyResult<Option<Bound<'py, PyAny>>> {
    match argument.filter(|argument| !argument.is_none()) {
        Some(argument) if protocol < 5 => {
            Err(failure::<PyValueError>(argument.py(), "buffer_callback needs protocol >= 5"))
        }
        other => Ok(other.cloned()),
    }
}

/// The hooks of a dump by the module's functions. `by_value` asks Python's half who takes functions and classes apart.
pub fn hooks<'py>(
    py: Python<'py>, protocol: u8, buffer_callback: Option<Bound<'py, PyAny>>, by_value: bool,
) -> PyResult<Hooks<'py>> {
    let mut hooks = Hooks { buffer_callback, ..Hooks::default() };
    if by_value {
        let asked = py.import("torshi._by_value")?.getattr("hooks")?.call1((protocol,))?;
        let (override_, table) = asked.extract()?;
        hooks.reducer_override = Some(override_);
        hooks.dispatch_table = Some(table);
    }
    Ok(hooks)
}

fn flag(argument: Option<&Bound<'_, PyAny>>, default: bool) -> PyResult<bool> {
    argument.map_or(Ok(default), call::truth)
}

fn write_method<'py>(file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = file.py();
    call::lookup(file, imports(py)?.names.write.bind(py).as_any())?
        .ok_or_else(|| failure::<PyTypeError>(py, "file must have a 'write' attribute"))
}

/// The exception for a failed dump, telling the way to the object that could not be pickled.
#[cold]
pub fn raised(py: Python<'_>, failed: Failed, doing: &str) -> PyErr {
    let (error, path) = failed.into_parts();
    if error.is_instance_of::<PyMemoryError>(py) || !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return error;
    }
    let told = tell(py, &error, &path, doing);
    drop(told);
    error
}

/// Best effort: a failure to tell must not hide the failure itself.
fn tell(py: Python<'_>, error: &PyErr, path: &str, doing: &str) -> PyResult<()> {
    let names = &imports(py)?.names;
    let value = error.value(py).as_any();
    let shown = call::text(py, path)?;
    let ours = value.get_type().is(&pickling_error(py)?);
    if ours {
        value.setattr(names.path.bind(py), &shown)?;
    }
    if path == "$" {
        return Ok(());
    }
    if ours {
        let message = format!("{}, at {path}", peek::display(&call::str(value)?));
        let message = call::text(py, &message)?;
        return value.setattr(names.args.bind(py), call::tuple(py, &[&message])?);
    }
    let note = call::text(py, &format!("while {doing} the object at {path}"))?;
    call::call1(&call::attribute(value, names.add_note.bind(py))?, &note).map(drop)
}

/// Return the pickled representation of the object as a bytes object.
///
/// Args:
///     obj: Any picklable object.
///     protocol: 0 to 5, negative for the highest; 5 if not given.
///     fix_imports: Below protocol 3, write Python 2's names of moved modules.
///     buffer_callback: Called with each ``PickleBuffer`` at protocol 5; a false answer leaves it out of the stream.
///     by_value: Write functions and classes that cannot be found by name (lambdas, closures, what stands in
///         ``__main__``) as their code. Needs cloudpickle, here and where it is loaded. Loading it runs code.
///
/// Raises:
///     PicklingError: The object cannot be pickled; ``path`` says which one.
///     TypeError, AttributeError: As stock pickle raises them, with a note that says which object.
#[pyfunction]
#[pyo3(
    signature = (obj, protocol=None, *, fix_imports=None, buffer_callback=None, by_value=None),
    text_signature = "(obj, protocol=None, *, fix_imports=True, buffer_callback=None, by_value=False)"
)]
fn dumps<'py>(
    py: Python<'py>, obj: &Bound<'py, PyAny>, protocol: Option<&Bound<'py, PyAny>>,
    fix_imports: Option<&Bound<'py, PyAny>>, buffer_callback: Option<&Bound<'py, PyAny>>,
    by_value: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let number = self::protocol(py, protocol)?;
    let hooks = hooks(py, number, callback(buffer_callback, number)?, flag(by_value, false)?)?;
    let fix = flag(fix_imports, true)?;
    let mut encoder = Encoder::new(py, number, fix, Writer::new(None), Memo::default(), hooks, false)?;
    match encoder.dump_once(obj) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => call::bytes(py, b""),
        Err(failed) => Err(raised(py, failed, "pickling")),
    }
}

/// Write a pickled representation of obj to the open binary file.
///
/// Args:
///     obj: Any picklable object.
///     file: Anything with a ``write(bytes)`` method.
///     protocol: 0 to 5, negative for the highest; 5 if not given.
///     fix_imports: Below protocol 3, write Python 2's names of moved modules.
///     buffer_callback: Called with each ``PickleBuffer`` at protocol 5; a false answer leaves it out of the stream.
///     by_value: Write functions and classes that cannot be found by name (lambdas, closures, what stands in
///         ``__main__``) as their code. Needs cloudpickle, here and where it is loaded. Loading it runs code.
///
/// Raises:
///     PicklingError: The object cannot be pickled; ``path`` says which one.
///     TypeError, AttributeError: As stock pickle raises them, with a note that says which object.
#[pyfunction]
#[pyo3(
    signature = (obj, file, protocol=None, *, fix_imports=None, buffer_callback=None, by_value=None),
    text_signature = "(obj, file, protocol=None, *, fix_imports=True, buffer_callback=None, by_value=False)"
)]
fn dump<'py>(
    py: Python<'py>, obj: &Bound<'py, PyAny>, file: &Bound<'py, PyAny>, protocol: Option<&Bound<'py, PyAny>>,
    fix_imports: Option<&Bound<'py, PyAny>>, buffer_callback: Option<&Bound<'py, PyAny>>,
    by_value: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let number = self::protocol(py, protocol)?;
    let hooks = hooks(py, number, callback(buffer_callback, number)?, flag(by_value, false)?)?;
    let fix = flag(fix_imports, true)?;
    let writer = Writer::new(Some(write_method(file)?));
    let mut encoder = Encoder::new(py, number, fix, writer, Memo::default(), hooks, false)?;
    encoder.dump_once(obj).map(drop).map_err(|failed| raised(py, failed, "pickling"))
}

/// What `__init__` was given.
struct Setup {
    write: Py<PyAny>,
    protocol: u8,
    fix_imports: bool,
    buffer_callback: Option<Py<PyAny>>,
}

#[derive(Default)]
struct Inner {
    setup: Option<Setup>,
    memo: Memo,
    bin: i32,
    fast: i32,
    busy: bool,
    persistent_id: Option<Py<PyAny>>,
    dispatch_table: Option<Py<PyAny>>,
}

/// This takes a binary file for writing a pickle data stream.
///
/// Args:
///     file: Anything with a ``write(bytes)`` method.
///     protocol: 0 to 5, negative for the highest; 5 if not given.
///     fix_imports: Below protocol 3, write Python 2's names of moved modules.
///     buffer_callback: Called with each ``PickleBuffer`` at protocol 5; a false answer leaves it out of the stream.
#[pyclass(subclass, frozen, module = "torshi", name = "Pickler")]
#[derive(Default)]
pub struct Pickler {
    inner: Mutex<Inner>,
}

impl Pickler {
    /// Never held while Python code runs, so never waited for.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn idle(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Inner>> {
        let inner = self.inner();
        if inner.busy {
            drop(inner);
            return Err(failure::<PyRuntimeError>(py, "the pickler is in use: it is dumping an object"));
        }
        Ok(inner)
    }

    fn hooks<'py>(slf: &Bound<'py, Self>) -> PyResult<Hooks<'py>> {
        let py = slf.py();
        let names = &imports(py)?.names;
        let (persistent_id, dispatch_table, buffer_callback) = {
            let inner = slf.get().inner();
            let bound = |object: &Option<Py<PyAny>>| object.as_ref().map(|object| object.bind(py).clone());
            let callback = inner.setup.as_ref().and_then(|setup| bound(&setup.buffer_callback));
            (bound(&inner.persistent_id), bound(&inner.dispatch_table), callback)
        };
        let mut hooks = Hooks { persistent_id, dispatch_table, buffer_callback, ..Hooks::default() };
        if !slf.is_exact_instance_of::<Pickler>() {
            let any = slf.as_any();
            hooks.reducer_override = call::lookup(any, names.reducer_override.bind(py).as_any())?;
            hooks.dispatch_table = call::lookup(any, names.dispatch_table.bind(py).as_any())?;
            let base = py.get_type::<Pickler>().into_any();
            let name = names.persistent_id.bind(py).as_any();
            let of = |class: &Bound<'py, PyAny>| crate::ffi::instance::class_attribute(class, name);
            let is_own = match (of(any.get_type().as_any()), of(&base)) {
                (Some(found), Some(default)) => !found.is(&default),
                _ => true,
            };
            if is_own {
                hooks.persistent_id = call::lookup(any, name)?;
            }
        }
        Ok(hooks)
    }
}

#[pymethods]
impl Pickler {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(file, protocol=None, fix_imports=True, buffer_callback=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Pickler::default()
    }

    #[pyo3(signature = (file, protocol=None, fix_imports=None, buffer_callback=None))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>, file: &Bound<'py, PyAny>, protocol: Option<&Bound<'py, PyAny>>,
        fix_imports: Option<&Bound<'py, PyAny>>, buffer_callback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        drop(slf.get().idle(py)?);
        let protocol = self::protocol(py, protocol)?;
        let setup = Setup {
            protocol,
            fix_imports: flag(fix_imports, true)?,
            buffer_callback: callback(buffer_callback, protocol)?.map(Bound::unbind),
            write: write_method(file)?.unbind(),
        };
        let mut inner = slf.get().idle(py)?;
        let old = (inner.setup.replace(setup), std::mem::take(&mut inner.memo));
        inner.bin = i32::from(protocol > 0);
        inner.fast = 0;
        drop(inner);
        drop(old);
        Ok(())
    }

    /// Write a pickled representation of the given object to the open file.
    #[pyo3(text_signature = "($self, obj, /)")]
    fn dump<'py>(slf: &Bound<'py, Self>, obj: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let hooks = Pickler::hooks(slf)?;
        let mut inner = slf.get().idle(py)?;
        let Some(setup) = &inner.setup else {
            drop(inner);
            let message = format!("Pickler.__init__() was not called by {}.__init__()", peek::type_name(slf.as_any()));
            return Err(pickling_failure(py, &message));
        };
        let (protocol, fix_imports, write) = (setup.protocol, setup.fix_imports, setup.write.bind(py).clone());
        let (memo, fast) = (std::mem::take(&mut inner.memo), inner.fast != 0);
        inner.busy = true;
        drop(inner);
        let encoder = Encoder::new(py, protocol, fix_imports, Writer::new(Some(write)), memo, hooks, fast);
        let (result, memo) = match encoder {
            Ok(encoder) => encoder.dump(obj),
            Err(error) => (Err(error.into()), Memo::default()),
        };
        let mut inner = slf.get().inner();
        inner.memo = memo;
        inner.busy = false;
        drop(inner);
        result.map(drop).map_err(|failed| raised(py, failed, "pickling"))
    }

    /// Clears the pickler's "memo": objects seen before are pickled by value again.
    #[pyo3(text_signature = "($self, /)")]
    fn clear_memo(&self, py: Python<'_>) -> PyResult<()> {
        let memo = std::mem::take(&mut self.idle(py)?.memo);
        drop(memo);
        Ok(())
    }

    #[getter]
    fn memo(slf: &Bound<'_, Self>) -> PyResult<Py<PicklerMemoProxy>> {
        Py::new(slf.py(), PicklerMemoProxy { pickler: Mutex::new(Some(slf.clone().unbind())) })
    }

    #[setter]
    fn set_memo(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let memo = if let Ok(proxy) = value.cast::<PicklerMemoProxy>() {
            match proxy.get().pickler() {
                Some(other) => {
                    let mut inner = other.bind(py).get().idle(py)?;
                    inner.memo.duplicate(py).map_err(|_| call::no_memory(py))?
                }
                None => Memo::default(),
            }
        } else if peek::is_dict(value) {
            memo_from_dict(value)?
        } else {
            let name = peek::type_name(value);
            let message = format!("'memo' attribute must be a PicklerMemoProxy object or dict, not {name}");
            return Err(failure::<PyTypeError>(py, &message));
        };
        let old = std::mem::replace(&mut slf.get().idle(py)?.memo, memo);
        drop(old);
        Ok(())
    }

    #[deleter]
    fn delete_memo(&self, py: Python<'_>) -> PyResult<()> {
        Err(failure::<PyTypeError>(py, "attribute deletion is not supported"))
    }

    #[getter]
    fn bin(&self) -> i32 {
        self.inner().bin
    }

    #[setter]
    fn set_bin(&self, value: i32) {
        self.inner().bin = value;
    }

    #[getter]
    fn fast(&self) -> i32 {
        self.inner().fast
    }

    #[setter]
    fn set_fast(&self, value: i32) {
        self.inner().fast = value;
    }

    #[getter]
    fn dispatch_table(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let table = slf.get().inner().dispatch_table.as_ref().map(|table| table.clone_ref(py));
        table.ok_or_else(|| absent(slf.as_any(), "dispatch_table"))
    }

    #[setter]
    fn set_dispatch_table(&self, value: Py<PyAny>) {
        let old = self.inner().dispatch_table.replace(value);
        drop(old);
    }

    #[deleter]
    fn delete_dispatch_table(slf: &Bound<'_, Self>) -> PyResult<()> {
        let old = slf.get().inner().dispatch_table.take();
        old.map(drop).ok_or_else(|| failure::<PyAttributeError>(slf.py(), "dispatch_table"))
    }

    #[getter]
    fn persistent_id(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(hook) = slf.get().inner().persistent_id.as_ref().map(|hook| hook.clone_ref(py)) {
            return Ok(hook);
        }
        if imports(py)?.version >= (3, 13) {
            return Ok(wrap_pyfunction!(persistent_id, py)?.into_any().unbind());
        }
        Err(failure::<PyAttributeError>(py, "persistent_id"))
    }

    #[setter]
    fn set_persistent_id(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        if imports(py)?.version < (3, 13) && !peek::is_callable(value.bind(py)) {
            return Err(failure::<PyTypeError>(py, "persistent_id must be a callable taking one argument"));
        }
        let old = self.inner().persistent_id.replace(value);
        drop(old);
        Ok(())
    }

    #[deleter]
    fn delete_persistent_id(&self, py: Python<'_>) -> PyResult<()> {
        if imports(py)?.version < (3, 13) {
            return Err(failure::<PyTypeError>(py, "attribute deletion is not supported"));
        }
        let old = self.inner().persistent_id.take();
        old.map(drop).ok_or_else(|| failure::<PyAttributeError>(py, "persistent_id"))
    }

    /// Returns size in memory, in bytes.
    #[pyo3(text_signature = "($self, /)")]
    fn __sizeof__(&self) -> usize {
        // An object header, and the memo's log and table.
        16 + size_of::<Pickler>() + self.inner().memo.len() * 40
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(inner) = self.inner.try_lock() else { return Ok(()) };
        if let Some(setup) = &inner.setup {
            visit.call(&setup.write)?;
            visit.call(&setup.buffer_callback)?;
        }
        visit.call(&inner.persistent_id)?;
        visit.call(&inner.dispatch_table)?;
        inner.memo.traverse(&visit)
    }

    fn __clear__(&self) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let old = std::mem::take(&mut *inner);
        drop(inner);
        drop(old);
    }
}

fn absent(object: &Bound<'_, PyAny>, name: &str) -> PyErr {
    let message = format!("'{}' object has no attribute '{name}'", peek::type_name(object));
    failure::<PyAttributeError>(object.py(), &message)
}

/// What `Pickler.persistent_id` is while nobody has overridden it: no object has a persistent id.
#[pyfunction]
#[pyo3(signature = (obj, /))]
fn persistent_id(obj: &Bound<'_, PyAny>) {
    let _ = obj;
}

/// A memo from `{id: (index, object)}`.
fn memo_from_dict(dict: &Bound<'_, PyAny>) -> PyResult<Memo> {
    let py = dict.py();
    let mut entries = Vec::new();
    let mut position = 0;
    while let Some((_, value)) = peek::dict_next(dict, &mut position) {
        let pair = (peek::is_tuple(&value) && peek::tuple_len(&value) == 2)
            .then(|| peek::tuple_item(&value, 0).zip(peek::tuple_item(&value, 1)))
            .flatten();
        let Some((index, object)) = pair else {
            return Err(failure::<PyTypeError>(py, "'memo' values must be 2-item tuples"));
        };
        if !peek::is_int(&index) {
            return Err(failure::<PyTypeError>(py, "an integer is required"));
        }
        entries.push((object, index.extract::<u32>()?));
    }
    Memo::from_entries(entries.into_iter()).map_err(|_| call::no_memory(py))
}

/// The memo of a pickler, seen from outside.
#[pyclass(module = "torshi", name = "PicklerMemoProxy", frozen)]
pub struct PicklerMemoProxy {
    pickler: Mutex<Option<Py<Pickler>>>,
}

impl PicklerMemoProxy {
    fn pickler(&self) -> Option<Py<Pickler>> {
        let pickler = self.pickler.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Python::attach(|py| pickler.as_ref().map(|pickler| pickler.clone_ref(py)))
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = call::dict(py)?;
        let Some(pickler) = self.pickler() else { return Ok(dict) };
        let entries = {
            let mut inner = pickler.bind(py).get().idle(py)?;
            inner.memo.settle().map_err(|_| call::no_memory(py))?;
            inner.memo.entries(py)
        };
        for (object, index) in entries {
            let key = call::int(py, peek::address(&object) as i64)?;
            let index = call::int(py, i64::from(index))?;
            dict.set_item(key, call::tuple(py, &[&index, &object])?)?;
        }
        Ok(dict)
    }
}

#[pymethods]
impl PicklerMemoProxy {
    /// Remove all items from memo.
    #[pyo3(text_signature = "($self, /)")]
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        match self.pickler() {
            Some(pickler) => pickler.bind(py).get().clear_memo(py),
            None => Ok(()),
        }
    }

    /// Copy the memo to a new object.
    #[pyo3(text_signature = "($self, /)")]
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.as_dict(py)
    }

    /// Implement pickle support.
    #[pyo3(text_signature = "($self, /)")]
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let copy = self.as_dict(py)?;
        let args = call::tuple(py, &[copy.as_any()])?;
        call::tuple(py, &[py.get_type::<PyDict>().as_any(), args.as_any()])
    }

    #[classattr]
    fn __hash__() -> Option<Py<PyString>> {
        None
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.pickler.try_lock() {
            Ok(pickler) => visit.call(&*pickler),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let old = self.pickler.try_lock().ok().and_then(|mut pickler| pickler.take());
        drop(old);
    }
}
