//! Making an image: first the tables, so that everything that belongs into it has an entry, then
//! the data, in the same order.

use super::{
    ExtentRows, MemoryRange, SavedMemory, SavedRows, SnapshotArea, SnapshotPiece, SnapshotSource,
};
use crashlog_format::snapshot::{
    EXTENT_MAX, ExtentKind, ExtentStatus, KERNEL_OWNER, SnapshotExtent, SnapshotHeader,
    SnapshotKind, SnapshotRegion,
};
use zerocopy::{FromZeros, IntoBytes};

/// Most ranges of memory of one owner.
const RANGES: usize = 32;

/// Most registered regions in an image.
const REGIONS: usize = 256;

/// Words of an extent.
const EXTENT_WORDS: usize = size_of::<SnapshotExtent>() / 4;

/// What an image is of.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFacts {
    /// Whose memory.
    pub kind: SnapshotKind,
    /// Boot of the crash, as its context counts.
    pub boot: u32,
    /// Index of the crashed task, 65535 if the kernel failed.
    pub task: u16,
    /// Index of the task that runs now, 65535 if the kernel does.
    pub current: u16,
    /// Time of the crash, as its context has it.
    pub time: u64,
    /// The running image.
    pub image_id: u64,
    /// r0 to r12, sp, lr, pc, psr of what runs now.
    pub registers: [u32; 17],
    /// When to finish, in milliseconds since boot: what is not saved by then is left out.
    pub deadline: u64,
}

/// An image whose tables are being made.
struct Tables<'a> {
    area: SnapshotArea<'a>,
    regions: usize,
    extents: usize,
}

impl SnapshotArea<'_> {
    /// Makes an image of the memory of `owners`, the most important first, after the registered
    /// regions. Of [`SnapshotKind::Task`] only the crashed task's regions, memory and entry of the
    /// task table are saved, and `owners` is not used.
    ///
    /// Whatever does not fit or cannot be read is in the image with the reason. Returns whether
    /// there is an image; not, if the area has no room for the tables.
    pub fn write<S: SnapshotSource>(
        &self,
        facts: &SnapshotFacts,
        owners: impl Iterator<Item = u16>,
        source: &mut S,
    ) -> bool {
        self.clear();
        let start = source.now();
        let mut tables = Tables {
            area: *self,
            regions: 0,
            extents: 0,
        };
        tables.plan(facts, owners, source);
        if tables.data_at() > self.size() as usize {
            return false;
        }
        let data = tables.save(facts.deadline, source);
        tables.finish(facts, start, source.now(), data);
        true
    }
}

