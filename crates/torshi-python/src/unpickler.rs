//! `load`, `loads`, `check` and the base class of `torshi.Unpickler`: arguments in, one load done.
//! An unpickler in use (a hook of its own load calls it, or another thread does) refuses.

use crate::decoder::{
    build, build_checked, check_whole, find_class, plain_of_bytes, wants_placeholders, Request, Stream, TextCodec,
};
use crate::ffi::make;
use crate::policy::{limits as limits_of, resolve};
use crate::source::{stream_of, FileHooks};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use torshi_core::limits::Limits;
use torshi_core::memo::Memo;
use torshi_core::policy::Policy;
use torshi_core::sniff::row_of_pickles;

type Shared = Memo<Py<PyAny>>;

/// Arguments that `load` and `loads` share.
struct Options<'r, 'py> {
    policy: Policy,
    limits: Limits,
    codec: TextCodec<'r>,
    fix_imports: bool,
    buffers: Option<Bound<'py, PyAny>>,
    placeholders: bool,
}

impl<'r, 'py> Options<'r, 'py> {
    fn request<'s>(&'s self) -> Request<'s, 'py> {
        Request {
            policy: &self.policy,
            limits: &self.limits,
            codec: &self.codec,
            fix_imports: self.fix_imports,
            buffers: self.buffers.clone(),
            find_class: None,
            placeholders: self.placeholders,
            persistent_load: None,
            protocol: None,
        }
    }
}

