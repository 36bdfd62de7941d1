//! Why a task was stopped.

use crate::TaskId;
use serde::{Deserialize, Serialize};

/// Why a task is faulted. Variant order is ABI.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FaultInfo {
    /// An access that the task's memory map does not allow.
    MemoryAccess {
        /// Address of the access, or start of the slice that was named; `None` where the processor
        /// does not report it.
        address: Option<u32>,
        /// Whether the task itself or the kernel made the access.
        source: FaultSource,
    },
    /// The stack ran off the low end of its region, or has no room for the frame the kernel saves.
    StackOverflow {
        /// The stack pointer, or the address of the access below the region.
        address: u32,
    },
    /// The access was allowed, but the bus answered with an error.
    BusError {
        /// Address of the access, where the processor reports it.
        address: Option<u32>,
        /// Whether the task itself or the kernel made the access.
        source: FaultSource,
    },
    /// Division by zero, on processors that trap it.
    DivideByZero,
    /// Instruction fetch from where the task may not execute.
    IllegalText,
    /// An instruction the processor refused.
    IllegalInstruction,
    /// Another misuse of the processor; the payload is its fault status register.
    InvalidOperation(u32),
    /// A system call that breaks the rules.
    SyscallUsage(UsageError),
    /// The PANIC system call.
    Panic,
    /// The task with this id asked for it through kernel IPC.
    Injected(TaskId),
    /// A server the task was waiting for refused its message.
    FromServer(TaskId, ReplyFaultReason),
}

impl From<UsageError> for FaultInfo {
    fn from(error: UsageError) -> Self {
        Self::SyscallUsage(error)
    }
}

/// Origin of a faulting access. Variant order is ABI.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FaultSource {
    /// The task's own instructions.
    User,
    /// The kernel, in a system call the task made or took part in.
    Kernel,
}

/// Misuse of a system call. Variant order is ABI.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum UsageError {
    /// No system call has this number.
    BadSyscallNumber,
    /// A slice is misaligned or wraps round the end of memory.
    InvalidSlice,
    /// No task has this index.
    TaskOutOfRange,
    /// The call must not target this task.
    IllegalTask,
    /// The lender's table has fewer leases.
    LeaseOutOfRange,
    /// The offset lies beyond the end of the lease.
    OffsetOutOfRange,
    /// The notification mask is not one of the caller's interrupts, or the control bits are
    /// unknown.
    NoIrq,
    /// Unknown kernel IPC number, or a message that does not decode.
    BadKernelMessage,
    /// REPLY_FAULT with an unknown reason.
    BadReplyFaultReason,
    /// Only the supervisor may do this.
    NotSupervisor,
    /// The reply is longer than the caller's buffer.
    ReplyTooBig,
}

/// Why a server refused a message (REPLY_FAULT). Variant order is ABI.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[repr(u32)]
pub enum ReplyFaultReason {
    /// The server has no such operation.
    UndefinedOperation = 0,
    /// The message has the wrong length.
    BadMessageSize = 1,
    /// The message does not decode.
    BadMessageContents = 2,
    /// Wrong number, kind or size of leases.
    BadLeases = 3,
    /// The reply would not fit into the caller's buffer.
    ReplyBufferTooSmall = 4,
    /// The caller may not use this operation.
    AccessViolation = 5,
}

impl TryFrom<u32> for ReplyFaultReason {
    type Error = ();

    #[inline]
    fn try_from(value: u32) -> Result<Self, ()> {
        Ok(match value {
            0 => Self::UndefinedOperation,
            1 => Self::BadMessageSize,
            2 => Self::BadMessageContents,
            3 => Self::BadLeases,
            4 => Self::ReplyBufferTooSmall,
            5 => Self::AccessViolation,
            _ => return Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fault: FaultInfo) -> Vec<u8> {
        let mut buffer = [0; 16];
        let n = ssmarshal::serialize(&mut buffer, &fault).unwrap();
        buffer[..n].to_vec()
    }

    #[test]
    fn variant_order_is_the_wire_format() {
        let access = FaultInfo::MemoryAccess {
            address: Some(0x1234_5678),
            source: FaultSource::Kernel,
        };
        assert_eq!(encoded(access), [0, 1, 0x78, 0x56, 0x34, 0x12, 1]);
        assert_eq!(
            encoded(FaultInfo::StackOverflow { address: 4 }),
            [1, 4, 0, 0, 0]
        );
        assert_eq!(encoded(UsageError::ReplyTooBig.into()), [7, 10]);
        assert_eq!(encoded(FaultInfo::Panic), [8]);
        assert_eq!(
            encoded(FaultInfo::FromServer(
                TaskId(2),
                ReplyFaultReason::BadLeases
            )),
            [10, 2, 0, 3]
        );
    }

    #[test]
    fn reply_fault_reasons_convert_both_ways() {
        for n in 0..6 {
            assert_eq!(ReplyFaultReason::try_from(n).map(|r| r as u32), Ok(n));
        }
        assert_eq!(ReplyFaultReason::try_from(6), Err(()));
    }
}
