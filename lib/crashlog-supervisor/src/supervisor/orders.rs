//! Every order of events: whatever fails when, an emergency is bounded, and nothing is dropped in silence.

use crashlog_retained::MailboxState;
use proptest::prelude::*;

use super::tests::{BUDGET, CONSOLE, RECORDER, TASKS, WORKER, boot, crash, retained};
use crate::Phase;
use crate::machine::Deed;

/// What can happen to a supervisor.
#[derive(Clone, Debug)]
enum Event {
    /// These tasks have faulted when it looks.
    Faults(Vec<usize>),
    /// So many milliseconds pass, and its timer fires if that is due.
    Time(u64),
    /// The recorder says that it is done; its record is durable or not.
    Done(bool),
    /// The recorder commits, and does not come to saying so.
    Committed,
    /// A task that is not the recorder says that it is done.
    Pretends,
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
        1 => Just(Event::Pretends),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// REQ: X1, X2
    #[test]
    fn an_emergency_is_bounded_and_nothing_is_dropped_in_silence(
        events in prop::collection::vec(event(), 1..20)
    ) {
        let region = retained();
        let mailbox = region.mailbox();
        let mut supervisor = boot(region);
        supervisor.config.limits.hold_after_resets = 0;
        supervisor.config.limits.hold_after_restarts = 0;
        let mut faults = 0;
        let mut first_panic = None;
        let mut declared = 0;
        for event in events {
            let writing = matches!(supervisor.phase(), Phase::Writing(_));
            match event {
                Event::Faults(tasks) => {
                    // Only the recorder runs in an emergency, so nobody else can fault then.
                    let tasks: Vec<_> = tasks
                        .into_iter()
                        .filter(|&task| !writing || task == RECORDER)
                        .collect();
                    if tasks.is_empty() {
                        continue;
                    }
                    if !supervisor.in_emergency() {
                        declared = supervisor.kernel.now;
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
                        supervisor.time(now);
                    }
                }
                Event::Done(durable) if writing => {
                    mailbox.conclude(durable);
                    supervisor.done(RECORDER);
                }
                Event::Committed if writing => mailbox.conclude(true),
                Event::Done(_) => supervisor.done(RECORDER),
                Event::Committed => {}
                Event::Pretends => supervisor.done(CONSOLE),
            }

            let deeds = &supervisor.kernel.deeds;
            let count = |wanted: &Deed| deeds.iter().filter(|deed| *deed == wanted).count();
            let (armed, calls, resets) = (
                count(&Deed::Armed(BUDGET)),
                count(&Deed::Restarted(RECORDER)),
                count(&Deed::Reset),
            );
            // Armed once, first of all, and never again; two tries at most; one reset, after which there is nothing.
            prop_assert_eq!(armed, usize::from(first_panic.is_some()));
            prop_assert!(calls <= 2 && resets <= 1);
            prop_assert_eq!(deeds.iter().filter(|deed| matches!(deed, Deed::Restarted(_))).count(), calls);
            let position = |wanted: &Deed| deeds.iter().position(|deed| deed == wanted);
            if let Some(call) = position(&Deed::Restarted(RECORDER)) {
                prop_assert!(position(&Deed::Armed(BUDGET)) < Some(call));
            }
            if resets == 1 {
                prop_assert_eq!(deeds.last(), Some(&Deed::Reset));
                prop_assert_eq!(supervisor.phase(), Phase::Over);
                // The next boot can tell what came of it.
                prop_assert!(matches!(mailbox.state(), MailboxState::Done | MailboxState::Failed));
                break;
            }
            // The crash that came first is the one that is recorded.
            if let Some(task) = first_panic {
                prop_assert_eq!(mailbox.crash().map(|crash| usize::from(crash.context.task)), Some(task));
                prop_assert!(calls > 0, "the recorder is called");
                // It is over before the watchdog's time is up.
                let last = declared + u64::from(BUDGET) * 7 / 8;
                prop_assert!(supervisor.deadline().is_some_and(|deadline| deadline <= last));
                prop_assert!(supervisor.kernel.now < last);
            }
        }
        // Each fault is the crash, a note, or counted.
        let mut kept = usize::from(first_panic.is_some()) + mailbox.dropped() as usize;
        while let Some(oops) = mailbox.oops() {
            oops.clear();
            kept += 1;
        }
        prop_assert_eq!(kept, faults);
    }
}
