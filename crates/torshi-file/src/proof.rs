//! A stream and a key into a proof that the key's owner wrote it: AEGIS-MAC, which checks a stream some ten times as fast as
//! a digest where the processor has AES. It stands beside a digest and in the place of none: without AES it would be slow,
//! and the digest is compared.

use aegis::aegis128x2::Aegis128X2Mac;

/// Bytes of a proof.
pub const PROOF: usize = 32;
/// Bytes of what makes the key of each proof another one.
pub const SALT: usize = 16;
/// What the keys of proofs are for, so that none is a key of anything else.
const PURPOSE: &str = "torshi 2026-11 proofs of side files";

/// Whether this processor makes proofs in less time than digests.
pub fn is_quick() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// The proof of a stream while it is written or read.
pub struct StreamProof {
    mac: Aegis128X2Mac<PROOF>,
}

impl StreamProof {
    /// By a secret and a salt of this stream alone: the key that is made of both proves nothing else, so that a nonce is of
    /// no use and always the same.
    pub fn new(secret: &[u8; 32], salt: &[u8; SALT]) -> StreamProof {
        let key = blake3::derive_key(PURPOSE, &[&secret[..], salt].concat());
        let mut first = [0; 16];
        first.copy_from_slice(&key[..16]);
        StreamProof { mac: Aegis128X2Mac::new_with_nonce(&first, &[0; 16]) }
    }

    /// Bytes of the stream, large buffers too.
    pub fn part(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
    }

    /// The proof of what there was.
    pub fn finish(self) -> [u8; PROOF] {
        self.mac.finalize()
    }

    /// Whether this is the proof of what there was; how long it takes says nothing of where it differs.
    pub fn is(self, proof: &[u8; PROOF]) -> bool {
        self.mac.verify(proof).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(secret: u8, salt: u8, parts: &[&[u8]]) -> [u8; PROOF] {
        let mut proof = StreamProof::new(&[secret; 32], &[salt; SALT]);
        parts.iter().for_each(|part| proof.part(part));
        proof.finish()
    }

    /// A proof that depends on how a stream was read would refuse what is as it was written.
    #[test]
    fn pieces_are_one_stream() {
        let stream: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let whole = proof(1, 2, &[&stream]);
        for size in [1, 15, 16, 63, 64, 65, 4096, 99_999] {
            assert_eq!(proof(1, 2, &stream.chunks(size).collect::<Vec<_>>()), whole, "{size}");
        }
        assert_eq!(proof(1, 2, &[&[], &stream, &[]]), whole);
    }

    /// Another key, salt, byte or length with the same proof would let somebody else's stream in.
    #[test]
    fn anything_else_has_another_proof() {
        let stream = [7; 1000];
        let whole = proof(1, 2, &[&stream]);
        assert_ne!(proof(3, 2, &[&stream]), whole);
        assert_ne!(proof(1, 3, &[&stream]), whole);
        assert_ne!(proof(1, 2, &[&stream[1..]]), whole);
        assert_ne!(proof(1, 2, &[&stream, &[0]]), whole);
        for at in [0, 1, 500, 999] {
            let mut other = stream;
            other[at] ^= 1;
            assert_ne!(proof(1, 2, &[&other]), whole);
        }
        let again = |proof: &[u8; PROOF]| {
            let mut again = StreamProof::new(&[1; 32], &[2; SALT]);
            again.part(&stream);
            again.is(proof)
        };
        assert!(again(&whole));
        for at in 0..PROOF {
            let mut other = whole;
            other[at] ^= 0x80;
            assert!(!again(&other));
        }
    }
}
