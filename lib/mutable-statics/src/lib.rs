//! Buffers that live as long as the program, handed out as `&'static mut`.
//!
//! A task's large arrays belong into statics, not on its small stack. [`mutable_statics!`] declares such arrays where
//! they are used, initialises them element by element (no copy of the array is ever on the stack), and evaluates to a
//! tuple of unique references:
//!
//! ```ignore
//! let (pages, tags) = mutable_statics! {
//!     static mut PAGES: [Page; 16] = [Page::zeroed; _];
//!     static mut TAGS: [u8; 16] = [|| 0xFF; _];
//! };
//! ```
//!
//! The first expression is a function or closure that is called once for each element. An evaluation of the same
//! macro call a second time panics: that is what makes the references unique. The arrays carry no initial image;
//! they are in `.bss`, or where an attribute such as `#[unsafe(link_section = ".bulk")]` puts them: nothing is
//! expected of the memory there, which may be left as it is at the start of the task.
//!
//! The expansion needs `unsafe`; the caller does not.
//!
//! Interface: hubris-interface section 8.3.

#![no_std]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

/// Storage for one array of [`mutable_statics!`]. Not for direct use.
#[doc(hidden)]
#[repr(transparent)]
pub struct Storage<T, const N: usize>(UnsafeCell<MaybeUninit<[T; N]>>);

// SAFETY: the content is reached only through the one reference that `claim` gives away, so sharing the storage moves
// the elements between threads at most.
unsafe impl<T: Send, const N: usize> Sync for Storage<T, N> {}

/// Whether a [`Storage`] has been claimed. Apart from it, because a section that is not initialised, as an attribute
/// may name one, would not say no at first.
#[doc(hidden)]
pub struct Taken(AtomicBool);

impl Taken {
    /// Not yet.
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
            // SAFETY: `i < N`, so the element lies within the array that there is room for; `taken` is always the same
            // and keeps all other callers away, so nothing else refers to it.
            unsafe { array.add(i).write(init()) };
        }
        // SAFETY: all N elements were written above, and `taken` is never cleared, so this is the only reference
        // there will ever be.
        unsafe { (*self.0.get()).assume_init_mut() }
    }
}

/// Sets `flag` and tells whether it was set before. Two steps where the processor cannot do it in one, which is sound
/// there because a task is never preempted by its own code.
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

/// Declares mutable static arrays and evaluates to a tuple of unique references to them; see the crate's description.
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
            // SAFETY: this is the only place that can name either, and it names both.
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

    /// A section that is not initialised holds nothing but the array.
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
        // The compiler takes for granted that two statics are in two places.
        let (start, stop) = core::hint::black_box((&raw const START, &raw const STOP));
        assert_eq!(words.as_ptr().addr(), start.addr());
        assert_eq!(stop.addr() - start.addr(), size_of_val(words));
    }

    extern crate std;
}
