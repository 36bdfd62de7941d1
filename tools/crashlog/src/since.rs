//! A time of day as a place in the log: `--since` on the command line.
//!
//! Boots have numbers and not times, and a boot knows its time only by the anchors in it. So boots
//! are passed over one by one, and the place is found by bisection in the first that may have it. A
//! boot without an anchor has no time.

use crate::clock::Anchor;
use crate::logbook::{ANCHORS_BEFORE, Logbook};
use crate::problem::Problem;
use crashlog_format::page::Page;
use jiff::civil::{Date, DateTime};
use std::ops::Range;
use std::str::FromStr;

/// So many pages before the place are read as well: the page before it has records of both sides,
/// and may be damaged.
const MARGIN: u32 = 64;
/// Boots that are passed over; what is behind them is read.
const MOST_BOOTS: u32 = 4_096;
/// Difference of two anchors of a boot, in milliseconds, up to which no one has set the clock.
const DRIFT_MS: i128 = 60_000;

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
    /// Those of these pages that begin with the first one that may have a record of this time or of
    /// a later one, in milliseconds of UTC. A clock may have been set back between two boots and
    /// inside of one, so each boot is looked at for itself.
    pub fn since(&self, pages: Range<u32>, utc_ms: u64) -> Result<Range<u32>, Problem> {
        let mut at = pages.start;
        for _ in 0..MOST_BOOTS {
            let rest = at..pages.end;
            let boot = self
                .ring
                .first(rest.clone(), |page| Some(page.header.boot()))?;
            let Some(boot) = boot else {
                return Ok(rest);
            };
            let found = self.ring.boots(boot..=boot)?;
            let boot = found.start.max(at)..found.end.min(pages.end);
            if boot.is_empty() {
                return Ok(rest);
            }
            if let Some(first) = self.first_since(boot.clone(), utc_ms)? {
                return Ok(first..pages.end);
            }
            at = boot.end;
        }
        Ok(at..pages.end)
    }

    /// The first page of a boot that may have a record of this time or of a later one.
    fn first_since(&self, boot: Range<u32>, utc_ms: u64) -> Result<Option<u32>, Problem> {
        let first = self.ring.first(boot.clone(), |page| anchors(page).next())?;
        let last = self.ring.last(boot.clone(), |page| anchors(page).last())?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(None);
        };
        let end = self.ring.last(boot.clone(), |page| {
            page.records().last().map(|record| record.header.time)
        })?;
        let newest = first
            .utc_at(end.unwrap_or(0))
            .max(last.utc_at(end.unwrap_or(0)));
        if newest < utc_ms.into() {
            return Ok(None);
        }
        if (first.utc_at(0) - last.utc_at(0)).abs() > DRIFT_MS {
            return Ok(Some(boot.start));
        }
        // The clock was not set otherwise: its times are in order, but for what it has drifted.
        let sought = i128::from(utc_ms) - DRIFT_MS;
        let place = self.ring.search(boot.clone(), |page| {
            let record = page.records().next()?;
            Some(last.utc_at(record.header.time) >= sought)
        })?;
        Ok(Some(place.saturating_sub(MARGIN).max(boot.start)))
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

    /// The last anchor of a boot before a page. If none is near, the boot is read back to it.
    fn last_anchor(&self, boot: &Range<u32>, page: u32) -> Result<Option<Anchor>, Problem> {
        let near = page.saturating_sub(ANCHORS_BEFORE).max(boot.start)..page;
        let last = |page: &Page<'_>| anchors(page).last();
        if let Some(anchor) = self.ring.last(near.clone(), last)? {
            return Ok(Some(anchor));
        }
        self.ring.last(boot.start..near.start, last)
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
