//! The log ring: log records that were accepted and are not durable yet.
//!
//! # Theory of operation
//!
//! Records are collected in [`Block`]s that already have the layout of a page on the card, one page
//! after another. Each page has an [`entry`] that says what is in it. A page is **open** while
//! records are added to it (there is at most one), **closed** when it takes no more, **numbered**
//! when it has its number and header for the card, and **free** when it is durable. Pages have an
//! order number that only grows; a page is at place `order % pages`.
//!
//! An append writes the record behind the valid ones, then length and checksum into one of two
//! alternates, and last a single word that selects the valid alternate. Stopping after any store
//! leaves the page with or without the record. The checksum is continued from record to record, so
//! no page is read again when it is closed.
//!
//! A write to the card holds `&[Block]` of numbered pages while appends continue in the open one:
//! all words are atomics behind shared references.
//!
//! After a restart [`LogRing::recover`] takes over what passes its check. [`LogRing::resume`], for
//! the emergency path, reads no page, only entries: a damaged page is then written, and the reader
//! of the card finds the damage by the same checksum.

mod append;
mod entry;
mod record;
mod recover;

#[cfg(test)]
mod tests;

use crate::Region;
use crate::words::{load, publish, store};
use block_device::Block;
use core::cell::Cell;
use core::convert::Infallible;
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU32;
use crashlog_format::page::{self, HEADER_LEN, PageHeader};
use crashlog_format::{Crc32c, FormatId};
use entry::{PageEntry, PageState, RecordExtent};

pub use append::AppendError;
pub use record::Record;
pub use recover::RingRecovery;

/// How many pages may be written between two flushes. Mounting searches this far for pages that a
/// loss of power left behind a gap, so a longer run must never be written.
pub const MAX_RUN: usize = 16;

/// Word of a page at which its records begin.
const RECORDS: usize = HEADER_LEN / 4;

/// The log ring. Its fields are a cache of what is in the region, made anew after every restart of
/// the recorder.
#[derive(Debug)]
pub struct LogRing<'a> {
    region: Region<'a>,
    boot: u32,
    /// Order of the oldest page that is not durable.
    tail: Cell<u32>,
    /// Order of the page that is open, or that will be opened next.
    head: Cell<u32>,
    /// The open page; `None` if none is open.
    open: Cell<Option<OpenPage<'a>>>,
    /// The free words of the open page; none if no page is open.
    room: Cell<&'a [AtomicU32]>,
    /// The valid records of the open page.
    written: Cell<Written>,
    /// Number of the next record of this boot.
    next_record: Cell<u32>,
    /// Number of the newest durable record of this boot; 0 if none.
    durable: Cell<u32>,
}

/// The open page.
#[derive(Clone, Copy, Debug)]
struct OpenPage<'a> {
    block: &'a Block,
    entry: PageEntry<'a>,
}

/// The valid records of the open page.
#[derive(Clone, Copy, Debug)]
struct Written {
    extent: RecordExtent,
    /// The alternate that is valid.
    select: bool,
}

impl Written {
    /// No record.
    const NOTHING: Self = Self {
        extent: RecordExtent::EMPTY,
        select: false,
    };
}

/// How pages get their numbers and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// The format id of the card.
    pub format: FormatId,
    /// Number of the next page to be written.
    pub next_page: u32,
    /// What to add to the number of a boot; see [`Region::boot_offset`].
    pub boot_offset: u32,
}

/// Pages that can be written to the card with one command: closed, numbered, and adjacent in
/// memory.
#[derive(Clone, Copy, Debug)]
pub struct PageRun<'a> {
    /// The pages, with their headers.
    pub blocks: &'a [Block],
    /// Number of the first page; the others follow.
    pub first_page: u32,
}

/// The oldest page that is not durable.
#[derive(Clone, Copy, Debug)]
pub struct PendingPage<'a> {
    /// The page.
    pub block: &'a Block,
    /// Its number on the card, if it has one: then a write of it may have begun.
    pub number: Option<u32>,
}

impl<'a> LogRing<'a> {
    /// Closes the open page, so that everything accepted so far can be written. The next record
    /// opens a new page.
    pub fn close(&self) {
        let never_stop = || ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(()) = self.close_stepwise(never_stop);
    }

