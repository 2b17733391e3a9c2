//! A stream to its digest, in one pass: large buffers enter as their own digests, everything else as it is.

use blake3::Hasher;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// The digest of some bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// The digest of a stream while it is written or read.
#[derive(Clone, Default)]
pub struct StreamDigest {
    hasher: Hasher,
}

impl StreamDigest {
    /// Bytes of the stream, outside large buffers.
    pub fn part(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// A large buffer, by its own digest.
    pub fn buffer(&mut self, digest: &Digest) {
        self.hasher.update(digest);
    }

    /// The digest of what there was.
    pub fn finish(&self) -> Digest {
        *self.hasher.finalize().as_bytes()
    }
}

/// A digest as a manifest has it.
pub fn to_hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest from a manifest.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without buffers the digest is that of the ordinary tool; with one, it depends on where and what it is.
    #[test]
    fn buffers_enter_as_digests() {
        let mut plain = StreamDigest::default();
        plain.part(b"ab");
        plain.part(b"c");
        assert_eq!(plain.finish(), digest_of(b"abc"));
        let mut parted = StreamDigest::default();
        parted.part(b"a");
        parted.buffer(&digest_of(b"b"));
        parted.part(b"c");
        assert_eq!(parted.finish(), digest_of(&[b"a", &digest_of(b"b")[..], b"c"].concat()));
    }

    #[test]
    fn hex_is_strict() {
        assert_eq!(from_hex::<2>(&to_hex(&[1, 0xfe])), Some([1, 0xfe]));
        for bad in ["", "01f", "01FE", "0 1f", "+1ff", "01fe0"] {
            assert_eq!(from_hex::<2>(bad), None, "{bad}");
        }
    }
}
