//! The library of every task: system calls, entry point, panic handler.
//!
//! # How a system call is made
//!
//! A call is two functions. The *wrapper* (`sys_send`) is safe, is always inlined, and turns slices
//! and ids into words. The *stub* (`sys_send_stub`) is a naked function of a few instructions: save
//! the registers that the ABI uses and the procedure call standard wants back, load the arguments
//! into r4..r10 and the number into r11, `svc #0`, fetch the results from r4..r9, restore, return.
//! Stubs with five arguments or more take the address of a block of words, so that one `ldm` loads
//! them all.
//!
//! Stubs are functions of their own, at the top of this crate, for Humility's sake: it recognises a
//! blocked task by the SVC inside a function symbol, finds the caller by counting the registers
//! pushed before that SVC, and prints the symbol's name (`userlib::sys_recv_stub`). So a stub has
//! one SVC, every push before it, and no branches. Each pushes an even number of registers, so that
//! the stack is aligned to 8 bytes at the SVC.
//!
//! # How a task starts
//!
//! `_start` (module `start`) copies `.data`, zeroes `.bss` and calls `main`, which the task
//! exports:
//!
//! ```ignore
//! #[unsafe(export_name = "main")]
//! fn main() -> ! { ... }
//! ```
//!
//! It runs again each time the supervisor restarts the task. Sections other than `.data` and `.bss`
//! (`.uninit`, and those named in `app.toml`) keep their content then.
//!
//! # How a task ends
//!
//! A panic is the PANIC system call: the task is faulted and the supervisor decides. Feature
//! `panic-messages` sends the message along, `no-panic` makes a task that could panic fail to link;
//! by default the text is `PANIC`.
//!
//! # On a host
//!
//! The types and the pure code build for any target, so that code that uses them can be tested on a
//! host. There is no kernel there: a system call panics, unless a test has installed a kernel of
//! its own (module `host`).
//!
//! # Interface and unsafe code
//!
//! Names and signatures are those of Hubris' `userlib`, so that tasks written for it compile
//! unchanged. The system calls and kernel IPC are described in Hubris' reference,
//! <https://hubris.oxide.computer/reference/>. This crate needs `unsafe` for the system-call ABI.

#![cfg_attr(target_os = "none", no_std)]

#[cfg(all(feature = "panic-messages", feature = "no-panic"))]
compile_error!("features \"panic-messages\" and \"no-panic\" exclude each other");

pub mod hl;
#[cfg(not(target_os = "none"))]
pub mod host;
pub mod kipc;
pub mod macros;
mod message;
#[cfg(target_os = "none")]
mod panic;
#[cfg(all(feature = "critical-section", target_os = "none"))]
mod single_thread;
#[cfg(all(target_arch = "arm", target_os = "none"))]
mod start;
mod syscalls;
pub mod task_slot;
#[cfg(all(target_arch = "arm", target_os = "none"))]
mod words;

pub use abi::*;
pub use armv6m_atomic_hack;
// The crate itself, so that its name stays unambiguous in a task that uses it and imports
// everything from here.
#[cfg(feature = "critical-section")]
pub use critical_section;
pub use message::{
    BorrowInfo, ClosedRecvError, Lease, NotificationBits, PANIC_MESSAGE_MAX_LEN, RecvMessage,
    TimerState,
};
pub use num_derive::{FromPrimitive, ToPrimitive};
pub use num_traits::{FromPrimitive, ToPrimitive};
pub use syscalls::*;
pub use unwrap_lite::UnwrapLite;
pub use userlib_units as units;
pub use volatile_const::VolatileConst;

use syscalls::{BorrowArguments, ReceiveBlock, SendArguments};

#[cfg(all(target_arch = "arm", target_os = "none"))]
include!("stubs_arm.rs");

#[cfg(not(all(target_arch = "arm", target_os = "none")))]
include!("stubs_host.rs");
