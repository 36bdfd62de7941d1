//! Numbers of system calls and kernel IPC operations.

/// System calls. The number is passed in r11.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Sysnum {
    /// Send a message and wait for the reply.
    Send = 0,
    /// Wait for a message or a notification.
    Recv = 1,
    /// Reply to a message.
    Reply = 2,
    /// Set or clear the task's timer.
    SetTimer = 3,
    /// Copy out of a caller's lease.
    BorrowRead = 4,
    /// Copy into a caller's lease.
    BorrowWrite = 5,
    /// Ask for the attributes and length of a lease.
    BorrowInfo = 6,
    /// Enable or disable the interrupts that post a notification.
    IrqControl = 7,
    /// Fault the caller, with a message.
    Panic = 8,
    /// Read the time and the task's timer.
    GetTimer = 9,
    /// Ask for a task's current id, given an id of any of its generations.
    RefreshTaskId = 10,
    /// Post notification bits to a task.
    Post = 11,
    /// Reply to a message by faulting its sender.
    ReplyFault = 12,
    /// Ask for the state of the interrupts that post a notification.
    IrqStatus = 13,
}

impl TryFrom<u32> for Sysnum {
    type Error = ();

    #[inline]
    fn try_from(value: u32) -> Result<Self, ()> {
        Ok(match value {
            0 => Self::Send,
            1 => Self::Recv,
            2 => Self::Reply,
            3 => Self::SetTimer,
            4 => Self::BorrowRead,
            5 => Self::BorrowWrite,
            6 => Self::BorrowInfo,
            7 => Self::IrqControl,
            8 => Self::Panic,
            9 => Self::GetTimer,
            10 => Self::RefreshTaskId,
            11 => Self::Post,
            12 => Self::ReplyFault,
            13 => Self::IrqStatus,
            _ => return Err(()),
        })
    }
}

