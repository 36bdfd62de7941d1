//! The time of day while the log is read in order.
//!
//! What came before the first time anchor of a boot is counted back from it. So that anchor is
//! looked for when the boot begins, by a second reader that is ahead of the first one and never
//! goes back: a log in which no boot has an anchor is read twice, any other one hardly more than
//! once.

use crate::clock::{Anchor, Clock};
use crate::problem::Problem;
use crate::ring::{PIECE, Ring};
use crate::terminal::Progress;
use crashlog_format::page::LogRecord;
use std::ops::Range;

/// A clock that follows a reader of the log.
pub struct RunningClock<'r, 'a> {
    ring: &'r Ring<'a>,
    /// The pages that were not looked at.
    ahead: Range<u32>,
    /// The first anchor before them, if it is not that of a boot that is over.
    next: Option<Anchor>,
    boot: Option<u32>,
    clock: Clock,
}

impl<'r, 'a> RunningClock<'r, 'a> {
    /// A clock for these pages; `before` is the last anchor before them, if it is of the boot of
    /// the first of them.
    pub fn new(
        ring: &'r Ring<'a>,
        pages: Range<u32>,
        before: Option<Anchor>,
    ) -> Result<Self, Problem> {
        let mut clock = Self {
            ring,
            ahead: pages,
            next: None,
            boot: before.map(|anchor| anchor.boot),
            clock: Clock::default(),
        };
        clock.clock.set(before);
        if before.is_none() {
            clock.look_ahead(0)?;
        }
        if before.or(clock.next).is_some() {
            clock.clock.show_column();
        }
        Ok(clock)
    }

    /// The reader is at this record of this page.
    pub fn pass(&mut self, page: u32, record: &LogRecord<'_>) -> Result<(), Problem> {
        if self.boot != Some(record.boot) {
            self.boot = Some(record.boot);
            self.ahead.start = self.ahead.start.max(page);
            if self.next.is_none_or(|next| next.boot < record.boot) {
                self.look_ahead(record.boot)?;
            }
            let first = self.next.filter(|next| next.boot == record.boot);
            self.clock.set(first);
        }
        if let Some(anchor) = Anchor::of(record) {
            self.clock.set(Some(anchor));
        }
        Ok(())
    }

    /// The clock at this record.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock alone.
    pub fn into_clock(self) -> Clock {
        self.clock
    }

    /// Finds the next anchor of `boot` or of a later one.
    fn look_ahead(&mut self, boot: u32) -> Result<(), Problem> {
        let first = self.ahead.start;
        let total = self.ahead.len() as u64;
        // It is near, as a rule.
        let mut progress = None;
        let found = self.ring.first(self.ahead.clone(), |page| {
            let number = page.header.sequence();
            if number.is_multiple_of(PIECE) {
                progress
                    .get_or_insert_with(|| Progress::new("looking for the time of day", total))
                    .at((number - first).into());
            }
            let anchors = page.records().filter_map(|record| Anchor::of(&record));
            let mut anchors = anchors.filter(|anchor| anchor.boot >= boot);
            anchors.next().map(|anchor| (anchor, number))
        })?;
        self.next = found.map(|(anchor, _)| anchor);
        // The page may have further anchors, and they are of the same boot.
        self.ahead.start = found.map_or(self.ahead.end, |(_, number)| number + 1);
        Ok(())
    }
}
