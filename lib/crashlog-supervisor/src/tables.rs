//! Checks the supervisor's configuration in a build script, and generates tables.
//!
//! Here `app.toml` becomes a [`SupervisorConfig`](crate::SupervisorConfig). A supervisor's build
//! script reads `[tasks.<supervisor>.config.crash]` into a [`CrashTable`], describes the
//! application by an [`App`], and writes [`Tables::to_rust`] into a file that the supervisor
//! includes:
//!
//! ```ignore
//! let tables = config.crash.check(&app)?;
//! std::fs::write(out_dir.join("crash.rs"), tables.to_rust())?;
//! ```
//!
//! Everything is checked against the application. What breaks a rule is a [`ConfigError`] that
//! names file, key, value and rule.

mod hang;
mod regions;

pub use hang::{HANG_MS, HANG_RANGE, HangTable, RECORDER_HANG_MS};
pub use regions::{REGION_BYTES, REGIONS_TOTAL, RegionLimits};

use std::collections::BTreeMap;
use std::fmt;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use serde::Deserialize;

use crate::loops::Limits;
use crate::{Disposition, SnapshotScope};

/// Range of the budget, in milliseconds: with less, not even a healthy card is written in time;
/// with more, a system whose emergency write hangs would be down for longer than a minute.
pub const BUDGET_MS: core::ops::RangeInclusive<u32> = 100..=60_000;

/// Range of the times about crash loops, in milliseconds: up to a day, so that sums of them never
/// wrap.
pub const LOOP_MS: core::ops::RangeInclusive<u32> = 0..=86_400_000;

/// The table `[tasks.<supervisor>.config.crash]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CrashTable {
    /// Name of the task that writes crashes.
    pub recorder: String,
    /// Name of the recorder's notification for oopses.
    pub notification: String,
    /// Task name to `"restart"` or `"reset"`. Default: `restart` for a task, and `reset` for the
    /// recorder, because nothing is saved while it does not run.
    #[serde(default)]
    pub disposition: BTreeMap<String, String>,
    /// Are faults that restart one task written too?
    pub record_oops: bool,
    /// The hardware watchdog's budget for a whole emergency, in milliseconds. Default: 8 s.
    #[serde(default = "CrashTable::budget_ms")]
    pub budget_ms: u32,
    /// After how many milliseconds without a sign of the supervisor the system is ended; 0, the
    /// default: never.
    #[serde(default)]
    pub watchdog_ms: u32,
    /// Whose memory is saved with a crash: `"system"` (the default), `"task"` or `"none"`.
    #[serde(default = "CrashTable::snapshot")]
    pub snapshot: String,
    /// Tasks that may be more important than the recorder. For tests only: such a task can delay an
    /// emergency.
    #[serde(default)]
    pub above_recorder: Vec<String>,
    /// As [`Limits::hold_after_restarts`].
    #[serde(default = "CrashTable::hold_after_restarts")]
    pub hold_after_restarts: u32,
    /// As [`Limits::hold_after_resets`].
    #[serde(default = "CrashTable::hold_after_resets")]
    pub hold_after_resets: u32,
    /// As [`Limits::loop_window_ms`].
    #[serde(default = "CrashTable::loop_window_ms")]
    pub loop_window_ms: u32,
    /// As [`Limits::healthy_ms`].
    #[serde(default = "CrashTable::healthy_ms")]
    pub healthy_ms: u32,
    /// As [`Limits::backoff_ms`].
    #[serde(default = "CrashTable::backoff_ms")]
    pub backoff_ms: u32,
    /// As [`Limits::backoff_max_ms`].
    #[serde(default = "CrashTable::backoff_max_ms")]
    pub backoff_max_ms: u32,
    /// For how many milliseconds a task may hold the processor; 0: as long as it likes.
    #[serde(default)]
    pub hang_ms: HangTable,
    /// Task name to the milliseconds for which it may wait for an answer; without a limit if it is
    /// not named.
    #[serde(default)]
    pub wait_ms: BTreeMap<String, u32>,
    /// Task name to the milliseconds within which it has to come back to its receive, or to say
    /// that it is alive; not watched for that if it is not named.
    #[serde(default)]
    pub alive_within_ms: BTreeMap<String, u32>,
    /// Limits of what tasks may register to be saved with a crash.
    #[serde(default)]
    pub regions: RegionLimits,
}

