//! Preparing a crash for the card: its plan and its header block.
//!
//! Both request paths use this. Header, message and stack of a crash are blocks in the mailbox of
//! the retained region; the header block is filled in there, so that all three are written to the
//! card by one command.

use block_device::{BLOCK_LEN, BLOCK_WORDS, Block};
use core::sync::atomic::Ordering;
use crashlog_format::crash::{self, CrashHeader, Segment, SegmentKind};
use crashlog_format::ledger::{CrashPlan, CrashSummary, Exhausted, Ledger};
use crashlog_format::{CrashReason, Crc32c, FormatId, Geometry, LateReason, Outcome};
use crashlog_retained::{Excerpt, StoredContext};
use zerocopy::IntoBytes;

/// Number of blocks of a crash that are in the mailbox: header, message, stack.
pub(crate) const BASE_BLOCKS: u32 = CrashHeader::BASE_BLOCKS;

/// Number of blocks of a crash with these segments beside message and stack, in a slot of
/// `slot_blocks` blocks.
pub(crate) fn body_blocks(extra: &[ExtraSegment<'_>], slot_blocks: u32) -> u32 {
    extra.iter().fold(BASE_BLOCKS, |at, extra| {
        at.saturating_add(extra.written(at, slot_blocks).len() as u32)
    })
}

/// A crash that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct CrashBody<'a> {
    /// Its context, message and stack in the mailbox.
    pub stored: &'a StoredContext<'a>,
    /// Why it is written late; `None` if it is not.
    pub late: Option<LateReason>,
    /// How its emergency write went, so far.
    pub outcome: &'a Outcome,
    /// What to add to the number of its boot to get the number on the card; see
    /// [`crashlog_retained::Region::boot_offset`].
    pub boot_offset: u32,
    /// Number, in its boot, of the last log record before it; 0 if not known.
    pub log_record: u32,
    /// Segments beside message and stack. What does not fit into the slot is cut.
    pub extra: &'a [ExtraSegment<'a>],
}

/// A segment whose bytes are in blocks already.
#[derive(Clone, Copy, Debug)]
pub struct ExtraSegment<'a> {
    /// What it holds.
    pub kind: SegmentKind,
    /// Address of its bytes in memory; 0 if they are not a copy of memory.
    pub address: u32,
    /// Its length in bytes.
    pub length: u32,
    /// Its bytes, from the start of the first block on.
    pub blocks: &'a [Block],
}

/// What has to be written for a crash.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Into which slot, if any.
    pub plan: CrashPlan,
    /// What the ledger needs to know of the crash.
    pub crash: CrashSummary,
    /// How many of the blocks in the mailbox are written.
    pub base_blocks: usize,
}

