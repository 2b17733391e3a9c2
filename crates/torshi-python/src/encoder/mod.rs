//! Python objects into a pickle stream, byte for byte what C pickle writes at protocols 0 to 5.
//!
//! `save` dispatches on the exact type; `container`, `text`, `number`, `buffer` write builtins, `global` and
//! `reduce` everything else, `plan` the instances of ordinary classes without calling them. The encoder never
//! decodes, never decides what is safe to load, and never trusts a container to stay as it was while foreign
//! code runs: before such code the memo is settled (`Encoder::foreign`).
mod asked;
mod buffer;
mod container;
pub mod failure;
mod global;
pub mod imports;
pub mod memo;
pub mod number;
mod opcode;
pub mod plan;
mod reduce;
mod stand_in;
mod text;
mod value;
pub mod writer;

use crate::ffi::call;
use crate::ffi::peek::{self, Kind};
use failure::{Done, Failed};
use imports::{pickling_failure, Imports};
use memo::{Full, Memo};
use opcode::*;
use pyo3::prelude::*;
use writer::Writer;

/// Native stack left before more is taken: foreign code is called from any depth.
const STACK_RESERVE: usize = 1 << 20;
const STACK_PIECE: usize = 16 << 20;
/// Containers between two looks at the stack.
const STACK_STRIDE: u32 = 32;

/// What the caller of `save` knows about the ways that lead to the object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// A container that is visited once holds it: reference count two (with ours) means no other way.
    Counted,
    /// It may be visited again through a tuple, frozenset or call that is not in the memo yet.
    Again,
    /// Nothing but the caller may hold it: keep it alive as long as the memo knows its address.
    Passing,
}

/// The parts of a pickler that foreign code may replace.
#[derive(Default)]
pub struct Hooks<'py> {
    /// The bound or plain callable behind `persistent_id`.
    pub persistent_id: Option<Bound<'py, PyAny>>,
    pub reducer_override: Option<Bound<'py, PyAny>>,
    pub dispatch_table: Option<Bound<'py, PyAny>>,
    pub buffer_callback: Option<Bound<'py, PyAny>>,
    /// Of files: gives for a class what says how its instances are written instead of as they ask for, or None.
    pub stand_ins: Option<Bound<'py, PyAny>>,
}

/// The names of a stream, ``module:qualname``, as they are met.
pub type Names = std::rc::Rc<std::cell::RefCell<Vec<String>>>;

/// One dump.
pub struct Encoder<'py> {
    py: Python<'py>,
    imports: &'static Imports,
    out: Writer<'py>,
    pub memo: Memo,
    hooks: Hooks<'py>,
    protocol: u8,
    fix_imports: bool,
    fast: bool,
    /// No hook sees every object, so ordinary instances need not be asked how they reduce.
    planned: bool,
    depth: u32,
    /// Reduce calls on the way from the root to here.
    calls: usize,
    plans: plan::Recent<'py>,
    arrays: value::Arrays<'py>,
    stand_ins: stand_in::Known<'py>,
    /// In fast mode: the containers on the way from the root to here.
    entered: Vec<usize>,
    /// Whoever wants to know the names of the stream.
    named: Option<Names>,
}

impl<'py> Encoder<'py> {
    /// An encoder for one dump at `protocol` (0 to 5).
    #[inline(always)]
    pub fn new(
        py: Python<'py>, protocol: u8, fix_imports: bool, out: Writer<'py>, memo: Memo, hooks: Hooks<'py>, fast: bool,
    ) -> PyResult<Self> {
        let planned = protocol >= 2 && !fast && hooks.reducer_override.is_none() && hooks.dispatch_table.is_none();
        Ok(Encoder {
            py,
            imports: imports::imports(py)?,
            out,
            memo,
            hooks,
            protocol,
            fix_imports: fix_imports && protocol < 3,
            fast,
            planned,
            depth: 0,
            calls: 0,
            plans: plan::Recent::default(),
            arrays: value::Arrays::default(),
            stand_ins: stand_in::Known::default(),
            entered: Vec::new(),
            named: None,
        })
    }

    /// Has the names of the stream put down.
    pub fn telling(mut self, names: Names) -> Self {
        self.named = Some(names);
        self
    }

    /// Writes the whole stream for `root`; the bytes, or `None` if they went to a file. The memo stays.
    pub fn dump(mut self, root: &Bound<'py, PyAny>) -> (Result<Option<Bound<'py, PyAny>>, Failed>, Memo) {
        (self.dump_settled(root), self.memo)
    }

