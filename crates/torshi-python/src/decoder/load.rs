//! One load: check the whole stream, import what it names, then build it. Nothing is imported or
//! built of a stream with findings; the builder runs over the very bytes that were checked.

use super::habit::Learnt;
use super::lent::Lent;
use super::locate::Places;
use super::named::NamedTuples;
use super::resolve::Names;
use super::shortcut::Shortcuts;
use super::{constants, fill, plain, Failure, Object, Objects, Stream, TextCodec};
use crate::errors;
use crate::ffi::arena::Room;
use crate::ffi::gc::Pause;
use crate::ffi::{make, output};
use crate::renames::Moves;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyIterator, PyList, PySet, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, Ordering};
use torshi_core::graph::{add_paths, add_paths_around};
use torshi_core::limits::Limits;
use torshi_core::machine::Machine;
use torshi_core::memo::Memo;
use torshi_core::policy::Policy;
use torshi_core::reader::whole_offset;
use torshi_core::symbolic::{verify, verify_apart, verify_joblib, Encoding, Laid, Outcome, Plan, Seed, Settings};

/// Streams below this are built without pausing the collector: it would not run anyway.
const SMALL: usize = 4096;

/// Streams from here on get memory for many objects at once: what they hold is some megabytes.
const LONG: usize = 256 << 10;

/// Bytes of memory freed by a check from which on the allocator is asked to give back what it can: the objects
/// come from elsewhere, and would stand beside it.
const MUCH: usize = 16 << 20;

/// What the caller of a load asks for.
pub struct Request<'r, 'py> {
    pub policy: &'r Policy,
    pub limits: &'r Limits,
    pub codec: &'r TextCodec<'r>,
    pub fix_imports: bool,
    pub buffers: Option<Object<'py>>,
    /// An application's own `find_class`.
    pub find_class: Option<Object<'py>>,
    /// Whether names that are not there are replaced by placeholders.
    pub placeholders: bool,
    pub persistent_load: Option<Object<'py>>,
    /// Tells `Unpickler.find_class` how names are to be read.
    pub protocol: Option<&'r AtomicU8>,
}

impl Request<'_, '_> {
    /// Whether there is nothing that plain data would have to be shown to.
    fn is_ordinary(&self) -> bool {
        self.protocol.is_none() && *self.limits == Limits::default()
    }
}

/// Names by extension code, as the registry gave them.
pub type ExtensionNames = FxHashMap<i64, (String, String)>;
pub type Extensions = RefCell<ExtensionNames>;

/// Rounds in which a check gets just what it had to see. What it has to see next may depend on that.
const ROUNDS: u32 = 4;

/// Checks a stream; the plan of one without findings, or the error of one with.
fn check<'py>(
    py: Python<'py>, stream: &mut Stream<'py>, request: &Request<'_, 'py>, shared: Option<&Memo<Py<PyAny>>>,
    moves: &Moves<'py>,
) -> PyResult<(Box<Plan>, ExtensionNames)> {
    let mut rounds = 0;
    while let Stream::Parted(parted) = stream {
        within(py, request.limits, parted.len())?;
        let look = |settings: &Settings<'_>| {
            verify_apart(&parted.data, parted.gaps(), parted.contents(), request.policy, request.limits, settings)
        };
        let (outcome, extensions) = with_settings(py, request, shared, moves, look)?;
        // A check that has to see what is mapped gets a copy to go by: of what it said, then of what may be an index, then
        // of all.
        let clean = outcome.findings.is_empty() && outcome.fault.is_none();
        let Plan { floats, wanted, .. } = &*outcome.plan;
        rounds += 1;
        if !clean
            && (rounds <= ROUNDS && stream.pin(py, |place| wanted.binary_search(&place).is_ok())?
                || stream.pin(py, |place| floats.binary_search(&place).is_err())?
                || stream.pin(py, |_| true)?)
        {
            continue;
        }
        let Stream::Parted(parted) = stream else { return check_moved(py, stream.as_slice(), request, shared, moves) };
        if clean {
            let mut plan = outcome.plan;
            for (_, site) in &mut plan.dunder_states {
                site.offset = parted.offset(site.offset);
            }
            return Ok((plan, extensions));
        }
        stream.join()?; // what is said of it is said of the stream as it was written
    }
    check_moved(py, stream.as_slice(), request, shared, moves)
}

