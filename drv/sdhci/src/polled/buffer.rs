//! The buffer port, by this driver's own loops.

use crate::registers::{BUFFER, Registers};
use core::sync::atomic::{AtomicU32, Ordering};

/// Empties the buffer into `words`. Unrolled by hand: of all loops here, only these two are long.
#[inline(never)]
pub(super) fn to_memory(registers: &impl Registers, words: &[AtomicU32]) {
    let take = |word: &AtomicU32| {
        word.store(registers.read(BUFFER).get().to_le(), Ordering::Relaxed);
    };
    for four in words.chunks_exact(4) {
        let [a, b, c, d] = four else { return };
        take(a);
        take(b);
        take(c);
        take(d);
    }
}

/// Fills the buffer from `words`.
#[inline(never)]
pub(super) fn from_memory(registers: &impl Registers, words: &[AtomicU32]) {
    let put = |word: &AtomicU32| {
        registers.set(BUFFER, u32::from_le(word.load(Ordering::Relaxed)));
    };
    for four in words.chunks_exact(4) {
        let [a, b, c, d] = four else { return };
        put(a);
        put(b);
        put(c);
        put(d);
    }
}
