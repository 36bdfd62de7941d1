//! The two superblocks of a partition, and whether it is written (X12).
//!
//! A partition is ours only if the table, its entry and its superblocks agree. The first superblock
//! that passes its check counts; they differ if a formatting, or an adoption, was interrupted: the
//! state of the first is then whole.

use crate::store::{MountError, read_one};
use block_device::{BLOCK_LEN, Block, BlockDevice};
use core::fmt;
use crashlog_format::gpt::{FoundPartition, TableProblem};
use crashlog_format::{CheckError, Superblock, SuperblockContent, SuperblockError};

/// Why a partition that can be read is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRefusal {
    /// The partition table does not permit it.
    Table(TableProblem),
    /// The superblock states another place, or another GUID, than the table.
    OtherPlace,
    /// The superblock states no place: the partition was formatted apart from its card.
    NoPlace,
    /// One superblock is damaged, or differs from the other; and neither ledger passes its check,
    /// or the primary partition table is damaged, too.
    NoWitness,
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(problem) => problem.fmt(f),
            Self::OtherPlace => f.write_str(
                "the superblock states another place or GUID than the partition table: the partition was copied or moved",
            ),
            Self::NoPlace => {
                f.write_str("the superblock states no place: the partition was formatted apart from its card")
            }
            Self::NoWitness => f.write_str(
                "one superblock is damaged, or differs from the other, and so are both ledgers, or the primary partition table",
            ),
        }
    }
}

/// The superblock that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblocks {
    pub content: SuperblockContent,
    /// Whether the other one states the same.
    pub are_equal: bool,
}

impl Superblocks {
    /// Reads both superblocks of a partition of `blocks` blocks.
    pub(crate) async fn read<D: BlockDevice>(
        device: &mut D,
        blocks: u64,
        scratch: &[Block],
    ) -> Result<Self, MountError<D::Error>> {
        let last = u32::try_from(blocks.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut failure = MountError::Superblock(SuperblockError::Check(CheckError::Field));
        let mut found = None;
        for block in [0, last] {
            let error = match read_one(device, scratch, block).await {
                Ok(block) => match parse(block, blocks) {
                    Ok(content) => match &mut found {
                        None => {
                            found = Some(Self {
                                content,
                                are_equal: false,
                            });
                            continue;
                        }
                        Some(first) => {
                            first.are_equal = first.content == content;
                            break;
                        }
                    },
                    Err(error) => MountError::Superblock(error),
                },
                Err(error) => MountError::Device(error),
            };
            if block == 0 {
                failure = error;
            }
        }
        found.ok_or(failure)
    }

    /// Why the partition `found` is not written, as far as this can be told without the ledgers.
    pub(crate) fn refusal(&self, found: &FoundPartition) -> Option<WriteRefusal> {
        match found.problem {
            Some(problem) => Some(WriteRefusal::Table(problem)),
            None if !self.content.place().is_known() => Some(WriteRefusal::NoPlace),
            None if self.content.place() != found.place => Some(WriteRefusal::OtherPlace),
            // The card may have been made anew without a partition table, over a part of ours.
            None if found.from_backup && !self.are_equal => Some(WriteRefusal::NoWitness),
            None => None,
        }
    }
}

fn parse(block: &Block, blocks: u64) -> Result<SuperblockContent, SuperblockError> {
    let mut bytes = [0; BLOCK_LEN];
    block.copy_to(0, &mut bytes);
    Superblock::parse(&bytes, blocks)
}
