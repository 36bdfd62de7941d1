//! The end of the log by bisection is the end that a reader of the whole ring finds.

use super::*;
use crate::ring::{ReadBlocks, Ring};
use crashlog_format::page::{LOG_HEADER_LEN, LogHeader, PageHeader};
use crashlog_format::{Crc32c, FormatId, Geometry, Level, Stream};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use zerocopy::IntoBytes;

const FORMAT: FormatId = FormatId::new(0x0123_4567_89ab_cdef);
/// In place of [`super::WINDOW`], for small rings.
const SMALL_WINDOW: u32 = 4 * GAP;

/// A partition in memory that counts what is read.
struct Memory {
    blocks: Vec<[u8; BLOCK_LEN]>,
    read: Cell<usize>,
}

impl ReadBlocks for Memory {
    fn read_at(&self, first: u64, buffer: &mut [u8]) -> Result<(), Problem> {
        for (to, from) in buffer
            .chunks_exact_mut(BLOCK_LEN)
            .zip(&self.blocks[first as usize..])
        {
            to.copy_from_slice(from);
        }
        self.read.set(self.read.get() + buffer.len() / BLOCK_LEN);
        Ok(())
    }
}

struct Card {
    memory: Memory,
    geometry: Geometry,
}

impl Card {
    /// A card with about this number of pages of ring.
    fn new(pages: u32) -> Self {
        let geometry = Geometry::new(u64::from(pages) + 64, 3, 8).expect("a geometry");
        let blocks = vec![[0; BLOCK_LEN]; geometry.blocks() as usize];
        Self {
            memory: Memory {
                blocks,
                read: Cell::new(0),
            },
            geometry,
        }
    }

    fn medium(&self) -> Medium<'_> {
        Medium {
            blocks: &self.memory,
            geometry: &self.geometry,
            format: FORMAT,
        }
    }

    /// Writes a page with one record.
    fn write(&mut self, number: u32, boot: u32, record: u32) {
        let log = LogHeader {
            stream: Stream::Console,
            level: Level::Info,
            task: 3,
            lost: 0,
            time: record.into(),
        };
        let body: [u8; LOG_HEADER_LEN] = log.to_bytes(0);
        let crc = Crc32c::new().bytes(&body).value();
        let header = PageHeader::new(FORMAT, number, boot, record, body.len() as u16, crc);
        let block = &mut self.memory.blocks[self.geometry.page(number) as usize];
        let bytes = [header.as_bytes(), &body].concat();
        block[..bytes.len()].copy_from_slice(&bytes);
    }

    /// Writes these pages, with `boot` for each, as far as they are not overwritten.
    fn fill(&mut self, numbers: Range<u32>, boot: impl Fn(u32) -> u32) {
        let first = numbers
            .end
            .saturating_sub(self.geometry.ring_pages())
            .max(numbers.start);
        for number in first..numbers.end {
            self.write(number, boot(number), number + 1);
        }
    }

    fn damage(&mut self, position: u32, count: u32, byte: u8) {
        let ring = self.geometry.ring_pages();
        for position in position..position + count {
            let block = self.geometry.ring_first() + position % ring;
            self.memory.blocks[block as usize] = [byte; BLOCK_LEN];
        }
    }

    /// Number and boot of each undamaged page of a log with this end.
    fn pages(&self, end: u32) -> Vec<(u32, u32)> {
        let ring = Ring::with_end(self.medium(), end);
        pages(&ring, ring.numbers())
    }

    /// Number of blocks that were read since it was asked last.
    fn read(&self) -> usize {
        self.memory.read.replace(0)
    }
}

fn pages(ring: &Ring<'_>, numbers: Range<u32>) -> Vec<(u32, u32)> {
    let mut pages = Vec::new();
    ring.each(numbers, None, &mut |page| {
        pages.push((page.header.sequence(), page.header.boot()));
        Ok(())
    })
    .expect("pages");
    pages
}

/// A card on which anything may have happened.
#[derive(Debug, Clone)]
struct Story {
    pages: u32,
    /// Pages that were written.
    end: u32,
    /// Which of the pages behind them are there as well, after a loss of power.
    torn: Vec<bool>,
    /// So many pages before the end the ledger was written.
    noted: u32,
    /// Position, length, and bytes.
    damage: Vec<(u32, u32, u8)>,
}

