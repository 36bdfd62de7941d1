//! The parts of the kernel that need no hardware.
//!
//! The rules that protect tasks from one another are decisions about numbers: whether a slice is
//! well formed and inside memory that the task owns, which task runs next, what a page table entry
//! or a fault status means. Here they are pure functions without `unsafe`, tested on the host,
//! exhaustively where that is possible; `kern` adds the instructions that only a processor has.
//!
//! * [`slice`](mod@slice): well-formed user slices, and whether a memory map covers them;
//! * [`order`]: sets of tasks ordered by priority, and the choice of the next one in constant time;
//! * [`region`]: attributes of memory regions, and the rules every task's map must obey;
//! * [`authority`]: who may restart, stop and fault tasks, and reset the system;
//! * [`arm_a`]: ARMv7-A short descriptors and fault status codes.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod arm_a;
pub mod authority;
pub mod order;
pub mod region;
pub mod slice;
