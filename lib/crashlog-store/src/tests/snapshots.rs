//! Snapshots: written behind a crash in an emergency or late; `faults` interrupts and damages them.

mod faults;

use super::card::{CardFailure, Survivors, TestCard};
use super::image::{Found, make_image, read_snapshot};
use super::recorder::*;
use crate::emergency::{Error, SnapshotRequest, write_snapshot};
use crate::*;
use block_device::Block;
use crashlog_format::crash::SegmentKind;
use crashlog_format::ledger::Ledger;
use crashlog_format::snapshot::SnapshotKind;
use crashlog_retained::{EmergencyFailure, MailboxState, Region};

/// Blocks of the dump area.
const DUMP: usize = 160;

/// Memory for a region with a dump area.
fn memory() -> Vec<Block> {
    blocks(Region::len_with(128) / 512 + DUMP)
}

/// A card with 4 slots of this many blocks each.
fn card_with(slot_blocks: u32) -> TestCard {
    card(
        u64::from(192 + 4 * slot_blocks).next_multiple_of(8),
        4,
        slot_blocks,
    )
}

/// The emergency write, then the snapshot, as the recorder does both.
fn emergency_and_snapshot(
    card: &TestCard,
    memory: &[Block],
) -> (u32, Result<bool, Error<CardFailure>>) {
    let (written, outcome) = emergency(card, memory);
    assert_eq!(written, Ok(()));
    let sequence = outcome.sequence.get();
    (sequence, snapshot_only(card, memory, sequence))
}

/// Writes the snapshot of the crash in the mailbox, which is on the card as `sequence`.
fn snapshot_only(
    card: &TestCard,
    memory: &[Block],
    sequence: u32,
) -> Result<bool, Error<CardFailure>> {
    snapshot_with(card, memory, sequence, &[])
}

/// The same for a crash with segments beside message and stack.
fn snapshot_with(
    card: &TestCard,
    memory: &[Block],
    sequence: u32,
    extra: &[ExtraSegment<'_>],
) -> Result<bool, Error<CardFailure>> {
    let region = Region::over(memory).unwrap();
    let (crash, location) = (region.mailbox().crash(), region.location().load());
    // The ledger as the emergency write leaves it: the newest on the card.
    let mut ledger = newest_ledger(&card.after_cut(Survivors::All));
    let request = SnapshotRequest {
        region: &region,
        crash: crash.as_ref().unwrap(),
        sequence,
        location: location.as_ref().unwrap(),
        extra,
        scratch: region.scratch(),
    };
    write_snapshot(&mut card.clone(), &request, &mut ledger)
}

fn newest_ledger(card: &TestCard) -> Ledger {
    let scratch = blocks(16);
    mount(card, &scratch).unwrap().ledger.clone()
}

/// A boot that ends with a crash; the supervisor has made an image after it.
fn crashed(card: &TestCard, memory: &[Block], oracle: &mut Oracle, place: u32) {
    let mut recorder = TestRecorder::start(card, memory, true).unwrap();
    recorder.append(oracle).unwrap();
    recorder.flush(oracle).unwrap();
    recorder.append(oracle).unwrap();
    recorder.panic(oracle, place);
    let crash = recorder.region.mailbox().crash().unwrap();
    if recorder.region.snapshot().size() > 0 {
        make_image(&recorder.region, &crash.context, SnapshotKind::System, 3);
    }
}

/// What a boot does with an image in retained RAM, after it has written late crashes.
fn write_late_image(recorder: &mut TestRecorder<'_>) -> Result<Option<u32>, Failed> {
    let mut progress = SnapshotProgress::default();
    for _ in 0..DUMP {
        if !recorder.region.snapshot().is_waiting() {
            return Ok(None);
        }
        let step = recorder
            .store
            .write_snapshot(&recorder.region, &mut progress);
        match now(step)? {
            SnapshotStep::More => {}
            SnapshotStep::Written(sequence) => {
                recorder.region.snapshot().clear();
                return Ok(Some(sequence));
            }
            SnapshotStep::Discarded => {
                recorder.region.snapshot().clear();
                return Ok(None);
            }
        }
    }
    panic!("it does not end");
}

/// A boot after the crash, in which the crash and its image are written if they are not on the card
/// yet.
fn next_boot(card: &TestCard, memory: &[Block], oracle: &mut Oracle) -> Option<u32> {
    let mut recorder = TestRecorder::start(card, memory, true).unwrap();
    recorder.write_late(oracle).unwrap();
    let written = write_late_image(&mut recorder).unwrap();
    assert!(!recorder.region.snapshot().is_waiting());
    written
}

#[test]
fn a_snapshot_is_written_behind_its_crash() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    card.take_counts();
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
    let Found::Whole(header) = read_snapshot(&card, 1) else {
        panic!("{:?}", read_snapshot(&card, 1));
    };
    assert_eq!((header.sequence.get(), header.boot.get()), (1, 1));
    assert_eq!(header.written.get(), header.length());
    assert!(!header.is_late());
    // It is there, so the next boot has nothing to do, and does not write it again.
    card.take_counts();
    assert_eq!(next_boot(&card, &memory, &mut oracle), None);
    assert_eq!(card.take_counts().written, 0);
    assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
}

