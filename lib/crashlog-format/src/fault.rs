//! The fault of a task, decoded from the bytes in which the kernel reports it.
//!
//! The bytes are those of `FaultInfo` of the Hubris ABI in hubpack (and ssmarshal) encoding: the
//! variant's index in one byte, then its fields. The card holds them unchanged, so a variant that
//! this program does not know is not lost.

use core::fmt;

/// A fault of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashFault {
    /// Access to memory that the task may not access in this way.
    MemoryAccess {
        /// The address, if known.
        address: Option<u32>,
        /// Whose instruction it was.
        source: FaultSource,
    },
    /// The stack has no room for what had to be pushed.
    StackOverflow {
        /// The stack pointer.
        address: u32,
    },
    /// The bus answered an access with an error.
    BusError {
        /// The address, if known.
        address: Option<u32>,
        /// Whose instruction it was.
        source: FaultSource,
    },
    /// Division by zero.
    DivideByZero,
    /// A jump to memory that is not code.
    IllegalText,
    /// An instruction that does not exist.
    IllegalInstruction,
    /// Any other fault of the processor, with its status register.
    InvalidOperation(u32),
    /// Wrong use of a system call.
    SyscallUsage(UsageError),
    /// The task panicked.
    Panic,
    /// Another task, with this id, requested the fault.
    Injected(u16),
    /// The server with this task id refused a message with a reply fault.
    FromServer(u16, ReplyFaultReason),
    /// The task held the processor and was faulted by the supervisor. Not a fault of the ABI.
    Hang {
        /// For how many milliseconds.
        ms: u32,
        /// The tasks that were ready and could not run: bit N for the task with index N.
        starved: u64,
    },
    /// The task waited for an answer and was faulted by the supervisor. Not a fault of the ABI.
    Wait {
        /// For how many milliseconds.
        ms: u32,
        /// For whom it waited, for whom that task waited, and so on: indices, then
        /// [`NO_TASK`](Self::NO_TASK). If one of them is the task itself or comes a second time, it
        /// is the last: nobody in that cycle will ever answer.
        chain: [u8; Self::WAIT_TASKS],
    },
    /// The task neither came back to its receive nor said that it is alive, and was faulted by the
    /// supervisor. Not a fault of the ABI.
    NotAlive {
        /// For how many milliseconds.
        ms: u32,
    },
}

/// Whose instruction caused a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultSource {
    /// An instruction of the task.
    User,
    /// An instruction of the kernel, on behalf of the task.
    Kernel,
}

/// How a system call was used wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the ABI")]
pub enum UsageError {
    BadSyscallNumber,
    InvalidSlice,
    TaskOutOfRange,
    IllegalTask,
    LeaseOutOfRange,
    OffsetOutOfRange,
    NoIrq,
    BadKernelMessage,
    BadReplyFaultReason,
    NotSupervisor,
    ReplyTooBig,
}

/// Why a server refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the ABI")]
pub enum ReplyFaultReason {
    UndefinedOperation,
    BadMessageSize,
    BadMessageContents,
    BadLeases,
    ReplyBufferTooSmall,
    AccessViolation,
}

impl CrashFault {
    /// Bytes reserved for an encoded fault; the longest encoding has 7.
    pub const MAX_LEN: usize = 16;

    /// First byte of an encoded [`Hang`](Self::Hang): far from what the ABI may add.
    pub const HANG: u8 = 0x80;

    /// Encodes a [`Hang`](Self::Hang): its kind in one byte, then the fields, little endian.
    #[must_use]
    pub const fn encode_hang(ms: u32, starved: u64) -> [u8; Self::MAX_LEN] {
        let [a, b, c, d] = ms.to_le_bytes();
        let [e, f, g, h, i, j, k, l] = starved.to_le_bytes();
        [Self::HANG, a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0]
    }

    /// First byte of an encoded [`Wait`](Self::Wait).
    pub const WAIT: u8 = 0x81;

    /// Most tasks in a chain.
    pub const WAIT_TASKS: usize = 10;

    /// In a chain: no task.
    pub const NO_TASK: u8 = u8::MAX;

    /// Encodes a [`Wait`](Self::Wait): its kind in one byte, then the fields.
    #[must_use]
    pub const fn encode_wait(ms: u32, chain: [u8; Self::WAIT_TASKS]) -> [u8; Self::MAX_LEN] {
        let [a, b, c, d] = ms.to_le_bytes();
        let [e, f, g, h, i, j, k, l, m, n] = chain;
        [Self::WAIT, a, b, c, d, e, f, g, h, i, j, k, l, m, n, 0]
    }

    /// First byte of an encoded [`NotAlive`](Self::NotAlive).
    pub const NOT_ALIVE: u8 = 0x82;

