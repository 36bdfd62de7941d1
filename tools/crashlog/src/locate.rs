//! Finds the crashlog partition in an image, or says why there is none, and why it is not written.
//!
//! The input may be a whole card with a GPT, or the partition alone. Which partition is ours, and
//! whether it may be written, is decided by `crashlog-store`, as on the target: a partition that is
//! not written may be read all the same, as far as the image goes.

use crate::image::{Image, TransferError};
use crate::packed;
use crate::problem::{Code, Problem};
use crate::signature;
use crate::table::Tables;
use block_device::{BLOCK_LEN, Block, now_or_never};
use crashlog_format::gpt::{self, FoundPartition, TableProblem};
use crashlog_format::ledger::Ledger;
use crashlog_format::{
    CheckError, Geometry, PARTITION_NAME, PartitionPlace, Superblock, SuperblockContent,
    SuperblockError,
};
use crashlog_store::{MountError, PartitionError, Store, StoreOptions, WriteRefusal};

/// A crashlog partition that was found.
pub struct Located {
    /// The blocks of the partition alone; zeros where the image does not go.
    pub partition: Image,
    /// What the table says of it; `None` if the input is the partition alone.
    pub found: Option<FoundPartition>,
    /// What the superblock states that counts.
    pub content: SuperblockContent,
    /// What is damaged, in words; its copy is not.
    pub damaged: Vec<String>,
    /// Why neither a device nor this program writes it.
    pub refusal: Option<String>,
}

impl Located {
    /// Whether a superblock is damaged, or differs from the one that counts.
    pub fn is_damaged(&self) -> bool {
        self.damaged.iter().any(|what| what.contains("superblock"))
    }
}

/// Why there is no partition in a table.
pub type Absent = PartitionError<TransferError>;

/// Finds the partition in the table of a card, as a device does.
pub fn find(image: &Image) -> Result<Result<FoundPartition, Absent>, Problem> {
    let mut device = image.part(0, image.blocks())?;
    let scratch = scratch();
    let found = crashlog_store::find_partition(&mut device, PARTITION_NAME, &scratch);
    Ok(now_or_never(found).unwrap_or(Err(PartitionError::NoTable)))
}

/// Whether an image without a table is a partition alone: one of its superblocks says so.
pub fn is_alone(image: &Image) -> Result<bool, Problem> {
    if image.blocks() == 0 {
        return Ok(false);
    }
    let is_superblock =
        |block: &[u8; BLOCK_LEN]| block.starts_with(&Superblock::MAGIC.to_le_bytes());
    Ok(is_superblock(&read(image, 0)?) || is_superblock(&read(image, image.blocks() - 1)?))
}

/// Whether the first block of an image is the superblock of a partition: then it is one alone,
/// whatever is in the blocks behind it.
pub fn begins_alone(image: &Image) -> Result<bool, Problem> {
    Ok(stated_blocks(image)?.is_some())
}

/// Finds the partition, checks its superblocks, and tells whether it is written.
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
    let found = match find(image)? {
        // A table inside of a partition is not that of its card.
        _ if begins_alone(image)? => None,
        Ok(found) => Some(found),
        Err(PartitionError::NoTable) if is_alone(image)? => None,
        Err(absent) => {
            return Err(match recognised() {
                Some(problem) => problem,
                None => absence(image, &absent)?,
            });
        }
    };
    let mut damaged = Vec::new();
    if found.is_some() {
        damaged.extend(Tables::read(image)?.damage());
    }
    let (first, blocks) = match &found {
        Some(found) => (found.place.first, found.place.blocks),
        None => (
            0,
            stated_blocks(image)?.map_or(image.blocks(), |blocks| blocks.max(image.blocks())),
        ),
    };
    let there = image.blocks().saturating_sub(first);
    if there < blocks {
        damaged.push(format!(
            "the image is truncated: the partition has {blocks} blocks, and {there} of them are there"
        ));
    }
    let partition = image.padded(first, blocks)?;
    let content = superblock(&partition, &mut damaged)?;
    let refusal = refusal(image, &partition, found.as_ref(), &content)?;
    Ok(Located {
        partition,
        found,
        content,
        damaged,
        refusal,
    })
}

/// The number of blocks that the superblock states with which an image begins: more than the image
/// has, if that is truncated. `None` if it does not begin with one.
fn stated_blocks(image: &Image) -> Result<Option<u64>, Problem> {
    Ok(match Superblock::parse(&read(image, 0)?, image.blocks()) {
        Ok(_) => Some(image.blocks()),
        Err(SuperblockError::Blocks(stated)) => Some(stated.into()),
        Err(_) => None,
    })
}

