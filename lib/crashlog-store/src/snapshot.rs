//! Where a snapshot goes in the slot of its crash, and its header on the card.
//!
//! Both request paths write the image of a snapshot in the same order: header, tables and data; a
//! flush; the ledger that names the snapshot; a flush. The crash is durable before that, and no
//! block of it is written again, so whatever happens to the snapshot, the crash stands. Until the
//! ledger is durable the blocks behind the crash are a snapshot that was cut short: each of its
//! parts has a checksum, and its header has the number of the crash.

use block_device::{BLOCK_LEN, Block};
use crashlog_format::snapshot::SnapshotHeader;
use crashlog_format::{FormatId, Geometry};
use zerocopy::IntoBytes;

/// Blocks of an image that are written by one request: what one ADMA2 descriptor covers.
pub(crate) const RUN: usize = 64;

/// The blocks of the partition that a snapshot takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotPlace {
    /// The first of them.
    pub first: u32,
    /// Their number. Less than the image has if the slot is too short.
    pub blocks: u32,
}

impl SnapshotPlace {
    /// The place in `slot`, from its block `at` on, for an image of `blocks` blocks with this
    /// header. `None` if there is not even room for its tables.
    pub(crate) fn new(
        geometry: &Geometry,
        slot: u32,
        at: u32,
        header: &SnapshotHeader,
        blocks: usize,
    ) -> Option<Self> {
        let room = geometry.slot_blocks().saturating_sub(at);
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX).min(room);
        let place = Self {
            first: geometry.slot(slot)?.saturating_add(at),
            blocks,
        };
        (header.tables_end() <= place.bytes()).then_some(place)
    }

    /// Its length in bytes.
    const fn bytes(&self) -> u32 {
        self.blocks.saturating_mul(BLOCK_LEN as u32)
    }

    /// Fills `block` with `header` as it is on the card, for the image of crash `sequence`, whose
    /// boot has `boot_offset` more on the card than in retained RAM.
    pub(crate) fn fill_header(
        &self,
        block: &Block,
        header: &mut SnapshotHeader,
        sequence: u32,
        boot_offset: u32,
        format: FormatId,
    ) {
        header.sequence = sequence.into();
        header.boot = header.boot.get().saturating_add(boot_offset).into();
        header.written = header.length().min(self.bytes()).into();
        header.seal(format);
        block.fill(0);
        block.copy_from(0, header.as_bytes());
    }

    /// Of the blocks of the image, the next ones to be written if `done` are written; none at the
    /// end.
    pub(crate) fn run<'a>(&self, image: &'a [Block], done: u32) -> &'a [Block] {
        let left = self.blocks.saturating_sub(done) as usize;
        let rest = image.get(done as usize..).unwrap_or(&[]);
        rest.get(..left.min(rest.len()).min(RUN)).unwrap_or(&[])
    }
}
