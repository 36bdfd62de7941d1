//! Values in words of a block.

use block_device::{BLOCK_WORDS, Block};
use core::sync::atomic::{AtomicU32, Ordering};

/// Words of a block, from `first` on, `count` of them.
pub(crate) fn words(block: &Block, first: usize, count: usize) -> &[AtomicU32] {
    let end = first.saturating_add(count).min(BLOCK_WORDS);
    block.words().get(first..end).unwrap_or(&[])
}

pub(crate) fn load(word: &AtomicU32) -> u32 {
    u32::from_le(word.load(Ordering::Relaxed))
}

pub(crate) fn store(word: &AtomicU32, value: u32) {
    word.store(value.to_le(), Ordering::Relaxed);
}

/// Stores the word that makes everything stored before it count.
pub(crate) fn publish(word: &AtomicU32, value: u32) {
    word.store(value.to_le(), Ordering::Release);
}

/// Checksum of words, beginning from a magic number so that the parts of the region cannot be taken for one another.
///
/// Memory is either as it was left or garbage, so a few instructions per word are enough; what goes to the card has a
/// CRC. Each step is a bijection of the sum and of the word: no change of a single word goes unnoticed.
pub(crate) fn check(magic: u32, words: &[AtomicU32]) -> u32 {
    words.iter().fold(magic, |sum, word| mix(sum, load(word)))
}

/// As [`check`], of values.
pub(crate) fn check_values(magic: u32, values: &[u32]) -> u32 {
    values.iter().fold(magic, |sum, value| mix(sum, *value))
}

#[inline]
fn mix(sum: u32, word: u32) -> u32 {
    // An odd factor, the golden ratio's, and a rotation that brings its well-mixed high bits down.
    (sum ^ word).wrapping_mul(0x9E37_79B1).rotate_left(15)
}
