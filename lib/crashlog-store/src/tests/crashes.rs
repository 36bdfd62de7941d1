//! Crashes: which are kept, counted and erased, and what is in them.

use super::recorder::*;
use crate::*;
use crashlog_format::crash::SegmentKind;
use crashlog_format::{CrashFault, CrashReason, LateReason, Outcome};
use crashlog_retained::{CrashContext, Region};

/// REQ: X6
/// REQ: K5
/// REQ: P3 A thousand boots, each with a crash that repeats one of two or is new. The first crashes
/// are kept, repetitions are counted in their entries, of the others the newest are kept, and the
/// number of writes for a crash does not grow.
#[test]
fn a_crash_loop_keeps_the_first_crashes() {
    let card = card(320, 6, 8);
    let mut oracle = Oracle::default();
    let mut memory = retained_memory();
    card.take_counts();
    for cycle in 0..1000u32 {
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        recorder.write_late(&mut oracle).unwrap();
        let place = match cycle {
            0..2 => cycle,
            _ if cycle % 50 == 0 => 100 + cycle,
            _ => cycle % 2,
        };
        recorder.append(&mut oracle).unwrap();
        recorder.panic(&mut oracle, place);
        drop(recorder);
        let (result, outcome) = emergency(&card, &memory);
        assert_eq!(result, Ok(()));
        oracle.all_durable();
        let counts = card.take_counts();
        assert!(
            counts.written <= 6 && counts.flushes <= 5,
            "cycle {cycle}: {counts:?}"
        );
        assert!(outcome.blocks.get() as usize == counts.written);
        if cycle % 7 == 0 {
            memory = retained_memory();
        }
    }
    let scratch = blocks(16);
    let mut store = mount(&card, &scratch).unwrap();
    assert_eq!(store.counters().panic.get(), 1000);
    let tallies: Vec<_> = (0..5).map(|index| store.tally(index).unwrap()).collect();
    assert_eq!(store.tally(5), None);
    // The first two are kept, and the crashes that repeat them are counted; 19 crashes were others.
    assert_eq!((tallies[0].sequence, tallies[1].sequence), (1, 2));
    assert_eq!(tallies[0].repeats + tallies[1].repeats, 1000 - 2 - 19);
    assert_eq!(tallies[1].last_boot, 1000);
    // The three newest of the 19 others.
    assert_eq!(
        tallies[2..]
            .iter()
            .map(|tally| tally.sequence)
            .collect::<Vec<_>>(),
        [19, 20, 21]
    );
    assert_eq!(store.newest_crash(), Some(21));
    for tally in tallies {
        let crash = now(store.open_crash(tally.sequence)).unwrap();
        assert_eq!(now(crash.check(&mut store, 1)), Ok(true));
    }
}

/// REQ: P9
#[test]
fn no_number_is_used_again_after_an_erasure() {
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    for number in 1..40 {
        assert_eq!(recorder.oops(&mut oracle, number), Ok(number));
        now(recorder.store.erase(number)).unwrap();
        assert_eq!(
            now(recorder.store.erase(number)),
            Err(CrashWriteError::NoSuchCrash)
        );
        if number % 5 == 0 {
            recorder = TestRecorder::start(&card, &memory, true).unwrap();
        }
        assert_eq!(recorder.store.crash_count(), 0);
    }
    assert_eq!(recorder.store.counters().oops.get(), 39);
}

