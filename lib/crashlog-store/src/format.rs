//! Formatting a partition, and adopting one: for the host.
//!
//! Only superblocks and ledgers are written. What the other blocks hold fails every check, as
//! checksums are seeded with the random number of the new format.
//!
//! # In which order, and why
//!
//! The superblock that counts is the first that passes its check. Until it is replaced, everything
//! that belongs to it stays: it itself, and the newest ledger of its format. So the order is: a
//! ledger over the copy that is not that one; the superblock that does not count; the one that
//! does; the other ledger. Each is one block and is durable before the next is written. A power cut
//! leaves the old state before the third of them, and the new one after it. If the third is torn,
//! the other superblock counts: the new state as well. (If only the last superblock is sound, the
//! first is written first, and with that, if it is whole, counts.)

use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::ledger::Ledger;
use crashlog_format::{
    FormatId, Geometry, GeometryError, PartitionPlace, Superblock, SuperblockContent,
};
use zerocopy::{FromZeros, IntoBytes};

/// Why a partition was not formatted or adopted, or a GPT not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError<E> {
    /// The device failed.
    Device(E),
    /// The geometry breaks a rule.
    Geometry(GeometryError),
    /// The device has this number of blocks, too few for GPT and partition.
    TooSmall(u64),
}

/// How a partition is formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatOptions {
    /// The format id: a random number.
    pub format: FormatId,
    /// Number of crash slots; `None` for [`Geometry::recommended`].
    pub slots: Option<u32>,
    /// Length of a crash slot in blocks; `None` for [`Geometry::recommended`].
    pub slot_blocks: Option<u32>,
    /// Where the partition is; [`PartitionPlace::unknown`] if that is not known, and then no device
    /// writes it before it is adopted. Its number of blocks is not used: the device has it.
    pub place: PartitionPlace,
}

/// Formats a partition: afterwards it has no crash and no log.
///
/// If it is dropped before its end, or power is lost, the partition is as it was or formatted.
///
/// # Errors
/// See [`FormatError`]; nothing was written if the geometry breaks a rule.
pub async fn format_partition<D: BlockDevice>(
    partition: &mut D,
    options: &FormatOptions,
) -> Result<Geometry, FormatError<D::Error>> {
    let blocks = partition.block_count();
    let (slots, slot_blocks) = Geometry::recommended(blocks);
    let geometry = Geometry::new(
        blocks,
        options.slots.unwrap_or(slots),
        options.slot_blocks.unwrap_or(slot_blocks),
    )
    .map_err(FormatError::Geometry)?;
    let before = superblocks_before(partition, &geometry).await;
    let newest = newest_before(partition, &before).await;
    let first = newest ^ 1;
    put_ledger(partition, options.format, &geometry, first).await?;
    let superblock = Superblock::new(options.format, &geometry, &options.place);
    put_superblocks(partition, &geometry, &superblock, &before).await?;
    put_ledger(partition, options.format, &geometry, newest).await?;
    Ok(geometry)
}

/// Writes the superblocks of a partition anew, so that they state `place`. Everything else stays.
///
/// If it is dropped before its end, or power is lost, the superblock that counts is as it was, or
/// states `place`.
///
/// # Errors
/// Those of the device.
pub async fn adopt_partition<D: BlockDevice>(
    partition: &mut D,
    content: &SuperblockContent,
    place: &PartitionPlace,
) -> Result<(), FormatError<D::Error>> {
    let geometry = &content.geometry;
    let before = superblocks_before(partition, geometry).await;
    let superblock = Superblock::new(content.format, geometry, place);
    put_superblocks(partition, geometry, &superblock, &before).await
}

/// What the two superblocks state; `None` for one that fails its check, or cannot be read.
async fn superblocks_before<D: BlockDevice>(
    partition: &mut D,
    geometry: &Geometry,
) -> [Option<SuperblockContent>; 2] {
    let mut before = [None; 2];
    for (content, at) in before.iter_mut().zip(geometry.superblocks()) {
        if let Some(bytes) = get(partition, at).await {
            *content = Superblock::parse(&bytes, partition.block_count()).ok();
        }
    }
    before
}

/// Writes both superblocks; the one that counts last.
async fn put_superblocks<D: BlockDevice>(
    partition: &mut D,
    geometry: &Geometry,
    superblock: &Superblock,
    before: &[Option<SuperblockContent>; 2],
) -> Result<(), FormatError<D::Error>> {
    let block = Block::zeroed();
    block.copy_from(0, &superblock.to_block());
    let [first, last] = geometry.superblocks();
    let order = match before {
        [None, Some(_)] => [first, last],
        _ => [last, first],
    };
    for at in order {
        put(partition, at.into(), &block).await?;
        partition.flush().await.map_err(FormatError::Device)?;
    }
    Ok(())
}

/// Which copy of the ledger is the newest of the format that counts, 0 or 1.
async fn newest_before<D: BlockDevice>(
    partition: &mut D,
    before: &[Option<SuperblockContent>; 2],
) -> u32 {
    let [first, last] = before;
    let Some(content) = first.as_ref().or(last.as_ref()) else {
        return 1;
    };
    let mut ledgers = [Ledger::ZERO, Ledger::ZERO];
    for (parity, ledger) in (0..).zip(&mut ledgers) {
        if let Some(bytes) = get(partition, content.geometry.ledger(parity)).await {
            ledger.as_mut_bytes().copy_from_slice(&bytes);
        }
        if ledger.check(content.format, &content.geometry).is_err() {
            ledger.zero();
        }
    }
    let [even, odd] = &ledgers;
    match (is_there(even), is_there(odd)) {
        (true, true) => u32::from(odd.is_newer_than(even)),
        (is_even, _) => u32::from(!is_even),
    }
}

/// Whether it passed its check.
fn is_there(ledger: &Ledger) -> bool {
    ledger.as_bytes().iter().any(|byte| *byte != 0)
}

/// Writes an empty ledger and makes it durable.
async fn put_ledger<D: BlockDevice>(
    partition: &mut D,
    format: FormatId,
    geometry: &Geometry,
    generation: u32,
) -> Result<(), FormatError<D::Error>> {
    let block = Block::zeroed();
    let ledger = Ledger::empty(format, geometry.slots(), generation);
    block.copy_from(0, ledger.as_bytes());
    put(partition, geometry.ledger(generation).into(), &block).await?;
    partition.flush().await.map_err(FormatError::Device)
}

/// Reads one block; `None` if that fails.
async fn get<D: BlockDevice>(device: &mut D, at: u32) -> Option<[u8; BLOCK_LEN]> {
    let block = Block::zeroed();
    let read = device.read(at.into(), core::slice::from_ref(&block)).await;
    let mut bytes = [0; BLOCK_LEN];
    block.copy_to(0, &mut bytes);
    read.is_ok().then_some(bytes)
}

/// Writes one block.
pub(crate) async fn put<D: BlockDevice>(
    device: &mut D,
    block: u64,
    data: &Block,
) -> Result<(), FormatError<D::Error>> {
    device
        .write(block, core::slice::from_ref(data))
        .await
        .map_err(FormatError::Device)
}
