//! A time of day as a place in the log: `--since` on the command line.
//!
//! Boots have numbers and not times, and a boot knows its time only by the anchors in it. So the
//! place is found by bisection over pages, each with the anchor that is near it. What is far from
//! any anchor, or in a boot without one, is passed over.

use crate::clock::Anchor;
use crate::logbook::{ANCHORS_BEFORE, ANCHORS_BEHIND, Logbook};
use crate::problem::Problem;
use crashlog_format::page::Page;
use jiff::civil::{Date, DateTime};
use std::ops::Range;
use std::str::FromStr;

/// So many pages before the place are read as well: the page before it has records of both sides,
/// and may be damaged.
const MARGIN: u32 = 64;

/// A time of day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(u64);

impl Since {
    /// Milliseconds since 1970-01-01 00:00:00.
    pub const fn utc_ms(self) -> u64 {
        self.0
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "give a time in UTC from 1970 on, such as 2026-11-28T09:40:00Z, 2026-11-28T09:40 or 2026-11-28";
        let local = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        let time = local.parse::<DateTime>();
        let time = time.or_else(|_| local.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let since = time.map_err(|_| WHAT)?.duration_since(epoch);
        u64::try_from(since.as_millis()).map(Self).map_err(|_| WHAT)
    }
}

impl Logbook<'_> {
    /// Those of these pages that begin with the first one of this time or of a later one, in
    /// milliseconds of UTC.
    pub fn since(&self, pages: Range<u32>, utc_ms: u64) -> Result<Range<u32>, Problem> {
        let mut failed = None;
        let place = self.ring.search(pages.clone(), |page| {
            match self.time(page) {
                Ok(time) => time.map(|time| time >= utc_ms.into()),
                Err(problem) => {
                    failed = Some(problem);
                    // The search ends soon.
                    Some(true)
                }
            }
        })?;
        match failed {
            Some(problem) => Err(problem),
            None => Ok(place.saturating_sub(MARGIN).max(pages.start)..pages.end),
        }
    }

    /// The last anchor that is before these pages in the boot of the first of them.
    pub fn anchor_before(&self, pages: Range<u32>) -> Result<Option<Anchor>, Problem> {
        let first = self.ring.first(pages, |page| {
            Some((page.header.boot(), page.header.sequence()))
        })?;
        let Some((boot, page)) = first else {
            return Ok(None);
        };
        let boot = self.ring.boots(boot..=boot)?;
        self.last_anchor(&boot, page)
    }

    /// The UTC of the first record of a page, in milliseconds.
    fn time(&self, page: &Page<'_>) -> Result<Option<i128>, Problem> {
        let Some(record) = page.records().next() else {
            return Ok(None);
        };
        let (number, boot) = (page.header.sequence(), page.header.boot());
        let boot = self.ring.boots(boot..=boot)?;
        let anchor = match self.last_anchor(&boot, number)? {
            Some(anchor) => Some(anchor),
            None => {
                let behind = number..number.saturating_add(ANCHORS_BEHIND).min(boot.end);
                self.ring.first(behind, |page| anchors(page).next())?
            }
        };
        Ok(anchor.map(|anchor| anchor.utc_at(record.header.time)))
    }

    /// The last anchor of a boot before a page: near the page, or near the start of the boot.
    fn last_anchor(&self, boot: &Range<u32>, page: u32) -> Result<Option<Anchor>, Problem> {
        let near = page.saturating_sub(ANCHORS_BEFORE).max(boot.start)..page;
        let last = |page: &Page<'_>| anchors(page).last();
        if let Some(anchor) = self.ring.last(near.clone(), last)? {
            return Ok(Some(anchor));
        }
        let begin = boot.start.saturating_add(ANCHORS_BEHIND).min(near.start);
        self.ring.last(boot.start..begin, last)
    }
}

fn anchors<'p>(page: &Page<'p>) -> impl Iterator<Item = Anchor> + use<'p> {
    page.records().filter_map(|record| Anchor::of(&record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_moment_of_it() {
        for (text, expected) in [
            ("2026-11-28T09:40:00Z", Some(1_795_858_800_000)),
            ("2026-11-28T09:40:00.001Z", Some(1_795_858_800_001)),
            ("2026-11-28T09:40", Some(1_795_858_800_000)),
            ("2026-11-28 09:40", Some(1_795_858_800_000)),
            ("2026-11-28", Some(1_795_824_000_000)),
            ("1970-01-01", Some(0)),
            ("1969-12-31", None),
            ("09:40", None),
            ("yesterday", None),
            ("", None),
        ] {
            let since = text.parse::<Since>().ok();
            assert_eq!(since.map(Since::utc_ms), expected, "{text}");
        }
    }
}
