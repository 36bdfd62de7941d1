//! The memory of a system whose kernel or supervisor has failed, for the snapshot of the crash.
//!
//! No task runs any more, so the kernel makes the image itself, in retained RAM; the next boot
//! writes it. The crash is described before that, and a failure on the way here ends in the reset:
//! then there is no image, and the description stays.

use crashlog_format::snapshot::{
    EXTENT_MAX, ExtentKind, ExtentStatus, GRANULE, GranuleContent, KERNEL_OWNER, STACK_FILL,
    SnapshotKind, WordSum,
};
use crashlog_retained::{
    Block, MemoryRange, Name, RegisteredRegion, SavedMemory, SnapshotArea, SnapshotFacts,
    SnapshotPiece, SnapshotSource,
};
use kern::descs::{HUBRIS_CRASH_REGIONS, HUBRIS_TASK_DESCS};
use kern::fail::{self, Failure};
use kern::header;
use kern::saved_memory::{self, KERNEL_MEMORY, SaveMemoryError, SavedExtent};

/// Milliseconds after which what is not saved yet is left out: half of what the watchdog allows.
const LIMIT_MS: u64 = crate::FAILURE_MS as u64 / 2;

// The kernel has no dependency on the format, so it has numbers of its own.
const _: () = {
    assert!(KERNEL_MEMORY == KERNEL_OWNER as u32);
    assert!(SavedExtent::MAX as usize == EXTENT_MAX);
    assert!(SavedExtent::GRANULE as usize == GRANULE);
    assert!(SavedExtent::ZEROS == GranuleContent::Zeros as u32);
    assert!(SavedExtent::FILL == GranuleContent::Fill as u32);
    assert!(SavedExtent::STACK_FILL == STACK_FILL);
    assert!(SavedExtent::SUM_SEED == WordSum::SEED);
    assert!(SavedExtent::SUM_FACTOR == WordSum::FACTOR);
};

/// Makes an image of the whole system in `area`, for the crash of this boot that `failure` is.
pub fn make(area: &SnapshotArea<'_>, failure: &Failure<'_>, boot: u32) {
    let task = match failure.fault {
        Some(_) => 0,
        None => KERNEL_OWNER,
    };
    let facts = SnapshotFacts {
        kind: SnapshotKind::System,
        boot,
        task,
        current: KERNEL_OWNER,
        time: failure.time,
        image_id: header::image_id(),
        registers: failure.registers,
        deadline: fail::now().saturating_add(LIMIT_MS),
    };
    area.write(&facts, owners(task), &mut FailedSystem);
}

/// The owners of memory, the most important first: what failed, the supervisor, the kernel, and the
/// tasks by priority.
fn owners(failed: u16) -> impl Iterator<Item = u16> {
    let first = match failed {
        0 => [0, KERNEL_OWNER],
        _ => [KERNEL_OWNER, 0],
    };
    let tasks = core::iter::successors(following(None), |task| following(Some(*task)));
    first
        .into_iter()
        .chain(tasks.map(|(_priority, index)| index))
}

/// The task that comes after this one by priority and index; the supervisor is not among them.
fn following(task: Option<(u8, u16)>) -> Option<(u8, u16)> {
    let tasks = HUBRIS_TASK_DESCS.iter().skip(1);
    tasks
        .map(|other| (other.priority, other.index))
        .filter(|other| task.is_none_or(|task| task < *other))
        .min()
}

/// The system after the failure: nothing changes any more but what the kernel needs to save it.
struct FailedSystem;

impl SnapshotSource for FailedSystem {
    fn now(&mut self) -> u64 {
        fail::now()
    }

    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        saved_memory::range(owner.into(), n).map(|range| MemoryRange {
            base: range.base,
            size: range.size,
        })
    }

    fn task_entry(&mut self, _task: u16) -> Option<MemoryRange> {
        // The whole task table is saved with the kernel's memory.
        None
    }

    /// Those of the build: the supervisor's registry may be what has failed.
    fn region(&mut self, n: usize) -> Option<RegisteredRegion> {
        let region = HUBRIS_CRASH_REGIONS.get(n)?;
        let text = region.name.utf8_chunks().next();
        Some(RegisteredRegion {
            name: Name::new(text.map_or("", |text| text.valid())),
            owner: region.owner,
            address: region.base,
            length: region.size,
            is_device: false,
        })
    }

    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        if piece.kind == ExtentKind::Device {
            return Err(ExtentStatus::NotReadable);
        }
        let end = offset.checked_add(piece.length);
        if end.is_none_or(|end| end as usize > size_of_val(to)) {
            return Err(ExtentStatus::NoRoom);
        }
        let destination = (to.as_ptr().expose_provenance() as u32).wrapping_add(offset);
        match saved_memory::save(piece.owner.into(), piece.address, piece.length, destination) {
            Ok(saved) => Ok(SavedMemory {
                map: saved.map,
                stored: saved.stored,
                sum: saved.sum,
            }),
            Err(SaveMemoryError::NotReadable) => Err(ExtentStatus::NotReadable),
            Err(SaveMemoryError::BusFault) => Err(ExtentStatus::BusFault),
            // The dump area is memory of the supervisor and of the kernel, so this does not happen.
            Err(SaveMemoryError::Destination) => Err(ExtentStatus::NoRoom),
        }
    }
}
