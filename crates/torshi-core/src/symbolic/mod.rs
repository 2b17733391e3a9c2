//! The checking domain: runs a stream on symbols instead of objects, against a policy, before anything
//! is imported, called or built. It yields a `Plan` for the builder, or findings, or a fault. It never
//! trusts a value it cannot see: a call it may not judge is a finding.

mod arena;
mod call;
mod cost;
mod expansion;
mod fill;
mod globals;
mod joblib;
mod judged;
mod lent;
mod value;
mod view;

use crate::domain::{Constant, Domain, Items, Kind};
use crate::error::{Fault, FaultBox, FaultKind, Site};
use crate::finding::{Finding, FindingKind};
use crate::limits::Limits;
use crate::literal::decimal_bytes;
use crate::literal::excerpt;
use crate::machine::{Machine, Rows};
use crate::memo::{Memo, SlotSet};
use crate::opcode::Opcode;
use crate::policy::Policy;
use crate::reader::{Atoms, Gap, APART};
use arena::{Arena, NodeKind, NO_GLOBAL};
use globals::Globals;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use value::{Span, Symbol};

pub(crate) use crate::literal::{raw_unicode_escape, unescape};
pub use globals::{usage, GlobalUse};
pub use joblib::{is_wrapper, verify_joblib, Contents, Laid};
pub(crate) use judged::modern;
pub use judged::{judged, Judged, Origin};

/// Findings kept: enough to show a person, few enough to bound memory.
const MOST_FINDINGS: usize = 200;

/// How Python 2 strings are read; set by the caller of a load, never by the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// ASCII: the default.
    Ascii,
    /// Latin-1: every byte a character.
    Latin1,
    /// UTF-8.
    Utf8,
    /// Not decoded: they stay bytes.
    Bytes,
    /// Some other codec: the characters are not known here.
    Other,
}

/// What the caller of a load offers beside the policy.
pub struct Settings<'s> {
    /// How Python 2 strings are read.
    pub encoding: Encoding,
    /// Whether Python 2 names are translated.
    pub fix_imports: bool,
    /// Whether persistent ids are answered.
    pub persistent: bool,
    /// The names of extension codes.
    pub extension: &'s dyn Fn(i64) -> Option<(String, String)>,
    /// What the caller says that a name (module, qualified name in Python 3) is called today; the last argument tells
    /// whether the policy lists it as it stands.
    pub renamed: &'s Renamed<'s>,
    /// How many memo slots earlier pickles of the same unpickler filled.
    pub earlier: u64,
    /// What such a slot holds.
    pub recall: &'s dyn Fn(u64) -> Option<Seed>,
}

/// See `Settings::renamed`.
pub type Renamed<'s> = dyn Fn(&str, &str, bool) -> Option<(String, String)> + 's;

/// What is known of a value carried over in the memo from an earlier pickle.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Seed {
    Text(String),
    List,
    Dict,
    Set,
    Atom,
    Global(String, String),
    Instance(String, String),
    Opaque,
}

/// What the builder may take from a checked stream.
#[derive(Debug, Default)]
pub struct Plan {
    /// Every global the stream names, allowed ones all.
    pub globals: Vec<GlobalUse>,
    /// Memo slots that are read.
    pub reads: SlotSet,
    /// Rows of memo reads.
    pub rows: Rows,
    /// Memo slots that are filled.
    pub stored: u64,
    /// The highest memo slot that was filled with a gap before it; 0 if none was.
    pub farthest: u64,
    /// Where the first out-of-band buffer is asked for.
    pub buffer: Option<Site>,
    /// Offset right behind STOP.
    pub end: usize,
    /// The protocol declared last.
    pub protocol: u8,
    /// States with dunder names, for classes the user trusts: fine if the class has its own
    /// `__setstate__`, which only the builder can know.
    pub dunder_states: Vec<(u32, Site)>,
    /// Which of the payloads that were given without content are floats: unlikely to be what a check has to see. In
    /// order.
    pub floats: Vec<u32>,
    /// Which of them a rule had to see, in order.
    pub wanted: Vec<u32>,
    /// Offsets of bytearrays whose bytes are only copied elsewhere, so that any buffer over them will do; in order.
    pub lent: Vec<usize>,
}

