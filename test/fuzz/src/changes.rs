//! Changes of a card that the input asks for.
//!
//! A change is a kind, two numbers and up to 255 bytes. The numbers are taken as places that there
//! are, so that nearly every input changes a structure that is read.

use crate::{MemoryCard, seal};
use arbitrary::{Arbitrary, Result, Unstructured};
use block_device::BLOCK_LEN;
use crashlog_format::{FormatId, Geometry};

/// Most changes of one input.
const MOST: usize = 24;

/// Where the log is on a card.
#[derive(Clone, Copy, Debug)]
pub struct LogPlace {
    /// First block of the partition.
    pub first: u64,
    /// How it is divided.
    pub geometry: Geometry,
    /// Seed of its checksums.
    pub format: FormatId,
    /// Number of pages that were written.
    pub pages: u32,
}

/// What is changed.
#[derive(Arbitrary, Debug)]
enum Target {
    Superblock,
    Ledger,
    Page,
    /// First block of a crash slot.
    Slot,
    /// Any block of a crash slot.
    InSlot,
    /// Block 0, the partition table, or its backup at the end of the card.
    Table,
    /// Any block of the partition.
    Any,
}

/// Makes the changes.
///
/// # Errors
/// The input ended: the changes before that were made.
pub fn apply(card: &mut MemoryCard, place: &LogPlace, input: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let target = Target::arbitrary(input)?;
        let (index, offset): (u32, u16) = (input.arbitrary()?, input.arbitrary()?);
        let (length, sealed): (u8, bool) = (input.arbitrary()?, input.arbitrary()?);
        let offset = usize::from(offset) % BLOCK_LEN;
        let bytes = input.bytes(usize::from(length).min(BLOCK_LEN - offset).min(input.len()))?;
        let number = number(card, place, &target, index);
        let mut block = card.block(number);
        block[offset..offset + bytes.len()].copy_from_slice(bytes);
        if sealed {
            seal::block(&mut block, place.format);
        }
        card.set(number, block);
    }
    Ok(())
}

/// The block on the card.
fn number(card: &MemoryCard, place: &LogPlace, target: &Target, index: u32) -> u64 {
    let geometry = &place.geometry;
    let slot = |index: u32| geometry.slot(index % geometry.slots()).unwrap_or(0);
    let at = |block: u32| place.first + u64::from(block);
    match target {
        Target::Superblock if index % 2 == 0 => at(0),
        Target::Superblock => at(geometry.blocks() - 1),
        Target::Ledger => at(geometry.ledger(index)),
        Target::Page => at(geometry.page(index % (place.pages + 20))),
        Target::Slot => at(slot(index)),
        Target::InSlot => at(slot(index) + index / geometry.slots() % geometry.slot_blocks()),
        Target::Table => {
            let count = block_device::PolledDevice::block_count(card);
            let index = u64::from(index) % 67;
            if index < 34 {
                index
            } else {
                count - (index - 33)
            }
        }
        Target::Any => at(index % geometry.blocks()),
    }
}
