//! Saves memory with a crash: makes the image that the recorder writes.
//!
//! # In an emergency
//!
//! The recorder is restarted to write the crash, and that overwrites the part of its memory which
//! says what it was doing. So this part is copied to the end of the dump area in the same call of
//! the kernel ([`Kernel::save_and_restart`]), and saved from there. It is one range: the statics
//! and, below them, as much of the stack as the emergency path uses, [`EMERGENCY_STACK`]. What lies
//! below that stays where it is: a restart by this call does not fill it.
//!
//! The image is made after the recorder has concluded its try: what is saved costs the crash
//! nothing. The registered regions come first. Most important then is the crashed task, then the
//! supervisor, the kernel, and the other tasks by priority. A piece that cannot be read, has no
//! room or no time is left out, and the image says so.
//!
//! # An oops
//!
//! The image has the task alone, and is made before the task is restarted, unless another image
//! waits in the dump area. All other tasks wait meanwhile, for [`OOPS_MS`] at most and the time of
//! 16 pages; so does a panic that is found together with the oops, in a task of a higher index.
//!
//! The image of an emergency replaces one that waits.

use abi::TaskDumpRegion;
use crashlog_retained::{
    BLOCK_LEN, Block, ExtentKind, ExtentRows, ExtentStatus, MemoryRange, RegisteredRegion,
    SavedMemory, SavedRows, SnapshotArea, SnapshotFacts, SnapshotKind, SnapshotPiece,
    SnapshotSource,
};

use crate::{CrashRegions, Kernel, SavedRanges, SnapshotScope, Supervisor};

/// Bytes of stack that the recorder's emergency path uses at most, with the frame of an interrupt;
/// `./x check-emergency` proves it.
pub const EMERGENCY_STACK: u32 = 5_632;

/// How long the image of an oops may take, in milliseconds, until its last 16 pages are begun.
pub const OOPS_MS: u64 = 20;

/// Most pieces that the kernel is asked to save at once.
const ROWS: usize = 16;

/// The index of the supervisor.
pub(crate) const SUPERVISOR: u16 = 0;

/// Where the recorder's memory is kept, as it was before the emergency.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RecorderCopy<'a> {
    /// The address from which on it is copied.
    from: u32,
    /// Its place.
    blocks: &'a [Block],
    /// The rest of the dump area: the place of the image.
    area: SnapshotArea<'a>,
}

impl<'a> RecorderCopy<'a> {
    /// Finds the range, from the stack pointer of the recorder, which has not run yet, and makes
    /// room for it in `area`. `None`: without room, or where the kernel does not give out memory,
    /// there are no snapshots of emergencies.
    // Not inlined: its frame would be on the stack of every emergency.
    #[inline(never)]
    pub fn prepare(
        kernel: &mut impl Kernel,
        recorder: usize,
        area: SnapshotArea<'a>,
    ) -> Option<Self> {
        let [.., sp, _lr, _pc, _psr] = kernel.registers(recorder)?;
        let owner = u16::try_from(recorder).ok()?;
        let mut ranges = SavedRanges::default();
        kernel.saved_memory(owner, &mut ranges);
        for number in 0..SavedRanges::MAX {
            let range = ranges.get(number)?;
            let end = range.base.checked_add(range.size)?;
            if sp <= range.base || sp > end {
                continue;
            }
            let from = sp.saturating_sub(EMERGENCY_STACK).max(range.base);
            // Whole blocks: the range begins a little lower for it.
            let count = ((end - from) as usize).div_ceil(BLOCK_LEN);
            let from = end.checked_sub((count * BLOCK_LEN) as u32)?;
            if from < range.base {
                return None;
            }
            let (area, blocks) = area.split_end(count)?;
            return Some(Self { from, blocks, area });
        }
        None
    }

    /// Offset in the copy of `length` bytes at `address`; `None` if they are not all in it.
    fn offset(&self, address: u32, length: u32) -> Option<u32> {
        let offset = address.checked_sub(self.from)?;
        let end = offset.checked_add(length)?;
        (end as usize <= size_of_val(self.blocks)).then_some(offset)
    }
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Restarts the recorder for the first try. Its memory is copied before, if it is to be in a
    /// snapshot.
    pub(crate) fn restart_recorder(&mut self) {
        let recorder = self.config.recorder;
        let Some(copy) = self.recorder_copy else {
            self.kernel.restart(recorder);
            return;
        };
        // The copy overwrites the end of an image that waits.
        copy.area.clear();
        if !self
            .kernel
            .save_and_restart(recorder, copy.from, copy.blocks)
        {
            self.recorder_copy = None;
        }
    }

    /// Restarts the recorder for the second try. The copy of before the first one stays, and so
    /// does its memory below that.
    pub(crate) fn restart_recorder_again(&mut self) {
        let recorder = self.config.recorder;
        match self.recorder_copy {
            Some(copy) => {
                self.kernel.save_and_restart(recorder, copy.from, &[]);
            }
            None => self.kernel.restart(recorder),
        }
    }

    /// Makes the image of the crash in the mailbox, until `deadline`. Returns whether there is one.
    // Not inlined: its frame and that of a description must not be on the stack at the same time.
    #[inline(never)]
    pub(crate) fn save_crashed_system(&mut self, deadline: u64) -> bool {
        let (Some(copy), Some(crash)) = (self.recorder_copy, self.region.mailbox().crash()) else {
            return false;
        };
        let crash = crash.context;
        let kind = match self.config.snapshot {
            SnapshotScope::System => SnapshotKind::System,
            SnapshotScope::Task => SnapshotKind::Task,
            SnapshotScope::None => return false,
        };
        let first = [crash.task, SUPERVISOR, crashlog_retained::KERNEL_OWNER];
        let others = self.config.by_priority.iter().copied();
        let owners = first
            .into_iter()
            .chain(others.filter(|task| !first.contains(task)));
        let facts = self.snapshot_facts(kind, crash.task, crash.boot, crash.time, deadline);
        if let Some(regions) = &mut self.regions {
            regions.end_of_dead(&mut self.kernel);
        }
        let mut source = SupervisorMemory {
            kernel: &mut self.kernel,
            regions: self.regions.as_deref(),
            recorder: self.config.recorder,
            copy: Some(copy),
            ranges_of: None,
            ranges: SavedRanges::default(),
        };
        copy.area.write(&facts, owners, &mut source)
    }

