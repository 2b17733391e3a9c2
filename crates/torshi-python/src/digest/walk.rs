//! Objects into their forms: what was met before, what is deep, and the builtin values.
//!
//! Two objects of equal content have equal forms, however often and by whom else they are referred to. An object on the
//! way to itself, or one that leads back to what is still being walked, stands as a number of steps back.
use super::bulk::{Bytes, Run, Source};
use super::elements::Floats;
use super::form::{tag, Forms, Open, INLINE};
use super::instance::Recent;
use super::unordered::Shapes;
use crate::encoder::failure::{Done, Failed};
use crate::encoder::imports::{imports, pickling_failure, Imports};
use crate::encoder::memo::Memo;
use crate::encoder::number::{signed_len, twos_complement};
use crate::encoder::writer::Writer;
use crate::encoder::{Encoder, Hooks};
use crate::ffi::call;
use crate::ffi::output::utf8_len;
use crate::ffi::peek::{self, Export, Int, Kind, Text};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use std::rc::Rc;

const STACK_RESERVE: usize = 1 << 20;
const STACK_PIECE: usize = 16 << 20;
const STACK_STRIDE: u32 = 32;
/// Containers between two looks for signals.
const TICKS: u32 = 1 << 14;
/// Forms of costly objects that are kept to be put down again.
const KEPT: usize = 1 << 16;
/// Steps within sets and keys of dicts that lead out of them; each may be taken once for every way there.
const STEPS: u32 = 1_000_000;

