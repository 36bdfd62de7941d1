//! A crash record: one header block, then the blocks of its segments, in one record slot.
//!
//! The header carries everything that is known at the time of the crash in a fixed place, and a table of segments for
//! what varies in length. Each segment begins at a block boundary, so that what is already in blocks (a dump area, for
//! instance) is written from where it is. Header and segments have their own checksums; whether the record exists at
//! all is the [`crate::ledger`]'s word.

mod reason;
mod segment;

pub use reason::{LateReason, Reason};
pub use segment::{Segment, SegmentKind};

use crate::ledger::Counters;
use crate::{BLOCK_LEN, CheckError, Crc32c, Fault, FormatId, Outcome, VERSION};
use core::fmt;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// The checksum covers what follows it.
const COVERED_FROM: usize = 8;

/// A name of at most 24 bytes, padded with zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Name([u8; 24]);

impl Name {
    /// From text; what does not fit is cut.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut name = [0; 24];
        for (to, from) in name.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(name)
    }

    /// The text; what is not UTF-8 is left out.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or(&[]);
        match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let valid = text.get(..error.valid_up_to()).unwrap_or(&[]);
                core::str::from_utf8(valid).unwrap_or("")
            }
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Names of [`CrashHeader::registers`], in order.
pub const REGISTER_NAMES: [&str; 17] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr",
    "pc", "psr",
];

/// The first block of a record, up to the segment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CrashHeader {
    magic: U32,
    crc: U32,
    version: u8,
    reason: u8,
    late: u8,
    segments: u8,
    /// Sequence number, from 1; never used twice in a format.
    pub sequence: U32,
    /// Number of the boot it happened in.
    pub boot: U32,
    /// The task, by index in the image of that boot.
    pub task: U16,
    reserved: U16,
    /// When, in milliseconds since the start of that boot.
    pub time: U64,
    /// How often the task had been restarted in that boot.
    pub restarts: U32,
    /// The task's name.
    pub name: Name,
    fault: [u8; Fault::MAX_LEN],
    /// r0 to r12, sp, lr, pc, psr.
    pub registers: [U32; 17],
    /// Task, fault and place, as a number; see [`signature`].
    pub signature: U32,
    /// Crashes since the partition was formatted, this one included.
    pub counters: Counters,
    /// Sequence number, in the boot of the crash, of the last log record accepted before it.
    pub log_record: U32,
    /// Number of the stream page that follows the log tail written with this record.
    pub log_page: U32,
    /// What the emergency write found, up to the moment this header was written.
    pub outcome: Outcome,
}

impl CrashHeader {
    /// First word: `CLCR`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLCR");
    /// Word of the block that holds the checksum of what follows it.
    pub const CRC_WORD: usize = 1;
    /// Segments that the table has room for.
    pub const MAX_SEGMENTS: usize = (BLOCK_LEN - size_of::<Self>()) / size_of::<Segment>();

    /// A header without segments; `fault` is cut to [`Fault::MAX_LEN`].
    #[must_use]
    pub fn new(reason: Reason, late: Option<LateReason>, fault: &[u8]) -> Self {
        let mut header = Self {
            magic: Self::MAGIC.into(),
            crc: 0.into(),
            version: VERSION,
            reason: reason as u8,
            late: late.map_or(0, |late| late as u8),
            segments: 0,
            sequence: 0.into(),
            boot: 0.into(),
            task: 0.into(),
            reserved: 0.into(),
            time: 0.into(),
            restarts: 0.into(),
            name: Name::default(),
            fault: [0; Fault::MAX_LEN],
            registers: [U32::ZERO; 17],
            signature: 0.into(),
            counters: Counters::default(),
            log_record: 0.into(),
            log_page: 0.into(),
            outcome: Outcome::default(),
        };
        for (to, from) in header.fault.iter_mut().zip(fault) {
            *to = *from;
        }
        header
    }

