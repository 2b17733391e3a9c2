//! The end of a file to its manifest and seals, and back. Only the last bytes are looked at, and no length is believed
//! that the file has no room for.

use crate::digest::{digest_of, Digest};
use crate::manifest::newer;
use std::io;

/// Begins what follows the stream.
pub const HEAD: [u8; 16] = *b"\x93torshi manifest";
/// Ends the file.
pub const FOOT: [u8; 16] = *b"\x93torshi file end";
/// Bytes of the tail.
pub const TAIL: usize = 96;
/// What the stream is padded to, and buffers within it.
pub const ALIGNMENT: u64 = 64;

const VERSION: u32 = crate::manifest::VERSION;
/// Bytes of manifest and seals at the most: nobody's list of names is longer.
const MOST: u64 = 256 << 20;
/// Bytes of one extra field of gzip, whose length has sixteen bits.
const GZIP_PIECE: usize = 60_000;
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
const GZIP_END: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Name of the extra field: two letters, a length.
const GZIP_FIELD: [u8; 2] = *b"ts";
/// Bytes around a piece: header, length of the extra fields, name and length of this one, end.
const GZIP_AROUND: usize = GZIP_HEADER.len() + 2 + 4 + GZIP_END.len();
const SKIPPABLE: [u8; 4] = 0x184d_2a5e_u32.to_le_bytes();

/// How a file holds its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Container {
    Plain = 0,
    Zstd = 1,
    Lz4 = 2,
    Gzip = 3,
}

impl Container {
    /// By its name, as a user gives it.
    pub fn named(name: &str) -> Option<Container> {
        Container::ALL.into_iter().find(|container| container.name() == name)
    }

    const ALL: [Container; 4] = [Container::Plain, Container::Zstd, Container::Lz4, Container::Gzip];

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Container::Plain => "plain",
            Container::Zstd => "zstd",
            Container::Lz4 => "lz4",
            Container::Gzip => "gzip",
        }
    }

    /// What the first bytes of a file say. A pickle cannot begin so.
    pub fn sniff(first: &[u8]) -> Container {
        match first {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Container::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Container::Lz4,
            [0x1f, 0x8b, 8, ..] => Container::Gzip,
            _ => Container::Plain,
        }
    }
}

/// What follows the stream of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// How the stream is held.
    pub container: Container,
    /// Bytes of the stream, uncompressed.
    pub stream: u64,
    /// JSON.
    pub manifest: Vec<u8>,
    /// Seals, as `seal` reads them.
    pub seals: Vec<u8>,
    /// Where the stream ends in the file, as the container holds it.
    pub end: u64,
}

/// Why there is no trailer to be had.
#[derive(Debug)]
pub enum Problem {
    /// The file has one that does not fit it.
    Damaged(String),
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Io(error)
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Damaged(what.into()))
}

/// What follows a stream of so many bytes in a file of that kind.
pub fn render(container: Container, stream: u64, manifest: &[u8], seals: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(HEAD.len() + manifest.len() + seals.len() + TAIL);
    block.extend_from_slice(&HEAD);
    block.extend_from_slice(manifest);
    block.extend_from_slice(seals);
    block.extend_from_slice(&tail(container, stream, manifest, seals));
    match container {
        Container::Plain => [vec![0; padding(stream)], block].concat(),
        Container::Zstd | Container::Lz4 => [&SKIPPABLE[..], &(block.len() as u32).to_le_bytes(), &block].concat(),
        // From the end, so that the last member has all of the tail.
        Container::Gzip => block.rchunks(GZIP_PIECE).rev().flat_map(gzip_member).collect(),
    }
}

fn padding(stream: u64) -> usize {
    (stream.wrapping_neg() % ALIGNMENT) as usize
}

fn gzip_member(piece: &[u8]) -> Vec<u8> {
    let (length, field) = ((piece.len() as u16).to_le_bytes(), (piece.len() as u16 + 4).to_le_bytes());
    [&GZIP_HEADER[..], &field, &GZIP_FIELD, &length, piece, &GZIP_END].concat()
}

