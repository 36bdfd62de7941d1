//! Describes a failure of the kernel, or a fault of the supervisor; for the kernel.
//!
//! No task runs any more, so the recorder cannot be called, and no state of the kernel can be
//! relied on. [`describe`] only writes to retained RAM; its caller resets the system, and the next
//! boot writes the crash to the card.
//!
//! It does not allocate, panic or call the kernel, and every loop has a bound. Arm the hardware
//! watchdog before all the same: the iterators that it is given read memory that may fault.

use crate::TASK_REGISTERS;
use abi::{FaultInfo, SchedState, TaskId, TaskState};
use crashlog_retained::{
    Activity, BootEnd, ContextWriter, CrashContext, CrashFault, CrashReason, FailureSlot, Region,
    TaskEntry, text_sum,
};

use crate::fault::EncodedFault;
use crate::loops::{self, Limits};

/// Bytes of stack that are kept, from the stack pointer on.
const STACK: usize = 512;

/// Limits for failures of the kernel. The application's are in the supervisor's configuration,
/// which the kernel does not have. A system that ran for a minute is healthy.
const LIMITS: Limits = Limits {
    hold_after_restarts: 0,
    hold_after_resets: 0,
    loop_window_ms: u32::MAX,
    healthy_ms: 60_000,
    backoff_ms: 100,
    backoff_max_ms: 10_000,
};

/// The fault in the context of a failure of the kernel: none of a task.
const NO_FAULT: [u8; 1] = [u8::MAX];

/// What failed, and how: a failure of the kernel, or a fault of the supervisor.
pub struct KernelFailure<'a, T, S> {
    /// Why, in a sentence.
    pub epitaph: &'a [u8],
    /// What the supervisor panicked with, if it did.
    pub message: &'a [u8],
    /// The fault of the supervisor; `None` if it was the kernel that failed.
    pub fault: Option<FaultInfo>,
    /// If it is a hang: how many milliseconds the supervisor did not come back; else 0.
    pub hang_ms: u32,
    /// The supervisor's name.
    pub supervisor: &'a str,
    /// The id of the running image, the kernel's `HUBRIS_IMAGE_ID`.
    pub image_id: u64,
    /// Milliseconds since boot.
    pub time: u64,
    /// r0 to r12, sp, lr, pc, psr of the kernel, or of the supervisor if it faulted.
    pub registers: [u32; TASK_REGISTERS],
    /// Bytes of its stack, from the stack pointer to the top.
    pub stack_bytes: u32,
    /// The words of its stack, from the stack pointer on.
    pub stack: S,
    /// All tasks, by index.
    pub tasks: T,
}

/// One task at the time of the failure. The kernel has a type of its own for it; the caller
/// converts.
#[derive(Copy, Clone, Debug)]
pub struct TaskAtFailure {
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
    /// Its program counter and its stack pointer, if they could be read.
    pub place: Option<(u32, u32)>,
}

/// The result of describing a failure.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct FailureOutcome {
    /// Is it described? `false` if an earlier failure is not on the card yet: that one stays, and
    /// this one is counted.
    pub kept: bool,
    /// Milliseconds by which to delay the reset, because the kernel fails repeatedly; normally 0.
    pub delay_ms: u32,
}

