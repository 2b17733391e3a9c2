//! Streams in joblib's layout into pickles. In that layout the raw bytes of an array stand behind the state of a wrapper; in
//! the pickle numpy's own reconstruction of the array takes the wrapper's place. Where the bytes stand is the check's to
//! say, which reads the layout. Nothing of joblib is named in what comes out.
//!
//! Shape, dtype and class of an array are parts of its wrapper's state. They are put into memo slots where they are made,
//! the wrapper and its state are dropped, and the array is made of what is in the slots.

use super::meaning::Atom;
use super::{digest_of, Notes, Refusal, Request, Rewritten, Walk, Writing};
use crate::error::Fault;
use crate::graph::{trace_around, Bounds, Graph, Role, Value, What};
use crate::limits::Limits;
use crate::opcode::Opcode;
use crate::policy::Policy;
use crate::preview;
use crate::reader::Reader;
use crate::symbolic::{is_wrapper, verify_joblib, Contents, Settings};
use rustc_hash::{FxHashMap, FxHashSet};
use std::ops::Range;

/// What makes an array out of nothing, and what it is called.
const MAKER: (&str, &str) = ("numpy._core.multiarray", "_reconstruct");
/// Parts of a wrapper's state that an array is made of, in this order.
const PARTS: [&str; 3] = ["subclass", "shape", "dtype"];

/// Writes the pickle in joblib's layout that data is, as a pickle.
pub fn rewrite_joblib<'a>(
    data: &'a [u8], request: &Request<'_>, settings: &Settings<'_>,
) -> Result<Rewritten<'a>, Refusal> {
    let laid = verify_joblib(data, &Policy::default(), &Limits::default(), settings);
    if let Some(fault) = laid.outcome.fault {
        return Err(fault.into());
    }
    let marks = marks(data, settings, &laid.foreign)?;
    let naming = |module: &str, name: &str| request.renames.of(module, name);
    let layout = Layout { foreign: &laid.foreign, arrays: &laid.arrays, marks };
    let mut first = Walk::new(data, &naming, request.fix_imports);
    let mut passed = 0;
    while first.step()? {
        layout.pass(&mut first, &mut passed);
    }
    let mut writing = Writing::new(request, Notes::of(first));
    let mut arrays = Arrays { layout: &layout, passed: 0, slots: FxHashMap::default(), wrappers: FxHashSet::default() };
    let mut walk = Walk::new(data, &naming, request.fix_imports);
    loop {
        let makes_wrapper = arrays.is_about_to_wrap(&walk);
        if !walk.step()? {
            break;
        }
        arrays.instruction(&mut writing, &mut walk, request, makes_wrapper)?;
    }
    writing.output.finish();
    writing.changes.protocol = walk.machine.protocol();
    let rewritten = writing.done(walk.reader.offset());
    match digest_of(&rewritten) {
        Some(_) if arrays.passed == laid.arrays.len() => Ok(rewritten),
        _ => Err(Refusal::Differs),
    }
}

/// Ends of instructions behind which the value on top is a part of the state of a wrapper: its number, and which part.
type Marks = FxHashMap<usize, Vec<(usize, usize)>>;

struct Layout<'l> {
    foreign: &'l [Range<usize>],
    arrays: &'l [Contents],
    marks: Marks,
}

impl Layout<'_> {
    /// Goes on behind an array, if one follows; which.
    fn pass(&self, walk: &mut Walk<'_, '_>, passed: &mut usize) -> Option<usize> {
        let part = self.foreign.get(*passed).filter(|part| part.start == walk.reader.offset())?;
        walk.reader = Reader::from_offset(walk.data, part.end);
        *passed += 1;
        Some(*passed - 1)
    }
}

/// Finds in the graph of a stream where the parts of each wrapper are made.
fn marks(data: &[u8], settings: &Settings<'_>, foreign: &[Range<usize>]) -> Result<Marks, Refusal> {
    let bounds = Bounds { nodes: data.len() + 1, edges: 2 * data.len() + 1, atoms: u64::MAX, calls: 0 };
    let trace = trace_around(data, settings, bounds, Vec::new(), foreign);
    if let Some(fault) = trace.fault {
        return Err(fault.into());
    }
    let graph = &trace.graph;
    let mut marks = Marks::default();
    let mut wrapper = 0;
    for id in 0..graph.arena.len() as u32 {
        let class = graph.arena.single(id, Role::Callable).and_then(Value::node).and_then(|id| graph.global_name(id));
        if !class.is_some_and(|(module, name)| is_wrapper(&module, &name)) {
            continue;
        }
        let state = graph.arena.single(id, Role::State).and_then(Value::node);
        for (role, value) in state.into_iter().flat_map(|state| graph.arena.parts(state)) {
            let Role::Entry(key) = role else { continue };
            if let Some(part) = PARTS.iter().position(|part| graph.key_text(key) == *part) {
                marks.entry(end_of(graph, value)).or_default().push((wrapper, part));
            }
        }
        wrapper += 1;
    }
    match wrapper == foreign.len() {
        true => Ok(marks),
        false => Err(Refusal::Differs),
    }
}

