//! Images of invented memory, and what is found of them on a card.

use super::card::TestCard;
use super::recorder::{blocks, mount, now};
use block_device::Block;
use crashlog_format::crash::{CrashHeader, Name};
use crashlog_format::snapshot::{
    ExtentStatus, GRANULE, GranuleContent, STACK_FILL, SnapshotExtent, SnapshotHeader,
    SnapshotKind, WordSum,
};
use crashlog_retained::{
    CrashContext, MemoryRange, Region, RegisteredRegion, SavedMemory, SnapshotFacts, SnapshotPiece,
    SnapshotSource,
};
use zerocopy::FromBytes;

/// The memory of some tasks. Each has a stack of which 3 KiB are used, and 4 KiB were not.
struct InventedMemory;

impl InventedMemory {
    fn word(address: u32) -> u32 {
        match address & 0x1fff {
            0..0x1000 => STACK_FILL,
            0x1000..0x1100 => 0,
            _ => super::card::mix(address.into()) as u32,
        }
    }
}

impl SnapshotSource for InventedMemory {
    fn now(&mut self) -> u64 {
        0
    }

    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        let base = 0x8000_0000 + (u32::from(owner) << 13);
        (n == 0).then_some(MemoryRange { base, size: 0x1c00 })
    }

    fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
        let base = 0x9000_1000 + 0x80 * u32::from(task);
        Some(MemoryRange { base, size: 0x80 })
    }

    fn region(&mut self, n: usize) -> Option<RegisteredRegion> {
        (n == 0).then(|| RegisteredRegion {
            name: Name::new("state"),
            owner: 5,
            address: 0x8001_1200,
            length: 0x100,
            is_device: false,
        })
    }

    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        let mut saved = SavedMemory {
            map: 0,
            stored: 0,
            sum: 0,
        };
        let mut sum = WordSum::new();
        for (index, granule) in (0..piece.length).step_by(GRANULE).enumerate() {
            let end = piece.length.min(granule + GRANULE as u32);
            let words: Vec<u32> = (granule..end)
                .step_by(4)
                .map(|at| Self::word(piece.address + at))
                .collect();
            let fills = [0, STACK_FILL];
            if let Some(fill) = fills
                .iter()
                .position(|fill| words.iter().all(|word| word == fill))
            {
                saved.map |= (fill as u32 + 1) << (2 * index);
                continue;
            }
            for word in words {
                let at = (offset + saved.stored) as usize;
                to[at / 512].set_word(at % 512 / 4, word);
                sum = sum.word(word);
                saved.stored += 4;
            }
        }
        saved.sum = sum.value();
        Ok(saved)
    }
}

/// Makes an image of the crash with this context, of `tasks` tasks beside it.
pub fn make_image(region: &Region<'_>, crash: &CrashContext, kind: SnapshotKind, tasks: u16) {
    let facts = SnapshotFacts {
        kind,
        boot: crash.boot,
        task: crash.task,
        current: 0,
        time: crash.time,
        image_id: crash.image_id,
        registers: [9; 17],
        deadline: u64::MAX,
    };
    let owners = 0..tasks;
    assert!(region.snapshot().write(&facts, owners, &mut InventedMemory));
    assert!(region.snapshot().is_waiting());
}

/// What is behind a crash on a card. Everything that is there was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No snapshot of this crash.
    None,
    /// A snapshot of which something is missing, or that no ledger names.
    Cut(SnapshotHeader),
    /// A whole snapshot that the ledger names: all of its bytes are what they have to be.
    Whole(SnapshotHeader),
}

/// Reads the snapshot of crash `sequence`.
pub fn read_snapshot(card: &TestCard, sequence: u32) -> Found {
    let scratch = blocks(16);
    let mut store = mount(card, &scratch).unwrap();
    let Some((slot, _)) = store.ledger.by_sequence(sequence) else {
        return Found::None;
    };
    let named = store.ledger.has_snapshot(slot);
    let (format, geometry) = (store.format(), *store.geometry());
    let crash = now(store.open_crash(sequence)).unwrap();
    let at = CrashHeader::snapshot_block(crash.segments());
    let mut bytes = Vec::new();
    for block in at..geometry.slot_blocks() {
        let block = now(store.read_block(crash.first + block)).unwrap();
        let mut own = [0; 512];
        block.copy_to(0, &mut own);
        bytes.extend(own);
    }
    let header = match SnapshotHeader::parse(&bytes, format, bytes.len() as u32) {
        Ok(header) if header.sequence.get() == sequence => header,
        _ => {
            assert!(!named, "the ledger names a snapshot that is not there");
            return Found::None;
        }
    };
    assert_eq!(header.time, crash.header.time);
    assert_eq!(header.boot, crash.header.boot);
    let tables = &bytes[512..header.tables_end() as usize];
    let mut whole = WordSum::new().bytes(tables).value() == header.table_sum.get();
    assert!(whole || !named);
    if whole {
        let mut at = header.data_at() as usize;
        for row in bytes[header.extents_at() as usize..header.tables_end() as usize].chunks(24) {
            let extent = SnapshotExtent::read_from_bytes(row).unwrap();
            assert_eq!(
                (extent.check(), extent.status()),
                (Ok(()), Ok(ExtentStatus::Saved))
            );
            let end = at + extent.stored() as usize;
            let there = end <= header.written.get() as usize;
            let data = bytes.get(at..end).unwrap_or(&[]);
            let sound = there && WordSum::new().bytes(data).value() == extent.sum();
            assert!(!named || sound == there, "named and damaged");
            if sound {
                check_data(&extent, data);
            }
            whole &= sound;
            at = end;
        }
    }
    if named && whole {
        Found::Whole(header)
    } else {
        Found::Cut(header)
    }
}

/// The data of an extent are those of the invented memory.
fn check_data(extent: &SnapshotExtent, data: &[u8]) {
    let mut words = data.chunks(4);
    let mut address = extent.address();
    for (content, length) in extent.granules() {
        for _ in 0..length / 4 {
            let word = match content {
                GranuleContent::Data => {
                    u32::from_le_bytes(words.next().unwrap().try_into().unwrap())
                }
                GranuleContent::Zeros => 0,
                GranuleContent::Fill => STACK_FILL,
            };
            assert_eq!(word, InventedMemory::word(address));
            address += 4;
        }
    }
}
