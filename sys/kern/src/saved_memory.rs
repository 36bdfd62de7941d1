//! Memory for snapshots: what belongs into one, and the way on which all of it leaves.
//!
//! The supervisor asks for it by kernel IPC, and the application's hook for failures when the
//! kernel has failed. Then no invariant of the kernel's state holds; so everything here is decided
//! by the constant tables in flash. Every call is bounded.

use crate::arch;
use crate::descs::{
    ExternRegion, HUBRIS_TASK_DESCS, KERNEL_EXTERN_REGIONS, REGIONS_PER_TASK, RegionAttributes,
    RegionDesc, TaskDesc,
};
use crate::task::Task;
use crate::{entry_before, secrets};
use abi::ListedExtent;
use abi::TaskDumpRegion;
pub use abi::{KERNEL_MEMORY, SaveMemoryError, SavedExtent};
use core::mem::MaybeUninit;
use kerncore::slice::{UserSlice, covered, overlap};

/// Alignment of everything that is saved.
const WORD: u32 = 4;

/// The `n`-th range of memory of `owner`, a task's index or [`KERNEL_MEMORY`], that belongs into a
/// snapshot; `None` beyond the last, or if there is no such owner.
///
/// That is memory which it can write and which is neither a device nor for DMA. A region that
/// several tasks share belongs to the first of them, so no two ranges overlap.
pub fn range(owner: u32, n: usize) -> Option<TaskDumpRegion> {
    ranges(owner).nth(n)
}

/// All of them; at most [`SavedExtent::MAX_RANGES`].
pub(crate) fn ranges(owner: u32) -> impl Iterator<Item = TaskDumpRegion> {
    let of_kernel = (owner == KERNEL_MEMORY).then(kernel_ranges);
    let of_kernel = of_kernel.into_iter().flatten();
    let of_task = split(owner).into_iter().flat_map(|(before, task)| {
        let regions = task.regions.iter().copied();
        regions.filter(|region| belongs(region, before))
    });
    of_kernel
        .map(|(base, end)| TaskDumpRegion {
            base,
            size: end.wrapping_sub(base),
        })
        .chain(of_task.map(|region| TaskDumpRegion {
            base: region.base,
            size: region.size,
        }))
}

const _: () = assert!(REGIONS_PER_TASK <= SavedExtent::MAX_RANGES);

/// Does a region of a task belong into a snapshot, and to none of the tasks `before` it?
fn belongs(region: &RegionDesc, before: &[TaskDesc]) -> bool {
    let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
    let mut others = before.iter().flat_map(|other| other.regions.iter());
    region.attributes.contains(RegionAttributes::WRITE)
        && !region.attributes.intersects(unwanted)
        && !others.any(|other| core::ptr::eq(*other, region))
}

/// Copies `length` bytes at `address`, which `owner` may read, to the supervisor's memory at
/// `destination`: all granules that are neither zeros nor the fill of an unused stack. With their
/// checksum.
///
/// All bytes of a snapshot take this way, but those that [`save_whole`] sets aside.
///
/// # Errors
///
/// See [`SaveMemoryError`]; nothing has been copied then.
#[inline(never)]
pub fn save(
    owner: u32,
    address: u32,
    length: u32,
    destination: u32,
) -> Result<SavedExtent, SaveMemoryError> {
    let from = readable(owner, address, length).ok_or(SaveMemoryError::NotReadable)?;
    words(destination, length)
        .filter(|to| is_writable(to, &from))
        .ok_or(SaveMemoryError::Destination)?;
    // SAFETY: as just checked.
    Ok(unsafe { save_checked(address, destination, length) })
}

/// Saves the entries of a list one after the other, as [`save`] does, and stores in each what came
/// of it; see [`ListedExtent`]. Returns how many entries are done, and how many bytes of data they
/// have: they follow each other from `destination` on.
///
/// It ends early when an interrupt is pending, but not before the first entry: so no interrupt
/// waits longer than for one entry, as with [`save`].
///
/// # Errors
///
/// [`SaveMemoryError::Destination`]; nothing has been copied then.
pub(crate) fn save_list(
    list: u32,
    count: u32,
    destination: u32,
    room: u32,
) -> Result<(u32, u32), SaveMemoryError> {
    const LENGTH: u32 = ListedExtent::WORDS as u32 * WORD;
    let count = count.min(ListedExtent::MAX);
    let (Some(rows), Some(to)) = (
        words(list, count.wrapping_mul(LENGTH)),
        words(destination, room),
    ) else {
        return Err(SaveMemoryError::Destination);
    };
    if !is_writable(&rows, &to) || !is_writable(&to, &rows) {
        return Err(SaveMemoryError::Destination);
    }
    let (mut done, mut stored) = (0_u32, 0_u32);
    while done < count {
        let row = rows.base().wrapping_add(done.wrapping_mul(LENGTH));
        let row = row as *mut [u32; ListedExtent::WORDS];
        // SAFETY: an aligned entry of the list, memory that the kernel may read and write, where it
        // has no object; every bit pattern is valid. Volatile, because it is not the kernel's own.
        let [address, whose, facts, ..] = unsafe { row.read_volatile() };
        if !(1..=ListedExtent::LAST_MEMORY_KIND).contains(&(facts & 0xFF)) {
            break;
        }
        let (length, owner) = (whose & 0xFFFF, whose >> 16);
        let (mut status, mut saved) = (ListedExtent::NO_ROOM, SavedExtent::NOTHING);
        if length <= room.wrapping_sub(stored) {
            status = ListedExtent::NOT_READABLE;
            if readable(owner, address, length).is_some_and(|from| !overlap(&from, &to)) {
                status = ListedExtent::SAVED;
                // SAFETY: the source is as just checked, and the destination is the part of `to`
                // from `stored` on, in which `length` bytes are left.
                saved = unsafe { save_checked(address, destination.wrapping_add(stored), length) };
            }
        }
        let facts = facts & !0xFF00 | status << 8;
        let (low, high) = (saved.sum as u32, (saved.sum >> 32) as u32);
        // SAFETY: as above.
        unsafe { row.write_volatile([address, whose, facts, saved.map, low, high]) };
        stored = stored.wrapping_add(saved.stored);
        done = done.wrapping_add(1);
        if arch::save::is_interrupt_pending() {
            break;
        }
    }
    Ok((done, stored))
}

