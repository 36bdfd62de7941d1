//! What areas hold, to the byte, and what damaged memory does to them.

use humpty::{
    Areas, DUMP_AREA_SIZE, DUMPER_JEFE, DUMPER_NONE, DumpAreaHeader, DumpAreaRegion, DumpContents,
    DumpLzss, DumpSegmentHeader, DumpTask, Error, READ_LEN, Source, Words,
};
use lzss::{SliceReader, SliceWriter};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Regions of two areas and a part of one, and of three areas.
const REGIONS: [DumpAreaRegion; 2] = [
    DumpAreaRegion {
        address: 0x1_0000,
        length: 2 * DUMP_AREA_SIZE + 100,
    },
    DumpAreaRegion {
        address: 0x8_0000,
        length: 3 * DUMP_AREA_SIZE,
    },
];

const PLACES: [u32; 5] = [0x1_0000, 0x1_1000, 0x8_0000, 0x8_1000, 0x8_2000];

/// The regions' memory.
struct Ram([Vec<AtomicU32>; 2]);

impl Ram {
    fn filled(word: impl Fn(usize) -> u32) -> Self {
        Self(REGIONS.map(|region| {
            (0..region.length as usize / 4)
                .map(|at| AtomicU32::new(word(at)))
                .collect()
        }))
    }

    fn areas(&self) -> Areas<'static, Words<'_, 2>> {
        let [first, second] = &self.0;
        let words = Words::new([(REGIONS[0].address, first), (REGIONS[1].address, second)]);
        Areas::new(&REGIONS, words)
    }

    fn ready() -> Self {
        let ram = Self::filled(|_| 0xbadd_cafe);
        ram.areas().initialize();
        ram
    }

    fn bytes(&self, region: usize, at: usize, length: usize) -> Vec<u8> {
        let words = &self.0[region][at / 4..(at + length) / 4];
        let words = words.iter().map(|word| word.load(Ordering::Relaxed));
        words.flat_map(u32::to_le_bytes).collect()
    }
}

/// Memory of a task, from an address on.
struct Task(u32, Vec<u8>);

impl Task {
    /// With content like that of stacks and statics: runs of equal bytes, and bytes that do not
    /// repeat.
    fn new(address: u32, length: usize) -> Self {
        let byte = |at: usize| match at / 64 % 4 {
            0 => 0,
            1 => [0xfe, 0xca, 0xdd, 0xba][at % 4],
            2 => (at * at / 7) as u8,
            _ => at.wrapping_mul(0x9e37_79b1).to_be_bytes()[4],
        };
        Self(address, (0..length).map(byte).collect())
    }
}

impl Source for Task {
    fn read(&mut self, address: u32, to: &mut [u8]) -> usize {
        let start = (address - self.0) as usize;
        let from = self.1.get(start..).unwrap_or_default();
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        count
    }
}

fn segment(address: u32, length: u32) -> DumpSegmentHeader {
    DumpSegmentHeader { address, length }
}

/// Reads an area up to the end that its header has.
fn read_out(ram: &Ram, index: u8) -> Vec<u8> {
    let areas = ram.areas();
    let mut bytes = Vec::new();
    for offset in (0..DUMP_AREA_SIZE).step_by(READ_LEN) {
        match areas.read(index, offset) {
            Ok(piece) => bytes.extend(piece),
            Err(error) => {
                assert_eq!(error, Error::BeyondEnd);
                break;
            }
        }
    }
    let written = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    assert!(bytes[written..].iter().all(|byte| *byte == 0));
    bytes.truncate(written);
    bytes
}

/// Task, time, segments and their content, parsed by the documentation of the format alone.
type ParsedDump = (u16, u64, Vec<(u32, u32)>, Vec<(u32, Vec<u8>)>);

