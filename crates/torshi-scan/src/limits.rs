//! Limits: how much of a file is unpacked before a scan says that it cannot decide. Every number has a
//! reason; none is taken from the file.

use torshi_core::limits::Limits;

/// The bounds of scanning one file, with everything inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Bytes of the file itself: it is read into memory whole.
    pub file: u64,
    /// Bytes that everything unpacked from it comes to, counted together.
    pub expanded: u64,
    /// How many times its own size a compressed part may come to, once it is larger than `FREE`.
    pub ratio: u64,
    /// Containers inside containers.
    pub nesting: u32,
    /// Entries of archives, counted together.
    pub entries: u64,
    /// The bounds of checking each pickle, as for a load.
    pub load: Limits,
}

/// Bytes a part may come to whatever its ratio: zeros compress a thousandfold and are no attack.
pub const FREE: u64 = 256 << 20;

impl Default for ScanLimits {
    fn default() -> Self {
        ScanLimits {
            file: 16 << 30,
            expanded: 4 << 30,
            ratio: 200,
            nesting: 8,
            entries: 100_000,
            load: Limits::default(),
        }
    }
}
