//! The processor-dependent half of the kernel.
//!
//! The other half uses no name of it but those exported here.

mod arm_a;

pub(crate) use arm_a::copy::copy;
pub(crate) use arm_a::entry::CURRENT_TASK_PTR;
pub(crate) use arm_a::frame::FRAME_BYTES;
pub use arm_a::frame::{ArchState, SavedState};
pub(crate) use arm_a::frame::{Received, place, program_counter, registers, reinitialize};
pub use arm_a::memory::RegionDescExt;
pub(crate) use arm_a::{
    capture, gic, hang_timer, mask_interrupts, memory, start_first_task, timer, wait_for_reset,
};
#[cfg(feature = "dump")]
pub(crate) use arm_a::{device, save};
