//! The log of a card as one sequence of records, oldest first.
//!
//! The stream ring is read once to find its pages, and again in their order. A record that was
//! written twice (by the emergency path, and by the restarted recorder, which still had it) is
//! passed on once. Records that are missing between two others are counted.
//!
//! The first record of a boot says what firmware runs. It is the first of its page, so it is found
//! while the pages are; so are the records that say what time of day it was.

use crate::card::Card;
use crate::clock::Clock;
use crate::image_id::ImageId;
use crate::problem::Problem;
use crate::tails::Tails;
use crate::terminal::Progress;
use crate::text;
use block_device::BLOCK_LEN;
use crashlog_format::crash::CrashHeader;
use crashlog_format::page::{LogRecord, Page};
use crashlog_format::{BootRecord, Stream};
use std::collections::{BTreeMap, HashMap};

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

/// The pages of a card, in order.
pub struct Logbook<'a> {
    card: &'a Card,
    /// Number and block of each page, ascending.
    pages: Vec<(u32, u32)>,
    /// The image that each boot names in its boot record, and the block of that.
    named: BTreeMap<u32, (ImageId, u32)>,
    newest_boot: Option<u32>,
    clock: Clock,
    tails: Tails,
}

impl<'a> Logbook<'a> {
    /// Finds the pages.
    pub fn open(card: &'a Card) -> Result<Self, Problem> {
        let mut progress = Progress::new("reading the log", card.geometry.ring_pages().into());
        let mut pages = Vec::new();
        let mut records = BTreeMap::new();
        let mut newest_page = None;
        let mut clock = Clock::default();
        let mut tails = Tails::default();
        card.scan(
            |done| progress.at(done),
            |page| {
                let sequence = page.header.sequence();
                pages.push((sequence, card.geometry.page(sequence)));
                for record in page.records() {
                    clock.add(&record);
                    tails.add(record.boot, record.sequence);
                }
                newest_page = newest_page.max(Some((sequence, page.header.boot())));
                if let Some(id) = boot_record(page).and_then(|it| ImageId::known(it.image_id)) {
                    records.insert(sequence, (page.header.boot(), id));
                }
            },
            |_, _| {},
        )?;
        pages.sort_unstable();
        // Pages one lap older than the newest are going to be overwritten, and do not belong to the
        // log any more.
        if let Some(&(newest, _)) = pages.last() {
            let oldest = newest.saturating_sub(card.geometry.ring_pages() - 1);
            pages.retain(|(sequence, _)| *sequence >= oldest);
            records.retain(|sequence, _| *sequence >= oldest);
        }
        clock.sort();
        let mut named = BTreeMap::new();
        for (sequence, (boot, id)) in records {
            // Of a record that was written twice the first is passed on.
            named
                .entry(boot)
                .or_insert((id, card.geometry.page(sequence)));
        }
        Ok(Self {
            card,
            pages,
            named,
            newest_boot: newest_page.map(|(_, boot)| boot),
            clock,
            tails,
        })
    }

    /// Which UTC it was when.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Which records are the last of their boots.
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

    /// The image of each boot that is known: by its boot record or, if that is not there any more,
    /// by a crash of that boot.
    pub fn images(&self) -> Result<BTreeMap<u32, ImageId>, Problem> {
        let mut images = self.card.images()?;
        images.extend(self.named.iter().map(|(boot, (id, _))| (*boot, *id)));
        Ok(images)
    }

    /// What `show` makes of the boot record of `boot`, which has to name the image `id`; `None` if
    /// there is no such record.
    pub fn build<T>(
        &self,
        boot: u32,
        id: Option<ImageId>,
        show: impl Fn(&BootRecord<'_>) -> T,
    ) -> Result<Option<T>, Problem> {
        let Some((named, block)) = self.named.get(&boot) else {
            return Ok(None);
        };
        if id != Some(*named) {
            return Ok(None);
        }
        let mut bytes = [0; BLOCK_LEN];
        self.card.partition.read_at((*block).into(), &mut bytes)?;
        let page = Page::parse(&bytes, self.card.format).ok();
        Ok(page.and_then(|page| boot_record(&page).map(|record| show(&record))))
    }

    /// Passes all items to `each`, oldest first.
    pub fn each(
        &self,
        mut each: impl FnMut(Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.run(&self.pages, &mut each)
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
        // Back from the end, page by page, until there are enough records.
        let mut found = 0;
        let mut start = self.pages.len();
        for (index, &(_, block)) in self.pages.iter().enumerate().rev() {
            let mut bytes = [0; BLOCK_LEN];
            self.card.partition.read_at(block.into(), &mut bytes)?;
            let Ok(page) = Page::parse(&bytes, self.card.format) else {
                continue;
            };
            if page.header.boot() > boot {
                continue;
            }
            if page.header.boot() < boot || found >= count {
                break;
            }
            found += page.records().filter(|record| !is_later(record)).count();
            start = index;
        }
        self.run(
            self.pages.get(start..).unwrap_or(&[]),
            &mut |item| match &item {
                Item::Record(record) if record.boot != boot || is_later(record) => Ok(()),
                Item::Missing { boot: missing, .. } if *missing != boot => Ok(()),
                _ => each(item),
            },
        )
    }

    fn run(
        &self,
        pages: &[(u32, u32)],
        each: &mut dyn FnMut(Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        const CHUNK: usize = 256;
        let mut next: HashMap<u32, u32> = HashMap::new();
        let mut bytes = vec![0; CHUNK * BLOCK_LEN];
        let mut rest = pages;
        while let Some(&(_, first)) = rest.first() {
            // Pages in consecutive blocks are read at once.
            let run = (first..)
                .zip(rest)
                .take(CHUNK)
                .take_while(|(block, (_, page))| block == page)
                .count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let chunk = bytes.get_mut(..now.len() * BLOCK_LEN).unwrap_or(&mut []);
            self.card.partition.read_at(first.into(), chunk)?;
            for block in chunk.chunks_exact(BLOCK_LEN) {
                let Ok(page) = Page::parse(block, self.card.format) else {
                    continue;
                };
                for record in page.records() {
                    let expected = next.get(&record.boot).copied();
                    match expected {
                        Some(expected) if record.sequence < expected => continue,
                        Some(expected) if record.sequence > expected => {
                            each(Item::Missing {
                                boot: record.boot,
                                count: record.sequence - expected,
                            })?;
                        }
                        _ => {}
                    }
                    next.insert(record.boot, record.sequence.wrapping_add(1));
                    each(Item::Record(record))?;
                }
            }
        }
        Ok(())
    }
}

/// The boot record at the beginning of a page.
fn boot_record<'p>(page: &Page<'p>) -> Option<BootRecord<'p>> {
    let first = page.records().next()?;
    if first.sequence != 1 || first.header.stream != Stream::Boot {
        return None;
    }
    BootRecord::parse(first.payload)
}
