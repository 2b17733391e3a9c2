//! torshi-scan: files in, verdicts out.
//!
//! path -> `run` -> bytes -> `walk` (formats told by content, containers taken apart within limits)
//! -> `pickles` (every pickle checked by torshi-core's one machine) -> `result`. It reads files and never
//! writes one; it builds nothing, runs nothing, and asks neither Python nor a file's name what a file is.
#![forbid(unsafe_code)]

pub mod code;
mod expand;
mod format;
mod hidden;
pub mod limits;
mod nested;
mod npy;
mod paths;
mod pickles;
pub mod result;
pub mod run;
mod tarball;
mod walk;
mod zip;

pub use limits::ScanLimits;
pub use result::{FileResult, Verdict};
pub use run::{Progress, Run};
pub use walk::{pickles_of, scan_bytes, FoundPickle, Settings};
