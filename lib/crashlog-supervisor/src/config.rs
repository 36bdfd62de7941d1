//! What the application says about faults.

use crate::loops::Limits;

/// What a fault of a task means.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// An oops: this one task is restarted.
    Restart,
    /// A panic: the crash is written to the card and the system is restarted.
    Reset,
}

/// What has to be known about one task when it crashes.
#[derive(Copy, Clone, Debug)]
pub struct TaskPolicy {
    /// Its name.
    pub name: &'static str,
    /// What its fault means.
    pub disposition: Disposition,
    /// Bytes of its stack, which is the lowest part of its memory; 0 if that
    /// is not known.
    pub stack: u32,
}

impl TaskPolicy {
    /// A task that the build did not know: restarting it is the careful choice.
    const UNKNOWN: Self = Self {
        name: "",
        disposition: Disposition::Restart,
        stack: 0,
    };
}

/// The supervisor's configuration, made by the build (feature `tables`) from
/// `[tasks.<supervisor>.config.crash]`.
#[derive(Copy, Clone, Debug)]
pub struct Config {
    /// Index of the task that writes crash records.
    pub recorder: usize,
    /// Notification bits that tell the recorder about an oops.
    pub notification: u32,
    /// Are faults that restart one task recorded too?
    pub record_oops: bool,
    /// The hardware watchdog's budget for a whole emergency, in milliseconds.
    pub budget_ms: u32,
    /// What is done about crash loops.
    pub limits: Limits,
    /// The tasks, by index.
    pub tasks: &'static [TaskPolicy],
}

impl Config {
    /// The entry of `task`.
    #[must_use]
    pub fn task(&self, task: usize) -> &TaskPolicy {
        self.tasks.get(task).unwrap_or(&TaskPolicy::UNKNOWN)
    }
}