/// Describes the failure in `region`, and counts it.
pub fn describe<T, S>(region: &Region<'_>, failure: KernelFailure<'_, T, S>) -> FailureOutcome
where
    T: Iterator<Item = TaskAtFailure>,
    S: Iterator<Item = u32>,
{
    if region.boot() == 0 {
        // The supervisor has not begun a boot: it has not run yet.
        region.begin_boot();
    }
    region.boot_end().note(region.boot(), BootEnd::Kernel);
    let delay_ms = count(region, failure.time);
    let Some(mut writer) = region.failure().write() else {
        return FailureOutcome {
            kept: false,
            delay_ms,
        };
    };
    let encoded = EncodedFault::from(failure.fault);
    let (task, name, fault) = match failure.fault {
        Some(_) => (0, failure.supervisor, encoded.as_bytes()),
        None => (TaskId::KERNEL.0, "kernel", NO_FAULT.as_slice()),
    };
    let hang = CrashFault::encode_hang(failure.hang_ms, 0);
    let fault = if failure.hang_ms == 0 { fault } else { &hang };
    let mut context = CrashContext::new(CrashReason::Kernel, task, name, fault);
    context.time = failure.time;
    context.boot = region.boot();
    context.image_id = failure.image_id;
    context.registers = failure.registers;

    writer.context.message(failure.epitaph);
    if !failure.message.is_empty() {
        writer.context.message(b"\n");
        writer.context.message(failure.message);
    }
    let text = text_sum(failure.epitaph).rotate_left(1) ^ text_sum(failure.message);
    writer.context.text(text);
    let [.., sp, _lr, _pc, _psr] = failure.registers;
    writer.context.stack_at(sp, failure.stack_bytes);
    let words = failure.stack_bytes.min(STACK as u32) / 4;
    for word in failure.stack.take(words as usize) {
        writer.context.stack(&word.to_le_bytes());
    }
    if writer.context.stack_room() <= ContextWriter::MAX_LEN.saturating_sub(words as usize * 4) {
        writer.context.stack_is_excerpt();
    }
    // A bound, should the iterator not end. More tasks than there is room for are counted.
    for task in failure.tasks.take(FailureSlot::MAX_TASKS * 16) {
        writer.task(&entry(&task));
    }
    writer.finish(&context);
    FailureOutcome {
        kept: true,
        delay_ms,
    }
}

/// Counts the failure, and returns by how many milliseconds to delay the reset. All failures of the
/// kernel are one series, which the supervisor ends when the system has run for long enough.
fn count(region: &Region<'_>, now: u64) -> u32 {
    let place = region.history();
    let mut history = place.load();
    let fault = loops::FaultOccurrence {
        task: loops::KERNEL,
        signature: 0,
        now,
        started: 0,
    };
    let count = LIMITS.add(&mut history, &fault);
    place.store(&mut history);
    loops::backoff(count.same, LIMITS.backoff_ms, LIMITS.backoff_max_ms)
}

/// What a task in this state is doing, and the id of the task that it waits for; 0 if it waits for
/// none.
pub(crate) const fn activity(state: SchedState) -> (Activity, u16) {
    match state {
        SchedState::Stopped => (Activity::Stopped, 0),
        SchedState::Runnable => (Activity::Runnable, 0),
        SchedState::InSend(peer) => (Activity::Sending, peer.0),
        SchedState::InReply(peer) => (Activity::AwaitingReply, peer.0),
        SchedState::InRecv(None) => (Activity::Receiving, 0),
        SchedState::InRecv(Some(peer)) => (Activity::ReceivingFrom, peer.0),
    }
}

