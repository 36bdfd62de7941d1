//! A [`Kernel`] for tests: it keeps a list of what was done to the system.

use crate::{
    CrashRegion, Kernel, MemoryAccess, PANIC_MESSAGE_MAX, RegionKernel, SavedRanges, TASK_REGISTERS,
};
use abi::{FaultInfo, Generation, ListedExtent, SchedState, TaskDumpRegion, TaskId, TaskState};
use crashlog_format::snapshot::{GRANULE, STACK_FILL, WordSum};
use crashlog_retained::{
    BLOCK_LEN, Block, ExtentRows, ExtentStatus, KERNEL_OWNER, MemoryRange, SavedMemory, SavedRows,
};

/// The kernel's own memory: zeros.
pub const KERNEL_MEMORY: MemoryRange = MemoryRange {
    base: 0xf000_0000,
    size: 0x100,
};

/// A peripheral that every task uses. Its first register does not answer, and each other reads as
/// its own address.
pub const DEVICE: core::ops::Range<u32> = 0xe000_0000..0xe000_1000;

/// Something that was done to the system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    Armed(u32),
    Restarted(usize),
    Stopped(usize),
    Posted(usize, u32),
    Injected(usize),
    Fed(u32),
    Reset,
}

#[derive(Clone, Debug, Default)]
pub struct TestTask {
    pub fault: Option<FaultInfo>,
    /// What it does while it is healthy.
    pub doing: TaskState,
    /// When it last ran.
    pub last_ran: u32,
    /// How often it was restarted.
    pub generation: u8,
    /// Has it come back to its receive since that was asked for?
    pub returned: bool,
    pub registers: [u32; TASK_REGISTERS],
    pub message: Vec<u8>,
    /// Address and content of each region.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// Its entry in the kernel's table, if that has more than zeros.
    pub entry: Vec<u8>,
}

#[derive(Debug)]
pub struct TestKernel {
    pub image_id: u64,
    pub now: u64,
    pub tasks: Vec<TestTask>,
    pub effects: Vec<Effect>,
    /// Does the kernel give out registers?
    pub with_registers: bool,
    /// How many calls of the kernel return; the next one panics, in place of one that never
    /// returns.
    pub calls: Option<usize>,
    /// How many bytes of memory the kernel gives out at a time.
    pub gives: usize,
    /// When the watchdog was armed.
    pub armed_at: u64,
    /// Does the kernel save memory?
    pub gives_saved: bool,
    /// How many milliseconds it takes to save one piece.
    pub save_takes: u64,
}

fn entry_address(task: usize) -> u32 {
    KERNEL_MEMORY.base + 0x10 * task as u32
}

impl TestKernel {
    pub fn new(tasks: usize) -> Self {
        Self {
            image_id: 0,
            now: 0,
            tasks: vec![TestTask::default(); tasks],
            effects: Vec::new(),
            with_registers: true,
            calls: None,
            gives: usize::MAX,
            armed_at: 0,
            gives_saved: false,
            save_takes: 0,
        }
    }

    /// Counts a call of the kernel.
    fn call(&mut self) {
        if let Some(calls) = &mut self.calls {
            *calls = calls.checked_sub(1).expect("a call that returns");
        }
    }
}

impl TestKernel {
    /// Restarts a task. Its memory from `from` on changes: the kernel fills the unused stack, and
    /// the task overwrites the rest.
    fn restart_above(&mut self, task: usize, from: u32) {
        self.call();
        self.effects.push(Effect::Restarted(task));
        self.tasks[task].fault = None;
        self.tasks[task].generation += 1;
        for (base, content) in &mut self.tasks[task].memory {
            for (address, byte) in (*base..).zip(content) {
                if address >= from {
                    *byte = !*byte;
                }
            }
        }
    }
}

