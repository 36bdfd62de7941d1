//! Reading the log, oldest page first.

use crate::MAX_RUN;
use crate::store::Store;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use core::ops::Range;
use crashlog_format::page::{HEADER_LEN, LogRecord, LogRecords, Page, PageError};

/// A reader of the log. It borrows the store only while it reads.
///
/// It does not see pages that are written after it was made. Pages that are overwritten meanwhile appear as damaged.
#[derive(Debug)]
pub struct LogReader<'b> {
    /// Pages are read into this memory, as many at a time as it has blocks.
    buffer: &'b [Block],
    /// The numbers of the pages in it.
    buffered: Range<u32>,
    next: u32,
    end: u32,
    /// A page before this one may be half overwritten by an interrupted write, and is not reported as damaged.
    damage_from: u32,
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

/// An item of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogItem<'a> {
    /// A record.
    Record {
        /// Number of the page that holds it.
        page: u32,
        /// The record.
        record: LogRecord<'a>,
    },
    /// A damaged page: its records are lost.
    Damaged {
        /// Its number.
        page: u32,
        /// Boot and number of its first record, if its header is undamaged.
        lost: Option<(u32, u32)>,
    },
}

impl<'b> LogReader<'b> {
    /// Reads the whole log of `store`. `buffer` is one block or more; with more blocks there are fewer commands.
    #[must_use]
    pub fn new<D: BlockDevice>(store: &Store<'_, D>, buffer: &'b [Block]) -> Self {
        Self::starting_at(store, buffer, 0)
    }

    /// As [`LogReader::new`], from page `first` on, or from the oldest page if that is newer.
    #[must_use]
    pub fn starting_at<D: BlockDevice>(
        store: &Store<'_, D>,
        buffer: &'b [Block],
        first: u32,
    ) -> Self {
        let oldest = store.oldest_page();
        // A run of pages that a power cut interrupted may have overwritten the oldest pages in part.
        let damage_from = if oldest == 0 {
            0
        } else {
            oldest.saturating_add(MAX_RUN as u32)
        };
        Self {
            buffer,
            buffered: 0..0,
            next: first.max(oldest),
            end: store.next_page(),
            damage_from,
            page: [0; BLOCK_LEN],
            position: None,
        }
    }

    /// Number of the page that is read next.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next
    }

    /// Number after that of the last page.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// The next item; `None` at the end.
    ///
    /// If it is dropped before its end, the page that it was reading is left out.
    ///
    /// # Errors
    /// Those of the device. The next call continues with the page after the one that could not be read.
    pub async fn next<D: BlockDevice>(
        &mut self,
        store: &mut Store<'_, D>,
    ) -> Result<Option<LogItem<'_>>, D::Error> {
        loop {
            if let Some(position) = self.position {
                let next = self.after(position);
                self.position = next;
                if next.is_some() {
                    // Decoded again, as the borrow checker does not accept that a borrow is returned from a loop and
                    // ended otherwise.
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
                _ if page < self.damage_from => {}
                _ => return Ok(Some(LogItem::Damaged { page, lost: None })),
            }
        }
    }

    fn records(&self, position: Position) -> LogRecords<'_> {
        let bytes = self.page.get(position.start..position.end).unwrap_or(&[]);
        LogRecords::new(bytes, position.boot, position.sequence)
    }

    fn record(&self, position: Position) -> Option<LogItem<'_>> {
        let record = self.records(position).next()?;
        Some(LogItem::Record {
            page: position.page,
            record,
        })
    }

    /// The position after the record at `position`; `None` if there is no record.
    fn after(&self, position: Position) -> Option<Position> {
        let mut records = self.records(position);
        records.next()?;
        let start = position.end.saturating_sub(records.remaining());
        Some(Position {
            start,
            sequence: position.sequence.wrapping_add(1),
            ..position
        })
    }

    /// Copies page `page` to `self.page`; reads it, and the pages after it, if it is not in the buffer.
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
                // The command fails as a whole; read alone, this page may be readable.
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
    /// Reads page `sequence` as it is on the card. `false` if it is not there, or not any more, or damaged.
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