// There are at most `REGIONS` regions, and not many more extents than the area has room for; so
// nothing wraps here, and the arithmetic, which every extent takes several times, need not
// saturate.
impl Tables<'_> {
    /// First word of the table of extents.
    fn extents_at(&self) -> usize {
        const FIRST: usize = SnapshotHeader::REGIONS_AT as usize / 4;
        const WORDS: usize = size_of::<SnapshotRegion>() / 4;
        FIRST.wrapping_add(self.regions.wrapping_mul(WORDS))
    }

    /// First word of an extent.
    fn extent_at(&self, index: usize) -> usize {
        self.extents_at()
            .wrapping_add(index.wrapping_mul(EXTENT_WORDS))
    }

    /// First byte of the data.
    fn data_at(&self) -> usize {
        self.extent_at(self.extents)
            .saturating_mul(4)
            .next_multiple_of(block_device::BLOCK_LEN)
    }

    /// Makes the tables: an entry for everything that belongs into the image.
    fn plan<S: SnapshotSource>(
        &mut self,
        facts: &SnapshotFacts,
        owners: impl Iterator<Item = u16>,
        source: &mut S,
    ) {
        let is_system = facts.kind == SnapshotKind::System;
        // The regions come first, so that the place of the extents is known.
        for number in 0..REGIONS {
            let Some(region) = source.region(number) else {
                break;
            };
            if is_system || region.owner == facts.task {
                let row =
                    SnapshotRegion::new(region.name, region.owner, region.address, region.length);
                let at = self.extents_at();
                self.area.store(at, row.as_bytes());
                self.regions = self.regions.saturating_add(1);
            }
        }
        let mut index = 0;
        for number in 0..REGIONS {
            let Some(region) = source.region(number) else {
                break;
            };
            if !is_system && region.owner != facts.task {
                continue;
            }
            let (kind, longest) = if region.is_device {
                (ExtentKind::Device, 4)
            } else {
                (ExtentKind::Region, EXTENT_MAX)
            };
            let base = region.address & !3;
            let end = region.address.saturating_add(region.length);
            let range = MemoryRange {
                base,
                size: end.saturating_sub(base).next_multiple_of(4),
            };
            self.add(kind, region.owner, &range, index, longest);
            index = index.saturating_add(1);
        }
        if is_system {
            for owner in owners {
                self.add_memory(owner, source);
            }
        } else {
            self.add_memory(facts.task, source);
            if let Some(entry) = source.task_entry(facts.task) {
                self.add(ExtentKind::Memory, KERNEL_OWNER, &entry, 0, EXTENT_MAX);
            }
        }
    }

    fn add_memory<S: SnapshotSource>(&mut self, owner: u16, source: &mut S) {
        for number in 0..RANGES {
            let Some(range) = source.memory(owner, number) else {
                break;
            };
            self.add(ExtentKind::Memory, owner, &range, 0, EXTENT_MAX);
        }
    }

    /// Appends the extents of a range, of at most `longest` bytes each.
    fn add(
        &mut self,
        kind: ExtentKind,
        owner: u16,
        range: &MemoryRange,
        region: u16,
        longest: usize,
    ) {
        for offset in (0..range.size & !3).step_by(longest) {
            let Some(address) = range.base.checked_add(offset) else {
                return;
            };
            let length = (range.size & !3).saturating_sub(offset).min(longest as u32);
            let at = self.extent_at(self.extents);
            if at.wrapping_add(EXTENT_WORDS) > self.area.size() as usize / 4 {
                // The area is too short for the tables; `data_at` will say so.
                self.extents = self.extents.wrapping_add(1);
                return;
            }
            let extent = SnapshotExtent::new(kind, owner, address, length as u16, region);
            self.area.store(at, extent.as_bytes());
            self.extents = self.extents.wrapping_add(1);
        }
    }

    /// Saves one extent after the other. Returns the length of the data in bytes.
    fn save<S: SnapshotSource>(&mut self, deadline: u64, source: &mut S) -> u32 {
        let start = self.data_at() as u32;
        let mut at = start;
        let mut index = 0_usize;
        let mut is_over = false;
        while index < self.extents {
            is_over = is_over || source.now() >= deadline;
            let place = self.extent_at(index);
            // What is saved first matters most, and is short.
            let saved = if is_over && index > 0 {
                let mut extent = SnapshotExtent::new_zeroed();
                self.area.load(place, extent.as_mut_bytes());
                self.note(place, &mut extent, Err(ExtentStatus::NoTime))
            } else {
                let rows = ExtentRows::new(self.area, place, self.extents.wrapping_sub(index));
                let saved = source.save_rows(&rows, at);
                if saved.done > 0 {
                    saved
                } else {
                    self.save_alone(place, at, source)
                }
            };
            index = index.saturating_add(saved.done);
            at = at.saturating_add(saved.stored);
        }
        at.saturating_sub(start)
    }

    /// Saves the extent at this place of the table to byte `at`.
    fn save_alone<S: SnapshotSource>(&self, place: usize, at: u32, source: &mut S) -> SavedRows {
        let mut extent = SnapshotExtent::new_zeroed();
        self.area.load(place, extent.as_mut_bytes());
        let (address, length) = (extent.address(), extent.length());
        let result = match extent.kind() {
            Err(_) => Err(ExtentStatus::NotReadable),
            Ok(_) if at.saturating_add(length) > self.area.size() => Err(ExtentStatus::NoRoom),
            Ok(kind) => {
                let piece = SnapshotPiece {
                    kind,
                    owner: extent.owner(),
                    address,
                    length,
                };
                source.save(&piece, self.area.blocks(), at)
            }
        };
        self.note(place, &mut extent, result)
    }

    /// Notes what became of the extent at this place of the table.
    fn note(
        &self,
        place: usize,
        extent: &mut SnapshotExtent,
        result: Result<SavedMemory, ExtentStatus>,
    ) -> SavedRows {
        let mut stored = 0;
        match result {
            Ok(saved) => {
                extent.set_saved(saved.map, saved.sum);
                stored = saved.stored.min(extent.length());
            }
            Err(status) => extent.set_missing(status),
        }
        self.area.store(place, extent.as_bytes());
        SavedRows { done: 1, stored }
    }

    /// Writes the header.
    fn finish(&self, facts: &SnapshotFacts, start: u64, end: u64, data: u32) {
        let mut header = SnapshotHeader::new(facts.kind);
        header.boot = facts.boot.into();
        header.task = facts.task.into();
        header.current = facts.current.into();
        header.time = facts.time.into();
        header.image_id = facts.image_id.into();
        for (to, from) in header.registers.iter_mut().zip(facts.registers) {
            *to = from.into();
        }
        header.regions = u16::try_from(self.regions).unwrap_or(u16::MAX).into();
        header.extents = (self.extents as u32).into();
        header.data = data.into();
        header.milliseconds = u32::try_from(end.saturating_sub(start))
            .unwrap_or(u32::MAX)
            .into();
        header.table_sum = self.area.table_sum(&header).into();
        header.seal(SnapshotHeader::NO_FORMAT);
        self.area.publish(&header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::RegisteredRegion;
    use block_device::Block;
    use crashlog_format::crash::Name;
    use crashlog_format::snapshot::{GRANULE, STACK_FILL, WordSum};
    use zerocopy::FromBytes;

    /// Memory of two tasks, and of the kernel.
    struct TestMemory {
        now: u64,
        ranges: Vec<(u16, u32, Vec<u32>)>,
        regions: Vec<RegisteredRegion>,
        unreadable: Vec<u32>,
    }

    impl SnapshotSource for TestMemory {
        fn now(&mut self) -> u64 {
            self.now += 1;
            self.now
        }

        fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
            let mut own = self.ranges.iter().filter(|range| range.0 == owner);
            own.nth(n).map(|(_, base, words)| MemoryRange {
                base: *base,
                size: 4 * words.len() as u32,
            })
        }

        fn task_entry(&mut self, task: u16) -> Option<MemoryRange> {
            let base = 0x9000 + 0x40 * u32::from(task);
            Some(MemoryRange { base, size: 0x40 })
        }

        fn region(&mut self, n: usize) -> Option<RegisteredRegion> {
            self.regions.get(n).copied()
        }

        fn save(
            &mut self,
            piece: &SnapshotPiece,
            to: &[Block],
            offset: u32,
        ) -> Result<SavedMemory, ExtentStatus> {
            if self.unreadable.contains(&piece.address) {
                return Err(ExtentStatus::BusFault);
            }
            let (_, base, words) = self
                .ranges
                .iter()
                .find(|(_, base, words)| {
                    let end = base + 4 * words.len() as u32;
                    (*base..end).contains(&piece.address)
                })
                .ok_or(ExtentStatus::NotReadable)?;
            let first = ((piece.address - base) / 4) as usize;
            let words = &words[first..first + piece.length as usize / 4];
            let mut saved = SavedMemory {
                map: 0,
                stored: 0,
                sum: WordSum::SEED,
            };
            let mut sum = WordSum::new();
            for (index, granule) in words.chunks(GRANULE / 4).enumerate() {
                let content = [0, STACK_FILL]
                    .iter()
                    .position(|fill| granule.iter().all(|word| word == fill));
                if let Some(content) = content {
                    saved.map |= (content as u32 + 1) << (2 * index);
                    continue;
                }
                for word in granule {
                    let at = (offset + saved.stored) as usize / 4;
                    to[at / 128].set_word(at % 128, *word);
                    sum = sum.word(*word);
                    saved.stored += 4;
                }
            }
            saved.sum = sum.value();
            Ok(saved)
        }
    }

    fn memory() -> TestMemory {
        let mut stack = vec![STACK_FILL; 0x400 / 4];
        stack.extend(0..0x400 / 4);
        TestMemory {
            now: 100,
            ranges: vec![
                (0, 0x1000, vec![7; 0x1800 / 4]),
                (1, 0x4000, stack),
                (KERNEL_OWNER, 0x9000, (0..0x100).collect()),
            ],
            regions: vec![],
            unreadable: vec![],
        }
    }

    fn facts(kind: SnapshotKind) -> SnapshotFacts {
        SnapshotFacts {
            kind,
            boot: 3,
            task: 1,
            current: 0,
            time: 99,
            image_id: 0x1234,
            registers: [5; 17],
            deadline: 10_000,
        }
    }

    fn blocks(count: usize) -> Vec<Block> {
        (0..count).map(|_| Block::zeroed()).collect()
    }

    fn extents(area: &SnapshotArea<'_>) -> Vec<(SnapshotExtent, Vec<u8>)> {
        let header = area.header().unwrap();
        let mut image = vec![0; area.image(&header).len() * 512];
        for (block, bytes) in area.blocks().iter().zip(image.chunks_mut(512)) {
            block.copy_to(0, bytes);
        }
        let tables = &image[512..header.tables_end() as usize];
        let sum = WordSum::new().bytes(tables).value();
        assert_eq!(header.table_sum.get(), sum);
        let mut data = &image[header.data_at() as usize..];
        image[header.extents_at() as usize..header.tables_end() as usize]
            .chunks(24)
            .map(|bytes| {
                let extent = SnapshotExtent::read_from_bytes(bytes).unwrap();
                assert_eq!(extent.check(), Ok(()));
                let (own, rest) = data.split_at(extent.stored() as usize);
                data = rest;
                if extent.status() == Ok(ExtentStatus::Saved) {
                    assert_eq!(WordSum::new().bytes(own).value(), extent.sum());
                }
                (extent, own.to_vec())
            })
            .collect()
    }

    fn statuses(area: &SnapshotArea<'_>) -> Vec<ExtentStatus> {
        let extents = extents(area);
        let status = extents.iter().map(|(extent, _)| extent.status());
        status.map(Result::unwrap).collect()
    }

    #[test]
    fn everything_is_saved_in_the_order_of_importance() {
        let blocks = blocks(64);
        let area = SnapshotArea::new(&blocks);
        let owners = [1, 0, KERNEL_OWNER];
        assert!(area.write(
            &facts(SnapshotKind::System),
            owners.into_iter(),
            &mut memory()
        ));
        let extents = extents(&area);
        let found: Vec<_> = extents
            .iter()
            .map(|(extent, data)| {
                (
                    extent.owner(),
                    extent.address(),
                    extent.length(),
                    data.len(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (1, 0x4000, 0x800, 0x400),
                (0, 0x1000, 0x1000, 0x1000),
                (0, 0x2000, 0x800, 0x800),
                (KERNEL_OWNER, 0x9000, 0x400, 0x400)
            ]
        );
        assert_eq!(extents[0].1[..8], [0, 0, 0, 0, 1, 0, 0, 0]);
        let header = area.header().unwrap();
        assert_eq!((header.boot.get(), header.image_id.get()), (3, 0x1234));
    }

    #[test]
    fn what_does_not_fit_is_listed() {
        let blocks = blocks(8);
        let area = SnapshotArea::new(&blocks);
        let owners = [1, 0, KERNEL_OWNER];
        assert!(area.write(
            &facts(SnapshotKind::System),
            owners.into_iter(),
            &mut memory()
        ));
        let status = statuses(&area);
        use ExtentStatus::{NoRoom, Saved};
        // The piece that does not fit is left out; a shorter one behind it is not.
        assert_eq!(status, [Saved, NoRoom, Saved, NoRoom]);
    }

    #[test]
    fn without_room_for_the_tables_there_is_no_image() {
        let blocks = blocks(1);
        let area = SnapshotArea::new(&blocks);
        let facts = facts(SnapshotKind::System);
        assert!(!area.write(&facts, [1, 0].into_iter(), &mut memory()));
        assert_eq!(area.header(), None);
        assert!(!SnapshotArea::new(&[]).write(&facts, [1].into_iter(), &mut memory()));
    }

    #[test]
    fn after_the_deadline_nothing_is_read() {
        let blocks = blocks(64);
        let area = SnapshotArea::new(&blocks);
        let facts = SnapshotFacts {
            deadline: 103,
            ..facts(SnapshotKind::System)
        };
        assert!(area.write(&facts, [1, 0].into_iter(), &mut memory()));
        let status = statuses(&area);
        use ExtentStatus::{NoTime, Saved};
        assert_eq!(status, [Saved, NoTime, NoTime]);
    }

    #[test]
    fn the_first_piece_is_saved_whatever_the_time() {
        let blocks = blocks(64);
        let area = SnapshotArea::new(&blocks);
        let facts = SnapshotFacts {
            deadline: 0,
            ..facts(SnapshotKind::System)
        };
        assert!(area.write(&facts, [1, 0].into_iter(), &mut memory()));
        let status = statuses(&area);
        use ExtentStatus::{NoTime, Saved};
        assert_eq!(status, [Saved, NoTime, NoTime]);
    }

    #[test]
    fn an_oops_saves_the_task_its_entry_and_its_regions() {
        let mut memory = memory();
        let region = |owner, address, is_device| RegisteredRegion {
            name: Name::new("state"),
            owner,
            address,
            length: 10,
            is_device,
        };
        memory.regions = vec![
            region(0, 0x1000, false),
            region(1, 0x4402, false),
            region(1, 0x4408, true),
        ];
        memory.unreadable = vec![0x440c];
        let blocks = blocks(64);
        let area = SnapshotArea::new(&blocks);
        let facts = facts(SnapshotKind::Task);
        assert!(area.write(&facts, core::iter::empty(), &mut memory));
        let found: Vec<_> = extents(&area)
            .iter()
            .map(|(extent, _)| {
                (
                    extent.kind().unwrap(),
                    extent.region(),
                    extent.address(),
                    extent.length(),
                    extent.status().unwrap(),
                )
            })
            .collect();
        use ExtentKind::{Device, Memory, Region};
        use ExtentStatus::{BusFault, Saved};
        assert_eq!(
            found,
            [
                (Region, 0, 0x4400, 12, Saved),
                (Device, 1, 0x4408, 4, Saved),
                (Device, 1, 0x440c, 4, BusFault),
                (Device, 1, 0x4410, 4, Saved),
                (Memory, 0, 0x4000, 0x800, Saved),
                (Memory, 0, 0x9040, 0x40, Saved),
            ]
        );
        assert_eq!(area.header().unwrap().regions.get(), 2);
    }

    /// An image that was interrupted does not count, and a new one replaces one that is complete.
    #[test]
    fn an_image_counts_when_it_is_complete() {
        let blocks = blocks(64);
        let area = SnapshotArea::new(&blocks);
        let facts = facts(SnapshotKind::System);
        assert!(area.write(&facts, [1].into_iter(), &mut memory()));
        let first = area.header().unwrap();
        for block in &blocks {
            let value = block.word(9);
            block.set_word(9, value ^ 4);
            let is_header = core::ptr::eq(block, &raw const blocks[0]);
            assert_eq!(area.header().is_none(), is_header);
            block.set_word(9, value);
        }
        assert_eq!(area.header(), Some(first));
        area.clear();
        assert_eq!(area.header(), None);
    }
}