/// Checks a stream in one piece.
pub fn check_whole<'py>(
    py: Python<'py>, data: &[u8], request: &Request<'_, 'py>, shared: Option<&Memo<Py<PyAny>>>,
) -> PyResult<(Box<Plan>, ExtensionNames)> {
    check_moved(py, data, request, shared, &Moves::now(py))
}

fn check_moved<'py>(
    py: Python<'py>, data: &[u8], request: &Request<'_, 'py>, shared: Option<&Memo<Py<PyAny>>>, moves: &Moves<'py>,
) -> PyResult<(Box<Plan>, ExtensionNames)> {
    within(py, request.limits, data.len() as u64)?;
    let look = |settings: &Settings<'_>| {
        let mut outcome = verify(data, request.policy, request.limits, settings);
        if !outcome.findings.is_empty() {
            add_paths(data, &mut outcome.findings, settings);
        }
        outcome
    };
    let (outcome, extensions) = with_settings(py, request, shared, moves, look)?;
    match (outcome.findings.is_empty(), outcome.fault) {
        (true, None) => Ok((outcome.plan, extensions)),
        (true, Some(fault)) => Err(errors::fault(py, &fault, data)),
        (false, _) => Err(errors::untrusted(py, outcome.findings, &outcome.plan.globals)),
    }
}

/// Refuses a stream of more bytes than the caller allows.
pub fn within(py: Python<'_>, limits: &Limits, length: u64) -> PyResult<()> {
    match limits.stream {
        Some(limit) if length > limit => Err(errors::stream_too_long(py, length, limit)),
        _ => Ok(()),
    }
}

/// What a check says, given what the caller of a load offers; and the names of the extension codes it met.
fn with_settings<'py>(
    py: Python<'py>, request: &Request<'_, 'py>, shared: Option<&Memo<Py<PyAny>>>, moves: &Moves<'py>,
    look: impl FnOnce(&Settings<'_>) -> Outcome,
) -> PyResult<(Outcome, ExtensionNames)> {
    let extensions: Extensions = RefCell::default();
    let outcome = look(&Settings {
        encoding: encoding_of(&request.codec.encoding),
        fix_imports: request.fix_imports,
        persistent: request.persistent_load.is_some(),
        extension: &|code| extension_names(py, code, &extensions),
        renamed: &|module, name, listed| moves.find(module, name, listed),
        earlier: shared.map_or(0, Memo::len),
        recall: &|index| shared.and_then(|memo| memo.peek(index)).map(|slot| seed_of(slot.bind(py))),
    });
    if outcome.freed >= MUCH {
        output::trim();
    }
    moves.settle()?;
    Ok((outcome, extensions.into_inner()))
}

/// Checks a stream in joblib's layout; the plan of one without findings, or the error of one with.
fn check_joblib<'py>(
    py: Python<'py>, data: &[u8], request: &Request<'_, 'py>, moves: &Moves<'py>,
) -> PyResult<(Box<Plan>, ExtensionNames)> {
    within(py, request.limits, data.len() as u64)?;
    let look = |settings: &Settings<'_>| {
        let Laid { mut outcome, foreign, .. } = verify_joblib(data, request.policy, request.limits, settings);
        if !outcome.findings.is_empty() {
            add_paths_around(data, &mut outcome.findings, settings, &foreign);
        }
        outcome
    };
    let (outcome, extensions) = with_settings(py, request, None, moves, look)?;
    match (outcome.findings.is_empty(), outcome.fault) {
        (true, None) => Ok((outcome.plan, extensions)),
        (true, Some(fault)) => Err(errors::fault(py, &fault, data)),
        (false, _) => Err(errors::untrusted(py, outcome.findings, &outcome.plan.globals)),
    }
}