/// All that checking a stream tells.
#[derive(Debug)]
pub struct Outcome {
    /// What was learnt, up to the end or the fault.
    pub plan: Box<Plan>, // one word to hand on, and not thirty
    /// What the policy does not allow, in stream order.
    pub findings: Vec<Finding>,
    /// Why the stream cannot be read on, if so.
    pub fault: Option<FaultBox>,
    /// Bytes of memory that the check took and gave back.
    pub freed: usize,
}

/// The memory of the last check of a thread, for its next: a message of a kilobyte then needs no
/// allocation, and one of megabytes no fresh pages.
#[derive(Default)]
struct Spare {
    arena: Box<Arena>, // one word to move, and not twenty
    stack: Vec<Symbol>,
    marks: Vec<usize>,
    slots: Vec<Option<Symbol>>,
}

/// Bytes a thread keeps at the most.
const MOST_SPARE: usize = 32 << 20;
/// Bytes kept of any stream.
const LITTLE_SPARE: usize = 4 << 20;
/// And beyond that for each byte of the stream: what is kept stands beside the objects that are built next, and a
/// stream that needed more describes containers too empty for both.
const SPARE_PER_BYTE: usize = 16;

thread_local! {
    static SPARE: Cell<Option<Spare>> = const { Cell::new(None) };
}

/// Checks a stream against a policy.
pub fn verify(data: &[u8], policy: &Policy, limits: &Limits, settings: &Settings<'_>) -> Outcome {
    verify_apart(data, &[], Vec::new(), policy, limits, settings)
}

/// Checks a stream that lacks the payloads of `gaps`; `payloads` has their bytes in the same order, or nothing where
/// they could still change: these count as buffers given out of band. What it says of offsets is of the stream without
/// them.
pub fn verify_apart<'a>(
    data: &'a [u8], gaps: &'a [Gap], payloads: Vec<Option<&'a [u8]>>, policy: &Policy, limits: &Limits,
    settings: &Settings<'_>,
) -> Outcome {
    let Spare { arena, stack, marks, slots } = SPARE.take().unwrap_or_default();
    let domain = Symbolic::new((data, gaps), payloads, policy, limits, settings, arena);
    let memo = Memo::noting().in_memory_of(slots).behind(settings.earlier);
    let mut machine = Machine::new(data, domain, memo, settings.fix_imports);
    machine.set_memory(stack, marks);
    machine.set_gaps(gaps);
    machine.rows = Rows::noting();
    let fault = machine.run().err();
    let (stack, marks) = machine.take_memory();
    let (end, protocol, stored) = (machine.offset(), machine.protocol(), machine.memo.len());
    let farthest = machine.memo.farthest();
    let lent = if fault.is_none() { machine.domain.lent(&machine.memo) } else { Vec::new() };
    let (slots, reads) = machine.memo.take_parts();
    let rows = machine.rows.noted();
    let Symbolic { mut arena, mut globals, findings, dunder_states, floats, wanted, buffer, .. } = machine.domain;
    let footprint = arena.footprint()
        + (stack.capacity() + slots.len()) * size_of::<Symbol>()
        + marks.capacity() * size_of::<usize>();
    let mut freed = footprint;
    if footprint <= MOST_SPARE.min(LITTLE_SPARE.max(SPARE_PER_BYTE * data.len())) {
        arena.clear();
        SPARE.set(Some(Spare { arena, stack, marks, slots }));
        freed = 0;
    }
    let (globals, floats, wanted) = (globals.take(), each_once(floats), each_once(wanted));
    let plan =
        Plan { stored, farthest, buffer, reads, rows, end, protocol, dunder_states, globals, floats, wanted, lent };
    Outcome { plan: Box::new(plan), findings, fault, freed }
}

