//! The kernel: isolation, message passing, time, interrupts, and nothing else.
//!
//! | question | module |
//! |---|---|
//! | how the kernel is entered and left | `arch::arm_a::entry` (vectors), `entry` |
//! | what each system call does | `syscalls` (table, arguments), `message`, `message::lease`, `time`, `interrupts` |
//! | where the kernel checks a lease | `message::lease` (`fast_path` has the same checks for the common case) |
//! | how a fault becomes a notification of the supervisor | `arch::arm_a::entry`, `arch::arm_a::faults`, `table` (`Kernel::fault`) |
//! | what the supervisor can ask for | `kipc` |
//! | what happens when the kernel fails | `fail` |
//! | which memory a snapshot has | `saved_memory` |
//!
//! # Theory of operation
//!
//! System calls, kernel IPC, faults and scheduling are those of Hubris, so that tasks and debuggers
//! work unchanged; underneath is an ARMv7-A processor with an MMU instead of an ARMv7-M with an
//! MPU.
//!
//! * The kernel is entered by exceptions of tasks and by interrupts while a task runs, and never
//!   interrupts itself: interrupts stay masked from entry to exit. All kernel state is therefore
//!   exclusive to the code that runs, and every kernel entry is short and bounded.
//!   (`arch::arm_a::entry`, `entry`)
//! * All tables about the application are constants, generated from its configuration by the build
//!   script. Nothing is allocated or registered at run time; the set of tasks is fixed. (`descs`)
//! * Every entry saves a task's registers where debuggers look for them on ARMv7-M: r4 to r11 in
//!   the task table, the rest in an exception frame on the task's own stack. A stopped task's state
//!   is never anywhere else. (`arch::arm_a::frame`)
//! * Scheduling is by strict priority. Sets of tasks (the runnable ones, and the senders waiting
//!   for each task) are bit maps in order of importance, so that neither a message nor a switch
//!   costs more in a system with more tasks. (`kerncore::order`)
//! * A pointer from a task is two numbers until its slice is known to be well formed and inside
//!   that task's memory. Nothing that a task passes can make the kernel panic. (`kerncore::slice`,
//!   `umem`)
//! * If the kernel fails nevertheless, or the supervisor faults, the system restarts; the kernel
//!   neither continues nor waits. (`fail`)
//!
//! # Differences from upstream, all deliberate
//!
//! * RECV reports the true length of the sender's message, as the documentation says, so that a
//!   server notices a truncated message.
//! * A fault of task 0 is a kernel failure and restarts the system.
//! * Kernel IPC `reinit_task` disables the task's interrupts, so that a restarted driver begins as
//!   it did at boot.
//! * A task that an interrupt wakes preempts the running one only if it is strictly more important.
//!   Tasks of equal priority take turns only where the running one blocks.
//! * Kernel IPC from 0x100 on, for the supervisor: registers of tasks, and memory for snapshots.
//! * `startup::start_kernel` takes a `Platform` beside the tick divisor; there are no profiling
//!   hooks; the epitaph is always there (no feature `nano`).
//! * Because the processor is an ARMv7-A: division by zero does not trap; misaligned LDRD and LDM
//!   are `InvalidOperation` with the DFSR in place of the CFSR; a switch to A32 state faults the
//!   task a little later than INVSTATE would. A stack that has no room for the frame is a
//!   `StackOverflow`, as on ARMv7-M.
//!
//! # Unsafe code
//!
//! Needed for the processor (`arch`), for references to the kernel's state (`table`, `entry`), and
//! for copying user memory (`umem`, `saved_memory`). On a host the crate is empty.

#![cfg(target_os = "none")]
#![no_std]

mod arch;
pub mod descs;
mod entry;
#[cfg(feature = "dump")]
mod entry_before;
pub mod fail;
mod fast_path;
pub mod header;
mod interrupts;
mod kipc;
mod last_ran;
mod message;
mod outcome;
pub mod platform;
mod returns;
#[cfg(feature = "dump")]
pub mod saved_memory;
pub mod secrets;
pub mod startup;
mod syscalls;
mod table;
pub mod task;
mod time;
mod umem;
mod who_ran;

pub use last_ran::LastRanWords;
pub use platform::Platform;