#[test]
fn an_image_that_was_left_is_written_at_the_next_boot() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    // Another boot before it: the boots on the card have other numbers than those in retained RAM.
    crashed(&card, &retained_memory(), &mut oracle, 7);
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    assert_eq!(next_boot(&card, &memory, &mut oracle), Some(1));
    let Found::Whole(header) = read_snapshot(&card, 1) else {
        panic!("{:?}", read_snapshot(&card, 1));
    };
    assert_eq!((header.boot.get(), header.is_late()), (2, true));

    // The crash itself is written late, too.
    crashed(&card, &memory, &mut oracle, 2);
    assert_eq!(next_boot(&card, &memory, &mut oracle), Some(2));
    assert!(matches!(read_snapshot(&card, 2), Found::Whole(_)));
}

#[test]
fn the_image_of_an_oops_is_written_in_the_same_boot() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    let context = recorder.describe_oops(&mut oracle, 4);
    make_image(&recorder.region, &context, SnapshotKind::Task, 0);
    assert_eq!(recorder.write_oopses(&mut oracle), Ok(Some(1)));
    assert_eq!(write_late_image(&mut recorder), Ok(Some(1)));
    let Found::Whole(header) = read_snapshot(&card, 1) else {
        panic!("{:?}", read_snapshot(&card, 1));
    };
    assert_eq!(header.kind(), Ok(SnapshotKind::Task));
    assert!(!header.is_late());
    // The oops is repeated before the image of the first is written: it is still that of the first.
    let context = recorder.describe_oops(&mut oracle, 5);
    make_image(&recorder.region, &context, SnapshotKind::Task, 0);
    recorder.write_oopses(&mut oracle).unwrap();
    recorder.describe_oops(&mut oracle, 5);
    assert_eq!(recorder.write_oopses(&mut oracle), Ok(Some(2)));
    assert_eq!(recorder.store.tally(1).unwrap().repeats, 1);
    assert_eq!(write_late_image(&mut recorder), Ok(Some(2)));
    // The image of a repetition has no place.
    let context = recorder.describe_oops(&mut oracle, 6);
    recorder.write_oopses(&mut oracle).unwrap();
    let again = recorder.describe_oops(&mut oracle, 6);
    assert_ne!(context.time, again.time);
    make_image(&recorder.region, &again, SnapshotKind::Task, 0);
    recorder.write_oopses(&mut oracle).unwrap();
    assert_eq!(write_late_image(&mut recorder), Ok(None));
    assert!(matches!(read_snapshot(&card, 3), Found::None));
}

#[test]
fn what_does_not_fit_into_the_slot_is_left_out() {
    // The crash has three blocks and a segment; header and tables of the image have two.
    let segment = blocks(5);
    let mut found = [0; 3];
    for (slot_blocks, room) in [(8, 0), (8, 1), (8, 2), (8, 3), (8, 5), (16, 13), (32, 29)] {
        for late in [false, true] {
            let (card, memory, mut oracle) = (card_with(slot_blocks), memory(), Oracle::default());
            crashed(&card, &memory, &mut oracle, 1);
            let used = &segment[..(slot_blocks.min(8) - 3 - room.min(5)) as usize];
            let extra = [ExtraSegment {
                kind: SegmentKind::Tasks,
                address: 0,
                length: 512 * used.len() as u32,
                blocks: used,
            }];
            let region = Region::over(&memory).unwrap();
            let (result, _) = emergency_with(&mut card.clone(), &region, &extra);
            assert_eq!(result, Ok(()));
            region.mailbox().conclude(true);
            let others = {
                let scratch = blocks(16);
                let geometry = *mount(&card, &scratch).unwrap().geometry();
                geometry.slot(1).unwrap()..geometry.slot(3).unwrap() + slot_blocks
            };
            let written = if late {
                next_boot(&card, &memory, &mut oracle) == Some(1)
            } else {
                snapshot_with(&card, &memory, 1, &extra) == Ok(true)
            };
            assert_eq!(written, room >= 2);
            let content = content(&card);
            assert_eq!((content.crashes.len(), content.damaged_segments), (1, 0));
            match read_snapshot(&card, 1) {
                Found::None => {
                    assert!(room < 2);
                    found[0] += 1;
                }
                Found::Cut(header) => {
                    assert_eq!(header.written.get(), room * 512);
                    found[1] += 1;
                }
                Found::Whole(_) => found[2] += 1,
            }
            // Nothing is written into the other slots.
            for block in others {
                assert_eq!(card.peek(2048 + u64::from(block)), [0; 512]);
            }
        }
    }
    assert_eq!(found, [4, 8, 2]);
}

