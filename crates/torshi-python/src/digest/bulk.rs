//! Long runs of bytes into their BLAKE3 digest: in pieces, by several threads, with every NaN the same.
//!
//! A piece is a subtree of BLAKE3's tree, so threads take one after the other and hash them in whatever order; what lies
//! otherwise than it is digested is brought into order in the cache of the thread that hashes it, a piece at a time. The
//! threads live as long as a stride and are never kept, since a process that forks would wait for them for ever. They see
//! nothing but bytes.
use super::elements::{same_nan, swap, Floats};
use crate::ffi::strided::Strided;
use blake3::hazmat::{merge_subtrees_non_root, merge_subtrees_root, HasherExt, Mode};
use blake3::Hasher;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Bytes between two looks for signals and other threads.
const STRIDE: usize = 16 << 20;
/// What a thread takes at once; in the second cache it has room beside what it is made of. Powers of two.
const PIECE: usize = 1 << 16;
const LONGEST_PIECE: usize = 4 << 20;
/// Bytes that are changed before they are hashed, in the first cache.
const BLOCK: usize = 1 << 14;
/// From here on starting a thread takes less time than it saves.
const LONG: usize = 4 << 20;
const MOST_THREADS: usize = 8;

type Value = [u8; 32];

/// The bytes of a run as they lie.
pub enum Bytes<'a> {
    InOrder(&'a [u8]),
    Strided(Strided<'a>),
}

/// What is to be digested.
pub struct Source<'a> {
    pub bytes: Bytes<'a>,
    pub floats: Floats,
    /// Bytes of a number whose bytes lie the other way round, or 0.
    pub swapped: usize,
}

impl Source<'_> {
    /// The bytes of a range into a hasher, by way of `scratch` if they have to be changed.
    fn feed(&self, hasher: &mut Hasher, range: Range<usize>, scratch: &mut [u8]) {
        let (bytes, blocks) = match &self.bytes {
            Bytes::InOrder(bytes) => (&bytes[range], scratch),
            Bytes::Strided(strided) => {
                let (made, blocks) = scratch.split_at_mut(range.len());
                strided.gather(range.start, made);
                (&*made, blocks)
            }
        };
        if self.is_plain() {
            hasher.update(bytes);
            return;
        }
        let (turned, mended) = blocks.split_at_mut(blocks.len() / 2);
        for mut block in bytes.chunks(BLOCK) {
            let len = block.len();
            if self.swapped != 0 {
                swap(block, &mut turned[..len], self.swapped);
                block = &turned[..len];
            }
            if self.floats.any_nan(block) {
                same_nan(block, &mut mended[..len], self.floats);
                block = &mended[..len];
            }
            hasher.update(block);
        }
    }

    /// Are its numbers digested as they lie?
    fn is_plain(&self) -> bool {
        self.swapped == 0 && self.floats == Floats::No
    }

    /// All there is, into memory of just that size.
    pub fn short(&self, out: &mut [u8]) {
        match &self.bytes {
            Bytes::InOrder(bytes) => out.copy_from_slice(bytes),
            Bytes::Strided(strided) => strided.gather(0, out),
        }
        if self.swapped != 0 {
            let lying = out.to_vec();
            swap(&lying, out, self.swapped);
        }
        if self.floats.any_nan(out) {
            let strange = out.to_vec();
            same_nan(&strange, out, self.floats);
        }
    }

    fn piece(&self) -> usize {
        match &self.bytes {
            Bytes::InOrder(_) => PIECE,
            Bytes::Strided(strided) => strided.span().clamp(PIECE, LONGEST_PIECE).next_power_of_two(),
        }
    }

    /// Memory that a thread needs for pieces of this size.
    fn scratch(&self, piece: usize) -> usize {
        let made = if let Bytes::Strided(_) = self.bytes { piece } else { 0 };
        made + if self.is_plain() { 0 } else { 2 * BLOCK.min(piece) }
    }
}

/// A run of which one stride after the other is digested.
pub struct Run {
    len: usize,
    done: usize,
    stride: usize,
    piece: usize,
    threads: usize,
    /// As much for each thread.
    scratch: Vec<u8>,
    /// Of each stride that is done.
    values: Vec<Value>,
}