/// Places in order, each once.
fn each_once(places: RefCell<Vec<u32>>) -> Vec<u32> {
    let mut places = places.into_inner();
    places.sort_unstable();
    places.dedup();
    places
}

/// The checking domain.
pub struct Symbolic<'a, 'p> {
    data: &'a [u8],
    /// Bytes of the stream that are not in `data`.
    payloads: Vec<Option<&'a [u8]>>,
    /// Where these belong, and how long they are.
    gaps: &'a [Gap],
    /// The bytes of the stream with its payloads: what limits go by.
    size: usize,
    policy: &'p Policy,
    limits: &'p Limits,
    settings: &'p Settings<'p>,
    unrestricted: bool,
    arena: Box<Arena>,
    globals: Globals,
    texts: Vec<Option<Box<str>>>,
    held: Vec<Cow<'a, [u8]>>,
    findings: Vec<Finding>,
    dunder_states: Vec<(u32, Site)>,
    /// Where the first out-of-band buffer is asked for.
    buffer: Option<Site>,
    hash_steps: u64,
    memory: u64,
    /// Bytes that calls and states copy of their arguments.
    copied: u64,
    /// Steps that rules took through contents.
    looked: Cell<u64>,
    /// The dict that was last found to have only attributes, and how many pairs it had then.
    attributes: Cell<(u32, u32)>,
    /// What was last found to hold of a node: see `View::holds`.
    fact: Cell<(u32, usize)>,
    /// Payloads without content here of which it is known that they are floats.
    floats: RefCell<Vec<u32>>,
    /// Those whose content a rule had to see.
    wanted: RefCell<Vec<u32>>,
    /// Arrays that are copied from.
    copied_arrays: RefCell<Vec<lent::Copied>>,
    /// Whether the stream has a DUP.
    duplicated: bool,
}

impl<'a, 'p> Symbolic<'a, 'p> {
    fn new(
        (data, gaps): (&'a [u8], &'a [Gap]), payloads: Vec<Option<&'a [u8]>>, policy: &'p Policy, limits: &'p Limits,
        settings: &'p Settings<'p>, arena: Box<Arena>,
    ) -> Self {
        Symbolic {
            data,
            size: gaps.iter().fold(data.len(), |size, gap| size.saturating_add(gap.length)),
            payloads,
            gaps,
            policy,
            limits,
            settings,
            unrestricted: policy.is_unrestricted(),
            arena,
            globals: Globals::default(),
            texts: Vec::new(),
            held: Vec::new(),
            findings: Vec::new(),
            dunder_states: Vec::new(),
            buffer: None,
            hash_steps: 0,
            memory: 0,
            copied: 0,
            looked: Cell::new(0),
            attributes: Cell::new((u32::MAX, 0)),
            fact: Cell::new((u32::MAX, 0)),
            floats: RefCell::default(),
            wanted: RefCell::default(),
            copied_arrays: RefCell::default(),
            duplicated: false,
        }
    }

    #[cold]
    fn report(&mut self, kind: FindingKind, name: Option<String>, message: String, remedy: Option<String>, site: Site) {
        if self.findings.len() < MOST_FINDINGS {
            let (offset, opcode) = (site.offset, site.opcode.name());
            let message = crate::finding::shown(&message);
            self.findings.push(Finding { kind, name, offset, opcode, path: None, message, remedy });
        }
    }

    fn decoded(&mut self, text: Option<String>) -> Symbol {
        self.texts.push(text.map(String::into_boxed_str));
        Symbol::DecodedText((self.texts.len() - 1) as u32)
    }

    fn hold(&mut self, bytes: Cow<'a, [u8]>) -> u32 {
        self.held.push(bytes);
        (self.held.len() - 1) as u32
    }

