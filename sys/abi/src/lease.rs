//! Leases: memory a caller lends to the server it waits for.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// One entry of the lease table that SEND points at.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
#[repr(C)]
pub struct ULease {
    /// What the borrower may do.
    pub attributes: LeaseAttributes,
    /// First byte.
    pub base_address: u32,
    /// Length in bytes.
    pub length: u32,
}

/// What a borrower may do with a lease.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[repr(transparent)]
pub struct LeaseAttributes(u32);

bitflags! {
    impl LeaseAttributes: u32 {
        /// The borrower may read it (BORROW_READ).
        const READ = 1 << 0;
        /// The borrower may write it (BORROW_WRITE).
        const WRITE = 1 << 1;
    }
}
