//! Takes over the log ring after a restart: what passes its check is kept.

use super::entry::{PageEntry, PageState, RecordExtent};
use super::{LogRing, OpenPage, RECORDS, Written};
use crate::Region;
use crate::words::{load, words};
use block_device::Block;
use core::cell::Cell;
use crashlog_format::Crc32c;
use crashlog_format::page::{CAPACITY, LOG_HEADER_LEN, task_and_len};

/// The order of the page before the first one, which does not exist.
const BEFORE_FIRST: u32 = u32::MAX;

/// How many records a page has at most.
const MOST_RECORDS: u32 = (CAPACITY / LOG_HEADER_LEN) as u32;

/// What was found in the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingRecovery {
    /// How many pages have records that are not durable.
    pub pages: u32,
    /// How many pages were dropped because they did not pass their check.
    pub damaged: u32,
}

impl<'a> LogRing<'a> {
    /// Takes over the ring after a restart of the recorder or a reset of the system. Pages that
    /// pass their check are kept and closed, the others are dropped and counted. The next record
    /// opens a new page.
    #[must_use]
    pub fn recover(region: &Region<'a>) -> (Self, RingRecovery) {
        let ring = Self::empty(region);
        let mut recovery = RingRecovery::default();
        let Some(newest) = ring.newest() else {
            // No page was ever opened, or the only one's entry is damaged.
            ring.continue_numbers(BEFORE_FIRST, holds);
            return (ring, recovery);
        };
        let oldest = newest.wrapping_add(1).wrapping_sub(ring.pages());
        let mut first = None;
        for offset in 0..ring.pages() {
            let order = oldest.wrapping_add(offset);
            let (Some(entry), Some(block)) = (ring.entry(order), ring.block(order)) else {
                continue;
            };
            if entry.state() == PageState::Free {
                continue;
            }
            if entry.order() != Some(order) || !take(entry, block) {
                recovery.damaged = recovery.damaged.saturating_add(1);
                entry.set_state(PageState::Free);
                continue;
            }
            if entry.extent() == RecordExtent::EMPTY {
                entry.set_state(PageState::Free);
                continue;
            }
            recovery.pages = recovery.pages.saturating_add(1);
            first = first.or(Some(order));
        }
        ring.head.set(newest.wrapping_add(1));
        ring.set_tail(first.unwrap_or(newest.wrapping_add(1)));
        ring.continue_numbers(newest, holds);
        (ring, recovery)
    }

    /// Drops all pages, after starts that have failed with them. They are counted as damaged, and
    /// their bytes stay in the region until new pages replace them.
    #[must_use]
    pub fn set_aside(region: &Region<'a>) -> (Self, RingRecovery) {
        let ring = Self::empty(region);
        let mut damaged = 0u32;
        for index in 0..ring.pages() {
            if let Some(entry) = ring.entry(index)
                && entry.state() != PageState::Free
            {
                entry.set_state(PageState::Free);
                damaged = damaged.saturating_add(1);
            }
        }
        // What is left are the numbers of pages and records, which go on.
        let (ring, recovery) = Self::recover(region);
        let recovery = RingRecovery {
            damaged,
            ..recovery
        };
        (ring, recovery)
    }

    /// Takes over the ring for the emergency path. Reads only entries, from that of the oldest page
    /// that is not durable on, and no page. An open page is closed.
    // Not inlined: its variables would be on the emergency path's stack to the end.
    #[must_use]
    #[inline(never)]
    pub fn resume(region: &Region<'a>) -> Self {
        let ring = Self::empty(region);
        let tail = ring.tail_hint();
        let in_order = |order: &u32| ring.entry(*order).and_then(PageEntry::order) == Some(*order);
        let count = (0..ring.pages())
            .map(|offset| tail.wrapping_add(offset))
            .take_while(|order| in_order(order))
            .count() as u32;
        let before = tail.wrapping_sub(1);
        if count == 0 && !in_order(&before) {
            // No page begins at the hint and none ends there: the hint is damaged.
            return Self::recover(region).0;
        }
        ring.tail.set(tail);
        let head = tail.wrapping_add(count);
        let newest = head.wrapping_sub(1);
        ring.head.set(head);
        if count > 0
            && let (Some(block), Some(entry)) = (ring.block(newest), ring.entry(newest))
            && entry.state() == PageState::Open
        {
            // Closing the page advances the head past it.
            ring.head.set(newest);
            ring.open.set(Some(OpenPage { block, entry }));
            ring.written.set(Written {
                extent: entry.extent(),
                select: false,
            });
            ring.close();
        }
        ring.continue_numbers(newest, |_, _| true);
        ring
    }