impl Kernel for TestKernel {
    fn image_id(&self) -> u64 {
        self.image_id
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn arm_watchdog(&mut self, budget_ms: u32) {
        self.call();
        self.armed_at = self.now;
        self.effects.push(Effect::Armed(budget_ms));
    }

    fn feed_watchdog(&mut self, milliseconds: u32) {
        self.effects.push(Effect::Fed(milliseconds));
    }

    fn fault(&mut self, task: usize) -> Option<FaultInfo> {
        self.call();
        self.tasks[task].fault
    }

    fn registers(&mut self, task: usize) -> Option<[u32; TASK_REGISTERS]> {
        self.call();
        if self.with_registers {
            Some(self.tasks[task].registers)
        } else if self.tasks[task].entry.is_empty() {
            None
        } else {
            // As `Kipc` does on a kernel that gives out memory only.
            crate::exception_frame::registers(self, task)
        }
    }

    fn panic_message(&mut self, task: usize, message: &mut [u8; PANIC_MESSAGE_MAX]) -> usize {
        self.call();
        let text = &self.tasks[task].message;
        message[..text.len()].copy_from_slice(text);
        text.len()
    }

    fn memory(&mut self, task: usize, region: usize) -> Option<TaskDumpRegion> {
        self.call();
        let (base, content) = self.tasks[task].memory.get(region)?;
        Some(TaskDumpRegion {
            base: *base,
            size: content.len() as u32,
        })
    }

    /// Panics where the kernel would fault the supervisor: at an address outside of the regions and
    /// of the task's entry, and at bytes that reach out of them.
    fn read(&mut self, task: usize, address: u32, bytes: &mut [u8]) -> usize {
        self.call();
        let entry = (entry_address(task), self.tasks[task].entry.clone());
        let (base, content) = self.tasks[task]
            .memory
            .iter()
            .chain([&entry])
            .find(|(base, content)| (*base..*base + content.len() as u32).contains(&address))
            .expect("an address in a region");
        let offset = (address - base) as usize;
        let length = bytes.len().min(self.gives);
        bytes[..length].copy_from_slice(&content[offset..offset + length]);
        length
    }

    fn restart(&mut self, task: usize) {
        self.restart_above(task, 0);
    }

    fn stop(&mut self, task: usize) {
        self.effects.push(Effect::Stopped(task));
        self.tasks[task].generation += 1;
        self.tasks[task].doing = TaskState::Healthy(SchedState::Stopped);
    }

    fn save_and_restart(&mut self, task: usize, from: u32, to: &[Block]) -> bool {
        let mut bytes = vec![0; size_of_val(to)];
        let saved = self.gives_saved && self.read(task, from, &mut bytes) == bytes.len();
        if saved {
            for (block, bytes) in to.iter().zip(bytes.chunks(BLOCK_LEN)) {
                block.copy_from(0, bytes);
            }
        }
        self.restart_above(task, from);
        saved
    }

    fn saved_memory(&mut self, owner: u16, ranges: &mut SavedRanges) {
        let found: Vec<(u32, u32)> = if !self.gives_saved {
            Vec::new()
        } else if owner == KERNEL_OWNER {
            vec![(KERNEL_MEMORY.base, KERNEL_MEMORY.size)]
        } else {
            let memory = self.tasks[usize::from(owner)].memory.iter();
            memory
                .map(|(base, content)| (*base, content.len() as u32))
                .collect()
        };
        ranges.replace(|response| {
            for (place, (base, size)) in response.chunks_mut(8).zip(&found) {
                place[..4].copy_from_slice(&base.to_le_bytes());
                place[4..].copy_from_slice(&size.to_le_bytes());
            }
            8 * found.len()
        });
    }

    fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
        let size = self.tasks[usize::from(task)].entry.len().max(0x10) as u32;
        Some(MemoryRange {
            base: entry_address(task.into()),
            size,
        })
    }

    fn save(
        &mut self,
        owner: u16,
        address: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        self.now += self.save_takes;
        if owner != KERNEL_OWNER {
            let from: Vec<Block> = (0..8).map(|_| Block::zeroed()).collect();
            let mut bytes = vec![0; length as usize];
            self.read(owner.into(), address, &mut bytes);
            for (block, bytes) in from.iter().zip(bytes.chunks(BLOCK_LEN)) {
                block.copy_from(0, bytes);
            }
            return Ok(saved(&from, 0, length, to, offset));
        }
        Ok(saved(&[], 0, length, to, offset))
    }

