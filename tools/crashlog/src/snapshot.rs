//! The memory that was saved with a crash, read from a card.
//!
//! Whatever is not there is listed with the reason: extents that the recorder could not save say it
//! themselves, those behind the end of what was written were cut short, and those whose sum does
//! not match are damaged. Only the tables of an image must be whole: without them no byte has an
//! address.

use crate::card::Card;
use crate::crash::Crash;
use crate::locate::read;
use crate::memory::Memory;
use crate::problem::{Code, Problem};
use crate::text::count;
use block_device::BLOCK_LEN;
use crashlog_format::CheckError;
use crashlog_format::crash::CrashHeader;
use crashlog_format::snapshot::{
    ExtentKind, ExtentStatus, KERNEL_OWNER, SnapshotExtent, SnapshotHeader, SnapshotRegion, WordSum,
};
use zerocopy::FromBytes;

/// A snapshot whose tables are whole.
pub struct Snapshot {
    pub header: SnapshotHeader,
    /// The regions that tasks had registered, by their index.
    pub regions: Vec<SnapshotRegion>,
    /// What each of them is; `None` if nothing of it was to be saved.
    pub region_kinds: Vec<Option<ExtentKind>>,
    /// What was saved. Flash is not in it yet.
    pub memory: Memory,
    /// What was not saved, in the order of importance; adjacent pieces with one reason are one.
    pub gaps: Vec<Gap>,
    /// Whether the ledger says that it was written whole.
    pub is_whole: bool,
}

/// Memory that belongs into a snapshot and is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Address of its first byte.
    pub address: u32,
    /// Its length in bytes.
    pub length: u64,
    /// Whose it is: a task's index, or [`KERNEL_OWNER`].
    pub owner: u16,
    /// What it is.
    pub kind: ExtentKind,
    pub why: GapReason,
}

/// Why memory is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The recorder did not save it.
    NotSaved(ExtentStatus),
    /// It is behind the end of what was written.
    CutShort,
    /// Its sum does not match.
    Damaged,
    /// There is more memory than this program keeps.
    TooMuch,
    /// It belongs into the snapshot, by the archive, and the snapshot's tables do not mention it.
    LeftOut,
}

impl GapReason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotSaved(status) => status.text(),
            Self::CutShort => "writing the snapshot was cut short before it",
            Self::Damaged => "damaged: its sum does not match",
            Self::TooMuch => "more memory than this program reads",
            Self::LeftOut => "the snapshot's tables do not mention it",
        }
    }
}

/// Why a crash has no snapshot that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSnapshot {
    /// In words, as they follow `has no snapshot: `.
    pub why: String,
    /// Whether there should be one: it is damaged.
    pub is_damage: bool,
}

impl NoSnapshot {
    fn missing(why: &str) -> Self {
        Self {
            why: why.to_owned(),
            is_damage: false,
        }
    }

    fn damaged(why: String) -> Self {
        Self {
            why,
            is_damage: true,
        }
    }

    /// As the error of a command that needs one.
    pub fn problem(&self, card: &Card, crash: &Crash) -> Problem {
        Problem::new(
            Code::Found,
            format!(
                "{}: crash record {} has no snapshot: {}",
                card.partition.path().display(),
                crash.header.sequence,
                self.why
            ),
        )
    }
}

impl Snapshot {
    /// Reads the snapshot of a crash.
    pub fn read(card: &Card, crash: &Crash) -> Result<Result<Self, NoSnapshot>, Problem> {
        if crash.is_self_test() {
            let why = "a self-test saves no memory";
            return Ok(Err(NoSnapshot::missing(why)));
        }
        let is_whole = card.ledger.has_snapshot(crash.slot);
        let Some(image) = SlotImage::of(card, crash) else {
            let why = "its slot has no room behind the crash";
            return Ok(Err(NoSnapshot::missing(why)));
        };
        let header = match image.header()? {
            Ok(header) if is_of(&header, &crash.header) => header,
            Err(error) if is_whole => {
                return Ok(Err(NoSnapshot::damaged(format!(
                    "its first block is damaged: {error}"
                ))));
            }
            Ok(_) if is_whole => {
                let why = "in its place is that of another crash";
                return Ok(Err(NoSnapshot::damaged(why.to_owned())));
            }
            Err(CheckError::Version(version)) => {
                return Ok(Err(NoSnapshot::damaged(format!(
                    "it has version {version}, which this program does not know"
                ))));
            }
            _ => {
                let why = "the memory was not saved, or not written to the card before the power was lost";
                return Ok(Err(NoSnapshot::missing(why)));
            }
        };
        image.read(header, is_whole)
    }

