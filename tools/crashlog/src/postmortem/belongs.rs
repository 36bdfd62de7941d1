//! What belongs into a snapshot, by the constant tables of the kernel.
//!
//! The recorder lists all of it in the tables of the snapshot, what it could not save with the
//! reason. Memory that is neither saved nor listed was left out of these tables: they are damaged
//! or made by something else, although their sums match.

use super::kernel::Kernel;
use crate::snapshot::{Gap, GapReason, Snapshot};
use crashlog_format::snapshot::{ExtentKind, KERNEL_OWNER, SnapshotKind};

/// Attributes of regions that belong into a snapshot: they can be written, and are neither devices
/// nor for DMA.
const MASK: u32 = 2 | 8 | 16;
const WANTED: u32 = 2;

/// The kernel's symbols around what it keeps in RAM.
const KERNEL_RANGES: [(&str, &str); 3] = [
    ("_stack_base", "_stack_start"),
    ("__sbss", "__eheap"),
    ("__sdata", "__edata"),
];

/// The memory that is left out of the tables of a snapshot, which is of the image of this kernel.
pub fn left_out(kernel: &Kernel<'_>, snapshot: &Snapshot) -> Vec<Gap> {
    let count = u16::try_from(kernel.archive().task_count()).unwrap_or(u16::MAX);
    let is_system = snapshot.header.kind() == Ok(SnapshotKind::System);
    let crashed = snapshot.header.task.get();
    let mut seen = Vec::new();
    let mut ranges = Vec::new();
    for task in 0..count {
        // A region that several tasks share belongs to the first of them.
        for region in kernel.regions(task) {
            let belongs = region.attributes & MASK == WANTED && !seen.contains(&region.descriptor);
            if belongs && (is_system || task == crashed) {
                ranges.push((
                    task,
                    region.base,
                    u64::from(region.base) + u64::from(region.size),
                ));
            }
            seen.push(region.descriptor);
        }
    }
    if is_system {
        let symbols = KERNEL_RANGES.iter();
        let found = symbols.filter_map(|(start, end)| {
            Some((
                KERNEL_OWNER,
                kernel.address(start)?,
                u64::from(kernel.address(end)?),
            ))
        });
        ranges.extend(found);
    } else if let Some(entry) = kernel.entry_of(crashed) {
        ranges.push((
            KERNEL_OWNER,
            entry.base,
            u64::from(entry.base) + u64::from(entry.size),
        ));
    }
    let gaps = snapshot.gaps.iter();
    let mut gaps: Vec<(u64, u64)> = gaps
        .map(|gap| (u64::from(gap.address), gap.length))
        .collect();
    gaps.sort_unstable();
    let all = ranges
        .into_iter()
        .flat_map(|(owner, base, end)| rest(snapshot, &gaps, owner, base, end));
    all.collect()
}

/// What of a range is neither saved nor among the listed gaps, which have address and length.
fn rest(snapshot: &Snapshot, gaps: &[(u64, u64)], owner: u16, base: u32, end: u64) -> Vec<Gap> {
    // Memory is saved by whole words.
    let end = end & !3;
    let saved = snapshot
        .memory
        .saved_in(base, end.saturating_sub(base.into()));
    let saved = saved
        .iter()
        .map(|(address, bytes)| (u64::from(*address), bytes.len() as u64));
    let gaps = gaps
        .iter()
        .filter(|(start, length)| *start < end && u64::from(base) < start + length);
    let mut known: Vec<(u64, u64)> = saved.chain(gaps.copied()).collect();
    known.sort_unstable();
    let mut rest = Vec::new();
    let mut at = u64::from(base);
    for (start, length) in known.into_iter().chain([(end, 0)]) {
        let until = start.min(end);
        if at < until
            && let Ok(address) = u32::try_from(at)
        {
            rest.push(Gap {
                address,
                length: until - at,
                owner,
                kind: ExtentKind::Memory,
                why: GapReason::LeftOut,
            });
        }
        at = at.max(start + length);
    }
    rest
}
