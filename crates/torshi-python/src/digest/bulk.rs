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
/// What several threads look through before they hash it.
const BATCH: usize = 2 << 20;
/// From here on starting threads takes less time than they save.
const LONG: usize = 4 << 20;
const MOST_THREADS: usize = 8;

/// Threads for one run of `len` bytes, if they are worth it.
pub fn crew(len: usize) -> Option<ThreadPool> {
    if len < LONG {
        return None;
    }
    // Asks the system, which takes some time.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
    if cores < 2 {
        return None;
    }
    ThreadPoolBuilder::new().num_threads(cores).build().ok()
}

/// Hashes `bytes`; each of them is read once from far memory.
pub fn feed(hasher: &mut Hasher, bytes: &[u8], floats: Floats, crew: Option<&ThreadPool>) {
    match crew {
        Some(crew) if floats == Floats::No => {
            crew.install(|| hasher.update_rayon(bytes));
        }
        Some(crew) => crew.install(|| {
            for batch in bytes.chunks(BATCH) {
                if batch.par_chunks(PIECE).any(|piece| has_nan(piece, floats)) {
                    feed_pieces(hasher, batch, floats);
                } else {
                    hasher.update_rayon(batch);
                }
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

/// Little-endian numbers; a NaN is what is more than infinity without its sign: then the sum reaches the highest bit.
/// Every processor adds many numbers at once; not every one can compare them.
macro_rules! finds_nan {
    ($name:ident, $bits:ty, $infinity:literal) => {
        fn $name(bytes: &[u8]) -> bool {
            const MOST: $bits = <$bits>::MAX >> 1;
            let sum = |number: &[u8]| match number.try_into() {
                Ok(number) => (<$bits>::from_le_bytes(number) & MOST) + (MOST - $infinity),
                Err(_) => 0,
            };
            bytes.chunks_exact(size_of::<$bits>()).fold(0, |all, number| all | sum(number)) > MOST
        }
    };
}
finds_nan!(has_half_nan, u16, 0x7c00);
finds_nan!(has_single_nan, u32, 0x7f80_0000);
finds_nan!(has_double_nan, u64, 0x7ff0_0000_0000_0000);

fn has_nan(bytes: &[u8], floats: Floats) -> bool {
    match floats {
        Floats::No => false,
        Floats::Half => has_half_nan(bytes),
        Floats::Single => has_single_nan(bytes),
        Floats::Double => has_double_nan(bytes),
    }
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

/// Rows gathered at once: a line of the cache holds as many doubles of a column.
const ROWS: usize = 8;
/// Columns gone through before the next row: what is read of them stays in the nearest cache.
const COLUMNS: usize = 32;

/// Rows of a matrix that lies column by column, `height` items each, from `first` on, into `out`, of which they fill the
/// whole. False if items of that size are not known here.
pub fn gather(
    columns: &[u8], item: usize, height: usize, first: usize, out: &mut [u8], row: usize, crew: Option<&ThreadPool>,
) -> bool {
    let rows = match item {
        1 => gather_rows::<1>,
        2 => gather_rows::<2>,
        4 => gather_rows::<4>,
        8 => gather_rows::<8>,
        16 => gather_rows::<16>,
        _ => return false,
    };
    match crew {
        Some(crew) => crew.install(|| {
            let blocks = out.par_chunks_mut(row * ROWS).enumerate();
            blocks.for_each(|(i, block)| rows(columns, height, first + i * ROWS, block, row));
        }),
        None => {
            let blocks = out.chunks_mut(row * ROWS).enumerate();
            blocks.for_each(|(i, block)| rows(columns, height, first + i * ROWS, block, row));
        }
    }
    true
}

fn gather_rows<const N: usize>(columns: &[u8], height: usize, first: usize, out: &mut [u8], row: usize) {
    let width = row / N;
    for start in (0..width).step_by(COLUMNS) {
        for (i, line) in out.chunks_exact_mut(row).enumerate() {
            let end = width.min(start + COLUMNS);
            for (j, item) in (start..end).zip(line[start * N..end * N].chunks_exact_mut(N)) {
                let at = (j * height + first + i) * N;
                item.copy_from_slice(&columns[at..at + N]);
            }
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
