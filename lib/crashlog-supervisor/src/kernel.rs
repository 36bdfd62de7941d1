//! The kernel and the hardware, as far as a supervisor needs them in a crash.

use abi::{FaultInfo, TaskDumpRegion};

/// How many registers of a task are recorded: r0 to r12, sp, lr, pc, psr.
pub const TASK_REGISTERS: usize = 17;

/// Longest panic message, in bytes: what the kernel gives out (hubris-interface section 6).
pub const PANIC_MESSAGE_MAX: usize = 128;

/// What the sequence of an emergency asks of the system around it.
///
/// On the target it is `Kipc`; tests have one that plays a
/// system and notes what was done to it.
///
/// No call waits for a task. All but [`reset`](Self::reset) return.
pub trait Kernel {
    /// Milliseconds since boot.
    fn now(&self) -> u64;

    /// Starts the hardware watchdog: a system reset in `budget_ms`, whatever
    /// happens. It is never fed.
    fn arm_watchdog(&mut self, budget_ms: u32);

    /// The fault of a task; `None` if it has none.
    fn fault(&mut self, task: usize) -> Option<FaultInfo>;

    /// The registers of a task as they were at its fault: r0 to r12, sp, lr,
    /// pc, psr; `None` where the kernel does not give them out.
    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]>;

    /// The message a task panicked with, as bytes that it chose; returns how
    /// many, 0 if it did not panic.
    fn panic_message(&mut self, task: usize, message: &mut [u8; PANIC_MESSAGE_MAX]) -> usize;

    /// The `region`-th writable memory of a task, by ascending address; `None`
    /// beyond the last, or where the kernel does not give it out.
    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion>;

    /// Copies memory of a task that lies in one of its [`memory`](Self::memory)
    /// regions; returns the number of bytes.
    fn read(&mut self, task: usize, address: u32, bytes: &mut [u8]) -> usize;

    /// Puts a task back to its entry point and runs it.
    fn restart(&mut self, task: usize);

    /// Posts notification bits to a task.
    fn post(&mut self, task: usize, bits: u32);

    /// Resets the system. On the target it does not return.
    fn reset(&mut self);
}