impl Run {
    /// A run of `len` bytes; None if there is no memory for it.
    pub fn new(len: usize, source: &Source<'_>) -> Option<Self> {
        let piece = source.piece();
        let threads = if len < LONG { 1 } else { cores().min(len.div_ceil(piece)) };
        let room = threads * source.scratch(piece.min(len.next_power_of_two()));
        let (mut scratch, mut values) = (Vec::new(), Vec::new());
        scratch.try_reserve_exact(room).ok()?;
        scratch.resize(room, 0);
        let stride = STRIDE.max(piece * threads.next_power_of_two());
        values.try_reserve_exact(len.div_ceil(stride)).ok()?;
        Some(Run { len, done: 0, stride, piece, threads, scratch, values })
    }

    /// Digests the next stride, of which there must be one; whether it was the last.
    pub fn advance(&mut self, source: &Source<'_>) -> bool {
        let range = self.done..self.len.min(self.done + self.stride);
        self.done = range.end;
        let is_root = range.len() == self.len;
        let mut values = vec![Value::default(); range.len().div_ceil(self.piece)];
        let alone = is_root && values.len() == 1;
        let pieces = Mutex::new(values.iter_mut().zip(range.clone().step_by(self.piece)));
        let piece = self.piece;
        let work = &|scratch: &mut [u8]| loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((value, start)) = next else { return };
            let mut hasher = Hasher::new();
            hasher.set_input_offset(start as u64);
            source.feed(&mut hasher, start..range.end.min(start + piece), scratch);
            *value = if alone { hasher.finalize().into() } else { hasher.finalize_non_root() };
        };
        let room = self.scratch.len() / self.threads;
        let (own, others) = self.scratch.split_at_mut(room);
        std::thread::scope(|scope| {
            let mut left = others;
            for _ in 1..self.threads {
                let (scratch, behind) = std::mem::take(&mut left).split_at_mut(room);
                left = behind;
                // Without it the others take its pieces.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || work(scratch));
            }
            work(own);
        });
        self.values.push(merged(&values, is_root));
        self.done == self.len
    }

    /// The digest of the whole.
    pub fn finish(self) -> Value {
        // One stride was the root of the tree already.
        merged(&self.values, true)
    }
}

/// The value of a tree whose leaves are subtrees of one size, save the last, which may be smaller.
fn merged(values: &[Value], is_root: bool) -> Value {
    match values {
        [] => Value::default(), // there is no run without a stride
        [one] => *one,
        _ => {
            let (left, right) = values.split_at(1 << (values.len() - 1).ilog2());
            let (left, right) = (merged(left, false), merged(right, false));
            if is_root {
                merge_subtrees_root(&left, &right, Mode::Hash).into()
            } else {
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            }
        }
    }
}

/// How many threads may run at once. Asking the system takes longer than a small array.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8], floats: Floats, piece: usize, stride: usize) -> Value {
        let source = Source { bytes: Bytes::InOrder(bytes), floats, swapped: 0 };
        let mut run = Run::new(bytes.len(), &source).unwrap();
        (run.piece, run.stride) = (piece, stride);
        while !run.advance(&source) {}
        run.finish()
    }

    #[test]
    fn pieces_strides_and_threads_hash_what_blake3_does() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 + (i >> 11)) as u8).collect();
        for len in [1, 1024, 1025, 4096, 65_535, 65_536, 65_537, 131_073, 262_144, 1_500_001, 2_097_152, 2_999_999] {
            for (piece, stride) in [(1024, 8192), (PIECE, 1 << 17), (PIECE, STRIDE)] {
                let expected: Value = blake3::hash(&bytes[..len]).into();
                assert_eq!(digest(&bytes[..len], Floats::No, piece, stride), expected, "{len} {piece} {stride}");
            }
        }
    }

    #[test]
    fn nans_are_hashed_as_the_one_there_is() {
        let mut bytes: Vec<u8> = (0..500_000).flat_map(|n| f64::from(n).to_le_bytes()).collect();
        for at in [0, 8 * 70_000, 8 * 499_999] {
            bytes[at..at + 8].copy_from_slice(&f64::from_bits(0xfff8_0000_0000_0001).to_le_bytes());
        }
        let mut plain = vec![0; bytes.len()];
        same_nan(&bytes, &mut plain, Floats::Double);
        assert_ne!(plain, bytes);
        let expected: Value = blake3::hash(&plain).into();
        assert_eq!(digest(&bytes, Floats::Double, PIECE, STRIDE), expected);
    }
}
