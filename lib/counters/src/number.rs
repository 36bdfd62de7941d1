//! One counter.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic;

/// A counter: an atomic number of `core`, which it dereferences to.
///
/// It is a type of its own because Humility reads the counters of an image by the names that are here, a structure
/// `AtomicU32` with an `UnsafeCell` named `v` (humility section 8). The number of `core` is built differently from
/// rustc 1.96 on.
#[repr(transparent)]
pub struct AtomicU32 {
    v: UnsafeCell<u32>,
}

// SAFETY: `v` is reached through `deref` alone, and that gives out an atomic number.
unsafe impl Sync for AtomicU32 {}

impl AtomicU32 {
    /// A counter that stands at `v`.
    pub const fn new(v: u32) -> Self {
        Self {
            v: UnsafeCell::new(v),
        }
    }
}

impl Deref for AtomicU32 {
    type Target = atomic::AtomicU32;

    #[inline(always)]
    fn deref(&self) -> &atomic::AtomicU32 {
        const {
            assert!(
                align_of::<AtomicU32>() == align_of::<atomic::AtomicU32>(),
                "a word is aligned as an atomic word"
            );
        }
        // SAFETY: the pointer is that of a `u32` which lives for as long as `self` is borrowed, and it is aligned, as
        // asserted. Nothing accesses `v` but the atomic numbers that this function returns.
        unsafe { atomic::AtomicU32::from_ptr(self.v.get()) }
    }
}

impl Default for AtomicU32 {
    fn default() -> Self {
        Self::new(0)
    }
}

impl From<u32> for AtomicU32 {
    fn from(v: u32) -> Self {
        Self::new(v)
    }
}

impl fmt::Debug for AtomicU32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
