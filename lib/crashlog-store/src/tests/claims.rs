//! Requirements on the store apart from power cuts.
//!
//! Which crash is the newest, what is written first if space or time is short, and how it is
//! reported that something was cut.

use super::recorder::*;
use crate::*;
use block_device::{BLOCK_LEN, Block, BlockDevice, WindowError};
use crashlog_format::EmergencyStep;
use crashlog_format::crash::SegmentKind;
use crashlog_retained::AppendError;

/// The time of a clock that runs backwards.
fn backwards(turn: u32) -> u64 {
    (1 << 50) >> (3 * turn)
}

/// REQ: P4 Every boot has an earlier time than the one before. The newest crash is the one with the
/// greatest sequence number all the same, the oldest are overwritten first, and the log is read in
/// the order in which it was accepted.
#[test]
fn the_newest_crash_has_the_greatest_number_whatever_the_clock() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let mut accepted = Vec::new();
    for turn in 0..12 {
        let memory = retained_memory();
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        oracle.clock = backwards(turn);
        let sequence = recorder.append(&mut oracle).unwrap();
        accepted.push((recorder.boot(), sequence));
        recorder.flush(&mut oracle).unwrap();
        oracle.clock = backwards(turn) - 10;
        let number = if turn % 2 == 0 {
            recorder.oops(&mut oracle, turn).unwrap()
        } else {
            recorder.panic(&mut oracle, turn);
            let (result, outcome) = emergency(&card, &memory);
            assert_eq!(result, Ok(()));
            outcome.sequence.get()
        };
        assert_eq!(number, turn + 1);

        let scratch = blocks(16);
        let mut store = mount(&card, &scratch).unwrap();
        assert_eq!(store.newest_crash(), Some(number));
        let newest = now(store.open_crash(number)).unwrap();
        assert!(newest.header.time.get() < backwards(turn));
        // The first two are kept; of the others the one with the lowest number was overwritten.
        let numbers: Vec<u32> = (0..store.crash_count())
            .filter_map(|index| store.tally(index))
            .map(|tally| tally.sequence)
            .collect();
        let kept: Vec<u32> = match number {
            1..=3 => (1..=number).collect(),
            _ => vec![1, 2, number],
        };
        assert_eq!(numbers, kept);
        let log = content(&card).log;
        assert!(log.iter().map(|(key, _)| *key).eq(accepted.clone()));
    }
}

/// REQ: P7 Log records and a crash from the time before the card was there are written when it is,
/// with the boot in which they were made.
#[test]
fn what_was_made_before_the_card_is_there_is_written_when_it_is() {
    let card = small_card();
    for _ in 0..3 {
        let memory = retained_memory();
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        recorder.append(&mut Oracle::default()).unwrap();
        recorder.flush(&mut Oracle::default()).unwrap();
    }
    let memory = retained_memory();
    let (region, ring) = cold_boot(&memory);
    for sequence in 1..=40 {
        assert_eq!(ring.append(&line(1), &[sequence as u8; 100]), Ok(sequence));
    }
    let mut context = crashlog_retained::CrashContext::new(
        crashlog_retained::CrashReason::Oops,
        5,
        "early",
        &[8],
    );
    (context.time, context.boot) = (77, region.boot());
    region.mailbox().write_oops(3).unwrap().finish(&context);

    let mut recorder = TestRecorder::start(&card, &memory, false).unwrap();
    recorder.flush(&mut Oracle::default()).unwrap();
    let number = recorder.write_oopses(&mut Oracle::default()).unwrap();
    assert_eq!(number, Some(1));
    let scratch = blocks(16);
    let mut store = mount(&card, &scratch).unwrap();
    let crash = now(store.open_crash(1)).unwrap().header;
    assert_eq!((crash.boot.get(), crash.time.get()), (4, 77));
    let early: Vec<_> = content(&card)
        .log
        .into_iter()
        .filter(|((boot, _), _)| *boot == 4)
        .collect();
    let expected = (1..=40).map(|sequence| ((4, sequence), vec![sequence as u8; 100]));
    assert!(early.into_iter().eq(expected));
}

fn dump(length: u32, blocks: &[Block]) -> ExtraSegment<'_> {
    ExtraSegment {
        kind: SegmentKind::Tasks,
        address: 0x8080_0000,
        length,
        blocks,
    }
}

/// REQ: P10 Bounds are checked before a length is cut: an offset after the end reads nothing,
/// whatever is stored there, and an offset whose end would wrap is not mistaken for a small one.
/// Segments that were cut have their original length.
#[test]
fn bounds_are_checked_before_sizes_are_cut() {
    let card = small_card();
    let memory = retained_memory();
    let recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.panic(&mut Oracle::default(), 1);
    let words = blocks(20);
    words.iter().for_each(|block| block.fill(0x5A5A_5A5A));
    // There is room for five blocks: all of the first, a part of the second, nothing of the third.
    let extra = [dump(600, &words), dump(10_000, &words), dump(4, &words)];
    let region = recorder.region;
    drop(recorder);
    let (result, _) = emergency_with(&mut card.clone(), &region, &extra);
    assert_eq!(result, Ok(()));

    let scratch = blocks(16);
    let mut store = mount(&card, &scratch).unwrap();
    let crash = now(store.open_crash(1)).unwrap();
    let sizes: Vec<_> = crash.segments()[2..]
        .iter()
        .map(|segment| (segment.length(), segment.original(), segment.is_truncated()))
        .collect();
    assert_eq!(
        sizes,
        [(600, 600, false), (1536, 10_000, true), (0, 4, true)]
    );
    let mut out = [0; 700];
    let mut read = |segment, offset| now(crash.read(&mut store, segment, offset, &mut out));
    assert_eq!(read(2, 600 - 3), Ok(3));
    // After the end in the same block; in the part that was cut; where an end would wrap.
    for offset in [600, 601, 1024, u32::MAX - 600, u32::MAX] {
        assert_eq!(read(2, offset), Ok(0), "offset {offset}");
    }
    for offset in [1536, 1537, 9_999, 10_000, u32::MAX] {
        assert_eq!(read(3, offset), Ok(0), "offset {offset}");
    }
    assert_eq!(read(4, 0), Ok(0));
    for segment in [5, usize::MAX] {
        assert_eq!(read(segment, 0), Err(CrashReadError::NoSuchCrash));
    }

    // A request that is partly inside the partition is refused as a whole, and no command is sent.
    let mut window = window(&card);
    let end = BlockDevice::block_count(&window);
    card.take_counts();
    for first in [end - 1, end, u64::MAX - 1, u64::MAX] {
        let written = now(BlockDevice::write(&mut window, first, &words[..2]));
        assert_eq!(written, Err(WindowError::OutOfWindow));
        let read = now(BlockDevice::read(&mut window, first, &words[..2]));
        assert_eq!(read, Err(WindowError::OutOfWindow));
    }
    let counts = card.take_counts();
    assert_eq!((counts.read, counts.written), (0, 0));
}

