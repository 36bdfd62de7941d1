//! The layout of a crash header: the first block of a crash slot.
//!
//! | bytes | what |
//! |---|---|
//! | 0 .. 220 | [`CrashHeader`] |
//! | 220 .. 220 + 24 * n | the table of the crash's n [`Segment`]s, at most 12 |
//!
//! The checksum covers header and table from byte 8 on and is seeded with the [`FormatId`].

use super::{CrashReason, LateReason, Segment};
use crate::ledger::CrashCounters;
use crate::{BLOCK_LEN, CheckError, CrashFault, Crc32c, FormatId, Outcome, VERSION};
use core::fmt;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// Offset of the first byte that the checksum covers: the one after the checksum.
const COVERED_FROM: usize = 8;

/// The name of a task, cut to 24 bytes and padded with zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Name([u8; 24]);

impl Name {
    /// The name, cut to 24 bytes. A cut may divide a character; [`Name::as_str`] leaves its rest
    /// out.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut name = [0; 24];
        for (to, from) in name.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(name)
    }

    /// The name up to the first byte that is not UTF-8.
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

/// Names of the registers in [`CrashHeader::registers`], in the same order.
pub const REGISTER_NAMES: [&str; 17] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr",
    "pc", "psr",
];

/// Which registers of a crash its writer knew; the others are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownRegisters {
    /// All of them.
    All,
    /// r4 to r11 and sp: what the kernel saves. The processor pushed no exception frame, in which
    /// the others are.
    Saved,
    /// None.
    None,
}

/// The first 220 bytes of a crash slot; the segment table follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CrashHeader {
    magic: U32,
    crc: U32,
    version: u8,
    reason: u8,
    late: u8,
    segments: u8,
    /// Sequence number, from 1. No two crashes of a formatted partition ever have the same one.
    pub sequence: U32,
    /// Number of the boot in which it happened, counted since the partition was formatted.
    pub boot: U32,
    /// Index of the task in the image of that boot; 65535 if the kernel failed.
    pub task: U16,
    reserved: U16,
    /// Time of the crash, in milliseconds since the start of that boot.
    pub time: U64,
    /// How often the task had been restarted in that boot before.
    pub restarts: U32,
    /// The task's name.
    pub name: Name,
    /// The fault as the kernel encodes it; zeros follow.
    fault: [u8; CrashFault::MAX_LEN],
    /// r0 to r12, sp, lr, pc, psr; those that are not known are 0, see [`Self::known_registers`].
    pub registers: [U32; 17],
    /// Task, fault and place, as one number; see [`super::signature()`].
    pub signature: U32,
    /// Crashes since the partition was formatted, this one included.
    pub counters: CrashCounters,
    /// Sequence number, in the boot of the crash, of the last log record that was accepted before
    /// it; 0 if not known.
    pub log_record: U32,
    /// Number of the page after the log tail that belongs to this crash, if all of it is written:
    /// an emergency writes it after the crash.
    pub log_page: U32,
    /// What the emergency write had found and done when it wrote this header.
    pub outcome: Outcome,
    /// The image that crashed: the `HUBRIS_IMAGE_ID` of its kernel, whose bytes are here in the
    /// order in which they are in the image; 0 if it is not known.
    pub image_id: U64,
}

impl CrashHeader {
    /// First word: `CLCR`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLCR");
    /// Index of the block's word that holds the checksum; the checksum covers what follows it.
    pub const CRC_WORD: usize = 1;
    /// Number of blocks that header, message and stack have, whether they are used or not.
    pub const BASE_BLOCKS: u32 = 3;
    /// Number of segments for which the table has room.
    pub const MAX_SEGMENTS: usize = (BLOCK_LEN - size_of::<Self>()) / size_of::<Segment>();

    /// A header without segments, whose checksum is not computed yet. `fault` is cut to
    /// [`CrashFault::MAX_LEN`].
    #[must_use]
    pub fn new(reason: CrashReason, late: Option<LateReason>, fault: &[u8]) -> Self {
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
            fault: [0; CrashFault::MAX_LEN],
            registers: [U32::ZERO; 17],
            signature: 0.into(),
            counters: CrashCounters::default(),
            log_record: 0.into(),
            log_page: 0.into(),
            outcome: Outcome::default(),
            image_id: 0.into(),
        };
        for (to, from) in header.fault.iter_mut().zip(fault) {
            *to = *from;
        }
        header
    }

    /// What the crash did to the system.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn reason(&self) -> Result<CrashReason, u8> {
        self.reason.try_into()
    }

    /// Why the crash was written late; `None` if it was not.
    #[must_use]
    pub fn late(&self) -> Option<LateReason> {
        self.late.try_into().ok()
    }

    /// The fault as the kernel encoded it; see [`CrashFault::decode`].
    #[must_use]
    pub const fn fault_bytes(&self) -> &[u8; CrashFault::MAX_LEN] {
        &self.fault
    }

    /// The fault; `None` if this program does not know it.
    #[must_use]
    pub fn fault(&self) -> Option<CrashFault> {
        CrashFault::decode(&self.fault)
    }

    /// Which of the registers are known.
    ///
    /// No task has zeros in all registers of an exception frame, r0 to r3, r12, lr, pc and psr: psr
    /// has the mode or the state of the processor, and after a jump to 0, which clears the latter,
    /// lr leads to where it came from.
    #[must_use]
    pub fn known_registers(&self) -> KnownRegisters {
        let [r0, r1, r2, r3, saved @ .., r12, sp, lr, pc, psr] = &self.registers;
        let is_zero = |register: &U32| register.get() == 0;
        if ![r0, r1, r2, r3, r12, lr, pc, psr].into_iter().all(is_zero) {
            KnownRegisters::All
        } else if saved.iter().chain([sp]).all(is_zero) {
            KnownRegisters::None
        } else {
            KnownRegisters::Saved
        }
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        usize::from(self.segments).min(Self::MAX_SEGMENTS)
    }

    /// Sets the number of segments in the table; at most [`Self::MAX_SEGMENTS`].
    pub fn set_segments(&mut self, count: usize) {
        self.segments = u8::try_from(count.min(Self::MAX_SEGMENTS)).unwrap_or(0);
    }

    /// The block of the slot at which a snapshot begins: the first one behind header, message and
    /// stack, and behind all segments.
    #[must_use]
    pub fn snapshot_block(segments: &[Segment]) -> u32 {
        let ends = segments
            .iter()
            .map(|segment| segment.block().saturating_add(segment.blocks()));
        ends.fold(Self::BASE_BLOCKS, u32::max)
    }

    /// The checksum of a header block. `words` are the words of header and table, without the first
    /// two.
    #[must_use]
    pub fn checksum_of(format: FormatId, words: impl Iterator<Item = u32>) -> u32 {
        words.fold(format.crc(), Crc32c::word).value()
    }

    fn checksum(&self, format: FormatId, table: &[u8]) -> u32 {
        let fields = self.as_bytes().get(COVERED_FROM..).unwrap_or(&[]);
        format.crc().bytes(fields).bytes(table).value()
    }

    /// Decodes and checks the first block of a slot of `slot_blocks` blocks. All segments in the
    /// result lie inside the slot.
    ///
    /// # Errors
    /// The first check that failed.
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

const _: () = assert!(CrashHeader::MAX_SEGMENTS == 12 && size_of::<CrashHeader>() == 220);
