//! The log that the workers write, and its hash.

/// The log, in memory that conductor and workers share.
pub struct LOG;

impl LOG {
    /// First address: the retained region (chips/ast2600/memory.toml).
    pub const BASE: usize = 0x80c0_0000;
    /// Words: seed (2), mask (2), number of entries, number of lives of each worker.
    pub const SEED: usize = 0;
    /// See [`Self::SEED`].
    pub const MASK: usize = 2;
    /// See [`Self::SEED`].
    pub const COUNT: usize = 4;
    /// See [`Self::SEED`].
    pub const LIVES: usize = 8;
    /// First word of the first entry.
    pub const ENTRIES: usize = 64;
    /// Words of an entry: task, operation, number of values, values.
    pub const ENTRY: usize = 12;
    /// Number of entries that fit.
    pub const MAX: usize = 1024;
    /// Operation of an entry for the start of a worker.
    pub const START: u32 = 0xff;
}

/// Byte `at` of what worker `task` sends or lends in its operation `op`.
pub fn pattern(task: usize, op: usize, at: usize) -> u8 {
    (task * 37 + op * 11 + at * 3 + 1) as u8
}

/// A number that depends on every byte and its place.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(7, |sum: u32, &byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    })
}

/// FNV-1a over words.
pub struct Hash(pub u64);

impl Hash {
    /// The hash of no words.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a word.
    pub fn add(&mut self, word: u32) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}
