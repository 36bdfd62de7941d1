//! A constant that the build system fills in after compilation.
//!
//! Names and signatures are those of Hubris' crate of this name. This crate needs `unsafe` for the
//! volatile read.

#![no_std]

use core::ptr;

/// A value in read-only memory that the build system patches in the finished image. It is read from
/// memory each time: the compiler must not use the value that it sees in the source.
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

    /// Address of the value.
    pub const fn as_ptr(&self) -> *const T {
        &raw const self.value
    }
}
