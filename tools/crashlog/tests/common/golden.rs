//! The cards and archives of `test/golden`: crashes of real firmware.

use super::snapshot::Snapshot;
use super::{Bench, Partition};
use crashlog_format::BLOCK_LEN;
use crashlog_format::crash::CrashHeader;
use crashlog_format::snapshot::{SnapshotExtent, SnapshotHeader, SnapshotRegion};
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The image of `saboteur.zip`.
pub const SABOTEUR: u64 = u64::from_le_bytes([0x75, 0x9a, 0x73, 0x48, 0xe2, 0x40, 0x7e, 0xbf]);

/// A card with a crash that has a snapshot, and the archive of its firmware.
pub struct Scene {
    pub bench: Bench,
    pub card: PathBuf,
    pub archive: PathBuf,
    pub partition: Partition,
    pub crash: u32,
    /// Real memory.
    pub snapshot: Snapshot,
}

/// The content of a file of the folder.
fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/golden");
    let parts = (0..).map(|number| folder.join(format!("{name}.zst.{number}")));
    let parts = parts.take_while(|path| path.exists());
    let packed: Vec<u8> = parts
        .flat_map(|path| fs::read(path).expect("a part"))
        .collect();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&*packed).expect("zstd");
    let mut content = Vec::new();
    decoder.read_to_end(&mut content).expect("zstd");
    content
}

/// A card.
pub fn card(bench: &Bench, name: &str) -> PathBuf {
    let path = bench.path("golden.img");
    fs::write(&path, read(name)).expect("card");
    path
}

/// The archive `demo.zip` or `saboteur.zip`.
pub fn archive(bench: &Bench, name: &str) -> PathBuf {
    let mut zip = ZipArchive::new(Cursor::new(read("builds"))).expect("zip");
    let path = bench.path(name);
    let mut file = File::create(&path).expect("archive");
    std::io::copy(&mut zip.by_name(name).expect("archive"), &mut file).expect("archive");
    path
}

/// A copy of an archive with some members changed: `change` gets the name and the bytes of each,
/// and returns its new bytes; `None`: it is left out.
pub fn changed(archive: &Path, to: &Path, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) {
    let mut from = ZipArchive::new(File::open(archive).expect("archive")).expect("zip");
    let mut zip = ZipWriter::new(File::create(to).expect("archive"));
    zip.set_comment("hubris build archive v11")
        .expect("comment");
    for index in 0..from.len() {
        let mut member = from.by_index(index).expect("member");
        let name = member.name().expect("name").into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("member");
        if let Some(bytes) = change(&name, bytes) {
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options).expect("member");
            zip.write_all(&bytes).expect("member");
        }
    }
    zip.finish().expect("archive");
}

/// The block of the first crash on a card.
pub fn crash(partition: &Partition) -> u32 {
    let slots = (0..).map_while(|slot| partition.geometry.slot(slot));
    let mut crashes = slots.filter(|block| partition.read(*block).starts_with(b"CLCR"));
    crashes.next().expect("a crash")
}

/// The snapshot of the crash in this block.
pub fn snapshot(partition: &Partition, crash: u32) -> Snapshot {
    let blocks = partition.geometry.slot_blocks();
    let block = partition.read(crash);
    let (header, segments) = CrashHeader::parse(&block, partition.format, blocks).expect("a crash");
    let first = crash + CrashHeader::snapshot_block(&segments[..header.segments()]);
    let room = (crash + blocks - first) * BLOCK_LEN as u32;
    let header =
        SnapshotHeader::parse(&partition.read(first), partition.format, room).expect("a snapshot");
    let all: Vec<u8> = (first..crash + blocks)
        .flat_map(|block| partition.read(block))
        .collect();
    let table = |from: u32, to: u32| &all[from as usize..to as usize];
    let regions = table(SnapshotHeader::REGIONS_AT, header.extents_at());
    let extents = table(header.extents_at(), header.tables_end());
    Snapshot {
        header,
        regions: regions
            .chunks_exact(size_of::<SnapshotRegion>())
            .map(|bytes| SnapshotRegion::read_from_bytes(bytes).expect("a region"))
            .collect(),
        extents: extents
            .chunks_exact(size_of::<SnapshotExtent>())
            .map(|bytes| SnapshotExtent::read_from_bytes(bytes).expect("an extent"))
            .collect(),
        data: table(header.data_at(), header.length()).to_vec(),
    }
}

/// The same without the extents that `leave_out` picks, and without their data.
pub fn without(from: &Snapshot, leave_out: impl Fn(&SnapshotExtent) -> bool) -> Snapshot {
    let mut rest = &from.data[..];
    let mut to = Snapshot {
        header: from.header,
        regions: from.regions.clone(),
        extents: Vec::new(),
        data: Vec::new(),
    };
    for extent in &from.extents {
        let (own, behind) = rest.split_at(extent.stored() as usize);
        rest = behind;
        if !leave_out(extent) {
            to.extents.push(*extent);
            to.data.extend(own);
        }
    }
    to
}
