//! The stream ring, page by page in the order of their numbers.
//!
//! Pages are written in runs of at most [`MAX_RUN`], each flushed before the next. So a loss of
//! power leaves any subset of one run, the last of its boot, and the next boot continues after its
//! last page. A page that is missing is explained by that if all of these hold:
//!
//! * the ledger does not have it as written;
//! * its boot has no page that is [`MAX_RUN`] or more after it;
//! * the next boot does not say that the system kept its memory, as it then completes the run.
//!
//! In a ring that was overwritten, the oldest pages may also be missing because their places were
//! being written when power was lost.

use super::Findings;
use crate::card::Card;
use crate::problem::Problem;
use crate::ring::PIECE;
use crate::terminal::Progress;
use crate::text::count;
use crashlog_format::page::{Page, PageError};
use crashlog_format::{BootEnd, BootRecord, Stream};
use crashlog_store::MAX_RUN;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Number of findings of one kind that are listed one by one.
const LISTED: usize = 20;
const RUN: u32 = MAX_RUN as u32;

/// What the log has.
#[derive(Default)]
pub struct Log {
    pub pages: u64,
    pub records: u64,
    /// Number of records of each boot.
    pub boots: BTreeMap<u32, u64>,
    /// The number after that of the newest page.
    pub end: u32,
}

