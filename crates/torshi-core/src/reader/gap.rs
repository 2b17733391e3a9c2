//! Gaps: where a stream lacks a long payload, because it was read into an object of its own. What stands around a gap
//! is read as if the payload were there; what is in it is known by its place among the gaps.

/// Bytes from which on a payload may be kept apart: those of `bytes` and `bytearray` objects outside frames.
pub const APART: u64 = 1 << 20;

/// A payload that is not in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it would begin, in the stream without payloads.
    pub at: usize,
    /// The bytes it has; at least `APART`.
    pub length: usize,
}

/// Where an offset of a stream with gaps lies in the stream as it was written. `gaps` are in stream order.
pub fn whole_offset(gaps: &[Gap], offset: usize) -> usize {
    let before = gaps.iter().take_while(|gap| gap.at <= offset);
    before.fold(offset, |offset, gap| offset.saturating_add(gap.length))
}

/// What an opcode of bytes has as its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Bytes of the stream.
    Here(&'a [u8]),
    /// The payload of a gap, by its place among the gaps.
    Apart(usize),
}
