//! The log of a card as one sequence of records, oldest first.
//!
//! It is read once, in order, and nothing of it is kept. A record that was written twice (by the
//! emergency path, and by the restarted recorder, which still had it) is passed on once. Records
//! that are missing between two others are counted.
//!
//! What is asked of one boot or one crash is found by bisection, and read there (`since` for a time
//! of day).

use crate::card::Card;
use crate::clock::Clock;
use crate::crash::Crash;
use crate::image_id::ImageId;
use crate::problem::Problem;
use crate::ring::Ring;
use crate::running_clock::RunningClock;
use crate::tails::Tails;
use crate::text;
use crashlog_format::crash::CrashHeader;
use crashlog_format::page::LogRecord;
use crashlog_format::{BootRecord, Stream};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::ops::{Range, RangeInclusive};

/// So far around a moment, in pages, time anchors are looked for: before it, and behind it and
/// behind the start of its boot. Together 16 MiB.
pub const ANCHORS_BEFORE: u32 = 16384;
pub const ANCHORS_BEHIND: u32 = 8192;
/// So many pages at the end of a boot may hold records a second time, written by the emergency path
/// and by the recorder after it. The memory of the recorder is smaller.
pub const TWICE: u32 = 2048;
/// So many boots are remembered, to tell a record that was written twice.
const BOOTS: usize = 64;

/// An item of the log.
pub enum Item<'a> {
    /// A record.
    Record(LogRecord<'a>),
    /// A gap: this number of records of this boot is missing here.
    Missing { boot: u32, count: u32 },
}

/// Number of the last log record that was accepted before a crash, in the same boot. Who wrote the
/// crash in a later boot did not know it any more: the time of a record decides then.
pub fn accepted_before(header: &CrashHeader) -> Option<u32> {
    Some(header.log_record.get()).filter(|number| *number != 0)
}

/// [`accepted_before`] as text, for the facts of a crash.
pub fn accepted_text(header: &CrashHeader) -> String {
    match accepted_before(header) {
        Some(number) => format!(
            "{} accepted before, in the same boot",
            text::count(number.into(), "record")
        ),
        None => "how many records were accepted before is not known".into(),
    }
}

/// The log of a card.
pub struct Logbook<'a> {
    pub(crate) ring: Ring<'a>,
    newest_boot: Option<u32>,
    clock: Clock,
    tails: Tails,
}

impl<'a> Logbook<'a> {
    /// Finds the newest page. Clock and tails know nothing yet.
    pub fn open(card: &'a Card) -> Result<Self, Problem> {
        let ring = Ring::find(card.medium(), card.ledger.next_page())?;
        let newest_boot = ring.last(ring.numbers(), |page| Some(page.header.boot()))?;
        Ok(Self {
            ring,
            newest_boot,
            clock: Clock::default(),
            tails: Tails::default(),
        })
    }

