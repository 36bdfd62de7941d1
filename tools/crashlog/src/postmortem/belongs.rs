//! What belongs into a snapshot, by the constant tables of the kernel.
//!
//! The recorder lists all of it in the tables of the snapshot, what it could not save with the
//! reason. Memory that is neither saved nor listed is not mentioned by these tables: they are
//! damaged or made by something else, although their sums match. What belongs is therefore read
//! from the archive's flash alone, which the memory on the card does not cover here.

use super::kernel::Kernel;
use crate::snapshot::{Gap, GapReason, Snapshot};
use crashlog_format::snapshot::{ExtentKind, KERNEL_OWNER, SnapshotKind};
use std::collections::{BTreeMap, BTreeSet};

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

/// The memory that the tables of a snapshot do not mention. It is of the image of this kernel.
pub fn left_out(kernel: &Kernel<'_>, snapshot: &Snapshot) -> Vec<Gap> {
    let count = u16::try_from(kernel.archive().task_count()).unwrap_or(u16::MAX);
    let is_system = snapshot.header.kind() == Ok(SnapshotKind::System);
    let crashed = snapshot.header.task.get();
    let mut seen = BTreeSet::new();
    let mut ranges = Vec::new();
    for task in 0..count {
        // A region that several tasks share belongs to the first of them.
        for region in kernel.regions(task) {
            let is_first = seen.insert(region.descriptor);
            let belongs = is_first && region.attributes & MASK == WANTED;
            if belongs && (is_system || task == crashed) {
                ranges.push((
                    task,
                    region.base,
                    u64::from(region.base) + u64::from(region.size),
                ));
            }
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
    let mut covered = BTreeMap::new();
    let mut all = Vec::new();
    for (owner, base, end) in ranges {
        // Memory is saved by whole words.
        for (base, end) in uncovered(&mut covered, base.into(), end & !3) {
            all.extend(rest(snapshot, &gaps, owner, base, end));
        }
    }
    all
}

/// The parts of a range that no range before it has covered, which are covered from now on. Each
/// range is a start and its end.
fn uncovered(covered: &mut BTreeMap<u64, u64>, start: u64, end: u64) -> Vec<(u64, u64)> {
    if start >= end {
        return Vec::new();
    }
    let before = covered.range(..start).next_back();
    let mut at = before.map_or(start, |(_, end)| start.max(*end));
    let mut parts = Vec::new();
    for (from, to) in covered.range(start..end).chain([(&end, &end)]) {
        if at < *from {
            parts.push((at, *from));
        }
        at = at.max(*to);
    }
    covered.extend(parts.iter().copied());
    parts
}

/// What of a range is neither saved nor among the listed gaps, which have address and length.
fn rest(snapshot: &Snapshot, gaps: &[(u64, u64)], owner: u16, base: u64, end: u64) -> Vec<Gap> {
    let Ok(first) = u32::try_from(base) else {
        return Vec::new();
    };
    let saved = snapshot.memory.saved_in(first, end.saturating_sub(base));
    let saved = saved
        .iter()
        .map(|(address, bytes)| (u64::from(*address), bytes.len() as u64));
    let gaps = gaps
        .iter()
        .filter(|(start, length)| *start < end && base < start + length);
    let mut known: Vec<(u64, u64)> = saved.chain(gaps.copied()).collect();
    known.sort_unstable();
    let mut rest = Vec::new();
    let mut at = base;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_are_cut() {
        let mut covered = BTreeMap::new();
        for (range, parts) in [
            ((8, 16), &[(8, 16)][..]),
            ((8, 16), &[]),
            ((12, 20), &[(16, 20)]),
            ((24, 28), &[(24, 28)]),
            ((0, 1 << 32), &[(0, 8), (20, 24), (28, 1 << 32)]),
            ((4, 40), &[]),
            ((9, 3), &[]),
        ] {
            assert_eq!(uncovered(&mut covered, range.0, range.1), parts);
        }
    }
}
