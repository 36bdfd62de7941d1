//! One crash: what is expected of it, and the check of what the card has.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Why a crash is late that the supervisor has not described to its end.
pub const NOT_DESCRIBED: &str = "supervisor did not call the recorder";

/// A crash that must be on the card.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The task that failed.
    pub task: &'a str,
    /// `panic`, `oops` or `kernel`.
    pub reason: &'a str,
    /// Whether it was written after the restart.
    pub late: Late,
    /// How often it happened since the evidence before was taken.
    pub times: u64,
}

/// Whether a crash was written after the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It was on the card before the restart.
    No,
    /// It was written after the restart.
    Yes,
    /// Either is right.
    Either,
}

impl<'a> Expected<'a> {
    /// A failure that restarts the system, and was recorded before the restart.
    pub fn panic(task: &'a str) -> Self {
        Self {
            task,
            reason: "panic",
            late: Late::No,
            times: 1,
        }
    }

    /// A fault of a task that was restarted alone.
    pub fn oops(task: &'a str) -> Self {
        Self {
            task,
            reason: "oops",
            late: Late::No,
            times: 1,
        }
    }

    /// The same, but written after the restart.
    pub fn late(self) -> Self {
        Self {
            late: Late::Yes,
            ..self
        }
    }

    /// The same, but that many times.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// The same, written before or after the restart.
    pub fn whenever(self) -> Self {
        Self {
            late: Late::Either,
            ..self
        }
    }
}

/// What the card has of one crash.
pub(super) struct CrashEvidence<'a> {
    /// As it was listed before, if it is a repetition.
    pub(super) before: Option<&'a Value>,
    /// As it is listed.
    pub(super) listed: &'a Value,
    /// As it is shown.
    pub(super) crash: &'a Value,
    /// Numbers of the log records of the same boot.
    pub(super) sequences: &'a [u64],
}

impl CrashEvidence<'_> {
    /// Compares it with what has happened.
    pub(super) fn check(&self, expected: &Expected<'_>, accepted: u32) -> Result<()> {
        match self.before {
            Some(before) => ensure!(
                self.listed["repeats"].as_u64()
                    == before["repeats"]
                        .as_u64()
                        .map(|repeats| repeats + expected.times),
                "counted from {} to {}",
                before["repeats"],
                self.listed["repeats"]
            ),
            None => self.check_new(expected)?,
        }
        let said = match (self.before, self.crash["late"].is_null()) {
            (None, true) => self.crash["log_records"].as_u64().unwrap_or(0),
            _ => 0,
        };
        if let Some((at, wrong)) = (1..).zip(self.sequences).find(|(at, found)| at != *found) {
            bail!("there is log record {wrong} where {at} must be");
        }
        let least = said.max(accepted.into());
        ensure!(
            self.sequences.len() as u64 >= least,
            "{least} log records were accepted before the crash, {} are on the card",
            self.sequences.len()
        );
        Ok(())
    }

    /// Checks a crash that was not there before: in time or late, and whole.
    fn check_new(&self, expected: &Expected<'_>) -> Result<()> {
        let crash = self.crash;
        ensure!(
            self.listed["repeats"].as_u64() == Some(expected.times - 1),
            "new, but counted {}",
            self.listed["repeats"]
        );
        let segments = crash["segments"].as_array().context("no segments")?;
        for segment in segments {
            ensure!(
                segment["sound"] == true && is_whole(segment, expected.reason),
                "a segment is damaged, or was cut: {segment}"
            );
        }
        let late = !crash["late"].is_null();
        // A supervisor that fails while it describes a crash has not read them.
        ensure!(
            crash["registers"]["pc"].as_u64().is_some() || crash["late"] == NOT_DESCRIBED,
            "the crash has no registers"
        );
        match expected.late {
            Late::No => ensure!(!late, "it was written late: {}", crash["late"]),
            Late::Yes => ensure!(late, "it was not written late"),
            Late::Either => {}
        }
        if expected.reason == "panic" && !late {
            check_emergency(&crash["emergency"])?;
        }
        Ok(())
    }
}

/// Checks that the report of a successful emergency says what it found, and what it did before it
/// wrote the crash.
fn check_emergency(said: &Value) -> Result<()> {
    /// Every number of the report.
    const NUMBERS: [&str; 8] = [
        "controller",
        "card",
        "command",
        "blocks_left",
        "retries",
        "error",
        "pages",
        "time_ms",
    ];
    ensure!(
        said["phase"] == "write" && said["failure"] == "no failure",
        "the emergency ended in the phase {} with {}",
        said["phase"],
        said["failure"]
    );
    let steps = json!(["controller reset", "card ready", "located"]);
    ensure!(said["steps"] == steps, "the steps are {}", said["steps"]);
    for name in NUMBERS {
        ensure!(said[name].is_u64(), "it does not say {name}: {said}");
    }
    let repairs = said["repairs"].as_array().context("no repairs")?;
    let controller = said["controller"].as_u64().unwrap_or(0);
    ensure!(
        (1..=12).contains(&controller) && said["card"].as_u64().is_some_and(is_card_state),
        "the states of controller and card are not stated: {said}"
    );
    ensure!(
        said["error"] == 0 || said["retries"] != 0 || !repairs.is_empty(),
        "there was an error, but neither a retry nor a repair: {said}"
    );
    Ok(())
}

/// Whether a segment is complete. The faulted task's stack is an excerpt by design, of a fixed
/// length.
fn is_whole(segment: &Value, reason: &str) -> bool {
    // The kernel keeps more when it describes its own failure
    // (lib/crashlog-supervisor/src/failure.rs).
    let most = if reason == "kernel" { 512 } else { 192 };
    let (length, original) = (&segment["length"], &segment["original_length"]);
    if segment["excerpt"] == true {
        length.as_u64() == original.as_u64().map(|original| original.min(most))
    } else {
        length == original
    }
}

/// Whether it is a state of the card's status register (0 to 10), no answer (0xfe), or not asked
/// (0xff).
fn is_card_state(code: u64) -> bool {
    code <= 10 || code == 0xfe || code == 0xff
}
