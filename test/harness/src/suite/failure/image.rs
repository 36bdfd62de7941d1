//! The image that a kernel makes of the system's memory when it or the supervisor has failed.

use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use block_device::{BLOCK_LEN, Block};
use crashlog_format::snapshot::{
    ExtentKind, ExtentStatus, KERNEL_OWNER, SnapshotExtent, SnapshotHeader, SnapshotKind, WordSum,
};
use crashlog_retained::Region;
use std::collections::BTreeMap;
use zerocopy::FromBytes;

/// An image in retained RAM.
pub struct FailureImage {
    header: SnapshotHeader,
    bytes: Vec<u8>,
    boot: u32,
}

impl FailureImage {
    /// The image in the bytes of the retained region.
    pub fn read(region: &[u8]) -> Result<Self> {
        let blocks: Vec<Block> = region
            .chunks_exact(BLOCK_LEN)
            .map(|bytes| {
                let block = Block::zeroed();
                block.copy_from(0, bytes);
                block
            })
            .collect();
        let region = Region::over(&blocks).context("the retained region is too short")?;
        let area = region.snapshot();
        let header = area.header().context("there is no image")?;
        let mut bytes = Vec::new();
        for block in area.image(&header) {
            let mut part = [0; BLOCK_LEN];
            block.copy_to(0, &mut part);
            bytes.extend(part);
        }
        Ok(Self {
            header,
            bytes,
            boot: region.boot(),
        })
    }

    /// REQ: D2 (in part): the registered region comes first.
    ///
    /// Checks that it is of a failure in this boot of the task `failed`, holds all memory, and that
    /// the tasks' is as `memory` has it. That of the kernel, which has run since, is compared where
    /// its tables of tasks are.
    pub fn check(
        &self,
        failed: u16,
        symbols: &Symbols,
        memory: &mut impl FnMut(u32, u32) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let header = &self.header;
        ensure!(
            header.kind() == Ok(SnapshotKind::System)
                && header.task.get() == failed
                && header.current.get() == KERNEL_OWNER
                && header.boot.get() == self.boot
                && header.milliseconds.get() < 100,
            "the image is another: {header:?}"
        );
        let part = |from: u32, to: u32| {
            self.bytes
                .get(from as usize..to as usize)
                .context("the image is too short")
        };
        let tables = part(SnapshotHeader::REGIONS_AT, header.tables_end())?;
        ensure!(
            WordSum::new().bytes(tables).value() == header.table_sum.get(),
            "the tables have another checksum"
        );
        let tables = symbols.variable("kernel", "HUBRIS_TASK_TABLE_SPACE")?;
        let is_constant = |owner: u16, at: u32| {
            owner != KERNEL_OWNER
                || tables
                    .iter()
                    .any(|(base, size)| (*base..base + size).contains(&at))
        };
        let mut at = header.data_at();
        let mut owners: Vec<u16> = Vec::new();
        let mut regions = Vec::new();
        let mut compared: BTreeMap<u16, u32> = BTreeMap::new();
        let extents = part(header.extents_at(), header.tables_end())?;
        for bytes in extents.chunks(size_of::<SnapshotExtent>()) {
            let extent = SnapshotExtent::read_from_bytes(bytes)
                .ok()
                .context("an extent is too short")?;
            ensure!(
                extent.check().is_ok() && extent.status() == Ok(ExtentStatus::Saved),
                "an extent is missing: {extent:?}"
            );
            let data = part(at, at + extent.stored())?;
            at += extent.stored();
            ensure!(
                WordSum::new().bytes(data).value() == extent.sum(),
                "another checksum of {extent:?}"
            );
            if extent.kind() == Ok(ExtentKind::Region) {
                ensure!(
                    owners.is_empty(),
                    "a region behind other memory: {extent:?}"
                );
                regions.push((extent.region(), extent.length()));
            } else {
                owners.push(extent.owner());
            }
            let mut data = data.chunks(4);
            let actual = memory(extent.address(), extent.length())?;
            let mut words = (extent.address()..).step_by(4).zip(actual.chunks(4));
            for (content, length) in extent.granules() {
                for (at, actual) in words.by_ref().take(length / 4) {
                    let saved = match content.word() {
                        Some(word) => word.to_le_bytes(),
                        None => {
                            let word = data.next().context("too few data")?;
                            word.try_into().context("half a word")?
                        }
                    };
                    if is_constant(extent.owner(), at) {
                        ensure!(saved == actual, "other memory at {at:#x}: {extent:?}");
                        *compared.entry(extent.owner()).or_default() += 4;
                    }
                }
            }
        }
        // What the demo's worker has registered when it was built; what was registered at run time
        // is in the supervisor's registry.
        let name = part(SnapshotHeader::REGIONS_AT, header.extents_at())?;
        ensure!(
            regions == [(0, 8)] && header.regions.get() == 1 && name.starts_with(b"progress\0"),
            "the regions are {regions:?}: {name:x?}"
        );
        owners.dedup();
        ensure!(
            owners.starts_with(if failed == 0 {
                &[0, KERNEL_OWNER, 1]
            } else {
                &[KERNEL_OWNER, 0, 1]
            }),
            "the owners are {owners:?}"
        );
        // The tasks of the demo, and the kernel; jefe and the recorder have the priorities 0 and 1.
        ensure!(
            compared.len() == owners.len() && compared.values().all(|bytes| *bytes >= 1024),
            "not everything was compared: {compared:?}"
        );
        Ok(())
    }
}
