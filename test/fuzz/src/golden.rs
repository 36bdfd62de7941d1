//! The golden cards, which runs in QEMU have left: inputs begin with them.

use crate::MemoryCard;
use crate::changes::LogPlace;
use block_device::{Block, Window, now_or_never};
use crashlog_format::{PARTITION_NAME, PartitionPlace};
use crashlog_store::{Polled, Store, StoreOptions, find_partition};
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

/// Options of every mount.
pub const OPTIONS: StoreOptions = StoreOptions { keep_first: 2 };

/// The content of a file of `test/golden`, which is stored compressed and in parts.
///
/// # Panics
/// There is no such file, or it is damaged.
#[must_use]
pub fn content(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden");
    let parts = (0..).map(|number| folder.join(format!("{name}.zst.{number}")));
    let packed: Vec<u8> = parts
        .take_while(|path| path.exists())
        .flat_map(|path| fs::read(path).expect("a part of a golden file"))
        .collect();
    let mut decoder =
        ruzstd::decoding::StreamingDecoder::new(&*packed).expect("a golden file is compressed");
    let mut content = Vec::new();
    decoder
        .read_to_end(&mut content)
        .expect("a golden file is whole");
    content
}

/// A member of one of the archives.
///
/// # Panics
/// There is no such archive or member.
#[must_use]
pub fn member(archive: &str, name: &str) -> Vec<u8> {
    let mut archives = zip::ZipArchive::new(Cursor::new(content("builds"))).expect("archives");
    let mut bytes = Vec::new();
    archives
        .by_name(archive)
        .expect("an archive")
        .read_to_end(&mut bytes)
        .expect("an archive");
    let mut members = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let mut bytes = Vec::new();
    members
        .by_name(name)
        .expect("a member")
        .read_to_end(&mut bytes)
        .expect("a member");
    bytes
}

/// Where the log is on a card that is whole.
///
/// # Panics
/// The card is damaged.
#[must_use]
pub fn place(card: &MemoryCard) -> LogPlace {
    let mut card = card.clone();
    let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
    let found = now_or_never(find_partition(
        &mut Polled(&mut card),
        PARTITION_NAME,
        &scratch,
    ));
    let partition = found.expect("ready").expect("a partition");
    let PartitionPlace { first, blocks, .. } = partition.place;
    let window = Window::new(Polled(&mut card), first, blocks).expect("inside");
    let store = now_or_never(Store::mount(window, &partition, OPTIONS, &scratch))
        .expect("ready")
        .expect("a whole card");
    LogPlace {
        first,
        geometry: *store.geometry(),
        format: store.format(),
        pages: store.next_page(),
    }
}
