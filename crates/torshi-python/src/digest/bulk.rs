//! Long runs of bytes into a hasher: in pieces, with threads, and with every NaN the same.
//!
//! The threads live as long as the run and are never kept, since a process that forks would wait for them for ever.
//! They see nothing but bytes. Nothing here copies a run, save the pieces of it in which there are NaNs.
use blake3::Hasher;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How the bytes are read to find NaNs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Floats {
    No,
    Half,
    Single,
    Double,
}

/// Bytes between two looks for signals and other threads; and a multiple of `PIECE`.
pub const STRIDE: usize = 16 << 20;
/// Bytes looked through before they are hashed, so that they are in the cache by then.
const PIECE: usize = 1 << 17;
/// From here on starting threads takes less time than they save.
const LONG: usize = 4 << 20;
const MOST_THREADS: usize = 8;

/// Threads for one run of `len` bytes, if they are worth it.
pub fn crew(len: usize) -> Option<ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
    if len < LONG || cores < 2 {
        return None;
    }
    ThreadPoolBuilder::new().num_threads(cores).build().ok()
}

/// Hashes `bytes`; each of them is read once from far memory.
pub fn feed(hasher: &mut Hasher, bytes: &[u8], floats: Floats, crew: Option<&ThreadPool>) {
    match crew {
        Some(crew) if bytes.len() >= LONG => crew.install(|| {
            let nan = floats != Floats::No && bytes.par_chunks(PIECE).any(|piece| has_nan(piece, floats));
            if nan {
                feed_pieces(hasher, bytes, floats);
            } else {
                hasher.update_rayon(bytes);
            }
        }),
        _ if floats == Floats::No => {
            hasher.update(bytes);
        }
        _ => feed_pieces(hasher, bytes, floats),
    }
}

fn feed_pieces(hasher: &mut Hasher, bytes: &[u8], floats: Floats) {
    let mut scratch = Vec::new();
    for piece in bytes.chunks(PIECE) {
        if has_nan(piece, floats) {
            scratch.clear();
            scratch.extend_from_slice(piece);
            same_nan(&mut scratch, floats);
            hasher.update(&scratch);
        } else {
            hasher.update(piece);
        }
    }
}

/// Little-endian numbers; a NaN is what has all bits of the exponent, and more.
fn has_nan(bytes: &[u8], floats: Floats) -> bool {
    match floats {
        Floats::No => false,
        Floats::Half => any::<2>(bytes, |b| u16::from_le_bytes(b) & 0x7fff > 0x7c00),
        Floats::Single => any::<4>(bytes, |b| u32::from_le_bytes(b) & 0x7fff_ffff > 0x7f80_0000),
        Floats::Double => any::<8>(bytes, |b| u64::from_le_bytes(b) & (u64::MAX >> 1) > 0x7ff0_0000_0000_0000),
    }
}

/// Without leaving early within a block, so that many numbers are compared at once.
#[inline(always)]
fn any<const N: usize>(bytes: &[u8], test: impl Fn([u8; N]) -> bool) -> bool {
    let number = |b: &[u8]| b.try_into().unwrap_or([0; N]);
    bytes.chunks(4096).any(|block| block.chunks_exact(N).fold(false, |found, b| found | test(number(b))))
}

/// Every NaN as the positive quiet one without payload.
pub fn same_nan(bytes: &mut [u8], floats: Floats) {
    if !has_nan(bytes, floats) {
        return;
    }
    match floats {
        Floats::No => {}
        Floats::Half => replace(bytes, 0x7e00u16.to_le_bytes(), floats),
        Floats::Single => replace(bytes, 0x7fc0_0000u32.to_le_bytes(), floats),
        Floats::Double => replace(bytes, f64::to_le_bytes(f64::from_bits(0x7ff8 << 48)), floats),
    }
}

fn replace<const N: usize>(bytes: &mut [u8], nan: [u8; N], floats: Floats) {
    for number in bytes.chunks_exact_mut(N) {
        if has_nan(number, floats) {
            number.copy_from_slice(&nan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_pieces_and_nans_hash_what_one_thread_would() {
        let numbers: Vec<f64> = (0..1_000_000).map(f64::from).collect();
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        for at in [0, 8 * 70_000] {
            let mut plain = bytes.clone();
            plain[at..at + 8].copy_from_slice(&f64::to_le_bytes(f64::from_bits(0x7ff8 << 48)));
            bytes[at..at + 8].copy_from_slice(&(-f64::NAN).to_le_bytes());
            same_nan(&mut plain, Floats::Double);
            for crew in [crew(bytes.len()), None] {
                let mut hasher = Hasher::new();
                feed(&mut hasher, &bytes, Floats::Double, crew.as_ref());
                assert_eq!(hasher.finalize(), blake3::hash(&plain));
            }
        }
    }
}