    /// Like `dump`, for a memo that nobody looks at afterwards.
    #[inline(always)] // with `new`: the encoder is made where it is used, and not moved about
    pub fn dump_once(&mut self, root: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        if self.out.has_file() {
            return self.dump_settled(root);
        }
        self.stream(root)?;
        self.out.finish(self.py)
    }

    fn dump_settled(&mut self, root: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let result = self.stream(root);
        // What was noted but not held must be held before anything else runs; after a failure as well.
        let settled = self.memo.settle().map_err(|Full| Failed::from(call::no_memory(self.py)));
        result.and(settled)?;
        self.out.finish(self.py)
    }

    fn stream(&mut self, root: &Bound<'py, PyAny>) -> Done {
        if !self.out.has_file() {
            self.out.buffer.becomes_whole(root);
        }
        if self.protocol >= 2 {
            self.out.op(PROTO);
            self.out.op(self.protocol);
        }
        if self.protocol >= 4 {
            self.out.start_framing();
        }
        self.save(root, Ways::Again)?;
        self.out.op(STOP);
        Ok(())
    }

    /// To be called before anything that may run foreign code.
    #[inline]
    fn foreign(&mut self) -> Done {
        self.settle()
    }

    /// To be called before lookups, drops of temporaries and classes' own C code: enough for the memo's safety.
    /// Large buffers are then not copied, as they must be before code that could want to write to them.
    #[inline]
    fn settle(&mut self) -> Done {
        self.memo.settle().map_err(|Full| self.full())
    }

    #[cold]
    fn full(&self) -> Failed {
        if u32::try_from(self.memo.len()).is_err() {
            return self.refuse("memo id too large for LONG_BINPUT");
        }
        call::no_memory(self.py).into()
    }

    #[cold]
    fn refuse(&self, message: &str) -> Failed {
        pickling_failure(self.py, message).into()
    }

    /// Between two objects: a full frame is closed, and for a file written.
    #[cold]
    fn boundary(&mut self) -> Done {
        if self.out.has_file() {
            self.foreign()?;
        }
        self.out.turn_frame(self.py)
    }

    /// Writes one object and everything below it.
    #[inline(always)]
    fn save(&mut self, object: &Bound<'py, PyAny>, ways: Ways) -> Done {
        if self.out.is_full() {
            self.boundary()?;
        }
        if self.hooks.persistent_id.is_some() {
            return self.save_unless_persistent(object);
        }
        self.save_value(object, ways)
    }

    /// `save`, past the hook for persistent ids.
    #[inline(always)]
    fn save_value(&mut self, object: &Bound<'py, PyAny>, ways: Ways) -> Done {
        match peek::kind(object) {
            Kind::Str => self.save_str(object, ways),
            Kind::Int => self.save_int(object),
            Kind::Float => self.save_float(object),
            Kind::None => {
                self.out.op(NONE);
                Ok(())
            }
            Kind::Bool => {
                self.save_bool(object);
                Ok(())
            }
            kind => self.save_compound(object, kind, ways),
        }
    }

    #[cold]
    #[inline(never)]
    fn save_unless_persistent(&mut self, object: &Bound<'py, PyAny>) -> Done {
        if let Some(hook) = self.hooks.persistent_id.clone() {
            self.foreign()?;
            let id = call::call1(&hook, object)?;
            if !id.is_none() {
                return self.save_persistent(&id);
            }
        }
        // The hook may have made the container let go of the object.
        self.save_value(object, Ways::Passing)
    }

    fn save_persistent(&mut self, id: &Bound<'py, PyAny>) -> Done {
        if self.protocol >= 1 {
            self.save_unhooked(id)?;
            self.out.op(BINPERSID);
            return Ok(());
        }
        let text = call::str(id)?;
        match peek::text(&text) {
            Some(peek::Text::Ascii(bytes)) => {
                self.out.op(PERSID);
                self.out.buffer.put_slice(bytes);
                self.out.op(b'\n');
                Ok(())
            }
            _ => Err(self.refuse("persistent IDs in protocol 0 must be ASCII strings")),
        }
    }

    /// Saves a persistent id itself: the hook is not asked about it, only about what is inside it.
    fn save_unhooked(&mut self, id: &Bound<'py, PyAny>) -> Done {
        if self.out.is_full() {
            self.boundary()?;
        }
        let done = self.save_value(id, Ways::Passing);
        self.foreign().and(done)
    }

