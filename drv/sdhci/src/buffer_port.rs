//! The buffer data port (section 2.2.8): a block, word by word.
//!
//! Both drivers use these two loops. They hold no state, wait for nothing and start nothing; the
//! driver has seen Buffer Read Ready or Buffer Write Ready before it calls them. So a crash in the
//! middle of one leaves nothing behind but the port's own position, which the reset at the start of
//! the emergency path clears.
//!
//! Both are unrolled by hand, because at the size optimisation of this crate the compiler does not,
//! and they are the only long loops of a transfer without DMA. `words` must be a multiple of four
//! words: a rest would be left out. [`BlockLen`](crate::BlockLen) guarantees it.

use crate::registers::{BUFFER, Registers};
use core::sync::atomic::{AtomicU32, Ordering};

/// Words that one turn of a loop moves.
pub(crate) const UNROLL: usize = 4;

/// Reads a block from the port into `words`.
#[inline(never)]
pub(crate) fn to_memory(registers: &impl Registers, words: &[AtomicU32]) {
    let take = |word: &AtomicU32| {
        word.store(registers.read(BUFFER).get().to_le(), Ordering::Relaxed);
    };
    for four in words.chunks_exact(UNROLL) {
        let [a, b, c, d] = four else { return };
        take(a);
        take(b);
        take(c);
        take(d);
    }
}

/// Writes a block from `words` to the port.
#[inline(never)]
pub(crate) fn from_memory(registers: &impl Registers, words: &[AtomicU32]) {
    let put = |word: &AtomicU32| {
        registers.set(BUFFER, u32::from_le(word.load(Ordering::Relaxed)));
    };
    for four in words.chunks_exact(UNROLL) {
        let [a, b, c, d] = four else { return };
        put(a);
        put(b);
        put(c);
        put(d);
    }
}
