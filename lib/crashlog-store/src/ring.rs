//! The stream ring: places of pages, reading runs, completing interrupted writes.

use crate::end::header_of;
use crate::store::Store;
use block_device::{BLOCK_WORDS, Block, BlockDevice};
use crashlog_format::Geometry;
use crashlog_retained::{LogRing, PendingPage};

impl<'s, D: BlockDevice> Store<'s, D> {
    /// Writes pages, from number `first` on, at their places in the ring and makes them durable. At
    /// most two commands.
    ///
    /// If it is dropped before its end, any of the pages may be on the card.
    pub(crate) async fn write_in_place(
        &mut self,
        first: u32,
        pages: &[Block],
    ) -> Result<(), D::Error> {
        let (before, after) = split_at_wrap(&self.geometry, first, pages);
        self.device
            .write(self.geometry.page(first).into(), before)
            .await?;
        if !after.is_empty() {
            self.device
                .write(self.geometry.ring_first().into(), after)
                .await?;
        }
        self.device.flush().await
    }

    /// After a restart, completes a write of pages that was interrupted. Pages of the log ring that
    /// have a number had been given to the card, and any of them may be on it. Those that are not
    /// are written at their places, which nothing else has been written to. All of them are then
    /// marked as durable, together at the end: as long as this waits for the card, a full ring
    /// stays full, so that the first record of a boot that found it full is its boot record.
    /// Returns how many they are; none if the partition is not written.
    ///
    /// The next page has to be noted in the location cache before, so that an emergency write does
    /// not write these pages again under other numbers.
    ///
    /// If it is dropped before its end, pages that are not marked yet wait as before, and it can be
    /// called again.
    ///
    /// # Errors
    /// Those of the device; the pages then wait as before.
    pub async fn reconcile(&mut self, ring: &LogRing<'_>) -> Result<u32, D::Error> {
        let mut durable: u32 = 0;
        if self.refusal.is_some() {
            return Ok(durable);
        }
        while let Some(PendingPage {
            block,
            number: Some(number),
        }) = ring.pending_after(durable)
        {
            let header = header_of(block);
            let is_of_this_card = header.check(self.format).is_ok() && header.sequence() == number;
            if !is_of_this_card || number >= self.next_page || number < self.oldest_page() {
                break;
            }
            let format = self.format;
            let place = self.geometry.page(number);
            let on_card = self.read_block(place).await?;
            if !same(on_card, block) {
                let there = header_of(on_card);
                if there.check(format).is_ok() && there.sequence() >= number {
                    // Another recorder has written to this card: the page is written again under a
                    // new number.
                    break;
                }
                self.write_in_place(number, core::slice::from_ref(block))
                    .await?;
            }
            durable = durable.saturating_add(1);
        }
        ring.release(durable as usize);
        Ok(durable)
    }

    /// Reads pages from number `sequence` on into the scratch memory: at most `count`, and at most
    /// what one command can read, which is up to the end of the ring. Returns the blocks that hold
    /// them, and whether they were read.
    pub(crate) async fn read_run(
        &mut self,
        sequence: u32,
        count: u32,
    ) -> (&'s [Block], Result<(), D::Error>) {
        let scratch = self.scratch;
        let blocks = self.run_in(scratch, sequence, count);
        if blocks.is_empty() {
            return (blocks, Ok(()));
        }
        let place = self.geometry.page(sequence);
        let result = self.device.read(place.into(), blocks).await;
        (blocks, result)
    }

    /// The part of `buffer` that takes `count` pages from number `sequence` on, cut at the end of
    /// the ring, and of a partition that is not there as a whole.
    pub(crate) fn run_in<'b>(&self, buffer: &'b [Block], sequence: u32, count: u32) -> &'b [Block] {
        let end = self
            .geometry
            .ring_first()
            .saturating_add(self.geometry.ring_pages());
        let there = u32::try_from(self.device.block_count()).unwrap_or(u32::MAX);
        let end = end.min(there);
        let count = count.min(end.saturating_sub(self.geometry.page(sequence)));
        buffer.get(..count as usize).unwrap_or(buffer)
    }
}

/// Divides `pages`, whose first has the number `first`, into those before the end of the ring and
/// those from its start.
pub(crate) fn split_at_wrap<'p>(
    geometry: &Geometry,
    first: u32,
    pages: &'p [Block],
) -> (&'p [Block], &'p [Block]) {
    let end = geometry.ring_first().saturating_add(geometry.ring_pages());
    let room = end.saturating_sub(geometry.page(first)) as usize;
    pages.split_at_checked(room).unwrap_or((pages, &[]))
}

/// Whether two blocks hold the same.
fn same(a: &Block, b: &Block) -> bool {
    (0..BLOCK_WORDS).all(|word| a.word(word) == b.word(word))
}
