//! Checking the segments of a crash on the card.

use crate::store::read_one;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::Crc32c;
use crashlog_format::crash::Segment;

/// Whether the bytes of `segment` match their checksum. The slot of the crash begins at block `first`.
pub(crate) async fn is_undamaged<D: BlockDevice>(
    device: &mut D,
    first: u32,
    segment: &Segment,
    scratch: &[Block],
) -> Result<bool, D::Error> {
    let mut crc = Crc32c::new();
    let mut left = segment.length() as usize;
    let start = first.saturating_add(segment.block());
    for block in start..start.saturating_add(segment.blocks()) {
        let block = read_one(device, scratch, block).await?;
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let here = bytes.get(..left.min(BLOCK_LEN)).unwrap_or(&[]);
        crc = crc.bytes(here);
        left = left.saturating_sub(here.len());
    }
    Ok(crc.value() == segment.crc())
}
