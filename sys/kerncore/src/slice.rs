//! Slices of a task's memory, as the task passes them in registers.
//!
//! Two questions, always in this order. Is the slice *well formed*: aligned, and not wrapping round
//! the end of memory? That is a property of the two numbers; holding a [`UserSlice`] proves it.
//! Does the task *own* the memory? That depends on its map, and [`covered`] answers it.

use abi::{ULease, UsageError};
use core::marker::PhantomData;

/// Types that user slices may consist of: those for which every bit pattern is a valid value.
pub trait Element {
    /// Size in bytes.
    const SIZE: u32;
    /// Alignment in bytes, a power of two.
    const ALIGN: u32;

    /// Does the size of `count` elements in bytes fit into a `u32`? For nearly all counts the upper
    /// bits alone answer it.
    #[inline(always)]
    fn countable(count: u32) -> bool {
        Self::SIZE == 1
            || count >> const { (u32::MAX / Self::SIZE).ilog2() } == 0
            || Self::countable_exactly(count)
    }

    /// As [`Element::countable`], for all counts.
    #[cold]
    #[inline(never)]
    fn countable_exactly(count: u32) -> bool {
        count <= u32::MAX / Self::SIZE
    }
}

impl Element for u8 {
    const SIZE: u32 = 1;
    const ALIGN: u32 = 1;
}

impl Element for ULease {
    const SIZE: u32 = size_of::<ULease>() as u32;
    const ALIGN: u32 = align_of::<ULease>() as u32;
}

/// A well-formed slice: its base is aligned for `T` and its end, exclusive, is representable.
///
/// Says nothing about who may access it.
#[derive(Debug, Eq, PartialEq)]
pub struct UserSlice<T> {
    base: u32,
    /// Address after the last byte.
    end: u32,
    count: u32,
    element: PhantomData<T>,
}

impl<T> Copy for UserSlice<T> {}

impl<T> Clone for UserSlice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> UserSlice<T> {
    /// `count` elements from address `base` on.
    ///
    /// # Errors
    ///
    /// [`UsageError::InvalidSlice`] if `base` is misaligned, or the slice touches the last byte of
    /// memory or wraps.
    #[inline(always)]
    pub fn new(base: u32, count: u32) -> Result<Self, UsageError> {
        if base & (T::ALIGN - 1) != 0 {
            return Err(UsageError::InvalidSlice);
        }
        // Fast path for types whose size takes a multiplication: without elements the end is the
        // base.
        let end = if T::SIZE != 1 && count == 0 {
            base
        } else if !T::countable(count) {
            return Err(UsageError::InvalidSlice);
        } else {
            base.checked_add(count.wrapping_mul(T::SIZE))
                .ok_or(UsageError::InvalidSlice)?
        };
        Ok(Self {
            base,
            end,
            count,
            element: PhantomData,
        })
    }

    /// Address of the first byte.
    #[inline(always)]
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Number of elements.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Address after the last byte.
    #[inline(always)]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Has it no elements? Such a slice is never accessed, whatever its base.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Element `index` alone.
    #[inline]
    pub fn element(self, index: u32) -> Option<Self> {
        if index >= self.count {
            return None;
        }
        // Cannot wrap: the element lies inside a slice that does not.
        let base = self.base.wrapping_add(index.wrapping_mul(T::SIZE));
        Some(Self {
            base,
            end: base.wrapping_add(T::SIZE),
            count: 1,
            ..self
        })
    }
}

/// A piece of memory in a task's map.
pub trait Span {
    /// Address of the first byte.
    fn base(&self) -> u32;
    /// Length in bytes; `base + size` does not exceed 2^32.
    fn size(&self) -> u32;
}

