//! Little-endian values in the words of a block, and their check.

use block_device::{BLOCK_WORDS, Block};
use core::sync::atomic::{AtomicU32, Ordering};

/// `count` words of a block, from word `first` on; fewer if the block ends before.
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

/// Stores the word that makes everything stored before it valid. The stores keep this order.
pub(crate) fn publish(word: &AtomicU32, value: u32) {
    word.store(value.to_le(), Ordering::Release);
}

/// Checksum of words. It begins with a magic number, so that one part of the region does not pass
/// for another.
///
/// Memory is either as it was left or garbage, so a few instructions per word are enough; what goes
/// to the card has a CRC. Each step is a bijection of the sum and of the word, so any change of a
/// single word changes the result.
pub(crate) fn check(magic: u32, words: &[AtomicU32]) -> u32 {
    words.iter().fold(magic, |sum, word| mix(sum, load(word)))
}

/// As [`check`], of values that were loaded.
pub(crate) fn check_values(magic: u32, values: &[u32]) -> u32 {
    values.iter().fold(magic, |sum, value| mix(sum, *value))
}

#[inline]
fn mix(sum: u32, word: u32) -> u32 {
    // An odd factor (2^32 divided by the golden ratio), and a rotation that moves the well-mixed
    // high bits down.
    (sum ^ word).wrapping_mul(0x9E37_79B1).rotate_left(15)
}
