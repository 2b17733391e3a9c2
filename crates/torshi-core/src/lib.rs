//! torshi-core: pickle byte streams in, meaning out.
//!
//! bytes -> `reader` -> `machine` -> a domain (the symbolic check, the inspection graph, or the
//! builder of Python objects in another crate). Nothing here knows Python, does I/O or reads a clock.
#![forbid(unsafe_code)]

pub mod compat;
pub mod domain;
pub mod error;
pub mod finding;
pub mod limits;
pub mod machine;
pub mod memo;
pub mod opcode;
pub mod policy;
pub mod reader;
pub mod symbolic;
