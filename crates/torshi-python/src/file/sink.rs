//! A stream to a file: digested in the pass that writes it, with a table of its large buffers. What others could change
//! while it is written is copied piece by piece, so that digest and file are of the same bytes, and no buffer is held
//! twice.

use super::raised;
use crate::encoder::Names;
use crate::ffi::descriptor;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::thread;
use torshi_core::reader::APART;
use torshi_file::compress::{is_worth_compressing, Packer, Way};
use torshi_file::digest::{digest_of, Digest, StreamDigest};
use torshi_file::layout::ALIGNMENT;
use torshi_file::proof::{StreamProof, PROOF};

/// Bytes that are copied, digested and written at a time: they stay in the processor's own memory meanwhile.
const PIECE: usize = 1 << 20;
/// Pieces in memory while one thread writes them and another digests them.
const PIECES: usize = 4;
/// Bytes from which on digesting beside writing is worth a thread.
const BESIDE: usize = 4 << 20;
/// Bytes from which on the disk is told to begin: it writes while the next ones are digested, and not at the end alone.
const STORE: u64 = 8 << 20;
/// Bytes between two words to the one who watches.
const REPORT: u64 = 8 << 20;

/// What a run of bytes is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// A long text: a part of the stream like any other.
    Part,
    /// One that has a place in the table of buffers.
    Buffer {
        /// It may come back as another buffer.
        lent: bool,
    },
}

/// A buffer in the table: offset, length, digest, lent.
pub type Entry = (u64, u64, Digest, bool);

/// A file that Python opened.
pub enum Target {
    /// By its descriptor.
    Descriptor(i32),
    /// By its `write`.
    Object(Py<PyAny>),
}