impl CrashBody<'_> {
    /// What the ledger needs to know of the crash.
    pub(crate) fn crash(&self) -> CrashSummary {
        let context = &self.stored.context;
        CrashSummary {
            reason: context.reason(),
            late: self.late.is_some(),
            signature: crash::signature(
                context.task,
                context.fault(),
                &context.registers,
                self.stored.text(),
            ),
            boot: context.boot.saturating_add(self.boot_offset),
            time: context.time,
        }
    }

    /// Plans where the crash is written and, if its segments are written, fills in its header
    /// block.
    pub(crate) fn prepare(
        &self,
        ledger: &Ledger,
        keep_first: u32,
        format: FormatId,
        geometry: &Geometry,
        log_page: u32,
    ) -> Result<Prepared, Exhausted> {
        let crash = self.crash();
        let plan = ledger.plan(&crash, keep_first)?;
        let mut prepared = Prepared {
            plan,
            crash,
            base_blocks: 0,
        };
        if plan.writes().is_some() {
            prepared.base_blocks = self.fill_header(&crash, ledger, format, geometry, log_page);
        }
        Ok(prepared)
    }

    /// Fills in the header block in the mailbox. Returns how many of the blocks in the mailbox have
    /// to be written.
    #[inline(never)]
    fn fill_header(
        &self,
        crash: &CrashSummary,
        ledger: &Ledger,
        format: FormatId,
        geometry: &Geometry,
        log_page: u32,
    ) -> usize {
        let context = &self.stored.context;
        let mut header = CrashHeader::new(crash.reason, self.late, context.fault());
        header.sequence = ledger.next_sequence().into();
        header.boot = crash.boot.into();
        header.task = context.task.into();
        header.time = context.time.into();
        header.restarts = context.restarts.into();
        header.name = context.name;
        for (to, from) in header.registers.iter_mut().zip(context.registers) {
            *to = from.into();
        }
        header.signature = crash.signature.into();
        header.counters = ledger.counters().with(crash);
        header.log_record = self.log_record.into();
        header.log_page = log_page.into();
        header.outcome = *self.outcome;
        header.image_id = context.image_id.into();

        let [block, ..] = self.stored.crash_blocks();
        let mut table = SegmentTable { block, count: 0 };
        let mut base_blocks = 1;
        let text = match crash.reason {
            CrashReason::Kernel => SegmentKind::Epitaph,
            CrashReason::Oops | CrashReason::Panic | CrashReason::SelfTest => SegmentKind::Message,
        };
        let base = [
            (1, text, self.stored.message()),
            (2, SegmentKind::Stack, self.stored.stack()),
        ];
        for (at, kind, excerpt) in base {
            let Excerpt {
                length,
                original,
                address,
                crc,
                is_excerpt,
            } = excerpt;
            if length > 0 {
                let segment = Segment::new(kind, at, length, original, address, crc);
                table.push(&segment.excerpt(is_excerpt));
                base_blocks = (at as usize).saturating_add(1);
            }
        }
        let mut at = BASE_BLOCKS;
        for extra in self.extra {
            let length = extra.fitting(geometry.slot_blocks().saturating_sub(at));
            let crc = extra.crc(length);
            table.push(&Segment::new(
                extra.kind,
                at,
                length,
                extra.length,
                extra.address,
                crc,
            ));
            at = at.saturating_add(length.div_ceil(BLOCK_LEN as u32));
        }
        header.set_segments(table.count);
        block.copy_from(0, header.as_bytes());
        let end = SegmentTable::offset(table.count) / 4;
        for word in block.words().get(end..).unwrap_or(&[]) {
            word.store(0, Ordering::Relaxed);
        }
        let covered = block.words().get(CrashHeader::CRC_WORD + 1..end);
        let covered = covered.unwrap_or(&[]).iter();
        let crc = CrashHeader::checksum_of(
            format,
            covered.map(|word| u32::from_le(word.load(Ordering::Relaxed))),
        );
        block.set_word(CrashHeader::CRC_WORD, crc);
        base_blocks
    }
}

/// The segment table of a header block.
struct SegmentTable<'a> {
    block: &'a Block,
    count: usize,
}

impl SegmentTable<'_> {
    /// Appends an entry; does nothing if the table is full.
    fn push(&mut self, segment: &Segment) {
        if self.count < CrashHeader::MAX_SEGMENTS {
            self.block
                .copy_from(Self::offset(self.count), segment.as_bytes());
            self.count = self.count.saturating_add(1);
        }
    }

    /// Offset in the header block of the entry with index `count`.
    fn offset(count: usize) -> usize {
        let entries = count
            .min(CrashHeader::MAX_SEGMENTS)
            .saturating_mul(size_of::<Segment>());
        size_of::<CrashHeader>().saturating_add(entries)
    }
}

impl ExtraSegment<'_> {
    /// Number of its bytes that fit into `blocks` blocks.
    fn fitting(&self, blocks: u32) -> u32 {
        let there = self.blocks.len().saturating_mul(BLOCK_LEN);
        let room = blocks.saturating_mul(BLOCK_LEN as u32);
        self.length
            .min(room)
            .min(u32::try_from(there).unwrap_or(u32::MAX))
    }

    /// The blocks that are written if it begins at block `at` of a slot of `slot_blocks` blocks.
    pub(crate) fn written(&self, at: u32, slot_blocks: u32) -> &[Block] {
        let length = self.fitting(slot_blocks.saturating_sub(at)) as usize;
        self.blocks.get(..length.div_ceil(BLOCK_LEN)).unwrap_or(&[])
    }

    /// The checksum of its first `length` bytes.
    fn crc(&self, length: u32) -> u32 {
        let mut crc = Crc32c::new();
        let mut left = length as usize / 4;
        for block in self.blocks {
            let words = block.words();
            for word in words.get(..left).unwrap_or(words) {
                crc = crc.word(u32::from_le(word.load(Ordering::Relaxed)));
            }
            left = left.saturating_sub(BLOCK_WORDS);
        }
        let mut rest = [0; 4];
        let rest = rest.get_mut(..length as usize % 4).unwrap_or(&mut []);
        if let Some(block) = self.blocks.get(length as usize / BLOCK_LEN) {
            block.copy_to(length as usize % BLOCK_LEN / 4 * 4, rest);
        }
        crc.bytes(rest).value()
    }
}
