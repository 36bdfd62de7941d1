//! Reading the stream back, oldest page first.

use crate::MAX_RUN;
use crate::store::Store;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use core::ops::Range;
use crashlog_format::page::{HEADER_LEN, LogRecord, Page, PageError, Records};

/// A reader of the stream, independent of the store except while it reads.
///
/// Pages written after it was made are not seen; pages that are overwritten meanwhile show as damaged.
#[derive(Debug)]
pub struct LogReader<'b> {
    /// Pages are read into this, as many at a time as it has blocks.
    buffer: &'b [Block],
    /// The pages in it.
    buffered: Range<u32>,
    next: u32,
    end: u32,
    /// Damage before this page is the end of the ring being written, not damage.
    settled: u32,
    page: [u8; BLOCK_LEN],
    position: Option<Position>,
}

/// A place in the page that is being decoded.
#[derive(Clone, Copy, Debug)]
struct Position {
    page: u32,
    boot: u32,
    sequence: u32,
    start: usize,
    end: usize,
}

/// What is found in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogItem<'a> {
    /// A record.
    Record {
        /// The page it is in.
        page: u32,
        /// The record.
        record: LogRecord<'a>,
    },
    /// A page that should be there and does not hold together: the records that were in it are lost.
    Damaged {
        /// Its number.
        page: u32,
        /// Boot and number of its first record, if its header is sound.
        lost: Option<(u32, u32)>,
    },
}

impl<'b> LogReader<'b> {
    /// Reads everything that `store` has. `buffer` is one block or more; the more, the fewer commands.
    #[must_use]
    pub fn new<D: BlockDevice>(store: &Store<'_, D>, buffer: &'b [Block]) -> Self {
        Self::starting_at(store, buffer, 0)
    }

    /// As [`LogReader::new`], beginning at page `first` or the oldest that is there.
    #[must_use]
    pub fn starting_at<D: BlockDevice>(
        store: &Store<'_, D>,
        buffer: &'b [Block],
        first: u32,
    ) -> Self {
        let oldest = store.oldest_page();
        // The oldest pages may be half overwritten by a run that a power cut ended.
        let settled = if oldest == 0 {
            0
        } else {
            oldest.saturating_add(MAX_RUN as u32)
        };
        Self {
            buffer,
            buffered: 0..0,
            next: first.max(oldest),
            end: store.next_page(),
            settled,
            page: [0; BLOCK_LEN],
            position: None,
        }
    }

    /// Number of the page that is decoded next.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next
    }

    /// Number behind the last page.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// Those of the device; called again, the reader goes on with the page after the one that could not be read.
    pub async fn next<D: BlockDevice>(
        &mut self,
        store: &mut Store<'_, D>,
    ) -> Result<Option<LogItem<'_>>, D::Error> {
        loop {
            if let Some(position) = self.position {
                let step = self.step(position);
                self.position = step;
                if step.is_some() {
                    // Decoded once more, as a borrow that is returned cannot also be given up in a loop.
                    return Ok(self.record(position));
                }
            }
            if self.next >= self.end {
                return Ok(None);
            }
            let page = self.next;
            self.next = page.saturating_add(1);
            self.fetch(store, page).await?;
            match Page::parse(&self.page, store.format) {
                Ok(found) if found.header.sequence() == page => {
                    self.position = Some(Position {
                        page,
                        boot: found.header.boot(),
                        sequence: found.header.first_record(),
                        start: HEADER_LEN,
                        end: HEADER_LEN.saturating_add(found.header.length().into()),
                    });
                }
                Err(PageError::Records(header)) if header.sequence() == page => {
                    let lost = Some((header.boot(), header.first_record()));
                    return Ok(Some(LogItem::Damaged { page, lost }));
                }
                _ if page < self.settled => {}
                _ => return Ok(Some(LogItem::Damaged { page, lost: None })),
            }
        }
    }

    fn records(&self, position: Position) -> Records<'_> {
        let bytes = self.page.get(position.start..position.end).unwrap_or(&[]);
        Records::new(bytes, position.boot, position.sequence)
    }

    fn record(&self, position: Position) -> Option<LogItem<'_>> {
        let record = self.records(position).next()?;
        Some(LogItem::Record {
            page: position.page,
            record,
        })
    }

    /// The place behind the record at `position`; `None` if there is no record.
    fn step(&self, position: Position) -> Option<Position> {
        let mut records = self.records(position);
        records.next()?;
        let start = position.end.saturating_sub(records.remaining());
        Some(Position {
            start,
            sequence: position.sequence.wrapping_add(1),
            ..position
        })
    }

    /// Gets page `page`, reading ahead.
    async fn fetch<D: BlockDevice>(
        &mut self,
        store: &mut Store<'_, D>,
        page: u32,
    ) -> Result<(), D::Error> {
        if !self.buffered.contains(&page) {
            let count = self.end.saturating_sub(page);
            let mut blocks = store.run_in(self.buffer, page, count);
            let place = store.geometry.page(page).into();
            self.buffered = 0..0;
            if store.device.read(place, blocks).await.is_err() {
                // One block that cannot be read shall not cost the others.
                blocks = blocks.get(..1).unwrap_or(blocks);
                store.device.read(place, blocks).await?;
            }
            self.buffered = page..page.saturating_add(blocks.len() as u32);
        }
        let index = page.saturating_sub(self.buffered.start) as usize;
        if let Some(block) = self.buffer.get(index) {
            block.copy_to(0, &mut self.page);
        }
        Ok(())
    }
}

impl<D: BlockDevice> Store<'_, D> {
    /// Reads page `sequence` as it is on the card. `false` if it is not there (any more).
    ///
    /// # Errors
    /// Those of the device.
    pub async fn read_page(
        &mut self,
        sequence: u32,
        out: &mut [u8; BLOCK_LEN],
    ) -> Result<bool, D::Error> {
        if sequence < self.oldest_page() || sequence >= self.next_page {
            return Ok(false);
        }
        let (format, place) = (self.format, self.geometry.page(sequence));
        self.read_block(place).await?.copy_to(0, out);
        Ok(Page::parse(out, format).is_ok_and(|page| page.header.sequence() == sequence))
    }
}
