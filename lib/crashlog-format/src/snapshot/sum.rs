//! The checksum of memory.

/// A checksum over words: of the data of an extent, and of the tables of an image.
///
/// It is a polynomial in the words, modulo the prime [`WordSum::FACTOR`] * 2^32 - 1, with 2^-32 for
/// its variable: one step is that of a multiply-with-carry generator with the word added. No change
/// of a single word goes unnoticed, nor words that change places; other changes do with a
/// probability of about 2^-63.
///
/// A step is one instruction (UMAAL) on a 32-bit ARM core with DSP instructions, where a CRC takes
/// ten a word. The budget for saving memory, with copying and the search for fill, is four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordSum(u64);

impl WordSum {
    /// The sum of no words.
    pub const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    /// The factor of a step.
    pub const FACTOR: u32 = 0xFFFE_B81B;

    /// The sum of no words.
    #[must_use]
    pub const fn new() -> Self {
        Self(Self::SEED)
    }

    /// The sum with one more word, the little-endian value of four bytes.
    #[must_use]
    pub const fn word(self, word: u32) -> Self {
        let (low, high) = (self.0 & 0xFFFF_FFFF, self.0 >> 32);
        // At most 2^64 - 1, so nothing wraps.
        let step = low.wrapping_mul(Self::FACTOR as u64);
        Self(step.wrapping_add(high).wrapping_add(word as u64))
    }

    /// The sum with more words; bytes behind the last whole word are padded with zeros.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let sum = words
            .iter()
            .fold(self, |sum, word| sum.word(u32::from_le_bytes(*word)));
        if rest.is_empty() {
            return sum;
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        sum.word(u32::from_le_bytes(last))
    }

    /// Its value.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Default for WordSum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::WordSum;
    use proptest::prelude::*;

    fn sum(words: &[u32]) -> u64 {
        words
            .iter()
            .fold(WordSum::new(), |sum, word| sum.word(*word))
            .value()
    }

    #[test]
    fn a_step_is_that_of_the_documentation() {
        let step = (0x7F4A_7C15 * 0xFFFE_B81B_u64) + 0x9E37_79B9 + 7;
        assert_eq!(sum(&[7]), step);
        assert_eq!(sum(&[u32::MAX; 3]), sum(&[u32::MAX; 3]));
        assert_eq!(WordSum::new().bytes(b"ab").value(), sum(&[0x6261]));
        assert_eq!(
            WordSum::new().bytes(b"crashlog").value(),
            sum(&[u32::from_le_bytes(*b"cras"), u32::from_le_bytes(*b"hlog")])
        );
    }

    #[test]
    fn the_number_of_zeros_counts() {
        let sums: std::collections::BTreeSet<_> =
            (0..1024).map(|count| sum(&vec![0; count])).collect();
        assert_eq!(sums.len(), 1024);
    }

    proptest! {
        /// A change of one word, and words that change places, are noticed.
        #[test]
        fn changes_are_noticed(words in prop::collection::vec(any::<u32>(), 2..64), at: prop::sample::Index, other: prop::sample::Index, change in 1u32..) {
            let (at, other) = (at.index(words.len()), other.index(words.len()));
            let before = sum(&words);
            let mut changed = words.clone();
            changed[at] ^= change;
            prop_assert_ne!(sum(&changed), before);
            let mut changed = words.clone();
            changed.swap(at, other);
            prop_assert_eq!(sum(&changed) == before, changed == words);
        }
    }

    /// Two bits that change at any distance are noticed.
    #[test]
    fn every_pair_of_bits_is_noticed() {
        let words = [0x1234_5678, 0, u32::MAX, 0xBADD_CAFE, 7, 0x8000_0000];
        let before = sum(&words);
        let bits = words.len() * 32;
        for first in 0..bits {
            for second in first + 1..bits {
                let mut changed = words;
                changed[first / 32] ^= 1 << (first % 32);
                changed[second / 32] ^= 1 << (second % 32);
                assert_ne!(sum(&changed), before, "bits {first} and {second}");
            }
        }
    }
}
