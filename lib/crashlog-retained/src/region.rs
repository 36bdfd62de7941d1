//! The region as a whole: its parts, its header, and the number of the boot.

#[cfg(test)]
mod tests;

use crate::words::{check_values, load, publish, store, words};
use crate::{
    BootEndSlot, FailureSlot, HistorySlot, LocationCache, Mailbox, ResetCauseSlot, SnapshotArea,
    TaskStates, Trial,
};
use block_device::{BLOCK_LEN, Block};
use core::sync::atomic::AtomicU32;
use crashlog_format::FormatId;

/// First value of the header's check: `CRSH`.
const MAGIC: u32 = u32::from_le_bytes(*b"CRSH");
const LAYOUT_VERSION: u32 = 1;

/// Words of one copy of the header. The two copies are at the start of the header's block; behind
/// them is what `boot_end.rs` keeps there.
const COPY: usize = 8;
/// First word of a third copy of the header, in the block of the location cache. It is read if
/// neither copy in the header's own block passes its check: the loss of any one block of the region
/// does not restart the numbers of boots.
const BACKUP: usize = 64;
/// Blocks before the entries of the log ring.
const FIXED: usize = 3 + CRASH;
/// Blocks of mailbox, failure and history.
const CRASH: usize = Mailbox::BLOCKS + FailureSlot::BLOCKS + HistorySlot::BLOCKS;
/// Log pages whose entries share a block.
const ENTRIES_PER_BLOCK: usize = 8;
const SCRATCH: usize = 16;
/// The shortest log ring, in pages: as many as have their entries in one block.
const LEAST_PAGES: usize = ENTRIES_PER_BLOCK;
/// The longest in a region that is shorter than [`LARGE`], and the one in all others. What a longer
/// region has behind the ring is the dump area.
const MANY_PAGES: usize = 128;
const MOST_PAGES: usize = 256;
/// From this many blocks on, the region has the longest log ring.
const LARGE: usize = 1024;

/// The retained region, divided into its parts.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    header: &'a Block,
    /// Mailbox, failure and history in one slice: a copy of this structure is on the stack of the
    /// emergency path.
    mailbox: &'a [Block],
    location: &'a Block,
    pub(crate) ring: &'a Block,
    pub(crate) entries: &'a [Block],
    scratch: &'a [Block],
    pub(crate) pages: &'a [Block],
    /// The log pages and, behind them, the dump area: one slice, as both are written to the card.
    pages_and_dump: &'a [Block],
}

/// What a boot found in the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// No valid header: power was off, or another program has used the memory.
    Cold,
    /// What the boot before has left.
    Warm,
}

/// A header that passed its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RegionHeader {
    revision: u32,
    boot: u32,
    /// What to add to a boot's number to get its number on the card with format id `format`.
    offset: u32,
    format: u64,
}

impl Region<'static> {
    /// The region in `len` bytes of memory from address `base` on. `None` if `base` is null or not
    /// aligned to 4 bytes, or `len` is less than [`Region::MIN_LEN`].
    ///
    /// # Safety
    /// For the rest of the program, the range must be memory that can be read and written, that no
    /// Rust value lives in, and that this program accesses through results of this function alone.
    /// Other programs and the controller may access it at the same time, by whole words.
    #[allow(unsafe_code)]
    #[must_use]
    pub unsafe fn claim(base: usize, len: usize) -> Option<Self> {
        let pointer = core::ptr::with_exposed_provenance::<Block>(base);
        if pointer.is_null() || !pointer.is_aligned() {
            return None;
        }
        // SAFETY: the pointer is not null and aligned, as checked; the range is readable and
        // writable memory for the rest of the program, by the caller's promise. `Block` is
        // `repr(C)` and consists of `AtomicU32`s, so every bit pattern is a valid value and a
        // shared reference allows others to write to it. The division rounds down, so the slice
        // does not reach beyond the range.
        let blocks = unsafe { core::slice::from_raw_parts(pointer, len / BLOCK_LEN) };
        Self::over(blocks)
    }
}

impl<'a> Region<'a> {
    /// Shortest possible region in bytes: 29 696, with a log ring of 8 pages.
    pub const MIN_LEN: usize = Self::len_with(LEAST_PAGES);

    /// Shortest region in bytes with a log ring of so many pages: 8, 16, 32, 64 or 128.
    #[must_use]
    pub const fn len_with(pages: usize) -> usize {
        (FIXED + pages / ENTRIES_PER_BLOCK + SCRATCH + pages) * BLOCK_LEN
    }

