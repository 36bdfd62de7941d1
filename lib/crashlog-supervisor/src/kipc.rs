//! [`Kernel`] on a running system: kernel IPC and the chip's watchdog.

use crate::{Kernel, PANIC_MESSAGE_MAX, TASK_REGISTERS, WatchdogTimer};
use abi::{FaultInfo, Generation, TaskDumpRegion, TaskId, TaskState};
use userlib::{kipc, sys_get_timer, sys_post, sys_refresh_task_id};

/// The kernel, and the watchdog of the chip.
pub struct Kipc<W> {
    watchdog: W,
}

impl<W: WatchdogTimer> Kipc<W> {
    /// Takes the watchdog. Nothing else may use it.
    pub const fn new(watchdog: W) -> Self {
        Self { watchdog }
    }
}

/// The id of a task, with its present generation.
fn id(task: usize) -> TaskId {
    sys_refresh_task_id(TaskId::for_index_and_gen(task, Generation::ZERO))
}

impl<W: WatchdogTimer> Kernel for Kipc<W> {
    fn image_id(&self) -> u64 {
        kipc::read_image_id()
    }

    fn now(&self) -> u64 {
        sys_get_timer().now
    }

    fn arm_watchdog(&mut self, budget_ms: u32) {
        self.watchdog.arm(budget_ms);
    }

    fn fault(&mut self, task: usize) -> Option<FaultInfo> {
        match kipc::read_task_status(task) {
            TaskState::Faulted { fault, .. } => Some(fault),
            TaskState::Healthy(_) => None,
        }
    }

    #[cfg(feature = "registers")]
    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]> {
        Some(kipc::read_task_registers(task))
    }

    #[cfg(not(feature = "registers"))]
    fn registers(&mut self, _task: usize) -> Option<[u32; TASK_REGISTERS]> {
        None
    }

    fn panic_message(&mut self, task: usize, message: &mut [u8; PANIC_MESSAGE_MAX]) -> usize {
        kipc::read_panic_message(task, message).map_or(0, |chunks| {
            chunks
                .map(|chunk| chunk.valid().len() + chunk.invalid().len())
                .sum()
        })
    }

    #[cfg(feature = "memory")]
    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion> {
        kipc::get_task_dump_region(task, region)
    }

    #[cfg(not(feature = "memory"))]
    fn memory(&mut self, _task: usize, _region: usize) -> Option<TaskDumpRegion> {
        None
    }

    #[cfg(feature = "memory")]
    fn read(&mut self, task: usize, address: u32, bytes: &mut [u8]) -> usize {
        let region = TaskDumpRegion {
            base: address,
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        };
        kipc::read_task_dump_region(task, region, bytes)
    }

    #[cfg(not(feature = "memory"))]
    fn read(&mut self, _task: usize, _address: u32, _bytes: &mut [u8]) -> usize {
        0
    }

    fn restart(&mut self, task: usize) {
        kipc::reinit_task(task, true);
    }

    fn post(&mut self, task: usize, bits: u32) {
        // If the recorder was restarted meanwhile the post is lost, but it looks for oopses when it
        // starts.
        sys_post(id(task), bits);
    }

    fn reset(&mut self) {
        kipc::system_restart();
    }
}
