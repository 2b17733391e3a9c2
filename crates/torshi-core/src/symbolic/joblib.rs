//! joblib's layout of a stream: after the BUILD of an array wrapper the raw bytes of its array follow, and then the
//! next instruction. The same machine and domain read it; what the wrapper and its bytes come to is checked as
//! the numpy array that joblib makes of them. How many bytes there are is reckoned from a checked dtype.

use super::arena::{Arena, NodeKind, NO_GLOBAL};
use super::globals::Origin;
use super::value::{Span, Symbol, LONGEST};
use super::{verify, Outcome, Plan, Settings, Symbolic};
use crate::domain::Domain;
use crate::error::{Fault, FaultBox, Site};
use crate::finding::Finding;
use crate::limits::Limits;
use crate::machine::Machine;
use crate::memo::Memo;
use crate::opcode::Opcode;
use crate::policy::{array_extent, Extent, Policy, View};
use crate::reader::Reader;
use std::borrow::Cow;
use std::ops::Range;

/// The class of the wrappers, and the module it had inside scikit-learn.
const WRAPPER: &str = "NumpyArrayWrapper";
const MODULES: &[&str] = &["joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"];

/// What reading a stream in joblib's layout tells.
#[derive(Debug)]
pub struct Laid {
    /// The same as of any stream.
    pub outcome: Outcome,
    /// Where raw bytes and inner pickles stand, which are no instructions of this stream.
    pub foreign: Vec<Range<usize>>,
}

/// Whether a name is that of joblib's array wrapper, so that a stream with it is also read in joblib's layout.
pub fn is_wrapper(module: &str, qualname: &str) -> bool {
    qualname == WRAPPER && MODULES.contains(&module)
}

/// Checks a stream in joblib's layout against a policy.
pub fn verify_joblib(data: &[u8], policy: &Policy, limits: &Limits, settings: &Settings<'_>) -> Laid {
    let domain = Symbolic::new(data, Vec::new(), policy, limits, settings, Box::<Arena>::default());
    let mut walk = Walk {
        machine: Machine::new(data, domain, Memo::noting(), settings.fix_imports),
        reader: Reader::new(data),
        data,
        inner: Inner { policy, limits, settings, findings: Vec::new() },
        foreign: Vec::new(),
    };
    let fault = walk.run().err();
    let Walk { mut machine, reader, inner, foreign, .. } = walk;
    let (protocol, stored) = (machine.protocol(), machine.memo.len());
    let (_, reads) = machine.memo.take_parts();
    let Symbolic { mut globals, mut findings, dunder_states, .. } = machine.domain;
    findings.extend(inner.findings);
    findings.sort_by_key(|finding| finding.offset);
    let plan = Plan { stored, reads, end: reader.offset(), protocol, dunder_states, globals: globals.take() };
    Laid { outcome: Outcome { plan, findings, fault, freed: 0 }, foreign }
}

/// What inner pickles are checked with, and what was found in them.
struct Inner<'p> {
    policy: &'p Policy,
    limits: &'p Limits,
    settings: &'p Settings<'p>,
    findings: Vec<Finding>,
}

struct Walk<'a, 'p> {
    machine: Machine<'a, Symbolic<'a, 'p>>,
    reader: Reader<'a>,
    data: &'a [u8],
    inner: Inner<'p>,
    foreign: Vec<Range<usize>>,
}

/// What a wrapper says of its array.
struct Wrapped {
    class: Symbol,
    shape: Symbol,
    dtype: Symbol,
    fortran: bool,
    padded: bool,
}

impl Walk<'_, '_> {
    fn run(&mut self) -> Result<(), FaultBox> {
        while self.machine.advance(&mut self.reader)?.is_none() {
            if self.reader.site().opcode == Opcode::Build {
                self.array()?;
            }
        }
        Ok(())
    }