/// Memory of its owner that may be saved: see [`SaveMemoryError::NotReadable`].
#[inline(always)]
fn readable(owner: u32, address: u32, length: u32) -> Option<UserSlice<u8>> {
    if length > SavedExtent::MAX {
        return None;
    }
    words(address, length).filter(|from| is_readable(owner, from))
}

/// Copies what is data, without what must not leave, and computes the checksum.
///
/// # Safety
///
/// Source and destination are aligned, mapped memory of a length from 4 to [`SavedExtent::MAX`];
/// the destination is writable for the kernel, which has no object there, and they do not overlap.
#[inline(always)]
unsafe fn save_checked(from: u32, to: u32, length: u32) -> SavedExtent {
    if is_changed(from, length) {
        return save_changed(from, to, length);
    }
    // SAFETY: the caller's promise.
    unsafe { arch::save::copy_and_sum(from, to, length, SavedExtent::SUM_SEED) }
}

/// Does memory not leave as it is? It may have secrets, or the entry of a task that was restarted.
#[inline(always)]
fn is_changed(address: u32, length: u32) -> bool {
    secrets::are_in(address, length) || entry_before::is_in(address, length)
}

/// As `copy_and_sum`, of memory that does not leave as it is: a granule that does not is changed in
/// a copy before anything is stored; all between two of these is saved at once. `from` and `to` are
/// as for [`save_checked`].
#[inline(never)]
fn save_changed(from: u32, to: u32, length: u32) -> SavedExtent {
    let mut saved = SavedExtent::NOTHING;
    let mut changed = MaybeUninit::<[u32; (SavedExtent::GRANULE / WORD) as usize]>::uninit();
    let mut offset = 0_u32;
    let mut is_copied = is_changed(from, length.min(SavedExtent::GRANULE));
    while offset < length {
        // All granules up to the next one that is changed, or this one.
        let (mut end, mut is_next_copied) = (offset, false);
        while end < length && !is_next_copied && (end == offset || !is_copied) {
            end = end.wrapping_add(SavedExtent::GRANULE).min(length);
            let rest = length.wrapping_sub(end).min(SavedExtent::GRANULE);
            is_next_copied = rest != 0 && is_changed(from.wrapping_add(end), rest);
        }
        let mut source = from.wrapping_add(offset);
        let count = end.wrapping_sub(offset);
        // SAFETY: the caller has found the source to be memory that can be read, and the
        // destination to be writable memory of `length` bytes, of which at most `offset` are
        // stored, where the kernel has no object. `changed` is a granule of this function's, at
        // least as long as `count` if that is one granule, and overlaps neither; of it only the
        // `count` bytes that `copy` has stored are read.
        let part = unsafe {
            if is_copied {
                let copy = changed.as_mut_ptr() as u32;
                arch::copy(source, copy, count);
                entry_before::replace(source, copy, count);
                secrets::blank(source, copy, count);
                source = copy;
            }
            arch::save::copy_and_sum(source, to.wrapping_add(saved.stored), count, saved.sum)
        };
        let shift = offset / (SavedExtent::GRANULE / 2);
        saved = SavedExtent {
            map: saved.map | part.map.wrapping_shl(shift),
            stored: saved.stored.wrapping_add(part.stored),
            sum: part.sum,
        };
        (offset, is_copied) = (end, is_next_copied);
    }
    saved
}

