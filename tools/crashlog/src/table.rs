//! Adds a crashlog partition to an existing partition table.
//!
//! A new table is made by `crashlog-store`. An existing one, whose partitions must not be changed, is left to a general
//! implementation of GPT.

use crate::image::Image;
use crate::problem::{Code, Problem};
use crashlog_format::PARTITION_NAME;
use crashlog_format::gpt::CRASHLOG_TYPE;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptDisk, GptError};
use std::fs::File;
use uuid::Uuid;

/// Partitions begin and end at multiples of this number of blocks: 1 MiB, which is a multiple of usual erase groups.
const ALIGNMENT: u64 = 2048;

/// Adds a partition in the largest gap of the table; returns its first block and its length in blocks.
pub fn add(image: &Image) -> Result<(u64, u64), Problem> {
    let refused = |cause: &GptError| {
        let code = if matches!(cause, GptError::Io(_)) {
            Code::Io
        } else {
            Code::NotOurs
        };
        Problem::new(
            code,
            format!(
                "{}: cannot change its partition table: {cause}",
                image.path().display()
            ),
        )
    };
    let mut disk = open(image, true).map_err(|cause| refused(&cause))?;
    let (first, blocks) = largest_gap(&disk).ok_or_else(|| {
        Problem::new(
            Code::NotOurs,
            format!(
                "{}: has no room for a partition: 1 MiB in one piece is needed",
                image.path().display()
            ),
        )
    })?;
    let id = disk.find_next_partition_id().unwrap_or(1);
    let kind = Type {
        guid: Uuid::from_bytes_le(CRASHLOG_TYPE.0),
        os: OperatingSystem::None,
    };
    disk.add_partition_at(PARTITION_NAME, id, first, blocks, kind, 0)
        .and_then(|_| disk.write())
        .map_err(|cause| refused(&cause))?;
    Ok((first, blocks))
}

/// Whether there is a valid partition table.
pub fn exists(image: &Image) -> bool {
    open(image, false).is_ok()
}

fn open(image: &Image, writable: bool) -> Result<GptDisk<File>, GptError> {
    GptConfig::new()
        .writable(writable)
        .open_from_device(image.file().try_clone()?)
}

fn largest_gap(disk: &GptDisk<File>) -> Option<(u64, u64)> {
    disk.find_free_sectors()
        .into_iter()
        .filter_map(|(first, blocks)| {
            let start = first.next_multiple_of(ALIGNMENT);
            let end = (first + blocks) / ALIGNMENT * ALIGNMENT;
            (end > start).then(|| (start, end - start))
        })
        .max_by_key(|(_, blocks)| *blocks)
}