/// REQ: X6
#[test]
fn an_acknowledged_crash_is_overwritten_first() {
    // There is room for three crashes; two unacknowledged ones are never overwritten.
    let card = small_card();
    let mut oracle = Oracle::default();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    let numbers = |recorder: &TestRecorder<'_>| -> Vec<u32> {
        (0..3)
            .filter_map(|index| recorder.store.tally(index))
            .map(|tally| tally.sequence)
            .collect()
    };
    for place in 1..=5 {
        recorder.oops(&mut oracle, place).unwrap();
    }
    assert_eq!(numbers(&recorder), [1, 2, 5]);
    now(recorder.store.acknowledge(1)).unwrap();
    assert_eq!(numbers(&recorder), [1, 2, 5]);
    recorder.oops(&mut oracle, 6).unwrap();
    assert_eq!(numbers(&recorder), [2, 5, 6]);
    // A repetition of an acknowledged crash is a new crash.
    now(recorder.store.acknowledge(2)).unwrap();
    assert_eq!(recorder.oops(&mut oracle, 2), Ok(7));
    assert_eq!(numbers(&recorder), [5, 6, 7]);
}

/// REQ: P2
/// REQ: P10
/// REQ: X9 (in part: the image id of a crash)
/// REQ: P12 (in part: fault) Everything about a crash is on the card; segments that were cut are
/// marked and have their original length.
#[test]
fn a_crash_is_read_as_it_was_written() {
    let card = small_card();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    let mut oracle = Oracle::default();
    recorder.append(&mut oracle).unwrap();
    recorder.append(&mut oracle).unwrap();
    let mut context = CrashContext::new(
        CrashReason::Panic,
        12,
        "thermal",
        &[2, 1, 0x10, 0, 0, 0x40, 1],
    );
    context.time = 0x1_2345_6789;
    context.boot = 1;
    context.restarts = 4;
    context.image_id = 0x0123_4567_89ab_cdef;
    context.registers = core::array::from_fn(|index| 0x1000 + index as u32);
    let mut writer = recorder.region.mailbox().write_oops(12).unwrap();
    writer.message(&[b'm'; 600]);
    writer.finish(&context);
    let oops = recorder.region.mailbox().oops().unwrap();
    let dump = blocks(9);
    for (index, block) in dump.iter().enumerate() {
        block.fill(index as u32 * 0x0101_0101);
    }
    let mut outcome = Outcome::default();
    outcome.controller = 3;
    // The slot has room for five blocks beside header, message and stack.
    let extra = [
        ExtraSegment {
            kind: SegmentKind::Tasks,
            address: 0x8080_0000,
            length: 1022,
            blocks: &dump[..2],
        },
        ExtraSegment {
            kind: SegmentKind::Tasks,
            address: 0x8090_0000,
            length: 4000,
            blocks: &dump[1..],
        },
        ExtraSegment {
            kind: SegmentKind::Tasks,
            address: 0,
            length: 10,
            blocks: &dump,
        },
    ];
    let body = CrashBody {
        stored: &oops.stored,
        late: Some(LateReason::Failed),
        outcome: &outcome,
        boot_offset: 0,
        log_record: recorder.ring.accepted(),
        extra: &extra,
    };
    let number = now(recorder.store.write_crash(&body)).unwrap();

    let scratch = blocks(1);
    let mut store = mount(&card, &scratch).unwrap();
    let crash = now(store.open_crash(number)).unwrap();
    let header = crash.header;
    assert_eq!(
        (header.reason(), header.late()),
        (Ok(CrashReason::Panic), Some(LateReason::Failed))
    );
    assert_eq!(
        header.fault().unwrap().to_string(),
        "BusError at 0x40000010 (Kernel)"
    );
    assert_eq!(
        (header.sequence.get(), header.boot.get(), header.task.get()),
        (1, 1, 12)
    );
    assert_eq!(
        (header.time.get(), header.restarts.get()),
        (0x1_2345_6789, 4)
    );
    assert_eq!(header.image_id.get(), 0x0123_4567_89ab_cdef);
    assert_eq!(header.name.as_str(), "thermal");
    assert_eq!(header.registers[16].get(), 0x1010);
    assert_eq!(
        (header.counters.panic.get(), header.counters.late.get()),
        (1, 1)
    );
    assert_eq!((header.log_record.get(), header.outcome.controller), (2, 3));
    let segments: Vec<_> = crash
        .segments()
        .iter()
        .map(|segment| {
            (
                segment.kind().unwrap(),
                segment.length(),
                segment.original(),
                segment.block(),
            )
        })
        .collect();
    assert_eq!(
        segments,
        [
            (SegmentKind::Message, 512, 600, 1),
            (SegmentKind::Tasks, 1022, 1022, 3),
            (SegmentKind::Tasks, 1536, 4000, 5),
            (SegmentKind::Tasks, 0, 10, 8),
        ]
    );
    assert!(crash.segments()[2].is_truncated() && !crash.segments()[1].is_truncated());
    for index in 0..4 {
        assert_eq!(
            now(crash.check(&mut store, index)),
            Ok(true),
            "segment {index}"
        );
    }
    let mut out = [0; 600];
    assert_eq!(now(crash.read(&mut store, 1, 510, &mut out)), Ok(2));
    assert_eq!(now(crash.read(&mut store, 1, 1000, &mut out)), Ok(22));
    assert_eq!(out[..22], [1; 22]);
    assert_eq!(now(crash.read(&mut store, 1, 1022, &mut out)), Ok(0));
    assert_eq!(
        now(crash.read(&mut store, 4, 0, &mut out)),
        Err(CrashReadError::NoSuchCrash)
    );
    assert!(matches!(
        CrashFault::decode(header.fault_bytes()),
        Some(CrashFault::BusError { .. })
    ));
}

