//! The supervisor's configuration and its kernel: tasks that have faults and a little memory.

use abi::{FaultInfo, FaultSource, Generation, TaskDumpRegion, TaskId, TaskState};
use crashlog_format::snapshot::WordSum;
use crashlog_retained::{Block, ExtentRows, ExtentStatus, MemoryRange, SavedMemory, SavedRows};
use crashlog_supervisor::loops::Limits;
use crashlog_supervisor::{
    CrashRegion, Disposition, Kernel, MemoryAccess, PANIC_MESSAGE_MAX, RegionKernel, SavedRanges,
    SnapshotScope, SupervisorConfig, TASK_REGISTERS, TaskPolicy,
};

use super::{Thrown, throw};
use crate::kernel::simulator;
use crate::{NUM_TASKS, config, notifications};

const fn policy(name: &'static str, disposition: Disposition) -> TaskPolicy {
    TaskPolicy {
        name,
        priority: 0,
        disposition,
        stack: 0x200,
        hang_ms: 0,
        wait_ms: 0,
        alive_ms: 0,
    }
}

/// The tasks: supervisor, recorder, and clients. The first two clients are important.
const TASKS: [TaskPolicy; NUM_TASKS] = [
    policy("jefe", Disposition::Reset),
    policy("crashlog", Disposition::Reset),
    policy("power", Disposition::Reset),
    policy("thermal", Disposition::Reset),
    policy("net", Disposition::Restart),
    policy("shell", Disposition::Restart),
    policy("sensors", Disposition::Restart),
    policy("idle", Disposition::Restart),
];

/// The supervisor's configuration.
pub const CONFIG: SupervisorConfig = SupervisorConfig {
    recorder: config::TASK_INDEX,
    notification: notifications::OOPS_MASK,
    record_oops: true,
    budget_ms: 2_000,
    watchdog_ms: 0,
    limits: Limits {
        hold_after_restarts: 10,
        hold_after_resets: 3,
        loop_window_ms: 60_000,
        healthy_ms: 10_000,
        backoff_ms: 500,
        backoff_max_ms: 8_000,
    },
    snapshot: SnapshotScope::Task,
    by_priority: &[0, 1, 2, 3, 4, 5, 6, 7],
    tasks: &TASKS,
};

/// Bytes of memory of each task.
const MEMORY: u32 = 0x200;

/// The other tasks, as the kernel shows them to the supervisor.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours;

impl Kernel for Neighbours {
    fn image_id(&self) -> u64 {
        0x1d1d_1d1d_1d1d_1d1d
    }

    fn now(&self) -> u64 {
        simulator().now_us() / 1000
    }

    fn arm_watchdog(&mut self, _: u32) {}

    fn feed_watchdog(&mut self, _: u32) {}

    fn fault(&mut self, task: usize) -> Option<FaultInfo> {
        Some(FaultInfo::MemoryAccess {
            address: Some(task as u32 * 4),
            source: FaultSource::User,
        })
    }

    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]> {
        Some([MEMORY * task as u32 + 0x100; TASK_REGISTERS])
    }

    fn panic_message(&mut self, _: usize, _: &mut [u8; PANIC_MESSAGE_MAX]) -> usize {
        0
    }

    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion> {
        (region == 0).then_some(TaskDumpRegion {
            base: MEMORY * task as u32,
            size: MEMORY,
        })
    }

    fn read(&mut self, _: usize, _: u32, bytes: &mut [u8]) -> usize {
        bytes.fill(0x11);
        bytes.len()
    }

    fn restart(&mut self, task: usize) {
        if task == config::TASK_INDEX {
            throw(Thrown::Restart);
        }
    }

    fn stop(&mut self, task: usize) {
        assert_ne!(task, config::TASK_INDEX, "the recorder is never stopped");
    }

    fn save_and_restart(&mut self, task: usize, _: u32, _: &[Block]) -> bool {
        self.restart(task);
        false
    }

    fn saved_memory(&mut self, owner: u16, ranges: &mut SavedRanges) {
        ranges.replace(|response| {
            let range = [MEMORY * u32::from(owner), MEMORY].map(u32::to_le_bytes);
            response[..8].copy_from_slice(range.as_flattened());
            8
        });
    }

    fn task_entry(&mut self, _: u16) -> Option<MemoryRange> {
        None
    }

    fn save(
        &mut self,
        _: u16,
        address: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        let mut sum = WordSum::new();
        for at in (0..length).step_by(4) {
            let index = (offset + at) as usize / 4;
            let word = 0x5A00_0000 | (address + at);
            to[index / 128].set_word(index % 128, word);
            sum = sum.word(word);
        }
        Ok(SavedMemory {
            map: 0,
            stored: length,
            sum: sum.value(),
        })
    }

    /// Saves none: each piece is saved alone.
    fn save_rows(&mut self, _: &ExtentRows<'_>, _: Option<(&[Block], u32)>, _: u32) -> SavedRows {
        SavedRows::default()
    }

    fn save_copy(
        &mut self,
        _: &[Block],
        _: u32,
        _: u32,
        _: &[Block],
        _: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        Err(ExtentStatus::NotReadable)
    }

    fn take_return(&mut self, _: usize) -> bool {
        true
    }

    fn run_times(&mut self, _: &mut [[u8; 4]]) -> bool {
        false
    }

    fn state(&mut self, _: usize) -> TaskState {
        TaskState::default()
    }

    fn inject_fault(&mut self, _: usize) {}

    fn post(&mut self, _: usize, _: u32) {}

    fn reset(&mut self) {
        throw(Thrown::Reset);
    }
}

impl RegionKernel for Neighbours {
    fn access(&mut self, _: u16, _: u32, _: u32) -> MemoryAccess {
        MemoryAccess::None
    }

    fn current(&mut self, task: u16) -> TaskId {
        TaskId::for_index_and_gen(task.into(), Generation::ZERO)
    }

    fn read_device(&mut self, _: u16, _: u32) -> Result<u32, ExtentStatus> {
        Err(ExtentStatus::NotReadable)
    }

    fn built_region(&mut self, _: usize) -> Option<CrashRegion> {
        None
    }
}