/// Kernel IPC: operations of a SEND to [`TaskId::KERNEL`](crate::TaskId::KERNEL). Each has its
/// request -> its response, both encoded by ssmarshal.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Kipcnum {
    /// `u32` index -> [`TaskState`](crate::TaskState).
    ReadTaskStatus = 1,
    /// `(u32, bool)` index, start -> nothing. This, `FaultTask` and `Reset` are for the supervisor
    /// and the tasks that `[kernel.allowed-callers]` of `app.toml` names; for all in upstream.
    ReinitTask = 2,
    /// `u32` index -> nothing.
    FaultTask = 3,
    /// Nothing -> `u64`.
    ReadImageId = 4,
    /// Nothing -> no response: the system restarts.
    Reset = 5,
    /// `(u32, u32)` index, number of the region ->
    /// `Option<`[`TaskDumpRegion`](crate::TaskDumpRegion)`>`.
    GetTaskDumpRegion = 6,
    /// `(u32, `[`TaskDumpRegion`](crate::TaskDumpRegion)`)` -> raw bytes.
    ReadTaskDumpRegion = 7,
    /// `(u32, u32)` index, notification mask -> nothing.
    SoftwareIrq = 8,
    /// `u32` first index -> `u32` index of a faulted task, or 0.
    FindFaultedTask = 9,
    /// `u32` index -> raw bytes.
    ReadPanicMessage = 10,
    /// `u32` index -> `[u32; `[`TASK_REGISTERS`](crate::TASK_REGISTERS)`]`. Supervisor only. Not in
    /// upstream: numbers from 0x100 on are this project's.
    ReadTaskRegisters = 0x100,
    /// `(u32, u32, u32, u32)` index, address, length, destination -> no data, but the number of
    /// bytes that were copied, all or none, as the length. Copies the task's memory to the
    /// caller's, keeps the task's entry for what is saved of the kernel's memory, and restarts the
    /// task, whose stack below the address stays as it is. Supervisor only, as the others that
    /// follow.
    SaveAndReinitTask = 0x101,
    /// `u32` owner -> a [`TaskDumpRegion`](crate::TaskDumpRegion) for each range of its memory that
    /// belongs into a snapshot, one after the other: at most
    /// [`SavedExtent::MAX_RANGES`](crate::SavedExtent::MAX_RANGES).
    GetSavedMemory = 0x102,
    /// `(u32, u32, u32, u32)` owner, address, length, destination -> the fields of
    /// [`SavedExtent`](crate::SavedExtent), or as response code a
    /// [`SaveMemoryError`](crate::SaveMemoryError).
    SaveMemory = 0x103,
    /// `(u32, u32)` index, address -> `u32`, or as response code a
    /// [`SaveMemoryError`](crate::SaveMemoryError). Reads a register of a peripheral that the task
    /// may use.
    ReadDeviceWord = 0x104,
    /// `(u32, u32, u32)` index, address, length -> `u32`, a [`MemoryKind`](crate::MemoryKind).
    /// Supervisor only. Not in upstream.
    CheckAccess = 0x105,
    /// `u32` number -> a [`BuiltRegion`](crate::BuiltRegion), or nothing beyond the last.
    /// Supervisor only. Not in upstream.
    GetBuiltRegion = 0x106,
    /// `(u32, u32, u32, u32)` address of a list, its number of entries, destination, its length ->
    /// `(u32, u32)` how many entries are done, how many bytes were stored; or as response code a
    /// [`SaveMemoryError`](crate::SaveMemoryError). Saves one entry after the other, as
    /// `SaveMemory`, and stores the outcome in it ([`ListedExtent`](crate::ListedExtent)), until an
    /// interrupt is pending.
    SaveMemoryList = 0x107,
    /// Nothing -> a `u32` for each task, by index: the low word of the tick at which it last ran.
    /// Supervisor only. Not in upstream.
    ReadRunTimes = 0x110,
    /// `u32` milliseconds -> nothing. Unless it is called again in this time the system fails; 0
    /// ends that. Supervisor only. Not in upstream.
    FeedWatchdog = 0x111,
    /// `u32` index -> `u32`, 1 if the task has come back to its receive since this was asked for
    /// last, or waits in it now; else 0. Supervisor only. Not in upstream.
    TakeReturn = 0x112,
}

impl TryFrom<u16> for Kipcnum {
    type Error = ();

    #[inline]
    fn try_from(value: u16) -> Result<Self, ()> {
        Ok(match value {
            1 => Self::ReadTaskStatus,
            2 => Self::ReinitTask,
            3 => Self::FaultTask,
            4 => Self::ReadImageId,
            5 => Self::Reset,
            6 => Self::GetTaskDumpRegion,
            7 => Self::ReadTaskDumpRegion,
            8 => Self::SoftwareIrq,
            9 => Self::FindFaultedTask,
            10 => Self::ReadPanicMessage,
            0x100 => Self::ReadTaskRegisters,
            0x101 => Self::SaveAndReinitTask,
            0x102 => Self::GetSavedMemory,
            0x103 => Self::SaveMemory,
            0x104 => Self::ReadDeviceWord,
            0x105 => Self::CheckAccess,
            0x106 => Self::GetBuiltRegion,
            0x107 => Self::SaveMemoryList,
            0x110 => Self::ReadRunTimes,
            0x111 => Self::FeedWatchdog,
            0x112 => Self::TakeReturn,
            _ => return Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_convert_both_ways() {
        for n in 0..14 {
            assert_eq!(Sysnum::try_from(n).map(|s| s as u32), Ok(n));
        }
        assert_eq!(Sysnum::try_from(14), Err(()));
        for n in (1..=10).chain(0x100..=0x107).chain(0x110..=0x112) {
            assert_eq!(Kipcnum::try_from(n).map(|k| k as u16), Ok(n));
        }
        assert_eq!(Kipcnum::try_from(0), Err(()));
        assert_eq!(Kipcnum::try_from(11), Err(()));
    }
}
