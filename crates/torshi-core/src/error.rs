//! Faults: why a stream cannot be read. A fault names the place (offset, opcode) and what is wrong;
//! it never carries the stream's data beyond a short excerpt, and never knows Python.

use crate::opcode::Opcode;
use std::fmt;

/// Where in the stream something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Byte offset of the opcode from the start of the stream.
    pub offset: usize,
    /// The opcode.
    pub opcode: Opcode,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The stream ends where an opcode should be.
    EndOfStream,
    /// An argument needs `need` bytes and fewer are there.
    Truncated {
        /// Bytes the argument declares.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// A line argument has no end.
    UnendedLine,
    /// No such opcode.
    UnknownOpcode(u8),
    /// The stream breaks a rule of the format or of the machine.
    Malformed(String),
    /// Like `Malformed`, for what stock pickle answers with `ValueError`.
    BadValue(String),
    /// A name that is not UTF-8.
    BadText(String),
    /// Like `Malformed`, in the very words of stock pickle, which programs compare.
    Verbatim(&'static str),
    /// Like `Malformed`, for what stock pickle answers with `TypeError`.
    BadType(String),
    /// An explicit limit is passed.
    Limit {
        /// Name of the limit, as in `Limits`.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// What passed it.
        detail: String,
    },
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset of the opcode at fault.
    pub offset: usize,
    /// The opcode at fault, unless there is none.
    pub opcode: Option<Opcode>,
    /// What is wrong.
    pub kind: FaultKind,
}

/// Boxed so that the `Result` of every step stays two words.
pub type FaultBox = Box<Fault>;

impl Fault {
    /// A fault of the given kind at a place.
    #[cold]
    pub fn new(site: Site, kind: FaultKind) -> FaultBox {
        Box::new(Fault { offset: site.offset, opcode: Some(site.opcode), kind })
    }

    /// A broken rule of the format.
    #[cold]
    pub fn malformed(site: Site, what: impl Into<String>) -> FaultBox {
        Fault::new(site, FaultKind::Malformed(what.into()))
    }

    /// A bad literal or number.
    #[cold]
    pub fn bad_value(site: Site, what: impl Into<String>) -> FaultBox {
        Fault::new(site, FaultKind::BadValue(what.into()))
    }

    /// A passed limit.
    #[cold]
    pub fn limit(site: Site, limit: &'static str, value: u64, detail: impl Into<String>) -> FaultBox {
        Fault::new(site, FaultKind::Limit { limit, value, detail: detail.into() })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::EndOfStream if self.offset == 0 => return f.write_str("Ran out of input"),
            FaultKind::EndOfStream => {
                return write!(f, "Ran out of input: no STOP before the end at byte {}", self.offset)
            }
            FaultKind::Truncated { need, have } => {
                write!(f, "pickle data was truncated: {need} bytes declared, {have} left")?
            }
            FaultKind::UnendedLine => f.write_str("pickle data was truncated: line without an end")?,
            FaultKind::UnknownOpcode(byte) => {
                return write!(f, "invalid load key, '{}' at byte {}", byte.escape_ascii(), self.offset)
            }
            FaultKind::Verbatim(what) => return f.write_str(what),
            FaultKind::BadText(what)
            | FaultKind::Malformed(what)
            | FaultKind::BadValue(what)
            | FaultKind::BadType(what) => f.write_str(what)?,
            FaultKind::Limit { limit, value, detail } => write!(f, "{detail}: over the limit {limit}={value}")?,
        }
        match self.opcode {
            Some(opcode) => write!(f, " ({} at byte {})", opcode.name(), self.offset),
            None => write!(f, " (at byte {})", self.offset),
        }
    }
}

impl std::error::Error for Fault {}
