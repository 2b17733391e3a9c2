//! torshi-core: pickle byte streams in, meaning out.
//!
//! bytes -> `source` -> `reader` -> `machine` -> a domain (symbolic check, inspection graph, or the
//! builder of Python objects in another crate). Nothing here knows Python, does I/O or reads a clock.
#![forbid(unsafe_code)]

pub mod compat;
pub mod policy;