    fn close_stepwise<B>(&self, mut step: impl FnMut() -> ControlFlow<B>) -> ControlFlow<B> {
        let Some(OpenPage { block, entry }) = self.open.take() else {
            return ControlFlow::Continue(());
        };
        self.room.set(&[]);
        blank(block, self.written.get().extent.length());
        entry.set_state(PageState::Closed);
        self.head.set(self.head.get().wrapping_add(1));
        step()
    }

    /// Gives the oldest closed pages their numbers: at most `max` of them, at most [`MAX_RUN`],
    /// adjacent in memory. `None` if no page is closed, or no number is left: the last one is given
    /// to no page, as there would be none for the page after it.
    ///
    /// A page that had the same number before does not change by a bit, so writing it a second time
    /// is idempotent.
    pub fn next_run(&self, numbering: &Numbering, max: usize) -> Option<PageRun<'a>> {
        self.skip_free();
        let (tail, head) = (self.tail.get(), self.head.get());
        let first = self.index(tail);
        let max = max.min(MAX_RUN).min(head.wrapping_sub(tail) as usize);
        let max = max.min(u32::MAX.wrapping_sub(numbering.next_page) as usize);
        let seed = numbering.format.crc();
        let mut count = 0usize;
        for block in self.region.pages.get(first..)?.iter().take(max) {
            let entry = self.entry(tail.wrapping_add(count as u32))?;
            let number = numbering.next_page.wrapping_add(count as u32);
            match entry.state() {
                PageState::Closed | PageState::Numbered => {
                    let boot = entry.boot().saturating_add(numbering.boot_offset);
                    put_header(entry, block, seed, number, boot);
                }
                PageState::Open | PageState::Free => break,
            }
            count = count.saturating_add(1);
        }
        let blocks = self.region.pages.get(first..first.saturating_add(count))?;
        (!blocks.is_empty()).then_some(PageRun {
            blocks,
            first_page: numbering.next_page,
        })
    }

    /// Releases the oldest `count` pages: they are durable. Calls `released` with the task and the
    /// bytes in the ring of each record, for accounting.
    ///
    /// Store the next page in the location cache before: see
    /// [`crate::LocationCache::set_next_page`].
    pub fn mark_durable(&self, count: usize, mut released: impl FnMut(u16, usize)) {
        for _ in 0..count {
            self.skip_free();
            let tail = self.tail.get();
            if tail == self.head.get() {
                return;
            }
            self.for_page(tail, &mut released);
            self.release(1);
        }
    }

    /// As [`Self::mark_durable`], without accounting.
    pub fn release(&self, count: usize) {
        let mut tail = self.tail.get();
        let mut left = count;
        while tail != self.head.get() {
            let Some(entry) = self.entry(tail) else {
                return;
            };
            if entry.state() != PageState::Free {
                if left == 0 {
                    break;
                }
                left = left.wrapping_sub(1);
                if entry.boot() == self.boot {
                    self.durable.set(entry.next_record().wrapping_sub(1));
                }
                entry.set_state(PageState::Free);
            }
            tail = tail.wrapping_add(1);
        }
        self.set_tail(tail);
    }

    /// The oldest page that is closed and not durable.
    #[must_use]
    pub fn pending(&self) -> Option<PendingPage<'a>> {
        self.skip_free();
        let tail = self.tail.get();
        if tail == self.head.get() {
            return None;
        }
        let number = self
            .entry(tail)
            .filter(|entry| entry.state() == PageState::Numbered);
        Some(PendingPage {
            block: self.block(tail)?,
            number: number.map(|entry| entry.number()),
        })
    }

    /// The page that is closed and not durable and has `count` such pages before it.
    #[must_use]
    pub fn pending_after(&self, count: u32) -> Option<PendingPage<'a>> {
        let (tail, head) = (self.tail.get(), self.head.get());
        let mut orders = (0..head.wrapping_sub(tail).min(self.pages()))
            .map(|offset| tail.wrapping_add(offset))
            .filter_map(|order| Some((self.entry(order)?, self.block(order)?)))
            .filter(|(entry, _)| entry.state() != PageState::Free);
        let (entry, block) = orders.nth(count as usize)?;
        let number = (entry.state() == PageState::Numbered).then(|| entry.number());
        Some(PendingPage { block, number })
    }

    /// Calls `each` with the task and the bytes in the ring of every record that is not durable.
    pub fn for_each(&self, mut each: impl FnMut(u16, usize)) {
        let (tail, head) = (self.tail.get(), self.head.get());
        let open = u32::from(self.open.get().is_some());
        for offset in 0..head.wrapping_sub(tail).wrapping_add(open).min(self.pages()) {
            self.for_page(tail.wrapping_add(offset), &mut each);
        }
    }

    fn for_page(&self, order: u32, each: &mut impl FnMut(u16, usize)) {
        let (Some(block), Some(entry)) = (self.block(order), self.entry(order)) else {
            return;
        };
        if entry.state() == PageState::Free {
            return;
        }
        let extent = entry.extent();
        let mut at = HEADER_LEN;
        for _ in 0..extent.records() {
            let (task, bytes) = page::task_and_len(block.word(at / 4));
            each(task, bytes);
            at = at.saturating_add(bytes);
        }
    }

    /// The present boot, as [`Region::boot`] counts.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.boot
    }

    /// Number of the newest record of this boot that was accepted; 0 if none was.
    #[must_use]
    pub fn accepted(&self) -> u32 {
        self.next_record.get().wrapping_sub(1)
    }

    /// Number of the newest record of this boot that is durable; 0 if none is.
    #[must_use]
    pub fn durable(&self) -> u32 {
        self.durable.get()
    }

    /// The oldest boot, as [`Region::boot`] counts, of which a page is not durable; the present one
    /// if all are.
    #[must_use]
    pub fn oldest_boot(&self) -> u32 {
        let (tail, head) = (self.tail.get(), self.head.get());
        let waiting = 0..head.wrapping_sub(tail).min(self.pages());
        waiting
            .filter_map(|offset| self.entry(tail.wrapping_add(offset)))
            .find(|entry| entry.state() != PageState::Free)
            .map_or(self.boot, |entry| entry.boot())
    }

    /// How many pages are closed and not durable.
    #[must_use]
    pub fn closed_pages(&self) -> u32 {
        self.skip_free();
        self.head.get().wrapping_sub(self.tail.get())
    }

    /// Is a page open? Then there is a record in it.
    #[must_use]
    pub fn has_open(&self) -> bool {
        self.open.get().is_some()
    }

    /// How many pages the ring has.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.region.pages.len() as u32
    }

    /// Opens the next page, if one is free.
    fn open_page<B>(&self, mut step: impl FnMut() -> ControlFlow<B>) -> ControlFlow<B> {
        let head = self.head.get();
        if head.wrapping_sub(self.tail.get()) >= self.pages() {
            return ControlFlow::Continue(());
        }
        let (Some(block), Some(entry)) = (self.block(head), self.entry(head)) else {
            return ControlFlow::Continue(());
        };
        entry.open(head, self.boot, self.next_record.get(), &mut step)?;
        self.open.set(Some(OpenPage { block, entry }));
        self.room.set(block.words().get(RECORDS..).unwrap_or(&[]));
        self.written.set(Written::NOTHING);
        ControlFlow::Continue(())
    }

    /// Advances the tail past free pages: those that were dropped because they did not pass their
    /// check.
    fn skip_free(&self) {
        self.release(0);
    }

    fn set_tail(&self, tail: u32) {
        self.tail.set(tail);
        let [hint, ..] = self.region.ring.words();
        publish(hint, tail);
    }

    fn tail_hint(&self) -> u32 {
        let [hint, ..] = self.region.ring.words();
        load(hint)
    }

    /// Place of the page with this order number. The number of pages is a power of two, so places
    /// stay in sequence when the order number wraps.
    fn index(&self, order: u32) -> usize {
        order.checked_rem(self.pages()).unwrap_or(0) as usize
    }

    fn block(&self, order: u32) -> Option<&'a Block> {
        self.region.pages.get(self.index(order))
    }

    fn entry(&self, order: u32) -> Option<PageEntry<'a>> {
        PageEntry::of(self.region.entries, self.index(order))
    }
}

/// Gives a page its number and header.
fn put_header(entry: PageEntry<'_>, block: &Block, seed: Crc32c, number: u32, boot: u32) {
    let extent = entry.extent();
    let header = PageHeader::words(
        seed,
        number,
        boot,
        entry.first_record(),
        extent.length(),
        extent.crc,
    );
    for (to, word) in block.words().iter().zip(header) {
        store(to, word);
    }
    entry.set_number(number);
    entry.set_state(PageState::Numbered);
}

/// Zeros a page behind its records, where it has what an earlier page left: a page on the card has
/// its own records only.
fn blank(block: &Block, length: u16) {
    let first = RECORDS.saturating_add(usize::from(length) / 4);
    for word in block.words().get(first..).unwrap_or(&[]) {
        store(word, 0);
    }
}