/// The defaults.
impl CrashTable {
    /// A healthy card uses milliseconds of it, and one that collects garbage may be busy for
    /// seconds.
    const fn budget_ms() -> u32 {
        8_000
    }

    fn snapshot() -> String {
        "system".to_string()
    }
    const fn hold_after_restarts() -> u32 {
        100
    }
    const fn hold_after_resets() -> u32 {
        5
    }
    const fn loop_window_ms() -> u32 {
        600_000
    }
    const fn healthy_ms() -> u32 {
        10_000
    }
    const fn backoff_ms() -> u32 {
        500
    }
    const fn backoff_max_ms() -> u32 {
        30_000
    }
}

/// One task of the application.
#[derive(Clone, Debug)]
pub struct AppTask {
    /// Its name.
    pub name: String,
    /// Its priority, 0 is the most important.
    pub priority: u8,
    /// The names of its notifications, by bit number.
    pub notifications: Vec<String>,
    /// Bytes of its stack, which the build makes the lowest part of its memory; 0 if the size is
    /// not known.
    pub stack: u32,
}

/// The application, as far as crashes are concerned.
#[derive(Clone, Debug)]
pub struct App {
    /// The configuration file, for messages.
    pub file: String,
    /// The tasks by index. The first is the supervisor.
    pub tasks: Vec<AppTask>,
}

/// A configuration that was checked against the application.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tables {
    /// Index of the recorder.
    pub recorder: usize,
    /// Its notification for oopses, as a mask.
    pub notification: u32,
    /// As in [`CrashTable`].
    pub record_oops: bool,
    /// As in [`CrashTable`].
    pub budget_ms: u32,
    /// As in [`CrashTable`].
    pub watchdog_ms: u32,
    /// As in [`CrashTable`].
    pub limits: Limits,
    /// As in [`CrashTable`].
    pub snapshot: SnapshotScope,
    /// All tasks, by index, the most important first.
    pub by_priority: Vec<u16>,
    /// Each task by index.
    pub tasks: Vec<TaskTable>,
}

/// What is generated about one task: the fields of [`TaskPolicy`](crate::TaskPolicy).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "they are documented there")]
pub struct TaskTable {
    pub name: String,
    pub priority: u8,
    pub disposition: Disposition,
    pub stack: u32,
    pub hang_ms: u32,
    pub wait_ms: u32,
    pub alive_ms: u32,
}

/// A value of the configuration that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The key below the file's root.
    pub key: String,
    /// The value there.
    pub value: String,
    /// What is wrong with it.
    pub rule: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            key,
            value,
            rule,
        } = self;
        write!(f, "{file}: {key} = {value}: {rule}")
    }
}

impl std::error::Error for ConfigError {}

impl App {
    fn index(&self, name: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.name == name)
    }

    /// The error for `value` at `key` of the crash table.
    fn refuse(&self, key: &str, value: impl fmt::Debug, rule: String) -> ConfigError {
        let supervisor = self.tasks.first().map_or("jefe", |task| &task.name);
        ConfigError {
            file: self.file.clone(),
            key: format!("tasks.{supervisor}.config.crash.{key}"),
            value: format!("{value:?}"),
            rule,
        }
    }
}