fn parse(areas: &[Vec<u8>]) -> ParsedDump {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let half = |bytes: &[u8], at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let mut read: ParsedDump = Default::default();
    for (number, area) in areas.iter().enumerate() {
        assert_eq!(area[..4], [1, 0xde, 0xde, 0xad]);
        let segments = half(area, 18) as usize;
        assert_eq!(segments == 0, number != 0);
        let mut at = 24;
        for _ in 0..segments {
            read.2.push((word(area, at), word(area, at + 4)));
            at += 8;
        }
        while at < area.len() {
            if area[at..at + 2] == [0xda, 0xda] {
                read.0 = half(area, at + 2);
                assert_eq!(word(area, at + 4), 0);
                read.1 = u64::from_le_bytes(area[at + 8..at + 16].try_into().unwrap());
                at += 16;
                continue;
            }
            let address = word(area, at);
            assert_eq!(address % 4, 0);
            let compressed = half(area, at + 4) as usize;
            let mut plain = vec![0; half(area, at + 6) as usize];
            at += 8;
            let reader = SliceReader::new(&area[at..at + compressed]);
            let count = DumpLzss::decompress_stack(reader, SliceWriter::new(&mut plain)).unwrap();
            assert_eq!(count, plain.len());
            let end = (at + compressed).next_multiple_of(4);
            assert!(area[at + compressed..end].iter().all(|pad| *pad == 0x55));
            at = end;
            match read.3.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u32 == address => {
                    bytes.extend(plain);
                }
                _ => read.3.push((address, plain)),
            }
        }
    }
    read
}

#[test]
fn areas_are_a_list_over_all_regions() {
    let ram = Ram::ready();
    for (index, place) in PLACES.iter().enumerate() {
        let next = PLACES.get(index + 1).copied().unwrap_or(0);
        let mut expected = vec![0x01, 0xde, 0xde, 0xad];
        for word in [*place, 0x1000, 24, 0x0000_ff00, next] {
            expected.extend(word.to_le_bytes());
        }
        let (region, offset) = if index < 2 {
            (0, index * 0x1000)
        } else {
            (1, (index - 2) * 0x1000)
        };
        assert_eq!(ram.bytes(region, offset, 24), expected, "area {index}");
        let area = ram.areas().get(index as u8).unwrap();
        assert_eq!(area.contents, DumpContents::Available);
        assert_eq!((area.region.address, area.region.length), (*place, 0x1000));
    }
    assert_eq!(ram.areas().get(5), Err(Error::InvalidArea));
    assert_eq!(ram.areas().get(255), Err(Error::InvalidArea));
    // A part of an area at the end of a region is not written.
    assert!(
        ram.bytes(0, 0x2000, 100)
            .chunks(4)
            .all(|word| word == [0xfe, 0xca, 0xdd, 0xba])
    );
}

#[test]
fn a_dump_has_the_memory_that_was_there() {
    let ram = Ram::ready();
    let mut task = Task::new(0x2000_0000, 3000);
    let segments = [segment(0x2000_0000, 168), segment(0x2000_0400, 1900)];
    let index = ram.areas().dump(
        DumpContents::SingleTask,
        DumpTask::new(7, 0x1_2345_6789),
        &segments,
        &mut task,
    );
    assert_eq!(index, Ok(0));
    let area = read_out(&ram, 0);
    assert_eq!((area[16], area[17]), (1, DUMPER_JEFE));
    let (id, time, headers, content) = parse(&[area]);
    assert_eq!((id, time), (7, 0x1_2345_6789));
    assert_eq!(headers, [(0x2000_0000, 168), (0x2000_0400, 1900)]);
    let expected = [
        (0x2000_0000, task.1[..168].to_vec()),
        (0x2000_0400, task.1[0x400..0x400 + 1900].to_vec()),
    ];
    assert_eq!(content, expected);
    assert_eq!(
        ram.areas().get(1).unwrap().contents,
        DumpContents::Available
    );
}

#[test]
fn a_dump_continues_in_the_next_area() {
    let ram = Ram::ready();
    let mut task = Task::new(0x2000_0000, 12_000);
    let all = [segment(0x2000_0000, 12_000)];
    let few = [segment(0x2000_0004, 8)];
    let mut areas = ram.areas();
    let mut dump = |id, segments: &[_]| {
        areas.dump(
            DumpContents::TaskRegion,
            DumpTask::new(id, 1),
            segments,
            &mut task,
        )
    };
    assert_eq!(dump(1, &few), Ok(0));
    assert_eq!(dump(2, &all), Ok(1));
    let last = (1..5)
        .take_while(|index| ram.areas().get(*index).unwrap().contents == DumpContents::TaskRegion)
        .last()
        .unwrap();
    assert!(last > 1, "the dump fits into one area");
    let read: Vec<_> = (1..=last).map(|index| read_out(&ram, index)).collect();
    let (id, _, _, content) = parse(&read);
    assert_eq!((id, content), (2, vec![(0x2000_0000, task.1.clone())]));
    assert_eq!(parse(&[read_out(&ram, 0)]).0, 1);
}

