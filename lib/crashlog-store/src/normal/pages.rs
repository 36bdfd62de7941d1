//! Writing log pages in normal operation.

use crate::end::header_of;
use crate::store::Store;
use crate::{CHECKPOINT, MAX_RUN};
use block_device::{Block, BlockDevice};
use crashlog_retained::Numbering;

/// Why pages were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageWriteError<E> {
    /// The device failed. If [`Store::next_page`] is unchanged, the same pages can be written
    /// again; else they are durable, and only the note of the end in the ledger is missing.
    Device(E),
    /// There are more than [`MAX_RUN`].
    TooMany,
    /// Their numbers are not consecutive from that of the next page on.
    OutOfOrder,
    /// The partition is not written: see [`Store::write_refusal`].
    Refused,
}

impl<D: BlockDevice> Store<'_, D> {
    /// How the next pages have to be numbered. `boot_offset` is
    /// [`crashlog_retained::Region::boot_offset`].
    #[must_use]
    pub const fn numbering(&self, boot_offset: u32) -> Numbering {
        Numbering {
            format: self.format,
            next_page: self.next_page,
            boot_offset,
        }
    }

    /// Writes pages, whose headers are complete, at the end of the stream and makes them durable.
    ///
    /// If it is dropped before its end, any of the pages may be on the card. [`Store::reconcile`],
    /// after the next mount, writes those that are not.
    ///
    /// # Errors
    /// See [`PageWriteError`].
    pub async fn write_pages(&mut self, pages: &[Block]) -> Result<(), PageWriteError<D::Error>> {
        if self.refusal.is_some() {
            return Err(PageWriteError::Refused);
        }
        if pages.len() > MAX_RUN {
            return Err(PageWriteError::TooMany);
        }
        let mut boot = self.boot;
        for (page, expected) in pages.iter().zip(self.next_page..) {
            let header = header_of(page);
            if header.sequence() != expected || header.check(self.format).is_err() {
                return Err(PageWriteError::OutOfOrder);
            }
            boot = boot.max(header.boot());
        }
        self.write_in_place(self.next_page, pages)
            .await
            .map_err(PageWriteError::Device)?;
        // Both bounded by MAX_RUN; a mount refuses the last number.
        self.next_page = self.next_page.saturating_add(pages.len() as u32);
        self.boot = boot;
        self.checkpoint().await.map_err(PageWriteError::Device)
    }

    /// Notes the end of the stream in the ledger, if the last note is [`CHECKPOINT`] pages old.
    async fn checkpoint(&mut self) -> Result<(), D::Error> {
        if self.next_page.saturating_sub(self.ledger.next_page()) < CHECKPOINT {
            return Ok(());
        }
        self.refresh_ledger().await?;
        let mut ledger = self.ledger.clone();
        ledger.note_page(self.next_page, self.boot);
        self.write_ledger(&mut ledger).await
    }
}