impl CrashTable {
    /// Checks the table against the application.
    ///
    /// # Errors
    ///
    /// The first value that breaks a rule: a task, notification or disposition that does not exist,
    /// the supervisor where another task belongs, a recorder that other tasks could keep from
    /// running, a time out of its range.
    pub fn check(&self, app: &App) -> Result<Tables, ConfigError> {
        let recorder = self.check_recorder(app)?;
        let notification = self.check_notification(app, recorder)?;
        if !BUDGET_MS.contains(&self.budget_ms) {
            return Err(app.refuse(
                "budget-ms",
                self.budget_ms,
                format!("must be {} to {}", BUDGET_MS.start(), BUDGET_MS.end()),
            ));
        }
        self.check_watchdog(app)?;
        let limits = self.check_limits(app)?;
        self.regions.check(app)?;
        let snapshot = self.check_snapshot(app)?;
        let dispositions = self.check_dispositions(app, recorder)?;
        let mut by_priority: Vec<u16> = (0..).take(app.tasks.len()).collect();
        by_priority.sort_by_key(|task| app.tasks[usize::from(*task)].priority);
        let hangs = self.check_hangs(app, recorder)?;
        let waits = self.check_waits(app)?;
        let alive = self.check_alive(app, by_priority.last().copied())?;
        let limits_of = hangs.into_iter().zip(waits).zip(alive);
        let tasks = app.tasks.iter().zip(dispositions).zip(limits_of);
        Ok(Tables {
            recorder,
            notification,
            record_oops: self.record_oops,
            budget_ms: self.budget_ms,
            watchdog_ms: self.watchdog_ms,
            limits,
            snapshot,
            by_priority,
            tasks: tasks
                .map(
                    |((task, disposition), ((hang_ms, wait_ms), alive_ms))| TaskTable {
                        name: task.name.clone(),
                        priority: task.priority,
                        disposition,
                        stack: task.stack,
                        hang_ms,
                        wait_ms,
                        alive_ms,
                    },
                )
                .collect(),
        })
    }

    fn check_limits(&self, app: &App) -> Result<Limits, ConfigError> {
        for (key, value) in [
            ("loop-window-ms", self.loop_window_ms),
            ("healthy-ms", self.healthy_ms),
            ("backoff-ms", self.backoff_ms),
            ("backoff-max-ms", self.backoff_max_ms),
        ] {
            if !LOOP_MS.contains(&value) {
                let rule = format!("must be {} to {}", LOOP_MS.start(), LOOP_MS.end());
                return Err(app.refuse(key, value, rule));
            }
        }
        Ok(Limits {
            hold_after_restarts: self.hold_after_restarts,
            hold_after_resets: self.hold_after_resets,
            loop_window_ms: self.loop_window_ms,
            healthy_ms: self.healthy_ms,
            backoff_ms: self.backoff_ms,
            backoff_max_ms: self.backoff_max_ms,
        })
    }

    fn check_snapshot(&self, app: &App) -> Result<SnapshotScope, ConfigError> {
        match self.snapshot.as_str() {
            "system" => Ok(SnapshotScope::System),
            "task" => Ok(SnapshotScope::Task),
            "none" => Ok(SnapshotScope::None),
            other => {
                let known = ["system", "task", "none"].into_iter();
                Err(app.refuse("snapshot", other, unknown("scope", other, known)))
            }
        }
    }

