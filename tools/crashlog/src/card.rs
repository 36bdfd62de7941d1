//! A card of the flight recorder, opened for reading.
//!
//! Reading tolerates more damage than the target does: where a ledger or a page is damaged,
//! everything else is still found, by reading all slots and all pages. What was damaged is kept in
//! a list, which `verify` reports; what a loss of power explains is in another.

use crate::image::Image;
use crate::ledgers;
use crate::locate::{Located, locate};
use crate::problem::{Code, Problem};
use crate::ring::Medium;
use crate::ring_end::{self, RingBlock};
use crate::text::count;
use crashlog_format::ledger::Ledger;
use crashlog_format::page::{Page, PageError};
use crashlog_format::{FormatId, Geometry};
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
    /// Why neither a device nor this program writes the card, in words. That is no damage.
    pub refusal: Option<String>,
    /// What was found when the card was opened and is explained by a loss of power, in words.
    pub notes: Vec<String>,
}

impl Card {
    /// Opens a card, an image or a partition.
    pub fn open(path: &Path, write: bool) -> Result<Self, Problem> {
        let image = Image::open(path, write)?;
        let Located {
            partition,
            found,
            content,
            mut damaged,
            refusal,
        } = locate(&image)?;
        let (format, geometry) = (content.format, content.geometry);
        let first = found.map_or(0, |found| found.place.first);
        if let Some(why) = refusal.as_ref().filter(|_| write) {
            let text = format!("{}: is not written: {why}", path.display());
            return Err(Problem::new(Code::NotACrashlogCard, text));
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
            refusal: refusal.map(|why| format!("a device does not write this card: {why}")),
            notes: found.notes,
        })
    }

    /// All that is to be said about the card: damage first, then notes.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        self.damaged.iter().chain(&self.refusal).chain(&self.notes)
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

    /// The stream ring.
    pub fn medium(&self) -> Medium<'_> {
        Medium {
            blocks: &self.partition,
            geometry: &self.geometry,
            format: self.format,
        }
    }

    /// Reads the stream ring from its first position on. Calls `page` for each undamaged page,
    /// `damaged` for each block that should hold a page and does not, with its position, and
    /// `progress` with the number of blocks that are done.
    pub fn scan(
        &self,
        progress: impl FnMut(u64),
        mut page: impl FnMut(&Page<'_>),
        mut damaged: impl FnMut(u32, PageError),
    ) -> Result<(), Problem> {
        let written = self.ledger.next_page();
        ring_end::scan(self.medium(), written, progress, |block| match block {
            RingBlock::Page(found) => page(found),
            RingBlock::Damaged(position, error) => damaged(position, error),
        })
    }
}
