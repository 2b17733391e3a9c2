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
            let mut scratch = Vec::new();
            for batch in bytes.chunks(BATCH) {
                if !batch.par_chunks(PIECE).any(|piece| has_nan(piece, floats)) {
                    hasher.update_rayon(batch);
                    continue;
                }
                scratch.resize(batch.len(), 0);
                scratch.par_chunks_mut(PIECE).zip(batch.par_chunks(PIECE)).for_each(|(copy, piece)| {
                    copy.copy_from_slice(piece);
                    same_nan(copy, floats);
                });
                hasher.update_rayon(&scratch);
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

/// Finds NaNs among little-endian numbers, and makes them all the positive quiet one without payload. A NaN is what is
/// more than infinity without its sign: then a sum reaches the highest bit. Every processor adds many numbers at once; not
/// every one can compare them.
macro_rules! nans {
    ($module:ident, $bits:ty, $infinity:literal, $nan:literal) => {
        mod $module {
            const SIZE: usize = size_of::<$bits>();
            const MOST: $bits = <$bits>::MAX >> 1;

            #[inline(always)]
            fn read(number: &[u8]) -> $bits {
                number.try_into().map_or(0, <$bits>::from_le_bytes)
            }

            #[inline(always)]
            fn sum(number: $bits) -> $bits {
                (number & MOST) + (MOST - $infinity)
            }

            pub fn any(bytes: &[u8]) -> bool {
                bytes.chunks_exact(SIZE).fold(0, |all, number| all | sum(read(number))) > MOST
            }

            pub fn same(bytes: &mut [u8]) {
                for place in bytes.chunks_exact_mut(SIZE) {
                    if let Ok(place) = <&mut [u8; SIZE]>::try_from(place) {
                        let number = <$bits>::from_le_bytes(*place);
                        let mask = (sum(number) >> (<$bits>::BITS - 1)).wrapping_neg();
                        *place = ((number & !mask) | ($nan & mask)).to_le_bytes();
                    }
                }
            }
        }
    };
}
nans!(half, u16, 0x7c00, 0x7e00);
nans!(single, u32, 0x7f80_0000, 0x7fc0_0000);
nans!(double, u64, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000);

fn has_nan(bytes: &[u8], floats: Floats) -> bool {
    match floats {
        Floats::No => false,
        Floats::Half => half::any(bytes),
        Floats::Single => single::any(bytes),
        Floats::Double => double::any(bytes),
    }
}

/// Every NaN as the positive quiet one without payload.
pub fn same_nan(bytes: &mut [u8], floats: Floats) {
    match floats {
        Floats::No => {}
        Floats::Half => half::same(bytes),
        Floats::Single => single::same(bytes),
        Floats::Double => double::same(bytes),
    }
}

/// Rows and columns gathered at once, by way of a square that stays in the nearest cache: rows and columns of some sizes
/// would drive each other out of it.
const SIDE: usize = 32;

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
            let blocks = out.par_chunks_mut(row * SIDE).enumerate();
            blocks.for_each(|(i, block)| rows(columns, height, first + i * SIDE, block, row));
        }),
        None => {
            let blocks = out.chunks_mut(row * SIDE).enumerate();
            blocks.for_each(|(i, block)| rows(columns, height, first + i * SIDE, block, row));
        }
    }
    true
}

fn gather_rows<const N: usize>(columns: &[u8], height: usize, first: usize, out: &mut [u8], row: usize) {
    let mut square = [[0; N]; SIDE * SIDE];
    let (width, rows) = (row / N, out.len() / row);
    for start in (0..width).step_by(SIDE) {
        let end = width.min(start + SIDE);
        for j in start..end {
            let at = (j * height + first) * N;
            let items = columns[at..at + rows * N].chunks_exact(N);
            for (item, place) in items.zip(square[j - start..].iter_mut().step_by(SIDE)) {
                if let Ok(item) = item.try_into() {
                    *place = item;
                }
            }
        }
        for (i, line) in out.chunks_exact_mut(row).enumerate() {
            let from = i * SIDE;
            line[start * N..end * N].copy_from_slice(square[from..from + end - start].as_flattened());
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
            bytes[at..at + 8].copy_from_slice(&f64::from_bits(0xfff8_0000_0000_0001).to_le_bytes());
            same_nan(&mut plain, Floats::Double);
            for crew in [crew(bytes.len()), None] {
                let mut hasher = Hasher::new();
                feed(&mut hasher, &bytes, Floats::Double, crew.as_ref());
                assert_eq!(hasher.finalize(), blake3::hash(&plain));
            }
        }
    }
}