/// A dump that cannot be made whole leaves no part, and the dumps before it stay.
#[test]
fn a_dump_that_does_not_fit_uses_no_area() {
    let ram = Ram::ready();
    let mut task = Task::new(0x2000_0000, 60_000);
    let mut areas = ram.areas();
    let one = [segment(0x2000_0000, 400)];
    let whole = [segment(0x2000_0000, 60_000)];
    let single = DumpContents::SingleTask;
    assert_eq!(
        areas.dump(single, DumpTask::new(1, 1), &one, &mut task),
        Ok(0)
    );
    let before = read_out(&ram, 0);
    let refused = areas.dump(single, DumpTask::new(2, 2), &whole, &mut task);
    assert_eq!(refused, Err(Error::NoneFree));
    // So does memory that cannot be read to the end.
    let beyond = [segment(0x2000_0000 + 59_900, 200)];
    let refused = areas.dump(single, DumpTask::new(2, 2), &beyond, &mut task);
    assert_eq!(refused, Err(Error::Read));
    for index in 1..5 {
        assert_eq!(areas.get(index).unwrap().contents, DumpContents::Available);
    }
    assert_eq!(read_out(&ram, 0), before);
    for (segment, error) in [
        (segment(0x2000_0002, 4), Error::UnalignedAddress),
        (segment(0x2000_0004, 6), Error::UnalignedLength),
    ] {
        let refused = areas.dump(single, DumpTask::new(2, 2), &[segment], &mut task);
        assert_eq!(refused, Err(error));
    }
    let many = vec![segment(0x2000_0000, 4); 600];
    let refused = areas.dump(single, DumpTask::new(2, 2), &many, &mut task);
    assert_eq!(refused, Err(Error::TooManySegments));
    for index in 1..5 {
        assert_eq!(
            areas.dump(single, DumpTask::new(3, 3), &one, &mut task),
            Ok(index)
        );
    }
    let refused = areas.dump(single, DumpTask::new(4, 4), &one, &mut task);
    assert_eq!(refused, Err(Error::NoneFree));
    assert_eq!(areas.initialize_from(5), Err(Error::InvalidArea));
    assert_eq!(areas.initialize_from(3), Ok(()));
    assert_eq!(areas.get(2).unwrap().contents, single);
    assert_eq!(
        areas.dump(single, DumpTask::new(5, 5), &one, &mut task),
        Ok(3)
    );
}

#[test]
fn a_dump_of_the_system_claims_all_areas_or_none() {
    let ram = Ram::ready();
    let mut task = Task::new(0x2000_0000, 100);
    let mut areas = ram.areas();
    assert_eq!(areas.add_segment(segment(0, 4)), Err(Error::NotClaimed));
    areas
        .dump(
            DumpContents::TaskRegion,
            DumpTask::new(1, 1),
            &[],
            &mut task,
        )
        .unwrap();
    assert_eq!(areas.claim_all(), Err(Error::NoneFree));
    areas.initialize();
    assert_eq!(areas.claim_all().map(|area| area.index), Ok(0));
    assert_eq!(areas.claim_all(), Err(Error::NoneFree));
    for index in 0..5 {
        let area = areas.get(index).unwrap();
        assert_eq!(area.contents, DumpContents::WholeSystem);
        assert_eq!(areas.header(index).unwrap().dumper, DUMPER_NONE);
    }
    assert_eq!(areas.add_segment(segment(0x100, 0x40)), Ok(()));
    assert_eq!(
        areas.add_segment(segment(0x101, 0x40)),
        Err(Error::UnalignedAddress)
    );
    assert_eq!(
        areas.add_segment(segment(0x100, 0x41)),
        Err(Error::UnalignedLength)
    );
    assert_eq!(areas.add_segment(segment(0x200, 8)), Ok(()));
    let DumpAreaHeader {
        nsegments, written, ..
    } = areas.header(0).unwrap();
    assert_eq!((nsegments, written), (2, 24 + 16));
    assert_eq!(
        ram.bytes(0, 24, 16),
        [0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2, 0, 0, 8, 0, 0, 0]
    );
    while areas.add_segment(segment(0x300, 4)).is_ok() {}
    assert_eq!(
        areas.add_segment(segment(0x300, 4)),
        Err(Error::TooManySegments)
    );
    assert_eq!(areas.header(0).unwrap().written, 0x1000);
}

