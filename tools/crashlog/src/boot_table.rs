//! What is known of each boot: from its log records, from those of later boots, from crashes.

use crate::boot;
use crate::card::Card;
use crate::clock::{Anchor, Clock};
use crate::crash::Crash;
use crate::image_id::ImageId;
use crate::logbook::{Item, Logbook, first_record};
use crate::problem::Problem;
use crashlog_format::page::LogRecord;
use crashlog_format::{BootEnd, BootRecord, CrashReason, LastRan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What is known of one boot.
#[derive(Default)]
pub struct BootSummary {
    /// The image, if it is known.
    pub image: Option<ImageId>,
    /// The first time anchor.
    pub anchor: Option<Anchor>,
    /// What the boot record says of the firmware, in short; and all of it as JSON.
    pub firmware: Option<(String, Value)>,
    /// Milliseconds from its start to the last thing that is known of it.
    pub length: u64,
    /// How many of its log records are on the card.
    pub records: u64,
    /// How many are known to be missing: dropped by their tasks, or not on the card between others
    /// or at the end.
    pub lost: u64,
    /// Number of its last log record on the card; 0 if there is none.
    last_record: u32,
    /// Number of the last one that was accepted before a crash, if a crash says so.
    accepted: u32,
    /// How it ended, as a later boot says.
    said: Option<BootEnd>,
    /// Who ran last, if it left no note of its end and the next boot says so.
    pub last_ran: Option<LastRan>,
    /// The crash that has ended it.
    crash: Option<FinalCrash>,
}

/// The crash that has ended a boot.
#[derive(Clone)]
pub struct FinalCrash {
    /// Its number.
    pub sequence: u32,
    /// Is it one more occurrence of that crash, which came first in an earlier boot?
    pub again: bool,
    /// The name of the task.
    pub task: String,
    of_kernel: bool,
}

/// How a boot ended.
pub enum Ended {
    /// It is the last one, and nothing has ended it before the card was read.
    Running,
    /// In this way, and with this crash, if it is on the card.
    As(BootEnd, Option<FinalCrash>),
}

/// The task of [`BootEnd::Crash`] whose index is not known.
pub const NO_TASK: u16 = u16::MAX;

/// Number of ends of earlier boots that a boot record tells, and a few more.
const TOLD: u32 = 8;

/// The boots of which anything is known. No more than a few of them are in memory.
pub struct BootTable<'a> {
    logbook: Logbook<'a>,
    /// The boots of crashes, and those that were begun and may be told of by a later one.
    boots: BTreeMap<u32, BootSummary>,
    /// The last one of which anything is known.
    last: Option<u32>,
}

impl<'a> BootTable<'a> {
    /// Reads the crashes of a card, and finds the end of its log.
    pub fn open(card: &'a Card) -> Result<Self, Problem> {
        let mut boots = BTreeMap::new();
        for crash in card.crashes()?.into_iter().flatten() {
            add_crash(&mut boots, &crash);
        }
        let logbook = Logbook::open(card)?;
        let last = boots.keys().next_back().copied();
        Ok(Self {
            last: last.max(logbook.newest_boot()),
            logbook,
            boots,
        })
    }

    /// The boot of the newest page of the log; without a page, the last one of which anything is
    /// known.
    pub fn newest(&self) -> Option<u32> {
        self.logbook.newest_boot().or(self.last)
    }

    /// A clock for these boots: with a column for times if any of them has a time anchor.
    pub fn clock(&self, wanted: RangeInclusive<u32>) -> Result<Clock, Problem> {
        self.logbook.clock_of(self.logbook.boots(wanted)?)
    }

    /// Reads the log, and passes these boots to `each`, oldest first, with how each ended.
    pub fn each(
        mut self,
        wanted: RangeInclusive<u32>,
        mut each: impl FnMut(u32, &BootSummary, &Ended) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (first, last) = (*wanted.start(), *wanted.end());
        // Later boots tell how these ended.
        let pages = self.logbook.boots(first..=last.saturating_add(TOLD))?;
        let oldest = self.logbook.oldest_boot()?;
        let mut now = first;
        let boots = &mut self.boots;
        let mut finish = |before: u32, boots: &mut BTreeMap<u32, BootSummary>| {
            while let Some(entry) = boots.first_entry().filter(|entry| *entry.key() < before) {
                let (number, mut boot) = entry.remove_entry();
                let missing = boot.accepted.saturating_sub(boot.last_record);
                boot.lost = boot.lost.saturating_add(missing.into());
                if wanted.contains(&number) {
                    each(number, &boot, &boot.ended(self.last == Some(number)))?;
                }
            }
            Ok::<(), Problem>(())
        };
        self.logbook.each_of(pages, |item| {
            match item {
                Item::Record(record) => {
                    if record.boot > now {
                        now = record.boot;
                        finish(now.saturating_sub(TOLD), boots)?;
                    }
                    boots.entry(record.boot).or_default().add(&record);
                    if let Some(build) = first_record(&record) {
                        told(boots, oldest, record.boot, &build);
                    }
                }
                Item::Missing { boot, count } => {
                    let boot = boots.entry(boot).or_default();
                    boot.lost = boot.lost.saturating_add(count.into());
                }
            }
            Ok(())
        })?;
        finish(u32::MAX, boots)?;
        // The greatest number may be that of a boot, too.
        let left = self
            .boots
            .pop_last()
            .filter(|(number, _)| wanted.contains(number));
        match left {
            Some((number, boot)) => each(number, &boot, &boot.ended(true)),
            None => Ok(()),
        }
    }
}

