//! Mutable statics whose borrows are checked at run time.
//!
//! * [`StaticCell`] lends its content to one borrower at a time; a second one is refused.
//! * [`ClaimOnceCell`] returns one reference to its content, for the rest of the program.
//!
//! Both keep their content in a member named `cell`, by which Humility finds it, and both are safe
//! with any number of threads: a task has only one, but host tests have several.
//!
//! Where the processor has no atomic exchange (ARMv6-M), the flags are loaded and stored in two
//! steps. That is sound there because a task is never preempted by other code of the same task.
//!
//! Names and signatures are those of Hubris' crate of this name. This crate needs `unsafe` to
//! return references to the content of an `UnsafeCell`.

#![no_std]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Sets `flag` and returns whether it was set before.
#[inline(always)]
fn test_and_set(flag: &AtomicBool) -> bool {
    cfg_if::cfg_if! {
        if #[cfg(target_has_atomic = "8")] {
            flag.swap(true, Ordering::Acquire)
        } else {
            let before = flag.load(Ordering::Acquire);
            flag.store(true, Ordering::Relaxed);
            before
        }
    }
}

/// A static whose content one holder at a time can borrow mutably.
#[derive(Debug)]
pub struct StaticCell<T> {
    borrowed: AtomicBool,
    cell: UnsafeCell<T>,
}

// SAFETY: `cell` is reached only through a `StaticRef`, and `borrowed` lets only one of those exist
// at a time; so sharing the cell can move `T` to another thread but not share it.
unsafe impl<T: Send> Sync for StaticCell<T> {}

impl<T> StaticCell<T> {
    /// A cell that holds `contents` and is not borrowed.
    pub const fn new(contents: T) -> Self {
        Self {
            borrowed: AtomicBool::new(false),
            cell: UnsafeCell::new(contents),
        }
    }

    /// Borrows the content until the returned guard is dropped; `None` if it is borrowed already.
    #[inline]
    pub fn try_borrow_mut(&self) -> Option<StaticRef<'_, T>> {
        if test_and_set(&self.borrowed) {
            return None;
        }
        Some(StaticRef { owner: self })
    }

    /// Borrows the content until the returned guard is dropped.
    ///
    /// # Panics
    ///
    /// If it is borrowed already.
    #[inline]
    #[track_caller]
    pub fn borrow_mut(&self) -> StaticRef<'_, T> {
        match self.try_borrow_mut() {
            Some(guard) => guard,
            None => panic!(),
        }
    }
}

/// Proof that the holder alone may use the content of a [`StaticCell`]. Dropping it ends the
/// borrow.
#[derive(Debug)]
pub struct StaticRef<'a, T> {
    owner: &'a StaticCell<T>,
}

impl<T> Deref for StaticRef<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `borrowed` was clear when this guard was made and stays set until it is dropped,
        // so no other guard of the same cell exists; the reference lives no longer than `self`.
        unsafe { &*self.owner.cell.get() }
    }
}

impl<T> DerefMut for StaticRef<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` keeps this guard from lending twice.
        unsafe { &mut *self.owner.cell.get() }
    }
}

impl<T> Drop for StaticRef<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.owner.borrowed.store(false, Ordering::Release);
    }
}

/// A static whose content can be taken once, as a reference that lasts for the rest of the program.
#[derive(Debug)]
pub struct ClaimOnceCell<T> {
    taken: AtomicBool,
    cell: UnsafeCell<T>,
}

// SAFETY: `cell` is reached only through the one reference that `claim` returns, so sharing the
// cell can move `T` to another thread but not share it.
unsafe impl<T: Send> Sync for ClaimOnceCell<T> {}

impl<T> ClaimOnceCell<T> {
    /// A cell that holds `contents`, not yet claimed.
    pub const fn new(contents: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            cell: UnsafeCell::new(contents),
        }
    }

    /// Takes the content.
    ///
    /// # Panics
    ///
    /// From the second call on.
    #[allow(clippy::mut_from_ref, reason = "the flag makes the reference unique")]
    #[track_caller]
    pub fn claim(&self) -> &mut T {
        if test_and_set(&self.taken) {
            panic!();
        }
        // SAFETY: `taken` is never cleared, so this line runs at most once for each cell, and no
        // other reference to the content is ever made.
        unsafe { &mut *self.cell.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimOnceCell, StaticCell};

    #[test]
    fn second_borrow_is_refused_until_the_first_ends() {
        static CELL: StaticCell<u32> = StaticCell::new(1);
        {
            let mut first = CELL.borrow_mut();
            *first += 1;
            assert!(CELL.try_borrow_mut().is_none());
        }
        assert_eq!(CELL.try_borrow_mut().as_deref(), Some(&2));
    }

    #[test]
    fn claimed_content_is_writable() {
        static CELL: ClaimOnceCell<[u8; 2]> = ClaimOnceCell::new([1, 2]);
        let content: &'static mut [u8; 2] = CELL.claim();
        content[0] = 9;
        assert_eq!(content, &[9, 2]);
    }

    #[test]
    #[should_panic]
    fn second_claim_panics() {
        static CELL: ClaimOnceCell<u8> = ClaimOnceCell::new(0);
        CELL.claim();
        CELL.claim();
    }
}