/// A crash that is written twice, as the success of the first write was not known, is on the card
/// once and counted once.
#[test]
fn a_crash_written_twice_is_there_once() {
    let card = small_card();
    let memory = retained_memory();
    let mut oracle = Oracle::default();
    let recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.panic(&mut oracle, 1);
    drop(recorder);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    Region::over(&memory).unwrap().mailbox().conclude(false);
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    assert_eq!(recorder.write_late(&mut oracle), Ok(Some(1)));
    assert_eq!(recorder.store.counters().panic.get(), 1);
    assert_eq!(recorder.store.tally(0).unwrap().repeats, 0);
}

/// REQ: X6 (in part: one task's failures do not push out another's), X18 (in part: slots) A task
/// that fails in ever new ways overwrites its own crashes.
#[test]
fn a_task_with_many_crashes_makes_room_for_others() {
    // There is room for five crashes; two are never overwritten.
    let card = card(320, 6, 8);
    let memory = retained_memory();
    let mut oracle = Oracle::default();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    let mut crash = |task: u16, place: u32| {
        let mut context = CrashContext::new(CrashReason::Oops, task, "task", &[5]);
        context.boot = 1;
        context.time = u64::from(place);
        context.registers[15] = place;
        let writer = recorder.region.mailbox().write_oops(task).unwrap();
        writer.finish(&context);
        recorder.write_oopses(&mut oracle).unwrap();
        let tasks: Vec<(u16, u64)> = (0..recorder.store.crash_count())
            .map(|index| {
                let number = recorder.store.tally(index).unwrap().sequence;
                let header = now(recorder.store.open_crash(number)).unwrap().header;
                (header.task.get(), header.time.get())
            })
            .collect();
        tasks
    };
    for place in 1..=20 {
        crash(7, place);
    }
    assert_eq!(crash(7, 21), [(7, 1), (7, 2), (7, 19), (7, 20), (7, 21)]);
    // Those of others come in the place of the many, not of each other.
    crash(8, 31);
    assert_eq!(crash(9, 32), [(7, 1), (7, 2), (7, 21), (8, 31), (9, 32)]);
    for place in 41..=60 {
        crash(7, place);
    }
    assert_eq!(crash(7, 61), [(7, 1), (7, 2), (8, 31), (9, 32), (7, 61)]);
    // Among tasks that have as many as it would have, its own is released.
    crash(8, 71);
    assert_eq!(crash(8, 72), [(7, 1), (7, 2), (9, 32), (8, 71), (8, 72)]);
}