/// Where the instructions end that made a value, or read it from the memo.
fn end_of(graph: &Graph<'_, '_>, value: Value) -> usize {
    match value.what() {
        What::Node(id) if graph.arena.node(id).start == value.from => graph.arena.node(id).end,
        _ => preview::instruction_end(graph.data(), value.from),
    }
}

struct Arrays<'l> {
    layout: &'l Layout<'l>,
    passed: usize,
    /// The slots of the parts of each wrapper.
    slots: FxHashMap<(usize, usize), u32>,
    /// Numbers of the wrappers' class, by every time it is named.
    wrappers: FxHashSet<u64>,
}

impl Arrays<'_> {
    /// Whether the next instruction makes a wrapper.
    fn is_about_to_wrap(&self, walk: &Walk<'_, '_>) -> bool {
        let next = walk.data.get(walk.reader.offset()) == Some(&(Opcode::Newobj as u8));
        let class = walk.machine.stack().iter().rev().nth(1).and_then(|value| value.number());
        next && class.is_some_and(|class| self.wrappers.contains(&class))
    }

    /// Writes what an instruction is to be, and the array that follows it.
    fn instruction<'a>(
        &mut self, writing: &mut Writing<'a>, walk: &mut Walk<'a, '_>, request: &Request<'_>, makes_wrapper: bool,
    ) -> Result<(), Refusal> {
        let end = walk.reader.offset();
        let named = walk.machine.domain.named.as_ref();
        if makes_wrapper {
            writing.output.op(Opcode::Pop); // the arguments; what stands for the class stands for the wrapper
        } else if named.is_some_and(|named| is_wrapper(&named.old.0, &named.old.1)) {
            let operands = walk.machine.domain.operands.iter().flatten().count();
            (0..operands).for_each(|_| writing.output.op(Opcode::Pop));
            writing.output.atom(&Atom::None);
            self.wrappers.extend(walk.machine.stack().last().and_then(|value| value.number()));
        } else if let Some(array) = self.layout.pass(walk, &mut self.passed) {
            (0..2).for_each(|_| writing.output.op(Opcode::Pop)); // the state, and what stands for the wrapper
            return self.array(writing, walk.data, array, request);
        } else {
            writing.instruction(walk, request.protocol)?;
        }
        for mark in self.layout.marks.get(&end).into_iter().flatten() {
            let slot = writing.output.put();
            self.slots.insert(*mark, slot);
        }
        Ok(())
    }

    fn array<'a>(
        &self, writing: &mut Writing<'a>, data: &'a [u8], array: usize, request: &Request<'_>,
    ) -> Result<(), Refusal> {
        use Opcode as O;
        let part = self.layout.foreign[array].clone();
        let Contents::Bytes { length, fortran } = self.layout.arrays[array] else {
            return inline(writing, &data[part], request);
        };
        let parts = [0, 1, 2].map(|part| self.slots.get(&(array, part)).copied());
        let [Some(class), Some(shape), Some(dtype)] = parts else { return Err(Refusal::Differs) };
        let output = &mut writing.output;
        output.turn();
        output.global(MAKER.0, MAKER.1);
        output.get(class);
        output.atom(&Atom::Int(0));
        output.op(O::Tuple1);
        output.atom(&Atom::Bytes(b"b"));
        [O::Tuple3, O::Reduce, O::Mark].into_iter().for_each(|opcode| output.op(opcode));
        output.atom(&Atom::Int(1));
        output.get(shape);
        output.get(dtype);
        output.atom(&Atom::Bool(fortran));
        output.atom(&Atom::Bytes(&data[part.end - length..part.end]));
        output.op(O::Tuple);
        output.op(O::Build);
        writing.names.push(format!("{}:{}", MAKER.0, MAKER.1));
        Ok(())
    }
}

/// Writes a pickle in the midst of another: its memo is its own.
fn inline<'a>(writing: &mut Writing<'a>, data: &'a [u8], request: &Request<'_>) -> Result<(), Refusal> {
    let naming = |module: &str, name: &str| request.renames.of(module, name);
    let mut first = Walk::new(data, &naming, request.fix_imports);
    while first.step()? {}
    let notes = std::mem::replace(&mut writing.notes, Notes::of(first));
    let slots = std::mem::take(&mut writing.slots);
    let mut walk = Walk::new(data, &naming, request.fix_imports);
    while walk.step()? {
        if walk.machine.domain.named.as_ref().is_some_and(|named| is_wrapper(&named.old.0, &named.old.1)) {
            return Err(Fault::malformed(walk.site(), "an array wrapper within an array of objects").into());
        }
        writing.instruction(&walk, request.protocol)?;
    }
    (writing.notes, writing.slots) = (notes, slots);
    Ok(())
}