/// Checks a stream that another builder will be given, as far as a load of torshi would come before it builds; where
/// it ends. Whether a state with dunder names is data or an attack, its class says, so then the names are imported.
pub fn vet(py: Python<'_>, data: &[u8], request: &Request<'_, '_>, joblib: bool) -> PyResult<usize> {
    let mut moves = Moves::now(py);
    loop {
        let (plan, extensions) = match joblib {
            true => check_joblib(py, data, request, &moves)?,
            false => check_moved(py, data, request, None, &moves)?,
        };
        let there = plan.dunder_states.is_empty()
            || Names::resolve(
                py,
                &plan,
                request.policy,
                None,
                extensions,
                (&mut moves, &mut Places::default()),
                false,
            )?
            .is_some();
        if there {
            return Ok(plan.end);
        }
    }
}

/// Checks a stream and builds its value; also says where it ends. `shared` is the memo of an unpickler
/// that reads several pickles.
pub fn build<'py>(
    py: Python<'py>, stream: &mut Stream<'py>, request: Request<'_, 'py>, shared: Option<&mut Memo<Py<PyAny>>>,
) -> PyResult<(Object<'py>, usize)> {
    let ordinary = shared.is_none() && request.is_ordinary() && stream.gaps().is_empty();
    if ordinary && plain::is_likely(stream.as_slice()) {
        if let Some(built) = plain::build(py, stream.as_slice()) {
            return Ok(built);
        }
    }
    build_checked(py, stream, request, shared)
}

/// All that a checked stream is built with.
struct Ready<'py, 'r> {
    plan: Box<Plan>,
    names: Names<'py, 'r>,
    shortcuts: Shortcuts<'py>,
    lent: Lent<'py>,
    buffers: Option<Bound<'py, PyIterator>>,
}

/// Checks a stream and imports what it names.
fn ready<'py, 'r>(
    py: Python<'py>, stream: &mut Stream<'py>, request: &Request<'r, 'py>, shared: Option<&Memo<Py<PyAny>>>,
    places: &mut Places,
) -> PyResult<Ready<'py, 'r>> {
    let mut moves = Moves::now(py);
    let (mut plan, (names, shortcuts)) = loop {
        let (plan, extensions) = check(py, stream, request, shared, &moves)?;
        if let Some(protocol) = request.protocol {
            protocol.store(plan.protocol, Ordering::Relaxed);
        }
        let hook = request.find_class.clone();
        let found =
            Names::resolve(py, &plan, request.policy, hook, extensions, (&mut moves, places), request.placeholders)?;
        if let Some(found) = found {
            break (plan, found);
        }
    };
    // An application's own class, or a placeholder, may keep what it is given.
    let is_known = request.find_class.is_none() && names.placeholders.is_none();
    let lent = Lent::of(stream, if is_known { std::mem::take(&mut plan.lent) } else { Vec::new() })?;
    let buffers = match &request.buffers {
        Some(buffers) if !buffers.is_none() => Some(buffers.try_iter()?),
        _ => None,
    };
    Ok(Ready { plan, names, shortcuts, lent, buffers })
}

