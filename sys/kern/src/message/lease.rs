//! Leases: BORROW_READ, BORROW_WRITE, BORROW_INFO.
//!
//! A lease lives as long as its lender waits for the borrower's reply, and only in the lender's memory: the table is
//! read again at each call. What is wrong with the table or the memory it names is the lender's fault, and the
//! borrower gets DEFECT; what is wrong with the borrower's own arguments is its own fault.

use crate::outcome::{CallFault, Outcome, Stop};
use crate::table::{Kernel, TaskHandle};
use crate::umem::{self, Blame};
use abi::{DEFECT, LeaseAttributes, SchedState, TaskId, TaskState, ULease, UsageError};
use kerncore::slice::UserSlice;

/// A lease that was found.
struct Found {
    lender: TaskHandle,
    lease: ULease,
}

/// Why there is no usable lease.
enum Missing {
    /// The caller's call ends like this.
    Stop(Stop),
    /// The lender is faulted, and the caller gets DEFECT.
    Lender(TaskHandle, CallFault),
}

impl<T: Into<Stop>> From<T> for Missing {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// BORROW_READ: from the lease into the caller's buffer.
pub(crate) fn borrow_read(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let result = own_buffer(kernel, caller).and_then(|buffer| {
        let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::READ)?;
        umem::copy(kernel, lender, leased, caller, buffer)
            .map_err(|Blame { from, to }| blame(kernel, lender, from, to))
    });
    finish(kernel, caller, result)
}

/// BORROW_WRITE: from the caller's buffer into the lease.
pub(crate) fn borrow_write(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    let result = own_buffer(kernel, caller).and_then(|buffer| {
        let (lender, leased) = leased_memory(kernel, caller, LeaseAttributes::WRITE)?;
        umem::copy(kernel, caller, buffer, lender, leased)
            .map_err(|Blame { from, to }| blame(kernel, lender, to, from))
    });
    finish(kernel, caller, result)
}

/// BORROW_INFO: attributes and length of the lease.
pub(crate) fn borrow_info(kernel: &mut Kernel, caller: TaskHandle) -> Outcome {
    match find(kernel, caller) {
        Ok(Found { lease, .. }) => {
            kernel[caller]
                .save
                .set_borrow_info(lease.attributes.bits(), lease.length);
            Ok(caller)
        }
        Err(missing) => fail(kernel, caller, missing),
    }
}

fn own_buffer(kernel: &Kernel, caller: TaskHandle) -> Result<UserSlice<u8>, Missing> {
    let [_, _, _, buffer, len, ..] = kernel[caller].save.arguments();
    Ok(UserSlice::new(buffer, len)?)
}

/// The lease table entry that the caller's arguments 0 and 1 name.
#[inline(always)]
fn find(kernel: &Kernel, caller: TaskHandle) -> Result<Found, Missing> {
    let [lender, index, ..] = kernel[caller].save.arguments();
    let lender = kernel.lookup(TaskId(lender as u16))?;
    match kernel[lender].state {
        TaskState::Healthy(SchedState::InReply(to)) if to == kernel[caller].id => {}
        _ => return Err(Stop::Code(DEFECT).into()),
    }
    let [_, _, _, _, _, table, count] = kernel[lender].save.arguments();
    let table = UserSlice::<ULease>::new(table, count)
        .map_err(|error| Missing::Lender(lender, error.into()))?;
    let lease = umem::read_lease(&kernel[lender], table, index)
        .map_err(|fault| Missing::Lender(lender, fault))?
        .ok_or(UsageError::LeaseOutOfRange)?;
    Ok(Found { lender, lease })
}

/// The memory behind the lease, from the caller's offset (argument 2) on.
#[inline(always)]
fn leased_memory(
    kernel: &Kernel,
    caller: TaskHandle,
    wanted: LeaseAttributes,
) -> Result<(TaskHandle, UserSlice<u8>), Missing> {
    let Found { lender, lease } = find(kernel, caller)?;
    let [_, _, offset, ..] = kernel[caller].save.arguments();
    let rest = lease
        .length
        .checked_sub(offset)
        .ok_or(UsageError::OffsetOutOfRange)?;
    let base = lease
        .base_address
        .checked_add(offset)
        .ok_or(UsageError::OffsetOutOfRange)?;
    if !lease.attributes.contains(wanted) {
        return Err(Stop::Code(DEFECT).into());
    }
    let leased =
        UserSlice::new(base, rest).map_err(|error| Missing::Lender(lender, error.into()))?;
    Ok((lender, leased))
}

/// Sorts out who is to blame for a copy that was refused. The lender is faulted in any case if it has a part in it;
/// if both have, the caller does not get as far as DEFECT.
#[cold]
#[inline(never)]
fn blame(
    kernel: &mut Kernel,
    lender: TaskHandle,
    lenders: Option<CallFault>,
    own: Option<CallFault>,
) -> Missing {
    match (lenders, own) {
        (Some(fault), None) => Missing::Lender(lender, fault),
        (lenders, Some(own)) => {
            if let Some(fault) = lenders {
                kernel.fault(lender, fault);
            }
            Missing::Stop(own.into())
        }
        (None, None) => Missing::Stop(Stop::Code(DEFECT)),
    }
}

#[inline(always)]
fn finish(kernel: &mut Kernel, caller: TaskHandle, result: Result<u32, Missing>) -> Outcome {
    match result {
        Ok(copied) => {
            kernel[caller].save.set_response(0, copied);
            Ok(caller)
        }
        Err(missing) => fail(kernel, caller, missing),
    }
}

#[cold]
#[inline(never)]
fn fail(kernel: &mut Kernel, caller: TaskHandle, missing: Missing) -> Outcome {
    match missing {
        Missing::Stop(stop) => Err(stop),
        Missing::Lender(lender, fault) => {
            kernel[caller].save.set_response(DEFECT, 0);
            let woken = kernel.fault(lender, fault);
            Ok(kernel.pick_if(woken, caller))
        }
    }
}
