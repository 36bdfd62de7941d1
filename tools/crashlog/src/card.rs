//! A card of the flight recorder, opened for reading.
//!
//! Reading tolerates more damage than the target does: where a ledger or a page is damaged,
//! everything else is still found, by reading all slots and all pages. What was damaged is kept in
//! a list, which `verify` reports; what a loss of power explains is in another.

use crate::image::Image;
use crate::ledgers;
use crate::locate::{Located, locate, unwritable};
use crate::problem::{Code, Problem};
use crate::text::count;
use block_device::BLOCK_LEN;
use crashlog_format::ledger::Ledger;
use crashlog_format::page::{Page, PageError};
use crashlog_format::{CheckError, FormatId, Geometry};
use std::path::Path;

/// A card with a crashlog partition: one of its superblocks has passed its check.
pub struct Card {
    /// The blocks of the partition.
    pub partition: Image,
    /// First block of the partition on the card; 0 if the partition was opened alone.
    pub first: u64,
    pub format: FormatId,
    pub geometry: Geometry,
    /// The newest undamaged ledger, with the crashes that a damaged one may have named; if both are
    /// damaged, one rebuilt from the crash headers.
    pub ledger: Ledger,
    /// What was found to be damaged when the card was opened, in words.
    pub damaged: Vec<String>,
    /// What was found when the card was opened and is explained by a loss of power, in words.
    pub notes: Vec<String>,
}

impl Card {
    /// Opens a card, an image or a partition.
    pub fn open(path: &Path, write: bool) -> Result<Self, Problem> {
        let image = Image::open(path, write)?;
        let Located {
            partition,
            first,
            format,
            geometry,
            mut damaged,
        } = locate(&image)?;
        if first != 0
            && let Some(why) = unwritable(&image)?
        {
            if write {
                let text = format!("{}: is not written: {why}", path.display());
                return Err(Problem::new(Code::NotACrashlogCard, text));
            }
            damaged.push(format!("a device does not write this card: {why}"));
        }
        let found = ledgers::find(&partition, format, &geometry)?;
        damaged.extend(found.damaged);
        Ok(Self {
            partition,
            first,
            format,
            geometry,
            ledger: found.ledger,
            damaged,
            notes: found.notes,
        })
    }

    /// The error of a command that has shown what there is, if something is damaged: found when the
    /// card was opened, or in `more` places. `rest` says what has become of the rest.
    pub fn check(&self, more: usize, rest: &str) -> Result<(), Problem> {
        match self.damaged.len() + more {
            0 => Ok(()),
            places => Err(Problem::new(
                Code::Found,
                format!(
                    "{}: is damaged in {}; {rest}",
                    self.partition.path().display(),
                    count(places as u64, "place")
                ),
            )),
        }
    }

    /// Reads the stream ring from its first position on. Calls `page` for each undamaged page,
    /// `damaged` for each block that should hold a page and does not, with its position, and
    /// `progress` with the number of blocks that are done.
    pub fn scan(
        &self,
        mut progress: impl FnMut(u64),
        mut page: impl FnMut(&Page<'_>),
        mut damaged: impl FnMut(u32, PageError),
    ) -> Result<(), Problem> {
        const CHUNK: u32 = 256;
        /// Number of blocks without a page after which a ring in its first lap ends. The recorder
        /// continues right after a damaged page, so a gap between pages is shorter.
        const END: u32 = 8 * CHUNK;
        let pages = self.geometry.ring_pages();
        let mut second_lap = false;
        let mut last_page = self.ledger.next_page();
        let mut bytes = vec![0; CHUNK as usize * BLOCK_LEN];
        let mut pending = Vec::new();
        let mut position = 0;
        while position < pages && (second_lap || position < last_page.saturating_add(END)) {
            let count = CHUNK.min(pages - position);
            let chunk = bytes
                .get_mut(..count as usize * BLOCK_LEN)
                .unwrap_or(&mut []);
            self.partition.read_at(
                u64::from(self.geometry.ring_first()) + u64::from(position),
                chunk,
            )?;
            for (position, block) in (position..).zip(chunk.chunks_exact(BLOCK_LEN)) {
                let parsed = Page::parse(block, self.format);
                let sequence = match &parsed {
                    Ok(page) => Some(page.header.sequence()),
                    Err(PageError::Records(header)) => Some(header.sequence()),
                    Err(PageError::Header(_)) => None,
                };
                // A page at another position than that of its number does not belong to the ring.
                if let Some(sequence) = sequence.filter(|sequence| sequence % pages == position) {
                    second_lap |= sequence >= pages;
                    last_page = last_page.max(position.saturating_add(1));
                    for (position, error) in pending.drain(..) {
                        damaged(position, error);
                    }
                }
                match parsed {
                    Ok(parsed) if parsed.header.sequence() % pages == position => page(&parsed),
                    Ok(_) => pending.push((position, PageError::Header(CheckError::Field))),
                    Err(error @ PageError::Records(_)) => damaged(position, error),
                    Err(error) => pending.push((position, error)),
                }
            }
            position += count;
            progress(position.into());
        }
        // In the first lap no block after the last page holds a page.
        if second_lap {
            for (position, error) in pending {
                damaged(position, error);
            }
        }
        Ok(())
    }
}