fn story() -> impl Strategy<Value = Story> {
    let pages = 200_u32..1500;
    pages.prop_flat_map(|pages| {
        (
            0..4 * pages,
            proptest::collection::vec(any::<bool>(), 0..MAX_RUN),
            0..2 * pages,
            proptest::collection::vec((0..pages, 1..2 * SMALL_WINDOW, any::<u8>()), 0..6),
        )
            .prop_map(move |(end, torn, noted, damage)| Story {
                pages,
                end,
                torn,
                noted,
                damage,
            })
    })
}

fn told(story: &Story) -> Card {
    let mut card = Card::new(story.pages);
    card.fill(0..story.end, |number| number / 50);
    for (number, _) in (story.end..).zip(&story.torn).filter(|(_, there)| **there) {
        card.write(number, number / 50, number + 1);
    }
    for (position, count, byte) in &story.damage {
        card.damage(*position, *count, *byte);
    }
    card
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bisection_finds_what_a_scan_finds(story in story()) {
        let card = told(&story);
        let written = story.end.saturating_sub(story.noted);
        let found = bisect(card.medium(), written, SMALL_WINDOW).ok().flatten();
        let scanned = card.pages(read_all(card.medium(), written).expect("an end"));
        let damaged: u32 = story.damage.iter().map(|(_, count, _)| count).sum();
        let is_first_lap = found.is_some_and(|end| end <= card.geometry.ring_pages());
        // Damage as long as the window is the end of the first lap.
        prop_assume!(!is_first_lap || damaged < SMALL_WINDOW);
        if let Some(end) = found {
            // It may be behind damaged pages which the ledger knows.
            prop_assert_eq!(&card.pages(end), &scanned);
        }
        let end = find(card.medium(), written, SMALL_WINDOW).expect("an end");
        prop_assert_eq!(&card.pages(end), &scanned);
    }

    #[test]
    fn a_boot_is_found_where_a_scan_finds_it(story in story(), boot in 0_u32..130) {
        let card = told(&story);
        let end = read_all(card.medium(), 0).ok().unwrap_or(0);
        let ring = Ring::with_end(card.medium(), end);
        let mut expected = pages(&ring, ring.numbers());
        let last = ring.last(ring.numbers(), |page| Some(page.header.sequence()));
        prop_assert_eq!(last.ok(), Some(expected.last().map(|page| page.0)));
        expected.retain(|page| page.1 == boot);
        let found = ring.boots(boot..=boot).expect("a boot");
        prop_assert_eq!(pages(&ring, found), expected);
    }

    #[test]
    fn a_ledger_that_is_wrong_does_no_harm(story in story(), written in any::<u32>()) {
        let card = told(&story);
        prop_assert!(find(card.medium(), written, SMALL_WINDOW).is_ok());
    }
}

/// The whole log has 131072 blocks.
#[test]
fn the_end_of_a_large_log_is_found_by_few_reads() {
    const RING: u32 = 1 << 17;
    let mut card = Card::new(RING);
    let ring = card.geometry.ring_pages();
    for end in [ring / 3, ring + ring / 3] {
        card.fill(0..end, |number| number / 1000);
        for written in [0, end - 2000, end] {
            let found = Ring::find(card.medium(), written).expect("a ring");
            assert_eq!(found.numbers().end, end);
            let read = card.read();
            assert!(read < 3 * WINDOW as usize + 100, "{read} blocks");
        }
        let found = Ring::find(card.medium(), 0).expect("a ring");
        card.read();
        let boot = end / 1000 - 5;
        let pages = found.boots(boot..=boot).expect("a boot");
        assert_eq!(pages, 1000 * boot..1000 * (boot + 1));
        let read = card.read();
        assert!(read < 500, "{read} blocks");
    }
}

/// An empty log is known after its beginning.
#[test]
fn an_empty_log_is_not_read_to_its_end() {
    let card = Card::new(1 << 16);
    let found = Ring::find(card.medium(), 0).expect("a ring");
    assert_eq!(found.numbers(), 0..0);
    let read = card.read();
    assert!(read < 4 * WINDOW as usize, "{read} blocks");
}

/// A ledger that is damaged, or a ring that is worn out, has the highest numbers there can be.
#[test]
fn the_last_page_numbers_that_there_are_can_be_read() {
    let mut card = Card::new(200);
    let end = u32::MAX;
    let numbers = end - 100..end;
    card.fill(numbers.clone(), |_| 1);
    let read = card.pages(end);
    assert!(read.iter().map(|(number, _)| *number).eq(numbers));
}