#[test]
fn the_image_of_another_crash_is_not_written() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    let region = Region::over(&memory).unwrap();
    let context = region.mailbox().crash().unwrap().context;
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    let changes: [fn(&mut crashlog_retained::CrashContext); 4] = [
        |other| other.boot += 1,
        |other| other.task += 1,
        |other| other.time += 1,
        |other| other.time += 1 << 32,
    ];
    for change in changes {
        let mut other = context;
        change(&mut other);
        make_image(&region, &other, SnapshotKind::System, 3);
        assert_eq!(snapshot_only(&card, &memory, 1), Ok(false));
        let mut recorder = TestRecorder::start(&card, &memory, false).unwrap();
        card.take_counts();
        assert_eq!(write_late_image(&mut recorder), Ok(None));
        assert_eq!(card.take_counts().written, 0);
    }
    assert!(matches!(read_snapshot(&card, 1), Found::None));
}

#[test]
fn a_repeated_crash_keeps_the_snapshot_of_the_first() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
    let Found::Whole(first) = read_snapshot(&card, 1) else {
        panic!("not there");
    };
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(false)));
    assert_eq!(next_boot(&card, &memory, &mut oracle), None);
    assert!(matches!(read_snapshot(&card, 1), Found::Whole(found) if found == first));
    // Nor if the first has none.
    let other = retained_memory();
    crashed(&card, &other, &mut oracle, 2);
    assert_eq!(emergency(&card, &other).0, Ok(()));
    crashed(&card, &memory, &mut oracle, 2);
    assert_eq!(emergency_and_snapshot(&card, &memory), (2, Ok(false)));
    assert_eq!(next_boot(&card, &memory, &mut oracle), None);
    assert!(matches!(read_snapshot(&card, 2), Found::None));
}

/// The recorder is called a second time after the crash was committed.
#[test]
fn a_second_try_writes_the_snapshot_once() {
    let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    Region::over(&memory)
        .unwrap()
        .mailbox()
        .arm_minimal(1_000, EmergencyFailure::Recorder);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
    Region::over(&memory)
        .unwrap()
        .mailbox()
        .arm_minimal(1_000, EmergencyFailure::Recorder);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(false)));
    assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
    assert_eq!(
        Region::over(&memory).unwrap().mailbox().state(),
        MailboxState::Done
    );
}

/// Between two pieces of the image its crash is erased, or its slot holds another crash.
#[test]
fn a_crash_that_goes_away_takes_its_image_with_it() {
    for reused in [false, true] {
        let (card, memory, mut oracle) = (card_with(256), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency(&card, &memory).0, Ok(()));
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        recorder.region.mailbox().clear();
        let crash = memory_of_last_crash(&card);
        make_image(&recorder.region, &crash, SnapshotKind::System, 25);
        let mut progress = SnapshotProgress::default();
        let step = now(recorder
            .store
            .write_snapshot(&recorder.region, &mut progress));
        assert_eq!(step, Ok(SnapshotStep::More));
        recorder.erase(&mut oracle, 1).unwrap();
        if reused {
            for place in 10..13 {
                recorder.oops(&mut oracle, place).unwrap();
            }
        }
        let before = content(&card);
        card.take_counts();
        let step = now(recorder
            .store
            .write_snapshot(&recorder.region, &mut progress));
        assert_eq!(step, Ok(SnapshotStep::Discarded));
        assert_eq!(card.take_counts().written, 0);
        assert_eq!(content(&card).crashes, before.crashes);
        for sequence in before.crashes.values().map(|(sequence, _)| *sequence) {
            assert!(matches!(read_snapshot(&card, sequence), Found::None));
        }
    }
}