/// REQ: P11 Space is short everywhere: the stream ring and the log ring are full, all slots are
/// taken, and the slot has no room for further segments. The newest log lines and the fault are on
/// the card.
#[test]
fn if_space_is_short_the_newest_lines_and_the_fault_are_saved() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    for place in 0..10 {
        recorder.oops(&mut oracle, 100 + place).unwrap();
        for _ in 0..60 {
            recorder.append(&mut oracle).unwrap();
            recorder.append(&mut oracle).unwrap();
            recorder.flush(&mut oracle).unwrap();
        }
    }
    let ring_pages = recorder.store.geometry().ring_pages();
    assert!(recorder.store.next_page() > 4 * ring_pages);
    let mut last = None;
    while let Ok(sequence) = recorder.append(&mut oracle) {
        last = Some((recorder.boot(), sequence));
    }
    assert_eq!(recorder.append(&mut oracle), Err(AppendError::Full));
    let waiting = oracle.waiting.clone();

    let time = recorder.panic(&mut oracle, 7);
    let words = blocks(16);
    let extra = [dump(8192, &words), dump(8192, &words)];
    let region = recorder.region;
    drop(recorder);
    let (result, outcome) = emergency_with(&mut card.clone(), &region, &extra);
    assert_eq!(result, Ok(()));

    let content = content(&card);
    let found: Vec<_> = content.log.iter().map(|(key, _)| *key).collect();
    assert_eq!(found.last().copied(), last);
    assert!(waiting.iter().all(|key| found.contains(key)));
    assert_eq!(content.damaged, []);
    assert_eq!(content.crashes[&time].0, outcome.sequence.get());
    let scratch = blocks(16);
    let mut store = mount(&card, &scratch).unwrap();
    let crash = now(store.open_crash(outcome.sequence.get())).unwrap();
    let sizes: Vec<_> = crash
        .segments()
        .iter()
        .map(|segment| {
            (
                segment.kind().unwrap(),
                segment.length(),
                segment.original(),
            )
        })
        .collect();
    let tasks = SegmentKind::Tasks;
    assert_eq!(
        sizes,
        [
            (SegmentKind::Message, 5, 5),
            (SegmentKind::Stack, 300, 300),
            (tasks, 5 * 512, 8192),
            (tasks, 0, 8192)
        ]
    );
    assert_eq!(now(crash.check(&mut store, 1)), Ok(true));
}

/// REQ: P11 Time is short: at whichever block the emergency write ends, the fault is written before
/// further segments, and the crash is durable before the log tail is begun.
#[test]
fn if_time_is_short_the_fault_is_written_first_and_then_the_newest_lines() {
    let words = blocks(16);
    words.iter().for_each(|block| block.fill(0xD00D_D00D));
    let extra = [dump(512, &words)];
    for steps in 0.. {
        let card = small_card();
        let mut oracle = Oracle::default();
        let memory = retained_memory();
        let recorder = TestRecorder::start(&card, &memory, true).unwrap();
        for _ in 0..30 {
            recorder.append(&mut oracle).unwrap();
        }
        recorder.panic(&mut oracle, 1);
        let (region, geometry) = (recorder.region, *recorder.store.geometry());
        let tail = u64::from(geometry.page(recorder.store.next_page())) + 2048;
        drop(recorder);
        card.fail_after(steps, false);
        let (result, outcome) = emergency_with(&mut card.clone(), &region, &extra);
        let first = u64::from(geometry.slot(0).unwrap()) + 2048;
        let [header, dumped] = [0, 3].map(|block| card.peek(first + block) != [0; BLOCK_LEN]);
        assert!(header || !dumped, "step {steps}");
        let lines = card.peek(tail) != [0; BLOCK_LEN];
        let committed = outcome.finished(EmergencyStep::Commit);
        assert!(committed || !lines, "step {steps}");
        assert_eq!(result.is_ok(), committed, "step {steps}");
        if committed {
            let crash = *oracle.crashes.last().unwrap();
            oracle.durable_crashes.insert(crash, outcome.sequence.get());
        }
        if outcome.finished(EmergencyStep::LogTail) {
            oracle.all_durable();
        }
        let durable = card.after_cut(super::card::Survivors::None);
        oracle.check(&content(&durable));
        if outcome.finished(EmergencyStep::LogTail) {
            assert!(steps > 8 && header && dumped && lines);
            break;
        }
    }
}
