//! Limits: what one load may cost, whatever the stream claims. Every number has a reason; none is
//! taken from the stream. Limits hold under every policy, the unrestricted one too.

/// The explicit bounds of one load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a load may ask for through declared sizes (`bytearray(n)` and its like);
    /// `None`: 64 MiB plus 32 times the stream.
    pub memory: Option<u64>,
    /// Steps of hashing that keys may need: the memo lets 100 bytes describe 2^30 of them.
    pub hash_steps: u64,
    /// Keys of equal hash in one dict or set before it turns quadratic.
    pub collisions: u32,
    /// How deep values whose hashing or deallocation recurses on the C stack may nest.
    pub depth: u32,
    /// Elements the value may unfold to for a walker that does not remember shared containers.
    pub expansion: u64,
    /// Bytes of input; `None`: as many as there are.
    pub stream: Option<u64>,
}

impl Limits {
    /// Bytes a load of `stream` bytes may ask for through declared sizes.
    pub fn memory_for(&self, stream: usize) -> u64 {
        self.memory.unwrap_or((64 << 20) + 32 * stream as u64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: None,
            hash_steps: 1 << 26,
            collisions: 1000,
            depth: 1000,
            expansion: 1_000_000_000_000,
            stream: None,
        }
    }
}
