//! Partition tables: making one, and adding our partition to one that is there.
//!
//! Finding our partition is the store's business and shared with the target; making one happens only here. The table
//! is written by an independent implementation of GPT, so every card that we make also tests the store's reader.

use crate::image::Image;
use crate::problem::{Code, Problem};
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptDisk, GptError};
use std::fs::File;
use uuid::Uuid;

/// Partitions begin and end at multiples of this many blocks: 1 MiB, larger than any erase group in use.
const ALIGNMENT: u64 = 2048;

/// Where a partition is, in blocks of the card.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub first: u64,
    pub blocks: u64,
}

/// What a new partition is called.
pub struct Identity<'a> {
    pub name: &'a str,
    pub kind: Uuid,
}

impl Identity<'_> {
    fn kind(&self) -> Type {
        Type {
            guid: self.kind,
            os: OperatingSystem::None,
        }
    }
}

/// Writes a new table with one partition that takes all the room there is.
pub fn create(image: &Image, identity: &Identity<'_>) -> Result<Place, Problem> {
    let total = u32::try_from(image.blocks() - 1).unwrap_or(u32::MAX);
    let mbr = gpt::mbr::ProtectiveMBR::with_lb_size(total);
    image.write_at(0, &mbr.to_bytes())?;
    let disk = config()
        .create_from_device(duplicate(image)?, None)
        .map_err(|cause| refused(image, &cause))?;
    insert(image, disk, identity)
}

/// Adds the partition to the table that is there, in its largest gap.
pub fn add(image: &Image, identity: &Identity<'_>) -> Result<Place, Problem> {
    let disk = config()
        .open_from_device(duplicate(image)?)
        .map_err(|cause| refused(image, &cause))?;
    insert(image, disk, identity)
}

/// Whether there is a partition table at all, ours or not.
pub fn exists(image: &Image) -> bool {
    duplicate(image).is_ok_and(|file| config().writable(false).open_from_device(file).is_ok())
}

fn config() -> GptConfig {
    GptConfig::new().writable(true)
}

fn duplicate(image: &Image) -> Result<File, Problem> {
    image
        .file()
        .try_clone()
        .map_err(|cause| Problem::io(image.path(), "open it again", &cause))
}

fn insert(
    image: &Image,
    mut disk: GptDisk<File>,
    identity: &Identity<'_>,
) -> Result<Place, Problem> {
    let place = largest_gap(&disk).ok_or_else(|| {
        Problem::new(
            Code::NotOurs,
            format!(
                "{}: has no room for a partition: at least 1 MiB in one piece is needed",
                image.path().display()
            ),
        )
    })?;
    let id = disk.find_next_partition_id().unwrap_or(1);
    disk.add_partition_at(
        identity.name,
        id,
        place.first,
        place.blocks,
        identity.kind(),
        0,
    )
    .and_then(|_| disk.write())
    .map_err(|cause| refused(image, &cause))?;
    Ok(place)
}

fn largest_gap(disk: &GptDisk<File>) -> Option<Place> {
    disk.find_free_sectors()
        .into_iter()
        .filter_map(|(first, blocks)| {
            let start = first.next_multiple_of(ALIGNMENT);
            let end = (first + blocks) / ALIGNMENT * ALIGNMENT;
            (end > start).then(|| Place {
                first: start,
                blocks: end - start,
            })
        })
        .max_by_key(|place| place.blocks)
}

fn refused(image: &Image, cause: &GptError) -> Problem {
    let code = if matches!(cause, GptError::Io(_)) {
        Code::Io
    } else {
        Code::NotOurs
    };
    Problem::new(
        code,
        format!(
            "{}: cannot write a partition table: {cause}",
            image.path().display()
        ),
    )
}
