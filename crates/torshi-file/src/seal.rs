//! Seals: who vouches for a file. A message made of lengths and digests, and a key, into a record; records into seals, and
//! whether a key made one. It knows no files and no names of keys, and decides nothing about trust.
//!
//! The message begins with what it is for, so that a signature made for something else does not fit, and every part of it
//! has a fixed length. A seal is also over the seals before it: taking one of these away, or changing their order, breaks
//! those behind it.

use crate::digest::{digest_of, Digest};
use crate::manifest::Manifest;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

const MESSAGE: &[u8; 16] = b"torshi seal, v1\0";
/// Contexts of what is derived from a local key: its seals, and the name it is known by.
const LOCAL_SEAL: &str = "torshi 2026-11-25 seal of a local key";
const LOCAL_NAME: &str = "torshi 2026-11-25 name of a local key";
/// Seals of one file at the most.
const MOST: usize = 64;

/// Bytes of a key, secret or public.
pub type Key = [u8; 32];

/// What kind of key made a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A secret of one user: a keyed digest, which only who has the key can make or check.
    Local = 1,
    /// A pair: a signature, which everyone who has the public half can check.
    Ed25519 = 2,
}

impl Kind {
    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Ed25519 => "ed25519",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Local, Kind::Ed25519].into_iter().find(|kind| kind.name() == name)
    }

    fn proof(self) -> usize {
        match self {
            Kind::Local => 32,
            Kind::Ed25519 => 64,
        }
    }
}

/// A seal of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Of which kind its key is.
    pub kind: Kind,
    /// What its key is known by: for a pair the public half.
    pub id: Key,
    proof: Vec<u8>,
}

/// What a seal of a file is over: the stream, its manifest, and the seals that were there `before`.
pub fn message(manifest: &Manifest, text: &[u8], before: &[Seal]) -> Vec<u8> {
    let mut message = MESSAGE.to_vec();
    message.extend_from_slice(&manifest.stream.to_le_bytes());
    message.extend_from_slice(&manifest.digest);
    message.extend_from_slice(&(text.len() as u64).to_le_bytes());
    message.extend_from_slice(&digest_of(text));
    message.extend_from_slice(&digest_of(&render(before)));
    message
}

/// What the key with this secret is known by.
pub fn id_of(kind: Kind, secret: &Key) -> Key {
    match kind {
        Kind::Local => blake3::derive_key(LOCAL_NAME, secret),
        Kind::Ed25519 => SigningKey::from_bytes(secret).verifying_key().to_bytes(),
    }
}

fn local(secret: &Key, message: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(&blake3::derive_key(LOCAL_SEAL, secret), message)
}

impl Seal {
    /// Makes a seal.
    pub fn make(kind: Kind, secret: &Key, message: &[u8]) -> Seal {
        let proof = match kind {
            Kind::Local => local(secret, message).as_bytes().to_vec(),
            Kind::Ed25519 => SigningKey::from_bytes(secret).sign(message).to_bytes().to_vec(),
        };
        Seal { kind, id: id_of(kind, secret), proof }
    }

    /// Whether the key made this seal over the message: for a local key its secret, for a pair its public half.
    pub fn is_by(&self, key: &Key, message: &[u8]) -> bool {
        match self.kind {
            // Hashes are compared in constant time.
            Kind::Local => match <[u8; 32]>::try_from(&self.proof[..]) {
                Ok(proof) => id_of(Kind::Local, key) == self.id && local(key, message) == proof,
                Err(_) => false,
            },
            Kind::Ed25519 => match (VerifyingKey::from_bytes(key), Signature::from_slice(&self.proof)) {
                (Ok(public), Ok(signature)) => *key == self.id && public.verify_strict(message, &signature).is_ok(),
                _ => false,
            },
        }
    }
}

/// Seals as a file has them: kind, zero, what the key is known by, proof.
pub fn render(seals: &[Seal]) -> Vec<u8> {
    seals.iter().flat_map(|seal| [&[seal.kind as u8, 0][..], &seal.id, &seal.proof].concat()).collect()
}

