//! How the boot before this one ended.
//!
//! | it ended | known by |
//! |---|---|
//! | with the crash of a task | a note that is made when the watchdog has been armed for it |
//! | with a failure of the kernel or the supervisor | the note of `failure.rs` |
//! | because a task asked for it | the note of [`Supervisor::note_restart`], or of the kernel |
//! | by the watchdog | the chip |
//! | with the loss of power | a cold start: retained RAM did not survive |
//! | by a reset from outside | none of these |
//!
//! Of a boot that ended by the watchdog there is no crash, as nobody was left to describe one. If
//! the chip says that it was the watchdog, one is described at the start of the next boot, with who
//! ran last, and what every task was doing when the supervisor last fed the watchdog.
//!
//! What the chip says counts where nothing was noted, since a note says more. It comes from
//! [`Kernel::reset_cause`] or, if that does not know, from the kernel's start code, by retained
//! RAM. The recorder says how the boot ended in the boot record.

use crate::failure::activity;
use crate::{Kernel, Supervisor, SupervisorConfig};
use abi::{TaskId, TaskState};
use crashlog_retained::{
    BootEnd, ContextWriter, CrashContext, CrashReason, LastRan, Region, ResetCause, Start, TaskNow,
    text_sum,
};

/// Begins a boot in `region`, and keeps there how the one before ended; returns that.
pub(crate) fn begin_boot(
    region: &Region<'_>,
    config: &SupervisorConfig,
    image_id: u64,
    cause: ResetCause,
) -> BootEnd {
    let previous = region.boot();
    let start = region.begin_boot();
    let left = region.reset_cause().take();
    let cause = match cause {
        ResetCause::Unknown => left,
        known => known,
    };
    let end = how_ended(region, start, previous, cause);
    region.boot_end().begin(previous, region.boot(), end);
    // The watchdog that is armed for a failure of the kernel leaves a note.
    if end == BootEnd::Watchdog && start == Start::Warm {
        let ran = region.boot_end().last_ran(region.boot());
        describe_watchdog(region, config, image_id, previous, ran);
    }
    end
}

/// Describes the end of boot `previous` by the watchdog as a failure of the kernel: one that could
/// not describe itself. Not in an emergency: that leaves a note.
#[inline(never)]
fn describe_watchdog(
    region: &Region<'_>,
    config: &SupervisorConfig,
    image_id: u64,
    previous: u32,
    ran: Option<LastRan>,
) {
    let Some(mut writer) = region.failure().write() else {
        return;
    };
    let mut context =
        CrashContext::new(CrashReason::Kernel, TaskId::KERNEL.0, "kernel", &[u8::MAX]);
    context.boot = previous;
    let noted = region.task_states().of_boot(previous);
    // Names and priorities are those of the running image.
    let is_same = noted.is_none_or(|noted| noted.image_id == image_id);
    writer.context.message(ENDED_BY_WATCHDOG);
    writer.context.text(text_sum(ENDED_BY_WATCHDOG));
    if let Some(LastRan { task, pc }) = ran {
        let [.., at_pc, _psr] = &mut context.registers;
        *at_pc = pc;
        if is_same {
            writer.context.message(b"; task `");
            let name = config.task(task.into()).name;
            writer.context.message(name.as_bytes());
            writer.context.message(b"` ran last, at 0x");
        } else {
            writer
                .context
                .message(b"; a task of another image ran last, at 0x");
        }
        hex(&mut writer.context, pc);
    }
    if let Some(noted) = noted {
        context.image_id = noted.image_id;
        context.time = noted.time.into();
        for (index, task) in noted.iter().enumerate() {
            let mut entry = task.entry();
            if is_same {
                entry.priority = config.task(index).priority;
            }
            if let Some(ran) = ran.filter(|ran| usize::from(ran.task) == index) {
                entry.set_current();
                entry.pc = ran.pc.into();
            }
            writer.task(&entry);
        }
    }
    writer.finish(&context);
}