/// Adds what the boot record of `boot` tells, of this boot and of those before.
fn told(
    boots: &mut BTreeMap<u32, BootSummary>,
    oldest: Option<u32>,
    boot: u32,
    build: &BootRecord<'_>,
) {
    boots.entry(boot).or_default().name(build);
    for (before, end) in (1..boot).rev().zip(build.ends.iter()) {
        // A boot that ended before it had a record is known by a later one. Those before the first
        // of the log are not told of: their records were overwritten.
        if oldest.is_some_and(|oldest| before >= oldest) {
            boots.entry(before).or_default().said.get_or_insert(end);
        }
    }
    if let Some(before) = boots.get_mut(&boot.saturating_sub(1)) {
        before.last_ran = build.last_ran;
    }
}

impl BootSummary {
    /// How it ended.
    fn ended(&self, is_last: bool) -> Ended {
        let crash = self.crash.clone();
        match (self.said, crash) {
            (Some(end @ BootEnd::Crash(_)), crash) => {
                Ended::As(end, crash.filter(|crash| !crash.of_kernel))
            }
            (Some(end @ (BootEnd::Kernel | BootEnd::Watchdog)), crash) => {
                Ended::As(end, crash.filter(|crash| crash.of_kernel))
            }
            (None | Some(BootEnd::NotKnown), Some(crash)) => {
                let end = if crash.of_kernel {
                    BootEnd::Kernel
                } else {
                    BootEnd::Crash(NO_TASK)
                };
                Ended::As(end, Some(crash))
            }
            (Some(end), _) => Ended::As(end, None),
            (None, None) if is_last => Ended::Running,
            (None, None) => Ended::As(BootEnd::NotKnown, None),
        }
    }
}

impl BootSummary {
    fn add(&mut self, record: &LogRecord<'_>) {
        self.records = self.records.saturating_add(1);
        self.lost = self.lost.saturating_add(record.header.lost.into());
        self.last_record = self.last_record.max(record.sequence);
        self.length = self.length.max(record.header.time);
        let anchor = Anchor::of(record);
        let is_earlier = |anchor: &Anchor| self.anchor.is_none_or(|first| anchor < &first);
        self.anchor = anchor.filter(is_earlier).or(self.anchor);
    }

    fn name(&mut self, record: &BootRecord<'_>) {
        // A crash may have said it.
        self.image = ImageId::known(record.image_id).or(self.image);
        self.firmware = Some((boot::short(record), boot::value(record)));
    }
}

/// Adds what a crash says of its boot, and of the boot in which it came again last.
fn add_crash(boots: &mut BTreeMap<u32, BootSummary>, crash: &Crash) {
    let header = &crash.header;
    let reset = match header.reason() {
        Ok(CrashReason::Panic) => Some(false),
        Ok(CrashReason::Kernel) => Some(true),
        _ => None,
    };
    let last = reset.map(|of_kernel| FinalCrash {
        sequence: header.sequence.get(),
        again: false,
        task: header.name.as_str().to_owned(),
        of_kernel,
    });
    let boot = boots.entry(header.boot.get()).or_default();
    boot.length = boot.length.max(header.time.get());
    boot.accepted = boot.accepted.max(header.log_record.get());
    boot.image = boot.image.or(crash.image_id());
    boot.end_with(last.clone());
    if crash.entry.repeats.get() > 0 && crash.entry.last_boot != header.boot {
        let boot = boots.entry(crash.entry.last_boot.get()).or_default();
        boot.length = boot.length.max(crash.entry.last_time.get().into());
        boot.end_with(last.map(|crash| FinalCrash {
            again: true,
            ..crash
        }));
    }
}

impl BootSummary {
    /// This crash has reset the system in this boot. Two may: the kernel failed in the emergency of
    /// the other, which came first.
    fn end_with(&mut self, crash: Option<FinalCrash>) {
        match (&self.crash, crash) {
            (None, found) => self.crash = found,
            (Some(known), Some(found)) if known.of_kernel && !found.of_kernel => {
                self.crash = Some(found);
            }
            _ => {}
        }
    }
}