    /// As the kernel does it, until a row that is not plain memory.
    fn save_rows(
        &mut self,
        rows: &ExtentRows<'_>,
        copy: Option<(&[Block], u32)>,
        offset: u32,
    ) -> SavedRows {
        let (area, first) = rows.place();
        let mut saved = SavedRows::default();
        if !self.gives_saved {
            return saved;
        }
        for index in 0..rows.count().min(ListedExtent::MAX as usize) {
            let place = first as usize / 4 + index * ListedExtent::WORDS;
            let word = |number: usize| area[(place + number) / 128].word((place + number) % 128);
            let set = |number: usize, value: u32| {
                area[(place + number) / 128].set_word((place + number) % 128, value);
            };
            let (length, owner) = (word(1) & 0xffff, word(1) >> 16);
            if !(1..=ListedExtent::LAST_MEMORY_KIND).contains(&(word(2) & 0xff)) {
                break;
            }
            let at = offset + saved.stored;
            let save = |kernel: &mut Self| match copy {
                Some((copy, from)) => kernel.save_copy(copy, word(0) - from, length, area, at),
                None => kernel.save(owner as u16, word(0), length, area, at),
            };
            let status = if (at + length) as usize > size_of_val(area) {
                ListedExtent::NO_ROOM
            } else if let Ok(memory) = save(self) {
                set(3, memory.map);
                set(4, memory.sum as u32);
                set(5, (memory.sum >> 32) as u32);
                saved.stored += memory.stored;
                ListedExtent::SAVED
            } else {
                ListedExtent::NOT_READABLE
            };
            set(2, word(2) & !0xff00 | status << 8);
            saved.done += 1;
            // One that takes its time is interrupted.
            if self.save_takes > 0 {
                break;
            }
        }
        saved
    }

    fn save_copy(
        &mut self,
        copy: &[Block],
        at: u32,
        length: u32,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        Ok(saved(copy, at, length, to, offset))
    }

    fn run_times(&mut self, times: &mut [[u8; 4]]) -> bool {
        for (time, task) in times.iter_mut().zip(&self.tasks) {
            *time = task.last_ran.to_le_bytes();
        }
        true
    }

    fn take_return(&mut self, task: usize) -> bool {
        let waits = matches!(self.state(task), TaskState::Healthy(SchedState::InRecv(_)));
        core::mem::take(&mut self.tasks[task].returned) || waits
    }

    fn state(&mut self, task: usize) -> TaskState {
        let task = &self.tasks[task];
        match (task.doing, task.fault) {
            (TaskState::Healthy(original_state), Some(fault)) => TaskState::Faulted {
                fault,
                original_state,
            },
            (doing, _) => doing,
        }
    }

    fn inject_fault(&mut self, task: usize) {
        self.effects.push(Effect::Injected(task));
        self.tasks[task].fault = Some(FaultInfo::Injected(TaskId(0)));
    }

    fn post(&mut self, task: usize, bits: u32) {
        self.effects.push(Effect::Posted(task, bits));
    }

    fn reset(&mut self) {
        self.effects.push(Effect::Reset);
    }
}

/// A task may read its memory. None was restarted, and none has registered a region when it was
/// built.
impl RegionKernel for TestKernel {
    fn access(&mut self, task: u16, address: u32, length: u32) -> MemoryAccess {
        let mut memory = self.tasks[usize::from(task)].memory.iter();
        let has = memory.any(|(base, content)| {
            *base <= address && address + length <= base + content.len() as u32
        });
        if has {
            MemoryAccess::Memory
        } else if DEVICE.contains(&address) && DEVICE.contains(&(address + length - 1)) {
            MemoryAccess::Device
        } else {
            MemoryAccess::None
        }
    }

    fn read_device(&mut self, _task: u16, address: u32) -> Result<u32, ExtentStatus> {
        if address == DEVICE.start {
            Err(ExtentStatus::BusFault)
        } else {
            Ok(address)
        }
    }

    fn current(&mut self, task: u16) -> TaskId {
        let generation = self.tasks[usize::from(task)].generation;
        TaskId::for_index_and_gen(task.into(), Generation::from(generation))
    }

    fn built_region(&mut self, _n: usize) -> Option<CrashRegion> {
        None
    }
}

/// What the kernel does: stores the granules that are neither zeros nor fill, and sums them up.
fn saved(from: &[Block], at: u32, length: u32, to: &[Block], offset: u32) -> SavedMemory {
    let word = |index: usize| {
        from.get(index / 128)
            .map_or(0, |block| block.word(index % 128))
    };
    let first = at as usize / 4;
    let words: Vec<u32> = (first..first + length as usize / 4).map(word).collect();
    let (mut map, mut stored, mut sum) = (0, 0_u32, WordSum::new());
    for (granule, words) in words.chunks(GRANULE / 4).enumerate() {
        let fill = [0, STACK_FILL]
            .iter()
            .position(|fill| words.iter().all(|word| word == fill));
        if let Some(fill) = fill {
            map |= (fill as u32 + 1) << (2 * granule);
            continue;
        }
        for word in words {
            let index = (offset + stored) as usize / 4;
            to[index / 128].set_word(index % 128, *word);
            sum = sum.word(*word);
            stored += 4;
        }
    }
    SavedMemory {
        map,
        stored,
        sum: sum.value(),
    }
}
