//! The only place where `unsafe` is allowed: safe, small doors into the interpreter's innards.
//!
//! `peek` reads objects without calling them, `place` knows where one was found, `output` builds the result bytes, `call` calls and
//! constructs with every failure handed back as an error (pyo3's own constructors panic when
//! memory runs out), `attribute` sets attributes, `held` owns the references of a memo, `make` makes and fills objects, `gc`
//! pauses the cyclic collector, `arena` has memory for many objects, `blank` has objects that files fill, `fresh` copies
//! into new memory, `shape` fills dicts whose keys are known, `text` makes strings, `short`
//! most of them, `descriptor` writes to and reads from files
//! that Python opened, `mapping` has their bytes without reading them, `strided` (with `squares`) brings the elements of arrays
//! into order, `wide` runs loops on the widest registers.

pub mod arena;
pub mod attribute;
pub mod blank;
pub mod call;
pub mod descriptor;
pub mod fresh;
pub mod gc;
pub mod held;
pub mod instance;
pub mod make;
pub mod mapping;
pub mod output;
pub mod peek;
pub mod place;
pub mod shape;
pub mod short;
mod squares;
pub mod strided;
pub mod text;
pub mod value;
pub mod watched;
pub mod wide;
