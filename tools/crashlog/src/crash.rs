//! One crash on a card: its header, its ledger entry, its segments.

use crate::archive::Archive;
use crate::archives::{self, Archives};
use crate::card::Card;
use crate::clock::Clock;
use crate::image_id::ImageId;
use crate::locate::read;
use crate::problem::{Code, Problem};
use crate::program::Program;
use crate::text;
use block_device::BLOCK_LEN;
use crashlog_format::crash::{CrashHeader, KnownRegisters, Segment, SegmentKind};
use crashlog_format::ledger::CrashEntry;
use crashlog_format::{CrashReason, Crc32c, LateReason};
use std::collections::BTreeMap;

/// In place of the index of a task: the kernel failed.
const KERNEL: u16 = u16::MAX;

/// A crash, or a self-test, whose header has passed its check.
pub struct Crash {
    pub slot: u32,
    pub entry: CrashEntry,
    pub acknowledged: bool,
    pub header: CrashHeader,
    segments: Vec<Segment>,
}

/// A crash that the ledger names; if it is damaged, its entry and what is damaged.
pub type CrashResult = Result<Crash, (CrashEntry, String)>;

/// A segment and its bytes.
pub struct SegmentData {
    pub segment: Segment,
    pub bytes: Vec<u8>,
    /// Whether the bytes match their checksum.
    pub sound: bool,
}

/// What of its crashes is on a card.
impl Card {
    /// The crashes, oldest first.
    pub fn crashes(&self) -> Result<Vec<CrashResult>, Problem> {
        (0..)
            .map_while(|index| self.ledger.by_age(index))
            .map(|(slot, entry)| Crash::read(self, slot, entry))
            .collect()
    }

    /// The recorder's last self-test, if the ledger names one. Its slot may have been overwritten
    /// since.
    pub fn self_test(&self) -> Result<Option<CrashResult>, Problem> {
        self.ledger
            .self_test()
            .map(|(slot, entry)| Crash::read(self, slot, entry))
            .transpose()
    }

    /// The image of each boot of which a crash, or the last self-test, is on the card.
    pub fn images(&self) -> Result<BTreeMap<u32, ImageId>, Problem> {
        let found = self.crashes()?.into_iter().chain(self.self_test()?);
        let images = found.flatten().filter_map(|crash| {
            let id = crash.image_id()?;
            Some((crash.header.boot.get(), id))
        });
        Ok(images.collect())
    }

    /// The crash, or the self-test, with this sequence number; without a number the newest crash.
    pub fn find(&self, sequence: Option<u32>) -> Result<Crash, Problem> {
        let name = self.partition.path().display();
        let found = match sequence {
            Some(sequence) => self
                .by_sequence(sequence)
                .ok_or_else(|| self.no_crash(sequence))?,
            None => (0..)
                .map_while(|index| self.ledger.by_age(index))
                .last()
                .ok_or_else(|| self.no_crashes())?,
        };
        Crash::read(self, found.0, found.1)?.map_err(|(entry, why)| {
            Problem::new(
                Code::Found,
                format!("{name}: crash record {} is damaged: {why}", entry.sequence),
            )
        })
    }

    fn by_sequence(&self, sequence: u32) -> Option<(u32, &CrashEntry)> {
        if self.ledger.is_self_test(sequence) {
            self.ledger.self_test()
        } else {
            self.ledger.by_sequence(sequence)
        }
    }

    /// There is no crash.
    fn no_crashes(&self) -> Problem {
        let why = match self.damaged.len() {
            0 => ": nothing crashed, or all were erased".to_owned(),
            places => format!(
                ", but it is damaged in {}, so one may be lost; `crashlog verify` shows where",
                text::count(places as u64, "place")
            ),
        };
        let name = self.partition.path().display();
        Problem::new(Code::Found, format!("{name}: has no crash record{why}"))
    }

    /// No crash has this sequence number.
    pub fn no_crash(&self, sequence: u32) -> Problem {
        Problem::new(
            Code::Found,
            format!(
                "{}: has no crash record {sequence}; `crashlog list` shows those that it has",
                self.partition.path().display()
            ),
        )
    }
}

impl Crash {
    /// Which UTC it was, if that is known.
    pub fn utc(&self, clock: &Clock) -> Option<String> {
        clock.utc(self.header.boot.get(), self.header.time.get())
    }

    /// The same of the last time that it came again, if it did.
    pub fn last_utc(&self, clock: &Clock) -> Option<String> {
        let entry = &self.entry;
        let (boot, time) = (entry.last_boot.get(), entry.last_time.get().into());
        clock.utc(boot, time).filter(|_| entry.repeats.get() > 0)
    }

    /// Reads the crash in `slot`, which the ledger of `card` names with `entry`.
    pub fn read(card: &Card, slot: u32, entry: &CrashEntry) -> Result<CrashResult, Problem> {
        let Some(block) = card.geometry.slot(slot) else {
            return Ok(Err((*entry, format!("there is no slot {slot}"))));
        };
        let bytes = read(&card.partition, block.into())?;
        Ok(
            match CrashHeader::parse(&bytes, card.format, card.geometry.slot_blocks()) {
                Err(error) => Err((*entry, error.to_string())),
                Ok((header, _)) if header.sequence != entry.sequence => Err((
                    *entry,
                    format!("its slot holds crash record {}", header.sequence),
                )),
                Ok((header, segments)) => Ok(Self {
                    slot,
                    entry: *entry,
                    acknowledged: card.ledger.is_acknowledged(slot),
                    header,
                    segments: segments.into_iter().take(header.segments()).collect(),
                }),
            },
        )
    }

