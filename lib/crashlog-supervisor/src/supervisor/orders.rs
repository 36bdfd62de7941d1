//! Random orders of events: an emergency is bounded, no fault is lost uncounted.

use crashlog_retained::{MailboxState, SnapshotArea};
use proptest::prelude::*;

use super::tests::{BUDGET, CONSOLE, RECORDER, TASKS, WORKER, boot, boot_saving, crash, retained};
use crate::EmergencyState;
use crate::testing::Effect;

/// What can happen to a supervisor.
#[derive(Clone, Debug)]
enum Event {
    /// These tasks have faulted when it looks.
    Faults(Vec<usize>),
    /// This many milliseconds pass, and its timer fires if it is due.
    Time(u64),
    /// The recorder reports that it is done; the crash is durable or not.
    Done(bool),
    /// The crash becomes durable, and the recorder does not report it.
    Committed,
    /// A task that is not the recorder reports that it is done.
    ReportedByAnother,
}

fn event() -> impl Strategy<Value = Event> {
    let task = prop::sample::select(vec![RECORDER, CONSOLE, WORKER]);
    prop_oneof![
        4 => prop::collection::vec(task, 1..4).prop_map(|mut tasks| {
            tasks.sort_unstable();
            tasks.dedup();
            Event::Faults(tasks)
        }),
        4 => (0u64..u64::from(BUDGET)).prop_map(Event::Time),
        1 => any::<bool>().prop_map(Event::Done),
        1 => Just(Event::Committed),
        1 => Just(Event::ReportedByAnother),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// REQ: X1, X2
    #[test]
    fn an_emergency_is_bounded_and_every_fault_is_kept_or_counted(
        events in prop::collection::vec(event(), 1..20),
        saves_memory: bool,
        save_takes in 0u64..1_000,
    ) {
        let region = retained();
        let mailbox = region.mailbox();
        let mut supervisor = if saves_memory { boot_saving(region) } else { boot(region) };
        supervisor.kernel.save_takes = save_takes;
        supervisor.config.limits.hold_after_resets = 0;
        supervisor.config.limits.hold_after_restarts = 0;
        let mut faults = 0;
        let mut first_panic = None;
        for event in events {
            let state = supervisor.emergency_state();
            let writing = matches!(state, EmergencyState::Writing(_));
            let snapshot = state == EmergencyState::WritingSnapshot;
            match event {
                Event::Faults(tasks) => {
                    // Only the recorder runs in an emergency, so no other task can fault then.
                    let tasks: Vec<_> = tasks
                        .into_iter()
                        .filter(|&task| !(writing || snapshot) || task == RECORDER)
                        .collect();
                    if tasks.is_empty() {
                        continue;
                    }
                    if !supervisor.in_emergency() {
                        let panics = tasks.iter().filter(|&&task| {
                            TASKS[task].disposition == crate::Disposition::Reset
                        });
                        first_panic = panics.copied().next().or(first_panic);
                    }
                    faults += tasks.len();
                    crash(&mut supervisor, &tasks);
                }
                Event::Time(passed) => {
                    supervisor.kernel.now += passed;
                    let now = supervisor.kernel.now;
                    // A timer that is set to a time that has passed fires at once.
                    while supervisor.deadline().is_some_and(|deadline| deadline <= now) {
                        supervisor.check_deadline(now);
                    }
                }
                Event::Done(durable) if writing => {
                    mailbox.conclude(durable);
                    let told = supervisor.emergency_done(RECORDER);
                    let state = supervisor.emergency_state();
                    prop_assert_eq!(told, state == EmergencyState::WritingSnapshot);
                    prop_assert!(!told || durable && saves_memory);
                }
                Event::Committed if writing => mailbox.conclude(true),
                Event::Done(_) => prop_assert!(!supervisor.emergency_done(RECORDER)),
                Event::Committed => {}
                Event::ReportedByAnother => prop_assert!(!supervisor.emergency_done(CONSOLE)),
            }

            let effects = &supervisor.kernel.effects;
            let count = |wanted: &Effect| effects.iter().filter(|effect| *effect == wanted).count();
            let (armed, calls, resets) = (
                count(&Effect::Armed(BUDGET)),
                count(&Effect::Restarted(RECORDER)),
                count(&Effect::Reset),
            );
            // The watchdog is armed once, before anything else; there are two tries at most, and
            // one reset, which is last.
            prop_assert_eq!(armed, usize::from(first_panic.is_some()));
            prop_assert!(calls <= 2 && resets <= 1);
            prop_assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Restarted(_))).count(), calls);
            let position = |wanted: &Effect| effects.iter().position(|effect| effect == wanted);
            if let Some(call) = position(&Effect::Restarted(RECORDER)) {
                prop_assert!(position(&Effect::Armed(BUDGET)) < Some(call));
            }
            if resets == 1 {
                prop_assert_eq!(effects.last(), Some(&Effect::Reset));
                prop_assert_eq!(supervisor.emergency_state(), EmergencyState::Over);
                // The next boot can read the outcome.
                prop_assert!(matches!(mailbox.state(), MailboxState::Done | MailboxState::Failed));
                // So it can the image, which is of the crash that came first.
                let image = region.snapshot().header();
                prop_assert_eq!(image.is_some(), saves_memory);
                let is_of_crash = image.is_none_or(|image| {
                    mailbox.crash().is_some_and(|crash| SnapshotArea::is_of(&image, &crash.context))
                });
                prop_assert!(is_of_crash);
                break;
            }
            // The mailbox has the crash that came first.
            if let Some(task) = first_panic {
                prop_assert_eq!(mailbox.crash().map(|crash| usize::from(crash.context.task)), Some(task));
                prop_assert!(calls > 0, "the recorder was not called");
                // The emergency ends before the watchdog fires.
                let last = supervisor.kernel.armed_at + u64::from(BUDGET) * 15 / 16;
                prop_assert!(supervisor.deadline().is_some_and(|deadline| deadline <= last));
                prop_assert!(supervisor.kernel.now < last + save_takes);
            }
        }
        // Each fault is the crash, an oops, or counted.
        let mut kept = usize::from(first_panic.is_some()) + mailbox.dropped() as usize;
        while let Some(oops) = mailbox.oops() {
            oops.clear();
            kept += 1;
        }
        prop_assert_eq!(kept, faults);
    }
}