    /// Whether anything in it is damaged, or not mentioned by its tables.
    pub fn is_damaged(&self) -> bool {
        self.has(GapReason::Damaged) || self.has(GapReason::LeftOut)
    }

    /// Whether anything is missing for this reason.
    pub fn has(&self, why: GapReason) -> bool {
        self.gaps.iter().any(|gap| gap.why == why)
    }

    /// Why the byte at this address is missing, in words.
    pub fn why_missing(&self, address: u32) -> &'static str {
        let holds = |gap: &&Gap| {
            (u64::from(gap.address)..u64::from(gap.address) + gap.length)
                .contains(&u64::from(address))
        };
        let gap = self.gaps.iter().find(holds);
        gap.map_or("not part of the snapshot", |gap| gap.why.text())
    }

    /// Notes a piece that is missing.
    fn miss(&mut self, extent: &SnapshotExtent, kind: ExtentKind, why: GapReason) {
        let next = Gap {
            address: extent.address(),
            length: extent.length().into(),
            owner: extent.owner(),
            kind,
            why,
        };
        match self.gaps.last_mut() {
            Some(last)
                if (last.owner, last.kind, last.why) == (next.owner, kind, why)
                    && u64::from(last.address) + last.length == u64::from(next.address) =>
            {
                last.length += next.length;
            }
            _ => self.gaps.push(next),
        }
    }

    /// Leaves out the gaps whose every word another extent has: a registered region is part of the
    /// memory of its task, too.
    fn close_gaps(&mut self) {
        let memory = &self.memory;
        self.gaps
            .retain(|gap| !memory.has_all(gap.address, gap.length));
    }
}

/// Whether an image is of this crash. The slot may hold that of an older one.
fn is_of(image: &SnapshotHeader, crash: &CrashHeader) -> bool {
    image.sequence == crash.sequence && image.boot == crash.boot && image.task == crash.task
}

/// The name of an owner of memory.
pub fn owner(owner: u16, names: &dyn crate::describe::Names) -> String {
    match owner {
        KERNEL_OWNER => "the kernel".to_owned(),
        task => names.task_or_number(task),
    }
}

/// The place of an image.
struct SlotImage<'a> {
    card: &'a Card,
    /// Its first block on the partition.
    first: u64,
    /// How many blocks there are up to the end of the slot.
    blocks: u32,
}

impl<'a> SlotImage<'a> {
    /// The place of the image of a crash; `None` if there is no room for one.
    fn of(card: &'a Card, crash: &Crash) -> Option<Self> {
        let behind = CrashHeader::snapshot_block(crash.segment_table());
        let blocks = card.geometry.slot_blocks().saturating_sub(behind);
        let slot = card.geometry.slot(crash.slot).filter(|_| blocks > 0)?;
        Some(Self {
            card,
            first: u64::from(slot) + u64::from(behind),
            blocks,
        })
    }

    /// Its length up to the end of the slot, in bytes: at most 32 MiB.
    fn room(&self) -> u32 {
        self.blocks.saturating_mul(BLOCK_LEN as u32)
    }

    fn header(&self) -> Result<Result<SnapshotHeader, CheckError>, Problem> {
        let block = read(&self.card.partition, self.first)?;
        Ok(SnapshotHeader::parse(&block, self.card.format, self.room()))
    }

    /// Bytes `from..to` of the image, which are inside of the slot.
    fn bytes(&self, from: u32, to: u32) -> Result<Vec<u8>, Problem> {
        let block = BLOCK_LEN as u32;
        let first = from / block;
        let end = to.div_ceil(block).min(self.blocks);
        let mut bytes = vec![0; end.saturating_sub(first) as usize * BLOCK_LEN];
        self.card
            .partition
            .read_at(self.first + u64::from(first), &mut bytes)?;
        let skip = (from - first * block) as usize;
        bytes.truncate((to - first * block) as usize);
        bytes.drain(..skip.min(bytes.len()));
        Ok(bytes)
    }

