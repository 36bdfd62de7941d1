//! [`Kernel`] on a running system: kernel IPC and the chip's watchdog.

#[cfg(feature = "snapshot")]
use crate::RegionOrigin;
#[cfg(feature = "snapshot")]
use crate::snapshot::SUPERVISOR;
use crate::{
    CrashRegion, Kernel, MemoryAccess, PANIC_MESSAGE_MAX, RegionKernel, ResetCause, SavedRanges,
    TASK_REGISTERS, WatchdogTimer,
};
use abi::{FaultInfo, Generation, TaskDumpRegion, TaskId, TaskState};
#[cfg(feature = "snapshot")]
use abi::{ListedExtent, MemoryKind, SaveMemoryError};
#[cfg(feature = "snapshot")]
use crashlog_retained::ExtentKind;
use crashlog_retained::{Block, ExtentRows, ExtentStatus, MemoryRange, SavedMemory, SavedRows};
use userlib::{kipc, sys_get_timer, sys_post, sys_refresh_task_id};

/// Milliseconds that the kernel has to describe a hang before the chip's watchdog resets the
/// system.
const MARGIN_MS: u32 = 1_000;

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

// The kernel has no dependency on the format, so it has numbers of its own.
#[cfg(feature = "snapshot")]
const _: () = {
    assert!(ListedExtent::SAVED == ExtentStatus::Saved as u32);
    assert!(ListedExtent::NO_ROOM == ExtentStatus::NoRoom as u32);
    assert!(ListedExtent::NOT_READABLE == ExtentStatus::NotReadable as u32);
    assert!(ExtentKind::Memory as u32 == 1);
    assert!(ListedExtent::LAST_MEMORY_KIND == ExtentKind::Region as u32);
};

/// The address of byte `offset` of `blocks`; 0, which the kernel refuses, of no blocks.
#[cfg(feature = "snapshot")]
fn address(blocks: &[Block], offset: u32) -> u32 {
    let first = blocks.first().map_or(0, Block::address);
    u32::try_from(first).map_or(0, |first| first.saturating_add(offset))
}

/// The length of `blocks` in bytes.
#[cfg(feature = "snapshot")]
fn length(blocks: &[Block]) -> u32 {
    u32::try_from(size_of_val(blocks)).unwrap_or(u32::MAX)
}

