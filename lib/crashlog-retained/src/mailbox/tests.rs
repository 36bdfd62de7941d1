use super::*;
use crate::testing::{copy, memory};
use crate::{CrashContext, CrashReason, Region};
use crashlog_format::{Crc32c, EmergencyFailure, EmergencyStep, OutcomePhase};
use proptest::prelude::*;

fn context(task: u16, time: u64) -> CrashContext {
    let mut context = CrashContext::new(CrashReason::Panic, task, "worker", &[0, 1, 4, 0, 0, 0, 0]);
    context.boot = 3;
    context.time = time;
    context.registers = core::array::from_fn(|index| index as u32 * 3);
    context
}

fn write(writer: ContextWriter<'_>, context: &CrashContext) {
    let mut writer = writer;
    writer.message(b"index out of ");
    writer.message(b"bounds");
    writer.stack_at(0x8080_1000, 1000);
    for piece in [1; 600].chunks(77) {
        writer.stack(piece);
    }
    writer.finish(context);
}

fn bytes(block: &Block) -> [u8; 512] {
    crate::testing::bytes(block)
}

#[test]
fn a_crash_is_read_as_it_was_written() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    assert_eq!(mailbox.state(), MailboxState::Empty);
    write(mailbox.write_crash().unwrap(), &context(5, 77));
    assert_eq!(mailbox.state(), MailboxState::Empty);
    mailbox.arm(1_000);
    assert_eq!(mailbox.state(), MailboxState::Armed);

    let crash = mailbox.crash().unwrap();
    assert_eq!(crash.context, context(5, 77));
    assert_eq!(crash.context.reason(), CrashReason::Panic);
    let [_, message, stack] = crash.crash_blocks();
    let text = b"index out of bounds";
    assert_eq!((crash.message().length, crash.message().original), (19, 19));
    assert_eq!(crash.message().crc, Crc32c::new().bytes(text).value());
    assert_eq!(bytes(message)[..20], *b"index out of bounds\0");
    // Cut, and the length that there was is kept.
    assert_eq!((crash.stack().length, crash.stack().original), (512, 1000));
    assert_eq!(
        (crash.stack().address, crash.stack().crc),
        (0x8080_1000, Crc32c::new().bytes(&[1; 512]).value())
    );
    assert_eq!(bytes(stack), [1; 512]);
}

/// REQ: X1 A supervisor that stops at any point after the note leaves the note, whatever it has
/// written beside it.
#[test]
fn a_note_stays_until_the_crash_is_described() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    write(mailbox.write_crash().unwrap(), &context(4, 70));
    mailbox.arm(1_000);
    mailbox.conclude(true);

    let noted = |task| {
        let crash = mailbox.crash().unwrap();
        assert_eq!(mailbox.state(), MailboxState::Noted);
        assert_eq!(crash.context, context(task, 77));
        assert_eq!((crash.message().length, crash.stack().length), (0, 0));
    };
    let mut writer = mailbox.write_crash().unwrap();
    assert!(mailbox.crash().is_none());
    writer.note(&context(5, 77));
    mailbox.note();
    noted(5);
    writer.message(b"index out of bounds");
    noted(5);
    writer.stack_at(0x8080_1000, 64);
    writer.stack(&[1; 64]);
    noted(5);
    writer.finish(&context(6, 78));
    let crash = mailbox.crash().unwrap();
    assert_eq!(crash.context, context(6, 78));
    assert_eq!((crash.message().length, crash.stack().length), (19, 64));
    mailbox.arm(1_000);
    assert_eq!(mailbox.state(), MailboxState::Armed);
    // The note does not pass for one of the next crash.
    let _ = mailbox.write_crash().unwrap();
    mailbox.note();
    assert!(mailbox.crash().is_none());
}

#[test]
fn what_is_not_on_the_card_is_pending() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    assert!(!mailbox.is_pending());
    write(mailbox.write_oops(5).unwrap(), &context(5, 77));
    assert!(mailbox.is_pending());
    mailbox.oops().unwrap().clear();
    assert!(!mailbox.is_pending());
    let states = [
        MailboxState::Noted,
        MailboxState::Armed,
        MailboxState::ArmedMinimal,
        MailboxState::Failed,
        MailboxState::Done,
        MailboxState::Empty,
    ];
    for state in states {
        match state {
            MailboxState::Noted => mailbox.note(),
            MailboxState::Armed => mailbox.arm(1_000),
            MailboxState::ArmedMinimal => mailbox.arm_minimal(1_000, EmergencyFailure::Recorder),
            MailboxState::Failed => mailbox.conclude(false),
            MailboxState::Done => mailbox.conclude(true),
            MailboxState::Empty => mailbox.clear(),
        }
        let saved = matches!(state, MailboxState::Done | MailboxState::Empty);
        assert_eq!((mailbox.state(), mailbox.is_pending()), (state, !saved));
    }
}

#[test]
fn the_progress_of_a_self_test_is_kept_until_power_off() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    assert_eq!(region.mailbox().self_test(), None);
    let test = SelfTestProgress {
        boot: 1,
        step: 2,
        cause: 3,
        error: 4,
        sequence: 5,
        milliseconds: 6,
        retries: 7,
    };
    region.mailbox().set_self_test(&test);
    region.begin_boot();
    assert_eq!(region.mailbox().self_test(), Some(test));
    memory[1].set_word(TEST_AT, 9);
    assert_eq!(region.mailbox().self_test(), None);
}

