//! Static arrays as `&'static mut` references.
//!
//! A task's large arrays belong in statics, not on its small stack. [`mutable_statics!`] declares
//! such arrays where they are used, initialises them element by element (the stack never holds a
//! copy of the array), and evaluates to a tuple of unique references:
//!
//! ```ignore
//! let (pages, tags) = mutable_statics! {
//!     static mut PAGES: [Page; 16] = [Page::zeroed; _];
//!     static mut TAGS: [u8; 16] = [|| 0xFF; _];
//! };
//! ```
//!
//! The first expression is a function or closure that is called once for each element. Evaluating
//! the same macro call a second time panics, so the references are unique. The arrays have no
//! initial image; they are in `.bss`, or where an attribute such as
//! `#[unsafe(link_section = ".bulk")]` puts them. That section need not be initialised at the start
//! of the task.
//!
//! Names and signatures are those of Hubris' crate of this name. The expansion needs `unsafe`; the
//! caller does not.

#![no_std]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

/// Storage for one array of [`mutable_statics!`]. Not for direct use.
#[doc(hidden)]
#[repr(transparent)]
pub struct Storage<T, const N: usize>(UnsafeCell<MaybeUninit<[T; N]>>);

// SAFETY: the content is reached only through the one reference that `claim` returns, so sharing
// the storage can move the elements to another thread but not share them.
unsafe impl<T: Send, const N: usize> Sync for Storage<T, N> {}

/// Whether a [`Storage`] has been claimed. Not a part of it, because an attribute may put the
/// storage into a section that is not initialised, where the flag would start with an arbitrary
/// value.
#[doc(hidden)]
pub struct Taken(AtomicBool);

impl Taken {
    /// Not claimed yet.
    #[doc(hidden)]
    #[allow(
        clippy::new_without_default,
        reason = "only ever a static's initialiser"
    )]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl<T, const N: usize> Storage<T, N> {
    /// Storage without content.
    #[doc(hidden)]
    #[allow(
        clippy::new_without_default,
        reason = "only ever a static's initialiser"
    )]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Fills the array by calling `init` for each element, in order, and takes it.
    ///
    /// # Panics
    ///
    /// From the second call on.
    ///
    /// # Safety
    ///
    /// All calls for one storage are given the same `taken`.
    #[doc(hidden)]
    #[allow(clippy::mut_from_ref, reason = "the flag makes the reference unique")]
    #[track_caller]
    pub unsafe fn claim(&self, taken: &'static Taken, mut init: impl FnMut() -> T) -> &mut [T; N] {
        if test_and_set(&taken.0) {
            panic!();
        }
        let array: *mut T = self.0.get().cast();
        for i in 0..N {
            // SAFETY: `i < N`, so the element lies within the array; `taken` is always the same one
            // and lets no second caller get here, so nothing else refers to the element.
            unsafe { array.add(i).write(init()) };
        }
        // SAFETY: all N elements were written above, and `taken` is never cleared, so no other
        // reference is ever made.
        unsafe { (*self.0.get()).assume_init_mut() }
    }
}

/// Sets `flag` and returns whether it was set before. On processors without an atomic exchange it
/// takes a load and a store, which is sound there because a task is never preempted by its own
/// code.
fn test_and_set(flag: &AtomicBool) -> bool {
    #[cfg(target_has_atomic = "8")]
    {
        flag.swap(true, Ordering::Acquire)
    }
    #[cfg(not(target_has_atomic = "8"))]
    {
        let before = flag.load(Ordering::Acquire);
        flag.store(true, Ordering::Relaxed);
        before
    }
}

/// Declares mutable static arrays and evaluates to a tuple of unique references to them; see the
/// crate's description.
#[macro_export]
macro_rules! mutable_statics {
    ($(
        $(#[$attribute:meta])*
        static mut $name:ident: [$element:ty; $count:expr] = [$init:expr; _];
    )*) => {
        ($({
            static __TAKEN: $crate::Taken = $crate::Taken::new();
            $(#[$attribute])*
            static $name: $crate::Storage<$element, { $count }> = $crate::Storage::new();
            let (storage, init) = (&$name, $init);
            // SAFETY: both statics are visible in this block only, so `claim` always gets this
            // `__TAKEN`.
            unsafe { storage.claim(&__TAKEN, init) }
        },)*)
    };
}

#[cfg(test)]
mod tests {
    fn claim() -> (&'static mut [u32; 4], &'static mut [u8; 2]) {
        let mut next = 0;
        mutable_statics! {
            static mut NUMBERS: [u32; 4] = [|| { next += 1; next }; _];
            static mut BYTES: [u8; 2] = [Default::default; _];
        }
    }

    #[test]
    fn elements_are_initialised_in_order_and_only_once() {
        let (numbers, bytes) = claim();
        assert_eq!((&*numbers, &*bytes), (&[1, 2, 3, 4], &[0, 0]));
        numbers[0] = 7;
        assert_eq!(numbers[0], 7);
        assert!(std::panic::catch_unwind(claim).is_err());
    }

    /// A section named by an attribute holds the array and nothing else, in particular not the
    /// flag.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_section_has_the_array_alone() {
        unsafe extern "C" {
            #[link_name = "__start_bulk"]
            static START: u8;
            #[link_name = "__stop_bulk"]
            static STOP: u8;
        }
        let (words,) = mutable_statics! {
            #[unsafe(link_section = "bulk")]
            static mut WORDS: [u32; 8] = [|| 5; _];
        };
        assert_eq!(words, &[5; 8]);
        // Without `black_box` the compiler assumes that two statics have different addresses.
        let (start, stop) = core::hint::black_box((&raw const START, &raw const STOP));
        assert_eq!(words.as_ptr().addr(), start.addr());
        assert_eq!(stop.addr() - start.addr(), size_of_val(words));
    }

    extern crate std;
}
