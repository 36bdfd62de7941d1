//! The content of a card, read without its driver.

use block_device::{BLOCK_LEN, Block, BlockDevice, Window, now_or_never};
use crashlog_format::FormatId;
use crashlog_format::crash::CrashHeader;
use crashlog_format::gpt::Guid;
use crashlog_format::ledger::Ledger;
use crashlog_format::page::LogHeader;
use crashlog_format::snapshot::{ExtentStatus, SnapshotExtent, SnapshotHeader, WordSum};
use crashlog_store::{
    FormatOptions, LogItem, LogReader, Store, StoreOptions, TableOptions, find_partition,
    format_partition, write_table,
};
use std::collections::BTreeMap;
use std::ops::Range;
use zerocopy::FromBytes;

/// Name of the partition.
pub const PARTITION: &str = "crashlog";

/// Unique GUID of the partition.
pub const PARTITION_GUID: Guid = Guid::new(2);

/// The options that the partition is mounted with.
pub const OPTIONS: StoreOptions = StoreOptions { keep_first: 2 };

/// The blocks of a card, in memory.
#[derive(Clone, Debug)]
pub struct Image {
    /// Capacity.
    pub blocks: u64,
    /// The blocks that have ever been written.
    pub content: BTreeMap<u32, Vec<u32>>,
}

/// The error of an image: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// What is found on a card.
#[derive(Debug, Default)]
pub struct Content {
    /// Log records: boot, number, payload.
    pub log: BTreeMap<(u32, u32), Vec<u8>>,
    /// Boot and number of log records that are there once more, with the same payload.
    pub repeated: Vec<(u32, u32)>,
    /// What the log records say about themselves: by boot and number.
    pub headers: BTreeMap<(u32, u32), LogHeader>,
    /// Pages that the reader found damaged.
    pub damaged: Vec<u32>,
    /// Crashes: the time, and whether every segment matches its checksum.
    pub crashes: BTreeMap<u64, bool>,
    /// Crashes of which the ledger names a snapshot: the time, and whether it is whole.
    pub snapshots: BTreeMap<u64, bool>,
}

impl BlockDevice for Image {
    type Error = Never;