    /// Pages of the log ring of a region of `len` bytes, a power of two: the longest ring that it
    /// has room for, up to 128 pages; 256 from 512 KiB on, with a dump area behind it.
    #[must_use]
    pub const fn pages_in(len: usize) -> usize {
        if len >= LARGE * BLOCK_LEN {
            return MOST_PAGES;
        }
        let mut pages = MANY_PAGES;
        while pages > LEAST_PAGES && len < Self::len_with(pages) {
            pages /= 2;
        }
        pages
    }

    /// The region in `blocks`. `None` if they are too few.
    #[must_use]
    pub fn over(blocks: &'a [Block]) -> Option<Self> {
        let pages = Self::pages_in(size_of_val(blocks));
        let (header, rest) = blocks.split_first()?;
        let (mailbox, rest) = rest.split_at_checked(CRASH)?;
        let (location, rest) = rest.split_first()?;
        let (ring, rest) = rest.split_first()?;
        let (entries, rest) = rest.split_at_checked(pages / ENTRIES_PER_BLOCK)?;
        let (scratch, rest) = rest.split_at_checked(SCRATCH)?;
        let pages_and_dump = rest;
        let (pages, _) = rest.split_at_checked(pages)?;
        Some(Self {
            header,
            mailbox,
            location,
            ring,
            entries,
            scratch,
            pages,
            pages_and_dump,
        })
    }

    /// Begins a boot. The supervisor calls this once, before anything else uses the region. After a
    /// cold start every part is empty and the number of the boot is 1.
    pub fn begin_boot(&self) -> Start {
        match self.read() {
            Some(header) => {
                self.write(RegionHeader {
                    boot: header.boot.saturating_add(1),
                    ..header
                });
                Start::Warm
            }
            None => {
                self.clear();
                self.trial().clear();
                self.write(RegionHeader {
                    revision: 0,
                    boot: 1,
                    offset: 0,
                    format: 0,
                });
                Start::Cold
            }
        }
    }

    /// The number of this boot; 0 if none was begun.
    #[must_use]
    pub fn boot(&self) -> u32 {
        self.read().map_or(0, |header| header.boot)
    }

    /// What to add to the number of a boot to get its number on the card, as [`Region::rebase`] has
    /// set it.
    #[must_use]
    pub fn boot_offset(&self) -> u32 {
        self.read().map_or(0, |header| header.offset)
    }

    /// Sets [`Region::boot_offset`] for the card that was mounted: `last` is the newest boot on the
    /// card, `oldest` the oldest boot here that has log records to write.
    ///
    /// With the card that was here before, the offset stays. With any other it is such that every
    /// boot here, from the oldest that has anything to write or whose end is told, comes after
    /// `last`.
    pub fn rebase(&self, format: FormatId, last: u32, oldest: u32) {
        let Some(header) = self.read() else { return };
        let known =
            header.format == format.get() && header.boot.saturating_add(header.offset) >= last;
        if known {
            return;
        }
        let oldest = oldest
            .min(header.boot)
            .min(self.oldest_told(header.boot))
            .min(self.mailbox().oldest_boot().unwrap_or(oldest))
            .min(self.failure().boot().unwrap_or(oldest));
        let offset = if oldest > last {
            0
        } else {
            last.saturating_add(1).saturating_sub(oldest)
        };
        self.write(RegionHeader {
            offset,
            format: format.get(),
            ..header
        });
    }

    /// The oldest boot here of which the boot record of `boot` tells how it ended. With an older
    /// number of another card it would tell that of a boot of that card.
    fn oldest_told(&self, boot: u32) -> u32 {
        let told = self.boot_end().ends(boot).iter().count();
        boot.saturating_sub(told as u32).max(1)
    }

