//! Writing pages of the stream.

use crate::end::header_of;
use crate::store::Store;
use crate::{CHECKPOINT, MAX_RUN};
use block_device::{Block, BlockDevice};
use crashlog_retained::{LogRing, Numbering, PendingPage};

/// Why pages were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError<E> {
    /// The device failed. The same pages can be written again.
    Device(E),
    /// They are more than [`MAX_RUN`].
    TooMany,
    /// They do not begin with the number of the next page, or do not follow each other.
    OutOfOrder,
}

impl<'s, D: BlockDevice> Store<'s, D> {
    /// How the next pages are to be numbered; `boot_offset` is [`crashlog_retained::Region::boot_offset`].
    #[must_use]
    pub const fn numbering(&self, boot_offset: u32) -> Numbering {
        Numbering {
            format: self.format,
            next_page: self.next_page,
            boot_offset,
        }
    }

    /// Writes pages as they are, with their headers, at the end of the stream, and makes them durable.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_pages(&mut self, pages: &[Block]) -> Result<(), WriteError<D::Error>> {
        if pages.len() > MAX_RUN {
            return Err(WriteError::TooMany);
        }
        let mut boot = self.boot;
        for (page, expected) in pages.iter().zip(self.next_page..) {
            let header = header_of(page);
            if header.sequence() != expected || header.check(self.format).is_err() {
                return Err(WriteError::OutOfOrder);
            }
            boot = boot.max(header.boot());
        }
        self.write_in_place(self.next_page, pages)
            .await
            .map_err(WriteError::Device)?;
        // Both bounded by MAX_RUN; a mount refuses the last number.
        self.next_page = self.next_page.saturating_add(pages.len() as u32);
        self.boot = boot;
        self.checkpoint().await.map_err(WriteError::Device)
    }

    /// Writes pages at their places, in one or two commands, and makes them durable.
    async fn write_in_place(&mut self, first: u32, pages: &[Block]) -> Result<(), D::Error> {
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

    /// Renews the ledger's note of the end, if it is far behind.
    async fn checkpoint(&mut self) -> Result<(), D::Error> {
        if self.next_page.saturating_sub(self.ledger.next_page()) < CHECKPOINT {
            return Ok(());
        }
        self.settle_ledger().await?;
        let mut ledger = self.ledger.clone();
        ledger.note_page(self.next_page, self.boot);
        self.write_ledger(&mut ledger).await
    }

    /// After a restart, settles which pages of the ring are on the card already: a write of them was begun, and nobody
    /// knows how far it came. Those that are there are released, the others are written into their places, which are
    /// theirs still. Returns how many pages were settled. Note the next page in the location cache before.
    ///
    /// # Errors
    /// Those of the device; the pages then wait as before.
    pub async fn reconcile(&mut self, ring: &LogRing<'_>) -> Result<u32, D::Error> {
        let mut settled = 0;
        while let Some(PendingPage {
            block,
            number: Some(number),
        }) = ring.pending()
        {
            let header = header_of(block);
            let ours = header.check(self.format).is_ok() && header.sequence() == number;
            if !ours || number >= self.next_page || number < self.oldest_page() {
                break;
            }
            let format = self.format;
            let place = self.geometry.page(number);
            let on_card = self.read_block(place).await?;
            if !same(on_card, block) {
                let there = header_of(on_card);
                if there.check(format).is_ok() && there.sequence() >= number {
                    // Somebody else went on with this card: the page gets a new number.
                    break;
                }
                self.write_in_place(number, core::slice::from_ref(block))
                    .await?;
            }
            ring.mark_durable(1, |_, _| {});
            settled = u32::saturating_add(settled, 1);
        }
        Ok(settled)
    }

    /// Reads up to `count` pages from `sequence` on, as many as one command can, into the scratch memory.
    pub(crate) async fn read_run(
        &mut self,
        sequence: u32,
        count: u32,
    ) -> (&'s [Block], Result<(), D::Error>) {
        let scratch = self.scratch;
        let blocks = self.run_in(scratch, sequence, count);
        let place = self.geometry.page(sequence);
        let result = self.device.read(place.into(), blocks).await;
        (blocks, result)
    }

    /// As much of `buffer` as takes `count` pages from `sequence` on without going round the end of the ring.
    pub(crate) fn run_in<'b>(&self, buffer: &'b [Block], sequence: u32, count: u32) -> &'b [Block] {
        let end = self
            .geometry
            .ring_first()
            .saturating_add(self.geometry.ring_pages());
        let count = count.min(end.saturating_sub(self.geometry.page(sequence)));
        buffer.get(..count as usize).unwrap_or(buffer)
    }
}

/// The part of `pages` (the first has the number `first`) that goes before the end of the ring, and the part that goes
/// to its beginning.
pub(crate) fn split_at_wrap<'p>(
    geometry: &crashlog_format::Geometry,
    first: u32,
    pages: &'p [Block],
) -> (&'p [Block], &'p [Block]) {
    let end = geometry.ring_first().saturating_add(geometry.ring_pages());
    let room = end.saturating_sub(geometry.page(first)) as usize;
    pages.split_at_checked(room).unwrap_or((pages, &[]))
}

fn same(a: &Block, b: &Block) -> bool {
    (0..block_device::BLOCK_WORDS).all(|word| a.word(word) == b.word(word))
}