    /// The same, and reads what the clock and the tails have to know of these crashes.
    pub fn open_for<'c>(
        card: &'a Card,
        crashes: impl IntoIterator<Item = &'c Crash>,
    ) -> Result<Self, Problem> {
        let mut book = Self::open(card)?;
        if let Some(oldest) = book.oldest_boot()? {
            book.tails.begin_with(oldest);
        }
        for crash in crashes {
            let (header, entry) = (&crash.header, &crash.entry);
            book.read_tail(header.boot.get())?;
            book.read_anchors(header.boot.get(), header.time.get())?;
            if entry.repeats.get() > 0 {
                book.read_anchors(entry.last_boot.get(), entry.last_time.get().into())?;
            }
        }
        book.clock.sort();
        Ok(book)
    }

    /// Notes the last record of a boot.
    fn read_tail(&mut self, boot: u32) -> Result<(), Problem> {
        let pages = self.ring.boots(boot..=boot)?;
        let mut looked_at = 0;
        let tails = &mut self.tails;
        self.ring.last(pages, |page| {
            for record in page.records() {
                tails.add(record.boot, record.sequence);
            }
            looked_at += 1;
            (looked_at == TWICE).then_some(())
        })?;
        Ok(())
    }

    /// Reads the time anchors of a boot that are at its start, or around a moment in it.
    fn read_anchors(&mut self, boot: u32, uptime: u64) -> Result<(), Problem> {
        let pages = self.ring.boots(boot..=boot)?;
        let moment = self.ring.search(pages.clone(), |page| {
            let first = page.records().next();
            Some(first?.header.time > uptime)
        })?;
        let begin = pages.start..pages.start.saturating_add(ANCHORS_BEHIND).min(pages.end);
        let around = moment.saturating_sub(ANCHORS_BEFORE).max(begin.end)
            ..moment.saturating_add(ANCHORS_BEHIND).min(pages.end);
        for pages in [begin, around] {
            let clock = &mut self.clock;
            self.ring.each(pages, None, &mut |page| {
                page.records().for_each(|record| clock.add(&record));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Which UTC it was at the crashes that it was opened for.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Which records are the last of the boots of these crashes.
    pub const fn tails(&self) -> &Tails {
        &self.tails
    }

    /// The clock, without the log.
    pub fn into_clock(self) -> Clock {
        self.clock
    }

    /// The boot of the newest page; `None` if there is no page.
    pub fn newest_boot(&self) -> Option<u32> {
        self.newest_boot
    }

    /// What `pick` makes of the first boot record of `boot` that names an image, and of the image;
    /// `None` if there is no such record.
    fn named<T>(
        &self,
        boot: u32,
        pick: impl Fn(ImageId, &BootRecord<'_>) -> T,
    ) -> Result<Option<T>, Problem> {
        let pages = self.ring.boots(boot..=boot)?;
        // Behind these it may only be once more, if the boot was short.
        let pages = pages.start..pages.end.min(pages.start.saturating_add(TWICE));
        self.ring.first(pages, |page| {
            let record = first_record(&page.records().next()?)?;
            Some(pick(ImageId::known(record.image_id)?, &record))
        })
    }

    /// What `show` makes of the boot record of `boot`, which has to name the image `id`; `None` if
    /// there is no such record.
    pub fn build<T>(
        &self,
        boot: u32,
        id: Option<ImageId>,
        show: impl Fn(&BootRecord<'_>) -> T,
    ) -> Result<Option<T>, Problem> {
        let found = self.named(boot, |named, record| {
            (id == Some(named)).then(|| show(record))
        })?;
        Ok(found.flatten())
    }

    /// The boot of the first of these pages and the image that it names, if it does: its boot
    /// record may be before them.
    pub fn first_image(&self, pages: Range<u32>) -> Result<Option<(u32, ImageId)>, Problem> {
        let boot = self.ring.first(pages, |page| Some(page.header.boot()))?;
        match boot {
            Some(boot) => self.named(boot, |image, _| (boot, image)),
            None => Ok(None),
        }
    }

    /// The pages of these boots.
    pub fn boots(&self, boots: RangeInclusive<u32>) -> Result<Range<u32>, Problem> {
        self.ring.boots(boots)
    }

    /// The boot of the oldest page; `None` if there is no page.
    pub fn oldest_boot(&self) -> Result<Option<u32>, Problem> {
        let pages = self.ring.numbers();
        self.ring.first(pages, |page| Some(page.header.boot()))
    }

    /// A clock without an anchor. It has a column if any of these pages has a time anchor.
    pub fn clock_of(&self, pages: Range<u32>) -> Result<Clock, Problem> {
        Ok(RunningClock::new(&self.ring, pages, None)?.into_clock())
    }

    /// Passes the items of these pages to `each`, oldest first.
    pub fn each_of(
        &self,
        pages: Range<u32>,
        mut each: impl FnMut(Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.run(pages, Some("reading the log"), &mut |_, item| each(item))
    }

    /// Passes the items of these pages to `each`, oldest first, each with the number of its page
    /// and a clock that knows the time of the record. It has a column if any of the pages has a
    /// time anchor, or the first boot has one before them.
    pub fn each_timed(
        &self,
        pages: Range<u32>,
        mut each: impl FnMut(u32, Item<'_>, &Clock) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let before = self.anchor_before(pages.clone())?;
        let mut clock = RunningClock::new(&self.ring, pages.clone(), before)?;
        // A bar would be between the lines.
        let doing = (!std::io::stdout().is_terminal()).then_some("reading the log");
        self.run(pages, doing, &mut |page, item| {
            if let Item::Record(record) = &item {
                clock.pass(page, record)?;
            }
            each(page, item, clock.clock())
        })
    }

    /// Passes the last records before a crash to `each`: at least `count`, if there are that many.
    pub fn before(
        &self,
        header: &CrashHeader,
        count: usize,
        mut each: impl FnMut(Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let boot = header.boot.get();
        let is_later = |record: &LogRecord<'_>| match accepted_before(header) {
            Some(last) => record.sequence > last,
            None => record.header.time > header.time.get(),
        };
        let pages = self.ring.boots(boot..=boot)?;
        let end = self.ring.search(pages.clone(), |page| {
            page.records().next().map(|first| is_later(&first))
        })?;
        // Records that were written twice are at the end of a boot.
        let end = match pages.end - end {
            ..=TWICE => pages.end,
            _ => end,
        };
        // Back from the end, page by page, until there are enough records.
        let mut found = 0;
        let mut start = end;
        self.ring.last(pages.start..end, |page| {
            if found >= count {
                return Some(());
            }
            found += page.records().filter(|record| !is_later(record)).count();
            start = page.header.sequence();
            None
        })?;
        self.run(start..end, None, &mut |_, item| match &item {
            Item::Record(record) if record.boot != boot || is_later(record) => Ok(()),
            Item::Missing { boot: missing, .. } if *missing != boot => Ok(()),
            _ => each(item),
        })
    }

    /// Passes the number of the page of each item as well.
    fn run(
        &self,
        pages: Range<u32>,
        doing: Option<&'static str>,
        each: &mut dyn FnMut(u32, Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        // The number that follows in each boot.
        let mut next: BTreeMap<u32, u32> = BTreeMap::new();
        self.ring.each(pages, doing, &mut |page| {
            let (number, boot) = (page.header.sequence(), page.header.boot());
            let mut expected = next.get(&boot).copied();
            for record in page.records() {
                match expected {
                    Some(expected) if record.sequence < expected => continue,
                    Some(expected) if record.sequence > expected => {
                        let count = record.sequence - expected;
                        each(number, Item::Missing { boot, count })?;
                    }
                    _ => {}
                }
                expected = Some(record.sequence.wrapping_add(1));
                each(number, Item::Record(record))?;
            }
            if let Some(expected) = expected {
                next.insert(boot, expected);
                if next.len() > BOOTS {
                    next.pop_first();
                }
            }
            Ok(())
        })
    }
}

/// The boot record, if this is one: the first record of a boot.
pub fn first_record<'p>(record: &LogRecord<'p>) -> Option<BootRecord<'p>> {
    if record.sequence != 1 || record.header.stream != Stream::Boot {
        return None;
    }
    BootRecord::parse(record.payload)
}
