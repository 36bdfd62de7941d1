//! The store: what is known of a mounted partition.

use crate::end::End;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::ledger::{Counters, Ledger};
use crashlog_format::{CheckError, FormatId, Geometry, Superblock, SuperblockError};

/// How a partition is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many unacknowledged records are never overwritten. At most two less than there are slots are kept.
    pub keep_first: u32,
}

/// A mounted partition.
///
/// `device` is the partition, numbered from 0 (a [`block_device::Window`] on the card). `scratch` is one block or
/// more, 16 to read fast; nothing is in it between two calls.
#[derive(Debug)]
pub struct Store<'s, D> {
    pub(crate) device: D,
    pub(crate) scratch: &'s [Block],
    pub(crate) format: FormatId,
    pub(crate) geometry: Geometry,
    pub(crate) keep_first: u32,
    pub(crate) ledger: Ledger,
    /// A write of the ledger failed: what is on the card has to be read again before the next one.
    pub(crate) uncertain: bool,
    pub(crate) next_page: u32,
    pub(crate) boot: u32,
}

/// Why a partition could not be mounted. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError<E> {
    /// The device failed.
    Device(E),
    /// Neither superblock is one of this partition; this is what is wrong with the first.
    Superblock(SuperblockError),
    /// Every number a page can have was used.
    Exhausted,
    /// The end of the stream could not be found: too much is damaged.
    Damaged,
}

impl<'s, D: BlockDevice> Store<'s, D> {
    /// Finds out everything about a partition. Reads at most 40 blocks, however large it is (unless something is
    /// damaged), and writes nothing (P8).
    ///
    /// # Errors
    /// See [`MountError`].
    pub async fn mount(
        device: D,
        options: Options,
        scratch: &'s [Block],
    ) -> Result<Self, MountError<D::Error>> {
        let mut place = None;
        Self::mount_in(&mut place, device, options, scratch).await?;
        // It is there, as nothing went wrong.
        place.ok_or(MountError::Damaged)
    }

    /// As [`Store::mount`], into `place`: a store has the size of its ledger, and each asynchronous function that returns
    /// one keeps room for another.
    pub(crate) async fn mount_in<'p>(
        place: &'p mut Option<Self>,
        mut device: D,
        options: Options,
        scratch: &'s [Block],
    ) -> Result<&'p mut Self, MountError<D::Error>> {
        let (format, geometry) = read_superblock(&mut device, scratch).await?;
        let store = place.insert(Self {
            device,
            scratch,
            format,
            geometry,
            keep_first: options.keep_first,
            uncertain: true,
            next_page: 0,
            boot: 0,
            ledger: Ledger::ZERO,
        });
        // Flushes first: what is found may have been written before a reset that the card did not notice. From here on
        // it counts as durable, so it has to be.
        store.settle_ledger().await.map_err(MountError::Device)?;
        store.next_page = store.ledger.next_page();
        store.boot = store.ledger.boot();
        let end = End::find(store).await?;
        store.next_page = end.next_page;
        store.boot = store.boot.max(end.boot);
        Ok(store)
    }

    /// The partition.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Gives the partition back.
    pub fn into_device(self) -> D {
        self.device
    }

    /// Its format.
    #[must_use]
    pub const fn format(&self) -> FormatId {
        self.format
    }

    /// Its division.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How many unacknowledged records are never overwritten.
    #[must_use]
    pub const fn keep_first(&self) -> u32 {
        self.keep_first
    }

    /// The newest boot that anything on the card is from; 0 if nothing is.
    #[must_use]
    pub const fn last_boot(&self) -> u32 {
        self.boot
    }

    /// Number of the next page to be written.
    #[must_use]
    pub const fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Number of the oldest page that can still be there.
    #[must_use]
    pub const fn oldest_page(&self) -> u32 {
        self.next_page.saturating_sub(self.geometry.ring_pages())
    }

    /// Crashes since the partition was formatted (P3).
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.ledger.counters()
    }

    /// Reads one block into the scratch memory.
    pub(crate) async fn read_block(&mut self, block: u32) -> Result<&'s Block, D::Error> {
        read_one(&mut self.device, self.scratch, block).await
    }
}

/// Stands in for scratch memory that was not given.
static NOTHING: Block = Block::zeroed();

pub(crate) async fn read_one<'s, D: BlockDevice>(
    device: &mut D,
    scratch: &'s [Block],
    block: u32,
) -> Result<&'s Block, D::Error> {
    let Some((to, _)) = scratch.split_first() else {
        return Ok(&NOTHING);
    };
    device.read(block.into(), core::slice::from_ref(to)).await?;
    Ok(to)
}

async fn read_superblock<D: BlockDevice>(
    device: &mut D,
    scratch: &[Block],
) -> Result<(FormatId, Geometry), MountError<D::Error>> {
    let blocks = device.block_count();
    let last = u32::try_from(blocks.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut failure = MountError::Superblock(SuperblockError::Check(CheckError::Field));
    for block in [0, last] {
        let error = match read_one(device, scratch, block).await {
            Ok(block) => {
                let mut bytes = [0; BLOCK_LEN];
                block.copy_to(0, &mut bytes);
                match Superblock::parse(&bytes, blocks) {
                    Ok(found) => return Ok(found),
                    Err(error) => MountError::Superblock(error),
                }
            }
            Err(error) => MountError::Device(error),
        };
        if block == 0 {
            failure = error;
        }
    }
    Err(failure)
}
