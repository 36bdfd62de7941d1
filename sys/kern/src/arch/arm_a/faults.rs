//! Exceptions that tasks cause by mistake. What the status codes mean is in [`kerncore::arm_a::status`].

use super::{cp15, frame};
use crate::task::Task;
use abi::FaultInfo;
use kerncore::arm_a::status::{self, Stack};

/// The task is in A32 state, which an ARMv7-M does not have. UFSR.INVSTATE, where a CFSR has it.
pub(crate) const INVALID_STATE: FaultInfo = FaultInfo::InvalidOperation(1 << 17);

/// The fault behind a data abort that was just taken from the task.
pub(crate) fn data_abort(task: &Task) -> FaultInfo {
    if !frame::is_thumb(task) {
        return INVALID_STATE;
    }
    let stack = Stack {
        low: task.arch.stack_low,
        pointer: frame::stack_pointer(task),
    };
    status::data_abort(cp15::dfsr(), cp15::dfar(), stack)
}

/// The fault behind a prefetch abort that was just taken from the task.
pub(crate) fn prefetch_abort(task: &Task) -> FaultInfo {
    if !frame::is_thumb(task) {
        return INVALID_STATE;
    }
    status::prefetch_abort(cp15::ifsr(), cp15::ifar())
}
