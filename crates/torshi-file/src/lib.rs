//! The format of torshi's files: a pickle stream, and what follows it so that damage, forgery and age show.
//! Bytes into manifests, digests and seals, and back; it opens no file, knows no Python and reads no pickle.
//!
//! ```text
//! pickle stream | zeros up to 64 | head | manifest | seals | tail
//! ```
//!
//! Stock pickle stops at STOP and never sees what follows. In a compressed file the stream is compressed alone, and
//! `head | manifest | seals | tail` stands in what the ordinary tool skips: a skippable frame of zstd and lz4, an extra
//! field of an empty gzip member.
//!
//! * The **digest** is BLAKE3 over the stream, in which each buffer of the manifest's table stands as its own BLAKE3
//!   digest. Without large buffers that is what `b3sum` says of the stream; with them, a reader that maps a buffer can
//!   check everything else at once and the buffer later.
//! * The **manifest** names the digest and the length of the stream, and so belongs to that stream alone.
//! * The **tail** has the manifest's length and digest, and a check over itself and the seals.
//! * A **seal** covers lengths and digests of stream and manifest, and the seals before it, so everything that stands before
//!   it. A seal of another file does not fit, nor does one that others stood before; the last one taken away leaves the file
//!   as it was before that seal.
//! * A **proof** stands outside of the file, with whoever keeps it beside: it is over the stream alone, and quicker to compare.
//! * A file without a tail is a plain pickle: nobody vouches for it. One with a head and no tail at its very end is damaged.

#![forbid(unsafe_code)]

pub mod compress;
pub mod digest;
pub mod layout;
pub mod manifest;
pub mod proof;
pub mod seal;