/// Reads the seals of a file.
pub fn parse(mut bytes: &[u8]) -> Result<Vec<Seal>, String> {
    let mut seals = Vec::new();
    while let [kind, zero, rest @ ..] = bytes {
        let kind = match (kind, zero) {
            (1, 0) => Kind::Local,
            (2, 0) => Kind::Ed25519,
            _ => {
                return Err(format!("the file has a seal of an unknown kind ({kind}): a newer torshi may have made it"))
            }
        };
        let whole = size_of::<Key>() + kind.proof();
        if rest.len() < whole || seals.len() == MOST {
            return Err("the seals of the file are not whole, or too many".to_owned());
        }
        let (id, proof) = rest[..whole].split_at(size_of::<Key>());
        let mut seal = Seal { kind, id: Digest::default(), proof: proof.to_vec() };
        seal.id.copy_from_slice(id);
        seals.push(seal);
        bytes = &rest[whole..];
    }
    match bytes.is_empty() {
        true => Ok(seals),
        false => Err("the seals of the file are not whole".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(stream: u64) -> Manifest {
        Manifest { stream, digest: [7; 32], buffers: Vec::new(), globals: Vec::new() }
    }

    #[test]
    fn seals_are_by_their_key_alone() {
        let message = message(&manifest(10), b"{}", &[]);
        for kind in [Kind::Local, Kind::Ed25519] {
            let (mine, other) = ([1; 32], [2; 32]);
            let key = |secret: &Key| if kind == Kind::Local { *secret } else { id_of(kind, secret) };
            let seal = Seal::make(kind, &mine, &message);
            assert!(seal.is_by(&key(&mine), &message));
            assert!(!seal.is_by(&key(&other), &message));
            // Another's name on it changes nothing.
            let forged = Seal { id: id_of(kind, &other), ..seal.clone() };
            assert!(!forged.is_by(&key(&other), &message) && !forged.is_by(&key(&mine), &message));
        }
    }

    /// What a seal covers: each part of it changed makes another message.
    #[test]
    fn every_part_counts() {
        let base = message(&manifest(10), b"{}", &[]);
        let mut digest = manifest(10);
        digest.digest[31] ^= 1;
        let first = Seal::make(Kind::Local, &[1; 32], &base);
        for other in [
            message(&manifest(11), b"{}", &[]),
            message(&manifest(10), b"{ ", &[]),
            message(&digest, b"{}", &[]),
            message(&manifest(10), b"{}", &[first]),
        ] {
            assert_ne!(base, other);
            let seal = Seal::make(Kind::Ed25519, &[3; 32], &base);
            assert!(!seal.is_by(&seal.id, &other));
        }
    }

    /// Several seals are a chain: of a changed row of them, only what stands before the change still holds.
    #[test]
    fn seals_are_over_those_before_them() {
        let manifest = manifest(10);
        let mut seals: Vec<Seal> = Vec::new();
        for secret in [[1; 32], [2; 32], [3; 32]] {
            let message = message(&manifest, b"{}", &seals);
            seals.push(Seal::make(Kind::Ed25519, &secret, &message));
        }
        let holds = |row: &[usize]| -> Vec<bool> {
            let row: Vec<Seal> = row.iter().map(|place| seals[*place].clone()).collect();
            let by = |place: usize| row[place].is_by(&row[place].id, &message(&manifest, b"{}", &row[..place]));
            (0..row.len()).map(by).collect()
        };
        assert_eq!(holds(&[0, 1, 2]), [true, true, true]);
        assert_eq!(holds(&[0, 1]), [true, true]); // the file as it was before the last one
        assert_eq!(holds(&[1, 2]), [false, false]);
        assert_eq!(holds(&[0, 2]), [true, false]);
        assert_eq!(holds(&[1, 0, 2]), [false, false, false]);
        assert_eq!(holds(&[0, 0, 1, 2]), [true, false, false, false]);
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        let message = message(&manifest(10), b"{}", &[]);
        let seals = [Seal::make(Kind::Local, &[1; 32], &message), Seal::make(Kind::Ed25519, &[2; 32], &message)];
        let bytes = render(&seals);
        assert_eq!(parse(&bytes).unwrap(), seals);
        assert_eq!(parse(b"").unwrap(), []);
        for length in 1..bytes.len() {
            assert!(length == 66 || parse(&bytes[..length]).is_err(), "{length}");
        }
        assert!(parse(&[&[9, 0][..], &bytes[2..]].concat()).unwrap_err().contains("unknown kind"));
        assert!(parse(&render(&vec![seals[0].clone(); 65])).is_err());
    }
}