    /// Reads the tables and the data.
    fn read(
        &self,
        header: SnapshotHeader,
        is_whole: bool,
    ) -> Result<Result<Snapshot, NoSnapshot>, Problem> {
        let tables_end = header.tables_end();
        let written = header.written.get();
        if written < tables_end {
            let why = "writing it was cut short in the tables that say what is where";
            return Ok(Err(NoSnapshot::missing(why)));
        }
        // Both ends are inside of the slot, which has at most 32 MiB.
        let tables = self.bytes(SnapshotHeader::REGIONS_AT, tables_end)?;
        if WordSum::new().bytes(&tables).value() != header.table_sum.get() {
            let why = "its tables, which say what is where, do not match their sum";
            return Ok(Err(match is_whole {
                true => NoSnapshot::damaged(why.to_owned()),
                false => NoSnapshot::missing(&format!("{why}: writing it was cut short")),
            }));
        }
        let split = (header.extents_at() - SnapshotHeader::REGIONS_AT) as usize;
        let (regions, extents) = tables.split_at_checked(split).unwrap_or_default();
        let mut snapshot = Snapshot {
            header,
            regions: regions
                .chunks_exact(size_of::<SnapshotRegion>())
                .filter_map(|bytes| SnapshotRegion::read_from_bytes(bytes).ok())
                .collect(),
            region_kinds: vec![None; usize::from(header.regions.get())],
            memory: Memory::default(),
            gaps: Vec::new(),
            is_whole,
        };
        let mut at = 0_u32;
        let mut broken = 0_u64;
        for bytes in extents.chunks_exact(size_of::<SnapshotExtent>()) {
            let Ok(extent) = SnapshotExtent::read_from_bytes(bytes) else {
                continue;
            };
            let from = at;
            at = at.saturating_add(extent.stored());
            let (Ok(()), Ok(kind)) = (extent.check(), extent.kind()) else {
                broken += 1;
                continue;
            };
            if kind != ExtentKind::Memory
                && let Some(it) = snapshot.region_kinds.get_mut(usize::from(extent.region()))
            {
                *it = Some(kind);
            }
            if let Err(why) = self.take(&mut snapshot, &extent, from)? {
                snapshot.miss(&extent, kind, why);
            }
        }
        if broken > 0 {
            return Ok(Err(NoSnapshot::damaged(format!(
                "{} in its table against the rules of the format",
                count(broken, "extent")
            ))));
        }
        snapshot.close_gaps();
        Ok(Ok(snapshot))
    }

    /// Adds the memory of an extent, whose data begin at byte `from` of all data.
    fn take(
        &self,
        snapshot: &mut Snapshot,
        extent: &SnapshotExtent,
        from: u32,
    ) -> Result<Result<(), GapReason>, Problem> {
        match extent.status() {
            Ok(ExtentStatus::Saved) => {}
            Ok(status) => return Ok(Err(GapReason::NotSaved(status))),
            Err(_) => return Ok(Err(GapReason::Damaged)),
        }
        let header = &snapshot.header;
        let start = header.data_at().saturating_add(from);
        let end = start.saturating_add(extent.stored());
        if end > header.length() {
            return Ok(Err(GapReason::Damaged));
        }
        let is_cut = extent.stored() > 0 && end > header.written.get();
        if is_cut || end > self.room() {
            return Ok(Err(GapReason::CutShort));
        }
        let mut data = Vec::new();
        if extent.stored() > 0 {
            data = self.bytes(start, end)?;
        }
        if WordSum::new().bytes(&data).value() != extent.sum() {
            return Ok(Err(if snapshot.is_whole {
                GapReason::Damaged
            } else {
                GapReason::CutShort
            }));
        }
        let mut bytes = Vec::with_capacity(extent.length() as usize);
        let mut rest = data.as_slice();
        for (content, length) in extent.granules() {
            match content.word() {
                Some(word) => bytes.extend(word.to_le_bytes().repeat(length / 4)),
                None => {
                    let (own, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    bytes.extend(own);
                    rest = behind;
                }
            }
        }
        let saved = snapshot.memory.save(extent.address(), &bytes);
        Ok(saved.map_err(|_| GapReason::TooMuch))
    }
}