    /// r0 to r12, sp, lr, pc, psr, as far as they are known.
    pub fn registers(&self) -> [Option<u32>; 17] {
        let known = self.header.known_registers();
        let mut number = 0..;
        self.header.registers.map(|value| {
            let is_known = match known {
                KnownRegisters::All => true,
                KnownRegisters::Saved => matches!(number.next(), Some(4..=11 | 13)),
                KnownRegisters::None => false,
            };
            is_known.then(|| value.get())
        })
    }

    /// Why registers are not known; `None` if all are, and of a self-test.
    pub fn registers_missing(&self) -> Option<&'static str> {
        match self.header.known_registers() {
            _ if self.is_self_test() => None,
            KnownRegisters::All => None,
            KnownRegisters::Saved => Some(
                "r0 to r3, r12, lr, pc and psr are not known: the processor did not push them onto the stack",
            ),
            KnownRegisters::None if self.is_of_kernel() => Some("not saved"),
            KnownRegisters::None if self.header.late() == Some(LateReason::Supervisor) => {
                Some("not known: the supervisor failed before it had read them")
            }
            KnownRegisters::None => Some("not given out by this kernel"),
        }
    }

    /// Whether it is known where the program was.
    pub fn has_place(&self) -> bool {
        self.header.known_registers() == KnownRegisters::All
    }

    /// What crashes that are counted as one with this have in common.
    pub fn common(&self) -> &'static str {
        if self.has_place() {
            "the same task, fault and place"
        } else {
            "the same task and kind of fault, wherever it was"
        }
    }

    /// The archive of its firmware, as far as one fits; if none does, the user is told.
    pub fn archive(&self, archives: &Archives) -> Result<Option<Archive>, Problem> {
        archives.pick(
            &format!("crash record {}", self.header.sequence),
            self.image_id(),
            "addresses and tasks are shown as numbers",
        )
    }

    /// The program that crashed; `None` without an archive, of a self-test, and if the archive has
    /// another task in its place, which the user is told.
    pub fn program(&self, archive: Option<&Archive>) -> Result<Option<Program>, Problem> {
        let Some(archive) = archive.filter(|_| !self.is_self_test()) else {
            return Ok(None);
        };
        if self.is_of_kernel() {
            archive.kernel().map(Some)
        } else {
            let (index, name) = (self.header.task.get(), self.header.name.as_str());
            let program = archive.program(index, name)?;
            if program.is_none() {
                archives::warn(&format!(
                    "crash record {} is of task {index}, \"{name}\", and {} has no such task there: its functions and \
                     lines are not shown",
                    self.header.sequence,
                    archive.path().display()
                ));
            }
            Ok(program)
        }
    }

    /// Reads the segments.
    pub fn segments(&self, card: &Card) -> Result<Vec<SegmentData>, Problem> {
        let first = card.geometry.slot(self.slot).unwrap_or(0);
        self.segments
            .iter()
            .map(|segment| {
                let mut bytes = vec![0; segment.blocks() as usize * BLOCK_LEN];
                card.partition
                    .read_at(u64::from(first) + u64::from(segment.block()), &mut bytes)?;
                bytes.truncate(segment.length() as usize);
                let sound = Crc32c::new().bytes(&bytes).value() == segment.crc();
                Ok(SegmentData {
                    segment: *segment,
                    bytes,
                    sound,
                })
            })
            .collect()
    }

    /// The error of a command that has shown what there is, if a segment of it is damaged. `rest`
    /// says what has become of the rest.
    pub fn check(&self, card: &Card, segments: &[SegmentData], rest: &str) -> Result<(), Problem> {
        let damaged = segments.iter().find(|data| !data.sound);
        let Some(data) = damaged else {
            return Ok(());
        };
        Err(Problem::new(
            Code::Found,
            format!(
                "{}: crash record {}: its segment {} is damaged; {rest}",
                card.partition.path().display(),
                self.header.sequence,
                data.name()
            ),
        ))
    }

    /// The table of segments.
    pub fn segment_table(&self) -> &[Segment] {
        &self.segments
    }

    /// The image that crashed, if it is known.
    pub fn image_id(&self) -> Option<ImageId> {
        ImageId::known(self.header.image_id.get())
    }

    /// Whether this is a self-test and no crash.
    pub fn is_self_test(&self) -> bool {
        self.header.reason() == Ok(CrashReason::SelfTest)
    }

    /// Whether the kernel failed, and no task.
    pub fn is_of_kernel(&self) -> bool {
        self.header.task.get() == KERNEL
    }

    /// Whether this crash was written after the restart.
    pub fn is_late(&self) -> bool {
        self.header.late().is_some()
    }
}

impl SegmentData {
    /// What the segment holds, in one word.
    pub fn name(&self) -> &'static str {
        self.segment.kind().map_or("unknown", SegmentKind::name)
    }

    /// Whether the bytes are text.
    pub fn is_text(&self) -> bool {
        matches!(
            self.segment.kind(),
            Ok(SegmentKind::Message | SegmentKind::Epitaph)
        )
    }
}
