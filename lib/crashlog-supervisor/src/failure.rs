//! The kernel's side: a failure of the kernel itself, or a fault of the supervisor.
//!
//! There is nobody left who could call the recorder, and nothing that could be relied on: so [`record`] only describes
//! what happened in retained RAM, and the caller resets the system. The next boot writes the record.
//!
//! It allocates nothing, panics nowhere, calls nobody, and every loop has a bound. The hardware watchdog should run
//! meanwhile all the same.

use crate::TASK_REGISTERS;
use abi::{FaultInfo, SchedState, TaskId, TaskState};
use crashlog_retained::{
    Activity, ContextWriter, CrashContext, CrashReason, FailureSlot, Region, TaskEntry,
};

use crate::fault::Encoded;
use crate::loops::{self, Limits};

/// Bytes of stack that are kept.
const STACK: usize = 512;

/// The application's limits are the supervisor's, which is not asked here. What has run for a minute does not fail at
/// once.
const LIMITS: Limits = Limits {
    hold_after_restarts: 0,
    hold_after_resets: 0,
    loop_window_ms: u32::MAX,
    healthy_ms: 60_000,
    backoff_ms: 100,
    backoff_max_ms: 10_000,
};

/// Where a record has a fault: none of a task's.
const NO_FAULT: [u8; 1] = [u8::MAX];

/// What failed, and how.
pub struct Failure<'a, T, S> {
    /// Why, in a sentence.
    pub epitaph: &'a [u8],
    /// What the supervisor panicked with, if it did.
    pub message: &'a [u8],
    /// The fault of the supervisor; `None` if it was the kernel that failed.
    pub fault: Option<FaultInfo>,
    /// The supervisor's name.
    pub supervisor: &'a str,
    /// Milliseconds since boot.
    pub time: u64,
    /// r0 to r12, sp, lr, pc, psr of whom failed.
    pub registers: [u32; TASK_REGISTERS],
    /// Bytes of its stack from its stack pointer to the top.
    pub stack_bytes: u32,
    /// Its stack from its stack pointer on, by words.
    pub stack: S,
    /// All tasks, by index.
    pub tasks: T,
}

/// One task, when the kernel failed.
#[derive(Copy, Clone, Debug)]
pub struct TaskSnapshot {
    /// What it was doing.
    pub state: TaskState,
    /// Was it the running one?
    pub current: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// Notifications posted and not yet received.
    pub notifications: u32,
    /// Its priority.
    pub priority: u8,
    /// Its program counter and its stack pointer, if they could be had.
    pub place: Option<(u32, u32)>,
}

/// What is to be done about it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// Is it kept? `false` if an earlier failure waits still: that one stays, and this one is counted.
    pub kept: bool,
    /// Milliseconds that the reset should wait, because the kernel fails again and again; normally 0.
    pub delay_ms: u32,
}

/// Describes the failure in `region`.
pub fn record<T, S>(region: &Region<'_>, failure: Failure<'_, T, S>) -> Recorded
where
    T: Iterator<Item = TaskSnapshot>,
    S: Iterator<Item = u32>,
{
    if region.boot() == 0 {
        // Not even the supervisor has run.
        region.begin_boot();
    }
    let delay_ms = count(region, failure.time);
    let Some(mut writer) = region.failure().write() else {
        return Recorded {
            kept: false,
            delay_ms,
        };
    };
    let encoded = Encoded::from(failure.fault);
    let (task, name, fault) = match failure.fault {
        Some(_) => (0, failure.supervisor, encoded.as_bytes()),
        None => (TaskId::KERNEL.0, "kernel", NO_FAULT.as_slice()),
    };
    let mut context = CrashContext::new(CrashReason::Kernel, task, name, fault);
    context.time = failure.time;
    context.boot = region.boot();
    context.registers = failure.registers;

    writer.context.message(failure.epitaph);
    if !failure.message.is_empty() {
        writer.context.message(b"\n");
        writer.context.message(failure.message);
    }
    let [.., sp, _lr, _pc, _psr] = failure.registers;
    writer.context.stack_at(sp, failure.stack_bytes);
    let words = failure.stack_bytes.min(STACK as u32) / 4;
    for word in failure.stack.take(words as usize) {
        writer.context.stack(&word.to_le_bytes());
    }
    if writer.context.stack_room() <= ContextWriter::MAX_LEN.saturating_sub(words as usize * 4) {
        writer.context.stack_is_excerpt();
    }
    // A table of tasks that is not one ends here.
    for task in failure.tasks.take(FailureSlot::MAX_TASKS * 16) {
        writer.task(&entry(&task));
    }
    writer.finish(&context);
    Recorded {
        kept: true,
        delay_ms,
    }
}

