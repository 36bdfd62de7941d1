//! Read-modify-write on atomics for processors that lack it (ARMv6-M).
//!
//! Bring the traits into scope where code must also build for such a processor; on others the
//! methods of the atomic types themselves take precedence. Each operation is a load and a store,
//! which is atomic enough within a task (one thread, not interrupted by other code of the task) and
//! nowhere else.
//!
//! Names and signatures are those of Hubris' crate of this name.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What [`AtomicU32`] lacks on ARMv6-M.
pub trait AtomicU32Ext {
    /// Stores `value`, returns the previous value.
    fn swap(&self, value: u32, order: Ordering) -> u32;
    /// Adds `value`, wrapping, returns the previous value.
    fn fetch_add(&self, value: u32, order: Ordering) -> u32;
    /// Subtracts `value`, wrapping, returns the previous value.
    fn fetch_sub(&self, value: u32, order: Ordering) -> u32;
}

/// What [`AtomicBool`] lacks on ARMv6-M.
pub trait AtomicBoolExt {
    /// Stores `value`, returns the previous value.
    fn swap(&self, value: bool, order: Ordering) -> bool;
}

/// The orderings of the load and of the store in an exchange with `order`.
#[inline(always)]
fn split(order: Ordering) -> (Ordering, Ordering) {
    match order {
        Ordering::Acquire => (Ordering::Acquire, Ordering::Relaxed),
        Ordering::Release => (Ordering::Relaxed, Ordering::Release),
        Ordering::AcqRel => (Ordering::Acquire, Ordering::Release),
        Ordering::SeqCst => (Ordering::SeqCst, Ordering::SeqCst),
        _ => (Ordering::Relaxed, Ordering::Relaxed),
    }
}

#[inline(always)]
fn update(atomic: &AtomicU32, order: Ordering, f: impl FnOnce(u32) -> u32) -> u32 {
    let (load, store) = split(order);
    let before = atomic.load(load);
    atomic.store(f(before), store);
    before
}

impl AtomicU32Ext for AtomicU32 {
    #[inline(always)]
    fn swap(&self, value: u32, order: Ordering) -> u32 {
        update(self, order, |_| value)
    }

    #[inline(always)]
    fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        update(self, order, |before| before.wrapping_add(value))
    }

    #[inline(always)]
    fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        update(self, order, |before| before.wrapping_sub(value))
    }
}

impl AtomicBoolExt for AtomicBool {
    #[inline(always)]
    fn swap(&self, value: bool, order: Ordering) -> bool {
        let (load, store) = split(order);
        let before = self.load(load);
        self.store(value, store);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_equal_those_of_real_atomics() {
        let word = AtomicU32::new(1);
        assert_eq!(AtomicU32Ext::fetch_sub(&word, 2, Ordering::Relaxed), 1);
        assert_eq!(
            AtomicU32Ext::fetch_add(&word, 5, Ordering::AcqRel),
            u32::MAX
        );
        assert_eq!(AtomicU32Ext::swap(&word, 9, Ordering::SeqCst), 4);
        assert_eq!(word.into_inner(), 9);
        let flag = AtomicBool::new(false);
        assert!(!AtomicBoolExt::swap(&flag, true, Ordering::Acquire));
        assert!(AtomicBoolExt::swap(&flag, false, Ordering::Release));
    }
}
