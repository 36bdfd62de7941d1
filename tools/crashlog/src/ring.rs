//! The stream ring of a card, read in large pieces and never kept.
//!
//! A page has one place: that of its number modulo the length of the ring. So when it is known
//! where the newest page is (`ring_end`), the log in order is the ring in order, and neither a list
//! of pages nor a second look at any of them is needed.
//!
//! The numbers of boots, and in a boot those of records and the times, do not fall from page to
//! page, so that a place in the log is found by bisection. A page that is damaged is passed over:
//! the one behind it decides.

use crate::problem::Problem;
use crate::ring_end;
use crate::terminal::Progress;
use block_device::BLOCK_LEN;
use crashlog_format::page::{Page, PageError, PageHeader};
use crashlog_format::{FormatId, Geometry};
use std::ops::{ControlFlow, Range, RangeInclusive};
use zerocopy::FromBytes;

/// Greatest number of blocks that are read at once: 1 MiB.
pub const PIECE: u32 = 2048;
/// Number of blocks that are read first where the next page is expected to be enough.
const FIRST_PIECE: u32 = 8;

/// Blocks that can be read: a partition, or what stands for one in a test.
pub trait ReadBlocks {
    /// Reads blocks from `first` on into `buffer`, whose length is a multiple of the block length.
    fn read_at(&self, first: u64, buffer: &mut [u8]) -> Result<(), Problem>;
}

/// Takes the number of a page and the block at its place; a break ends the reading.
pub type EachBlock<'e> = dyn FnMut(u32, &[u8]) -> Result<ControlFlow<()>, Problem> + 'e;

/// A partition with a stream ring.
#[derive(Clone, Copy)]
pub struct Medium<'a> {
    pub blocks: &'a dyn ReadBlocks,
    pub geometry: &'a Geometry,
    pub format: FormatId,
}

/// The ring of a partition whose newest page is known.
pub struct Ring<'a> {
    medium: Medium<'a>,
    numbers: Range<u32>,
}

impl<'a> Ring<'a> {
    /// Finds the newest page. All pages before `written` are written, says the ledger.
    pub fn find(medium: Medium<'a>, written: u32) -> Result<Self, Problem> {
        let end = ring_end::find(medium, written, ring_end::WINDOW)?;
        Ok(Self::with_end(medium, end))
    }

    /// The ring whose newest page is the one before page `end`.
    pub fn with_end(medium: Medium<'a>, end: u32) -> Self {
        let first = end.saturating_sub(medium.geometry.ring_pages());
        Self {
            medium,
            numbers: first..end,
        }
    }

    /// The numbers of the pages that may be there: those of one lap, up to the newest.
    pub fn numbers(&self) -> Range<u32> {
        self.numbers.clone()
    }