/// Why the partition is not written, by the code of the device.
fn refusal(
    image: &Image,
    partition: &Image,
    found: Option<&FoundPartition>,
    content: &SuperblockContent,
) -> Result<Option<String>, Problem> {
    // Of a partition alone no table says where it is; it is asked whether it agrees with itself.
    let said = FoundPartition {
        place: content.place(),
        problem: None,
        from_backup: false,
    };
    let (found, is_alone) = found.map_or((said, true), |found| (*found, false));
    let options = StoreOptions { keep_first: 0 };
    let scratch = scratch();
    let mounted = Store::mount(
        partition.part(0, partition.blocks())?,
        &found,
        options,
        &scratch,
    );
    let refusal = match now_or_never(mounted) {
        Some(Ok(store)) => match store.write_refusal() {
            Some(WriteRefusal::NoPlace) if is_alone => None,
            Some(WriteRefusal::Table(TableProblem::LargerDevice)) => Some(larger(image)?),
            refusal => refusal.map(|refusal| match refusal {
                WriteRefusal::OtherPlace | WriteRefusal::NoPlace => {
                    format!("{refusal}; `crashlog adopt` makes it ours again")
                }
                refusal => refusal.to_string(),
            }),
        },
        Some(Err(MountError::Exhausted)) => {
            Some("every number that a page of its log can have was used".to_owned())
        }
        Some(Err(MountError::Damaged)) => Some("the end of its log cannot be found".to_owned()),
        Some(Err(MountError::Superblock(error))) => Some(error.to_string()),
        Some(Err(MountError::Device(_))) | None => Some("it cannot be read".to_owned()),
    };
    if is_alone && partition.blocks() > image.blocks() {
        return Ok(Some("it is truncated".to_owned()));
    }
    Ok(refusal)
}

/// That the table is of a larger card, with both numbers.
fn larger(image: &Image) -> Result<String, Problem> {
    let problem = TableProblem::LargerDevice;
    Ok(match Tables::read(image)?.card_blocks() {
        Some(blocks) => format!(
            "{problem}: that has {blocks} blocks, this one has {}",
            image.blocks()
        ),
        None => problem.to_string(),
    })
}

/// Why there is no partition to be read.
pub fn absence(image: &Image, absent: &Absent) -> Result<Problem, Problem> {
    let name = image.path().display();
    let text = match absent {
        PartitionError::Device(TransferError::Io(kind)) => {
            return Ok(Problem::new(
                Code::Io,
                format!("{name}: cannot read its partition table: {kind}"),
            ));
        }
        PartitionError::Device(TransferError::OutOfRange) | PartitionError::NoTable => {
            let holds =
                signature::of(image)?.map_or(String::new(), |what| format!(" (it holds {what})"));
            format!(
                "{name}: is not a card of the flight recorder{holds}: there is neither a partition table nor a superblock; \
                 `crashlog format` makes one"
            )
        }
        PartitionError::Damaged => format!(
            "{name}: both copies of its partition table are damaged; repair the table, for example with `gdisk`"
        ),
        PartitionError::Entries(count) => format!(
            "{name}: its partition table has {count} entries; at most 256 are read, by devices and by this program"
        ),
        PartitionError::EntryLength(length) => format!(
            "{name}: the entries of its partition table are {length} bytes long; only 128 are read, by devices and by \
             this program"
        ),
        PartitionError::LargeBlocks => format!(
            "{name}: its partition table is that of a card with blocks of 4096 bytes; the flight recorder uses blocks \
             of 512"
        ),
        PartitionError::NotFound => format!(
            "{name}: has no partition named \"{PARTITION_NAME}\"; `crashlog format --keep` adds one"
        ),
        PartitionError::WrongType(kind) => format!(
            "{name}: its partition \"{PARTITION_NAME}\" has the type {kind}, which is not that of the flight recorder; \
             `crashlog format --keep` adds one that has"
        ),
        PartitionError::OutOfBounds => match Tables::read(image)?.card_blocks() {
            Some(blocks) if blocks > image.blocks() => format!(
                "{name}: is truncated: the card had {blocks} blocks, the image has {}; copy the whole card",
                image.blocks()
            ),
            _ => format!(
                "{name}: the first and the last block of its partition \"{PARTITION_NAME}\" cannot be right: no card has \
                 such a partition, or not this one"
            ),
        },
    };
    Ok(not_a_crashlog_card(text))
}