    /// Makes the image of a task that has an oops, at `now`, if no other image waits.
    #[inline(never)]
    pub(crate) fn save_task(&mut self, task: usize, now: u64) {
        let area = self.region.snapshot();
        let Ok(task) = u16::try_from(task) else {
            return;
        };
        if self.config.snapshot == SnapshotScope::None || area.header().is_some() {
            return;
        }
        let mut ranges = SavedRanges::default();
        self.kernel.saved_memory(task, &mut ranges);
        if ranges.get(0).is_none() {
            return;
        }
        let deadline = self.kernel.now().saturating_add(OOPS_MS);
        let facts = self.snapshot_facts(SnapshotKind::Task, task, self.boot, now, deadline);
        if let Some(regions) = &mut self.regions {
            regions.end_of_dead(&mut self.kernel);
        }
        let mut source = SupervisorMemory {
            kernel: &mut self.kernel,
            regions: self.regions.as_deref(),
            recorder: self.config.recorder,
            copy: None,
            ranges_of: Some(task),
            ranges,
        };
        area.write(&facts, core::iter::empty(), &mut source);
    }

    fn snapshot_facts(
        &mut self,
        kind: SnapshotKind,
        task: u16,
        boot: u32,
        time: u64,
        deadline: u64,
    ) -> SnapshotFacts {
        SnapshotFacts {
            kind,
            boot,
            task,
            current: SUPERVISOR,
            time,
            image_id: self.image_id,
            // The supervisor's own, in its call of the kernel.
            registers: self
                .kernel
                .registers(usize::from(SUPERVISOR))
                .unwrap_or_default(),
            deadline,
        }
    }
}

/// The memory of the system, as it was when the crash came.
struct SupervisorMemory<'k, 'a, K> {
    kernel: &'k mut K,
    regions: Option<&'k CrashRegions>,
    recorder: usize,
    /// In an emergency.
    copy: Option<RecorderCopy<'a>>,
    /// The owner whose memory was asked for last.
    ranges_of: Option<u16>,
    /// Its memory.
    ranges: SavedRanges,
}

impl<'a, K: Kernel> SupervisorMemory<'_, 'a, K> {
    /// The `n`-th range of memory of `owner`, as it is now.
    fn range(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        if self.ranges_of != Some(owner) {
            self.kernel.saved_memory(owner, &mut self.ranges);
            self.ranges_of = Some(owner);
        }
        let TaskDumpRegion { base, size } = self.ranges.get(n)?;
        Some(MemoryRange { base, size })
    }

    /// The copy of the recorder's memory, if `owner` is the recorder.
    fn copy_of(&self, owner: u16) -> Option<RecorderCopy<'a>> {
        self.copy.filter(|_| usize::from(owner) == self.recorder)
    }
}

impl<K: Kernel> SnapshotSource for SupervisorMemory<'_, '_, K> {
    fn now(&mut self) -> u64 {
        self.kernel.now()
    }

    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        let Some(copy) = self.copy_of(owner) else {
            return self.range(owner, n);
        };
        // The range that the copy is the end of counts as two.
        let mut before = 0;
        for number in 0..SavedRanges::MAX {
            let range = self.range(owner, number)?;
            let below = copy.from.saturating_sub(range.base);
            let is_divided = below > 0 && below < range.size;
            if n == before {
                let size = if is_divided { below } else { range.size };
                return Some(MemoryRange { size, ..range });
            }
            before = before.saturating_add(1);
            if is_divided {
                if n == before {
                    let (base, size) = (copy.from, range.size.saturating_sub(below));
                    return Some(MemoryRange { base, size });
                }
                before = before.saturating_add(1);
            }
        }
        None
    }

    fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
        self.kernel.task_entry(task)
    }

    fn region(&mut self, n: usize) -> Option<RegisteredRegion> {
        self.regions?.get(n)
    }

    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        let SnapshotPiece {
            kind,
            owner,
            address,
            length,
        } = *piece;
        if kind == ExtentKind::Device {
            // One word, as in every piece of a device.
            let word = self.kernel.read_device(owner, address)?;
            return Ok(SavedMemory::of_word(word, to, offset));
        }
        if let Some(copy) = self.copy_of(owner)
            && let Some(at) = copy.offset(address, length)
        {
            return self.kernel.save_copy(copy.blocks, at, length, to, offset);
        }
        self.kernel.save(owner, address, length, to, offset)
    }

    fn save_rows(&mut self, rows: &ExtentRows<'_>, offset: u32) -> SavedRows {
        // What is in the copy is saved from there.
        let copy = |index| {
            let (owner, range) = rows.owner_and_range(index)?;
            let copy = self.copy_of(owner)?;
            copy.offset(range.base, range.size)?;
            Some((copy.blocks, copy.from))
        };
        let first = copy(0);
        let all = 0..rows.count().min(ROWS);
        let alike = all.take_while(|index| copy(*index).is_some() == first.is_some());
        let rows = rows.start(alike.count());
        self.kernel.save_rows(&rows, first, offset)
    }
}