    /// What the crash did.
    ///
    /// # Errors
    /// The number, if it is not known.
    pub fn reason(&self) -> Result<Reason, u8> {
        self.reason.try_into()
    }

    /// Why the record was written late; `None` if it was not.
    #[must_use]
    pub fn late(&self) -> Option<LateReason> {
        self.late.try_into().ok()
    }

    /// The fault's bytes as the kernel reported them; see [`Fault::decode`].
    #[must_use]
    pub const fn fault_bytes(&self) -> &[u8; Fault::MAX_LEN] {
        &self.fault
    }

    /// The fault, if it is one that this program knows.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        Fault::decode(&self.fault)
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        usize::from(self.segments).min(Self::MAX_SEGMENTS)
    }

    /// Says how many segments the table behind the header has; at most [`Self::MAX_SEGMENTS`] count.
    pub fn set_segments(&mut self, count: usize) {
        self.segments = u8::try_from(count.min(Self::MAX_SEGMENTS)).unwrap_or(0);
    }

    /// The checksum of a header block of which `words` are all words of header and table but the first two.
    #[must_use]
    pub fn checksum_of(format: FormatId, words: impl Iterator<Item = u32>) -> u32 {
        words.fold(format.crc(), Crc32c::word).value()
    }

    fn checksum(&self, format: FormatId, table: &[u8]) -> u32 {
        let fields = self.as_bytes().get(COVERED_FROM..).unwrap_or(&[]);
        format.crc().bytes(fields).bytes(table).value()
    }

    /// Decodes and checks the first block of a record in a slot of `slot_blocks` blocks.
    ///
    /// # Errors
    /// What is wrong with it. Segments that it names are inside the slot.
    pub fn parse(
        block: &[u8],
        format: FormatId,
        slot_blocks: u32,
    ) -> Result<(Self, [Segment; Self::MAX_SEGMENTS]), CheckError> {
        let (header, rest) = Self::read_from_prefix(block).map_err(|_| CheckError::Field)?;
        let mut segments = [Segment::default(); Self::MAX_SEGMENTS];
        let count = usize::from(header.segments);
        let table = rest.get(..count.saturating_mul(size_of::<Segment>()));
        let found = segments.get_mut(..count);
        if header.magic.get() != Self::MAGIC {
            return Err(CheckError::Magic(header.magic.get()));
        }
        let (Some(table), Some(found)) = (table, found) else {
            return Err(CheckError::Field);
        };
        if header.version != VERSION {
            return Err(CheckError::Version(header.version));
        }
        if header.crc.get() != header.checksum(format, table) {
            return Err(CheckError::Checksum);
        }
        for (to, from) in found
            .iter_mut()
            .zip(table.chunks_exact(size_of::<Segment>()))
        {
            *to = Segment::read_from_bytes(from).map_err(|_| CheckError::Field)?;
            let end = to.block().checked_add(to.blocks());
            if to.block() == 0 || end.is_none_or(|end| end > slot_blocks) {
                return Err(CheckError::Field);
            }
        }
        header.reason().map_err(|_| CheckError::Field)?;
        Ok((header, segments))
    }
}

/// Task, fault and place of a crash as one number: equal numbers mean the same crash again (X6).
///
/// The place is the program counter; for a fault raised in a system call it is the caller, as all calls share their
/// stub. The address that was accessed is left out: a stray pointer seldom goes astray twice to the same place. Of a
/// panic the message says what happened.
#[must_use]
pub fn signature(task: u16, fault: &[u8], registers: &[u32; 17], message: u32) -> u32 {
    let [.., lr, pc, _psr] = registers;
    let by_call = Fault::is_by_system_call(fault);
    let kind = fault.first().copied().unwrap_or(u8::MAX);
    Crc32c::new()
        .word(u32::from(task) << 8 | u32::from(kind))
        .word(if by_call { *lr } else { *pc })
        .word(message)
        .value()
}

const _: () = assert!(CrashHeader::MAX_SEGMENTS == 12);