/// Checks the log.
pub fn check(card: &Card, findings: &mut Findings) -> Result<Log, Problem> {
    let mut walk = Walk::new(card, end(card)?);
    let (oldest, end) = (walk.oldest, walk.end);
    let mut progress = Progress::new("checking", u64::from(end - oldest));
    let medium = card.medium();
    medium.forward(oldest..end, PIECE, &mut |sequence, block| {
        match medium.parse(block) {
            Ok(page) if page.header.sequence() == sequence => walk.page(&page),
            Ok(page) => walk.missing(sequence, Why::Other(page.header.sequence())),
            Err(error) => walk.missing(sequence, Why::Damaged(error)),
        }
        if sequence.is_multiple_of(PIECE) {
            progress.at(u64::from(sequence - oldest));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    drop(progress);
    Ok(walk.finish(findings))
}

/// The number after that of the newest page, whole or not; 0 if there is none.
fn end(card: &Card) -> Result<u32, Problem> {
    let mut progress = Progress::new("searching", card.geometry.ring_pages().into());
    let (mut newest, mut cut) = (0, 0);
    card.scan(
        |done| progress.at(done),
        |page| newest = newest.max(page.header.sequence().saturating_add(1)),
        |_, error| {
            if let PageError::Records(header) = error {
                cut = cut.max(header.sequence().saturating_add(1));
            }
        },
    )?;
    Ok(newest.max(cut))
}

/// Why a page is missing.
enum Why {
    /// The page with this number is in its place.
    Other(u32),
    Damaged(PageError),
}

/// Missing pages: those from `start` to before `end`, which is the next page, of this boot.
struct Gap {
    start: u32,
    end: u32,
    boot: u32,
    /// What is missing, in words.
    text: String,
}

/// Some findings of one kind.
#[derive(Default)]
struct Limited {
    listed: Vec<String>,
    more: u64,
}

impl Limited {
    fn push(&mut self, text: String) {
        if self.listed.len() < LISTED {
            self.listed.push(text);
        } else {
            self.more += 1;
        }
    }

    fn add_to(self, found: &mut Vec<String>) {
        found.extend(self.listed);
        if self.more > 0 {
            found.push(format!("and {} of the log", count(self.more, "more place")));
        }
    }
}

struct Walk<'a> {
    card: &'a Card,
    /// The pages that should be there: from `oldest` to before `end`.
    oldest: u32,
    end: u32,
    /// The first of the pages that are missing right before the next one, and why.
    missing: Option<(u32, Why)>,
    /// Gaps that a loss of power may explain, by what is known so far.
    open: Vec<Gap>,
    /// The boot of the last page.
    boot: Option<u32>,
    /// The next record of that boot; `None` if none was there.
    next: Option<u32>,
    log: Log,
    damage: Limited,
    notes: Limited,
}

impl<'a> Walk<'a> {
    fn new(card: &'a Card, end: u32) -> Self {
        Self {
            card,
            oldest: end.saturating_sub(card.geometry.ring_pages()),
            end,
            missing: None,
            open: Vec::new(),
            boot: None,
            next: None,
            log: Log::default(),
            damage: Limited::default(),
            notes: Limited::default(),
        }
    }

    /// A page is not there.
    fn missing(&mut self, sequence: u32, why: Why) {
        self.missing.get_or_insert((sequence, why));
    }

    /// A page is there.
    fn page(&mut self, page: &Page<'_>) {
        let (sequence, boot) = (page.header.sequence(), page.header.boot());
        self.log.pages += 1;
        self.log.end = sequence.saturating_add(1);
        let after_gap = self.missing.is_some() || sequence == self.oldest;
        self.resolve(sequence, boot, ended_before(page));
        self.close(sequence, boot);
        if let Some(before) = self.boot.filter(|before| *before > boot) {
            self.damage.push(format!(
                "log page {sequence}: is of boot {boot}, after pages of boot {before}"
            ));
        }
        if self.boot != Some(boot) {
            self.next = None;
        }
        self.boot = Some(boot);

        let mut records = page.records();
        for record in records.by_ref() {
            let expected = self.next.unwrap_or(1);
            if record.sequence < expected {
                // Written twice: by the emergency path, and by the restarted recorder.
                continue;
            }
            let missing = record.sequence - expected;
            if missing > 0 && !after_gap {
                let missing = count(missing.into(), "record");
                if self.next.is_some() {
                    self.damage.push(format!(
                        "log of boot {boot}: {missing} missing between others"
                    ));
                } else {
                    // As of a card that was put in while the system ran.
                    self.notes.push(format!(
                        "log of boot {boot}: {missing} missing at its start, although no page is"
                    ));
                }
            }
            self.next = Some(record.sequence.saturating_add(1));
            *self.log.boots.entry(boot).or_default() += 1;
            self.log.records += 1;
        }
        if records.remaining() != 0 {
            self.damage.push(format!(
                "log page {sequence}: its records end before its length"
            ));
        }
    }

    /// Decides about open gaps by a page of `boot`, which says how the boot before it ended.
    fn resolve(&mut self, sequence: u32, boot: u32, before: BootEnd) {
        let kept = !matches!(before, BootEnd::NotKnown | BootEnd::PowerLost);
        for gap in std::mem::take(&mut self.open) {
            if gap.boot == boot && sequence - gap.start < RUN {
                self.open.push(gap);
            } else if gap.boot == boot || (kept && gap.boot.checked_add(1) == Some(boot)) {
                self.damage.push(gap.text);
            } else {
                self.explained(&gap);
            }
        }
    }

    /// Ends the gap before page `end`, of `boot`, if there is one.
    fn close(&mut self, end: u32, boot: u32) {
        let Some((start, why)) = self.missing.take() else {
            return;
        };
        let gap = Gap {
            start,
            end,
            boot,
            text: self.text(start, end, &why),
        };
        let is_overwritten = self.oldest > 0 && end - self.oldest <= RUN;
        if is_overwritten {
            self.explained(&gap);
        } else if start < self.card.ledger.next_page() || end - start >= RUN {
            self.damage.push(gap.text);
        } else {
            self.open.push(gap);
        }
    }

    fn explained(&mut self, gap: &Gap) {
        let they = if gap.end - gap.start == 1 {
            "it was"
        } else {
            "they were"
        };
        self.notes.push(format!(
            "{}: power was lost while {they} written, or {they} damaged later",
            gap.text
        ));
    }

    /// The missing pages from `start` to before `end`, in words; `why` the first is.
    fn text(&self, start: u32, end: u32, why: &Why) -> String {
        let block = self.card.geometry.page(start);
        let first = match why {
            Why::Other(other) => {
                format!("log page {start}: is missing: page {other} is in its place")
            }
            Why::Damaged(PageError::Header(error)) => format!(
                "log page {start}: is missing: block {block} of the partition: log page: {error}"
            ),
            Why::Damaged(PageError::Records(header)) if header.sequence() == start => {
                format!("log page {start}: the checksum of its records does not match")
            }
            Why::Damaged(PageError::Records(header)) => format!(
                "log page {start}: is missing: page {}, which is damaged, is in its place",
                header.sequence()
            ),
        };
        match end - start {
            0 | 1 => first,
            pages => format!(
                "{first}; with it {} missing",
                match pages - 1 {
                    1 => "1 more page is".to_owned(),
                    more => format!("{more} more pages are"),
                }
            ),
        }
    }

    fn finish(mut self, findings: &mut Findings) -> Log {
        let end = self.end;
        let boot = self.boot.unwrap_or(0);
        self.close(end, boot);
        for gap in std::mem::take(&mut self.open) {
            self.explained(&gap);
        }
        let (written, found) = (self.card.ledger.next_page(), self.log.end);
        if found < written {
            self.damage.push(format!(
                "log pages {found} to {}: are missing: the ledger has them as written",
                written - 1
            ));
        }
        self.damage.add_to(&mut findings.damage);
        self.notes.add_to(&mut findings.notes);
        self.log
    }
}

/// How the boot before that of the page ended, if the page says it.
fn ended_before(page: &Page<'_>) -> BootEnd {
    let first = page.records().next();
    first
        .filter(|first| first.sequence == 1 && first.header.stream == Stream::Boot)
        .and_then(|first| BootRecord::parse(first.payload)?.ends.iter().next())
        .unwrap_or(BootEnd::NotKnown)
}
