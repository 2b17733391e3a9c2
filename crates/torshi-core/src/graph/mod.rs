//! The inspection domain: runs a stream on nodes that only describe it. It needs no policy and refuses
//! nothing but what the machine itself refuses; it yields what stands where, by byte range and by path. It
//! never imports, calls or judges, and its memory is bounded whatever the stream says.

mod domain;
mod name;
mod node;
mod path;
mod tree;

use crate::error::{FaultBox, Site};
use crate::machine::Machine;
use crate::memo::Memo;
use crate::reader::Reader;
use crate::symbolic::Settings;
pub use node::{Arena, Bounds, Naming, Node, Role, Shape, Value, What};
pub(crate) use path::place_findings;
pub use path::{add_paths, add_paths_around, locate, Paths, Step};
use std::ops::Range;
pub use tree::{tree, Child, TreeBounds, TreeNode};

/// A call the stream would make.
#[derive(Clone, Copy, Debug)]
pub struct CallSite {
    /// Where.
    pub site: Site,
    /// What is called; for BUILD, what gets the state.
    pub callable: Value,
    /// What it makes or changes.
    pub made: Value,
}

/// The graph of a stream.
pub struct Graph<'a, 's> {
    data: &'a [u8],
    settings: &'s Settings<'s>,
    /// Its nodes.
    pub arena: Arena,
    /// Its calls, in stream order.
    pub calls: Vec<CallSite>,
    /// Calls beyond the bound.
    pub calls_left_out: u64,
    bounds: Bounds,
    /// Offset of the instruction that runs.
    position: usize,
    /// Nodes made or filled by the instruction that runs.
    touched: Vec<u32>,
    watched: Vec<usize>,
    seen: Vec<(usize, Value)>,
}

/// What running a stream on a graph tells.
pub struct Trace<'a, 's> {
    /// The graph, up to the end or the fault.
    pub graph: Graph<'a, 's>,
    /// The value of the pickle, if it came to its STOP.
    pub root: Option<Value>,
    /// What stands on the stack otherwise, deepest first.
    pub stack: Vec<Value>,
    /// Where the marks stand on it.
    pub marks: Vec<usize>,
    /// Why the stream cannot be read on, if so.
    pub fault: Option<FaultBox>,
    /// Where reading ended: right behind STOP, or in the instruction at fault.
    pub end: usize,
    /// Instructions run.
    pub steps: u64,
    /// The protocol declared last.
    pub protocol: u8,
    /// Which protocols the instructions used belong to, as bits.
    pub protocols: u8,
}

/// Runs a stream on a graph, noting what the instructions at the `watched` offsets make or change.
pub fn trace<'a, 's>(data: &'a [u8], settings: &'s Settings<'s>, bounds: Bounds, watched: Vec<usize>) -> Trace<'a, 's> {
    trace_around(data, settings, bounds, watched, &[])
}

/// The same, passing over parts that are no instructions: of a layout in which there are such, in stream order.
pub(crate) fn trace_around<'a, 's>(
    data: &'a [u8], settings: &'s Settings<'s>, bounds: Bounds, mut watched: Vec<usize>, foreign: &[Range<usize>],
) -> Trace<'a, 's> {
    watched.sort_unstable();
    let graph = Graph {
        data,
        settings,
        arena: Arena::new(bounds),
        calls: Vec::new(),
        calls_left_out: 0,
        bounds,
        position: 0,
        touched: Vec::new(),
        watched,
        seen: Vec::new(),
    };
    let memo = Memo::keeping_all().behind(settings.earlier);
    let mut machine = Machine::new(data, graph, memo, settings.fix_imports);
    let mut reader = Reader::new(data);
    let mut protocols = 0u8;
    let mut foreign = foreign.iter().peekable();
    let ran = loop {
        if let Some(part) = foreign.next_if(|part| part.start == reader.offset()) {
            reader = Reader::from_offset(data, part.end);
        }
        machine.domain.begin(reader.offset());
        let step = machine.advance(&mut reader);
        if reader.offset() > machine.domain.position {
            protocols |= 1 << reader.site().opcode.row().protocol;
        }
        machine.domain.finish(reader.offset());
        match step {
            Ok(None) => {}
            Ok(Some(root)) => break Ok(root),
            Err(fault) => break Err(fault),
        }
    };
    let (end, steps, protocol) = (reader.offset(), machine.steps, machine.protocol());
    let (stack, marks) = (machine.stack().to_vec(), machine.marks().to_vec());
    let (root, fault) = match ran {
        Ok(root) => (Some(root), None),
        Err(fault) => (None, Some(fault)),
    };
    Trace { graph: machine.domain, root, stack, marks, fault, end, steps, protocol, protocols }
}

impl<'a> Graph<'a, '_> {
    /// The stream.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    fn begin(&mut self, offset: usize) {
        self.position = offset;
        self.touched.clear();
    }

    fn finish(&mut self, offset: usize) {
        while let Some(id) = self.touched.pop() {
            self.arena.node_mut(id).end = offset;
        }
    }

    fn note(&mut self, site: Site, value: Value) {
        if self.watched.binary_search(&site.offset).is_ok() {
            self.seen.push((site.offset, value));
        }
    }
}

/// What a load offers that knows nothing of its caller, for tests.
#[cfg(test)]
pub(crate) fn test_settings() -> Settings<'static> {
    Settings {
        encoding: crate::symbolic::Encoding::Ascii,
        fix_imports: true,
        persistent: true,
        extension: &|_| None,
        renamed: &|_, _, _| None,
        earlier: 0,
        recall: &|_| None,
    }
}

#[cfg(test)]
mod tests;
