//! One counter.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic;

/// A counter: an atomic number of `core`, which it dereferences to.
///
/// It is a type of its own because Humility finds the counters of an image by these names: a
/// structure `AtomicU32` with an `UnsafeCell` named `v`. From rustc 1.96 on, `core`'s own type has
/// another structure.
#[repr(transparent)]
pub struct AtomicU32 {
    v: UnsafeCell<u32>,
}

// SAFETY: `v` is reached only through `deref`, which returns an atomic number.
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
        // SAFETY: the pointer is to a `u32` that is alive while `self` is borrowed, and aligned, as
        // asserted. `v` is accessed only through the atomic numbers that this function returns.
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
