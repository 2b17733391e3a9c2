//! Rewriting: a stream into another of protocol 4 or 5 that builds the same, with some names changed. Nothing of either is
//! run. The stream is read twice, to see what is used for what and to write; then what was written is read as well, and
//! given out only if it makes, fills, names and calls the same in the same order, but for the names.
//!
//! Instructions are kept one by one, so that what is shared stays shared. What changes is their form: text becomes
//! binary, names stand on the stack, every put has a slot of its own, and frames are laid anew.

mod joblib;
mod meaning;
mod names;
mod output;

use crate::error::{Fault, FaultBox, Site};
use crate::machine::Machine;
use crate::memo::Memo;
use crate::opcode::Opcode;
use crate::reader::{Gap, Reader};
pub use joblib::rewrite_joblib;
use meaning::{Meaning, Named, Naming};
pub use names::Renames;
use output::Output;
use rustc_hash::FxHashMap;

/// Protocols that can be written.
pub const PROTOCOLS: std::ops::RangeInclusive<u8> = 4..=5;

/// What to write.
pub struct Request<'r> {
    /// Names to change.
    pub renames: &'r Renames,
    /// Protocol, 4 or 5.
    pub protocol: u8,
    /// Leave out memo slots that nothing reads.
    pub strip: bool,
    /// Whether names of protocols below 3 are those of Python 2.
    pub fix_imports: bool,
}

/// A stream that builds the same as another.
#[derive(Debug)]
pub struct Rewritten<'a> {
    /// The stream without its long payloads.
    pub bytes: Vec<u8>,
    /// Where these belong.
    pub gaps: Vec<Gap>,
    /// These, in the stream that was read.
    pub payloads: Vec<&'a [u8]>,
    /// What is different.
    pub changes: Changes,
    /// Names of the new stream, as `module:qualname`.
    pub names: Vec<String>,
    /// Bytes of the pickle that was read.
    pub end: usize,
}

/// How a stream differs from the one it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The protocol that was declared.
    pub protocol: u8,
    /// Old name, new name, how often it is given.
    pub renamed: Vec<(String, String, u64)>,
    /// Instructions of another form.
    pub reformed: u64,
    /// Memo slots left out.
    pub dropped: u64,
}

/// Why there is no such stream.
#[derive(Debug)]
pub enum Refusal {
    /// The stream is no pickle, or has something that means another thing elsewhere.
    Fault(FaultBox),
    /// What was written is not the same: never the stream's fault.
    Differs,
}

impl From<FaultBox> for Refusal {
    fn from(fault: FaultBox) -> Self {
        Refusal::Fault(fault)
    }
}

/// Writes the first pickle of some data anew.
pub fn rewrite<'a>(data: &'a [u8], request: &Request<'_>) -> Result<Rewritten<'a>, Refusal> {
    let naming = |module: &str, name: &str| request.renames.of(module, name);
    let mut first = Walk::new(data, &naming, request.fix_imports);
    while first.step()? {}
    let digest = first.machine.domain.digest();
    let mut writing = Writing::new(request, Notes::of(first));
    let mut walk = Walk::new(data, &naming, request.fix_imports);
    while walk.step()? {
        writing.instruction(&walk, request.protocol)?;
    }
    writing.output.finish();
    writing.changes.protocol = walk.machine.protocol();
    let end = walk.reader.offset();
    let rewritten = writing.done(end);
    if digest_of(&rewritten) != Some(digest) {
        return Err(Refusal::Differs);
    }
    Ok(rewritten)
}

/// The number of all that a stream does which was written here.
fn digest_of(rewritten: &Rewritten<'_>) -> Option<u64> {
    let domain = Meaning::new(&|_, _| None, &rewritten.payloads);
    let mut machine = Machine::new(&rewritten.bytes, domain, Memo::keeping_all(), true);
    machine.set_gaps(&rewritten.gaps);
    let mut reader = Reader::new(&rewritten.bytes).with_gaps(&rewritten.gaps);
    while machine.advance(&mut reader).ok()?.is_none() {
        machine.domain.begin();
    }
    (reader.offset() == rewritten.bytes.len()).then(|| machine.domain.digest())
}

/// A stream, instruction by instruction.
struct Walk<'a, 's> {
    machine: Machine<'a, Meaning<'a, 's>>,
    reader: Reader<'a>,
    data: &'a [u8],
    start: usize,
}

impl<'a, 's> Walk<'a, 's> {
    fn new(data: &'a [u8], naming: Naming<'s>, fix_imports: bool) -> Self {
        let machine = Machine::new(data, Meaning::new(naming, &[]), Memo::keeping_all(), fix_imports);
        Walk { machine, reader: Reader::new(data), data, start: 0 }
    }

    /// Runs an instruction; `false` after STOP.
    fn step(&mut self) -> Result<bool, FaultBox> {
        self.start = self.reader.offset();
        self.machine.domain.begin();
        let stop = self.machine.advance(&mut self.reader)?.is_some();
        if let Some(named) = &self.machine.domain.named {
            self.see_dots(named)?;
        }
        Ok(!stop)
    }

    /// A dot in a name leads into a class from protocol 4 on only.
    fn see_dots(&self, named: &Named) -> Result<(), FaultBox> {
        match self.machine.protocol() < 4 && named.old.1.contains('.') {
            true => Err(Fault::malformed(self.site(), "a name with a dot means another thing above protocol 3")),
            false => Ok(()),
        }
    }

    fn site(&self) -> Site {
        self.reader.site()
    }

    fn instruction(&self) -> &'a [u8] {
        &self.data[self.start..self.reader.offset()]
    }
}

