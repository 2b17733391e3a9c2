//! joblib's layout of a stream: after the BUILD of an array wrapper the raw bytes of its array follow, and then the
//! next instruction. The same machine and domain read it; what the wrapper and its bytes come to is checked as
//! the numpy array that joblib makes of them. How many bytes there are is reckoned from a checked dtype.

use super::arena::{Arena, NodeKind, NO_GLOBAL};
use super::judged::Origin;
use super::value::Symbol;
use super::{Outcome, Plan, Settings, Symbolic};
use crate::domain::Domain;
use crate::error::{Fault, FaultBox, FaultKind, Site};
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
    /// For each of these what makes the array.
    pub arrays: Vec<Contents>,
    /// It ends at an array of which nobody can say how long it is: not broken, but not understood.
    pub obscure: bool,
}

/// What stands behind an array wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The array's own bytes, so many at the end of the part.
    Bytes {
        /// How many.
        length: usize,
        /// Whether they are in the order of Fortran.
        fortran: bool,
    },
    /// A pickle of the array.
    Pickle,
}

const OBSCURE: &str = "an array wrapper whose dtype does not say how many bytes follow";

/// Whether a name is that of joblib's array wrapper, so that a stream with it is also read in joblib's layout.
pub fn is_wrapper(module: &str, qualname: &str) -> bool {
    qualname == WRAPPER && MODULES.contains(&module)
}

/// Checks a stream in joblib's layout against a policy.
pub fn verify_joblib(data: &[u8], policy: &Policy, limits: &Limits, settings: &Settings<'_>) -> Laid {
    let domain = Symbolic::new((data, &[]), Vec::new(), policy, limits, settings, Box::<Arena>::default());
    let machine = Machine::new(data, domain, Memo::noting(), settings.fix_imports);
    let terms = Terms { policy, limits, settings };
    let mut walk = Walk { machine, reader: Reader::new(data), data, terms, foreign: Vec::new(), arrays: Vec::new() };
    let fault = walk.run().err();
    let Walk { mut machine, reader, foreign, arrays, .. } = walk;
    let (protocol, stored, farthest) = (machine.protocol(), machine.memo.len(), machine.memo.farthest());
    let (_, reads) = machine.memo.take_parts();
    let Symbolic { mut globals, findings, dunder_states, buffer, .. } = machine.domain;
    let (end, globals) = (reader.offset(), globals.take());
    let plan = Plan { stored, farthest, buffer, reads, end, protocol, dunder_states, globals, ..Plan::default() };
    let obscure =
        fault.as_ref().is_some_and(|fault| matches!(&fault.kind, FaultKind::Malformed(what) if what == OBSCURE));
    Laid { outcome: Outcome { plan: Box::new(plan), findings, fault, freed: 0 }, foreign, arrays, obscure }
}

/// What a stream is checked by.
#[derive(Clone, Copy)]
struct Terms<'p> {
    policy: &'p Policy,
    limits: &'p Limits,
    settings: &'p Settings<'p>,
}