fn memory_of_last_crash(card: &TestCard) -> crashlog_retained::CrashContext {
    let scratch = blocks(16);
    let mut store = mount(card, &scratch).unwrap();
    let newest = store.newest_crash().unwrap();
    let header = now(store.open_crash(newest)).unwrap().header;
    let mut context = crashlog_retained::CrashContext::new(
        header.reason().unwrap(),
        header.task.get(),
        "worker",
        header.fault_bytes(),
    );
    (context.boot, context.time) = (header.boot.get(), header.time.get());
    context
}

/// Records are accepted and written between the pieces of a long image.
#[test]
fn pages_are_written_between_the_pieces() {
    let (card, memory, mut oracle) = (card_with(256), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency(&card, &memory).0, Ok(()));
    oracle.all_durable();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.region.mailbox().clear();
    let crash = memory_of_last_crash(&card);
    make_image(&recorder.region, &crash, SnapshotKind::System, 25);
    let mut progress = SnapshotProgress::default();
    let mut pieces = 1;
    while now(recorder
        .store
        .write_snapshot(&recorder.region, &mut progress))
        == Ok(SnapshotStep::More)
    {
        assert!(card.take_counts().written <= 80);
        recorder.append(&mut oracle).unwrap();
        recorder.flush(&mut oracle).unwrap();
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
    oracle.check(&content(&card));
}

#[test]
fn a_slot_that_is_used_again_has_no_snapshot() {
    let (card, memory, mut oracle) = (card_with(64), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.region.mailbox().clear();
    // An acknowledged crash keeps its snapshot for as long as it is there.
    now(recorder.store.acknowledge(1)).unwrap();
    assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
    for place in 20..30 {
        let sequence = recorder.oops(&mut oracle, place).unwrap();
        assert!(matches!(read_snapshot(&card, sequence), Found::None));
    }
    // Nor has it one after it was erased.
    drop(recorder);
    crashed(&card, &memory, &mut oracle, 2);
    let (sequence, written) = emergency_and_snapshot(&card, &memory);
    assert_eq!(written, Ok(true));
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.region.mailbox().clear();
    recorder.erase(&mut oracle, sequence).unwrap();
    let next = recorder.oops(&mut oracle, 31).unwrap();
    assert!(matches!(read_snapshot(&card, next), Found::None));
}

/// If the ledger is lost, the crash is found in its slot, and behind it a snapshot that no ledger
/// names, but that passes its checks.
#[test]
fn a_lost_ledger_leaves_the_snapshot_readable() {
    for lost in [&[0][..], &[1], &[0, 1]] {
        let (card, memory, mut oracle) = (card_with(64), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
        let scratch = blocks(16);
        let store = mount(&card, &scratch).unwrap();
        let (geometry, generation) = (*store.geometry(), store.ledger.generation());
        for parity in lost {
            card.poke(2048 + u64::from(geometry.ledger(*parity)), |bytes| {
                bytes.fill(0x55);
            });
        }
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        assert_eq!(recorder.store.newest_crash(), Some(1));
        let named = recorder.store.ledger.has_snapshot(0);
        assert_eq!(named, !lost.contains(&(generation % 2)));
        // The next change of the ledger keeps it so.
        recorder.region.mailbox().clear();
        recorder.oops(&mut oracle, 9).unwrap();
        match read_snapshot(&card, 1) {
            Found::Whole(_) => assert!(named),
            Found::Cut(header) => assert!(!named && header.written.get() == header.length()),
            Found::None => panic!("it is gone"),
        }
    }
}

/// The self-test takes a free slot and leaves the snapshots of crashes alone.
#[test]
fn a_self_test_leaves_snapshots_alone() {
    let (card, memory, mut oracle) = (card_with(64), memory(), Oracle::default());
    crashed(&card, &memory, &mut oracle, 1);
    assert_eq!(emergency_and_snapshot(&card, &memory), (1, Ok(true)));
    let region = Region::over(&memory).unwrap();
    for _ in 0..5 {
        drop(TestRecorder::start(&card, &memory, true).unwrap());
        let crash = self_test::describe(&region, 3, "crashlog", 5, 0).unwrap();
        // An image of the same task and time, as hostile as can be: a test gets no snapshot.
        make_image(&region, &crash.context, SnapshotKind::System, 3);
        let (result, outcome) = emergency_with(&mut card.clone(), &region, &[]);
        assert_eq!(result, Ok(()));
        let sequence = outcome.sequence.get();
        assert_eq!(snapshot_only(&card, &memory, sequence), Ok(false));
        assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
    }
}
