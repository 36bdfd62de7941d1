//! A constant that the build system fills in after the compiler is done.
//!
//! This crate needs `unsafe` for the volatile read.
//!
//! Interface: hubris-interface section 6.

#![no_std]

use core::ptr;

/// A value in read-only memory that is read anew each time, because something patches it in the finished image: the
/// compiler must not use the value it sees.
#[derive(Debug)]
#[repr(transparent)]
pub struct VolatileConst<T> {
    value: T,
}

impl<T: Copy> VolatileConst<T> {
    /// A constant that is `value` until it is patched.
    pub const fn new(value: T) -> Self {
        Self { value }
    }

    /// The value in memory.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: a reference is valid for reads, and `T` is `Copy`.
        unsafe { ptr::read_volatile(&raw const self.value) }
    }

    /// Where the value is.
    pub const fn as_ptr(&self) -> *const T {
        &raw const self.value
    }
}
