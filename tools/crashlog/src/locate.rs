//! Finds the crashlog partition in an image, or says why there is none.
//!
//! The input may be a whole card with a GPT, or the partition alone. A GPT is used only if its
//! checksums match; if the primary one is damaged the backup at the end of the card is used, as on
//! the target.

use crate::image::Image;
use crate::packed;
use crate::problem::{Code, Problem};
use block_device::BLOCK_LEN;
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{
    self, CRASHLOG_TYPE, ChoiceError, ENTRY_LEN, GptEntry, GptHeader, PRIMARY, PartitionChoice,
};
use crashlog_format::{
    CheckError, FormatId, Geometry, PARTITION_NAME, Superblock, SuperblockError,
};
use zerocopy::FromBytes;

/// A crashlog partition that was found.
pub struct Located {
    /// The blocks of the partition alone.
    pub partition: Image,
    /// The partition's first block on the card; 0 if the input is the partition alone.
    pub first: u64,
    pub format: FormatId,
    pub geometry: Geometry,
    /// What is damaged, in words; its copy is not.
    pub damaged: Vec<String>,
}

/// What the partition table has.
pub enum Table {
    /// There is none, or both copies are damaged.
    None,
    /// There is one without a crashlog partition.
    Foreign,
    /// A crashlog partition: first block, number of blocks.
    Crashlog(u64, u64),
    /// A crashlog partition that reaches beyond the end of the image. The card has this number of
    /// blocks.
    Truncated(u64),
}

/// Finds the partition and checks its superblock.
pub fn locate(image: &Image) -> Result<Located, Problem> {
    let name = image.path().display();
    let recognised =
        || packed::recognised(image).map(|text| not_a_crashlog_card(format!("{name}: {text}")));
    if image.blocks() == 0 {
        if let Some(problem) = recognised() {
            return Err(problem);
        }
        return Err(not_a_crashlog_card(format!(
            "{name}: is empty; `crashlog format` makes a card"
        )));
    }
    let mut damaged = Vec::new();
    let (first, blocks) = match table(image, &mut damaged)? {
        Table::Crashlog(first, blocks) => (first, blocks),
        Table::Truncated(blocks) => {
            return Err(not_a_crashlog_card(format!(
                "{name}: is truncated: the card had {blocks} blocks, the image has {}; copy the whole card",
                image.blocks()
            )));
        }
        Table::Foreign => {
            return Err(not_a_crashlog_card(format!(
                "{name}: has no partition named \"{PARTITION_NAME}\"; `crashlog format --keep` adds one"
            )));
        }
        Table::None => {
            let [magic, ..] = words(&read(image, 0)?);
            if magic != Superblock::MAGIC {
                if let Some(problem) = recognised() {
                    return Err(problem);
                }
                return Err(not_a_crashlog_card(format!(
                    "{name}: is not a card of the flight recorder: there is neither a partition table nor a \
                     superblock; `crashlog format` makes one"
                )));
            }
            (0, image.blocks())
        }
    };
    let partition = image.part(first, blocks)?;
    let (format, geometry) = superblock(&partition, first == 0, &mut damaged)?;
    Ok(Located {
        partition,
        first,
        format,
        geometry,
        damaged,
    })
}

/// Searches the crashlog partition in the primary table, then in the backup.
pub fn table(image: &Image, damaged: &mut Vec<String>) -> Result<Table, Problem> {
    let last = image.blocks().saturating_sub(1);
    let mut found = Table::None;
    for lba in [PRIMARY, last] {
        if lba == 0 || lba > last {
            continue;
        }
        let what = if lba == PRIMARY { "primary" } else { "backup" };
        let Some((header, entries)) = entries(image, lba)? else {
            damaged.push(format!("the {what} partition table is damaged"));
            continue;
        };
        if !matches!(found, Table::None) {
            continue;
        }
        let crashlog = entries.iter().find(|entry| {
            entry.partition_type_guid == CRASHLOG_TYPE && entry.is_named(PARTITION_NAME)
        });
        found = match crashlog.map(|entry| entry.range(image.blocks())) {
            Some(Some((first, blocks))) => Table::Crashlog(first, blocks),
            Some(None) => Table::Truncated(header.alternate_lba.get().saturating_add(1)),
            None => Table::Foreign,
        };
    }
    // A truncated image has no backup table, even if it has the whole partition.
    if let Table::Crashlog(..) = found
        && let Some((header, _)) = entries(image, PRIMARY)?
        && header.alternate_lba.get() > last
    {
        return Ok(Table::Truncated(
            header.alternate_lba.get().saturating_add(1),
        ));
    }
    if matches!(found, Table::None) {
        damaged.clear();
    }
    Ok(found)
}