    fn block_count(&self) -> u64 {
        self.blocks
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Never> {
        for (number, block) in (first..).zip(blocks) {
            let words = u32::try_from(number)
                .ok()
                .and_then(|number| self.content.get(&number));
            for word in 0..128 {
                block.set_word(word, words.map_or(0, |words| words[word]));
            }
        }
        Ok(())
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Never> {
        for (number, block) in (first..).zip(blocks) {
            let words = (0..128).map(|word| block.word(word)).collect();
            self.content
                .insert(u32::try_from(number).expect("a block of a card"), words);
        }
        Ok(())
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Never> {
        self.write(block, core::slice::from_ref(data)).await
    }

    async fn flush(&mut self) -> Result<(), Never> {
        Ok(())
    }
}

impl Image {
    /// A card with an empty crash-log partition.
    ///
    /// # Panics
    /// If the card has no room for it.
    #[must_use]
    pub fn formatted(blocks: u64) -> Self {
        let mut image = Self {
            blocks,
            content: BTreeMap::new(),
        };
        let table = TableOptions {
            name: PARTITION,
            disk: Guid::new(1),
            partition: PARTITION_GUID,
        };
        let made = now_or_never(write_table(&mut image, &table));
        let partition = made.expect("ready").expect("room for a table");
        let options = FormatOptions {
            format: FormatId::new(0xF0),
            slots: None,
            slot_blocks: None,
            place: partition,
        };
        let window = Window::new(image, partition.first, partition.blocks);
        let mut window = window.expect("a partition on the card");
        let formatted = now_or_never(format_partition(&mut window, &options));
        formatted.expect("ready").expect("room for a partition");
        window.into_inner()
    }

    /// Reads all log records and crashes.
    ///
    /// # Panics
    /// If the log cannot be mounted, or a record is there twice.
    #[must_use]
    pub fn read_all(self) -> Content {
        let content = self.read_repeated();
        let repeated = &content.repeated;
        assert!(repeated.is_empty(), "{repeated:?} are there twice");
        content
    }

    /// As [`Image::read_all`]; records may be there several times, as of a page that was written
    /// again because retained RAM has lost that it was written.
    ///
    /// # Panics
    /// If the log cannot be mounted, or a record is there with two payloads.
    #[must_use]
    pub fn read_repeated(self) -> Content {
        self.read(true)
    }

    /// As [`Image::read_repeated`], of the log alone: neither ledger has to be whole.
    ///
    /// # Panics
    /// If the log cannot be mounted, or a record is there with two payloads.
    #[must_use]
    pub fn read_log(self) -> Content {
        self.read(false)
    }

    fn read(mut self, with_crashes: bool) -> Content {
        let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
        let buffer: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
        let read = async {
            let partition = find_partition(&mut self, PARTITION, &scratch)
                .await
                .expect("the partition is there");
            let window = Window::new(self, partition.place.first, partition.place.blocks);
            let window = window.expect("on the card");
            let mut store = Store::mount(window, &partition, OPTIONS, &scratch)
                .await
                .expect("the log can be mounted");
            let mut content = Content::default();
            let mut reader = LogReader::new(&store, &buffer);
            while let Ok(Some(item)) = reader.next(&mut store).await {
                match item {
                    LogItem::Record { record, .. } => {
                        let key = (record.boot, record.sequence);
                        let payload = record.payload.to_vec();
                        if let Some(before) = content.log.insert(key, payload) {
                            assert_eq!(before, record.payload, "{key:?} is there twice");
                            content.repeated.push(key);
                        }
                        content.headers.insert(key, record.header);
                    }
                    LogItem::Damaged { page, .. } => content.damaged.push(page),
                }
            }
            if !with_crashes {
                return content;
            }
            let snapshots = named_snapshots(&mut store).await;
            for index in 0..store.crash_count() {
                let tally = store.tally(index).expect("a record");
                let record = store.open_crash(tally.sequence).await;
                let record = record.expect("a record that can be read");
                let mut whole = true;
                for segment in 0..record.segments().len() {
                    whole &= record.check(&mut store, segment).await == Ok(true);
                }
                content.crashes.insert(record.header.time.get(), whole);
                let slot = snapshots.iter().find(|(found, _)| *found == tally.sequence);
                if let Some((_, slot)) = slot {
                    let first = slot + CrashHeader::snapshot_block(record.segments());
                    let last = slot + store.geometry().slot_blocks();
                    let bytes = read_bytes(store.device(), first..last).await;
                    let format = store.format();
                    let whole = is_whole(&bytes, format, tally.sequence);
                    content.snapshots.insert(record.header.time.get(), whole);
                }
            }
            content
        };
        now_or_never(read).expect("ready")
    }
}

/// The crashes of which the newest ledger names a snapshot: their numbers, and the first blocks of
/// their slots.
async fn named_snapshots<D: BlockDevice<Error: core::fmt::Debug>>(
    store: &mut Store<'_, D>,
) -> Vec<(u32, u32)> {
    let (format, geometry) = (store.format(), *store.geometry());
    let mut newest: Option<Ledger> = None;
    for parity in [0, 1] {
        let at = geometry.ledger(parity);
        let bytes = read_bytes(store.device(), at..at + 1).await;
        let mut ledger = Ledger::ZERO.clone();
        ledger.load(|offset, out| out.copy_from_slice(&bytes[offset..offset + out.len()]));
        let is_newer = newest
            .as_ref()
            .is_none_or(|newest| ledger.is_newer_than(newest));
        if ledger.check(format, &geometry).is_ok() && is_newer {
            newest = Some(ledger);
        }
    }
    let ledger = newest.expect("a ledger is whole");
    (0..geometry.slots())
        .filter(|slot| ledger.has_snapshot(*slot))
        .filter_map(|slot| Some((ledger.entry(slot)?.sequence.get(), geometry.slot(slot)?)))
        .collect()
}

/// The bytes of these blocks.
async fn read_bytes<D: BlockDevice<Error: core::fmt::Debug>>(
    device: &mut D,
    range: Range<u32>,
) -> Vec<u8> {
    let blocks: Vec<Block> = range.clone().map(|_| Block::zeroed()).collect();
    let read = device.read(range.start.into(), &blocks).await;
    read.expect("blocks of the partition");
    let mut bytes = vec![0; blocks.len() * BLOCK_LEN];
    for (block, bytes) in blocks.iter().zip(bytes.chunks_mut(BLOCK_LEN)) {
        block.copy_to(0, bytes);
    }
    bytes
}

/// Whether this is the snapshot of crash `sequence`, with everything that belongs into it.
fn is_whole(bytes: &[u8], format: FormatId, sequence: u32) -> bool {
    let Ok(header) = SnapshotHeader::parse(bytes, format, bytes.len() as u32) else {
        return false;
    };
    let [extents, end, mut at] =
        [header.extents_at(), header.tables_end(), header.data_at()].map(|at| at as usize);
    let tables = WordSum::new().bytes(&bytes[SnapshotHeader::REGIONS_AT as usize..end]);
    header.sequence.get() == sequence
        && header.written.get() == header.length()
        && header.extents.get() > 0
        && tables.value() == header.table_sum.get()
        && bytes[extents..end]
            .chunks(size_of::<SnapshotExtent>())
            .all(|row| {
                let extent = SnapshotExtent::read_from_bytes(row).expect("a whole row");
                let data = &bytes[at..at + extent.stored() as usize];
                at += data.len();
                extent.status() == Ok(ExtentStatus::Saved)
                    && WordSum::new().bytes(data).value() == extent.sum()
            })
}
