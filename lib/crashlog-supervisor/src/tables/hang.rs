//! `hang-ms`, `wait-ms` and `alive-within-ms`: for how long a task may hold the processor, wait for
//! an answer, or show no sign of life. `watchdog-ms`: for how long the supervisor may be away.

use super::{App, ConfigError, CrashTable, unknown};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Milliseconds that a task may hold the processor if nothing is said about it.
pub const HANG_MS: u32 = 1_000;

/// The same for the recorder. Its self-test polls: with a card that does not answer it takes 2.4 s.
pub const RECORDER_HANG_MS: u32 = 3_000;

/// Range of a limit in milliseconds, beside 0: two checks, to a day.
pub const HANG_RANGE: core::ops::RangeInclusive<u32> = 200..=86_400_000;

/// By how many milliseconds `watchdog-ms` must exceed `budget-ms`: two periods of feeding, and some
/// time to spare.
pub const WATCHDOG_MARGIN_MS: u32 = 500;

/// Longest `watchdog-ms`.
pub const WATCHDOG_MAX_MS: u32 = 120_000;

/// The key `hang-ms`: one number for all tasks, or a number for each task that is named.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(
    untagged,
    expecting = "must be a number of milliseconds, or a table of task names and such numbers"
)]
pub enum HangTable {
    /// For all tasks.
    All(u32),
    /// For these tasks; the others have the defaults.
    ByTask(BTreeMap<String, u32>),
}

impl Default for HangTable {
    fn default() -> Self {
        Self::ByTask(BTreeMap::new())
    }
}

impl CrashTable {
    /// An emergency must have ended before the watchdog of normal operation expires, which is not
    /// fed in it.
    pub(super) fn check_watchdog(&self, app: &App) -> Result<(), ConfigError> {
        let least = self.budget_ms.saturating_add(WATCHDOG_MARGIN_MS);
        if self.watchdog_ms == 0 || (least..=WATCHDOG_MAX_MS).contains(&self.watchdog_ms) {
            return Ok(());
        }
        let rule = format!(
            "must be {least} (budget-ms and {WATCHDOG_MARGIN_MS}) to {WATCHDOG_MAX_MS}, or 0 for no watchdog"
        );
        Err(app.refuse("watchdog-ms", self.watchdog_ms, rule))
    }

    /// The limit of each task by index.
    pub(super) fn check_hangs(&self, app: &App, recorder: usize) -> Result<Vec<u32>, ConfigError> {
        let named = match &self.hang_ms {
            HangTable::All(ms) => {
                return Ok(vec![in_range(app, "hang-ms", *ms)?; app.tasks.len()]);
            }
            HangTable::ByTask(named) => named,
        };
        let mut limits = vec![HANG_MS; app.tasks.len()];
        limits[recorder] = RECORDER_HANG_MS;
        set_limits(app, "hang-ms", named, &mut limits, in_range)?;
        Ok(limits)
    }

    /// The longest wait of each task by index.
    pub(super) fn check_waits(&self, app: &App) -> Result<Vec<u32>, ConfigError> {
        let mut limits = vec![0; app.tasks.len()];
        set_limits(app, "wait-ms", &self.wait_ms, &mut limits, in_range)?;
        Ok(limits)
    }

    /// Within which time each task has to show a sign of life, by index; 0: it need not. `least`:
    /// the least important task, which never receives.
    pub(super) fn check_alive(
        &self,
        app: &App,
        least: Option<u16>,
    ) -> Result<Vec<u32>, ConfigError> {
        let table = "alive-within-ms";
        let mut limits = vec![0; app.tasks.len()];
        set_limits(
            app,
            table,
            &self.alive_within_ms,
            &mut limits,
            in_alive_range,
        )?;
        for (index, ms) in (0..).zip(&limits) {
            if *ms != 0 && Some(index) == least {
                let key = format!("{table}.{}", app.tasks[usize::from(index)].name);
                let rule = "the least important task runs when no other can; leave it out";
                return Err(app.refuse(&key, ms, rule.into()));
            }
        }
        Ok(limits)
    }
}

/// A limit in milliseconds, if it is in its range.
fn in_range(app: &App, key: &str, ms: u32) -> Result<u32, ConfigError> {
    if ms == 0 || HANG_RANGE.contains(&ms) {
        return Ok(ms);
    }
    let (least, most) = (HANG_RANGE.start(), HANG_RANGE.end());
    let rule = format!("must be {least} to {most}, or 0 for no limit");
    Err(app.refuse(key, ms, rule))
}

/// As [`in_range`]; a task without a limit is left out.
fn in_alive_range(app: &App, key: &str, ms: u32) -> Result<u32, ConfigError> {
    if HANG_RANGE.contains(&ms) {
        return Ok(ms);
    }
    let (least, most) = (HANG_RANGE.start(), HANG_RANGE.end());
    let rule = format!("must be {least} to {most}; leave the task out for no limit");
    Err(app.refuse(key, ms, rule))
}

/// Stores the limits of the tasks that the table `table` names.
fn set_limits(
    app: &App,
    table: &str,
    named: &BTreeMap<String, u32>,
    limits: &mut [u32],
    in_range: impl Fn(&App, &str, u32) -> Result<u32, ConfigError>,
) -> Result<(), ConfigError> {
    for (name, ms) in named {
        let key = format!("{table}.{name}");
        let Some(index) = app.index(name) else {
            let names = app.tasks.iter().map(|task| task.name.as_str());
            return Err(app.refuse(&key, ms, unknown("task", name, names)));
        };
        if index == 0 {
            let rule = "the supervisor does not watch itself; leave it out";
            return Err(app.refuse(&key, ms, rule.into()));
        }
        limits[index] = in_range(app, &key, *ms)?;
    }
    Ok(())
}