/// Do regions of `map` for which `permitted` holds cover all bytes of `[base, end)`, adjacent ones
/// together?
///
/// `map` must be sorted by base and its regions must not overlap; the kernel checks both once, at
/// start. `false` for an empty range: callers handle that case themselves.
#[inline(always)]
pub fn covered<'a, S: Span + 'a>(
    map: impl IntoIterator<Item = &'a S>,
    base: u32,
    end: u32,
    permitted: impl Fn(&S) -> bool,
) -> bool {
    let mut next = base;
    for region in map {
        let Some(inside) = next.checked_sub(region.base()) else {
            // Sorted: all further regions lie higher still.
            return false;
        };
        let Some(rest @ 1..) = region.size().checked_sub(inside) else {
            continue;
        };
        if !permitted(region) {
            return false;
        }
        if end.wrapping_sub(next) <= rest {
            return true;
        }
        next = next.wrapping_add(rest);
    }
    false
}

/// Do two slices share a byte?
#[inline(always)]
pub fn overlap<T: Element>(a: &UserSlice<T>, b: &UserSlice<T>) -> bool {
    !a.is_empty() && !b.is_empty() && a.base < b.end() && b.base < a.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_start_anywhere_but_not_reach_the_top() {
        assert!(UserSlice::<u8>::new(0, 0).is_ok());
        assert!(UserSlice::<u8>::new(u32::MAX, 0).is_ok());
        assert!(UserSlice::<u8>::new(1, u32::MAX - 1).is_ok());
        assert_eq!(
            UserSlice::<u8>::new(1, u32::MAX),
            Err(UsageError::InvalidSlice)
        );
        assert_eq!(
            UserSlice::<u8>::new(u32::MAX, 1),
            Err(UsageError::InvalidSlice)
        );
    }

    #[test]
    fn leases_are_aligned_and_their_length_does_not_wrap() {
        assert!(UserSlice::<ULease>::new(4, 3).is_ok());
        assert!(UserSlice::<ULease>::new(2, 0).is_err());
        assert!(UserSlice::<ULease>::new(0, u32::MAX / 12 + 1).is_err());
        assert!(UserSlice::<ULease>::new(0, 1 << 30).is_err());
        let table = UserSlice::<ULease>::new(0x100, 2).unwrap();
        assert_eq!(
            table.element(1).map(|e| (e.base(), e.end())),
            Some((0x10c, 0x118))
        );
        assert!(table.element(2).is_none());
    }

    struct Piece(u32, u32, bool);

    impl Span for Piece {
        fn base(&self) -> u32 {
            self.0
        }
        fn size(&self) -> u32 {
            self.1
        }
    }

    /// Compares with a byte-by-byte definition, over all ranges of a small memory.
    #[test]
    fn coverage_agrees_with_the_definition() {
        let map = [
            Piece(0, 0, true), // padding, as in the task descriptors
            Piece(2, 3, true),
            Piece(5, 2, true),
            Piece(7, 2, false),
            Piece(9, 4, true),
            Piece(15, 1, true),
        ];
        for base in 0..20u32 {
            for end in base + 1..20 {
                let expected = (base..end)
                    .all(|byte| map.iter().any(|p| p.2 && byte >= p.0 && byte - p.0 < p.1));
                assert_eq!(covered(&map, base, end, |p| p.2), expected, "{base}..{end}");
            }
        }
    }

    #[test]
    fn coverage_at_the_top_of_memory() {
        let map = [Piece(0xffff_f000, 0x1000, true)];
        assert!(covered(&map, 0xffff_f000, 0xffff_ffff, |p| p.2));
        assert!(!covered(&map, 0xffff_efff, 0xffff_ffff, |p| p.2));
    }

    #[test]
    fn overlap_agrees_with_the_definition() {
        for (a, n, b, m) in (0..5 * 5 * 5 * 5).map(|i| (i % 5, i / 5 % 5, i / 25 % 5, i / 125)) {
            let x = UserSlice::<u8>::new(a, n).unwrap();
            let y = UserSlice::<u8>::new(b, m).unwrap();
            let shared = (a..a + n).any(|byte| (b..b + m).contains(&byte));
            assert_eq!(overlap(&x, &y), shared);
        }
    }
}