/// What the first reading saw.
struct Notes {
    /// Whether each put is read.
    read: Vec<bool>,
    /// Whether each text serves only names that are replaced.
    idle: Vec<bool>,
}

impl Notes {
    /// What a stream that was gone through showed.
    fn of(walk: Walk<'_, '_>) -> Self {
        let (read, idle) = walk.machine.domain.into_notes();
        Notes { read, idle }
    }
}

/// A stream that is being written.
struct Writing<'a> {
    output: Output<'a>,
    notes: Notes,
    strip: bool,
    /// The slot of each put.
    slots: Vec<Option<u32>>,
    renamed: FxHashMap<(String, String), u64>,
    names: Vec<String>,
    changes: Changes,
}

impl<'a> Writing<'a> {
    fn new(request: &Request<'_>, notes: Notes) -> Self {
        Writing {
            output: Output::new(request.protocol),
            notes,
            strip: request.strip,
            slots: Vec::new(),
            renamed: FxHashMap::default(),
            names: Vec::new(),
            changes: Changes::default(),
        }
    }

    /// Writes what an instruction, which has just been run, is to be.
    fn instruction(&mut self, walk: &Walk<'a, '_>, protocol: u8) -> Result<(), Refusal> {
        use Opcode as O;
        let opcode = walk.site().opcode;
        if matches!(opcode, O::Proto | O::Frame) {
            return Ok(());
        }
        self.output.turn();
        let (before, frames) = (self.output.bytes.len(), self.output.gaps.len());
        let domain = &walk.machine.domain;
        match opcode {
            O::Put | O::Binput | O::LongBinput | O::Memoize => self.put(walk),
            O::Get | O::Binget | O::LongBinget => self.get(walk)?,
            O::Global | O::StackGlobal | O::Inst => {
                if let Some(named) = &domain.named {
                    self.name(opcode, named, domain.operands, walk.instruction());
                }
            }
            O::List | O::Dict | O::Tuple if self.output.take_mark() => self.output.op(match opcode {
                O::List => O::EmptyList,
                O::Dict => O::EmptyDict,
                _ => O::EmptyTuple,
            }),
            O::Pop if self.output.take_atom() => return Ok(()),
            O::Bytearray8 | O::NextBuffer | O::ReadonlyBuffer if protocol < 5 => {
                let what = "protocol 4 has no such instruction; protocol 5 has";
                return Err(Fault::malformed(walk.site(), what).into());
            }
            _ => match &domain.pushed {
                Some(_) if self.is_idle(self.text_pushed(walk)) => {}
                Some(atom) => self.output.atom(atom),
                None => self.output.verbatim(walk.instruction()),
            },
        }
        let same = frames == self.output.gaps.len()
            && self.output.bytes.get(before..).is_some_and(|written| written == walk.instruction());
        self.changes.reformed += u64::from(!same && walk.instruction().len() < LONG);
        Ok(())
    }

    fn text_pushed(&self, walk: &Walk<'a, '_>) -> Option<usize> {
        walk.machine.stack().last().and_then(|value| value.text())
    }

    fn is_idle(&self, text: Option<usize>) -> bool {
        text.is_some_and(|at| self.notes.idle[at])
    }

    fn put(&mut self, walk: &Walk<'a, '_>) {
        let is_read = self.notes.read.get(self.slots.len()).copied().unwrap_or(false);
        let slot = match self.is_idle(self.text_pushed(walk)) {
            true => None,
            false if self.strip && !is_read => {
                self.changes.dropped += 1;
                None
            }
            false => Some(self.output.put()),
        };
        self.slots.push(slot);
    }

    fn get(&mut self, walk: &Walk<'a, '_>) -> Result<(), Refusal> {
        let Some((put, value)) = walk.machine.domain.fetched else { return Err(Refusal::Differs) };
        match self.slots.get(put).copied().flatten() {
            Some(slot) => self.output.get(slot),
            None if self.is_idle(value.text()) => {}
            None => return Err(Refusal::Differs),
        }
        Ok(())
    }

    fn name(&mut self, opcode: Opcode, named: &Named, operands: [Option<usize>; 2], instruction: &[u8]) {
        let (module, name) = (&named.new.0, &named.new.1);
        match opcode {
            Opcode::Inst => {
                self.output.op(Opcode::Inst);
                self.output.line(module.as_bytes());
                self.output.line(name.as_bytes());
            }
            Opcode::StackGlobal if named.spelled => self.output.verbatim(instruction),
            _ => {
                let kept = operands.iter().filter(|at| at.is_some() && !self.is_idle(**at)).count();
                (0..kept).for_each(|_| self.output.op(Opcode::Pop));
                self.output.global(module, name);
            }
        }
        self.names.push(format!("{module}:{name}"));
        if named.old != named.new {
            let dotted = |(module, name): &(String, String)| format!("{module}.{name}");
            *self.renamed.entry((dotted(&named.old), dotted(&named.new))).or_default() += 1;
        }
    }

    fn done(mut self, end: usize) -> Rewritten<'a> {
        self.names.sort_unstable();
        self.names.dedup();
        let mut renamed: Vec<_> = self.renamed.into_iter().map(|((old, new), count)| (old, new, count)).collect();
        renamed.sort_unstable();
        self.changes.renamed = renamed;
        let Output { bytes, gaps, payloads, .. } = self.output;
        Rewritten { bytes, gaps, payloads, changes: self.changes, names: self.names, end }
    }
}

/// Instructions of at least so many bytes stand in the output in another place, and have one form.
const LONG: usize = 64 << 10;

#[cfg(test)]
mod tests;
