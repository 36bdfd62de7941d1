//! The entry of a task as it was before its memory was set aside and it was restarted.
//!
//! What [`save_whole`](crate::saved_memory::save_whole) sets aside is a task's memory from before a
//! restart. With its entry of the task table from after it, a snapshot would have the registers of
//! one run and the stack of another. So the entry is kept, too, and takes the place of the present
//! one in all that is saved. A kernel that has failed saves memory and entry as they are.

use crate::arch;
use crate::fail::KERNEL_HAS_FAILED;
use crate::task::Task;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

/// Bytes of an entry that are kept: what debuggers read and a restart changes. What comes behind is
/// constant, or for this kernel alone.
const LENGTH: u32 = offset_of!(Task, descriptor) as u32;

const _: () = assert!(LENGTH.is_multiple_of(4));

/// An entry.
struct Entry {
    /// Its address in the task table; 0 if none is kept.
    address: u32,
    words: [u32; LENGTH as usize / 4],
}

/// The entry of the last task whose memory was set aside.
static mut BEFORE: Entry = Entry {
    address: 0,
    words: [0; LENGTH as usize / 4],
};

/// Keeps the entry of a task that is about to be restarted.
#[inline(always)]
pub(crate) fn keep(task: &Task) {
    let from = (&raw const *task) as u32;
    // SAFETY: the kernel alone uses `BEFORE`, by copies of words, with interrupts masked, so
    // nothing else has a reference into it. `task` is longer than `words`, and both are aligned to
    // words.
    unsafe {
        (&raw mut BEFORE.address).write(from);
        arch::save::copy_wide(from, (&raw mut BEFORE.words) as u32, LENGTH);
    }
}

/// Is a part of a kept entry among `count` bytes at `address`?
#[inline(always)]
pub(crate) fn is_in(address: u32, count: u32) -> bool {
    part(address, count).is_some()
}

/// Replaces the entry in a copy of `count` bytes: `source` is where they were copied from, `copy`
/// where to.
///
/// # Safety
///
/// As for [`secrets::blank`](crate::secrets::blank), and [`is_in`] says that there is a part of it.
#[inline(always)]
pub(crate) unsafe fn replace(source: u32, copy: u32, count: u32) {
    let Some((from, to)) = part(source, count) else {
        return;
    };
    // SAFETY: from `from` to `to` both are in the entry and in what was copied, so the place in
    // `words` is in it, and that in the copy may be written, as the caller promises.
    unsafe {
        let entry = (&raw const BEFORE.words) as u32;
        let kept = entry.wrapping_add(from.wrapping_sub(address()));
        let copy = copy.wrapping_add(from.wrapping_sub(source));
        arch::copy(kept, copy, to.wrapping_sub(from));
    }
}

/// What of the kept entry is among `count` bytes at `source`; nothing if the kernel has failed.
#[inline(always)]
fn part(source: u32, count: u32) -> Option<(u32, u32)> {
    let entry = address();
    let from = entry.max(source);
    let to = entry.wrapping_add(LENGTH).min(source.saturating_add(count));
    let is_part = entry != 0 && from < to && !KERNEL_HAS_FAILED.load(Ordering::Relaxed);
    is_part.then_some((from, to))
}

#[inline(always)]
fn address() -> u32 {
    // SAFETY: as in `keep`.
    unsafe { (&raw const BEFORE.address).read() }
}