    /// Encodes a [`NotAlive`](Self::NotAlive): its kind in one byte, then the milliseconds.
    #[must_use]
    pub const fn encode_not_alive(ms: u32) -> [u8; Self::MAX_LEN] {
        let [a, b, c, d] = ms.to_le_bytes();
        [Self::NOT_ALIVE, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// Decodes a fault; `None` if the bytes encode none that this program knows. Bytes after it are
    /// ignored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        Some(match input.byte()? {
            0 => Self::MemoryAccess {
                address: input.option()?,
                source: input.source()?,
            },
            1 => Self::StackOverflow {
                address: input.u32()?,
            },
            2 => Self::BusError {
                address: input.option()?,
                source: input.source()?,
            },
            3 => Self::DivideByZero,
            4 => Self::IllegalText,
            5 => Self::IllegalInstruction,
            6 => Self::InvalidOperation(input.u32()?),
            7 => Self::SyscallUsage(*USAGE.get(usize::from(input.byte()?))?),
            8 => Self::Panic,
            9 => Self::Injected(input.u16()?),
            10 => Self::FromServer(input.u16()?, *REPLY_FAULT.get(usize::from(input.byte()?))?),
            Self::HANG => Self::Hang {
                ms: input.u32()?,
                starved: input.take().map(u64::from_le_bytes)?,
            },
            Self::WAIT => Self::Wait {
                ms: input.u32()?,
                chain: input.take()?,
            },
            Self::NOT_ALIVE => Self::NotAlive { ms: input.u32()? },
            _ => return None,
        })
    }

    /// The address that was accessed, if the fault has one.
    #[must_use]
    pub const fn address(&self) -> Option<u32> {
        match self {
            Self::MemoryAccess { address, .. } | Self::BusError { address, .. } => *address,
            Self::StackOverflow { address } => Some(*address),
            _ => None,
        }
    }

    /// Whether a system call caused the fault. Then the program counter is in the stub that all
    /// calls share, and the link register says where the task was.
    #[must_use]
    pub const fn is_by_system_call(encoded: &[u8]) -> bool {
        matches!(encoded, [7 | 8 | 10 | Self::WAIT, ..])
    }
}

impl fmt::Display for CrashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, name, address: Option<u32>, source| match address {
            Some(address) => write!(f, "{name} at {address:#010x} ({source:?})"),
            None => write!(f, "{name} ({source:?})"),
        };
        match *self {
            Self::MemoryAccess { address, source } => place(f, "MemoryAccess", address, source),
            Self::StackOverflow { address } => write!(f, "StackOverflow at {address:#010x}"),
            Self::BusError { address, source } => place(f, "BusError", address, source),
            Self::InvalidOperation(status) => write!(f, "InvalidOperation {status:#010x}"),
            Self::SyscallUsage(usage) => write!(f, "SyscallUsage {usage:?}"),
            Self::Injected(task) => write!(f, "Injected by task {}", index(task)),
            Self::FromServer(task, reason) => write!(f, "FromServer {}: {reason:?}", index(task)),
            Self::Hang { ms, starved } => {
                write!(f, "Hang for {ms} ms")?;
                write_tasks(f, starved)
            }
            Self::Wait { ms, chain } => {
                write!(f, "Wait for {ms} ms")?;
                let mut before = "for";
                for index in chain.iter().take_while(|index| **index != Self::NO_TASK) {
                    write!(f, " {before} task {index}")?;
                    before = "which waits for";
                }
                Ok(())
            }
            Self::NotAlive { ms } => write!(f, "NotAlive for {ms} ms"),
            Self::DivideByZero | Self::IllegalText | Self::IllegalInstruction | Self::Panic => {
                write!(f, "{self:?}")
            }
        }
    }
}

/// Indices of the tasks that could not run.
fn write_tasks(f: &mut fmt::Formatter<'_>, starved: u64) -> fmt::Result {
    let mut before = "; ready and not run: task";
    for index in (0..u64::BITS).filter(|index| starved >> index & 1 != 0) {
        write!(f, "{before} {index}")?;
        before = ",";
    }
    Ok(())
}

/// The index in a task id: its low ten bits.
const fn index(task: u16) -> u16 {
    task & 0x3FF
}

const USAGE: [UsageError; 11] = [
    UsageError::BadSyscallNumber,
    UsageError::InvalidSlice,
    UsageError::TaskOutOfRange,
    UsageError::IllegalTask,
    UsageError::LeaseOutOfRange,
    UsageError::OffsetOutOfRange,
    UsageError::NoIrq,
    UsageError::BadKernelMessage,
    UsageError::BadReplyFaultReason,
    UsageError::NotSupervisor,
    UsageError::ReplyTooBig,
];

const REPLY_FAULT: [ReplyFaultReason; 6] = [
    ReplyFaultReason::UndefinedOperation,
    ReplyFaultReason::BadMessageSize,
    ReplyFaultReason::BadMessageContents,
    ReplyFaultReason::BadLeases,
    ReplyFaultReason::ReplyBufferTooSmall,
    ReplyFaultReason::AccessViolation,
];