    /// Passes the undamaged pages with these numbers to `each`, in order, with the bar on a
    /// terminal that says `doing`.
    pub fn each(
        &self,
        numbers: Range<u32>,
        doing: Option<&'static str>,
        each: &mut dyn FnMut(&Page<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut progress = doing.map(|doing| Progress::new(doing, numbers.len() as u64));
        let first = numbers.start;
        self.medium.forward(numbers, PIECE, &mut |number, block| {
            if let Some(progress) = &mut progress
                && number.is_multiple_of(PIECE)
            {
                progress.at((number - first).into());
            }
            if let Some(page) = self.medium.page(number, block) {
                each(&page)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// What `pick` makes of the first undamaged page with one of these numbers of which it makes
    /// something.
    pub fn first<T>(
        &self,
        numbers: Range<u32>,
        mut pick: impl FnMut(&Page<'_>) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let mut found = None;
        self.medium
            .forward(numbers, FIRST_PIECE, &mut |number, block| {
                let page = self.medium.page(number, block);
                found = page.and_then(|page| pick(&page));
                Ok(if found.is_some() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
        Ok(found)
    }

    /// The same from the last page on backwards.
    pub fn last<T>(
        &self,
        numbers: Range<u32>,
        mut pick: impl FnMut(&Page<'_>) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let ring = self.medium.geometry.ring_pages();
        let mut bytes = Vec::new();
        let mut end = numbers.end;
        let mut piece = FIRST_PIECE;
        while let Some(last) = end.checked_sub(1).filter(|last| *last >= numbers.start) {
            // Up to the first page of the range, or of the ring.
            let count = piece.min(end - numbers.start).min(last % ring + 1);
            let first = end - count;
            let read = self.medium.read(first, count, &mut bytes)?;
            for (number, block) in (first..end).zip(read.chunks_exact(BLOCK_LEN)).rev() {
                let page = self.medium.page(number, block);
                if let Some(found) = page.and_then(|page| pick(&page)) {
                    return Ok(Some(found));
                }
            }
            end = first;
            piece = larger(piece);
        }
        Ok(None)
    }

    /// From which number on `is_behind` is true of pages; the end of `numbers` if of none. It has
    /// to be false of the pages before. A page of which it does not know (`None`) is passed over.
    pub fn search(
        &self,
        numbers: Range<u32>,
        mut is_behind: impl FnMut(&Page<'_>) -> Option<bool>,
    ) -> Result<u32, Problem> {
        let (mut low, mut high) = (numbers.start, numbers.end);
        // Blocks that are passed over are out of the range from then on, so no block is read twice
        // in large pieces.
        while low < high {
            let middle = low.midpoint(high);
            let found = self.first(middle..high, |page| {
                Some((page.header.sequence(), is_behind(page)?))
            })?;
            match found {
                Some((number, false)) => low = number + 1,
                Some((_, true)) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The numbers of the pages of these boots.
    pub fn boots(&self, boots: RangeInclusive<u32>) -> Result<Range<u32>, Problem> {
        let all = self.numbers();
        let start = if *boots.start() == 0 {
            all.start
        } else {
            self.search(all.clone(), |page| {
                Some(page.header.boot() >= *boots.start())
            })?
        };
        let end = if *boots.end() == u32::MAX {
            all.end
        } else {
            self.search(start..all.end, |page| {
                Some(page.header.boot() > *boots.end())
            })?
        };
        Ok(start..end)
    }
}

impl<'a> Medium<'a> {
    /// Decodes and checks a block.
    pub fn parse<'b>(&self, block: &'b [u8]) -> Result<Page<'b>, PageError> {
        Page::parse_with(block, self.format, crc32c::crc32c)
    }

    /// The page with this number, if it is in this block and undamaged.
    fn page<'b>(&self, number: u32, block: &'b [u8]) -> Option<Page<'b>> {
        let page = self.parse(block).ok()?;
        (page.header.sequence() == number).then_some(page)
    }

    /// The number of the page in `block`, if its header is undamaged and it is at its place, which
    /// is that of page `number`.
    pub fn number_at(&self, number: u32, block: &[u8]) -> Option<u32> {
        let ring = self.geometry.ring_pages();
        let (header, _) = PageHeader::read_from_prefix(block).ok()?;
        header.check(self.format).ok()?;
        let there = header.sequence();
        // The greatest number is never given to a page.
        (there % ring == number % ring && there != u32::MAX).then_some(there)
    }

    /// Reads the places of `count` pages from `first` on, which may not go beyond the end of the
    /// ring.
    pub fn read<'b>(
        &self,
        first: u32,
        count: u32,
        bytes: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], Problem> {
        bytes.resize(count as usize * BLOCK_LEN, 0);
        let block = self.geometry.page(first);
        self.blocks.read_at(block.into(), bytes)?;
        Ok(bytes)
    }

    /// Passes number and block of the places of these pages to `each`, in order, until it breaks:
    /// reads `piece` blocks first, and more from then on.
    pub fn forward(
        &self,
        numbers: Range<u32>,
        mut piece: u32,
        each: &mut EachBlock<'_>,
    ) -> Result<(), Problem> {
        let ring = self.geometry.ring_pages();
        let mut bytes = Vec::new();
        let mut at = numbers.start;
        while at < numbers.end {
            let count = piece.min(numbers.end - at).min(ring - at % ring);
            let read = self.read(at, count, &mut bytes)?;
            for (number, block) in (at..at + count).zip(read.chunks_exact(BLOCK_LEN)) {
                if each(number, block)?.is_break() {
                    return Ok(());
                }
            }
            at += count;
            piece = larger(piece);
        }
        Ok(())
    }
}

fn larger(piece: u32) -> u32 {
    (piece * 8).min(PIECE)
}