/// Unpickle an object from bytes, after checking them against a policy.
///
/// Args:
///     data: a bytes-like object with one pickle; bytes behind it are ignored.
///     type: the type expected; may also be given as second positional argument. Trusts just the
///         classes its annotation reaches and checks the result against it.
///     trust: names, classes or a `Policy` to allow beside the default.
///     limits: a `Limits`, to change what a load may cost.
///     missing: what to do about names that are trusted and not there: ``"error"``, or ``"placeholder"`` to put a
///         `Placeholder` in their place.
///     fix_imports, encoding, errors, buffers: as for `pickle.loads`.
///
/// Raises:
///     UntrustedError: the stream asks for something the policy does not allow; nothing was run.
///     MalformedError, LimitError, ValidationError: see their own documentation.
///
/// Example:
///     >>> import torshi
///     >>> torshi.loads(torshi.dumps([1, 2]), list[int])
///     [1, 2]
#[pyfunction]
#[pyo3(
    signature = (data, r#type=None, *, trust=None, limits=None, missing="error", fix_imports=true, encoding="ASCII", errors="strict", buffers=None),
    text_signature = "(data, /, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=(), type=None, trust=None, limits=None, missing='error')"
)]
#[allow(clippy::too_many_arguments)] // pickle's own signature, and four; those that are given most come first
fn loads<'py>(
    py: Python<'py>, data: &Bound<'py, PyAny>, r#type: Option<&Bound<'py, PyAny>>, trust: Option<&Bound<'py, PyAny>>,
    limits: Option<&Bound<'py, PyAny>>, missing: &str, fix_imports: bool, encoding: &str, errors: &str,
    buffers: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // What is no trust is an error whatever the data is.
    let asked = trust.map(|trust| resolve(py, Some(trust), r#type)).transpose()?;
    // Where nothing else is said, a short message of plain data needs nothing of what follows.
    let tried = r#type.is_none() && limits.is_none() && missing == "error" && data.is_instance_of::<PyBytes>();
    if tried {
        if let Some(value) = plain_of_bytes(py, data) {
            return Ok(value);
        }
    }
    let placeholders = wants_placeholders(missing)?;
    let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
    let policy = asked.map_or_else(|| resolve(py, None, r#type), Ok)?;
    let limits = limits_of(limits)?;
    let options = Options { policy, limits, codec, fix_imports, buffers, placeholders };
    let mut stream = stream_of(data)?;
    if let Some(what) = row_of_pickles(stream.as_slice()) {
        return Err(crate::errors::not_one_pickle(py, what));
    }
    let (value, _) = match tried {
        true => build_checked(py, &mut stream, options.request(), None)?,
        false => build(py, &mut stream, options.request(), None)?,
    };
    validated(value, r#type)
}

/// What `loads` gives of bytes with nothing else said.
pub fn loads_plainly<'py>(py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    loads(py, data, None, None, None, "error", true, "ASCII", "strict", None)
}

/// Unpickle an object from a file, after checking its bytes against a policy.
///
/// Args:
///     file: a binary file with `read` and `readline`. Exactly one pickle is read: the position ends
///         right behind it.
///     type, trust, limits, missing, fix_imports, encoding, errors, buffers: as for `loads`.
///
/// Raises:
///     EOFError: there is no pickle left in the file.
///     UntrustedError, MalformedError, LimitError, ValidationError: as for `loads`.
///
/// Example:
///     >>> import io, torshi
///     >>> torshi.load(io.BytesIO(torshi.dumps({'a': 1})))
///     {'a': 1}
#[pyfunction]
#[pyo3(
    signature = (file, r#type=None, *, fix_imports=true, encoding="ASCII", errors="strict", buffers=None, trust=None, limits=None, missing="error"),
    text_signature = "(file, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=(), type=None, trust=None, limits=None, missing='error')"
)]
#[allow(clippy::too_many_arguments)] // pickle's own signature, and four
fn load<'py>(
    py: Python<'py>, file: &Bound<'py, PyAny>, r#type: Option<&Bound<'py, PyAny>>, fix_imports: bool, encoding: &str,
    errors: &str, buffers: Option<Bound<'py, PyAny>>, trust: Option<&Bound<'py, PyAny>>,
    limits: Option<&Bound<'py, PyAny>>, missing: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let placeholders = wants_placeholders(missing)?;
    let codec = TextCodec { encoding: Cow::Borrowed(encoding), errors: Cow::Borrowed(errors) };
    let (policy, limits) = (resolve(py, trust, r#type)?, limits_of(limits)?);
    let options = Options { policy, limits, codec, fix_imports, buffers, placeholders };
    let value = load_from(py, file, &options)?;
    validated(value, r#type)
}

fn load_from<'py>(
    py: Python<'py>, file: &Bound<'py, PyAny>, options: &Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let hooks = FileHooks::of(file)?;
    let mut stream = hooks.stream(py, &mut Vec::new(), &options.limits)?;
    let (value, end) = build(py, &mut stream, options.request(), None)?;
    hooks.consumed(py, &stream, end)?;
    Ok(value)
}

fn validated<'py>(value: Bound<'py, PyAny>, kind: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match kind.filter(|kind| !kind.is_none()) {
        None => Ok(value),
        Some(kind) => value.py().import("torshi._typed")?.getattr("validate")?.call1((value, kind)),
    }
}

/// Raises what a load of the bytes from `start` under this policy would raise before building; builds
/// nothing. The bytes of the pickle, up to and including STOP, if there is nothing to raise.
#[pyfunction]
#[pyo3(signature = (data, policy, limits=None, start=0))]
fn check<'py>(
    py: Python<'py>, data: &Bound<'py, PyAny>, policy: &crate::policy::PyPolicy, limits: Option<&Bound<'py, PyAny>>,
    start: usize,
) -> PyResult<usize> {
    let codec = TextCodec { encoding: Cow::Borrowed("ASCII"), errors: Cow::Borrowed("strict") };
    let (policy, limits) = (policy.inner.clone(), limits_of(limits)?);
    let options = Options { policy, limits, codec, fix_imports: true, buffers: None, placeholders: false };
    let stream = stream_of(data)?;
    let pickle = stream.as_slice().get(start..).unwrap_or_default();
    check_whole(py, pickle, &options.request(), None).map(|(plan, _)| plan.end)
}

/// What an initialised unpickler holds.
struct State {
    hooks: FileHooks,
    options: Settings,
    memo: Shared,
    pending: Vec<u8>,
}

struct Settings {
    policy: Policy,
    limits: Limits,
    encoding: String,
    errors: String,
    fix_imports: bool,
    buffers: Option<Py<PyAny>>,
    placeholders: bool,
}

/// How `find_class` looks names up.
#[derive(Clone)]
struct Lookup {
    policy: Policy,
    fix_imports: bool,
    placeholders: bool,
}

/// What is there of the state at the moment.
enum Slot {
    /// `__init__` was never called.
    Missing,
    /// A load has taken it.
    InUse,
    /// Here it is.
    Ready(Box<State>),
}

/// Base of `torshi.Unpickler`.
///
/// All bits zero must be a sound value of it: when memory runs out between allocating an instance of a
/// Python subclass and filling it in, CPython deallocates the zeroed instance.
#[pyclass(name = "Unpickler", module = "torshi._native", subclass, frozen, weakref)]
pub struct PyUnpickler {
    slot: Mutex<Slot>,
    /// Beside the state, so that `find_class` can be asked while a load has the state.
    policy: Mutex<Option<Box<Lookup>>>,
    /// The protocol of the pickle read last.
    protocol: AtomicU8,
}

impl PyUnpickler {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        // Nothing panics while it is held; were it poisoned, the slot would still be whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the state; `give_back` must follow.
    fn take(&self) -> PyResult<Box<State>> {
        let mut slot = self.slot();
        match std::mem::replace(&mut *slot, Slot::InUse) {
            Slot::Ready(state) => Ok(state),
            Slot::InUse => {
                Err(PyRuntimeError::new_err("Unpickler is in use: by another thread, or by a hook of its own load"))
            }
            Slot::Missing => {
                *slot = Slot::Missing;
                drop(slot);
                Err(Python::attach(uninitialised))
            }
        }
    }

    fn give_back(&self, state: Box<State>) {
        let mut slot = self.slot();
        // A hook may have called __init__ meanwhile; then the new state stays.
        let old = match *slot {
            Slot::InUse => std::mem::replace(&mut *slot, Slot::Ready(state)),
            _ => Slot::Ready(state),
        };
        drop(slot);
        drop(old); // outside the lock: dropping may run Python code
    }
}

fn uninitialised(py: Python<'_>) -> PyErr {
    let message = "Unpickler.__init__() was not called by the subclass's __init__()";
    match py.import("torshi._errors").and_then(|errors| errors.getattr("UnpicklingError")?.call1((message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

#[pymethods]
impl PyUnpickler {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        PyUnpickler { slot: Mutex::new(Slot::Missing), policy: Mutex::new(None), protocol: AtomicU8::new(0) }
    }

    /// What `__init__` does.
    #[pyo3(signature = (file, fix_imports, encoding, errors, buffers, trust, limits, missing))]
    #[allow(clippy::too_many_arguments)] // pickle's own signature, and three
    fn _setup(
        &self, py: Python<'_>, file: &Bound<'_, PyAny>, fix_imports: bool, encoding: String, errors: String,
        buffers: Option<Bound<'_, PyAny>>, trust: Option<&Bound<'_, PyAny>>, limits: Option<&Bound<'_, PyAny>>,
        missing: &str,
    ) -> PyResult<()> {
        let placeholders = wants_placeholders(missing)?;
        let policy = resolve(py, trust, None)?;
        let buffers = match buffers {
            Some(buffers) if !buffers.is_none() => Some(buffers.try_iter()?.into_any().unbind()),
            _ => None,
        };
        let hooks = FileHooks::of(file)?;
        let (lookup, limits) = (Lookup { policy: policy.clone(), fix_imports, placeholders }, limits_of(limits)?);
        let options = Settings { policy, limits, encoding, errors, fix_imports, buffers, placeholders };
        let state = Box::new(State { hooks, options, memo: Memo::keeping_all(), pending: Vec::new() });
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(lookup));
        let old = std::mem::replace(&mut *self.slot(), Slot::Ready(state));
        drop(old); // outside the lock: dropping may run Python code
        Ok(())
    }

    /// Read one pickle from the file and return its object, after checking it against the policy.
    fn load<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let mut state = this.take()?;
        let result = load_one(slf, &mut state);
        this.give_back(state);
        result
    }

    /// Return the object of a global, importing it if need be; override it to find classes yourself.
    ///
    /// Raises:
    ///     UntrustedError: the policy does not allow the name.
    #[pyo3(signature = (module_name, global_name, /))]
    fn find_class<'py>(&self, py: Python<'py>, module_name: &str, global_name: &str) -> PyResult<Bound<'py, PyAny>> {
        let known = self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known else { return Err(uninitialised(py)) };
        let protocol = self.protocol.load(Ordering::Relaxed);
        let (python2, dotted) = (known.fix_imports && protocol < 3, protocol >= 4);
        find_class(py, &known.policy, module_name, global_name, python2, dotted, known.placeholders)
    }

    /// The memo: a proxy with `copy` and `clear`. May be set from another unpickler's or from a dict.
    #[getter]
    fn memo(slf: &Bound<'_, Self>) -> UnpicklerMemo {
        UnpicklerMemo { owner: slf.clone().unbind() }
    }

    #[setter]
    fn set_memo(&self, py: Python<'_>, memo: &Bound<'_, PyAny>) -> PyResult<()> {
        let entries = if let Ok(proxy) = memo.cast::<UnpicklerMemo>() {
            proxy.get().entries(py)?
        } else if let Ok(dict) = memo.cast::<PyDict>() {
            entries_of(dict)?
        } else {
            let what = crate::decoder::type_name(memo);
            return Err(PyTypeError::new_err(format!(
                "'memo' attribute must be an UnpicklerMemoProxy object or dict, not {what}"
            )));
        };
        let mut fresh = Memo::keeping_all();
        for (index, value) in entries {
            fresh.put(index, || value);
        }
        let mut state = self.take()?;
        let old = std::mem::replace(&mut state.memo, fresh);
        self.give_back(state);
        drop(old);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(slot) = self.slot.try_lock() else { return Ok(()) };
        if let Slot::Ready(state) = &*slot {
            for held in state.hooks.held().chain(&state.options.buffers) {
                visit.call(held)?;
            }
            for (_, value) in state.memo.entries() {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = std::mem::replace(&mut *self.slot(), Slot::Missing);
        drop(old);
    }
}

fn load_one<'py>(slf: &Bound<'py, PyUnpickler>, state: &mut State) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let options = &state.options;
    let codec = TextCodec { encoding: Cow::Borrowed(&options.encoding), errors: Cow::Borrowed(&options.errors) };
    let mut stream: Stream<'py> = state.hooks.stream(py, &mut state.pending, &options.limits)?;
    let request = Request {
        policy: &options.policy,
        limits: &options.limits,
        codec: &codec,
        fix_imports: options.fix_imports,
        buffers: options.buffers.as_ref().map(|buffers| buffers.bind(py).clone()),
        find_class: own_find_class(slf)?,
        placeholders: options.placeholders,
        persistent_load: slf.getattr_opt(pyo3::intern!(py, "persistent_load"))?,
        protocol: Some(&slf.get().protocol),
    };
    let (value, end) = build(py, &mut stream, request, Some(&mut state.memo))?;
    state.hooks.consumed(py, &stream, end)?;
    Ok(value)
}