struct Walk<'a, 'p> {
    machine: Machine<'a, Symbolic<'a, 'p>>,
    reader: Reader<'a>,
    data: &'a [u8],
    terms: Terms<'p>,
    foreign: Vec<Range<usize>>,
    arrays: Vec<Contents>,
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
            return Err(Fault::malformed(site, OBSCURE));
        };
        let from = self.reader.offset();
        self.arrays.push(match extent {
            Extent::References => Contents::Pickle,
            Extent::Bytes(length) => Contents::Bytes { length: length as usize, fortran: wrapped.fortran },
        });
        let array = match extent {
            Extent::References => self.pickle()?,
            Extent::Bytes(length) => {
                if wrapped.padded {
                    let padding = self.reader.raw(1)?.first().copied().unwrap_or(0);
                    self.reader.raw(padding.into())?;
                }
                let raw = self.reader.raw(length)?;
                let domain = &mut self.machine.domain;
                let bytes = domain.bytes(raw)?;
                domain.made_array(&wrapped, bytes, site)?
            }
        };
        self.foreign.push(from..self.reader.offset());
        self.machine.replace_top(array);
        Ok(())
    }

    /// The array of objects that a pickle of its own makes, in stock layout. The domain goes through it with the other
    /// stream, so that rules see into the array; stack and memo are its own.
    fn pickle(&mut self) -> Result<Symbol, FaultBox> {
        let from = self.reader.offset();
        let Terms { policy, limits, settings } = self.terms;
        let idle = Symbolic::new((self.data, &[]), Vec::new(), policy, limits, settings, Box::<Arena>::default());
        let domain = std::mem::replace(&mut self.machine.domain, idle);
        let mut inner = Machine::new(self.data, domain, Memo::noting(), settings.fix_imports);
        let mut reader = Reader::from_offset(self.data, from);
        let made = loop {
            match inner.advance(&mut reader) {
                Ok(None) => {}
                Ok(Some(array)) => break Ok(array),
                Err(fault) => break Err(fault),
            }
        };
        self.machine.domain = inner.domain;
        self.reader.raw((reader.offset() - from) as u64)?;
        made
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

    /// The array, made as numpy's own pickles make one: empty, of its class, then given its state.
    fn made_array(&mut self, wrapped: &Wrapped, bytes: Symbol, site: Site) -> Result<Symbol, FaultBox> {
        let function = self.named("numpy._core.multiarray", "_reconstruct", false, Origin::Implied, site)?;
        let empty = Symbol::Node(self.arena.tuple(&[Symbol::Int(0)]));
        let code = Symbol::HeldBytes(self.hold(Cow::Borrowed(b"b")));
        let arguments = Symbol::Node(self.arena.tuple(&[wrapped.class, empty, code]));
        let array = self.call(function, arguments, site)?;
        let fortran = Symbol::Bool(wrapped.fortran);
        let state = Symbol::Node(self.arena.tuple(&[Symbol::Int(1), wrapped.shape, wrapped.dtype, fortran, bytes]));
        self.set_state(&array, state, site)?;
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::test_settings;

    /// A list of an array of three bytes and `last`, in joblib's layout.
    fn stream(raw: &[u8], last: &[u8]) -> Vec<u8> {
        let head: &[u8] = b"\x80\x02]q\0(cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x08\0\0\0subclass\
cnumpy\nndarray\nX\x05\0\0\0shapeK\x03\x85X\x05\0\0\0orderX\x01\0\0\0CX\x05\0\0\0dtypecnumpy\ndtype\n\
(X\x02\0\0\0u1\x89\x88tR(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbub";
        [head, raw, last, b"e."].concat()
    }

    fn laid(data: &[u8]) -> Laid {
        verify_joblib(data, &Policy::default(), &Limits::default(), &test_settings())
    }

    /// Bytes of an array taken for instructions, or instructions for bytes, would check another stream than is loaded.
    #[test]
    fn bytes_behind_a_wrapper_are_passed_over() {
        let data = stream(b"\xff.0", b"K\x01");
        let laid = laid(&data);
        assert!(laid.outcome.fault.is_none() && laid.outcome.findings.is_empty(), "{:?}", laid.outcome);
        assert_eq!(laid.outcome.plan.end, data.len());
        assert_eq!((laid.foreign.len(), &laid.foreign[0]), (1, &(data.len() - 7..data.len() - 4)));
    }

    /// What stands behind the bytes is checked like all else.
    #[test]
    fn the_stream_goes_on_behind_them() {
        let laid = laid(&stream(b"abc", b"cos\nsystem\n"));
        let names: Vec<_> = laid.outcome.findings.iter().map(|finding| finding.name.as_deref()).collect();
        assert_eq!(names, [Some("os.system")]);
        // named, and in the list
    }

    /// A file reader would take the bytes from behind the frame, and the rest of the frame afterwards.
    #[test]
    fn bytes_within_a_frame_have_no_one_meaning() {
        let mut data = stream(b"abc", b"N");
        let length = data.len() as u64 - 2;
        data.splice(2..2, [&b"\x95"[..], &length.to_le_bytes()].concat());
        assert!(laid(&data).outcome.fault.is_some_and(|fault| fault.to_string().contains("within a frame")));
    }

    /// Fewer bytes than the dtype says are a file cut off.
    #[test]
    fn missing_bytes_are_a_fault() {
        let data = stream(b"", b"");
        assert!(laid(&data[..data.len() - 1]).outcome.fault.is_some());
    }
}