/// The same of a stream that is not to be tried for plain data, or was.
pub fn build_checked<'py>(
    py: Python<'py>, stream: &mut Stream<'py>, request: Request<'_, 'py>, shared: Option<&mut Memo<Py<PyAny>>>,
) -> PyResult<(Object<'py>, usize)> {
    let mut learnt = Learnt::take(stream.as_slice().len());
    let Ready { mut plan, names, shortcuts, lent, buffers } =
        match ready(py, stream, &request, shared.as_deref(), &mut learnt.places) {
            Ok(ready) => ready,
            Err(error) => {
                learnt.give_back();
                return Err(error);
            }
        };
    let payloads = stream.take_payloads();
    let (data, gaps) = (stream.as_slice(), stream.gaps());
    let (end, reads, rows) = (plan.end, std::mem::take(&mut plan.reads), std::mem::take(&mut plan.rows));
    drop(plan);
    if names.placeholders.is_some() {
        learnt.keys.keep_apart();
    }
    let domain = Objects {
        py,
        stream: data,
        codec: request.codec,
        names,
        persistent_load: request.persistent_load,
        buffers,
        payloads,
        lent,
        collisions: fill::Collisions::new(request.limits.collisions),
        constants: constants(py),
        learnt,
        shortcuts,
        named_tuples: NamedTuples::new(end),
    };
    let pause = (end > SMALL).then(|| Pause::new(py));
    let room = (end >= LONG).then(|| Room::new(py));
    let (memo, kept) = match shared {
        Some(kept) => (std::mem::replace(kept, Memo::keeping_all()), Some(kept)),
        None => (Memo::keeping_only(reads).with_room_for(end), None),
    };
    let mut machine = Machine::new(data, domain, memo, request.fix_imports);
    machine.set_gaps(gaps);
    machine.rows = rows;
    let (stack, marks) = machine.domain.learnt.memory(py, (end / 8).clamp(8, 4096));
    machine.set_memory(stack, marks);
    let built = machine.run();
    if let Some(kept) = kept {
        std::mem::swap(kept, &mut machine.memo);
    }
    let memory = machine.take_memory();
    machine.domain.learnt.keep_memory(memory);
    machine.domain.learnt.give_back();
    drop((pause, room));
    match built {
        Ok(value) => Ok((value, whole_offset(gaps, end))),
        Err(Failure::Python(error)) => Err(error),
        Err(Failure::Fault(mut fault)) => {
            fault.offset = whole_offset(gaps, fault.offset);
            Err(errors::fault(py, &fault, data))
        }
    }
}

fn encoding_of(name: &str) -> Encoding {
    if name == "ASCII" {
        return Encoding::Ascii; // the default
    }
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "ascii" | "us-ascii" => Encoding::Ascii,
        "latin1" | "latin-1" | "iso-8859-1" | "iso8859-1" => Encoding::Latin1,
        "utf-8" | "utf8" => Encoding::Utf8,
        "bytes" => Encoding::Bytes,
        _ => Encoding::Other,
    }
}

/// What `copyreg` registered for a code; asked once for each code of a load, so that a registry
/// changed in between cannot make the builder mean another name than the check did.
pub fn extension_names(py: Python<'_>, code: i64, known: &Extensions) -> Option<(String, String)> {
    if let Some(names) = known.borrow().get(&code) {
        return Some(names.clone());
    }
    let names = registered(py, code)?;
    known.borrow_mut().insert(code, names.clone());
    Some(names)
}

fn registered(py: Python<'_>, code: i64) -> Option<(String, String)> {
    let copyreg = make::import(&make::text(py, b"copyreg").ok()?).ok()?;
    let registry = copyreg.getattr(pyo3::intern!(py, "_inverted_registry")).ok()?;
    let entry = registry.cast::<PyDict>().ok()?.get_item(code).ok()??;
    let pair = entry.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2)?;
    let name = |at: usize| pair.get_item(at).ok()?.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned);
    Some((name(0)?, name(1)?))
}

/// What the check may know of an object that an earlier pickle left in the memo.
fn seed_of(object: &Bound<'_, PyAny>) -> Seed {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return text.to_str().map_or(Seed::Opaque, |text| Seed::Text(text.to_owned()));
    }
    if object.is_exact_instance_of::<PyList>() {
        return Seed::List;
    }
    if object.is_exact_instance_of::<PyDict>() {
        return Seed::Dict;
    }
    if object.is_exact_instance_of::<PySet>() {
        return Seed::Set;
    }
    if object.is_none() || object.is_exact_instance_of::<PyInt>() || object.is_exact_instance_of::<PyFloat>() {
        return Seed::Atom;
    }
    if object.is_exact_instance_of::<PyBytes>() {
        return Seed::Atom;
    }
    let named = |object: &Bound<'_, PyAny>| -> PyResult<(String, String)> {
        Ok((object.getattr("__module__")?.extract()?, object.getattr("__qualname__")?.extract()?))
    };
    let is_callable_name = object.is_instance_of::<PyType>() || super::is_code(object);
    match (is_callable_name, named(object), named(object.get_type().as_any())) {
        (true, Ok((module, name)), _) => Seed::Global(module, name),
        (false, _, Ok((module, name))) if !object.is_exact_instance_of::<PyTuple>() => Seed::Instance(module, name),
        _ => Seed::Opaque,
    }
}
