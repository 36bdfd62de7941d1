//! Images of memory for the tests, made of the structures of the format.

use super::Partition;
use crashlog_format::BLOCK_LEN;
use crashlog_format::crash::{CrashHeader, Name};
use crashlog_format::snapshot::{
    ExtentKind, ExtentStatus, GRANULE, STACK_FILL, SnapshotExtent, SnapshotHeader, SnapshotKind,
    SnapshotRegion, WordSum,
};
use zerocopy::IntoBytes;

/// An image that is being made.
pub struct Snapshot {
    pub header: SnapshotHeader,
    pub regions: Vec<SnapshotRegion>,
    pub extents: Vec<SnapshotExtent>,
    pub data: Vec<u8>,
}

impl Snapshot {
    pub fn new(kind: SnapshotKind) -> Self {
        let mut header = SnapshotHeader::new(kind);
        header.milliseconds = 12.into();
        Self {
            header,
            regions: Vec::new(),
            extents: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Adds memory, in extents of at most 4096 bytes.
    pub fn save(&mut self, owner: u16, address: u32, bytes: &[u8]) -> &mut Self {
        for (piece, address) in bytes.chunks(4096).zip((address..).step_by(4096)) {
            self.extent(ExtentKind::Memory, owner, address, piece, 0);
        }
        self
    }

    /// Adds a registered region and its memory.
    pub fn region(&mut self, name: &str, owner: u16, address: u32, bytes: &[u8]) -> &mut Self {
        let index = self.regions.len() as u16;
        self.regions.push(SnapshotRegion::new(
            Name::new(name),
            owner,
            address,
            bytes.len() as u32,
        ));
        self.extent(ExtentKind::Region, owner, address, bytes, index);
        self
    }

    fn extent(&mut self, kind: ExtentKind, owner: u16, address: u32, bytes: &[u8], region: u16) {
        let mut extent = SnapshotExtent::new(kind, owner, address, bytes.len() as u16, region);
        let (mut map, mut sum) = (0, WordSum::new());
        for (index, granule) in bytes.chunks(GRANULE).enumerate() {
            let is = |word: u32| granule.chunks(4).all(|own| own == word.to_le_bytes());
            if is(0) {
                map |= 1 << (2 * index);
            } else if is(STACK_FILL) {
                map |= 2 << (2 * index);
            } else {
                sum = sum.bytes(granule);
                self.data.extend(granule);
            }
        }
        extent.set_saved(map, sum.value());
        self.extents.push(extent);
    }

    /// Adds memory that was not saved.
    pub fn miss(
        &mut self,
        owner: u16,
        address: u32,
        length: u16,
        status: ExtentStatus,
    ) -> &mut Self {
        let mut extent = SnapshotExtent::new(ExtentKind::Memory, owner, address, length, 0);
        extent.set_missing(status);
        self.extents.push(extent);
        self
    }

    /// The image, with a header whose sums match. `change` changes the header before that.
    pub fn image(
        &self,
        partition: &Partition,
        change: impl FnOnce(&mut SnapshotHeader),
    ) -> Vec<u8> {
        let mut tables = self.regions.as_bytes().to_vec();
        tables.extend(self.extents.as_bytes());
        let mut header = self.header;
        header.regions = (self.regions.len() as u16).into();
        header.extents = (self.extents.len() as u32).into();
        header.data = (self.data.len() as u32).into();
        header.table_sum = WordSum::new().bytes(&tables).value().into();
        header.written = header.length().into();
        change(&mut header);
        header.seal(partition.format);
        let mut image = header.as_bytes().to_vec();
        image.resize(BLOCK_LEN, 0);
        image.extend(&tables);
        image.resize(image.len().next_multiple_of(BLOCK_LEN), 0);
        image.extend(&self.data);
        image.resize(image.len().next_multiple_of(BLOCK_LEN), 0);
        image
    }

    /// Writes it behind the newest crash, whose header is in block `crash`; the ledger names it.
    /// Returns its first block.
    pub fn write(
        &self,
        partition: &mut Partition,
        crash: u32,
        change: impl FnOnce(&mut SnapshotHeader),
    ) -> u32 {
        let block = self.write_without_ledger(partition, crash, change);
        partition.note_snapshot();
        block
    }

    /// The same, as if the power had been lost before the ledger was written.
    pub fn write_without_ledger(
        &self,
        partition: &Partition,
        crash: u32,
        change: impl FnOnce(&mut SnapshotHeader),
    ) -> u32 {
        let (of, segments) = CrashHeader::parse(
            &partition.read(crash),
            partition.format,
            partition.geometry.slot_blocks(),
        )
        .expect("a crash");
        let block = crash + CrashHeader::snapshot_block(&segments[..of.segments()]);
        let image = self.image(partition, |header| {
            header.sequence = of.sequence;
            header.boot = of.boot;
            header.task = of.task;
            header.time = of.time;
            header.image_id = of.image_id;
            change(header);
        });
        partition.write(block, &image);
        block
    }
}