/// Copies memory of `task`, which is about to be restarted, to the supervisor's, as it is but for
/// secrets, and keeps its entry ([`entry_before`]). Returns the number of bytes: `length`, or 0 for
/// the reasons of [`save`], or beyond [`SavedExtent::MAX_BEFORE_RESTART`].
pub(crate) fn save_whole(task: &Task, address: u32, length: u32, destination: u32) -> u32 {
    if length > SavedExtent::MAX_BEFORE_RESTART {
        return 0;
    }
    let (Some(from), Some(to)) = (words(address, length), words(destination, length)) else {
        return 0;
    };
    // What is to be saved of a task before a restart is in the region of its stack, as a rule.
    let in_stack = task.arch.has_in_stack_region(address, length);
    if !in_stack && !task_can_read(task.descriptor, &from) || !is_writable(&to, &from) {
        return 0;
    }
    // SAFETY: as in `save`.
    unsafe {
        arch::save::copy_wide(address, destination, length);
        secrets::blank(address, destination, length);
    }
    entry_before::keep(task);
    length
}

/// Reads the word at `address`, a register of a peripheral that `task` may use.
///
/// # Errors
///
/// [`SaveMemoryError::NotReadable`] if there is none, or the address is not aligned;
/// [`SaveMemoryError::BusFault`] if the device does not answer.
pub(crate) fn device_word(task: &Task, address: u32) -> Result<u32, SaveMemoryError> {
    let is_device = |region: &RegionDesc| {
        region
            .attributes
            .contains(RegionAttributes::READ | RegionAttributes::DEVICE)
    };
    let regions = task.descriptor.regions;
    words(address, WORD)
        .filter(|word| covered(regions, word.base(), word.end(), is_device))
        .ok_or(SaveMemoryError::NotReadable)?;
    // SAFETY: an aligned word of a device that the task's table maps.
    unsafe { arch::device::load(&task.arch, address) }.ok_or(SaveMemoryError::BusFault)
}

/// A slice of whole words that is not empty.
fn words(address: u32, length: u32) -> Option<UserSlice<u8>> {
    if length == 0 || !(address | length).is_multiple_of(WORD) {
        return None;
    }
    UserSlice::new(address, length).ok()
}

/// May its owner read all of it, and is it plain memory? Of the supervisor's also what it shares
/// with the kernel. All such memory is mapped for the kernel.
fn is_readable(owner: u32, slice: &UserSlice<u8>) -> bool {
    if owner == KERNEL_MEMORY {
        return kernel_ranges().any(|(base, end)| base <= slice.base() && slice.end() <= end);
    }
    let task = HUBRIS_TASK_DESCS.get(owner as usize);
    task.is_some_and(|task| {
        // In memory for DMA the supervisor keeps what `save_whole` has set aside.
        task_can_read(task, slice) || owner == 0 && is_shared_with_kernel(task, slice)
    })
}

fn task_can_read(task: &TaskDesc, slice: &UserSlice<u8>) -> bool {
    let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
    let regions = task.regions.iter().copied();
    covered(regions, slice.base(), slice.end(), |region| {
        region.attributes.contains(RegionAttributes::READ)
            && !region.attributes.intersects(unwanted)
    })
}

/// May the supervisor and the kernel write all of it, in one region, and is nothing of it in
/// `source`? Memory for DMA only if the kernel has it, too (`kernel.extern-regions`): what is only
/// a task's the kernel can read alone.
fn is_writable(slice: &UserSlice<u8>, source: &UserSlice<u8>) -> bool {
    let has = |base: u32, size: u32| {
        let offset = slice.base().wrapping_sub(base);
        size.checked_sub(offset)
            .is_some_and(|rest| slice.count() <= rest)
    };
    let [supervisor, ..] = &HUBRIS_TASK_DESCS;
    // The retained region has the highest address of all, as a rule.
    let region = supervisor.regions.iter().rev();
    let Some(region) = region.copied().find(|region| has(region.base, region.size)) else {
        return false;
    };
    let attributes = region.attributes;
    let of_kernel = |region: &ExternRegion| has(region.base, region.size);
    attributes.contains(RegionAttributes::WRITE)
        && !attributes.contains(RegionAttributes::DEVICE)
        && (!attributes.contains(RegionAttributes::DMA)
            || KERNEL_EXTERN_REGIONS.iter().any(of_kernel))
        && !overlap(slice, source)
}

/// Is it memory that the task may read, in a memory output that the kernel uses, too?
fn is_shared_with_kernel(task: &TaskDesc, slice: &UserSlice<u8>) -> bool {
    let of_kernel = KERNEL_EXTERN_REGIONS.iter().any(|region| {
        region.base <= slice.base() && slice.end() <= region.base.saturating_add(region.size)
    });
    of_kernel
        && covered(
            task.regions.iter().copied(),
            slice.base(),
            slice.end(),
            |region| {
                region.attributes.contains(RegionAttributes::READ)
                    && !region.attributes.contains(RegionAttributes::DEVICE)
            },
        )
}

/// The kernel's own memory, ascending.
fn kernel_ranges() -> impl Iterator<Item = (u32, u32)> {
    let ranges = arch::memory::kernel_data().into_iter();
    ranges.filter(|(base, end)| base < end)
}

/// The task with this index, and those before it.
fn split(owner: u32) -> Option<(&'static [TaskDesc], &'static TaskDesc)> {
    let (before, rest) = HUBRIS_TASK_DESCS.split_at_checked(owner as usize)?;
    Some((before, rest.first()?))
}
