//! A mounted partition, and mounting.

use crate::end::StreamEnd;
use crate::superblocks::{Superblocks, WriteRefusal};
use block_device::{Block, BlockDevice};
use crashlog_format::gpt::FoundPartition;
use crashlog_format::ledger::{CrashCounters, Ledger};
use crashlog_format::{FormatId, Geometry, SuperblockContent, SuperblockError};

/// How a partition is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Number of unacknowledged crashes that are never overwritten: the first ones. At most the
    /// number of slots less 2.
    pub keep_first: u32,
}

/// A mounted partition: its superblock has passed its check, the newest ledger is known, and the
/// end of the stream. It is read, and written unless there is a [`Store::write_refusal`].
///
/// `device` is the partition, with blocks numbered from 0 (a [`block_device::Window`] on the card),
/// or as much of it as the card has.
/// `scratch` is one block or more, 16 for fast reading; no call needs what an earlier one left in
/// it.
#[derive(Debug)]
pub struct Store<'s, D> {
    pub(crate) device: D,
    pub(crate) scratch: &'s [Block],
    pub(crate) format: FormatId,
    pub(crate) geometry: Geometry,
    pub(crate) keep_first: u32,
    pub(crate) refusal: Option<WriteRefusal>,
    pub(crate) ledger: Ledger,
    /// A write of the ledger failed or was interrupted: it has to be read again before the next
    /// change.
    pub(crate) uncertain: bool,
    pub(crate) next_page: u32,
    pub(crate) boot: u32,
}

/// Why a partition could not be mounted. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError<E> {
    /// The device failed.
    Device(E),
    /// Neither superblock passes its check; this is the error of the first.
    Superblock(SuperblockError),
    /// All page numbers have been used.
    Exhausted,
    /// The end of the stream was not found: too many pages are damaged.
    Damaged,
}

impl<'s, D: BlockDevice> Store<'s, D> {
    /// Reads what has to be known of a partition. Unless something is damaged it reads at most 40
    /// blocks, whatever the size of the partition. It writes nothing (P8), and may be dropped at
    /// any time. `found` is what the table says of the partition.
    ///
    /// # Errors
    /// See [`MountError`].
    pub async fn mount(
        device: D,
        found: &FoundPartition,
        options: StoreOptions,
        scratch: &'s [Block],
    ) -> Result<Self, MountError<D::Error>> {
        let mut place = None;
        Self::mount_in(&mut place, device, found, options, None, scratch).await?;
        // Always there, as `mount_in` has succeeded.
        place.ok_or(MountError::Damaged)
    }

    /// As [`Store::mount`], into `place`. By out-parameter, as a store has the size of a ledger and
    /// would be in the future of every asynchronous function that returned it. `expected`: the
    /// format of the partition that this system has written to last, and the page after its last.
    pub(crate) async fn mount_in<'p>(
        place: &'p mut Option<Self>,
        mut device: D,
        found: &FoundPartition,
        options: StoreOptions,
        expected: Option<(FormatId, u32)>,
        scratch: &'s [Block],
    ) -> Result<&'p mut Self, MountError<D::Error>> {
        // In a block of their own: what is borrowed once stays in the future until its block ends.
        let (format, geometry, refusal, needs_ledger) = {
            let superblocks = Superblocks::read(&mut device, found.place.blocks, scratch).await?;
            let SuperblockContent {
                format, geometry, ..
            } = superblocks.content;
            let refusal = superblocks.refusal(found);
            (
                format,
                geometry,
                refusal,
                refusal.is_none() && !superblocks.are_equal,
            )
        };
        let store = place.insert(Self {
            device,
            scratch,
            format,
            geometry,
            keep_first: options.keep_first,
            refusal,
            uncertain: true,
            next_page: 0,
            boot: 0,
            ledger: Ledger::ZERO,
        });
        // This flushes the card before it reads the ledger. What is read may have been written
        // before a reset of the system and still be in the card's cache; from here on it counts as
        // durable.
        let is_ledger_sound = store.refresh_ledger().await.map_err(MountError::Device)?;
        if needs_ledger && !is_ledger_sound {
            store.refusal = Some(WriteRefusal::NoWitness);
        }
        store.next_page = store.ledger.next_page();
        store.boot = store.ledger.boot();
        let expected = expected.filter(|(known, _)| *known == format);
        let end = StreamEnd::find(store, expected.map(|(_, page)| page)).await?;
        store.next_page = end.next_page;
        store.boot = store.boot.max(end.boot);
        Ok(store)
    }

    /// The partition.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Why the partition is not written, only read; `None` if it is written. Each function that
    /// writes checks this.
    #[must_use]
    pub const fn write_refusal(&self) -> Option<WriteRefusal> {
        self.refusal
    }

    /// The format of the partition.
    #[must_use]
    pub const fn format(&self) -> FormatId {
        self.format
    }

    /// The geometry of the partition.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Number of unacknowledged crashes that are never overwritten.
    #[must_use]
    pub const fn keep_first(&self) -> u32 {
        self.keep_first
    }

    /// The newest boot that has written anything to the partition; 0 if none has.
    #[must_use]
    pub const fn last_boot(&self) -> u32 {
        self.boot
    }

    /// Number of the next page to be written.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Number of the oldest page that is not overwritten yet.
    #[must_use]
    pub const fn oldest_page(&self) -> u32 {
        self.next_page.saturating_sub(self.geometry.ring_pages())
    }

    /// Numbers of crashes since the partition was formatted (P3).
    #[must_use]
    pub const fn counters(&self) -> &CrashCounters {
        self.ledger.counters()
    }

    /// Reads one block into the scratch memory.
    pub(crate) async fn read_block(&mut self, block: u32) -> Result<&'s Block, D::Error> {
        read_one(&mut self.device, self.scratch, block).await
    }
}

/// What is read if there is no scratch memory, and beyond the end of a partition that was cut off:
/// a block of zeros, which fails every check.
static NOTHING: Block = Block::zeroed();

/// Reads one block into the first block of `scratch`.
pub(crate) async fn read_one<'s, D: BlockDevice>(
    device: &mut D,
    scratch: &'s [Block],
    block: u32,
) -> Result<&'s Block, D::Error> {
    let (Some((to, _)), true) = (
        scratch.split_first(),
        u64::from(block) < device.block_count(),
    ) else {
        return Ok(&NOTHING);
    };
    device.read(block.into(), core::slice::from_ref(to)).await?;
    Ok(to)
}
