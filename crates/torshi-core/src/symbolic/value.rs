//! Symbols: the values of the checking domain. A symbol is sixteen bytes and never owns data; text
//! and bytes stay in the stream, containers and instances are nodes of the arena.

/// A symbolic value.
///
/// The tag takes a word of its own, so that a copy is two words: with payloads packed beside the tag it is
/// split into odd pieces, and every read right after a write has to wait for them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u64)]
pub enum Symbol {
    /// None.
    None,
    /// A bool.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer, by its two's complement bytes.
    BigInt(Span),
    /// A longer integer, by the place of its two's complement bytes in the side table.
    BigHeld(u32),
    /// An integer of very many digits written as text, by an upper bound of its length in bytes.
    BigText(u32),
    /// A float.
    Float(f64),
    /// Text that stands literally in the stream.
    Text(Span),
    /// Text that had to be decoded, by its place in the side table.
    DecodedText(u32),
    /// Bytes that stand in the stream.
    Bytes(Span),
    /// Bytes so long that they may be kept apart from the stream, or that had to be decoded, by their place in the side
    /// table.
    HeldBytes(u32),
    /// A bytearray that stands in the stream.
    ByteArray(Span),
    /// A bytearray too long for a span, by its place in the side table.
    HeldByteArray(u32),
    // From here on: what containers must remember. In a row, so that telling them apart is one comparison.
    /// An out-of-band buffer: which of those kept apart, or `u32::MAX` for one given with the load.
    Buffer(u32),
    /// A name of the stream, by its place in the table of globals.
    Global(u32),
    /// `cls.__new__` of a class among the globals: only a `functools.partial` may take it.
    New(u32),
    /// A container or instance.
    Node(u32),
    /// An object nothing is known of: a persistent object, or what an unrestricted call made.
    Opaque,
}

impl Symbol {
    /// Plain data without parts: what containers need not remember.
    #[inline(always)]
    pub fn is_atom(&self) -> bool {
        !matches!(self, Symbol::Global(_) | Symbol::New(_) | Symbol::Node(_) | Symbol::Opaque | Symbol::Buffer(_))
    }
}

/// A run of bytes of the stream: 40 bits of offset, 24 of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(u64);

const LENGTH_BITS: u32 = 24;
/// The length from which a span no longer knows its length.
pub(super) const LONGEST: u64 = (1 << LENGTH_BITS) - 1;

impl Span {
    /// The span of `part`, which is a slice of `data`. A part too long to be a name or an argument
    /// anyone checks is kept by its start alone, and reads as unknown.
    #[inline(always)]
    pub fn of(data: &[u8], part: &[u8]) -> Span {
        debug_assert!(part.is_empty() || data.as_ptr_range().contains(&part.as_ptr()), "a span of another stream");
        let at = (part.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize) as u64;
        Span(at << LENGTH_BITS | (part.len() as u64).min(LONGEST))
    }

    /// How many bytes it has; the longest spans count as the bound itself.
    #[inline(always)]
    pub fn len(self) -> u64 {
        self.0 & LONGEST
    }

    /// Whether its length is known.
    #[inline(always)]
    pub fn is_known(self) -> bool {
        self.len() != LONGEST
    }

    /// Where it begins.
    #[inline(always)]
    pub fn offset(self) -> usize {
        (self.0 >> LENGTH_BITS) as usize
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they were too long to be kept.
    #[inline]
    pub fn get(self, data: &[u8]) -> Option<&[u8]> {
        let (at, length) = ((self.0 >> LENGTH_BITS) as usize, self.0 & LONGEST);
        if length == LONGEST {
            return None;
        }
        data.get(at..at + length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symbol that grows slows every instruction of every load.
    #[test]
    fn a_symbol_is_sixteen_bytes() {
        assert_eq!(std::mem::size_of::<Symbol>(), 16);
    }

    /// A span that forgets its place would check one name and import another.
    #[test]
    fn a_span_finds_its_bytes() {
        let data = b"module\nname\n";
        assert_eq!(Span::of(data, &data[7..11]).get(data), Some(&b"name"[..]));
        assert_eq!(Span::of(data, &data[3..3]).get(data), Some(&b""[..]));
    }
}
