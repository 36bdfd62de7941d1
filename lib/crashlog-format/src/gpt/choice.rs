//! Which partition of a table is the one that is meant, and whether the table permits writing it.

use super::{CRASHLOG_TYPE, GptEntry, GptHeader, Guid, PRIMARY};
use crate::PartitionPlace;
use core::fmt;

/// Why a partition that was found in a table may be read and not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableProblem {
    /// The primary table is damaged, and block 0 is neither blank nor protective: see
    /// [`super::backup_counts`].
    MadeAnew,
    /// Several partitions have the name and the type; this is the first of them.
    Ambiguous,
    /// It lies outside the blocks that the table gives to partitions, or reaches beyond the end of
    /// the device.
    OutOfBounds,
    /// It has blocks of a table, or of another partition.
    Overlaps,
    /// Its attributes say that it is read-only: see [`super::READ_ONLY`].
    ReadOnly,
    /// The table is of a device with more blocks than this one.
    LargerDevice,
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MadeAnew => {
                "the primary partition table is damaged, and block 0 is of another one: the card was made anew"
            }
            Self::Ambiguous => "there is more than one crashlog partition of that name",
            Self::OutOfBounds => {
                "the crashlog partition lies outside the blocks that its table gives to partitions"
            }
            Self::Overlaps => {
                "the partition table, or another partition, has blocks of the crashlog partition"
            }
            Self::ReadOnly => "attribute 60 of the crashlog partition says that it is read-only",
            Self::LargerDevice => "the partition table is of a larger card than this one",
        })
    }
}

/// Why a table has no partition that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceError {
    /// No partition has the name.
    NotFound,
    /// The partition with the name has this type, which is not [`CRASHLOG_TYPE`].
    WrongType(Guid),
    /// No device has its blocks, or not this device.
    OutOfBounds,
}

/// A partition that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// Where it is. It may reach beyond the end of the device if there is a problem.
    pub place: PartitionPlace,
    /// Why it is not written; `None` if the table permits it.
    pub problem: Option<TableProblem>,
    /// The primary table is damaged, and the backup says so: then both superblocks have to agree.
    pub from_backup: bool,
}

/// Chooses a partition among the entries of a table, which are given to it one by one, twice: first
/// each to [`find`](Self::find), then each to [`compare`](Self::compare).
#[derive(Clone, Copy, Debug, Default)]
pub struct PartitionChoice {
    /// First and last block of the one that was found.
    found: Option<(u64, u64)>,
    guid: Guid,
    is_read_only: bool,
    /// Another one has the name and the type, too.
    is_ambiguous: bool,
    /// A partition with the name has another type, which `guid` is.
    is_other_type: bool,
    /// How many partitions have blocks of it, itself included.
    overlapping: u32,
}

impl PartitionChoice {
    /// Looks whether an entry has the name and the type.
    pub fn find(&mut self, entry: &GptEntry, name: &str) {
        if !entry.is_used() || !entry.is_named(name) {
            return;
        }
        let kind = entry.partition_type_guid;
        match self.found {
            Some(_) => self.is_ambiguous |= kind == CRASHLOG_TYPE,
            None if kind == CRASHLOG_TYPE => {
                self.found = Some((entry.starting_lba.get(), entry.ending_lba.get()));
                self.guid = entry.unique_partition_guid;
                self.is_read_only = entry.is_read_only();
            }
            None if !self.is_other_type => {
                self.guid = kind;
                self.is_other_type = true;
            }
            None => {}
        }
    }

    /// Compares the partition that was found with an entry, its own included.
    pub fn compare(&mut self, entry: &GptEntry) {
        let (from, to) = (entry.starting_lba.get(), entry.ending_lba.get());
        let overlaps = self
            .found
            .is_some_and(|(first, last)| from <= last && first <= to);
        if overlaps && entry.is_used() {
            self.overlapping = self.overlapping.saturating_add(1);
        }
    }

    /// The partition that was found in the table whose header is `header`, on a device of `blocks`
    /// blocks.
    ///
    /// # Errors
    /// See [`ChoiceError`].
    pub fn chosen(&self, header: &GptHeader, blocks: u64) -> Result<FoundPartition, ChoiceError> {
        let (first, last) = match self.found {
            Some(found) => found,
            None if self.is_other_type => return Err(ChoiceError::WrongType(self.guid)),
            None => return Err(ChoiceError::NotFound),
        };
        if !(PRIMARY < first && first <= last && first < blocks) {
            return Err(ChoiceError::OutOfBounds);
        }
        let device_blocks = blocks;
        let blocks = last.wrapping_sub(first).saturating_add(1);
        let problem = if self.is_read_only {
            Some(TableProblem::ReadOnly)
        } else if header.alternate_lba.get() >= device_blocks {
            Some(TableProblem::LargerDevice)
        } else if self.is_ambiguous {
            Some(TableProblem::Ambiguous)
        } else if first < header.first_usable_lba.get()
            || last > header.last_usable_lba.get()
            || last >= device_blocks
        {
            Some(TableProblem::OutOfBounds)
        } else if self.overlapping > 1 || has_blocks_of_table(header, first, last) {
            Some(TableProblem::Overlaps)
        } else {
            None
        };
        let guid = self.guid;
        let place = PartitionPlace {
            first,
            blocks,
            guid,
        };
        Ok(FoundPartition {
            place,
            problem,
            from_backup: false,
        })
    }
}

/// Whether `first..=last` has blocks of either copy of the table. The other copy is taken to be
/// where tools put it: its entries directly behind the primary header, or before the backup one.
fn has_blocks_of_table(header: &GptHeader, first: u64, last: u64) -> bool {
    let blocks = header.table_blocks();
    let inside = |from: u64, count: u64| from <= last && from.saturating_add(count) > first;
    let other = match header.alternate_lba.get() {
        PRIMARY => PRIMARY,
        backup => backup.saturating_sub(blocks),
    };
    inside(header.partition_entry_lba.get(), blocks)
        || inside(header.my_lba.get(), 1)
        || inside(other, blocks.saturating_add(1))
}
