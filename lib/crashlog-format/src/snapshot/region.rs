//! Regions that tasks have registered.

use crate::crash::Name;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32},
};

/// One entry of the table of registered regions: 36 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SnapshotRegion {
    /// The name that the task gave it.
    pub name: Name,
    /// Address of its first byte.
    pub address: U32,
    /// Its length in bytes.
    pub length: U32,
    /// Index of the task that registered it.
    pub owner: U16,
    reserved: U16,
}

impl SnapshotRegion {
    /// A region of `length` bytes at `address`, registered by task `owner`.
    #[must_use]
    pub fn new(name: Name, owner: u16, address: u32, length: u32) -> Self {
        Self {
            name,
            address: address.into(),
            length: length.into(),
            owner: owner.into(),
            reserved: 0.into(),
        }
    }
}

const _: () = assert!(size_of::<SnapshotRegion>() == 36);
