//! The contract between the kernel and everything that runs on or beside it.
//!
//! Numbers, types and encodings that kernel, tasks, the build system and debuggers must agree on.
//! They are those of Hubris (<https://hubris.oxide.computer/reference/>), so that a task built
//! against this crate behaves the same on a stock Hubris kernel, and so that stock Humility
//! understands what it reads in memory:
//!
//! * the *order of enum variants* is ABI: kernel IPC messages carry the variant index as one byte;
//! * the *names* of types, variants and fields are ABI too: Humility finds them through DWARF;
//! * the *memory layout* of Rust enums is not ABI.
//!
//! One module per subject; everything is re-exported at the top, where tasks find it.
//!
//! # Differences from upstream
//!
//! What this project has added is marked as such: [`Kipcnum::ReadTaskRegisters`] and the kernel IPC
//! after it, [`TASK_REGISTERS`], [`SavedExtent`], [`ListedExtent`],
//! [`SaveMemoryError`] and [`KERNEL_MEMORY`]. The interrupt types do not implement
//! `phash::PerfectHash`, whose crate is in no registry; this kernel looks interrupts up in sorted
//! tables (`kern::descs::SortedMap`).

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod call;
mod dump;
mod fault;
mod image;
mod interrupt;
mod lease;
mod regions;
mod response;
mod state;
mod task_id;

pub use call::{Kipcnum, Sysnum};
pub use dump::{
    KERNEL_MEMORY, ListedExtent, ReadPanicMessageError, SaveMemoryError, SavedExtent,
    TASK_REGISTERS, TaskDumpRegion,
};
pub use fault::{FaultInfo, FaultSource, ReplyFaultReason, UsageError};
pub use image::{CABOOSE_MAGIC, HEADER_MAGIC, ImageHeader, ImageVectors};
pub use interrupt::{Interrupt, InterruptNum, InterruptOwner, IrqControlArg, IrqStatus};
pub use lease::{LeaseAttributes, ULease};
pub use regions::{BuiltRegion, MemoryKind};
pub use response::{DEFECT, FIRST_DEAD_CODE, dead_response_code, extract_new_generation};
pub use state::{SchedState, TaskState};
pub use task_id::{Generation, TaskId};
