//! Whether nothing was ever written to a card, or to a part of it.

use crate::image::Image;
use crate::problem::Problem;
use crate::terminal::Progress;
use block_device::BLOCK_LEN;

/// Number of blocks that are read at a time: 1 MiB.
const CHUNK: u64 = 2048;

/// Whether all blocks are blank: zeros, or all ones.
pub fn is_blank(image: &Image) -> Result<bool, Problem> {
    let mut progress = Progress::new("looking for data", image.blocks());
    let mut bytes = vec![0; CHUNK as usize * BLOCK_LEN];
    let mut at = 0;
    let mut fill = None;
    while at < image.blocks() {
        let count = CHUNK.min(image.blocks() - at);
        let chunk = bytes
            .get_mut(..count as usize * BLOCK_LEN)
            .unwrap_or(&mut []);
        image.read_at(at, chunk)?;
        let first = *fill.get_or_insert(chunk.first().copied().unwrap_or(0));
        if !matches!(first, 0 | u8::MAX) || chunk.iter().any(|byte| *byte != first) {
            return Ok(false);
        }
        at += count;
        progress.at(at);
    }
    Ok(true)
}
