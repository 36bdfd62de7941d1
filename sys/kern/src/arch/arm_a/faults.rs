//! The fault for a task's abort.
//!
//! What the status codes mean is in [`kerncore::arm_a::status`].

use super::{cp15, frame};
use crate::task::Task;
use abi::FaultInfo;
use kerncore::arm_a::status::{self, StackPosition};

/// The fault of a task in A32 state: the CFSR of an ARMv7-M with UFSR.INVSTATE set.
pub(crate) const INVALID_STATE: FaultInfo = FaultInfo::InvalidOperation(1 << 17);

/// The fault for a data abort that was just taken from the task.
pub(crate) fn data_abort(task: &Task) -> FaultInfo {
    if !frame::is_thumb(task) {
        return INVALID_STATE;
    }
    let stack = StackPosition {
        low: task.arch.stack_low,
        pointer: frame::stack_pointer(task),
    };
    status::data_abort(cp15::dfsr(), cp15::dfar(), stack)
}

/// The fault for a prefetch abort that was just taken from the task.
pub(crate) fn prefetch_abort(task: &Task) -> FaultInfo {
    if !frame::is_thumb(task) {
        return INVALID_STATE;
    }
    status::prefetch_abort(cp15::ifsr(), cp15::ifar())
}