/// What is known about an object by its address.
enum Known<'py> {
    /// It is being walked; the number it has.
    OnPath(u64),
    /// It has been walked, and leads back to something that is still being walked.
    Open(u64, #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
    Digest([u8; 32], #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
    Short(Rc<[u8]>, #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
}

/// One digest.
pub struct Walker<'py> {
    pub(super) py: Python<'py>,
    pub(super) imports: &'static Imports,
    pub(super) forms: Forms<'py>,
    known: FxHashMap<usize, Known<'py>>,
    /// Addresses of what is `Known::Open`, in the order they were met.
    open: Vec<usize>,
    /// The number the next container gets: of those begun before it within what is still open.
    pub(super) count: u64,
    /// The lowest number that the container in progress leads back to.
    low: u64,
    depth: u32,
    /// May what is being walked be met again by another way?
    again: bool,
    /// Sets and keys around what is being walked.
    pub(super) unordered: u32,
    steps: u32,
    ticks: u32,
    /// Reduce calls on the way from the root to here.
    pub(super) calls: usize,
    /// Was making the last form more than reading it?
    pub(super) costly: bool,
    /// Has something been replaced by its digest, since the last form that leads nowhere, whose digest is not kept?
    lost: bool,
    pub(super) shapes: Shapes<'py>,
    /// Values of dicts in progress.
    pub(super) values: Vec<Option<Bound<'py, PyAny>>>,
    pub(super) recent: Recent<'py>,
    encoder: Option<Box<Encoder<'py>>>,
}

impl<'py> Walker<'py> {
    pub fn new(py: Python<'py>) -> PyResult<Self> {
        Ok(Walker {
            py,
            imports: imports(py)?,
            forms: Forms::new(py),
            known: FxHashMap::default(),
            open: Vec::new(),
            count: 0,
            low: u64::MAX,
            depth: 0,
            again: true,
            unordered: 0,
            steps: 0,
            ticks: 0,
            calls: 0,
            costly: false,
            lost: false,
            shapes: Shapes::default(),
            values: Vec::new(),
            recent: Recent::default(),
            encoder: None,
        })
    }

    /// The digest of an object.
    pub fn digest(mut self, root: &Bound<'py, PyAny>) -> Result<[u8; 32], Failed> {
        self.walk(root)?;
        Ok(self.forms.finish())
    }

    /// Answers how objects are pickled; it never writes a stream.
    pub(super) fn encoder(&mut self) -> Result<&mut Encoder<'py>, Failed> {
        if self.encoder.is_none() {
            let encoder = Encoder::new(self.py, 5, false, Writer::new(None), Memo::default(), Hooks::default(), false)?;
            self.encoder = Some(Box::new(encoder));
        }
        match self.encoder.as_deref_mut() {
            Some(encoder) => Ok(encoder),
            None => Err(call::no_memory(self.py).into()),
        }
    }

    #[cold]
    pub(super) fn refuse(&self, message: &str) -> Failed {
        pickling_failure(self.py, message).into()
    }

    #[cold]
    pub(super) fn changed(&self, what: &str) -> Failed {
        let class = self.py.get_type::<pyo3::exceptions::PyRuntimeError>().into_any();
        call::error(&class, &format!("{what} changed while it was digested")).into()
    }

    /// Puts down the form of one object, or its digest if that is long.
    #[inline(always)]
    pub(super) fn walk(&mut self, object: &Bound<'py, PyAny>) -> Done {
        match peek::kind(object) {
            Kind::Str => self.walk_str(object),
            Kind::Int => self.put_int(object),
            Kind::Float => self.put_float(object),
            Kind::None => self.forms.tag(tag::NONE),
            Kind::Bool => self.forms.tag(if peek::is_true(object) { tag::TRUE } else { tag::FALSE }),
            Kind::Bytes => self.walk_bytes(object),
            kind => self.walk_compound(object, kind),
        }
    }

    #[inline(always)]
    fn put_int(&mut self, object: &Bound<'py, PyAny>) -> Done {
        match peek::int(object) {
            Int::Small(value) => {
                let len = signed_len(value);
                let all = u128::from(tag::INT) | (len as u128) << 8 | u128::from(value as u64) << 16;
                self.forms.put(&all.to_le_bytes()[..2 + len])
            }
            Int::Big { negative, digits } => self.put_big(negative, digits),
        }
    }

    #[inline(never)]
    fn put_big(&mut self, negative: bool, digits: &[u32]) -> Done {
        let Some(bytes) = twos_complement(negative, digits) else {
            return Err(call::no_memory(self.py).into());
        };
        self.forms.tagged(tag::INT, bytes.len() as u64)?;
        self.put_run(&bytes)
    }

    #[inline(always)]
    fn put_float(&mut self, object: &Bound<'py, PyAny>) -> Done {
        let value = peek::float(object);
        let bits = if value.is_nan() { 0x7ff8 << 48 } else { value.to_bits() };
        let mut bytes = [tag::FLOAT; 9];
        bytes[1..].copy_from_slice(&bits.to_le_bytes());
        self.forms.put(&bytes)
    }

    #[inline(always)]
    fn walk_str(&mut self, object: &Bound<'py, PyAny>) -> Done {
        match peek::text(object) {
            Some(Text::Ascii(bytes)) if bytes.len() < 128 => {
                self.forms.put(&[tag::STR, bytes.len() as u8])?;
                self.forms.put(bytes)
            }
            Some(text) => self.put_text(object, text),
            None => Err(call::no_memory(self.py).into()),
        }
    }

    #[inline(never)]
    fn put_text(&mut self, object: &Bound<'py, PyAny>, text: Text<'_>) -> Done {
        if let Text::Ascii(bytes) = text {
            return self.walk_run(object, tag::STR, bytes);
        }
        let size = utf8_len(text);
        if size > INLINE && self.put_known(object)? {
            return Ok(());
        }
        let start = self.forms.len();
        self.forms.tagged(tag::STR, size as u64)?;
        let run = self.forms.open();
        self.forms.put_utf8(text, size)?;
        if self.forms.close(run)?.is_some() {
            self.remember(object, start);
        }
        Ok(())
    }

    #[inline(always)]
    fn walk_bytes(&mut self, object: &Bound<'py, PyAny>) -> Done {
        self.walk_run(object, tag::BYTES, peek::bytes(object))
    }

    /// Bytes that never change.
    fn walk_run(&mut self, object: &Bound<'py, PyAny>, tag: u8, bytes: &[u8]) -> Done {
        if bytes.len() > INLINE && self.put_known(object)? {
            return Ok(());
        }
        let start = self.forms.len();
        self.forms.tagged(tag, bytes.len() as u64)?;
        self.put_run(bytes)?;
        if bytes.len() > INLINE {
            self.remember(object, start);
        }
        Ok(())
    }

    /// Puts down the form of a long leaf that was met before.
    fn put_known(&mut self, object: &Bound<'py, PyAny>) -> Result<bool, Failed> {
        match self.known.get(&peek::address(object)) {
            Some(Known::Short(form, _)) => {
                let form = form.clone();
                self.forms.put(&form)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn remember(&mut self, object: &Bound<'py, PyAny>, start: usize) {
        if self.again || peek::references(object) != 2 {
            let form = self.forms.since(start).into();
            self.known.insert(peek::address(object), Known::Short(form, object.clone()));
        }
    }

    /// Bytes that stay as they are and where they are: the content of bytes, or of an export.
    fn put_run(&mut self, bytes: &[u8]) -> Done {
        if bytes.len() <= INLINE {
            return self.forms.put(bytes);
        }
        let source = Source { bytes: Bytes::InOrder(bytes), floats: Floats::No, swapped: 0 };
        let mut run = Run::new(bytes.len(), &source).ok_or_else(|| Failed::from(call::no_memory(self.py)))?;
        while !run.advance(&source) {
            self.pause()?;
        }
        self.forms.put_digest(&run.finish())
    }

    /// Lets signal handlers and other threads run.
    pub(super) fn pause(&mut self) -> Done {
        self.py.check_signals()?;
        self.py.detach(|| ());
        Ok(())
    }

    /// Between two parts of a container.
    #[inline(always)]
    pub(super) fn turn(&mut self, open: &mut Open) -> Done {
        if self.forms.turn(open) {
            self.py.check_signals()?;
        }
        Ok(())
    }

    #[inline(never)]
    fn walk_compound(&mut self, object: &Bound<'py, PyAny>, kind: Kind) -> Done {
        if matches!(kind, Kind::Type | Kind::Function | Kind::Other) && self.walk_named(object, kind)? {
            return Ok(());
        }
        let shared = self.again || peek::references(object) != 2;
        // Nothing but a reference leads to these; the others could also be reached by a weak one.
        let noted = shared || !matches!(kind, Kind::List | Kind::Tuple | Kind::Dict);
        let address = peek::address(object);
        if noted && self.met(address)? {
            return Ok(());
        }
        let number = self.count;
        if noted {
            self.known.insert(address, Known::OnPath(number));
        }
        let outer = std::mem::replace(&mut self.again, shared && self.depth > 0);
        let end = self.container(|walker, open| walker.walk_kind(object, kind, open))?;
        self.again = outer;
        let mut costly = std::mem::take(&mut self.costly);
        if end.closed {
            costly |= std::mem::take(&mut self.lost);
        } else {
            self.lost |= end.digest.is_some();
        }
        if noted {
            let known = match (end.closed, end.digest) {
                (false, _) => {
                    self.open.push(address);
                    Some(Known::Open(number, object.clone()))
                }
                (true, Some(digest)) => Some(Known::Digest(digest, object.clone())),
                (true, None) if costly && shared && self.known.len() < KEPT => {
                    Some(Known::Short(self.forms.since(end.start).into(), object.clone()))
                }
                (true, None) => None,
            };
            match known {
                Some(known) => self.known.insert(address, known),
                None => self.known.remove(&address),
            };
        }
        Ok(())
    }

    /// Puts down what stands for an object that was met before, if it was.
    #[inline(always)]
    fn met(&mut self, address: usize) -> Result<bool, Failed> {
        match self.known.get(&address) {
            None => return Ok(false),
            Some(Known::OnPath(number) | Known::Open(number, _)) => {
                let number = *number;
                self.low = self.low.min(number);
                self.forms.tagged(tag::AGAIN, self.count - number)?;
            }
            Some(Known::Digest(digest, _)) => {
                let digest = *digest;
                self.count += 1;
                self.forms.put_digest(&digest)?;
            }
            Some(Known::Short(form, _)) => {
                let form = form.clone();
                self.count += 1;
                self.forms.put(&form)?;
            }
        }
        Ok(true)
    }

    /// Gives `write` a number and a form to fill.
    #[inline(always)]
    pub(super) fn container(&mut self, write: impl FnOnce(&mut Self, &mut Open) -> Done) -> Result<End, Failed> {
        let number = self.count;
        self.count += 1;
        let outer = std::mem::replace(&mut self.low, u64::MAX);
        let mark = self.open.len();
        let start = self.forms.len();
        let mut open = self.forms.open();
        self.depth += 1;
        if self.depth % STACK_STRIDE == 0 {
            stacker::maybe_grow(STACK_RESERVE, STACK_PIECE, || write(self, &mut open))?;
        } else {
            write(self, &mut open)?;
        }
        self.depth -= 1;
        self.tick()?;
        let digest = self.forms.close(open)?;
        let closed = self.low >= number;
        if closed {
            // Seen from outside it is one step, however many it took.
            self.count = number + 1;
            self.forget(mark);
            self.low = outer;
        } else {
            self.low = self.low.min(outer);
            self.step()?;
        }
        Ok(End { closed, digest, start })
    }

    #[inline(always)]
    fn tick(&mut self) -> Done {
        self.ticks += 1;
        if self.ticks == TICKS {
            self.ticks = 0;
            self.py.check_signals()?;
        }
        Ok(())
    }

    /// Something within a set or a key that leads out of it was walked.
    fn step(&mut self) -> Done {
        if self.unordered == 0 {
            return Ok(());
        }
        self.steps += 1;
        if self.steps > STEPS {
            return Err(self.refuse(&format!(
                "no order found for sets or keys that lead back to what holds them, in {STEPS} steps; \
                 define __torshi_digest__ on their class"
            )));
        }
        Ok(())
    }

    /// Walks something whose place among its siblings is not known yet, as if it were the first of them.
    pub(super) fn apart(&mut self, walk: impl FnOnce(&mut Self) -> Done) -> Done {
        let (count, mark) = (self.count, self.open.len());
        self.unordered += 1;
        walk(self)?;
        self.unordered -= 1;
        self.count = count;
        self.forget(mark);
        Ok(())
    }

    #[inline(always)]
    fn forget(&mut self, mark: usize) {
        if self.open.len() > mark {
            for address in self.open.drain(mark..) {
                self.known.remove(&address);
            }
        }
    }

    fn walk_kind(&mut self, object: &Bound<'py, PyAny>, kind: Kind, open: &mut Open) -> Done {
        match kind {
            Kind::List => self.put_list(object, open),
            Kind::Tuple => self.put_tuple(object, open),
            Kind::Dict => self.put_dict(object, open),
            Kind::Set => self.put_set(object, tag::SET, open),
            Kind::FrozenSet => self.put_set(object, tag::FROZENSET, open),
            Kind::ByteArray => self.put_export(object, tag::BYTEARRAY),
            Kind::PickleBuffer => self.put_export(object, tag::BUFFER),
            _ => self.put_instance(object, open),
        }
    }

    fn put_list(&mut self, list: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let len = peek::list_len(list);
        self.forms.tagged(tag::LIST, len as u64)?;
        let mut i = 0;
        while let Some(item) = peek::list_item(list, i) {
            self.walk(&item).map_err(|e| e.at_index(i))?;
            self.turn(open)?;
            i += 1;
        }
        if i != len {
            return Err(self.changed("list"));
        }
        Ok(())
    }

    /// A tuple, or an instance of a subclass as if it were one.
    pub(super) fn put_tuple(&mut self, tuple: &Bound<'py, PyAny>, open: &mut Open) -> Done {
        let len = peek::tuple_len(tuple);
        self.forms.tagged(tag::TUPLE, len as u64)?;
        for i in 0..len {
            let Some(item) = peek::tuple_item(tuple, i) else {
                return Err(self.refuse("tuple with an empty place"));
            };
            self.walk(&item).map_err(|e| e.at_index(i))?;
            self.turn(open)?;
        }
        Ok(())
    }

    fn put_export(&mut self, object: &Bound<'py, PyAny>, tag: u8) -> Done {
        let export = Export::new(object)?;
        if !export.is_contiguous() {
            return Err(self.refuse("PickleBuffer can not be pickled when pointing to a non-contiguous buffer"));
        }
        self.forms.tagged(tag, export.bytes().len() as u64)?;
        self.costly = export.bytes().len() > INLINE;
        self.put_run(export.bytes())
    }
}

/// What is known of a container when it has been walked.
pub struct End {
    /// It leads back to nothing outside of it.
    closed: bool,
    digest: Option<[u8; 32]>,
    start: usize,
}
