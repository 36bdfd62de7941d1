//! The processor. Everything outside this module is the same on any; what a processor has to provide is listed here.

mod arm_a;

pub(crate) use arm_a::copy::copy;
pub use arm_a::frame::{ArchState, SavedState};
pub(crate) use arm_a::frame::{registers, reinitialize};
pub use arm_a::memory::RegionDescExt;
pub(crate) use arm_a::{gic, mask_interrupts, memory, start_first_task, timer, wait_for_reset};