    /// How often the system has just failed with what is here.
    #[must_use]
    pub const fn trial(&self) -> Trial<'a> {
        Trial::new(self.header)
    }

    /// The mailbox.
    #[must_use]
    pub const fn mailbox(&self) -> Mailbox<'a> {
        // The slice is longer than the mailbox, which does not use what is behind its own blocks.
        Mailbox::new(self.mailbox)
    }

    /// The slot for a failure of the kernel or the supervisor.
    #[must_use]
    pub const fn failure(&self) -> FailureSlot<'a> {
        match self.mailbox.split_at_checked(Mailbox::BLOCKS) {
            Some((_, failure)) => FailureSlot::new(failure),
            None => FailureSlot::new(&[]),
        }
    }

    /// Where the history of repeated faults is kept.
    #[must_use]
    pub const fn history(&self) -> HistorySlot<'a> {
        HistorySlot::new(self.mailbox.last())
    }

    /// Where the end of this boot is noted, and those of the boots before are kept.
    #[must_use]
    pub const fn boot_end(&self) -> BootEndSlot<'a> {
        BootEndSlot::new(self.header)
    }

    /// What the chip says of the last reset, from the kernel to the supervisor.
    #[must_use]
    pub const fn reset_cause(&self) -> ResetCauseSlot<'a> {
        ResetCauseSlot::new(self.header)
    }

    /// What every task was doing a short time ago.
    #[must_use]
    pub const fn task_states(&self) -> TaskStates<'a> {
        TaskStates::new(self.header)
    }

    /// The location cache.
    #[must_use]
    pub const fn location(&self) -> LocationCache<'a> {
        LocationCache::new(self.location)
    }

    /// Blocks for data on the way to or from the card. Their content is undefined after a restart.
    #[must_use]
    pub const fn scratch(&self) -> &'a [Block] {
        self.scratch
    }

    /// The blocks that are written to the card from where they are: those of crashes, and log pages
    /// with the dump area.
    #[must_use]
    pub const fn written(&self) -> [&'a [Block]; 2] {
        [self.mailbox, self.pages_and_dump]
    }

    /// The dump area.
    #[must_use]
    pub const fn snapshot(&self) -> SnapshotArea<'a> {
        match self.pages_and_dump.split_at_checked(self.pages.len()) {
            Some((_, dump)) => SnapshotArea::new(dump),
            None => SnapshotArea::new(&[]),
        }
    }

    /// Empties every part but the header, so that nothing that was left over passes its check.
    fn clear(&self) {
        let parts = [self.mailbox, core::slice::from_ref(self.location)];
        let ring = [core::slice::from_ref(self.ring), self.entries];
        for block in parts.into_iter().chain(ring).flatten() {
            block.fill(0);
        }
    }

    /// The newest copy of the header that passes its check.
    fn read(&self) -> Option<RegionHeader> {
        let copies = [0, COPY].map(|first| words(self.header, first, COPY));
        let revision = |copy: &[AtomicU32]| copy.get(1).map_or(0, load);
        let [first, second] = copies;
        let (newer, older) = if revision(second) > revision(first) {
            (second, first)
        } else {
            (first, second)
        };
        // The backup before the older copy: it is as new as the newer one.
        read_copy(newer)
            .or_else(|| self.read_backup())
            .or_else(|| read_copy(older))
    }

    // Not inlined: seldom called, and its frame would be on the stack of the emergency path.
    #[inline(never)]
    fn read_backup(&self) -> Option<RegionHeader> {
        read_copy(words(self.location, BACKUP, COPY))
    }

    /// Writes the header over the older of its two copies, then over the backup.
    fn write(&self, header: RegionHeader) {
        let revision = self
            .read()
            .map_or(0, |header| header.revision)
            .saturating_add(1);
        let copy = revision as usize % 2;
        let [low, high] = halves(header.format);
        let values = [
            revision,
            LAYOUT_VERSION,
            self.pages.len() as u32,
            header.boot,
            header.offset,
            low,
            high,
        ];
        write_copy(words(self.header, copy * COPY, COPY), &values);
        write_copy(words(self.location, BACKUP, COPY), &values);
    }
}

fn write_copy(copy: &[AtomicU32], values: &[u32; COPY - 1]) {
    let [check, rest @ ..] = copy else {
        return;
    };
    store(check, 0);
    for (word, value) in rest.iter().zip(values) {
        store(word, *value);
    }
    publish(check, check_values(MAGIC, values));
}

fn read_copy(copy: &[AtomicU32]) -> Option<RegionHeader> {
    let [check, rest @ ..] = copy else {
        return None;
    };
    let values: &[AtomicU32; COPY - 1] = rest.try_into().ok()?;
    let values = values.each_ref().map(load);
    let [revision, version, _pages, boot, offset, low, high] = values;
    let sound =
        load(check) == check_values(MAGIC, &values) && version == LAYOUT_VERSION && boot != 0;
    sound.then_some(RegionHeader {
        revision,
        boot,
        offset,
        format: u64::from(low) | u64::from(high) << 32,
    })
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}
