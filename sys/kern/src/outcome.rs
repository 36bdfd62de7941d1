//! How a system call ends.
//!
//! Every system call is a function to a [`CallOutcome`], which is two registers wide and must stay
//! so: it is returned on the path of every message. That is why [`CallFault`] stands in for the
//! larger [`FaultInfo`].

use crate::table::TaskHandle;
use abi::{FaultInfo, FaultSource, UsageError};

/// The task that runs next, or why the call ends without its ordinary results.
pub(crate) type CallOutcome = Result<TaskHandle, CallError>;

/// Why a system call ends without its ordinary results.
#[derive(Copy, Clone, Debug)]
pub(crate) enum CallError {
    /// The caller gets this response code, with length 0.
    Code(u32),
    /// The caller is faulted.
    Fault(CallFault),
}

/// Fault of a task in a system call.
#[derive(Copy, Clone, Debug)]
pub(crate) enum CallFault {
    /// It broke a rule.
    Usage(UsageError),
    /// It named memory that it does not own; the address where that memory begins.
    Memory(u32),
    /// It called PANIC.
    Panic,
}

impl From<CallFault> for FaultInfo {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::Usage(error) => Self::SyscallUsage(error),
            CallFault::Memory(base) => Self::MemoryAccess {
                address: Some(base),
                source: FaultSource::Kernel,
            },
            CallFault::Panic => Self::Panic,
        }
    }
}

impl From<UsageError> for CallFault {
    #[inline(always)]
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<UsageError> for CallError {
    #[inline(always)]
    fn from(error: UsageError) -> Self {
        Self::Fault(CallFault::Usage(error))
    }
}

impl From<CallFault> for CallError {
    #[inline(always)]
    fn from(fault: CallFault) -> Self {
        Self::Fault(fault)
    }
}

const _: () = assert!(
    size_of::<CallOutcome>() == 8,
    "an outcome is returned in registers"
);