#[test]
fn arming_invalidates_the_outcome_of_an_earlier_try() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    assert_eq!(mailbox.outcome(), None);
    write(mailbox.write_crash().unwrap(), &context(5, 77));
    mailbox.arm(1_000);
    let mut outcome = Outcome::default();
    outcome.enter(OutcomePhase::Write);
    outcome.fail(EmergencyFailure::Device);
    outcome.finish(EmergencyStep::CardReady);
    mailbox.set_outcome(&outcome);
    mailbox.conclude(false);
    assert_eq!(
        (mailbox.state(), mailbox.outcome()),
        (MailboxState::Failed, Some(outcome))
    );
    mailbox.arm_minimal(1_000, EmergencyFailure::Recorder);
    assert_eq!(
        (mailbox.state(), mailbox.outcome()),
        (MailboxState::ArmedMinimal, None)
    );
    assert!(mailbox.crash().is_some());
    mailbox.conclude(true);
    assert_eq!(mailbox.state(), MailboxState::Done);
    mailbox.clear();
    assert_eq!(mailbox.state(), MailboxState::Empty);
}

#[test]
fn oopses_are_read_in_order_and_those_without_a_place_are_counted() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    for time in [30, 10, 40, 20] {
        write(
            mailbox.write_oops(time as u16).unwrap(),
            &context(time as u16, time),
        );
    }
    assert!(mailbox.write_oops(50).is_none());
    assert_eq!(mailbox.dropped(), 1);
    for time in [10, 20, 30, 40] {
        let oops = mailbox.oops().unwrap();
        assert_eq!(oops.stored.context.time, time);
        oops.clear();
    }
    assert!(mailbox.oops().is_none());
    assert!(mailbox.write_oops(50).is_some());
}

/// REQ: X6 (in part: one task's failures do not hide another's), X18 (in part: waiting notes)
#[test]
fn a_task_with_many_oopses_gives_up_places() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mailbox = region.mailbox();
    let oops = |task: u16, time: u64| {
        let writer = mailbox.write_oops(task);
        let kept = writer.is_some();
        if let Some(writer) = writer {
            write(writer, &context(task, time));
        }
        kept
    };
    for time in 1..=9 {
        assert_eq!(oops(3, time), time <= 4);
    }
    // The two newest of the task make room, not the oldest, which may be on its way to the card.
    assert!(oops(5, 10) && oops(6, 11));
    assert!(!oops(5, 12) && !oops(3, 13));
    // Each task has one place, or two: no one can have more at the cost of another.
    assert!(oops(7, 14));
    assert!(!oops(8, 15));
    assert_eq!(mailbox.dropped(), 5 + 2 + 2 + 1 + 1);
    for (task, time) in [(3, 1), (5, 10), (6, 11), (7, 14)] {
        let oops = mailbox.oops().unwrap();
        assert_eq!(
            (oops.stored.context.task, oops.stored.context.time),
            (task, time)
        );
        oops.clear();
    }
    assert!(mailbox.oops().is_none());
}

proptest! {
    /// A note that is damaged in any way is not read. Its words are the state, and those from 48
    /// on.
    #[test]
    fn damage_to_a_note_is_noticed(word in 47usize..83, value: u32) {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        let writer = region.mailbox().write_crash().unwrap();
        writer.note(&context(5, 77));
        let word = if word == 47 { 0 } else { word };
        prop_assume!(memory[2].word(word) != value);
        memory[2].set_word(word, value);
        prop_assert!(region.mailbox().crash().is_none());
    }

    /// A context that is damaged in any way is not read; message and stack have checksums of their
    /// own.
    #[test]
    fn damage_is_noticed(word in 0usize..44, value: u32) {
        let original = memory();
        let region = Region::over(&original).unwrap();
        region.begin_boot();
        write(region.mailbox().write_crash().unwrap(), &context(5, 77));
        write(region.mailbox().write_oops(6).unwrap(), &context(6, 78));
        let memory = copy(&original);
        // The crash's context block is the second of the mailbox, that of the first oops four
        // blocks later.
        for block in [2, 6] {
            prop_assume!(memory[block].word(word) != value);
            memory[block].set_word(word, value);
        }
        let mailbox = Region::over(&memory).unwrap().mailbox();
        prop_assert!(mailbox.crash().is_none());
        prop_assert!(mailbox.oops().is_none());
    }
}

/// REQ: X17 (in part: a damaged time of a try)
#[test]
fn a_time_of_a_try_that_is_damaged_is_not_used() {
    let memory = memory();
    let mailbox = Region::over(&memory).unwrap().mailbox();
    let word = &memory[1].words()[TRY];
    for ms in [1, 2, 255, 256, 1_500, 60_000] {
        mailbox.arm(ms);
        assert_eq!(mailbox.try_ms(), ms);
        for bit in 0..24 {
            mailbox.arm(ms);
            word.fetch_xor(1 << bit, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(mailbox.try_ms(), UNKNOWN_TRY_MS, "{ms} ms, bit {bit}");
        }
    }
    mailbox.arm(u32::MAX);
    assert_eq!(mailbox.try_ms(), MOST_TRY_MS);
    for value in [0, 1, 2, 127, 512, u32::MAX] {
        store(word, value);
        assert_eq!(mailbox.try_ms(), UNKNOWN_TRY_MS);
    }
}
