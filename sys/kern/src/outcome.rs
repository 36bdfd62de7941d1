//! What a system call comes to.
//!
//! Every system call is a function to an [`Outcome`], two registers wide: that is what keeps the path of a message
//! short, and why [`CallFault`] is not simply a [`FaultInfo`].

use crate::table::TaskHandle;
use abi::{FaultInfo, FaultSource, UsageError};

/// Who runs next, or why the call does not end with its ordinary results.
pub(crate) type Outcome = Result<TaskHandle, Stop>;

/// Why a system call does not end with its ordinary results.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Stop {
    /// The caller gets this code, with length 0.
    Code(u32),
    /// The caller is faulted.
    Fault(CallFault),
}

/// What a task can do wrong in a system call.
#[derive(Copy, Clone, Debug)]
pub(crate) enum CallFault {
    /// It broke a rule.
    Usage(UsageError),
    /// It named memory that it does not own, from this address on.
    Memory(u32),
    /// It gave up.
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

impl From<UsageError> for Stop {
    #[inline(always)]
    fn from(error: UsageError) -> Self {
        Self::Fault(CallFault::Usage(error))
    }
}

impl From<CallFault> for Stop {
    #[inline(always)]
    fn from(fault: CallFault) -> Self {
        Self::Fault(fault)
    }
}

const _: () = assert!(
    size_of::<Outcome>() == 8,
    "an outcome is returned in registers"
);
