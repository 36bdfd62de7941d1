//! Compares the hex dumps in `doc/format.md` with what the code makes.

use crashlog_format::crash::{CrashHeader, Name, Segment, SegmentKind, signature};
use crashlog_format::gpt::Guid;
use crashlog_format::ledger::{CrashPlan, CrashSummary, Ledger};
use crashlog_format::page::{LogHeader, Page, PageHeader};
use crashlog_format::snapshot::{
    ExtentKind, ExtentStatus, SnapshotExtent, SnapshotHeader, SnapshotKind, SnapshotRegion, WordSum,
};
use crashlog_format::{
    BootEnd, BootEnds, BootRecord, CrashReason, Crc32c, EmergencyFailure, EmergencyStep, FormatId,
    Geometry, Level, Outcome, OutcomePhase, PartitionPlace, Stream, Superblock, SuperblockContent,
    TimeAnchor,
};
use zerocopy::IntoBytes;

const DOCUMENT: &str = include_str!("../../../doc/format.md");
const FORMAT: FormatId = FormatId::new(0x0123_4567_89ab_cdef);

/// The bytes of the dump in the fenced block with this name.
fn dump(name: &str) -> Vec<u8> {
    let (_, rest) = DOCUMENT
        .split_once(&format!("```{name}\n"))
        .expect("the document has the dump");
    let (text, _) = rest.split_once("```").expect("the dump ends");
    text.lines()
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).expect("a byte in hex"))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(16)
        .enumerate()
        .map(|(line, bytes)| {
            let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:03x}  {}\n", line * 16, bytes.join(" "))
        })
        .collect()
}

#[test]
fn the_superblock_is_as_documented() {
    let geometry = Geometry::new(131_072, 16, 512).unwrap();
    let place = PartitionPlace {
        first: 2_048,
        blocks: 131_072,
        guid: Guid::new(0x00112233_4455_6677_8899_aabbccddeeff),
    };
    let block = Superblock::new(FORMAT, &geometry, &place).to_block();
    let documented = dump("superblock");
    assert_eq!(hex(&block[..56]), hex(&documented));
    assert!(block[56..].iter().all(|byte| *byte == 0));
    assert_eq!(
        Superblock::parse(&block, 131_072),
        Ok(SuperblockContent {
            format: FORMAT,
            geometry,
            first: place.first,
            guid: place.guid,
        }),
        "what is documented is accepted"
    );
}

#[test]
fn a_page_is_as_documented() {
    let payload = b"hello\n";
    let header = LogHeader {
        stream: Stream::Console,
        level: Level::Info,
        task: 3,
        lost: 0,
        time: 1_500,
    };
    let mut records = header.to_bytes(payload.len() as u16).to_vec();
    records.extend(payload);
    records.resize(records.len().next_multiple_of(4), 0);
    let crc = Crc32c::new().bytes(&records).value();
    let header = PageHeader::new(FORMAT, 7, 2, 41, records.len() as u16, crc);
    let bytes = [header.as_bytes(), &records].concat();
    let documented = dump("page");
    assert_eq!(hex(&bytes), hex(&documented));

    let mut block = documented;
    block.resize(512, 0);
    let page = Page::parse(&block, FORMAT).expect("what is documented is accepted");
    assert_eq!(page.records().count(), 1);
}

#[test]
fn a_boot_record_is_as_documented() {
    let record = BootRecord {
        image_id: u64::from_le_bytes(IMAGE),
        version: 3,
        epoch: 1,
        app: "demo",
        image: "default",
        board: "ast2600-evb",
        commit: "2cf33c0f7280bf4b8391227169654265a2864fee",
        ends: BootEnds::NONE
            .and(BootEnd::PowerLost)
            .and(BootEnd::Restart(7)),
        last_ran: None,
    };
    let mut bytes = [0; 256];
    let length = record.encode(&mut bytes).expect("it fits");
    let documented = dump("boot");
    assert_eq!(hex(&bytes[..length]), hex(&documented));
    assert_eq!(BootRecord::parse(&documented), Some(record));
}

#[test]
fn a_time_anchor_is_as_documented() {
    let anchor = TimeAnchor::new(1_795_858_800_000).expect("it is before the year 10000");
    let documented = dump("time");
    assert_eq!(hex(&anchor.to_bytes()), hex(&documented));
    assert_eq!(TimeAnchor::parse(&documented), Some(anchor));
}

/// The crash of the worked dumps: task 5, `worker`, touched 0xdeadbee0 after 3.014 s of boot 1.
fn crash(registers: &[u32; 17]) -> CrashSummary {
    CrashSummary {
        reason: CrashReason::Panic,
        late: false,
        signature: signature(5, &FAULT, registers, 0),
        boot: 1,
        time: 3_014,
    }
}

/// `FaultInfo::MemoryAccess` at 0xdeadbee0, by the task itself.
const FAULT: [u8; 7] = [0, 1, 0xe0, 0xbe, 0xad, 0xde, 0];

/// The bytes of `HUBRIS_IMAGE_ID`, in the order in which they are in the image.
const IMAGE: [u8; 8] = [0x74, 0, 0xde, 0x79, 0x45, 0x10, 0x7f, 0xac];

fn registers() -> [u32; 17] {
    let mut registers = core::array::from_fn(|register| register as u32);
    registers[13..].copy_from_slice(&[0x8084_9590, 0x8012_c117, 0x8012_c116, 0x4100_0000]);
    registers
}