    pub(super) fn empty(region: &Region<'a>) -> Self {
        Self {
            region: *region,
            boot: region.boot(),
            tail: Cell::new(0),
            head: Cell::new(0),
            open: Cell::new(None),
            room: Cell::new(&[]),
            written: Cell::new(Written::NOTHING),
            next_record: Cell::new(1),
            durable: Cell::new(0),
        }
    }

    /// The highest order number of an entry that passes its check and is at its place.
    fn newest(&self) -> Option<u32> {
        let orders = (0..self.pages()).filter_map(|index| {
            let order = self.entry(index)?.order()?;
            (self.index(order) == index as usize).then_some(order)
        });
        orders.reduce(|a, b| if b.wrapping_sub(a) < 1 << 31 { b } else { a })
    }

    /// Continues the numbers of records behind those of the page `newest`, if it is of this boot,
    /// and behind those of the page after it, if there was one.
    fn continue_numbers(&self, newest: u32, holds: impl Fn(&Block, RecordExtent) -> bool) {
        let next = self.behind(newest, holds);
        let first = next.unwrap_or(1);
        let next = if self.has_lost(newest.wrapping_add(1), first) {
            // The numbers of a page whose entry is damaged, and which may be on the card.
            first.saturating_add(MOST_RECORDS)
        } else if let Some(next) = next {
            next
        } else {
            return;
        };
        self.next_record.set(next);
        let waiting = self.tail.get() != self.head.get();
        let oldest = self
            .entry(self.tail.get())
            .filter(|entry| waiting && entry.boot() == self.boot);
        let durable = oldest.map_or(if waiting { 0 } else { next.wrapping_sub(1) }, |entry| {
            entry.first_record().wrapping_sub(1)
        });
        self.durable.set(durable);
    }

    /// The number behind those of the page `newest`, if it is of this boot.
    fn behind(&self, newest: u32, holds: impl Fn(&Block, RecordExtent) -> bool) -> Option<u32> {
        let (entry, block) = (self.entry(newest)?, self.block(newest)?);
        if entry.order() != Some(newest) || entry.boot() != self.boot {
            return None;
        }
        let sound = entry.state() != PageState::Open && holds(block, entry.extent());
        Some(if sound {
            entry.next_record()
        } else {
            // How many records the page had is unknown. Leave out as many numbers as it can have:
            // no number is used twice.
            entry.first_record().saturating_add(MOST_RECORDS)
        })
    }

    /// Is the entry of the page `order`, behind the newest one that is known, damaged? Then it may
    /// have been the newest one. `first`: the number of its first record, if it was.
    fn has_lost(&self, order: u32, first: u32) -> bool {
        let before = order.wrapping_sub(self.pages());
        self.entry(order).is_some_and(|entry| {
            !entry.is_blank()
                && entry.order() != Some(before)
                && !entry.is_being_opened(order, self.boot, first)
        })
    }
}

/// Closes a page whose records pass the check of the valid alternate, or else of the other one.
/// `false` if they pass neither.
fn take(entry: PageEntry<'_>, block: &Block) -> bool {
    let selected = entry.selected();
    if selected.is_some_and(|extent| holds(block, extent)) {
        close(entry, block);
        return true;
    }
    // The other alternate is the right one only if memory has lost the last stores of an append.
    for which in [false, true] {
        let extent = entry.alternate(which);
        let is_open = entry.state() == PageState::Open;
        if is_open && extent != selected && extent.is_some_and(|extent| holds(block, extent)) {
            entry.select(which);
            close(entry, block);
            return true;
        }
    }
    false
}

fn close(entry: PageEntry<'_>, block: &Block) {
    if entry.state() == PageState::Open {
        super::blank(block, entry.extent().length());
        entry.set_state(PageState::Closed);
    }
}

/// Do the records in `block` have the checksum and the number that `extent` states?
fn holds(block: &Block, extent: RecordExtent) -> bool {
    let records = words(block, RECORDS, usize::from(extent.length()) / 4);
    let crc = records
        .iter()
        .fold(Crc32c::new(), |crc, word| crc.word(load(word)));
    let mut at = 0usize;
    let mut count = 0u16;
    while let Some(word) = records.get(at / 4) {
        let (_, bytes) = task_and_len(load(word));
        at = at.saturating_add(bytes);
        count = count.saturating_add(1);
    }
    crc.value() == extent.crc && at == usize::from(extent.length()) && count == extent.records()
}