    fn seed(&mut self, seed: &Seed) -> Symbol {
        let site = Site { offset: 0, opcode: Opcode::Get };
        match seed {
            Seed::Text(text) => self.decoded(Some(text.clone())),
            Seed::List => Symbol::Node(self.arena.container(NodeKind::List)),
            Seed::Dict => {
                let id = self.arena.container(NodeKind::Dict);
                self.arena.node_mut(id).attribute_keys = false; // its keys are not known any more
                Symbol::Node(id)
            }
            Seed::Set => Symbol::Node(self.arena.container(NodeKind::Set)),
            Seed::Atom => Symbol::None,
            Seed::Global(module, name) => {
                let named = self.named(module, name, false, Origin::Implied, site);
                named.unwrap_or(Symbol::Opaque)
            }
            Seed::Instance(module, name) => {
                let (id, _) = self.globals.find((self.policy, None), module, name, false, Origin::Implied, site);
                Symbol::Node(self.arena.instance(id, Symbol::Opaque))
            }
            Seed::Opaque => Symbol::Opaque,
        }
    }

    /// A global by its names; a name the policy does not allow is a finding at once, used or not.
    fn named(
        &mut self, module: &str, name: &str, python2: bool, origin: Origin, site: Site,
    ) -> Result<Symbol, FaultBox> {
        // What the stream reaches through an object is what the object has: only what it names may have moved.
        let renamed = (origin == Origin::Named).then_some(self.settings.renamed);
        let (id, new) = self.globals.find((self.policy, renamed), module, name, python2, origin, site);
        if new {
            // Names are text of the stream, but memoised ones combine without cost: a square of them.
            self.charge_memory(8 * (module.len() + name.len()) as u64, site)?;
            let global = self.globals.get(id);
            if global.row.is_some_and(|row| row.looks_at_atoms()) {
                self.arena.keep_atoms(self.size);
            }
            let global = self.globals.get(id);
            if let Some(denial) = global.denial.as_ref() {
                let full = global.full_name();
                let remedy = crate::policy::suggest(&global.module, &global.qualname);
                let message = match &global.renamed {
                    Some((module, name)) => format!("{full}, which the stream calls {module}.{name}, is {denial}"),
                    None => format!("{full} is {denial}"),
                };
                self.report(FindingKind::UntrustedGlobal, Some(full), message, remedy, site);
            }
        }
        Ok(Symbol::Global(id))
    }

    /// Text of a Python 2 string.
    fn python2_text(&mut self, bytes: &[u8], span: Option<Span>) -> Symbol {
        match (self.settings.encoding, bytes.is_ascii(), span) {
            (Encoding::Other, ..) => self.decoded(None),
            (_, true, Some(span)) => Symbol::Text(span),
            (_, true, None) => self.decoded(String::from_utf8(bytes.to_vec()).ok()),
            (Encoding::Latin1, ..) => self.decoded(Some(bytes.iter().map(|&b| char::from(b)).collect())),
            (Encoding::Utf8, ..) => self.decoded(String::from_utf8(bytes.to_vec()).ok()),
            _ => self.decoded(None),
        }
    }
}

impl<'a> Domain<'a> for Symbolic<'a, '_> {
    type Value = Symbol;
    type Slot = Symbol;
    type Error = FaultBox;

    #[inline(always)]
    fn kind(&self, value: &Symbol) -> Kind {
        match *value {
            Symbol::Node(id) => match self.arena.node(id).kind {
                NodeKind::List => Kind::List,
                NodeKind::Dict => Kind::Dict,
                NodeKind::Set => Kind::Set,
                NodeKind::Tuple => Kind::Tuple,
                NodeKind::FrozenSet => Kind::Plain,
                NodeKind::Instance if self.unrestricted => Kind::Unknown,
                NodeKind::Instance => Kind::Instance,
            },
            Symbol::Global(_) => Kind::Global,
            Symbol::Text(_) | Symbol::DecodedText(_) => Kind::Text,
            Symbol::Opaque if self.unrestricted => Kind::Unknown,
            Symbol::Opaque => Kind::Instance,
            _ => Kind::Plain,
        }
    }