/// The application's `find_class`, if a subclass or the instance has one of its own.
fn own_find_class<'py>(slf: &Bound<'py, PyUnpickler>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = slf.py();
    let name = pyo3::intern!(py, "find_class");
    let inherited = slf.get_type().getattr(name)?.is(py.get_type::<PyUnpickler>().getattr(name)?);
    let on_instance = match slf.getattr_opt(pyo3::intern!(py, "__dict__"))? {
        Some(own) => own.contains(name)?,
        None => false,
    };
    if inherited && !on_instance {
        Ok(None)
    } else {
        Ok(Some(slf.getattr(name)?))
    }
}

fn entries_of(dict: &Bound<'_, PyDict>) -> PyResult<Vec<(u64, Py<PyAny>)>> {
    let mut entries = Vec::with_capacity(dict.len());
    for (key, value) in dict.copy()?.iter() {
        let index: i64 = key.extract().map_err(|_| PyTypeError::new_err("memo key must be integers"))?;
        let index = u64::try_from(index).map_err(|_| PyValueError::new_err("memo key must be positive integers."))?;
        entries.push((index, value.unbind()));
    }
    entries.sort_by_key(|&(index, _)| index);
    Ok(entries)
}

/// The memo of an unpickler, as Python sees it.
#[pyclass(name = "UnpicklerMemoProxy", module = "torshi._native", frozen)]
pub struct UnpicklerMemo {
    owner: Py<PyUnpickler>,
}

