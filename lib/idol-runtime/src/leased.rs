//! A client's lease, with its content and its permissions in its type.

use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::Range;
use userlib::{
    LeaseAccess, LeaseAttributes, TaskId, lease_reaches, sys_borrow_info, sys_borrow_read,
    sys_borrow_write,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Marker: the lease may be read.
#[derive(Copy, Clone, Debug)]
pub enum R {}

/// Marker: the lease may be written.
#[derive(Copy, Clone, Debug)]
pub enum W {}

/// Marker: the lease may be read and written.
#[derive(Copy, Clone, Debug)]
pub enum RW {}

/// Permissions of a lease: [`R`], [`W`] or [`RW`].
pub trait Attribute {}

/// Markers of leases that may be read.
pub trait AttributeRead: Attribute {}

/// Markers of leases that may be written.
pub trait AttributeWrite: Attribute {}

impl Attribute for R {}
impl Attribute for W {}
impl Attribute for RW {}
impl AttributeRead for R {}
impl AttributeRead for RW {}
impl AttributeWrite for W {}
impl AttributeWrite for RW {}

/// A lease that had the size of a `T` (or of a whole number of elements, if `T` is a slice) and
/// allowed `A` when it was taken.
///
/// Accesses can fail nevertheless: the lender may be restarted at any time, and it may have lent
/// the memory that holds its lease table, which an access then changes. Before an access at an
/// offset other than 0 it is asked again how long the lease is, so that neither faults the server.
#[derive(Debug)]
pub struct Leased<A: Attribute, T: ?Sized> {
    lender: TaskId,
    index: usize,
    /// Number of elements; 1 if sized.
    len: usize,
    attribute: PhantomData<A>,
    content: PhantomData<fn(&T)>,
}

impl<A: Attribute, T: ?Sized> Leased<A, T> {
    /// The client whose lease it is.
    pub fn lender(&self) -> TaskId {
        self.lender
    }

    /// Index of the lease in the client's lease table.
    pub fn lease_index(&self) -> usize {
        self.index
    }

    #[inline(always)]
    fn new(lender: TaskId, index: usize, len: usize) -> Self {
        Self {
            lender,
            index,
            len,
            attribute: PhantomData,
            content: PhantomData,
        }
    }
}

impl<A: Attribute, T> Leased<A, T> {
    /// Takes a lease if it allows at least `wanted` and is exactly as long as a `T`.
    #[inline(always)]
    fn sized(lender: TaskId, index: usize, wanted: LeaseAttributes) -> Option<Self> {
        let info = sys_borrow_info(lender, index)?;
        (info.attributes.contains(wanted) && info.len == size_of::<T>())
            .then(|| Self::new(lender, index, 1))
    }
}

impl<A: Attribute, T> Leased<A, [T]> {
    /// Takes a lease if it allows at least `wanted` and holds a whole number of elements, no more
    /// than `max_len`.
    #[inline(always)]
    fn slice(
        lender: TaskId,
        index: usize,
        max_len: Option<NonZeroU32>,
        wanted: LeaseAttributes,
    ) -> Option<Self> {
        const { assert!(size_of::<T>() > 0, "the elements of a lease have a size") };
        let info = sys_borrow_info(lender, index)?;
        let len = info.len / size_of::<T>();
        let fits = max_len.is_none_or(|max| len <= max.get() as usize);
        (info.attributes.contains(wanted) && info.len.is_multiple_of(size_of::<T>()) && fits)
            .then(|| Self::new(lender, index, len))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Are there no elements?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Byte offset of element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[inline(always)]
    #[track_caller]
    fn offset_of(&self, index: usize) -> usize {
        assert!(index < self.len);
        // No overflow: the element lies within the lease.
        index.wrapping_mul(size_of::<T>())
    }

    /// Byte offset of `range`.
    ///
    /// # Panics
    ///
    /// If not all of the range lies within the lease.
    #[inline(always)]
    #[track_caller]
    fn offset_of_range(&self, range: &Range<usize>) -> usize {
        assert!(range.start <= range.end && range.end <= self.len);
        range.start.wrapping_mul(size_of::<T>())
    }
}

impl<T> Leased<R, T> {
    /// Takes lease `index` of `lender` for reading; `None` unless it is readable and as long as a
    /// `T`.
    #[inline(always)]
    pub fn read_only(lender: TaskId, index: usize) -> Option<Self> {
        Self::sized(lender, index, LeaseAttributes::READ)
    }
}

impl<T> Leased<W, T> {
    /// Takes lease `index` of `lender` for writing; `None` unless it is writable and as long as a
    /// `T`.
    #[inline(always)]
    pub fn write_only(lender: TaskId, index: usize) -> Option<Self> {
        Self::sized(lender, index, LeaseAttributes::WRITE)
    }
}

impl<T> Leased<RW, T> {
    /// Takes lease `index` of `lender` for both; `None` unless it is readable, writable and as long
    /// as a `T`.
    #[inline(always)]
    pub fn read_write(lender: TaskId, index: usize) -> Option<Self> {
        Self::sized(
            lender,
            index,
            LeaseAttributes::READ.union(LeaseAttributes::WRITE),
        )
    }
}

impl<T> Leased<R, [T]> {
    /// Takes lease `index` of `lender` for reading; `None` unless it is readable and holds a whole
    /// number of elements, at most `max_len`.
    #[inline(always)]
    pub fn read_only_slice(
        lender: TaskId,
        index: usize,
        max_len: Option<NonZeroU32>,
    ) -> Option<Self> {
        Self::slice(lender, index, max_len, LeaseAttributes::READ)
    }
}

impl<T> Leased<W, [T]> {
    /// Takes lease `index` of `lender` for writing; `None` unless it is writable and holds a whole
    /// number of elements, at most `max_len`.
    #[inline(always)]
    pub fn write_only_slice(
        lender: TaskId,
        index: usize,
        max_len: Option<NonZeroU32>,
    ) -> Option<Self> {
        Self::slice(lender, index, max_len, LeaseAttributes::WRITE)
    }
}

impl<T> Leased<RW, [T]> {
    /// Takes lease `index` of `lender` for both; `None` unless it is readable, writable and holds a
    /// whole number of elements, at most `max_len`.
    #[inline(always)]
    pub fn read_write_slice(
        lender: TaskId,
        index: usize,
        max_len: Option<NonZeroU32>,
    ) -> Option<Self> {
        Self::slice(
            lender,
            index,
            max_len,
            LeaseAttributes::READ.union(LeaseAttributes::WRITE),
        )
    }
}

/// Fills `dest` from byte `offset` of a lease. Returns `false` if not all of it was read.
#[inline(always)]
fn read_bytes(lender: TaskId, index: usize, offset: usize, dest: &mut [u8]) -> bool {
    lease_reaches(lender, index, offset, LeaseAccess::Read)
        && sys_borrow_read(lender, index, offset, dest) == (0, dest.len())
}

/// Writes `src` to byte `offset` of a lease. An error if not all of it was written.
#[inline(always)]
fn write_bytes(lender: TaskId, index: usize, offset: usize, src: &[u8]) -> Result<(), ()> {
    if lease_reaches(lender, index, offset, LeaseAccess::Write)
        && sys_borrow_write(lender, index, offset, src) == (0, src.len())
    {
        Ok(())
    } else {
        Err(())
    }
}

impl<A: AttributeRead, T: FromBytes + IntoBytes> Leased<A, T> {
    /// Reads the value; `None` if the lender was restarted or has changed the lease.
    #[inline(always)]
    pub fn read(&self) -> Option<T> {
        let mut value = T::new_zeroed();
        read_bytes(self.lender, self.index, 0, value.as_mut_bytes()).then_some(value)
    }
}

impl<A: AttributeWrite, T: IntoBytes + Immutable> Leased<A, T> {
    /// Writes the value.
    ///
    /// # Errors
    ///
    /// If the lender was restarted or has changed the lease.
    #[inline(always)]
    #[allow(
        clippy::result_unit_err,
        reason = "the interface; there is one reason only"
    )]
    pub fn write(&self, value: T) -> Result<(), ()> {
        write_bytes(self.lender, self.index, 0, value.as_bytes())
    }
}

