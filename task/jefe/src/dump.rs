//! Dumps tasks into areas of memory: crate `humpty` on the kernel's interface.
//!
//! A task that has faulted is dumped before it is restarted: its entry in the kernel's task table,
//! then all memory that it can write. Extern regions that this task has too are left out: they hold
//! the areas themselves. A dump for which no area is free is not made, so the first dumps are kept
//! until a dump agent has read them and reinitialises the areas.

use hubris_num_tasks::NUM_TASKS;
use humpty::{
    Areas, DumpArea, DumpContents, DumpSegmentHeader, DumpTask, Source, Words, extern_words,
};
use task_jefe_api::DumpAgentError;
use userlib::{TaskDumpRegion, kipc, sys_get_timer};

use crate::config;

/// A task's entry in the task table, and the regions that a task has, at most eight.
const MAX_SEGMENTS: usize = 9;

/// How many regions are divided into areas.
const REGIONS: usize = config::DUMP_REGIONS.len();

/// The areas.
pub struct Dumps(Areas<'static, Words<'static, REGIONS>>);

/// A task's memory, as the kernel gives it out.
struct Memory {
    task: usize,
}

impl Source for Memory {
    fn read(&mut self, address: u32, to: &mut [u8]) -> usize {
        let region = TaskDumpRegion {
            base: address,
            size: to.len() as u32,
        };
        kipc::read_task_dump_region(self.task, region, to)
    }
}

impl Dumps {
    /// Initialises all areas: they are free. To be called once.
    pub fn new() -> Self {
        let memory = config::DUMP_REGIONS.map(|region| {
            // SAFETY: the build maps these regions, which are memory aligned to pages, into this
            // task for reading and writing. The dump agent, the only other task that has them,
            // accesses them through the same type.
            (region.address, unsafe { extern_words(region) })
        });
        let mut areas = Areas::new(&config::DUMP_REGIONS, Words::new(memory));
        areas.initialize();
        Self(areas)
    }

    pub fn reinitialize(&mut self) -> Result<(), DumpAgentError> {
        self.0.initialize();
        Ok(())
    }

    pub fn reinitialize_from(&mut self, index: u8) -> Result<(), DumpAgentError> {
        Ok(self.0.initialize_from(index)?)
    }

    pub fn area(&self, index: u8) -> Result<DumpArea, DumpAgentError> {
        Ok(self.0.get(index)?)
    }

    pub fn claim(&mut self) -> Result<DumpArea, DumpAgentError> {
        Ok(self.0.claim_all()?)
    }

    /// Dumps a task. Returns the index of the first area that it is in.
    pub fn task(&mut self, task: u32) -> Result<u8, DumpAgentError> {
        let task = other_task(task)?;
        let mut segments = [DumpSegmentHeader {
            address: 0,
            length: 0,
        }; MAX_SEGMENTS];
        let mut count = 0;
        let mut add = |region: TaskDumpRegion| {
            if let Some(segment) = segments.get_mut(count) {
                *segment = DumpSegmentHeader {
                    address: region.base,
                    length: region.size,
                };
                count = count.wrapping_add(1);
            }
        };
        add(kipc::get_task_desc_region(task));
        for region in regions(task).filter(|region| !is_shared_with_us(region)) {
            add(region);
        }
        self.dump(
            DumpContents::SingleTask,
            task,
            segments.get(..count).unwrap_or(&segments),
        )
    }

    /// Dumps memory of a task. Returns the index of the first area that it is in.
    pub fn region(&mut self, task: u32, address: u32, length: u32) -> Result<u8, DumpAgentError> {
        let task = other_task(task)?;
        let segment = DumpSegmentHeader { address, length };
        if !address.is_multiple_of(4) {
            return Err(DumpAgentError::UnalignedSegmentAddress);
        }
        if !length.is_multiple_of(4) {
            return Err(DumpAgentError::UnalignedSegmentLength);
        }
        if !is_covered(task, segment) {
            return Err(DumpAgentError::BadSegmentAdd);
        }
        self.dump(DumpContents::TaskRegion, task, &[segment])
    }

    fn dump(
        &mut self,
        contents: DumpContents,
        task: usize,
        segments: &[DumpSegmentHeader],
    ) -> Result<u8, DumpAgentError> {
        let whose = DumpTask::new(task as u16, sys_get_timer().now);
        Ok(self
            .0
            .dump(contents, whose, segments, &mut Memory { task })?)
    }
}

/// The index of a task whose memory the kernel gives out: any but the supervisor.
fn other_task(task: u32) -> Result<usize, DumpAgentError> {
    match task as usize {
        0 => Err(DumpAgentError::NotSupported),
        task if task < NUM_TASKS => Ok(task),
        _ => Err(DumpAgentError::BadOffset),
    }
}

/// The memory that a task can write, by ascending addresses.
fn regions(task: usize) -> impl Iterator<Item = TaskDumpRegion> {
    (0..MAX_SEGMENTS).map_while(move |number| kipc::get_task_dump_region(task, number))
}

/// Is it an extern region of this task?
fn is_shared_with_us(region: &TaskDumpRegion) -> bool {
    config::SHARED
        .iter()
        .any(|(address, size)| region.base.wrapping_sub(*address) < *size)
}

/// Does the segment lie in the task's entry, or in its regions without a gap?
fn is_covered(task: usize, segment: DumpSegmentHeader) -> bool {
    let Some(end) = segment.address.checked_add(segment.length) else {
        return false;
    };
    let entry = kipc::get_task_desc_region(task);
    if entry.base <= segment.address && end <= entry.base.saturating_add(entry.size) {
        return true;
    }
    let mut from = segment.address;
    for region in regions(task) {
        if region.base <= from && from.wrapping_sub(region.base) < region.size {
            from = region.base.saturating_add(region.size);
            if end <= from {
                return true;
            }
        }
    }
    false
}