impl UnpicklerMemo {
    fn entries(&self, py: Python<'_>) -> PyResult<Vec<(u64, Py<PyAny>)>> {
        let owner = self.owner.bind(py).get();
        let state = owner.take()?;
        let entries = state.memo.entries().into_iter().map(|(index, value)| (index, value.clone_ref(py))).collect();
        owner.give_back(state);
        Ok(entries)
    }
}

#[pymethods]
impl UnpicklerMemo {
    /// A dict of the memo.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let copy = make::dict(py)?.cast_into::<PyDict>()?;
        for (index, value) in self.entries(py)? {
            copy.set_item(make::integer(py, index as i64)?, value)?;
        }
        Ok(copy)
    }

    /// Forgets everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let owner = self.owner.bind(py).get();
        let mut state = owner.take()?;
        let old = std::mem::replace(&mut state.memo, Memo::keeping_all());
        owner.give_back(state);
        drop(old);
        Ok(())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyDict>,))> {
        Ok((py.get_type::<PyDict>().into_any(), (self.copy(py)?,)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(loads, module)?)?;
    module.add_function(wrap_pyfunction!(load, module)?)?;
    module.add_function(wrap_pyfunction!(check, module)?)?;
    module.add_class::<PyUnpickler>()?;
    module.add_class::<UnpicklerMemo>()
}
