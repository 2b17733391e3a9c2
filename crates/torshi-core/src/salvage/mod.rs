//! Salvage: a pickle that breaks off, or is damaged from some place on, into one that ends. What stands before the fault
//! is kept as it is; instructions behind it put away what was begun and is not whole, fill the containers that were
//! being filled, and stop. What comes out is a pickle like any other: it is checked and built as one. Nothing is built
//! here, and no value is made up: what might be a part of something unfinished is not taken for a whole.

mod closing;
mod parts;

use crate::error::FaultBox;
use crate::graph::{trace, Bounds, Trace};
use crate::opcode::Opcode;
use crate::reader::{Argument, Reader};
use crate::symbolic::Settings;

/// What to do with containers that were being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// The outermost is kept with its whole items, and so are those that are values of a dict that is kept; one that is
    /// an item of a list or set is an item that is not whole.
    Usual,
    /// Only the outermost.
    Drop,
    /// All that have whole items.
    Keep,
}

/// A container that is kept and was not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands.
    pub path: String,
    /// Items or pairs it has.
    pub items: u64,
}

/// What could be saved.
#[derive(Debug)]
pub struct Salvaged {
    /// A pickle of what is whole; `None` if nothing is. Its frames say nothing, so it is to be written anew.
    pub stream: Option<Vec<u8>>,
    /// Containers that are not as long as they were to be, outermost first.
    pub kept: Vec<Kept>,
    /// Where the first thing stands that was begun and is left out.
    pub dropped: Option<String>,
    /// What had to be guessed, in words.
    pub guesses: Vec<String>,
    /// What is wrong; `None`: the pickle is whole.
    pub fault: Option<FaultBox>,
    /// Bytes up to the fault, or of the pickle.
    pub end: usize,
}

/// Saves what is whole of the first pickle of some data.
pub fn salvage(data: &[u8], settings: &Settings<'_>, incomplete: Incomplete) -> Salvaged {
    let plain = without_frames(data);
    let whole = run(&plain, settings);
    let Some(fault) = whole.fault else {
        let stream = Some(plain[..whole.end].to_vec());
        let (kept, dropped, guesses) = (Vec::new(), None, Vec::new());
        return Salvaged { stream, kept, dropped, guesses, fault: None, end: whole.end };
    };
    // An instruction that fails may have taken something from the stack already: once more, without it.
    let before = &plain[..fault.offset.min(plain.len())];
    let trace = run(before, settings);
    let done = closing::close(&trace, incomplete);
    let stream = done.suffix.map(|suffix| [before, &suffix].concat());
    let (kept, dropped, guesses) = (done.kept, done.dropped, done.guesses);
    Salvaged { stream, kept, dropped, guesses, end: fault.offset, fault: Some(fault) }
}

fn run<'a, 's>(data: &'a [u8], settings: &'s Settings<'s>) -> Trace<'a, 's> {
    // Every node and every part takes a byte of the stream.
    let bounds = Bounds { nodes: data.len() + 1, edges: 2 * data.len() + 1, atoms: 0, calls: 0 };
    trace(data, settings, bounds, Vec::new())
}

/// The same instructions at the same places, with frames of no length: one that was cut is longer than what is left, and
/// lengths of frames mean nothing.
fn without_frames(data: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(data);
    let mut frames = Vec::new();
    let mut end = data.len();
    while let Ok(opcode) = reader.opcode() {
        let at = reader.offset();
        match (opcode, reader.argument()) {
            (Opcode::Frame, Ok(Argument::Uint(_))) => frames.push(at),
            (Opcode::Stop, _) => {
                end = at; // what follows may be many pickles more
                break;
            }
            (_, Ok(_)) => {}
            (_, Err(_)) => break,
        }
    }
    let mut plain = data[..end].to_vec();
    frames.into_iter().for_each(|at| plain[at..at + 8].fill(0));
    plain
}

#[cfg(test)]
mod tests;
