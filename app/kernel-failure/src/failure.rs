//! Passes a failure of the kernel on to `crashlog_supervisor::failure`.
//!
//! The kernel does not know that crate. Its types [`Failure`] and [`snapshot::TaskSnapshot`] become
//! that crate's `KernelFailure` and `TaskAtFailure` here.

use crashlog_retained::{BootEnd, Region, ResetCause};
use crashlog_supervisor::failure::{self, KernelFailure, TaskAtFailure};
use kern::LastRanWords;
use kern::descs;
use kern::fail::{Failure, snapshot};
use kern::header;

/// The memory output that kernel, supervisor and recorder share.
const RETAINED: &str = "crash";

/// Name of the first task: the build passes `HUBRIS_TASKS` to every crate.
fn supervisor() -> &'static str {
    option_env!("HUBRIS_TASKS")
        .and_then(|tasks| tasks.split(',').next())
        .unwrap_or_default()
}

/// The retained RAM, if the application gives it to the kernel.
fn region() -> Option<Region<'static>> {
    let memory = descs::extern_region(RETAINED)?;
    // SAFETY: a memory output of its own, which the kernel maps for itself, uncached, and in which
    // no value of this program lives. Tasks that have it access it by whole words.
    unsafe { Region::claim(memory.base as usize, memory.size as usize) }
}

/// The words in retained RAM for who ran last, if the application gives the kernel that memory.
pub fn last_ran() -> Option<&'static LastRanWords> {
    region()?.boot_end().running()
}

/// Leaves what the chip says of the last reset in retained RAM for the supervisor, if the
/// application gives the kernel that memory. To be called at the start of a boot, with translation
/// off or on.
pub fn leave_reset_cause(cause: ResetCause) {
    if let Some(region) = region() {
        region.reset_cause().leave(cause);
    }
}

/// Notes in retained RAM, if the application gives the kernel that memory, that this task has asked
/// for a restart of the system. The supervisor, which is task 0, notes itself why it does: for
/// another task, or for a crash.
pub fn on_restart(task: u16) {
    if task != 0
        && let Some(region) = region()
    {
        let end = BootEnd::Restart(task);
        region.boot_end().note(region.boot(), end);
        // As for a restart that the supervisor is asked for: what is in retained RAM did not end
        // this boot.
        region.trial().end_start();
        region.trial().end_boot();
    }
}

/// Describes the failure in retained RAM, if the application gives the kernel that memory, and
/// saves the memory of the system there. Returns by how many milliseconds the reset has to be
/// delayed.
///
/// `emergency`: whether the supervisor was handling a crash. If its snapshot is made, that one is
/// kept: the crash came first.
pub fn describe(failure: &Failure<'_>, emergency: bool) -> u32 {
    let Some(region) = region() else {
        return 0;
    };
    let tasks = snapshot::tasks().map(|task| TaskAtFailure {
        state: task.state,
        current: task.current,
        restarts: task.restarts,
        notifications: task.notifications,
        priority: task.priority,
        place: task.place,
    });
    let outcome = failure::describe(
        &region,
        KernelFailure {
            epitaph: failure.epitaph,
            message: failure.message,
            fault: failure.fault,
            hang_ms: failure.hang_ms,
            supervisor: supervisor(),
            image_id: header::image_id(),
            time: failure.time,
            registers: failure.registers,
            stack_bytes: failure.stack.bytes(),
            stack: failure.stack.words(),
            tasks,
        },
    );
    let area = region.snapshot();
    let in_place = emergency && area.header().is_some();
    // Before there are tasks, retained RAM and the tasks' memory may not be mapped.
    if outcome.kept && !in_place && snapshot::tasks().next().is_some() {
        crate::snapshot::make(&area, failure, region.boot());
    }
    outcome.delay_ms
}