impl<A: AttributeRead, T: FromBytes + IntoBytes> Leased<A, [T]> {
    /// Reads element `index`; `None` if the lender was restarted or has changed the lease.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[inline(always)]
    #[track_caller]
    pub fn read_at(&self, index: usize) -> Option<T> {
        let offset = self.offset_of(index);
        let mut value = T::new_zeroed();
        read_bytes(self.lender, self.index, offset, value.as_mut_bytes()).then_some(value)
    }

    /// Reads the elements in `range` to the start of `dest`.
    ///
    /// # Errors
    ///
    /// If the lender was restarted or has changed the lease; `dest` may have been written in part.
    ///
    /// # Panics
    ///
    /// If not all of the range lies within the lease, or it is longer than `dest`.
    #[inline(always)]
    #[track_caller]
    #[allow(
        clippy::result_unit_err,
        reason = "the interface; there is one reason only"
    )]
    pub fn read_range(&self, range: Range<usize>, dest: &mut [T]) -> Result<(), ()> {
        let offset = self.offset_of_range(&range);
        let Some(dest) = dest.get_mut(..range.len()) else {
            panic!()
        };
        if read_bytes(self.lender, self.index, offset, dest.as_mut_bytes()) {
            Ok(())
        } else {
            Err(())
        }
    }
}

impl<A: AttributeWrite, T: IntoBytes + Immutable> Leased<A, [T]> {
    /// Writes element `index`.
    ///
    /// # Errors
    ///
    /// If the lender was restarted or has changed the lease.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[inline(always)]
    #[track_caller]
    #[allow(
        clippy::result_unit_err,
        reason = "the interface; there is one reason only"
    )]
    pub fn write_at(&self, index: usize, value: T) -> Result<(), ()> {
        write_bytes(
            self.lender,
            self.index,
            self.offset_of(index),
            value.as_bytes(),
        )
    }

    /// Writes the start of `src` to the elements in `range`.
    ///
    /// # Errors
    ///
    /// If the lender was restarted or has changed the lease; part may have been written.
    ///
    /// # Panics
    ///
    /// If not all of the range lies within the lease, or it is longer than `src`.
    #[inline(always)]
    #[track_caller]
    #[allow(
        clippy::result_unit_err,
        reason = "the interface; there is one reason only"
    )]
    pub fn write_range(&self, range: Range<usize>, src: &[T]) -> Result<(), ()> {
        let offset = self.offset_of_range(&range);
        let Some(src) = src.get(..range.len()) else {
            panic!()
        };
        write_bytes(self.lender, self.index, offset, src.as_bytes())
    }
}