impl Write for Target {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Target::Descriptor(fd) => descriptor::write(*fd, data),
            Target::Object(write) => Python::attach(|py| {
                let piece = &data[..data.len().min(PIECE)];
                write.call1(py, (PyBytes::new(py, piece),)).map_err(io::Error::other)?;
                Ok(piece.len())
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file, compressed or not.
enum Output {
    Plain(Target),
    Packed(Box<Packer<Target>>),
    /// The last frame has ended.
    Done,
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Output::Plain(target) => target.write(data),
            Output::Packed(packer) => packer.write(data),
            Output::Done => Err(io::Error::other("the stream has ended")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// Has the disk begin with a part of a file that is written as it stands.
    fn begin_to_store(&self, offset: u64, length: u64) {
        if let Output::Plain(Target::Descriptor(fd)) = self {
            descriptor::begin_to_store(*fd, offset, length);
        }
    }
}

/// A stream on its way to a file.
pub struct FileSink {
    output: Output,
    digest: StreamDigest,
    proof: Option<StreamProof>,
    written: u64,
    buffers: Vec<Entry>,
    names: Names,
    progress: Option<Py<PyAny>>,
    reported: u64,
    /// As far as the disk has been told to begin.
    begun: u64,
}

impl FileSink {
    /// Bytes from which on a buffer has a place in the table.
    pub const LONG: usize = APART as usize;

    /// Nothing written so far.
    pub fn new(target: Target, way: Option<Way>, progress: Option<Py<PyAny>>) -> PyResult<Self> {
        let output = match way {
            Some(way) => Output::Packed(Box::new(Packer::new(way, target).map_err(raised)?)),
            None => Output::Plain(target),
        };
        Ok(FileSink {
            output,
            digest: StreamDigest::default(),
            proof: None,
            written: 0,
            buffers: Vec::new(),
            names: Names::default(),
            progress,
            reported: 0,
            begun: 0,
        })
    }

    /// Has a proof of the stream be made in the same pass.
    pub fn proving(mut self, proof: Option<StreamProof>) -> Self {
        self.proof = proof;
        self
    }

    /// The proof of what was written, if one was made.
    pub fn proof(&mut self) -> Option<[u8; PROOF]> {
        self.proof.take().map(StreamProof::finish)
    }

    /// Where the names of the stream are put down.
    pub fn names(&self) -> Names {
        Names::clone(&self.names)
    }

    /// How many bytes to put in before the next `ahead`, so that what follows these is aligned; none, or three and more.
    pub fn filler(&self, ahead: usize) -> usize {
        let missing = ((self.written + ahead as u64).wrapping_neg() % ALIGNMENT) as usize;
        match missing {
            1 | 2 => missing + ALIGNMENT as usize,
            _ => missing,
        }
    }

    /// Bytes of the stream that nobody can change.
    pub fn part(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        let (digest, proof, output) = (&mut self.digest, &mut self.proof, &mut self.output);
        py.detach(|| {
            digest.part(bytes);
            proof.iter_mut().for_each(|proof| proof.part(bytes));
            output.write_all(bytes)
        })
        .map_err(raised)?;
        self.written += bytes.len() as u64;
        self.report(py)
    }

    /// A long run of the stream, in somebody's memory.
    pub fn run(&mut self, py: Python<'_>, bytes: &[u8], run: Run) -> PyResult<()> {
        let offset = self.written;
        if let Output::Packed(packer) = &mut self.output {
            packer.pass(!is_worth_compressing(bytes)).map_err(raised)?;
        }
        self.put(py, bytes, run, offset)?;
        match &mut self.output {
            Output::Packed(packer) => packer.pass(false).map_err(raised),
            _ => Ok(()),
        }
    }

    fn put(&mut self, py: Python<'_>, bytes: &[u8], run: Run, offset: u64) -> PyResult<()> {
        match run {
            Run::Part => bytes.chunks(PIECE).try_for_each(|piece| {
                let copy = piece.to_vec();
                self.part(py, &copy)
            })?,
            Run::Buffer { lent } => {
                let digest = match bytes.len() >= BESIDE {
                    true => self.beside(py, bytes)?,
                    false => {
                        let copy = bytes.to_vec();
                        self.piece(py, &copy)?;
                        py.detach(|| digest_of(&copy))
                    }
                };
                self.digest.buffer(&digest);
                self.buffers.push((offset, bytes.len() as u64, digest, lent));
            }
        }
        Ok(())
    }

    fn piece(&mut self, py: Python<'_>, piece: &[u8]) -> PyResult<()> {
        let (proof, output) = (&mut self.proof, &mut self.output);
        let (begun, ahead) = (self.begun, self.written + piece.len() as u64);
        let store = ahead - begun >= STORE;
        py.detach(|| {
            proof.iter_mut().for_each(|proof| proof.part(piece));
            output.write_all(piece)?;
            if store {
                output.begin_to_store(begun, ahead - begun);
            }
            Ok(())
        })
        .map_err(raised)?;
        if store {
            self.begun = ahead;
        }
        self.written = ahead;
        self.report(py)
    }

    /// Writes in this thread and digests in another.
    fn beside(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<Digest> {
        thread::scope(|scope| {
            let (hand, pieces) = sync_channel::<Arc<Vec<u8>>>(PIECES - 3);
            let work = move || {
                let mut hasher = blake3::Hasher::new();
                for piece in pieces {
                    hasher.update(&piece);
                }
                *hasher.finalize().as_bytes()
            };
            let digesting = thread::Builder::new().spawn_scoped(scope, work).map_err(raised)?;
            // One is written, one digested, the others wait.
            let mut spare: [Arc<Vec<u8>>; PIECES] = Default::default();
            for (turn, source) in bytes.chunks(PIECE).enumerate() {
                let place = &mut spare[turn % PIECES];
                let piece = match Arc::get_mut(place) {
                    Some(piece) => piece,
                    None => {
                        *place = Arc::default();
                        Arc::get_mut(place).expect("a new one has one owner")
                    }
                };
                piece.clear();
                piece.extend_from_slice(source);
                let piece = Arc::clone(place);
                // Fails only if the other thread is gone, which then says so below.
                let _ = py.detach(|| hand.send(Arc::clone(&piece)));
                self.piece(py, &piece)?;
            }
            drop(hand);
            py.detach(|| digesting.join()).map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("digesting failed"))
        })
    }

    fn report(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.written - self.reported >= REPORT {
            self.reported = self.written;
            py.check_signals()?;
            if let Some(progress) = &self.progress {
                progress.call1(py, (self.written,))?;
            }
        }
        Ok(())
    }

    /// What came of the stream: its length, digest, buffers and names.
    pub fn finish(&mut self) -> PyResult<(u64, Digest, Vec<Entry>, Vec<String>)> {
        if let Output::Packed(packer) = std::mem::replace(&mut self.output, Output::Done) {
            packer.finish().map_err(raised)?;
        }
        let (buffers, mut names) = (std::mem::take(&mut self.buffers), self.names.take());
        names.sort_unstable();
        names.dedup();
        Ok((self.written, self.digest.finish(), buffers, names))
    }
}