/// The bytes not yet decoded.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn option(&mut self) -> Option<Option<u32>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.u32().map(Some),
            _ => None,
        }
    }

    fn source(&mut self) -> Option<FaultSource> {
        match self.byte()? {
            0 => Some(FaultSource::User),
            1 => Some(FaultSource::Kernel),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A copy of the ABI's enumeration, so that hubpack itself makes the bytes.
    mod wire {
        #[derive(serde::Serialize, hubpack::SerializedSize)]
        pub enum FaultInfo {
            MemoryAccess {
                address: Option<u32>,
                source: FaultSource,
            },
            StackOverflow {
                address: u32,
            },
            BusError {
                address: Option<u32>,
                source: FaultSource,
            },
            DivideByZero,
            IllegalText,
            IllegalInstruction,
            InvalidOperation(u32),
            SyscallUsage(UsageError),
            Panic,
            Injected(u16),
            FromServer(u16, ReplyFaultReason),
        }
        #[derive(serde::Serialize, hubpack::SerializedSize)]
        pub enum FaultSource {
            User,
            Kernel,
        }
        #[derive(serde::Serialize, hubpack::SerializedSize)]
        #[expect(dead_code, reason = "a copy of the ABI")]
        pub enum UsageError {
            BadSyscallNumber,
            InvalidSlice,
            TaskOutOfRange,
        }
        #[derive(serde::Serialize, hubpack::SerializedSize)]
        #[expect(dead_code, reason = "a copy of the ABI")]
        pub enum ReplyFaultReason {
            UndefinedOperation,
            BadMessageSize,
            BadMessageContents,
        }
    }

    fn shown(fault: &wire::FaultInfo) -> String {
        let mut bytes = [0; CrashFault::MAX_LEN];
        let len = hubpack::serialize(&mut bytes, fault).unwrap();
        CrashFault::decode(&bytes[..len]).unwrap().to_string()
    }

    #[test]
    fn faults_encoded_by_hubpack_are_decoded() {
        use wire::{FaultInfo as F, FaultSource, ReplyFaultReason, UsageError};
        let user = || FaultSource::User;
        for (fault, text) in [
            (
                F::MemoryAccess {
                    address: Some(0),
                    source: user(),
                },
                "MemoryAccess at 0x00000000 (User)",
            ),
            (
                F::MemoryAccess {
                    address: None,
                    source: FaultSource::Kernel,
                },
                "MemoryAccess (Kernel)",
            ),
            (
                F::StackOverflow {
                    address: 0x8080_0ff8,
                },
                "StackOverflow at 0x80800ff8",
            ),
            (
                F::BusError {
                    address: Some(1),
                    source: user(),
                },
                "BusError at 0x00000001 (User)",
            ),
            (F::DivideByZero, "DivideByZero"),
            (F::IllegalText, "IllegalText"),
            (F::IllegalInstruction, "IllegalInstruction"),
            (F::InvalidOperation(8), "InvalidOperation 0x00000008"),
            (
                F::SyscallUsage(UsageError::TaskOutOfRange),
                "SyscallUsage TaskOutOfRange",
            ),
            (F::Panic, "Panic"),
            (F::Injected(0x0803), "Injected by task 3"),
            (
                F::FromServer(0x0401, ReplyFaultReason::BadMessageSize),
                "FromServer 1: BadMessageSize",
            ),
        ] {
            assert_eq!(shown(&fault), text);
        }
    }

    #[test]
    fn a_hang_is_decoded_as_it_was_encoded() {
        let bytes = CrashFault::encode_hang(1_100, 1 << 3 | 1 << 63);
        let fault = CrashFault::decode(&bytes);
        let (ms, starved) = (1_100, 1 << 3 | 1 << 63);
        assert_eq!(fault, Some(CrashFault::Hang { ms, starved }));
        assert_eq!(
            fault.map(|fault| fault.to_string()).as_deref(),
            Some("Hang for 1100 ms; ready and not run: task 3, 63")
        );
        assert_eq!(CrashFault::decode(&bytes[..12]), None);
    }

    #[test]
    fn a_wait_is_decoded_as_it_was_encoded() {
        let mut chain = [CrashFault::NO_TASK; CrashFault::WAIT_TASKS];
        chain[..2].copy_from_slice(&[3, 7]);
        let bytes = CrashFault::encode_wait(2_000, chain);
        assert!(CrashFault::is_by_system_call(&bytes));
        assert_eq!(
            CrashFault::decode(&bytes)
                .map(|fault| fault.to_string())
                .as_deref(),
            Some("Wait for 2000 ms for task 3 which waits for task 7")
        );
        assert_eq!(CrashFault::decode(&bytes[..14]), None);
    }

    #[test]
    fn a_task_that_is_not_alive_is_decoded_as_it_was_encoded() {
        let bytes = CrashFault::encode_not_alive(2_100);
        let fault = CrashFault::decode(&bytes);
        assert_eq!(fault, Some(CrashFault::NotAlive { ms: 2_100 }));
        assert_eq!(
            fault.map(|fault| fault.to_string()).as_deref(),
            Some("NotAlive for 2100 ms")
        );
        assert_eq!(CrashFault::decode(&bytes[..4]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(fault) = CrashFault::decode(&bytes) {
                prop_assert!(!fault.to_string().is_empty());
            }
        }
    }
}
