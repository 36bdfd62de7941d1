//! Formatting a partition, and making a GPT: for the host.
//!
//! Only superblocks, ledgers and the table are written. What the other blocks hold fails every
//! check, as checksums are seeded with the random number of the new format.

use crate::Partition;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{self, GptEntry, GptHeader, Guid};
use crashlog_format::ledger::Ledger;
use crashlog_format::{FormatId, Geometry, GeometryError, Superblock};
use zerocopy::IntoBytes;

/// Why a partition was not formatted, or a GPT not made.
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
}

/// What [`write_table`] writes into a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions<'a> {
    /// Name of the partition.
    pub name: &'a str,
    /// A random GUID for the card.
    pub disk: Guid,
    /// A random GUID for the partition.
    pub partition: Guid,
}

/// Number of blocks before the first partition: 1 MiB.
const ALIGNMENT: u64 = 2048;
/// Number of blocks that the specification reserves for the entries (UEFI 2.10, section 5.3.3).
const TABLE_BLOCKS: u64 = 32;
/// Number of entries in the table: one block has them, so one block is read at each start.
const ENTRIES: u32 = gpt::ENTRIES_PER_BLOCK;

/// Formats a partition: afterwards it has no crash and no log.
///
/// The superblocks are written last. If it is dropped before its end, the partition may be
/// unformatted.
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
    let block = Block::zeroed();
    for generation in [0, 1] {
        let ledger = Ledger::empty(options.format, geometry.slots(), generation);
        block.copy_from(0, ledger.as_bytes());
        put(partition, geometry.ledger(generation).into(), &block).await?;
    }
    partition.flush().await.map_err(FormatError::Device)?;
    block.copy_from(0, &Superblock::new(options.format, &geometry).to_block());
    for copy in geometry.superblocks() {
        put(partition, copy.into(), &block).await?;
    }
    partition.flush().await.map_err(FormatError::Device)?;
    Ok(geometry)
}

/// Writes a GPT with one partition that takes the whole card, its backup, and the protective MBR.
///
/// The headers are written last. If it is dropped before its end, the card may have no GPT.
///
/// # Errors
/// See [`FormatError`]; nothing was written if the card is too small.
pub async fn write_table<D: BlockDevice>(
    device: &mut D,
    options: &TableOptions<'_>,
) -> Result<Partition, FormatError<D::Error>> {
    let blocks = device.block_count();
    let too_small = FormatError::TooSmall(blocks);
    let last = blocks.checked_sub(1).ok_or(too_small)?;
    let backup_table = last.checked_sub(TABLE_BLOCKS).ok_or(too_small)?;
    let end = backup_table / 8 * 8;
    if end <= ALIGNMENT {
        return Err(too_small);
    }
    let entry = GptEntry::new(options.name, options.partition, ALIGNMENT, end - 1);
    let mut table = [0; BLOCK_LEN];
    for (to, from) in table.iter_mut().zip(entry.as_bytes()) {
        *to = *from;
    }
    let mut header = GptHeader {
        signature: GptHeader::SIGNATURE,
        revision: GptHeader::REVISION.into(),
        header_size: (size_of::<GptHeader>() as u32).into(),
        header_crc32: 0.into(),
        reserved: 0.into(),
        my_lba: gpt::PRIMARY.into(),
        alternate_lba: last.into(),
        first_usable_lba: (gpt::PRIMARY + 1 + TABLE_BLOCKS).into(),
        last_usable_lba: (backup_table - 1).into(),
        disk_guid: options.disk,
        partition_entry_lba: (gpt::PRIMARY + 1).into(),
        number_of_partition_entries: ENTRIES.into(),
        size_of_partition_entry: gpt::ENTRY_LEN.into(),
        partition_entry_array_crc32: Crc32::new().bytes(&table).value().into(),
    };

    let block = Block::zeroed();
    // The headers last: as long as they are missing there is no table.
    block.copy_from(0, &table);
    put(device, gpt::PRIMARY + 1, &block).await?;
    put(device, backup_table, &block).await?;
    block.copy_from(0, &protective_mbr(blocks));
    put(device, 0, &block).await?;
    block.fill(0);
    header.seal();
    block.copy_from(0, header.as_bytes());
    put(device, gpt::PRIMARY, &block).await?;
    header.my_lba = last.into();
    header.alternate_lba = gpt::PRIMARY.into();
    header.partition_entry_lba = backup_table.into();
    header.seal();
    block.copy_from(0, header.as_bytes());
    put(device, last, &block).await?;
    device.flush().await.map_err(FormatError::Device)?;
    Ok(Partition {
        first: ALIGNMENT,
        blocks: end - ALIGNMENT,
    })
}

/// Writes one block.
async fn put<D: BlockDevice>(
    device: &mut D,
    block: u64,
    data: &Block,
) -> Result<(), FormatError<D::Error>> {
    device
        .write(block, core::slice::from_ref(data))
        .await
        .map_err(FormatError::Device)
}

/// The protective MBR, which shows a used disk to programs that do not know GPT (UEFI 2.10, section
/// 5.2.3).
fn protective_mbr(blocks: u64) -> [u8; BLOCK_LEN] {
    let mut mbr = [0; BLOCK_LEN];
    let size = u32::try_from(blocks - 1).unwrap_or(u32::MAX).to_le_bytes();
    let entry = [0, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0];
    let bytes = entry.into_iter().chain(size);
    for (to, from) in mbr.iter_mut().skip(446).zip(bytes) {
        *to = from;
    }
    for (to, from) in mbr.iter_mut().skip(510).zip([0x55, 0xAA]) {
        *to = from;
    }
    mbr
}
