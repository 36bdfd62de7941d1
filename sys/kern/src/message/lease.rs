//! Checks and use of leases: BORROW_READ, BORROW_WRITE, BORROW_INFO.
//!
//! This is the general path of the three calls.
//!
//! A lease exists only while its lender waits for the borrower's reply, and only in the lender's
//! memory. So each call reads the lender's lease table anew and checks, in this order:
//!
//! 1. the lender is alive and waits for the caller's reply;
//! 2. the lease table is well formed and in the lender's memory, and has the index (`find_lease`);
//! 3. the offset is inside the lease, and the lease allows the access (`leased_memory`);
//! 4. the lender owns the memory that the lease names, and the caller its buffer (`umem::copy`).
//!
//! A wrong table, or memory that is not the lender's, faults the lender, and the caller gets
//! DEFECT. Wrong arguments of the caller's own fault the caller. The fast path
//! ([`crate::fast_path`]) makes the same checks and leaves every case that fails one of them to
//! this module.

use crate::outcome::{CallError, CallFault, CallOutcome};
use crate::syscalls::args::{BorrowArgs, LeaseArgs, SendArgs};
use crate::table::{Kernel, TaskHandle};
use crate::umem::{self, CopyFaults};
use abi::{DEFECT, LeaseAttributes, SchedState, TaskState, ULease, UsageError};
use kerncore::slice::UserSlice;

/// An entry of a lease table. Its lender waits for the caller's reply; nothing in the entry itself
/// has been checked.
struct FoundLease {
    lender: TaskHandle,
    lease: ULease,
}

/// Why a BORROW call copies nothing.
enum BorrowError {
    /// The caller's call ends like this.
    Caller(CallError),
    /// The lender is faulted, and the caller gets DEFECT.
    Lender(TaskHandle, CallFault),
}

impl<T: Into<CallError>> From<T> for BorrowError {
    fn from(error: T) -> Self {
        Self::Caller(error.into())
    }
}

/// BORROW_READ: from the lease into the caller's buffer.
pub(crate) fn borrow_read(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let result = own_buffer(kernel, caller).and_then(|buffer| {
        let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::READ)?;
        umem::copy(kernel, lender, leased, caller, buffer).map_err(
            |CopyFaults {
                 source,
                 destination,
             }| { sort_faults(kernel, lender, source, destination) },
        )
    });
    finish(kernel, caller, result)
}

/// BORROW_WRITE: from the caller's buffer into the lease.
pub(crate) fn borrow_write(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let result = own_buffer(kernel, caller).and_then(|buffer| {
        let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::WRITE)?;
        umem::copy(kernel, caller, buffer, lender, leased).map_err(
            |CopyFaults {
                 source,
                 destination,
             }| { sort_faults(kernel, lender, destination, source) },
        )
    });
    finish(kernel, caller, result)
}

/// BORROW_INFO: attributes and length of the lease.
pub(crate) fn borrow_info(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    match find_lease(kernel, caller) {
        Ok(FoundLease { lease, .. }) => {
            kernel[caller]
                .save
                .set_borrow_info(lease.attributes.bits(), lease.length);
            Ok(caller)
        }
        Err(error) => fail(kernel, caller, error),
    }
}

/// The caller's own end of the copy. Checked first: the caller's mistakes come before the lender's.
fn own_buffer(kernel: &Kernel, caller: TaskHandle) -> Result<UserSlice<u8>, BorrowError> {
    Ok(BorrowArgs::of(&kernel[caller]).buffer.check()?)
}

/// The lease table entry that the caller names, if its lender waits for the caller's reply.
#[inline(always)]
fn find_lease(kernel: &Kernel, caller: TaskHandle) -> Result<FoundLease, BorrowError> {
    let args = LeaseArgs::of(&kernel[caller]);
    let lender = kernel.lookup(args.lender)?;
    match kernel[lender].state {
        TaskState::Healthy(SchedState::InReply(to)) if to == kernel[caller].id => {}
        _ => return Err(CallError::Code(DEFECT).into()),
    }
    let table = SendArgs::of(&kernel[lender]).leases;
    let table = table
        .check()
        .map_err(|error| BorrowError::Lender(lender, error.into()))?;
    let lease = umem::read_lease(&kernel[lender], table, args.index)
        .map_err(|fault| BorrowError::Lender(lender, fault))?
        .ok_or(UsageError::LeaseOutOfRange)?;
    Ok(FoundLease { lender, lease })
}

/// The memory of the lease from the caller's offset on, if the lease allows `wanted`. Whether the
/// lender owns that memory is checked when it is copied.
#[inline(always)]
fn leased_memory(
    kernel: &Kernel,
    caller: TaskHandle,
    wanted: LeaseAttributes,
) -> Result<(TaskHandle, UserSlice<u8>), BorrowError> {
    let FoundLease { lender, lease } = find_lease(kernel, caller)?;
    // Read only here: it would take a register, or a place on the stack, during the calls before.
    let offset = BorrowArgs::of(&kernel[caller]).offset;
    let rest = lease
        .length
        .checked_sub(offset)
        .ok_or(UsageError::OffsetOutOfRange)?;
    let base = lease
        .base_address
        .checked_add(offset)
        .ok_or(UsageError::OffsetOutOfRange)?;
    if !lease.attributes.contains(wanted) {
        return Err(CallError::Code(DEFECT).into());
    }
    let leased =
        UserSlice::new(base, rest).map_err(|error| BorrowError::Lender(lender, error.into()))?;
    Ok((lender, leased))
}

/// How the call ends when the copy was refused. A lender that is at fault is faulted in any case;
/// if the caller is at fault too, it is faulted instead of getting DEFECT.
#[cold]
#[inline(never)]
fn sort_faults(
    kernel: &mut Kernel,
    lender: TaskHandle,
    lenders: Option<CallFault>,
    own: Option<CallFault>,
) -> BorrowError {
    match (lenders, own) {
        (Some(fault), None) => BorrowError::Lender(lender, fault),
        (lenders, Some(own)) => {
            if let Some(fault) = lenders {
                kernel.fault(lender, fault);
            }
            BorrowError::Caller(own.into())
        }
        (None, None) => BorrowError::Caller(CallError::Code(DEFECT)),
    }
}

/// Ends BORROW_READ or BORROW_WRITE: `result` is the number of bytes copied.
#[inline(always)]
fn finish(
    kernel: &mut Kernel,
    caller: TaskHandle,
    result: Result<u32, BorrowError>,
) -> CallOutcome {
    match result {
        Ok(copied) => {
            kernel[caller].save.set_response(0, copied);
            Ok(caller)
        }
        Err(error) => fail(kernel, caller, error),
    }
}

#[cold]
#[inline(never)]
fn fail(kernel: &mut Kernel, caller: TaskHandle, error: BorrowError) -> CallOutcome {
    match error {
        BorrowError::Caller(error) => Err(error),
        BorrowError::Lender(lender, fault) => {
            kernel[caller].save.set_response(DEFECT, 0);
            let woken = kernel.fault(lender, fault);
            Ok(kernel.pick_if(woken, caller))
        }
    }
}