/// Why the partition that [`table`] has found is not written, neither by the device nor by this
/// program; `None` if it may be, and if there is none. It may be read all the same.
pub fn unwritable(image: &Image) -> Result<Option<&'static str>, Problem> {
    let last = image.blocks().saturating_sub(1);
    for lba in [PRIMARY, last] {
        let Some((header, entries)) = entries(image, lba)? else {
            continue;
        };
        if lba != PRIMARY && !gpt::backup_counts(&read(image, 0)?) {
            return Ok(Some(
                "the primary partition table is damaged, and block 0 is of another one: the card was made anew",
            ));
        }
        let mut choice = PartitionChoice::default();
        for entry in &entries {
            choice.find(entry, PARTITION_NAME);
        }
        for entry in &entries {
            choice.compare(entry);
        }
        return Ok(match choice.found(&header, image.blocks()) {
            Ok(_) if choice.is_overlapped() => {
                Some("another partition has blocks of the crashlog partition")
            }
            Err(ChoiceError::Overlaps) => {
                Some("the partition table has blocks of the crashlog partition")
            }
            Err(ChoiceError::Ambiguous) => {
                Some("there is more than one crashlog partition of that name")
            }
            Err(ChoiceError::OutOfBounds) => Some(
                "the crashlog partition lies outside the blocks that its table gives to partitions",
            ),
            Ok(_) | Err(ChoiceError::NotFound | ChoiceError::WrongType(_)) => None,
        });
    }
    Ok(None)
}

/// The table whose header is block `lba`, if its checksums match.
fn entries(image: &Image, lba: u64) -> Result<Option<(GptHeader, Vec<GptEntry>)>, Problem> {
    let Some(header) = GptHeader::parse(&read(image, lba)?, lba, image.blocks()) else {
        return Ok(None);
    };
    let length = header.number_of_partition_entries.get() as usize * ENTRY_LEN as usize;
    let mut bytes = vec![0; length.next_multiple_of(BLOCK_LEN)];
    image.read_at(header.partition_entry_lba.get(), &mut bytes)?;
    bytes.truncate(length);
    if Crc32::new().bytes(&bytes).value() != header.partition_entry_array_crc32.get() {
        return Ok(None);
    }
    let entries = bytes
        .chunks_exact(ENTRY_LEN as usize)
        .filter_map(|entry| GptEntry::read_from_bytes(entry).ok());
    Ok(Some((header, entries.collect())))
}

/// Checks both superblocks and returns the first undamaged one.
fn superblock(
    partition: &Image,
    alone: bool,
    damaged: &mut Vec<String>,
) -> Result<(FormatId, Geometry), Problem> {
    let mut sound = None;
    let mut broken = Vec::new();
    for block in [0, partition.blocks().saturating_sub(1)] {
        match Superblock::parse(&read(partition, block)?, partition.blocks()) {
            Ok(parsed) => sound = sound.or(Some(parsed)),
            Err(error) => broken.push((block, error)),
        }
    }
    match (sound, broken.first()) {
        (Some(sound), _) => {
            damaged.extend(
                broken
                    .iter()
                    .map(|(block, error)| format!("block {block} of the partition: {error}")),
            );
            Ok(sound)
        }
        (None, broken) => Err(refused(partition, alone, broken.map(|(_, error)| *error))),
    }
}

/// Why a partition whose superblocks are both invalid is not read.
fn refused(partition: &Image, alone: bool, error: Option<SuperblockError>) -> Problem {
    let name = partition.path().display();
    not_a_crashlog_card(match error {
        Some(SuperblockError::Check(CheckError::Version(version))) => format!(
            "{name}: has format version {version}; this program knows version {}: use the program that belongs to the \
             firmware",
            crashlog_format::VERSION
        ),
        Some(SuperblockError::Check(CheckError::Magic(0))) => {
            format!(
                "{name}: its partition \"{PARTITION_NAME}\" was never formatted; `crashlog format` formats it"
            )
        }
        Some(SuperblockError::Check(CheckError::Magic(_))) if has_table(partition) => format!(
            "{name}: its partition \"{PARTITION_NAME}\" holds a partition table, as of the image of a whole card; such \
             an image is written to the card, not into a partition of it"
        ),
        Some(SuperblockError::Check(CheckError::Magic(_))) => {
            format!(
                "{name}: its partition \"{PARTITION_NAME}\" holds something else; `crashlog format --force` replaces it"
            )
        }
        Some(SuperblockError::Blocks(stated))
            if alone && u64::from(stated) > partition.blocks() =>
        {
            format!(
                "{name}: is truncated: the partition had {stated} blocks, the file has {}; copy the whole partition",
                partition.blocks()
            )
        }
        Some(error) => format!("{name}: {error}"),
        None => format!("{name}: has no superblock"),
    })
}

/// Whether a partition table begins in the partition itself.
fn has_table(partition: &Image) -> bool {
    let header = read(partition, PRIMARY);
    header.is_ok_and(|block| block.starts_with(b"EFI PART"))
}

/// Reads one block.
pub fn read(image: &Image, block: u64) -> Result<[u8; BLOCK_LEN], Problem> {
    let mut bytes = [0; BLOCK_LEN];
    image.read_at(block, &mut bytes)?;
    Ok(bytes)
}

/// The block as little-endian words.
fn words(block: &[u8; BLOCK_LEN]) -> [u32; BLOCK_LEN / 4] {
    let mut words = [0; BLOCK_LEN / 4];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

fn not_a_crashlog_card(text: String) -> Problem {
    Problem::new(Code::NotACrashlogCard, text)
}
