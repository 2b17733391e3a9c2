//! The first words of a file that other processes change, as they are now: a shared mapping that is only read, and only
//! word by word.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words that are looked at.
pub const WORDS: usize = 6;

/// The first words of a file.
pub struct Watched {
    map: MmapRaw,
}

impl Watched {
    /// Maps the beginning of a file, by a descriptor that stays whose it is: it is neither duplicated nor closed, since
    /// closing any descriptor of a file ends the locks that this process has on it.
    pub fn of(fd: c_int) -> io::Result<Watched> {
        let length = WORDS * size_of::<u64>();
        Ok(Watched { map: MmapOptions::new().len(length).map_raw_read_only(fd)? })
    }

    /// What stands there. Words may be of different moments.
    pub fn words(&self) -> [u64; WORDS] {
        let start = self.map.as_ptr().cast::<AtomicU64>();
        std::array::from_fn(|place| {
            // SAFETY: the mapping has that many words and begins at a page; others change them, which is what atomic
            // reads are for, and nothing here writes.
            unsafe { (*start.add(place)).load(Ordering::Acquire) }
        })
    }
}
