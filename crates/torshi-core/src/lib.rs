//! torshi-core: pickle byte streams in, meaning out.
//!
//! bytes -> `reader` -> `machine` -> a domain (the symbolic check, the inspection graph, or the
//! builder of Python objects in another crate). Nothing here knows Python, does I/O or reads a clock.
#![forbid(unsafe_code)]

pub mod compat;
pub mod disassemble;
pub mod domain;
pub mod error;
pub mod finding;
pub mod graph;
pub mod json;
pub mod limits;
pub mod literal;
pub mod machine;
pub mod memo;
pub mod opcode;
pub mod policy;
pub mod preview;
pub mod reader;
pub mod renames;
pub mod report;
pub mod rewrite;
pub mod salvage;
pub mod sniff;
pub mod symbolic;