/// What the crash of such an end says.
const ENDED_BY_WATCHDOG: &[u8] = b"the hardware watchdog has reset the system";

fn hex(to: &mut ContextWriter<'_>, value: u32) {
    for digit in (0..u32::BITS).step_by(4).rev() {
        let digit = value >> digit & 15;
        let digit = char::from_digit(digit, 16).map_or(b'?', |digit| digit as u8);
        to.message(&[digit]);
    }
}

/// How boot `previous` ended.
fn how_ended(region: &Region<'_>, start: Start, previous: u32, cause: ResetCause) -> BootEnd {
    let by_chip = match cause {
        ResetCause::Unknown => None,
        ResetCause::PowerOn => Some(BootEnd::PowerLost),
        ResetCause::Pin => Some(BootEnd::Outside),
        ResetCause::Watchdog => Some(BootEnd::Watchdog),
    };
    if start == Start::Cold {
        return by_chip.unwrap_or(BootEnd::PowerLost);
    }
    let noted = region.boot_end().noted(previous);
    noted.or(by_chip).unwrap_or(BootEnd::Outside)
}

/// Notes what each of `count` tasks is doing, for a crash that nobody is left to describe.
#[inline(never)]
pub(crate) fn note_tasks(kernel: &mut impl Kernel, region: &Region<'_>, count: usize) {
    let now = kernel.now();
    let tasks = (0..count).map(|task| {
        let (state, is_faulted) = match kernel.state(task) {
            TaskState::Healthy(state) => (state, false),
            TaskState::Faulted { original_state, .. } => (original_state, true),
        };
        let (activity, peer) = activity(state);
        TaskNow {
            activity,
            peer,
            is_faulted,
            restarts: kernel.current(index(task)).generation().into(),
        }
    });
    region.task_states().note(now, tasks);
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Notes that `task` has asked for a restart of the system, which follows.
    pub fn note_restart(&mut self, task: usize) {
        let end = BootEnd::Restart(index(task));
        self.region.boot_end().note(self.boot, end);
        // It says nothing about what the recorder has found.
        self.region.trial().end_start();
    }

    /// Notes that this boot ends with the crash of `task`.
    pub(crate) fn note_crash(&self, task: usize) {
        self.region.boot_end().note_crash(self.boot, index(task));
    }

    /// How the boot before this one ended.
    #[must_use]
    pub fn previous_end(&self) -> BootEnd {
        let ends = self.region.boot_end().ends(self.boot);
        ends.iter().next().unwrap_or(BootEnd::NotKnown)
    }
}