#[test]
fn reads_stay_inside_the_area() {
    let ram = Ram::ready();
    let areas = ram.areas();
    assert_eq!(areas.read(0, 1), Err(Error::UnalignedOffset));
    assert_eq!(areas.read(0, 256), Err(Error::BeyondEnd));
    assert_eq!(areas.read(0, 0xffff_ff00), Err(Error::BeyondEnd));
    assert_eq!(areas.read(9, 0), Err(Error::InvalidArea));
    let piece = areas.read(0, 0).unwrap();
    assert_eq!(piece[..4], [1, 0xde, 0xde, 0xad]);
    assert!(piece[24..].iter().all(|byte| *byte == 0));
}

proptest! {
    /// The memory of any task is read back as it was.
    #[test]
    fn any_memory_is_read_back(words in proptest::collection::vec(any::<u32>(), 0..1500), repeat in 1_usize..9) {
        let ram = Ram::ready();
        let bytes: Vec<u8> = words.iter().map(|word| word.rotate_left(word % repeat as u32) >> (repeat * 3))
            .flat_map(u32::to_le_bytes).collect();
        let mut task = Task(0x4000, bytes.clone());
        let all = [segment(0x4000, bytes.len() as u32)];
        let contents = DumpContents::SingleTask;
        prop_assert_eq!(ram.areas().dump(contents, DumpTask::new(1, 2), &all, &mut task), Ok(0));
        let used = (0..5).filter(|index| ram.areas().get(*index).unwrap().contents == contents);
        let read: Vec<_> = used.map(|index| read_out(&ram, index)).collect();
        let content = parse(&read).3;
        let content = content.first().map_or(Vec::new(), |(_, bytes)| bytes.clone());
        prop_assert_eq!(content, bytes);
    }

    /// Whatever is in the memory of areas, no operation panics, and the areas can be initialised
    /// and claimed again.
    #[test]
    fn damaged_memory_does_no_harm(
        damage in proptest::collection::vec((0_usize..5, 0_usize..6, any::<u32>()), 0..12),
        begin in any::<bool>(),
        steps in proptest::collection::vec((0_u8..7, any::<u8>(), any::<u32>(), any::<u32>()), 1..12),
    ) {
        let ram = if begin { Ram::ready() } else { Ram::filled(|at| (at as u32).wrapping_mul(0x9e37_79b1)) };
        let spoil = |area: usize, word: usize, value: u32| {
            let (region, at) = if area < 2 { (0, area) } else { (1, area - 2) };
            ram.0[region][at * 1024 + word].store(value, Ordering::Relaxed);
        };
        let mut damage = damage.into_iter();
        let mut areas = ram.areas();
        for (step, index, a, b) in steps {
            if let Some((area, word, value)) = damage.next() {
                spoil(area, word, if value % 3 == 0 { value } else { value % 0x1400 });
            }
            let mut task = Task(0, vec![index; 700]);
            match step {
                0 => areas.initialize(),
                1 => drop(areas.initialize_from(index % 8)),
                2 => drop(areas.get(index % 8)),
                3 => drop(areas.claim_all()),
                4 => drop(areas.add_segment(segment(a, b))),
                5 => drop(areas.dump(
                    DumpContents::SingleTask,
                    DumpTask::new(1, 1),
                    &[segment((a % 512) & !3, (b % 1024) & !3)],
                    &mut task,
                )),
                _ => drop(areas.read(index % 8, (a % 0x1400) & !255)),
            }
        }
        areas.initialize();
        prop_assert_eq!(areas.claim_all().map(|area| area.index), Ok(0));
    }
}
