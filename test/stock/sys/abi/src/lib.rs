//! Upstream's names of `abi`.
#![no_std]

pub use ours::{
    dead_response_code, extract_new_generation, FaultInfo, FaultSource, Generation, ImageHeader,
    ImageVectors, Interrupt, InterruptNum, InterruptOwner, IrqControlArg, IrqStatus, Kipcnum,
    LeaseAttributes, ReadPanicMessageError, ReplyFaultReason, SchedState, Sysnum, TaskDumpRegion,
    TaskId, TaskState, ULease, UsageError, CABOOSE_MAGIC, DEFECT, FIRST_DEAD_CODE, HEADER_MAGIC,
};