    /// Containers, bytes and everything that is not a builtin value: what can be deep goes through here.
    #[inline(never)]
    fn save_compound(&mut self, object: &Bound<'py, PyAny>, kind: Kind, ways: Ways) -> Done {
        let shared = ways != Ways::Counted || peek::references(object) != 2;
        if shared {
            if let Some(index) = self.memo.get(object) {
                self.get(index);
                return Ok(());
            }
        }
        self.depth += 1;
        let done = if self.depth % STACK_STRIDE == 0 {
            stacker::maybe_grow(STACK_RESERVE, STACK_PIECE, || self.save_kind(object, kind, ways, shared))
        } else {
            self.save_kind(object, kind, ways, shared)
        };
        self.depth -= 1;
        done
    }

    fn save_kind(&mut self, object: &Bound<'py, PyAny>, kind: Kind, ways: Ways, shared: bool) -> Done {
        let below = match ways {
            Ways::Counted if !shared => Ways::Counted,
            _ => Ways::Again,
        };
        match kind {
            Kind::List => self.save_list(object, ways, shared),
            Kind::Dict => self.save_dict(object, ways, shared),
            Kind::Tuple => self.save_tuple(object, ways, shared, below),
            Kind::Bytes => self.save_bytes(object, ways, shared),
            Kind::Set => self.save_set(object, ways, shared),
            Kind::FrozenSet => self.save_frozenset(object, ways, shared, below),
            Kind::ByteArray => self.save_bytearray(object, ways, shared),
            Kind::PickleBuffer => self.save_picklebuffer(object, ways, shared),
            _ => self.save_instance(object, kind, ways, shared, below),
        }
    }

    /// Memoizes an object nothing below which has been written yet.
    #[inline(always)]
    fn memoize(&mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool) -> Done {
        if self.fast {
            return Ok(());
        }
        let index = match self.memo.put(object, shared) {
            Ok(index) => index,
            Err(Full) => return Err(self.full()),
        };
        self.put(index);
        if shared && (ways == Ways::Passing || peek::references(object) < 2) {
            self.settle()?;
        }
        Ok(())
    }

    /// Memoizes an object after its parts, which may have run foreign code since `epoch`. If that has put the
    /// object into the memo already, answers its index and writes nothing.
    fn memoize_late(&mut self, object: &Bound<'py, PyAny>, ways: Ways, shared: bool, epoch: u32) -> Done {
        let disturbed = self.memo.epoch() != epoch;
        self.memoize(object, ways, shared || disturbed)?;
        if disturbed {
            self.settle()?;
        }
        Ok(())
    }

    /// The index of an object that was not in the memo when its parts were begun, if it is there now.
    #[inline(always)]
    fn recursive(&self, object: &Bound<'py, PyAny>, shared: bool, epoch: u32) -> Option<u32> {
        if shared || self.memo.epoch() != epoch {
            self.memo.get(object)
        } else {
            None
        }
    }

    /// The opcode that stores the top of the stack under `index`.
    #[inline(always)]
    fn put(&mut self, index: u32) {
        if self.protocol >= 4 {
            self.out.op(MEMOIZE);
        } else {
            self.numbered(index, PUT, BINPUT, LONG_BINPUT);
        }
    }

    /// The opcode that fetches `index`.
    #[inline(always)]
    fn get(&mut self, index: u32) {
        self.numbered(index, GET, BINGET, LONG_BINGET);
    }

    #[inline(always)]
    fn numbered(&mut self, index: u32, text: u8, short: u8, long: u8) {
        if self.protocol == 0 {
            self.out.op(text);
            self.out.buffer.put_slice(index.to_string().as_bytes());
            self.out.op(b'\n');
        } else if let Ok(small) = u8::try_from(index) {
            self.out.buffer.put([short, small]);
        } else {
            self.out.op_u32(long, index);
        }
    }

    /// In fast mode nothing is memoized, so cycles must be found here. False in other modes.
    fn enter(&mut self, object: &Bound<'py, PyAny>) -> Result<bool, Failed> {
        /// Depth from which on cycles are looked for.
        const UNCHECKED: usize = 50;
        if !self.fast {
            return Ok(false);
        }
        let address = peek::address(object);
        if self.entered.len() >= UNCHECKED && self.entered.contains(&address) {
            let message = format!(
                "fast mode: can't pickle cyclic objects including object type {} at {address:#x}",
                peek::type_name(object)
            );
            let class = self.py.get_type::<pyo3::exceptions::PyValueError>().into_any();
            return Err(call::error(&class, &message).into());
        }
        self.entered.push(address);
        Ok(true)
    }

    fn leave(&mut self, entered: bool) {
        if entered {
            self.entered.pop();
        }
    }
}
