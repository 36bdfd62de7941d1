//! Checksums: CRC-32C for the structures of this format, CRC-32 for the GPT.
//!
//! CRC-32C (Castagnoli, reflected, as in iSCSI, RFC 3720 appendix B.4) is computed four bytes at a time with four
//! tables (4 KiB), in about four instructions per byte. A checksum can be continued: that of a log page is updated with
//! each record, and writing the page costs no pass over its records.

/// CRC-32C polynomial, reflected.
const CASTAGNOLI: u32 = 0x82F6_3B78;
/// CRC-32 (IEEE 802.3) polynomial, reflected; used by the GPT.
const IEEE: u32 = 0xEDB8_8320;

/// Table `n` is for a byte that `n` bytes follow. They are four statics so that each gets a register in the inner loop.
static TABLE_0: [u32; 256] = table(0);
static TABLE_1: [u32; 256] = table(1);
static TABLE_2: [u32; 256] = table(2);
static TABLE_3: [u32; 256] = table(3);
static NIBBLES: [u32; 16] = nibbles();

/// A CRC-32C in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Crc32c {
    /// The checksum of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Continues a checksum from its value.
    #[must_use]
    pub const fn resume(value: u32) -> Self {
        Self(!value)
    }

    /// The value of the checksum so far.
    #[must_use]
    pub const fn value(self) -> u32 {
        !self.0
    }

    /// The checksum with one more little-endian word.
    #[must_use]
    #[inline]
    pub fn word(self, word: u32) -> Self {
        let [a, b, c, d] = (self.0 ^ word).to_le_bytes();
        Self(look(&TABLE_3, a) ^ look(&TABLE_2, b) ^ look(&TABLE_1, c) ^ look(&TABLE_0, d))
    }

    /// The checksum with one more byte.
    #[must_use]
    #[inline]
    pub fn byte(self, byte: u8) -> Self {
        let [low, ..] = self.0.to_le_bytes();
        Self(look(&TABLE_0, low ^ byte) ^ (self.0 >> 8))
    }

    /// The checksum with more bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        // Unrolled by hand to two words: this crate is compiled for size, and an emergency write spends most of its
        // instructions in this loop.
        let (pairs, rest) = bytes.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in pairs {
            let first = u32::from_le_bytes([*a, *b, *c, *d]);
            let second = u32::from_le_bytes([*e, *f, *g, *h]);
            self = self.word(first).word(second);
        }
        for byte in rest {
            self = self.byte(*byte);
        }
        self
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// A CRC-32 of the GPT in progress. The GPT is read once per start, so this one is small instead of fast: its table has
/// 64 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// The checksum of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// The checksum with more bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = nibble(nibble(self.0 ^ u32::from(*byte)));
        }
        self
    }

    /// The value of the checksum so far.
    #[must_use]
    pub const fn value(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn look(table: &[u32; 256], index: u8) -> u32 {
    table[usize::from(index)]
}

#[inline]
fn nibble(crc: u32) -> u32 {
    NIBBLES[(crc & 0xF) as usize] ^ (crc >> 4)
}

const fn shift(mut value: u32, polynomial: u32, bits: u32) -> u32 {
    let mut bit = 0;
    while bit < bits {
        value = if value & 1 == 1 {
            (value >> 1) ^ polynomial
        } else {
            value >> 1
        };
        bit += 1;
    }
    value
}

const fn table(bytes_behind: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = shift(byte as u32, CASTAGNOLI, 8 * (bytes_behind + 1));
        byte += 1;
    }
    table
}

const fn nibbles() -> [u32; 16] {
    let mut table = [0; 16];
    let mut value = 0;
    while value < 16 {
        table[value] = shift(value as u32, IEEE, 4);
        value += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_values() {
        assert_eq!(Crc32c::new().bytes(b"123456789").value(), 0xE306_9283);
        assert_eq!(Crc32::new().bytes(b"123456789").value(), 0xCBF4_3926);
        assert_eq!(Crc32c::new().value(), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_implementation(
            data in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..600,
        ) {
            let theirs = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&data);
            let (left, right) = data.split_at(cut.min(data.len()));
            let ours = Crc32c::resume(Crc32c::new().bytes(left).value()).bytes(right);
            prop_assert_eq!(ours.value(), theirs);
            let theirs = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&data);
            prop_assert_eq!(Crc32::new().bytes(&data).value(), theirs);
        }
    }
}
