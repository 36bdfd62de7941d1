//! What the application's configuration says about faults.

use crate::Disposition;
use crate::loops::Limits;

/// What has to be known about one task when it crashes.
#[derive(Copy, Clone, Debug)]
pub struct TaskPolicy {
    /// Its name.
    pub name: &'static str,
    /// Its priority; 0 is the most important.
    pub priority: u8,
    /// What its fault means.
    pub disposition: Disposition,
    /// Bytes of its stack, which is the lowest part of its memory; 0 if the size is not known.
    pub stack: u32,
    /// For how many milliseconds it may hold the processor; 0: as long as it likes.
    pub hang_ms: u32,
    /// For how many milliseconds it may wait for an answer; 0: as long as it takes.
    pub wait_ms: u32,
    /// Within how many milliseconds it has to come back to its receive, or to say that it is alive;
    /// 0: never.
    pub alive_ms: u32,
}

impl TaskPolicy {
    /// Of a task that the build did not know: restarting one task is the smaller measure.
    const UNKNOWN: Self = Self {
        name: "",
        priority: u8::MAX,
        disposition: Disposition::Restart,
        stack: 0,
        hang_ms: 0,
        wait_ms: 0,
        alive_ms: 0,
    };
}

/// Whose memory is saved with a crash.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum SnapshotScope {
    /// That of the kernel and of all tasks; with an oops that of its task.
    System,
    /// That of the task that crashed.
    Task,
    /// Nobody's.
    None,
}

/// The supervisor's configuration. The build generates it (feature `tables`) from
/// `[tasks.<supervisor>.config.crash]`.
#[derive(Copy, Clone, Debug)]
pub struct SupervisorConfig {
    /// Index of the task that writes crashes.
    pub recorder: usize,
    /// Notification bits that tell the recorder about an oops.
    pub notification: u32,
    /// Are faults that restart one task written too?
    pub record_oops: bool,
    /// The hardware watchdog's budget for a whole emergency, in milliseconds.
    pub budget_ms: u32,
    /// After how many milliseconds without the supervisor the system is ended; 0: never.
    pub watchdog_ms: u32,
    /// What is done about crash loops.
    pub limits: Limits,
    /// Whose memory is saved with a crash.
    pub snapshot: SnapshotScope,
    /// All tasks, by index, the most important first: the order in which their memory is saved.
    pub by_priority: &'static [u16],
    /// The tasks, by index.
    pub tasks: &'static [TaskPolicy],
}

impl SupervisorConfig {
    /// Is it the task that runs when no other can, normally the idle task? It is never kept from
    /// running: the kernel fails if no task can run.
    #[must_use]
    pub fn is_least_important(&self, task: usize) -> bool {
        let last = self.by_priority.last();
        last.is_some_and(|last| usize::from(*last) == task)
    }

    /// The entry of `task`.
    #[must_use]
    pub fn task(&self, task: usize) -> &'static TaskPolicy {
        self.tasks.get(task).unwrap_or(&TaskPolicy::UNKNOWN)
    }
}
