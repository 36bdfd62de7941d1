//! The kernel: isolation, message passing, time, interrupts, and nothing else.
//!
//! # Theory of operation
//!
//! The system calls, kernel IPC, faults and scheduling are those of Hubris, so that tasks and debuggers cannot tell the
//! difference; underneath is an ARMv7-A processor with an MMU instead of an ARMv7-M with an MPU.
//!
//! * The kernel is entered by exceptions of tasks and by interrupts while a task runs, and never interrupts itself:
//!   interrupts stay masked from entry to exit. All kernel state is therefore exclusive to the code that is running,
//!   and every kernel entry is short and bounded. (`arch::arm_a::entry` is the way in and out, `entry` what happens
//!   between.)
//! * All tables about the application are constants, generated from its configuration by the build script (`descs`).
//!   Nothing is allocated or registered at run time; the set of tasks is fixed.
//! * A task's registers are saved on every entry where debuggers look for them on ARMv7-M: r4 to r11 in the task table,
//!   the rest in an exception frame on the task's own stack. There is no moment in which a stopped task's state is
//!   anywhere else. (`arch::arm_a::frame`)
//! * Scheduling is strict priority. Sets of tasks, the runnable ones and the senders waiting for each task, are bit
//!   maps in order of importance, so that neither a message nor a switch costs more in a system with more tasks.
//!   (`kerncore::order`)
//! * A pointer from a task is two numbers until its slice is known to be well formed and inside that task's memory
//!   (`kerncore::slice`, `umem`). Nothing that a task passes can make the kernel panic.
//! * If the kernel fails all the same, or the supervisor faults, the system restarts; it never carries on and never
//!   spins (`fail`).
//!
//! # Differences from upstream, all deliberate
//!
//! * RECV reports the true length of the sender's message, as the documentation says, so that a truncated message is
//!   noticed.
//! * A fault of task 0 is a kernel failure and restarts the system.
//! * Kernel IPC `reinit_task` masks the task's interrupts, so that a restarted driver begins as it did at boot.
//! * A task that an interrupt wakes preempts the running one only if it is strictly more important. Tasks of equal
//!   priority take turns only where the running one blocks.
//! * Kernel IPC 0x100, `read_task_registers`, for the supervisor.
//! * `startup::start_kernel` takes a `Platform` beside the tick divisor; there are no profiling hooks; the
//!   epitaph is always there (no feature `nano`).
//! * Because the processor is an ARMv7-A: division by zero does not trap; misaligned LDRD and LDM are
//!   `InvalidOperation` with the DFSR in place of the CFSR; a switch to A32 state faults the task a little later than
//!   INVSTATE would. A stack that cannot take the frame is a `StackOverflow`, as on ARMv7-M.
//!
//! # Unsafe code
//!
//! Needed for the processor (`arch`), for the one place that takes references to the kernel's state (`entry`), and for
//! copying user memory (`umem`). On a host the crate is empty.

#![cfg(target_os = "none")]
#![no_std]

mod arch;
pub mod descs;
mod direct;
mod entry;
pub mod fail;
pub mod header;
mod interrupts;
mod kipc;
mod message;
mod outcome;
pub mod platform;
pub mod startup;
mod syscalls;
mod table;
pub mod task;
mod time;
mod umem;

pub use platform::Platform;