#[test]
fn a_crash_is_as_documented() {
    let registers = registers();
    let crash = crash(&registers);
    let mut outcome = Outcome::default();
    outcome.enter(OutcomePhase::Write);
    outcome.fail(EmergencyFailure::None);
    for step in [
        EmergencyStep::ControllerReset,
        EmergencyStep::CardReady,
        EmergencyStep::Located,
        EmergencyStep::LogTail,
    ] {
        outcome.finish(step);
    }
    outcome.controller = 6;
    outcome.card = 6;
    outcome.retries = 1.into();
    outcome.error = 0x0002_1901.into();
    outcome.pages = 9.into();
    outcome.blocks = 9.into();
    outcome.repairs = (1 << 1 | 1 << 9 | 1 << 10).into();
    outcome.blocks_left = 3.into();
    outcome.phase_ms = [2.into(), 12.into(), 0.into()];
    outcome.drain = 2;
    outcome.command = 25;
    outcome.mode = 0x27;

    let mut header = CrashHeader::new(CrashReason::Panic, None, &FAULT);
    header.sequence = 1.into();
    header.boot = 1.into();
    header.task = 5.into();
    header.time = 3_014.into();
    header.name = Name::new("worker");
    header.registers = registers.map(Into::into);
    header.signature = crash.signature.into();
    header.counters = header.counters.with(&crash);
    header.log_record = 842.into();
    header.log_page = 140.into();
    header.outcome = outcome;
    header.image_id = u64::from_le_bytes(IMAGE).into();
    header.set_segments(1);
    let segment = Segment::new(SegmentKind::Stack, 2, 512, 624, 0x8084_9590, 0x1234_5678);

    let mut bytes = [header.as_bytes(), segment.as_bytes()].concat();
    let words = bytes[8..].chunks_exact(4);
    let words = words.map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let crc = CrashHeader::checksum_of(FORMAT, words);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(hex(&bytes), hex(&dump("crash")));

    bytes.resize(512, 0);
    let (parsed, segments) = CrashHeader::parse(&bytes, FORMAT, 512).expect("it is accepted");
    assert_eq!((parsed.outcome, segments[0]), (outcome, segment));
    assert_eq!(parsed.registers, header.registers);
    assert!(segments[0].is_truncated());
}

#[test]
fn a_ledger_is_as_documented() {
    let geometry = Geometry::new(131_072, 16, 512).unwrap();
    let crash = crash(&registers());
    let mut ledger = Ledger::new(FORMAT, &geometry);
    let plan = ledger.plan(&crash, 4).unwrap();
    assert_eq!(
        plan,
        CrashPlan::New {
            slot: 0,
            release: None
        }
    );
    assert_eq!(ledger.commit(plan, &crash), 1);
    ledger.seal(FORMAT);
    assert_eq!(hex(ledger.covered()), hex(&dump("ledger")));

    let mut block = dump("ledger");
    block.resize(512, 0xff);
    let mut read = Ledger::empty(FORMAT, 16, 9);
    read.load(|offset, out| out.copy_from_slice(&block[offset..offset + out.len()]));
    assert_eq!(read.check(FORMAT, &geometry), Ok(()));
    assert_eq!(read.by_sequence(1).map(|(slot, _)| slot), Some(0));
}

#[test]
fn a_snapshot_is_as_documented() {
    let region = SnapshotRegion::new(Name::new("fan-state"), 5, 0x8081_2010, 64);
    let mut extent = SnapshotExtent::new(ExtentKind::Region, 5, 0x8081_2010, 64, 0);
    let data = [0x11; 64];
    extent.set_saved(0, WordSum::new().bytes(&data).value());
    let unused = {
        let mut extent = SnapshotExtent::new(ExtentKind::Memory, 5, 0x8081_1000, 4096, 0);
        extent.set_saved(0xaaaa_aaaa, WordSum::SEED);
        extent
    };
    let mut missing = SnapshotExtent::new(ExtentKind::Memory, 2, 0x8082_0000, 512, 0);
    missing.set_missing(ExtentStatus::NoRoom);
    let tables = [
        region.as_bytes(),
        extent.as_bytes(),
        unused.as_bytes(),
        missing.as_bytes(),
    ]
    .concat();

    let mut header = SnapshotHeader::new(SnapshotKind::System);
    header.sequence = 1.into();
    header.boot = 1.into();
    header.task = 5.into();
    header.current = 0.into();
    header.time = 3_014.into();
    header.image_id = 0xac7f_1045_79de_0074.into();
    header.regions = 1.into();
    header.extents = 3.into();
    header.data = 64.into();
    header.milliseconds = 2.into();
    header.table_sum = WordSum::new().bytes(&tables).value().into();
    header.written = header.length().into();
    header.seal(FORMAT);
    assert_eq!(header.length(), 1024 + 64);
    assert_eq!(
        SnapshotHeader::parse(header.as_bytes(), FORMAT, 4096),
        Ok(header)
    );
    for extent in [extent, unused, missing] {
        assert_eq!(extent.check(), Ok(()));
    }
    assert_eq!(hex(header.as_bytes()), hex(&dump("snapshot")));
    assert_eq!(hex(&tables), hex(&dump("snapshot-tables")));
}