/// Counts the failure, whatever it was, and says how long the next boot should wait. The supervisor ends the series when
/// the system has run for long enough.
fn count(region: &Region<'_>, now: u64) -> u32 {
    let place = region.history();
    let mut history = place.load();
    let fault = loops::Fault {
        task: loops::KERNEL,
        signature: 0,
        now,
        started: 0,
    };
    let count = LIMITS.note(&mut history, &fault);
    place.store(&history);
    loops::backoff(count, LIMITS.backoff_ms, LIMITS.backoff_max_ms)
}

fn entry(task: &TaskSnapshot) -> TaskEntry {
    let (state, fault) = match task.state {
        TaskState::Healthy(state) => (state, None),
        TaskState::Faulted {
            fault,
            original_state,
        } => (original_state, Some(fault)),
    };
    let (activity, peer) = match state {
        SchedState::Stopped => (Activity::Stopped, 0),
        SchedState::Runnable => (Activity::Runnable, 0),
        SchedState::InSend(peer) => (Activity::Sending, peer.0),
        SchedState::InReply(peer) => (Activity::AwaitingReply, peer.0),
        SchedState::InRecv(None) => (Activity::Receiving, 0),
        SchedState::InRecv(Some(peer)) => (Activity::ReceivingFrom, peer.0),
    };
    let mut entry = TaskEntry::new(activity, peer);
    entry.restarts = task.restarts.into();
    entry.notifications = task.notifications.into();
    entry.priority = task.priority;
    if let Some((pc, sp)) = task.place {
        entry.pc = pc.into();
        entry.sp = sp.into();
    }
    if task.current {
        entry.set_current();
    }
    if fault.is_some() {
        entry.set_fault(Encoded::from(fault).as_bytes());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashlog_retained::Block;

    fn region() -> Region<'static> {
        let blocks: Vec<Block> = (0..600).map(|_| Block::zeroed()).collect();
        Region::over(Box::leak(blocks.into_boxed_slice())).unwrap()
    }

    fn tasks() -> [TaskSnapshot; 3] {
        let task = |state| TaskSnapshot {
            state,
            current: false,
            restarts: 2,
            notifications: 1,
            priority: 3,
            place: Some((0x8012_0001, 0x8080_1000)),
        };
        [
            TaskSnapshot {
                current: true,
                ..task(TaskState::Healthy(SchedState::Runnable))
            },
            task(TaskState::Healthy(SchedState::InSend(TaskId(0x0402)))),
            TaskSnapshot {
                place: None,
                ..task(TaskState::Faulted {
                    fault: FaultInfo::StackOverflow {
                        address: 0x8080_0000,
                    },
                    original_state: SchedState::InRecv(Some(TaskId::KERNEL)),
                })
            },
        ]
    }

    fn failure(
        fault: Option<FaultInfo>,
    ) -> Failure<'static, std::array::IntoIter<TaskSnapshot, 3>, std::ops::RangeFrom<u32>> {
        let mut registers = [7; TASK_REGISTERS];
        registers[13] = 0x8080_0400;
        Failure {
            epitaph: b"no runnable task",
            message: b"",
            fault,
            supervisor: "jefe",
            time: 99,
            registers,
            stack_bytes: 600,
            stack: 0..,
            tasks: tasks().into_iter(),
        }
    }

    /// REQ: X4
    #[test]
    fn a_failure_of_the_kernel_is_kept_with_everything_that_is_known() {
        let region = region();
        region.begin_boot();
        let first = Recorded {
            kept: true,
            delay_ms: 0,
        };
        assert_eq!(record(&region, failure(None)), first);
        region.begin_boot();
        let kept = region.failure().read().unwrap();
        let context = &kept.stored.context;
        assert_eq!(context.reason(), CrashReason::Kernel);
        assert_eq!(
            (context.task, context.name.as_str(), context.time),
            (0xffff, "kernel", 99)
        );
        assert_eq!((context.boot, context.fault()[0]), (1, 0xff));
        assert_eq!(kept.stored.message().length, 16);
        let stack = kept.stored.stack();
        assert_eq!(
            (stack.address, stack.length, stack.original),
            (0x8080_0400, 512, 600)
        );
        assert!(stack.is_excerpt, "no more was wanted");
        assert_eq!(kept.stored.record_blocks()[2].word(5), 5);

        let [block] = kept.task_blocks() else {
            panic!("three tasks are one block")
        };
        assert_eq!(kept.task_bytes(), 96);
        let entry = |index: usize| {
            let mut entry = TaskEntry::default();
            block.copy_to(index * 32, zerocopy::IntoBytes::as_mut_bytes(&mut entry));
            entry
        };
        assert!(entry(0).is_current() && !entry(1).is_current());
        assert_eq!(entry(0).activity(), Ok(Activity::Runnable));
        assert_eq!(
            (entry(1).activity(), entry(1).peer.get()),
            (Ok(Activity::Sending), 0x0402)
        );
        assert_eq!(entry(1).pc.get(), 0x8012_0001);
        assert_eq!(entry(2).activity(), Ok(Activity::ReceivingFrom));
        assert_eq!(
            entry(2).fault().unwrap().to_string(),
            "StackOverflow at 0x80800000"
        );
        assert_eq!((entry(2).restarts.get(), entry(2).pc.get()), (2, 0));
    }

    /// REQ: X4
    #[test]
    fn a_fault_of_the_supervisor_is_kept_as_one() {
        let region = region();
        region.begin_boot();
        let mut failure = failure(Some(FaultInfo::Panic));
        failure.message = b"index out of bounds";
        assert!(record(&region, failure).kept);
        let kept = region.failure().read().unwrap();
        let context = &kept.stored.context;
        assert_eq!(
            (context.task, context.name.as_str(), context.fault()[0]),
            (0, "jefe", 8)
        );
        let mut text = [0; 36];
        kept.stored.record_blocks()[1].copy_to(0, &mut text);
        assert_eq!(&text, b"no runnable task\nindex out of bounds");
    }

    #[test]
    fn a_failure_before_the_first_boot_was_begun_is_kept() {
        let region = region();
        assert!(record(&region, failure(None)).kept);
        region.begin_boot();
        assert!(region.failure().read().is_some());
    }

    /// REQ: X6
    #[test]
    fn a_kernel_that_fails_again_and_again_restarts_later_and_later() {
        let region = region();
        let delays: Vec<_> = (0..10)
            .map(|_| {
                region.begin_boot();
                record(&region, failure(None)).delay_ms
            })
            .collect();
        assert_eq!(
            delays,
            [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
    }

    #[test]
    fn the_first_failure_stays() {
        let region = region();
        region.begin_boot();
        assert!(record(&region, failure(None)).kept);
        assert!(!record(&region, failure(Some(FaultInfo::Panic))).kept);
        let kept = region.failure().read().unwrap();
        assert_eq!((kept.stored.context.task, kept.dropped), (0xffff, 1));
    }
}