fn entry(task: &TaskAtFailure) -> TaskEntry {
    let (state, fault) = match task.state {
        TaskState::Healthy(state) => (state, None),
        TaskState::Faulted {
            fault,
            original_state,
        } => (original_state, Some(fault)),
    };
    let (activity, peer) = activity(state);
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
        entry.set_fault(EncodedFault::from(fault).as_bytes());
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

    fn tasks() -> [TaskAtFailure; 3] {
        let task = |state| TaskAtFailure {
            state,
            current: false,
            restarts: 2,
            notifications: 1,
            priority: 3,
            place: Some((0x8012_0001, 0x8080_1000)),
        };
        [
            TaskAtFailure {
                current: true,
                ..task(TaskState::Healthy(SchedState::Runnable))
            },
            task(TaskState::Healthy(SchedState::InSend(TaskId(0x0402)))),
            TaskAtFailure {
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
    ) -> KernelFailure<'static, std::array::IntoIter<TaskAtFailure, 3>, std::ops::RangeFrom<u32>>
    {
        let mut registers = [7; TASK_REGISTERS];
        registers[13] = 0x8080_0400;
        KernelFailure {
            epitaph: b"no runnable task",
            message: b"",
            fault,
            hang_ms: 0,
            supervisor: "jefe",
            image_id: 0x0123_4567_89ab_cdef,
            time: 99,
            registers,
            stack_bytes: 600,
            stack: 0..,
            tasks: tasks().into_iter(),
        }
    }

    /// REQ: X4
    #[test]
    fn a_failure_of_the_kernel_is_described_with_everything_that_is_known() {
        let region = region();
        region.begin_boot();
        let first = FailureOutcome {
            kept: true,
            delay_ms: 0,
        };
        assert_eq!(describe(&region, failure(None)), first);
        region.begin_boot();
        let kept = region.failure().read().unwrap();
        let context = &kept.stored.context;
        assert_eq!(context.reason(), CrashReason::Kernel);
        assert_eq!(
            (context.task, context.name.as_str(), context.time),
            (0xffff, "kernel", 99)
        );
        assert_eq!((context.boot, context.fault()[0]), (1, 0xff));
        assert_eq!(context.image_id, 0x0123_4567_89ab_cdef);
        assert_eq!(kept.stored.message().length, 16);
        let stack = kept.stored.stack();
        assert_eq!(
            (stack.address, stack.length, stack.original),
            (0x8080_0400, 512, 600)
        );
        assert!(
            stack.is_excerpt,
            "the mark that no more of the stack was wanted is missing"
        );
        assert_eq!(kept.stored.crash_blocks()[2].word(5), 5);

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
    fn a_fault_of_the_supervisor_is_described_as_its_own() {
        let region = region();
        region.begin_boot();
        let mut failure = failure(Some(FaultInfo::Panic));
        failure.message = b"index out of bounds";
        assert!(describe(&region, failure).kept);
        let kept = region.failure().read().unwrap();
        let context = &kept.stored.context;
        assert_eq!(
            (context.task, context.name.as_str(), context.fault()[0]),
            (0, "jefe", 8)
        );
        let mut text = [0; 36];
        kept.stored.crash_blocks()[1].copy_to(0, &mut text);
        assert_eq!(&text, b"no runnable task\nindex out of bounds");
    }

    #[test]
    fn a_hang_is_described_as_one() {
        for (fault, task) in [
            (None, 0xffff),
            (Some(FaultInfo::Injected(TaskId::KERNEL)), 0),
        ] {
            let region = region();
            region.begin_boot();
            let mut failure = failure(fault);
            failure.hang_ms = 3_000;
            assert!(describe(&region, failure).kept);
            let kept = region.failure().read().unwrap();
            let context = &kept.stored.context;
            assert_eq!(context.task, task);
            assert_eq!(
                CrashFault::decode(context.fault()),
                Some(CrashFault::Hang {
                    ms: 3_000,
                    starved: 0
                })
            );
        }
    }

    #[test]
    fn a_failure_before_the_first_boot_is_described() {
        let region = region();
        assert!(describe(&region, failure(None)).kept);
        region.begin_boot();
        assert!(region.failure().read().is_some());
    }

    /// REQ: X6
    #[test]
    fn a_kernel_that_fails_repeatedly_restarts_with_growing_delays() {
        let region = region();
        let delays: Vec<_> = (0..10)
            .map(|_| {
                region.begin_boot();
                describe(&region, failure(None)).delay_ms
            })
            .collect();
        assert_eq!(
            delays,
            [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
    }

    #[test]
    fn the_first_failure_is_not_overwritten() {
        let region = region();
        region.begin_boot();
        assert!(describe(&region, failure(None)).kept);
        assert!(!describe(&region, failure(Some(FaultInfo::Panic))).kept);
        let kept = region.failure().read().unwrap();
        assert_eq!((kept.stored.context.task, kept.dropped), (0xffff, 1));
    }
}
