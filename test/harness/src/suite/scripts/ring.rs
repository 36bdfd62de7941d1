//! The script `log-ring` on the dump of a machine, compared with what the library finds there.

use super::{BLOCKS, REGION, call};
use crate::core_dump::CoreDump;
use anyhow::{Context, Result, ensure};
use block_device::{BLOCK_LEN, Block};
use crashlog_retained::{LogRing, Region};
use std::collections::BTreeMap;
use std::path::Path;

/// REQ: D4 (in part). The script `log-ring` on the dump of a machine prints what the library finds
/// in the ring.
pub fn check(path: &Path) -> Result<()> {
    let memory = CoreDump::read(path)?.memory(REGION, (BLOCKS * BLOCK_LEN) as u32)?;
    let blocks: Vec<Block> = memory
        .chunks_exact(BLOCK_LEN)
        .map(|bytes| {
            let block = Block::zeroed();
            block.copy_from(0, bytes);
            block
        })
        .collect();
    let region = Region::over(&blocks).context("the region is too short")?;
    let (ring, recovery) = LogRing::recover(&region);
    let mut held: BTreeMap<u16, (u32, usize)> = BTreeMap::new();
    ring.for_each(|task, bytes| {
        let held = held.entry(task).or_default();
        *held = (held.0 + 1, held.1 + bytes);
    });
    let total: usize = held.values().map(|held| held.1).sum();
    ensure!(total > 0, "the ring is empty");
    let folder = tempfile::tempdir().context("no folder")?;
    call::stand_in(folder.path())?;
    let path = path.to_str().context("the path is no text")?;
    let output = call::run(folder.path(), true, "log-ring", &[path])?;
    let said = String::from_utf8_lossy(&output.stdout);
    let first = format!(
        "log ring: {total} of 122880 bytes: {} records in {} of 256 pages are not on the card yet; {} accepted in boot {}",
        held.values().map(|held| held.0).sum::<u32>(),
        recovery.pages,
        ring.accepted(),
        region.boot() + region.boot_offset(),
    );
    ensure!(
        said.lines().next() == Some(&first),
        "the first line is not `{first}`: {said}"
    );
    let rows: Vec<(u32, usize)> = said
        .lines()
        .skip(2)
        .take(held.len())
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    ensure!(
        rows == held.values().copied().collect::<Vec<_>>(),
        "the records by task are {held:?}, and the script prints: {said}"
    );
    Ok(())
}