    fn check_recorder(&self, app: &App) -> Result<usize, ConfigError> {
        let refuse = |rule| Err(app.refuse("recorder", &self.recorder, rule));
        let Some(index) = app.index(&self.recorder) else {
            return refuse(unknown(
                "task",
                &self.recorder,
                app.tasks.iter().map(|task| task.name.as_str()),
            ));
        };
        if index == 0 {
            return refuse("the supervisor cannot be its own recorder".to_string());
        }
        let priority = app.tasks[index].priority;
        // The recorder polls in an emergency: no task of its priority or above may keep it from
        // running.
        let rival = app
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| !self.above_recorder.contains(&task.name))
            .find(|&(i, task)| i != 0 && i != index && task.priority <= priority);
        if let Some((_, rival)) = rival {
            return refuse(format!(
                "its priority {priority} must be more important than that of every other task but the supervisor, and `{}` has {}",
                rival.name, rival.priority
            ));
        }
        Ok(index)
    }

    fn check_notification(&self, app: &App, recorder: usize) -> Result<u32, ConfigError> {
        let names = &app.tasks[recorder].notifications;
        let bit = names.iter().position(|name| *name == self.notification);
        match bit {
            // Bit 31 is reserved: userlib's `hl` uses it for its timer.
            Some(bit @ 0..31) => Ok(1 << bit),
            _ => Err(app.refuse(
                "notification",
                &self.notification,
                unknown(
                    &format!("notification of `{}`", self.recorder),
                    &self.notification,
                    names.iter().map(String::as_str),
                ),
            )),
        }
    }

    fn check_dispositions(
        &self,
        app: &App,
        recorder: usize,
    ) -> Result<Vec<Disposition>, ConfigError> {
        let mut dispositions = vec![Disposition::Restart; app.tasks.len()];
        dispositions[recorder] = Disposition::Reset;
        for (name, value) in &self.disposition {
            let refuse = |rule| Err(app.refuse(&format!("disposition.{name}"), value, rule));
            let Some(index) = app.index(name) else {
                return refuse(unknown(
                    "task",
                    name,
                    app.tasks.iter().map(|task| task.name.as_str()),
                ));
            };
            if index == 0 {
                return refuse("the kernel handles a fault of the supervisor".to_string());
            }
            if index == recorder {
                return refuse(
                    "is the recorder, whose fault always resets the system: without it no crash is recorded"
                        .to_string(),
                );
            }
            dispositions[index] = match value.as_str() {
                "restart" => Disposition::Restart,
                "reset" => Disposition::Reset,
                _ => {
                    return refuse(unknown(
                        "disposition",
                        value,
                        ["restart", "reset"].into_iter(),
                    ));
                }
            };
        }
        Ok(dispositions)
    }
}

impl Tables {
    /// Rust source of a constant `CRASH` of type [`SupervisorConfig`](crate::SupervisorConfig).
    #[must_use]
    pub fn to_rust(&self) -> String {
        let tasks: String = self
            .tasks
            .iter()
            .map(|task| {
                let TaskTable {
                    name,
                    priority,
                    disposition,
                    stack,
                    hang_ms,
                    wait_ms,
                    alive_ms,
                } = task;
                format!(
                    "        crashlog_supervisor::TaskPolicy {{ name: {name:?}, \
                     priority: {priority}, \
                     disposition: crashlog_supervisor::Disposition::{disposition:?}, \
                     stack: {stack}, hang_ms: {hang_ms}, wait_ms: {wait_ms}, \
                     alive_ms: {alive_ms} }},\n"
                )
            })
            .collect();
        format!(
            "/// What app.toml says about faults.\n\
             pub const CRASH: crashlog_supervisor::SupervisorConfig = crashlog_supervisor::SupervisorConfig {{\n    \
                 recorder: {},\n    \
                 notification: {:#x},\n    \
                 record_oops: {},\n    \
                 budget_ms: {},\n    \
                 watchdog_ms: {},\n    \
                 limits: crashlog_supervisor::loops::{:?},\n    \
                 snapshot: crashlog_supervisor::SnapshotScope::{:?},\n    \
                 by_priority: &{:?},\n    \
                 tasks: &[\n{tasks}    ],\n\
             }};\n",
            self.recorder,
            self.notification,
            self.record_oops,
            self.budget_ms,
            self.watchdog_ms,
            self.limits,
            self.snapshot,
            self.by_priority,
        )
    }
}

/// The rule that `name` has to be one of `known`, with the nearest of them if that is close.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|&(distance, _)| distance <= 2);
    match nearest {
        Some((_, nearest)) => format!("no such {what}; did you mean {nearest:?}?"),
        None => format!("no such {what}; there are {}", known.join(", ")),
    }
}

/// Levenshtein distance of two words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
