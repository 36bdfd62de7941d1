//! FNV-1a of 64 bits: hashes that are the same on every machine

/// A running hash.
#[derive(Copy, Clone, Debug)]
pub struct Fnv64(u64);

impl Fnv64 {
    /// Hash of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes and their number. The number makes the result depend on where one call ends and
    /// the next begins.
    pub fn add(&mut self, bytes: &[u8]) {
        self.mix(bytes);
        self.mix(&bytes.len().to_le_bytes());
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash so far.
    pub fn finish(self) -> u64 {
        self.0
    }

    /// Hash of one piece.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::new();
        hash.mix(bytes);
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values published with the algorithm.
    #[test]
    fn agrees_with_published_values() {
        assert_eq!(Fnv64::of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv64::of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Fnv64::of(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
