//! ADMA2 descriptors with 32-bit addresses (section 1.13).
//!
//! A descriptor is two words: length and attributes, then the address. The table is one [`Block`],
//! 64 descriptors. Each describes up to 32 KiB of memory that is contiguous on the bus, as a slice
//! of blocks is.

use crate::command::Data;
use crate::platform::Platform;
use block_device::Block;

/// Blocks that one descriptor covers at most. The length field could hold 64 KiB less one byte.
const BLOCKS_PER_DESCRIPTOR: usize = 64;

/// Descriptors in a table.
const DESCRIPTORS: usize = block_device::BLOCK_WORDS / 2;

/// Blocks in one request at most: 2 MiB. The same limit holds without DMA, so that whether a
/// request is accepted does not depend on how its data move.
pub const MAX_BLOCKS: usize = BLOCKS_PER_DESCRIPTOR * DESCRIPTORS;

const VALID: u32 = 1 << 0;
const END: u32 = 1 << 1;
const TRANSFER: u32 = 2 << 4;

/// Describes the blocks of a request in `table` and returns the table's bus address. `None` if
/// there is no table, or the controller cannot reach it or one of the blocks: then the data have to
/// go through the buffer port.
///
/// Inlined, so that both drivers have it without the cost of a call.
#[inline(always)]
pub(crate) fn describe<P: Platform>(
    table: Option<&Block>,
    data: &Data<'_>,
    platform: &P,
) -> Option<u32> {
    let table = table?;
    let address = platform.bus_address(table)?;
    write_descriptors(table, data, platform)?;
    Some(address)
}

fn write_descriptors<P: Platform>(table: &Block, data: &Data<'_>, platform: &P) -> Option<()> {
    let mut slots = table.words().chunks_exact(2);
    let mut rest = data.blocks;
    while !rest.is_empty() {
        let len = rest.len().min(BLOCKS_PER_DESCRIPTOR);
        let (run, after) = rest.split_at_checked(len)?;
        let address = platform.bus_address(run.first()?)?;
        let bytes = u32::from(data.block_len.bytes()).wrapping_mul(len as u32);
        let end = if after.is_empty() { END } else { 0 };
        let [attributes, pointer] = slots.next()? else {
            return None;
        };
        set(attributes, bytes << 16 | TRANSFER | VALID | end);
        set(pointer, address);
        rest = after;
    }
    Some(())
}

#[inline(always)]
fn set(word: &core::sync::atomic::AtomicU32, value: u32) {
    word.store(value.to_le(), core::sync::atomic::Ordering::Relaxed);
}