#[cfg(feature = "snapshot")]
const fn status(error: SaveMemoryError) -> ExtentStatus {
    match error {
        SaveMemoryError::NotReadable => ExtentStatus::NotReadable,
        SaveMemoryError::Destination => ExtentStatus::NoRoom,
        SaveMemoryError::BusFault => ExtentStatus::BusFault,
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

    fn reset_cause(&mut self) -> ResetCause {
        self.watchdog.reset_cause()
    }

    fn arm_watchdog(&mut self, budget_ms: u32) {
        self.watchdog.arm(budget_ms);
    }

    fn feed_watchdog(&mut self, milliseconds: u32) {
        #[cfg(feature = "run-times")]
        kipc::feed_watchdog(milliseconds);
        self.watchdog.feed(milliseconds.saturating_add(MARGIN_MS));
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

    #[cfg(all(feature = "memory", not(feature = "registers")))]
    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]> {
        crate::exception_frame::registers(self, task)
    }

    #[cfg(not(any(feature = "memory", feature = "registers")))]
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

    fn stop(&mut self, task: usize) {
        kipc::reinit_task(task, false);
    }

    #[cfg(feature = "snapshot")]
    fn save_and_restart(&mut self, task: usize, from: u32, to: &[Block]) -> bool {
        let length = length(to);
        let copied = kipc::save_and_reinit_task(task, from, length, address(to, 0));
        copied == length
    }

    #[cfg(not(feature = "snapshot"))]
    fn save_and_restart(&mut self, task: usize, _from: u32, _to: &[Block]) -> bool {
        self.restart(task);
        false
    }

    #[cfg(feature = "snapshot")]
    fn saved_memory(&mut self, owner: u16, ranges: &mut SavedRanges) {
        ranges.replace(|response| kipc::get_saved_memory(owner.into(), response));
    }

    #[cfg(not(feature = "snapshot"))]
    fn saved_memory(&mut self, _owner: u16, ranges: &mut SavedRanges) {
        *ranges = SavedRanges::default();
    }

    #[cfg(feature = "memory")]
    fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
        let TaskDumpRegion { base, size } = kipc::get_task_desc_region(task.into());
        Some(MemoryRange { base, size })
    }

    #[cfg(not(feature = "memory"))]
    fn task_entry(&mut self, _task: u16) -> Option<MemoryRange> {
        None
    }

    #[cfg(feature = "snapshot")]
    fn save(
        &mut self,
        owner: u16,
        from: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        match kipc::save_memory(owner.into(), from, length, address(to, offset)) {
            Ok(saved) => Ok(SavedMemory {
                map: saved.map,
                stored: saved.stored,
                sum: saved.sum,
            }),
            Err(error) => Err(status(error)),
        }
    }

    #[cfg(not(feature = "snapshot"))]
    fn save(
        &mut self,
        _owner: u16,
        _from: u32,
        _length: u32,
        _to: &[Block],
        _offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        Err(ExtentStatus::NotReadable)
    }

    #[cfg(feature = "snapshot")]
    fn save_rows(
        &mut self,
        rows: &ExtentRows<'_>,
        copy: Option<(&[Block], u32)>,
        offset: u32,
    ) -> SavedRows {
        if let (Some((blocks, from)), Some((owner, _))) = (copy, rows.owner_and_range(0)) {
            // The copy is the supervisor's memory.
            let distance = address(blocks, 0).wrapping_sub(from);
            rows.move_to(SUPERVISOR, distance);
            let saved = self.save_rows(rows, None, offset);
            rows.move_to(owner, distance.wrapping_neg());
            return saved;
        }
        let (area, first) = rows.place();
        let list = address(area, first);
        let (destination, room) = (address(area, offset), length(area).saturating_sub(offset));
        let saved = kipc::save_memory_list(list, rows.count() as u32, destination, room);
        // The kernel refuses if there is no room at all: then each is to be saved alone.
        saved.map_or_else(
            |_| SavedRows::default(),
            |(done, stored)| SavedRows { done, stored },
        )
    }

    #[cfg(not(feature = "snapshot"))]
    fn save_rows(
        &mut self,
        _rows: &ExtentRows<'_>,
        _copy: Option<(&[Block], u32)>,
        _offset: u32,
    ) -> SavedRows {
        SavedRows::default()
    }

    #[cfg(feature = "snapshot")]
    fn save_copy(
        &mut self,
        copy: &[Block],
        at: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        self.save(SUPERVISOR, address(copy, at), length, to, offset)
    }

    #[cfg(not(feature = "snapshot"))]
    fn save_copy(
        &mut self,
        _copy: &[Block],
        _at: u32,
        _length: u32,
        _to: &[Block],
        _offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        Err(ExtentStatus::NotReadable)
    }

    #[cfg(feature = "run-times")]
    fn run_times(&mut self, times: &mut [[u8; 4]]) -> bool {
        kipc::read_run_times(times);
        true
    }

    #[cfg(not(feature = "run-times"))]
    fn run_times(&mut self, _times: &mut [[u8; 4]]) -> bool {
        false
    }

    #[cfg(feature = "run-times")]
    fn take_return(&mut self, task: usize) -> bool {
        kipc::take_return(task)
    }

    #[cfg(not(feature = "run-times"))]
    fn take_return(&mut self, _task: usize) -> bool {
        true
    }

    fn state(&mut self, task: usize) -> TaskState {
        kipc::read_task_status(task)
    }

    fn inject_fault(&mut self, task: usize) {
        kipc::fault_task(task);
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

impl<W: WatchdogTimer> RegionKernel for Kipc<W> {
    #[cfg(feature = "snapshot")]
    fn access(&mut self, task: u16, address: u32, length: u32) -> MemoryAccess {
        match kipc::check_access(task.into(), address, length) {
            MemoryKind::None => MemoryAccess::None,
            MemoryKind::Memory => MemoryAccess::Memory,
            MemoryKind::Device => MemoryAccess::Device,
        }
    }

    #[cfg(not(feature = "snapshot"))]
    fn access(&mut self, _task: u16, _address: u32, _length: u32) -> MemoryAccess {
        MemoryAccess::None
    }

    fn current(&mut self, task: u16) -> TaskId {
        id(task.into())
    }

    #[cfg(feature = "snapshot")]
    fn read_device(&mut self, task: u16, address: u32) -> Result<u32, ExtentStatus> {
        kipc::read_device_word(task.into(), address).map_err(status)
    }

    #[cfg(not(feature = "snapshot"))]
    fn read_device(&mut self, _task: u16, _address: u32) -> Result<u32, ExtentStatus> {
        Err(ExtentStatus::NotReadable)
    }

    #[cfg(feature = "snapshot")]
    fn built_region(&mut self, n: usize) -> Option<CrashRegion> {
        let region = kipc::get_built_region(n)?;
        Some(CrashRegion {
            name: region.name,
            address: region.base,
            length: region.size,
            owner: region.owner,
            is_device: false,
            origin: RegionOrigin::Build,
        })
    }

    #[cfg(not(feature = "snapshot"))]
    fn built_region(&mut self, _n: usize) -> Option<CrashRegion> {
        None
    }
}