/// Checks both superblocks and returns the first undamaged one.
fn superblock(partition: &Image, damaged: &mut Vec<String>) -> Result<SuperblockContent, Problem> {
    let mut sound = Vec::new();
    let mut broken = Vec::new();
    for block in [0, partition.blocks().saturating_sub(1)] {
        match Superblock::parse(&read(partition, block)?, partition.blocks()) {
            Ok(parsed) => sound.push(parsed),
            Err(error) => broken.push((block, error)),
        }
    }
    let Some(first) = sound.first() else {
        return Err(refused(partition, broken.first().map(|(_, error)| *error))?);
    };
    damaged.extend(
        broken
            .iter()
            .map(|(block, error)| format!("block {block} of the partition: {error}")),
    );
    if sound.iter().any(|other| other != first) {
        let what = if sound.iter().all(|other| other.format == first.format) {
            "two places: `crashlog adopt`"
        } else {
            "two formats: `crashlog format`"
        };
        damaged.push(format!(
            "the superblocks are of {what} was interrupted; the first counts"
        ));
    }
    Ok(*first)
}

/// Why a partition whose superblocks are both invalid is not read.
fn refused(partition: &Image, error: Option<SuperblockError>) -> Result<Problem, Problem> {
    let name = partition.path().display();
    Ok(not_a_crashlog_card(match error {
        Some(SuperblockError::Check(CheckError::Version(version))) => format!(
            "{name}: has format version {version}; this program knows version {}: use the program that belongs to the \
             firmware",
            crashlog_format::VERSION
        ),
        Some(SuperblockError::Check(CheckError::Magic(_))) if has_table(partition) => format!(
            "{name}: its partition \"{PARTITION_NAME}\" holds a partition table, as of the image of a whole card; such \
             an image is written to the card, not into a partition of it"
        ),
        Some(SuperblockError::Check(CheckError::Magic(_))) if has_ledger(partition)? => format!(
            "{name}: both superblocks of its partition \"{PARTITION_NAME}\" are lost, and its ledgers are not: keep an \
             image of it; without a superblock nothing can be read, and `crashlog format --force` destroys what is there"
        ),
        Some(SuperblockError::Check(CheckError::Magic(0))) => {
            format!(
                "{name}: its partition \"{PARTITION_NAME}\" was never formatted; `crashlog format` formats it"
            )
        }
        Some(SuperblockError::Check(CheckError::Magic(_))) => {
            let what = signature::of(partition)?.unwrap_or("something else");
            format!(
                "{name}: its partition \"{PARTITION_NAME}\" holds {what}; `crashlog format --force` replaces it"
            )
        }
        Some(SuperblockError::Blocks(stated)) => format!(
            "{name}: the superblock of its partition \"{PARTITION_NAME}\" is of a partition of {stated} blocks, and this \
             one has {}: it was copied, or its size was changed; give it its old size",
            partition.blocks()
        ),
        Some(error) => format!("{name}: {error}"),
        None => format!("{name}: has no superblock"),
    }))
}

/// Whether a block of the partition where a ledger belongs has the magic of one.
pub fn has_ledger(partition: &Image) -> Result<bool, Problem> {
    // The ledgers are in the same blocks, whatever the slots are.
    let smallest = Geometry::new(partition.blocks(), Geometry::MIN_SLOTS, 8);
    let Ok(geometry) = smallest else {
        return Ok(false);
    };
    for generation in [0, 1] {
        let block = read(partition, geometry.ledger(generation).into())?;
        if block.starts_with(&Ledger::MAGIC.to_le_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A place, in words.
pub fn place_text(place: &PartitionPlace) -> String {
    if !place.is_known() {
        return "no place".to_owned();
    }
    let last = place.first.saturating_add(place.blocks).saturating_sub(1);
    format!("blocks {} to {last}, GUID {}", place.first, place.guid)
}

/// Memory for reading.
pub fn scratch() -> Vec<Block> {
    (0..16).map(|_| Block::zeroed()).collect()
}

/// Whether a partition table begins in the partition itself.
fn has_table(partition: &Image) -> bool {
    let header = read(partition, gpt::PRIMARY);
    header.is_ok_and(|block| block.starts_with(b"EFI PART"))
}

/// Reads one block.
pub fn read(image: &Image, block: u64) -> Result<[u8; BLOCK_LEN], Problem> {
    let mut bytes = [0; BLOCK_LEN];
    image.read_at(block, &mut bytes)?;
    Ok(bytes)
}

/// A problem of an input that is no card of ours.
pub fn not_a_crashlog_card(text: String) -> Problem {
    Problem::new(Code::NotACrashlogCard, text)
}
