//! What a crash needs of the kernel and of the hardware watchdog.

use crate::{RegionKernel, ResetCause, SavedRanges};
use abi::{FaultInfo, TaskDumpRegion, TaskState};
use crashlog_retained::{Block, ExtentRows, ExtentStatus, MemoryRange, SavedMemory, SavedRows};

/// How many registers of a task are kept: r0 to r12, sp, lr, pc, psr.
pub const TASK_REGISTERS: usize = 17;

/// Longest panic message in bytes: what kernel IPC `read_panic_message` returns at most.
pub const PANIC_MESSAGE_MAX: usize = 128;

/// The kernel and the watchdog, as this crate uses them.
///
/// `Kipc` implements it on the target; a test double keeps a list of what was done.
///
/// No call waits for a task. On the target all but [`reset`](Self::reset) return.
pub trait Kernel: RegionKernel {
    /// The id of the running image, the kernel's `HUBRIS_IMAGE_ID`.
    fn image_id(&self) -> u64;

    /// What the chip says of the last reset.
    fn reset_cause(&mut self) -> ResetCause {
        ResetCause::Unknown
    }

    /// Milliseconds since boot.
    fn now(&self) -> u64;

    /// Starts the hardware watchdog, which is never fed: the system is reset in `budget_ms`
    /// milliseconds at the latest.
    fn arm_watchdog(&mut self, budget_ms: u32);

    /// Says that the supervisor is well: unless it does so again within `milliseconds`, the system
    /// fails, or is reset.
    fn feed_watchdog(&mut self, milliseconds: u32);

    /// The fault of a task; `None` if it has none.
    fn fault(&mut self, task: usize) -> Option<FaultInfo>;

    /// The registers of a task at its fault: r0 to r12, sp, lr, pc, psr; `None` where the kernel
    /// does not give them out. Those that are not known are 0: then lr, pc and psr are, too.
    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]>;

    /// Copies the message that a task panicked with, any bytes, to `message`; returns how many, 0
    /// if it did not panic.
    fn panic_message(&mut self, task: usize, message: &mut [u8; PANIC_MESSAGE_MAX]) -> usize;

    /// The `region`-th region of memory that a task can write, by ascending addresses; `None`
    /// beyond the last, or where the kernel does not give it out.
    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion>;

    /// Copies memory of a task, from `address` on, to `bytes`; returns how many bytes. `address`
    /// must lie in one of its [`memory`](Self::memory) regions, or in its
    /// [`task_entry`](Self::task_entry).
    fn read(&mut self, task: usize, address: u32, bytes: &mut [u8]) -> usize;

    /// Restarts a task at its entry point.
    fn restart(&mut self, task: usize);

    /// Restarts a task at its entry point, where it stays until it is restarted again.
    fn stop(&mut self, task: usize);

    /// Copies memory of a task, from `from` on, a multiple of 4, to `to`, as much as fits there;
    /// then restarts the task, and changes no memory below `from`. Returns whether all of it was
    /// copied: all or nothing is.
    fn save_and_restart(&mut self, task: usize, from: u32, to: &[Block]) -> bool;

    /// Stores to `ranges` the memory of `owner`, a task's index or 65535 for the kernel, that
    /// belongs into a snapshot; nothing where the kernel gives none out.
    fn saved_memory(&mut self, owner: u16, ranges: &mut SavedRanges);

    /// The entry of a task in the kernel's table; `None` where the kernel does not give it out.
    fn task_entry(&mut self, task: u16) -> Option<MemoryRange>;

    /// Saves memory of `owner`: stores the data of the `length` bytes at `address` to byte `offset`
    /// of `to`, which has room for all of it. As `SnapshotSource::save`.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn save(
        &mut self,
        owner: u16,
        address: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus>;

    /// Saves some of `rows`, from the first on. As `SnapshotSource::save_rows`. With a `copy` all
    /// of them are of one owner and saved from there: it begins with the memory at the address, and
    /// [`save_and_restart`](Self::save_and_restart) has made it.
    fn save_rows(
        &mut self,
        rows: &ExtentRows<'_>,
        copy: Option<(&[Block], u32)>,
        offset: u32,
    ) -> SavedRows;

    /// As [`save`](Self::save), of `length` bytes at byte `at` of `copy`, where
    /// [`save_and_restart`](Self::save_and_restart) has put them.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn save_copy(
        &mut self,
        copy: &[Block],
        at: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus>;

    /// When each task last ran: stores the low word of that tick, little endian, for each index.
    /// Returns `false` where the kernel does not know.
    fn run_times(&mut self, times: &mut [[u8; 4]]) -> bool;

    /// Has a task come back to its receive since this was asked for last, or does it wait in it
    /// now? Also `true` where the kernel does not know.
    fn take_return(&mut self, task: usize) -> bool;

    /// What a task is doing.
    fn state(&mut self, task: usize) -> TaskState;

    /// Faults a task, whose registers stay as they are. The kernel reports the fault as any other.
    fn inject_fault(&mut self, task: usize);

    /// Posts notification bits to a task.
    fn post(&mut self, task: usize, bits: u32);

    /// Resets the system. On the target it does not return.
    fn reset(&mut self);
}
