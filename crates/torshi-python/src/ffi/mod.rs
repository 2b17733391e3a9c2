//! The only place for `unsafe`: safe functions over CPython's C API.

pub mod gc;
pub mod make;
