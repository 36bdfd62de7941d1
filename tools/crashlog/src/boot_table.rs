//! What is known of each boot: from its log records, from those of later boots, from crashes.

use crate::boot;
use crate::card::Card;
use crate::clock::Clock;
use crate::crash::Crash;
use crate::image_id::ImageId;
use crate::logbook::{Item, Logbook};
use crate::problem::Problem;
use crashlog_format::page::LogRecord;
use crashlog_format::{BootEnd, BootRecord, CrashReason, LastRan, Stream};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is known of one boot.
#[derive(Default)]
pub struct BootSummary {
    /// The image, if it is known.
    pub image: Option<ImageId>,
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

/// All boots of which anything is known, by number.
pub struct BootTable {
    pub boots: BTreeMap<u32, BootSummary>,
    /// The boot of the newest page of the log; without a page, the last one of which anything is
    /// known.
    pub newest: Option<u32>,
    /// Which UTC it was when.
    pub clock: Clock,
}

impl BootTable {
    /// Reads the log and the crashes of a card.
    pub fn read(card: &Card) -> Result<Self, Problem> {
        let mut boots = BTreeMap::<u32, BootSummary>::new();
        let mut said = BTreeMap::new();
        let mut last_ran = BTreeMap::new();
        let logbook = Logbook::open(card)?;
        logbook.each(|item| {
            match item {
                Item::Record(record) => {
                    let boot = boots.entry(record.boot).or_default();
                    boot.add(&record);
                    if let Some(build) = boot_record(&record) {
                        boot.name(&build);
                        last_ran.insert(record.boot.saturating_sub(1), build.last_ran);
                        let before = (1..record.boot).rev();
                        said.insert(
                            record.boot,
                            before.zip(build.ends.iter()).collect::<Vec<_>>(),
                        );
                    }
                }
                Item::Missing { boot, count } => {
                    let boot = boots.entry(boot).or_default();
                    boot.lost = boot.lost.saturating_add(count.into());
                }
            }
            Ok(())
        })?;
        let oldest = boots.keys().next().copied();
        for (boot, end) in said.into_values().flatten() {
            // A boot that ended before it had a record is known by a later one. Those before the
            // first of the log are not told of: their records were overwritten.
            if oldest.is_some_and(|oldest| boot > oldest) {
                boots.entry(boot).or_default().said.get_or_insert(end);
            } else if let Some(known) = boots.get_mut(&boot) {
                known.said.get_or_insert(end);
            }
        }
        for (number, ran) in last_ran {
            if let Some(boot) = boots.get_mut(&number) {
                boot.last_ran = ran;
            }
        }
        for crash in card.crashes()?.into_iter().flatten() {
            add_crash(&mut boots, &crash);
        }
        for boot in boots.values_mut() {
            let missing = boot.accepted.saturating_sub(boot.last_record);
            boot.lost = boot.lost.saturating_add(missing.into());
        }
        let last = boots.keys().next_back().copied();
        Ok(Self {
            newest: logbook.newest_boot().or(last),
            clock: logbook.into_clock(),
            boots,
        })
    }

    /// The images that are known, by boot.
    pub fn images(&self) -> BTreeMap<u32, ImageId> {
        let images = self.boots.iter();
        images
            .filter_map(|(number, boot)| Some((*number, boot.image?)))
            .collect()
    }

    /// How the boot with this number ended.
    pub fn ended(&self, number: u32) -> Ended {
        let Some(boot) = self.boots.get(&number) else {
            return Ended::As(BootEnd::NotKnown, None);
        };
        let is_last = self.boots.keys().next_back() == Some(&number);
        let crash = boot.crash.clone();
        match (boot.said, crash) {
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
    }

    fn name(&mut self, record: &BootRecord<'_>) {
        self.image = ImageId::known(record.image_id);
        self.firmware = Some((boot::short(record), boot::value(record)));
    }
}

/// The boot record, if this is one.
fn boot_record<'a>(record: &LogRecord<'a>) -> Option<BootRecord<'a>> {
    let is_first = record.sequence == 1 && record.header.stream == Stream::Boot;
    is_first
        .then(|| BootRecord::parse(record.payload))
        .flatten()
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