    /// If the top of the stack is a wrapper with its state: reads what follows, and puts the array in its place.
    fn array(&mut self) -> Result<(), FaultBox> {
        let site = self.reader.site();
        let Some(&Symbol::Node(id)) = self.machine.stack().last() else { return Ok(()) };
        if !self.machine.domain.is_array_wrapper(id) {
            return Ok(());
        }
        let domain = &mut self.machine.domain;
        let Some(wrapped) = domain.wrapped(id) else {
            return Err(Fault::malformed(site, "an array wrapper that does not say shape, order and dtype"));
        };
        let Some(extent) = array_extent(domain, wrapped.shape, wrapped.dtype) else {
            return Err(Fault::malformed(site, "an array wrapper whose dtype does not say how many bytes follow"));
        };
        let from = self.reader.offset();
        let array = match extent {
            Extent::References => {
                self.pickle()?;
                self.machine.domain.made_array(&wrapped, None, site)?
            }
            Extent::Bytes(length) => {
                if wrapped.padded {
                    let padding = self.reader.raw(1)?.first().copied().unwrap_or(0);
                    self.reader.raw(padding.into())?;
                }
                let raw = self.reader.raw(length)?;
                let domain = &mut self.machine.domain;
                let bytes = match raw.len() as u64 >= LONGEST {
                    true => Symbol::HeldBytes(domain.hold(Cow::Borrowed(raw))),
                    false => Symbol::Bytes(Span::of(self.data, raw)),
                };
                domain.made_array(&wrapped, Some(bytes), site)?
            }
        };
        self.foreign.push(from..self.reader.offset());
        self.machine.replace_top(array);
        Ok(())
    }

    /// The pickle of an array of objects: a stream of its own, in stock layout.
    fn pickle(&mut self) -> Result<(), FaultBox> {
        let from = self.reader.offset();
        let Inner { policy, limits, settings, .. } = self.inner;
        let inner = verify(&self.data[from..], policy, limits, settings);
        let moved = inner.findings.into_iter().map(|finding| Finding { offset: finding.offset + from, ..finding });
        self.inner.findings.extend(moved);
        if let Some(mut fault) = inner.fault {
            fault.offset += from;
            return Err(fault);
        }
        self.reader.raw(inner.plan.end as u64).map(drop)
    }
}

impl Symbolic<'_, '_> {
    fn is_array_wrapper(&self, id: u32) -> bool {
        let node = self.arena.node(id);
        node.kind == NodeKind::Instance && node.global != NO_GLOBAL && {
            let global = self.globals.get(node.global);
            is_wrapper(&global.module, &global.qualname)
        }
    }

    fn wrapped(&self, id: u32) -> Option<Wrapped> {
        let state = self.arena.state(id)?;
        let order = self.entry(state, "order")?;
        Some(Wrapped {
            class: self.entry(state, "subclass")?,
            shape: self.entry(state, "shape")?,
            dtype: self.entry(state, "dtype")?,
            fortran: self.known_text(order)? == "F",
            padded: !matches!(self.entry(state, "numpy_array_alignment_bytes"), None | Some(Symbol::None)),
        })
    }

    /// The array, made as numpy's own pickles make one: empty, of its class, then given its state. Without bytes
    /// it is one of objects, whose own pickle was checked.
    fn made_array(&mut self, wrapped: &Wrapped, bytes: Option<Symbol>, site: Site) -> Result<Symbol, FaultBox> {
        let function = self.named("numpy._core.multiarray", "_reconstruct", false, Origin::Implied, site)?;
        let empty = Symbol::Node(self.arena.tuple(&[Symbol::Int(0)]));
        let code = Symbol::HeldBytes(self.hold(Cow::Borrowed(b"b")));
        let arguments = Symbol::Node(self.arena.tuple(&[wrapped.class, empty, code]));
        let array = self.call(function, arguments, site)?;
        match (bytes, array) {
            (Some(bytes), _) => {
                let fortran = Symbol::Bool(wrapped.fortran);
                let state = [Symbol::Int(1), wrapped.shape, wrapped.dtype, fortran, bytes];
                let state = Symbol::Node(self.arena.tuple(&state));
                self.set_state(&array, state, site)?;
            }
            (None, Symbol::Node(id)) => self.arena.node_mut(id).open = false,
            _ => {}
        }
        Ok(array)
    }
}
