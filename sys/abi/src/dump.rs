//! Types of the kernel IPC about a task's memory, panic message and registers.

use serde::{Deserialize, Serialize};

/// A piece of a task's memory that may be dumped.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TaskDumpRegion {
    /// First byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
}

/// Why there is no panic message to read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum ReadPanicMessageError {
    /// The task is not faulted, or not by PANIC.
    TaskNotPanicked = 1,
    /// Its message does not lie in its own memory.
    BadPanicBuffer = 2,
}

impl TryFrom<u32> for ReadPanicMessageError {
    type Error = ();

    fn try_from(value: u32) -> Result<Self, ()> {
        match value {
            1 => Ok(Self::TaskNotPanicked),
            2 => Ok(Self::BadPanicBuffer),
            _ => Err(()),
        }
    }
}

/// How many words [`Kipcnum::ReadTaskRegisters`](crate::Kipcnum::ReadTaskRegisters) answers with:
/// r0 to r12, sp, lr, pc, psr. This project's own; not in upstream.
pub const TASK_REGISTERS: usize = 17;