    #[inline(always)]
    fn is_none(&self, value: &Symbol) -> bool {
        matches!(value, Symbol::None)
    }

    #[inline(always)]
    fn keep(&self, value: &Symbol) -> Symbol {
        *value
    }

    #[inline(always)]
    fn restore(&mut self, slot: &Symbol, stack: &mut Vec<Symbol>) {
        // Copied as sixteen bytes, from memory to memory: taken apart and put together again it would
        // have to wait for its own parts.
        stack.extend_from_slice(std::slice::from_ref(slot));
    }

    #[inline(always)]
    fn restore_row<'s>(
        &mut self, stack: &mut Vec<Symbol>, slots: &[u32], mut get: impl FnMut(u32) -> Option<&'s Symbol>,
    ) -> usize {
        // Room first: a push would have to wait for the one before it to note the new length.
        let first = stack.len();
        stack.resize(first + slots.len(), Symbol::None);
        let mut count = 0;
        for (place, slot) in stack[first..].iter_mut().zip(slots) {
            let Some(symbol) = get(*slot) else { break };
            *place = *symbol;
            count += 1;
        }
        stack.truncate(first + count);
        count
    }

    const LIST_ROWS: bool = true;

    #[inline(always)]
    fn list_row<'s>(&mut self, list: &Symbol, slots: &[u32], get: impl FnMut(u32) -> &'s Option<Symbol>) -> bool {
        match *list {
            // What is to be told of a list is told where there is a place to tell.
            Symbol::Node(id) if !self.arena.node(id).frozen => self.arena.fill_row(id, slots, get),
            _ => false,
        }
    }

    const ATOM_ROWS: bool = true;

    #[inline(always)]
    fn atom_row(&mut self, list: &Symbol, atoms: Atoms) -> bool {
        match *list {
            Symbol::Node(id) if !self.arena.node(id).frozen => {
                self.arena.fill_atoms(id, atoms);
                true
            }
            _ => false,
        }
    }

    fn recall(&mut self, index: u64) -> Option<Symbol> {
        let seed = (self.settings.recall)(index)?;
        Some(self.seed(&seed))
    }

    #[inline(always)]
    fn constant(&mut self, constant: Constant) -> Symbol {
        // From a table, not by branches: which constant comes next is a coin's toss.
        const CONSTANTS: [Symbol; 3] = [Symbol::None, Symbol::Bool(false), Symbol::Bool(true)];
        CONSTANTS[constant as usize]
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Int(value))
    }

    fn long(&mut self, bytes: &'a [u8]) -> Result<Symbol, FaultBox> {
        Ok(Symbol::BigInt(Span::of(self.data, bytes)))
    }

    fn integer_text(&mut self, text: &'a [u8], _: Site) -> Result<Symbol, FaultBox> {
        // Protocol 0 writes every integer above 32 bits so; most are no longer than rules want them.
        if let Some(value) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()) {
            return Ok(Symbol::Int(value));
        }
        if let Some(bytes) = decimal_bytes(text) {
            return Ok(Symbol::BigHeld(self.hold(Cow::Owned(bytes))));
        }
        // Whether it is an integer at all is for the builder to say, who has Python's own rules.
        Ok(Symbol::BigText(u32::try_from(text.len()).unwrap_or(u32::MAX)))
    }

    #[inline(always)]
    fn float(&mut self, value: f64) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Float(value))
    }

    fn float_text(&mut self, text: &'a [u8], site: Site) -> Result<Symbol, FaultBox> {
        let known = std::str::from_utf8(text).ok();
        match known.and_then(|text| text.trim().replace('_', "").parse().ok()) {
            Some(value) => Ok(Symbol::Float(value)),
            None => {
                let what = format!("could not convert string to float: '{}'", excerpt(text));
                Err(Fault::bad_value(site, what))
            }
        }
    }

    #[inline(always)]
    fn text(&mut self, utf8: &'a [u8]) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Text(Span::of(self.data, utf8)))
    }

    fn text_escaped(&mut self, raw: &'a [u8], _: Site) -> Result<Symbol, FaultBox> {
        if raw.is_ascii() && !raw.contains(&b'\\') {
            return Ok(Symbol::Text(Span::of(self.data, raw)));
        }
        let text = raw_unicode_escape(raw);
        Ok(self.decoded(text))
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &'a [u8]) -> Result<Symbol, FaultBox> {
        // So long that they may be kept apart from the stream, where no span reaches.
        if bytes.len() as u64 >= APART {
            return Ok(Symbol::HeldBytes(self.hold(Cow::Borrowed(bytes))));
        }
        Ok(Symbol::Bytes(Span::of(self.data, bytes)))
    }

    fn duplicate(&mut self, value: &Symbol) -> Result<Symbol, FaultBox> {
        self.duplicated = true;
        Ok(*value)
    }

    fn bytearray(&mut self, bytes: &'a [u8]) -> Result<Symbol, FaultBox> {
        if bytes.len() as u64 >= APART {
            return Ok(Symbol::HeldByteArray(self.hold(Cow::Borrowed(bytes))));
        }
        Ok(Symbol::ByteArray(Span::of(self.data, bytes)))
    }

    fn payload(&mut self, place: usize, site: Site) -> Result<Symbol, FaultBox> {
        match (self.payloads.get(place), site.opcode) {
            (Some(None), _) => Ok(Symbol::Buffer(u32::try_from(place).unwrap_or(u32::MAX))),
            (Some(Some(bytes)), Opcode::Bytearray8) => self.bytearray(bytes),
            (Some(Some(bytes)), _) => self.bytes(bytes),
            (None, _) => Err(Fault::malformed(site, "a payload is not in the stream")),
        }
    }

    fn string(&mut self, bytes: &'a [u8], _: Site) -> Result<Symbol, FaultBox> {
        if self.settings.encoding == Encoding::Bytes {
            return self.bytes(bytes);
        }
        let span = Span::of(self.data, bytes);
        Ok(self.python2_text(bytes, Some(span)))
    }

    fn string_escaped(&mut self, raw: &'a [u8], site: Site) -> Result<Symbol, FaultBox> {
        if !raw.contains(&b'\\') {
            return self.string(raw, site);
        }
        Ok(match unescape(raw) {
            Some(bytes) if self.settings.encoding == Encoding::Bytes => Symbol::HeldBytes(self.hold(Cow::Owned(bytes))),
            Some(bytes) => self.python2_text(&bytes, None),
            None => self.decoded(None),
        })
    }

    fn next_buffer(&mut self, site: Site) -> Result<Symbol, FaultBox> {
        self.buffer.get_or_insert(site);
        Ok(Symbol::Buffer(u32::MAX))
    }

    fn readonly_buffer(&mut self, buffer: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        match buffer {
            Symbol::Buffer(_) => Ok(buffer),
            _ if self.unrestricted => Ok(buffer),
            _ => Err(Fault::malformed(site, "READONLY_BUFFER needs an out-of-band buffer")),
        }
    }

    #[inline(always)]
    fn empty_list(&mut self) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Node(self.arena.container(NodeKind::List)))
    }

    #[inline(always)]
    fn empty_dict(&mut self) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Node(self.arena.container(NodeKind::Dict)))
    }

    fn empty_set(&mut self) -> Result<Symbol, FaultBox> {
        Ok(Symbol::Node(self.arena.container(NodeKind::Set)))
    }

    #[inline(always)]
    fn tuple(&mut self, items: Items<'_, Symbol>, _: Site) -> Result<Symbol, FaultBox> {
        let raw = items.as_slice().iter().any(|&item| self.is_raw(item));
        let id = self.arena.tuple(items.as_slice());
        self.arena.set_raw(id, raw);
        Ok(Symbol::Node(id))
    }

    fn list(&mut self, items: Items<'_, Symbol>, site: Site) -> Result<Symbol, FaultBox> {
        let list = self.empty_list()?;
        self.list_extend(&list, items, site)?;
        Ok(list)
    }

    fn dict(&mut self, pairs: Items<'_, Symbol>, site: Site) -> Result<Symbol, FaultBox> {
        let dict = self.empty_dict()?;
        self.dict_update(&dict, pairs, site)?;
        Ok(dict)
    }

    fn frozenset(&mut self, items: Items<'_, Symbol>, site: Site) -> Result<Symbol, FaultBox> {
        let id = self.arena.container(NodeKind::FrozenSet);
        self.fill_set(id, items.as_slice(), site)?;
        Ok(Symbol::Node(id))
    }

    #[inline(always)]
    fn list_extend(&mut self, list: &Symbol, items: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        if let Symbol::Node(id) = *list {
            self.fill_list(id, items.as_slice(), site);
        }
        Ok(())
    }

    #[inline(always)]
    fn dict_update(&mut self, dict: &Symbol, pairs: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        match *dict {
            Symbol::Node(id) => self.fill_dict(id, pairs.as_slice(), site),
            _ => Ok(()),
        }
    }

    fn set_update(&mut self, set: &Symbol, items: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        match *set {
            Symbol::Node(id) => self.fill_set(id, items.as_slice(), site),
            _ => Ok(()),
        }
    }

    fn instance_extend(&mut self, target: &Symbol, items: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        self.may_fill(*target, |row| row.append, "items appended", site);
        match *target {
            Symbol::Node(id) => self.fill_list(id, items.as_slice(), site),
            _ => self.place_all(items.as_slice(), site),
        }
        Ok(())
    }

    fn instance_update(&mut self, target: &Symbol, pairs: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        self.may_fill(*target, |row| row.items, "items set", site);
        match *target {
            Symbol::Node(id) => self.fill_dict(id, pairs.as_slice(), site),
            _ => Ok(()),
        }
    }

    fn instance_add(&mut self, target: &Symbol, items: Items<'_, Symbol>, site: Site) -> Result<(), FaultBox> {
        self.may_fill(*target, |row| row.add, "items added", site);
        match *target {
            Symbol::Node(id) => self.fill_set(id, items.as_slice(), site),
            _ => Ok(()),
        }
    }

    fn global(&mut self, module: &'a [u8], name: &'a [u8], python2: bool, site: Site) -> Result<Symbol, FaultBox> {
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
            return Err(Fault::new(site, FaultKind::BadText("the name of a global is not UTF-8".to_owned())));
        };
        self.named(module, name, python2, Origin::Named, site)
    }

    fn stack_global(&mut self, module: Symbol, name: Symbol, python2: bool, site: Site) -> Result<Symbol, FaultBox> {
        if let (Some(module), Some(name)) = (self.literal_text(module), self.literal_text(name)) {
            return self.named(module, name, python2, Origin::Named, site);
        }
        match (self.known_text(module), self.known_text(name)) {
            (Some(module), Some(name)) => {
                let (module, name) = (module.to_owned(), name.to_owned());
                self.named(&module, &name, python2, Origin::Named, site)
            }
            _ if self.unrestricted => Ok(Symbol::Opaque),
            _ => Err(Fault::malformed(site, "the names of a STACK_GLOBAL must stand in the stream as text")),
        }
    }

    fn extension(&mut self, code: i64, python2: bool, site: Site) -> Result<Symbol, FaultBox> {
        match (self.settings.extension)(code) {
            Some((module, name)) => self.named(&module, &name, python2, Origin::Named, site),
            None => Err(Fault::bad_value(site, format!("unregistered extension code {code}"))),
        }
    }

    fn call(&mut self, callable: Symbol, arguments: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        self.check_call(callable, arguments, site)
    }

    fn construct(
        &mut self, class: Symbol, arguments: Symbol, keywords: Option<Symbol>, site: Site,
    ) -> Result<Symbol, FaultBox> {
        self.check_construct(class, arguments, keywords, site)
    }

    #[inline(always)]
    fn construct_bare(&mut self, class: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        let arguments = Symbol::Node(self.arena.tuple(&[]));
        match class {
            // Nothing is given to a class of which nothing is asked, the commonest of all constructions.
            Symbol::Global(id) if self.globals.get(id).free & usage::CONSTRUCT != 0 && !self.unrestricted => {
                self.globals.note(id, usage::CONSTRUCT);
                Ok(self.instance(id, arguments, true))
            }
            _ => self.check_construct(class, arguments, None, site),
        }
    }

    fn instantiate(&mut self, class: Symbol, arguments: Items<'_, Symbol>, site: Site) -> Result<Symbol, FaultBox> {
        let arguments = self.tuple(arguments, site)?;
        self.check_instantiate(class, arguments, site)
    }

    fn set_state(&mut self, target: &Symbol, state: Symbol, site: Site) -> Result<(), FaultBox> {
        self.charge_copies(state, site)?;
        self.check_state(*target, state, site);
        Ok(())
    }

    #[inline(always)]
    fn takes_pairs(&mut self, target: &Symbol, dict: &Symbol, pairs: &[Symbol]) -> bool {
        self.is_plain_state(*target, *dict, pairs)
    }

    #[inline(always)]
    fn takes_slot_pairs(&mut self, target: &Symbol, dict: &Symbol, pairs: &[Symbol], _: bool) -> bool {
        self.is_plain_state(*target, *dict, pairs)
    }

    fn set_slot_pairs(
        &mut self, target: &Symbol, none: Symbol, dict: Symbol, pairs: Items<'_, Symbol>, site: Site,
    ) -> Result<Option<Symbol>, FaultBox> {
        if let Symbol::Node(id) = dict {
            self.fill_plain_state(id, pairs.as_slice(), site)?;
        }
        let raw = self.is_raw(dict);
        let state = self.arena.tuple(&[none, dict]);
        self.arena.set_raw(state, raw);
        self.check_plain_state(*target, Symbol::Node(state), site)?;
        Ok(Some(Symbol::Node(state)))
    }

    fn set_state_pairs(
        &mut self, target: &Symbol, dict: Symbol, pairs: Items<'_, Symbol>, site: Site,
    ) -> Result<(), FaultBox> {
        if let Symbol::Node(id) = dict {
            self.fill_plain_state(id, pairs.as_slice(), site)?;
        }
        self.check_plain_state(*target, dict, site)
    }

    fn persistent_line(&mut self, id: &'a [u8], site: Site) -> Result<Symbol, FaultBox> {
        if !id.is_ascii() {
            return Err(Fault::new(site, FaultKind::Verbatim("persistent IDs in protocol 0 must be ASCII strings")));
        }
        self.persistent(Symbol::None, site)
    }

    fn persistent(&mut self, id: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        if !self.settings.persistent {
            let what =
                "A load persistent id instruction was encountered, but no persistent_load function was specified.";
            return Err(Fault::malformed(site, what));
        }
        self.place(id, site);
        Ok(self.storage(id).unwrap_or(Symbol::Opaque))
    }

    fn stop(&mut self, value: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        self.place(value, site);
        self.check_freeing(site)?;
        self.check_expansion(value, site)?;
        Ok(value)
    }
}