fn tail(container: Container, stream: u64, manifest: &[u8], seals: &[u8]) -> [u8; TAIL] {
    let mut tail = [0; TAIL];
    tail[..4].copy_from_slice(&VERSION.to_le_bytes());
    tail[4..8].copy_from_slice(&(container as u32).to_le_bytes());
    tail[8..16].copy_from_slice(&stream.to_le_bytes());
    tail[16..24].copy_from_slice(&(manifest.len() as u64).to_le_bytes());
    tail[24..32].copy_from_slice(&(seals.len() as u64).to_le_bytes());
    tail[32..64].copy_from_slice(&digest_of(manifest));
    let check = check(&tail[..64], seals);
    tail[64..80].copy_from_slice(&check);
    tail[80..].copy_from_slice(&FOOT);
    tail
}

/// Shows damage of the tail and the seals; who forges these can make one.
fn check(tail: &[u8], seals: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tail);
    hasher.update(seals);
    let mut check = [0; 16];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    check
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What follows the stream of a file of `size` bytes, of which `read` fills a slice from an offset; `None` if the file
/// does not end as one with a trailer does.
pub fn find(size: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> Result<Option<Trailer>, Problem> {
    let mut last = [0; TAIL + GZIP_END.len()];
    let have = (size.min(last.len() as u64)) as usize;
    let last = &mut last[..have];
    read(size - have as u64, last)?;
    let around = match () {
        () if last.ends_with(&FOOT) => 0,
        () if have > GZIP_END.len() && last.ends_with(&GZIP_END) && last[..have - GZIP_END.len()].ends_with(&FOOT) => {
            GZIP_END.len()
        }
        () => return Ok(None),
    };
    let Some(start) = (have - around).checked_sub(TAIL) else { return damaged("the file is shorter than its tail") };
    let tail = &last[start..start + TAIL];
    let version = number(&tail[..4]) as u32;
    if version != VERSION {
        return damaged(newer(version));
    }
    let container = Container::ALL.into_iter().find(|c| *c as u64 == number(&tail[4..8]));
    let (stream, manifest, seals) = (number(&tail[8..16]), number(&tail[16..24]), number(&tail[24..32]));
    let block = manifest.checked_add(seals).and_then(|both| both.checked_add((HEAD.len() + TAIL) as u64));
    let (Some(container), Some(block)) = (container, block.filter(|block| *block <= MOST.min(size))) else {
        return damaged("the tail has lengths that the file has no room for");
    };
    if (container == Container::Gzip) != (around > 0) {
        return damaged("the tail is that of another kind of file");
    }
    let (end, bytes) = match container {
        Container::Plain => {
            let before = stream.checked_add(padding(stream) as u64);
            if before.and_then(|before| before.checked_add(block)) != Some(size) {
                return damaged("the lengths in the tail are not those of the file: something was cut out or put in");
            }
            let mut bytes = vec![0; padding(stream) + block as usize];
            read(stream, &mut bytes)?;
            let block = bytes.split_off(padding(stream));
            if bytes.iter().any(|byte| *byte != 0) {
                return damaged("the padding behind the pickle is not empty");
            }
            (stream, block)
        }
        Container::Zstd | Container::Lz4 => {
            let Some(end) = size.checked_sub(block + 8) else {
                return damaged("the file is shorter than its manifest");
            };
            let mut bytes = vec![0; block as usize + 8];
            read(end, &mut bytes)?;
            let block = bytes.split_off(8);
            if bytes[..4] != SKIPPABLE || number(&bytes[4..]) != block.len() as u64 {
                return damaged("the frame of the manifest is not as long as the tail says");
            }
            (end, block)
        }
        Container::Gzip => gzip_block(size, block, &mut read)?,
    };
    let (head, rest) = bytes.split_at(HEAD.len());
    let (text, rest) = rest.split_at(manifest as usize);
    let (held, again) = rest.split_at(seals as usize);
    if head != HEAD {
        return damaged("the manifest does not begin where the tail says");
    }
    if again != tail {
        return damaged("the file changed while it was read");
    }
    if check(&tail[..64], held) != tail[64..80] {
        return damaged("the tail or the seals are not as they were written");
    }
    if digest_of(text) != digest_from(&tail[32..64]) {
        return damaged("the manifest is not as it was written");
    }
    Ok(Some(Trailer { container, stream, manifest: text.to_vec(), seals: held.to_vec(), end }))
}

fn digest_from(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(bytes);
    digest
}

/// The block of a gzip file, from its last members.
fn gzip_block(
    size: u64, block: u64, read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<(u64, Vec<u8>), Problem> {
    let block = block as usize;
    let whole = block + block.div_ceil(GZIP_PIECE) * GZIP_AROUND;
    let Some(end) = size.checked_sub(whole as u64) else { return damaged("the file is shorter than its manifest") };
    let mut bytes = vec![0; whole];
    read(end, &mut bytes)?;
    let mut held = Vec::with_capacity(block);
    for member in bytes.rchunks(GZIP_PIECE + GZIP_AROUND).rev() {
        let piece = &member[GZIP_HEADER.len() + 6..member.len() - GZIP_END.len()];
        if gzip_member(piece) != member {
            return damaged("the gzip members of the manifest are not as they were written");
        }
        held.extend_from_slice(piece);
    }
    Ok((end, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(container: Container, manifest: &[u8], seals: &[u8]) -> Vec<u8> {
        let mut file = b"\x80\x05N.".to_vec();
        file.extend(render(container, 4, manifest, seals));
        file
    }

    fn look(file: &[u8]) -> Result<Option<Trailer>, Problem> {
        find(file.len() as u64, |at, into| {
            let at = at as usize;
            into.copy_from_slice(&file[at..at + into.len()]);
            Ok(())
        })
    }

    #[test]
    fn what_is_written_is_found() {
        for container in Container::ALL {
            for manifest in [b"{}".to_vec(), vec![b'x'; 59_883], vec![b'x'; 59_884], vec![b'y'; 200_000]] {
                let found = look(&file(container, &manifest, b"seals")).unwrap().unwrap();
                let expected = Trailer { container, stream: 4, manifest, seals: b"seals".to_vec(), end: 4 };
                assert_eq!(found, expected);
            }
        }
    }

    /// Every byte of what follows the stream, and every length of it, is one that is checked.
    #[test]
    fn every_change_shows() {
        for container in Container::ALL {
            let whole = file(container, b"{\"a\": 1}", b"seal");
            for at in 4..whole.len() {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[at] ^= 1 << bit;
                    assert!(!matches!(look(&changed), Ok(Some(_))), "{container:?} {at}");
                }
            }
            for length in 0..whole.len() {
                assert!(!matches!(look(&whole[..length]), Ok(Some(_))), "{container:?} {length}");
            }
            for at in 4..whole.len() {
                let longer = [&whole[..at], b"\0", &whole[at..]].concat();
                assert!(container != Container::Plain || !matches!(look(&longer), Ok(Some(_))), "{at}");
            }
        }
    }

    /// A tail that lies about lengths must not make the reader allocate or look outside.
    #[test]
    fn lengths_are_not_believed() {
        for at in (8..32).step_by(8) {
            for value in [u64::MAX, 1 << 40, 1 << 63, 0] {
                let mut lying = file(Container::Plain, b"{}", b"");
                let tail = lying.len() - TAIL;
                lying[tail + at..tail + at + 8].copy_from_slice(&value.to_le_bytes());
                let sealed = check(&lying[tail..tail + 64], b"");
                lying[tail + 64..tail + 80].copy_from_slice(&sealed);
                if (at, value) != (24, 0) {
                    assert!(matches!(look(&lying), Err(Problem::Damaged(_))), "{at} {value}");
                }
            }
        }
    }
}
