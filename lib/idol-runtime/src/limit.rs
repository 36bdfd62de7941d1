//! An upper bound on a length, as part of the type.

use crate::{Attribute, Leased};
use core::ops::{Deref, DerefMut};

/// A `T` of at most `N` elements: the type of a lease with `max_len`.
#[derive(Debug)]
pub struct LenLimit<T, const N: usize>(T);

impl<T, const N: usize> LenLimit<T, N> {
    /// The value without the bound.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T, const N: usize> Deref for LenLimit<T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, const N: usize> DerefMut for LenLimit<T, N> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<A: Attribute, T, const N: usize> LenLimit<Leased<A, [T]>, N> {
    /// The length. `N` must be less than 2^16, so that it fits.
    pub fn len_as_u16(this: &Self) -> u16 {
        const {
            assert!(
                N <= u16::MAX as usize,
                "lengths up to N do not fit into a u16"
            )
        };
        this.0.len() as u16
    }

    /// The length. `N` must be less than 2^8, so that it fits.
    pub fn len_as_u8(this: &Self) -> u8 {
        const {
            assert!(
                N <= u8::MAX as usize,
                "lengths up to N do not fit into a u8"
            )
        };
        this.0.len() as u8
    }
}

impl<A: Attribute, T, const N: usize> TryFrom<Leased<A, [T]>> for LenLimit<Leased<A, [T]>, N> {
    type Error = ();

    #[inline(always)]
    fn try_from(lease: Leased<A, [T]>) -> Result<Self, ()> {
        if lease.len() <= N {
            Ok(Self(lease))
        } else {
            Err(())
        }
    }
}