const fn index(task: usize) -> u16 {
    task as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::tests::{CONFIG, IMAGE, boot, kernel, retained};
    use crate::testing::TestKernel;
    use abi::SchedState;
    use crashlog_retained::Block;
    use crashlog_retained::{Activity, TaskEntry};
    use std::sync::atomic::Ordering;

    fn memory() -> Vec<Block> {
        (0..600).map(|_| Block::zeroed()).collect()
    }

    fn previous_ends(region: &Region<'_>) -> Vec<BootEnd> {
        region.boot_end().ends(region.boot()).iter().collect()
    }

    #[test]
    fn each_way_to_end_is_told_from_the_others() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        let boot = |cause| {
            begin_boot(&region, &CONFIG, IMAGE, cause);
        };
        let newest = || previous_ends(&region)[0];

        boot(ResetCause::Unknown);
        assert_eq!(previous_ends(&region), [BootEnd::PowerLost]);
        boot(ResetCause::Unknown);
        assert_eq!(newest(), BootEnd::Outside);
        // The chip decides where nothing was noted.
        boot(ResetCause::Watchdog);
        assert_eq!(newest(), BootEnd::Watchdog);
        boot(ResetCause::PowerOn);
        assert_eq!(newest(), BootEnd::PowerLost);
        boot(ResetCause::Pin);
        assert_eq!(newest(), BootEnd::Outside);
        for end in [BootEnd::Restart(2), BootEnd::Kernel, BootEnd::Watchdog] {
            region.boot_end().note(region.boot(), end);
            boot(ResetCause::Pin);
            assert_eq!(newest(), end);
        }
        // A crash comes before everything else in its boot.
        region.boot_end().note_crash(region.boot(), 3);
        region.boot_end().note(region.boot(), BootEnd::Kernel);
        boot(ResetCause::Watchdog);
        assert_eq!(newest(), BootEnd::Crash(3));
        boot(ResetCause::Unknown);
        assert_eq!(newest(), BootEnd::Outside);
    }

    /// REQ: X1 (in part), X11 (in part: how a boot ended, by the chip)
    #[test]
    fn the_watchdog_leaves_a_late_crash_with_who_ran_last() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        let boot = |cause| {
            begin_boot(&region, &CONFIG, IMAGE, cause);
        };
        // What the kernel does at the start of a boot: task 3 ran in the boot before.
        let kernel = |id: u32, pc: u32| {
            let [_, _, last_id, last_pc] = region.boot_end().running().unwrap();
            last_id.store(id, Ordering::Relaxed);
            last_pc.store(pc, Ordering::Relaxed);
        };
        boot(ResetCause::Watchdog);
        assert!(
            region.failure().read().is_none(),
            "of a cold start nothing is known"
        );
        for cause in [ResetCause::Unknown, ResetCause::PowerOn, ResetCause::Pin] {
            kernel(3, 0x8013_61c0);
            boot(cause);
            assert!(region.failure().read().is_none(), "{cause:?}");
        }
        kernel(5 << 10 | 3, 0x8013_61c0);
        boot(ResetCause::Watchdog);
        let failure = region.failure().read().unwrap().stored;
        assert_eq!(failure.context.boot, 4);
        assert_eq!(failure.context.registers[15], 0x8013_61c0);
        let length = failure.message().length as usize;
        let [_, message, _] = failure.crash_blocks();
        let bytes: Vec<u8> = (0..128)
            .flat_map(|word| message.word(word).to_le_bytes())
            .collect();
        assert_eq!(
            std::str::from_utf8(&bytes[..length]).unwrap(),
            "the hardware watchdog has reset the system; task `worker` ran last, at 0x801361c0"
        );
        // What was described in that boot stays, and an end that was noted has no second crash.
        region.failure().clear();
        region.boot_end().note(region.boot(), BootEnd::Kernel);
        boot(ResetCause::Watchdog);
        assert!(region.failure().read().is_none());
        // Nobody knows who ran.
        kernel(u32::MAX, 0);
        boot(ResetCause::Watchdog);
        let failure = region.failure().read().unwrap().stored;
        assert_eq!(failure.message().length, 42);
    }

    /// REQ: X11 (in part: the chip's reset reason, as the kernel has read it)
    #[test]
    fn what_the_kernel_has_read_of_the_chip_counts_in_its_boot() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        let boot = |left, known| {
            if let Some(left) = left {
                region.reset_cause().leave(left);
            }
            begin_boot(&region, &CONFIG, IMAGE, known);
            previous_ends(&region)[0]
        };
        let unknown = ResetCause::Unknown;
        // Also at a cold start, where it is left in garbage.
        assert_eq!(boot(Some(ResetCause::Pin), unknown), BootEnd::Outside);
        assert_eq!(boot(Some(ResetCause::Watchdog), unknown), BootEnd::Watchdog);
        assert_eq!(boot(None, unknown), BootEnd::Outside);
        assert_eq!(boot(Some(ResetCause::PowerOn), unknown), BootEnd::PowerLost);
        // A supervisor that reads the register itself knows better.
        let both = boot(Some(ResetCause::Pin), ResetCause::Watchdog);
        assert_eq!(both, BootEnd::Watchdog);
        region.boot_end().note(region.boot(), BootEnd::Restart(2));
        assert_eq!(
            boot(Some(ResetCause::Watchdog), unknown),
            BootEnd::Restart(2)
        );
    }

    /// A boot before which `boots` others ended, and that ends by the watchdog; then one of this
    /// image. Returns the region.
    fn end_by_watchdog(boots: u32, image_id: u64) -> Region<'static> {
        let region = retained();
        for _ in 0..boots {
            Supervisor::new(CONFIG, kernel(), region);
        }
        let mut supervisor = boot(region);
        supervisor.kernel.now = 4_100;
        let peer = TaskId::for_index_and_gen(1, abi::Generation::from(5));
        let worker = &mut supervisor.kernel.tasks[3];
        worker.doing = TaskState::Healthy(SchedState::InReply(peer));
        worker.generation = 2;
        supervisor.feed_watchdog();
        // After the last note.
        supervisor.kernel.tasks[3].doing = TaskState::default();
        let [_, _, id, pc] = region.boot_end().running().unwrap();
        id.store(3, Ordering::Relaxed);
        pc.store(0x8013_61c0, Ordering::Relaxed);
        region.reset_cause().leave(ResetCause::Watchdog);
        let image = TestKernel {
            image_id,
            ..kernel()
        };
        Supervisor::new(CONFIG, image, region);
        region
    }

    /// REQ: X1 (in part: of an end by the watchdog the tasks are kept)
    #[test]
    fn the_crash_of_an_end_by_the_watchdog_lists_the_tasks() {
        let region = end_by_watchdog(0, IMAGE);
        let failure = region.failure().read().unwrap();
        let context = &failure.stored.context;
        assert_eq!((context.boot, context.time), (1, 4_100));
        assert_eq!(context.image_id, IMAGE);
        assert_eq!(failure.task_bytes(), 5 * 32);
        let [block] = failure.task_blocks() else {
            panic!("five tasks are one block")
        };
        let entry = |index: usize| {
            let mut entry = TaskEntry::default();
            block.copy_to(index * 32, zerocopy::IntoBytes::as_mut_bytes(&mut entry));
            entry
        };
        assert_eq!(entry(0).activity(), Ok(Activity::Stopped));
        assert!(!entry(0).is_current() && entry(3).is_current());
        let worker = entry(3);
        assert_eq!(worker.activity(), Ok(Activity::AwaitingReply));
        assert_eq!(
            (worker.peer.get(), worker.pc.get()),
            (5 << 10 | 1, 0x8013_61c0)
        );
        assert_eq!(worker.restarts.get(), 2);
        assert_eq!(worker.priority, CONFIG.task(3).priority);
    }

    #[test]
    fn the_names_of_another_image_are_not_used() {
        let region = end_by_watchdog(1, IMAGE + 1);
        let failure = region.failure().read().unwrap();
        assert_eq!(failure.stored.context.boot, 2);
        assert_eq!(failure.stored.context.image_id, IMAGE);
        let mut text = [0; 64];
        failure.stored.crash_blocks()[1].copy_to(42, &mut text);
        assert!(text.starts_with(b"; a task of another image ran last, at 0x801361c0"));
    }

    #[test]
    fn after_a_cold_start_nothing_that_is_there_counts() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        begin_boot(&region, &CONFIG, IMAGE, ResetCause::Unknown);
        begin_boot(&region, &CONFIG, IMAGE, ResetCause::Unknown);
        region.boot_end().note(2, BootEnd::Restart(2));
        // The headers are lost, what is beside them is not.
        for block in &memory {
            for word in 0..16 {
                block.set_word(word, 0);
            }
            block.set_word(64, 1);
        }
        begin_boot(&region, &CONFIG, IMAGE, ResetCause::Unknown);
        assert_eq!(previous_ends(&region), [BootEnd::PowerLost]);
        assert_eq!(region.boot(), 1);
    }
}
