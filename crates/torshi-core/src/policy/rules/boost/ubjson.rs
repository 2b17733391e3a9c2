//! UBJSON as xgboost writes it, into values that borrow from the bytes.
//!
//! Lengths are eight bytes, arrays say how many items they have, typed arrays of what, keys of an object stand in rising
//! order. Other readers take more than that; a length or an order that xgboost does not write is refused, and nothing is
//! allocated for an item that is not there.

/// One value. What truths and single floats say is believed by nobody.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    List(Vec<Value<'a>>),
    Object(Vec<(&'a str, Value<'a>)>),
    /// A typed array: its type and its bytes, the high one first.
    Array(u8, &'a [u8]),
}

/// Containers in containers; models have nine.
const DEEPEST: u32 = 16;

impl<'a> Value<'a> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Object(entries) = self else { return None };
        entries.binary_search_by(|(known, _)| known.cmp(&key)).ok().map(|at| &entries[at].1)
    }

    /// The entries of an object; none of anything else.
    pub(super) fn entries(&self) -> &[(&'a str, Value<'a>)] {
        match self {
            Value::Object(entries) => entries,
            _ => &[],
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer.
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a typed array.
    pub(super) fn array(&self, kind: u8) -> Option<Items<'a>> {
        match self {
            Value::Array(is, data) if *is == kind => Some(Items { size: size(kind)?, data }),
            _ => None,
        }
    }
}

/// The items of a typed array of whole numbers or floats.
#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    size: usize,
    data: &'a [u8],
}

impl<'a> Items<'a> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.data.len() / self.size
    }

    /// Their bytes.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.data
    }

    /// A whole number.
    pub(super) fn at(self, index: usize) -> i64 {
        signed(&self.data[index * self.size..(index + 1) * self.size])
    }

    /// All whole numbers in turn.
    pub(super) fn iter(self) -> impl Iterator<Item = i64> + 'a {
        self.data.chunks_exact(self.size).map(signed)
    }
}

fn signed(bytes: &[u8]) -> i64 {
    let first = if bytes.first().is_some_and(|high| *high >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(first, |value, byte| value << 8 | i64::from(*byte))
}

/// Bytes of an item of a typed array, or of a number by itself.
fn size(kind: u8) -> Option<usize> {
    match kind {
        b'i' | b'U' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

/// Parses one value that is all of `data`.
pub(super) fn parse(data: &[u8]) -> Option<Value<'_>> {
    let mut reader = Reader { rest: data };
    let value = reader.value(DEEPEST)?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.rest.get(..count)?;
        self.rest = &self.rest[count..];
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A length: `L` and eight bytes.
    fn length(&mut self) -> Option<usize> {
        match self.take(9)? {
            [b'L', digits @ ..] => usize::try_from(signed(digits)).ok(),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn value(&mut self, depth: u32) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        match self.byte()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'S' => self.text().map(Value::Text),
            b'T' | b'F' => Some(Value::Bool),
            b'd' => self.take(4).map(|_| Value::Float),
            // Not typed arrays' `U`: by itself xgboost reads it, but never writes it.
            kind @ (b'i' | b'I' | b'l' | b'L') => self.take(size(kind)?).map(|bytes| Value::Int(signed(bytes))),
            _ => None,
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value<'a>> {
        let mut entries: Vec<(&str, Value<'_>)> = Vec::new();
        loop {
            if self.rest.first() == Some(&b'}') {
                self.byte()?;
                return Some(Value::Object(entries));
            }
            let key = self.text()?;
            if entries.last().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            entries.push((key, self.value(depth)?));
        }
    }

    fn list(&mut self, depth: u32) -> Option<Value<'a>> {
        match self.byte()? {
            b'$' => {
                let kind = self.byte()?;
                (self.byte()? == b'#').then_some(())?;
                let count = self.length()?;
                self.take(count.checked_mul(size(kind)?)?).map(|data| Value::Array(kind, data))
            }
            b'#' => {
                let count = self.length()?;
                // No item of a list takes less than two bytes.
                let mut items = Vec::with_capacity(count.min(self.rest.len() / 2));
                for _ in 0..count {
                    let item = self.value(depth)?;
                    if matches!(item, Value::Bool) {
                        return None;
                    }
                    items.push(item);
                }
                Some(Value::List(items))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Lengths that are not there, keys out of order, and what stands behind the value would be read by C++ as it likes.
    #[test]
    fn only_what_xgboost_writes_parses() {
        let length = |n: u8| [b'L', 0, 0, 0, 0, 0, 0, 0, n];
        let join = |parts: &[&[u8]]| parts.concat();
        let two = join(&[b"{", &length(1), b"a", b"i\x01", &length(1), b"b", b"T}"]);
        assert!(parse(&two).is_some());
        assert!(parse(&join(&[&two, b" "])).is_none());
        assert!(parse(&two[..two.len() - 1]).is_none());
        assert!(parse(&join(&[b"{", &length(1), b"b", b"i\x01", &length(1), b"a", b"T}"])).is_none());
        assert!(parse(&join(&[b"{", &length(1), b"a", b"i\x01", &length(1), b"a", b"T}"])).is_none());
        assert!(parse(&join(&[b"[$l#", &length(2), &[0; 8]])).is_some());
        assert!(parse(&join(&[b"[$l#", &length(3), &[0; 8]])).is_none());
        assert!(parse(&join(&[b"[$x#", &length(0)])).is_none());
        assert!(parse(&join(&[b"[#", &length(1), b"i\x01"])).is_some());
        assert!(parse(&join(&[b"[#", &length(2), b"i\x01"])).is_none());
        assert!(parse(&join(&[b"[#", &length(1), b"T"])).is_none());
        assert!(parse(&join(&[b"S", &[b'L', 0x80, 0, 0, 0, 0, 0, 0, 0], b"a"])).is_none());
        assert!(parse(&join(&[b"S", &length(1), b"\xff"])).is_none());
        assert!(parse(b"[i\x01]").is_none());
        let deep = join(&[&[&b"[#"[..], &length(1)].concat().repeat(20), b"i\x01"]);
        assert!(parse(&deep).is_none());
    }
}
