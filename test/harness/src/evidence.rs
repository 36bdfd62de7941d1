//! Checks of a card after crashes: what must be on it, and what must not have changed.

use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// Crashes that the retention rule never removes (`keep-first` of the applications).
const KEPT: usize = 4;

/// What was on a card at one time.
#[derive(Clone)]
pub struct Evidence {
    /// Crashes, oldest first, as `list --json` has them.
    pub records: Vec<Value>,
    /// How many crashes the card can hold.
    slots: u64,
    /// Bytes of all pages of the log.
    log_bytes: u64,
    /// The log, as `log --json` has it.
    log: Vec<u8>,
}

/// A crash that must be on the card.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a> {
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

impl<'a> Crash<'a> {
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

impl Evidence {
    /// Reads a card, on which `crashlog verify` must find no error.
    pub fn take(tool: &Tool, card: &Path) -> Result<Self> {
        tool.verify(card)?;
        let list = tool.json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])?;
        Ok(Self {
            records: list["records"]
                .as_array()
                .cloned()
                .context("`list --json` has no records")?,
            slots: list["card"]["slots"]
                .as_u64()
                .context("`list --json` has no slots")?,
            log_bytes: list["card"]["log_bytes"]
                .as_u64()
                .context("`list --json` has no length of the log")?,
            log: tool.bytes(["log".as_ref(), "--json".as_ref(), card.as_os_str()])?,
        })
    }

    /// Whether everything is still here that was there `before`.
    pub fn is_longer_than(&self, before: &Self) -> bool {
        self.log.starts_with(&before.log)
            && before
                .records
                .iter()
                .all(|record| self.records.contains(record))
    }

    /// How many pages the log has.
    pub fn pages(&self) -> u64 {
        self.log_bytes / 512
    }

    /// Reads the card after `crashes`, which happened after `self` was taken, and checks:
    ///
    /// * `crashlog verify` finds no error;
    /// * each crash is on the card, whole, and no other one; a repetition is counted;
    /// * all log records that were accepted before the crash are there: `accepted`, or as many as the crash
    ///   itself states;
    /// * everything older is unchanged; only the retention rule may have removed a crash.
    ///
    /// Returns what was read, and the new or changed crashes in the order of `crashes`.
    pub fn after(
        &self,
        tool: &Tool,
        card: &Path,
        crashes: &[Crash<'_>],
        accepted: u32,
    ) -> Result<(Self, Vec<Value>)> {
        let now = Self::take(tool, card)?;
        let found = self.leads_to(&now, tool, card, crashes, accepted)?;
        Ok((now, found))
    }

    /// [`Evidence::after`], with a card that was read already.
    pub fn leads_to(
        &self,
        now: &Self,
        tool: &Tool,
        card: &Path,
        crashes: &[Crash<'_>],
        accepted: u32,
    ) -> Result<Vec<Value>> {
        ensure!(
            now.log.starts_with(&self.log),
            "log records that were durable before the crash have changed"
        );
        self.check_older(now)?;
        let mut new: Vec<&Value> = now
            .records
            .iter()
            .filter(|record| !self.records.contains(record))
            .collect();
        let mut found = Vec::new();
        for crash in crashes {
            let at = new
                .iter()
                .position(|record| record["task"] == crash.task && record["reason"] == crash.reason)
                .with_context(|| {
                    format!("there is no new record of {crash:?}; new or changed are {new:#?}")
                })?;
            let listed = new.remove(at);
            let record = self
                .check_record(tool, card, listed, crash, accepted)
                .with_context(|| format!("the record of {crash:?}"))?;
            found.push(record);
        }
        ensure!(
            new.is_empty(),
            "there are records of crashes that did not happen: {new:#?}"
        );
        Ok(found)
    }

    /// No older crash may be gone, except the oldest of those that are not always kept, and this only when
    /// all slots are used.
    fn check_older(&self, now: &Self) -> Result<()> {
        for (age, old) in self.records.iter().enumerate() {
            let still = now
                .records
                .iter()
                .find(|record| record["sequence"] == old["sequence"]);
            match still {
                Some(record) => ensure!(
                    ["task", "boot", "reason", "time_ms", "fault"]
                        .iter()
                        .all(|key| record[key] == old[key]),
                    "an older record has changed from {old} to {record}"
                ),
                None if age >= KEPT && now.records.len() as u64 + 1 >= self.slots => {}
                None => bail!("an older record is gone: {old}"),
            }
        }
        Ok(())
    }

    /// Checks one crash and returns it as `show --json` has it.
    fn check_record(
        &self,
        tool: &Tool,
        card: &Path,
        listed: &Value,
        crash: &Crash<'_>,
        accepted: u32,
    ) -> Result<Value> {
        let sequence = listed["sequence"].as_u64().context("no sequence")?;
        let boot = listed["last_boot"]
            .as_u64()
            .and_then(|boot| u32::try_from(boot).ok())
            .context("no boot")?;
        let before = self
            .records
            .iter()
            .find(|record| record["sequence"] == sequence);
        let record = tool.record(card, sequence)?;
        let sequences = tool.sequences(card, boot)?;
        CrashEvidence {
            before,
            listed,
            record: &record,
            sequences: &sequences,
        }
        .check(crash, accepted)
        .with_context(|| format!("in boot {boot}"))?;
        Ok(record)
    }
}

/// What the card has of one crash.
struct CrashEvidence<'a> {
    /// As it was listed before, if it is a repetition.
    before: Option<&'a Value>,
    /// As it is listed.
    listed: &'a Value,
    /// As it is shown.
    record: &'a Value,
    /// Numbers of the log records of the same boot.
    sequences: &'a [u64],
}

impl CrashEvidence<'_> {
    /// Compares it with what has happened.
    fn check(&self, crash: &Crash<'_>, accepted: u32) -> Result<()> {
        match self.before {
            Some(before) => ensure!(
                self.listed["repeats"].as_u64()
                    == before["repeats"]
                        .as_u64()
                        .map(|repeats| repeats + crash.times),
                "counted from {} to {}",
                before["repeats"],
                self.listed["repeats"]
            ),
            None => self.check_new(crash)?,
        }
        let said = match (self.before, self.record["late"].is_null()) {
            (None, true) => self.record["log_records"].as_u64().unwrap_or(0),
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
    fn check_new(&self, crash: &Crash<'_>) -> Result<()> {
        let record = self.record;
        ensure!(
            self.listed["repeats"].as_u64() == Some(crash.times - 1),
            "new, but counted {}",
            self.listed["repeats"]
        );
        let segments = record["segments"].as_array().context("no segments")?;
        for segment in segments {
            ensure!(
                segment["sound"] == true && is_whole(segment, crash.reason),
                "a segment is damaged, or was cut: {segment}"
            );
        }
        ensure!(
            record["registers"]["pc"].as_u64().is_some(),
            "the record has no registers"
        );
        let late = !record["late"].is_null();
        match crash.late {
            Late::No => ensure!(!late, "it was written late: {}", record["late"]),
            Late::Yes => ensure!(late, "it was not written late"),
            Late::Either => {}
        }
        if crash.reason == "panic" && !late {
            check_emergency(&record["emergency"])?;
        }
        Ok(())
    }
}

/// Checks that the report of a successful emergency says what it found, and what it did before it wrote
/// the crash.
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
    let steps = json!(["controller reset", "card ready", "located", "log tail"]);
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

/// Whether a segment is complete. The faulted task's stack is an excerpt by design, of a fixed length.
fn is_whole(segment: &Value, reason: &str) -> bool {
    // The kernel keeps more when it describes its own failure (lib/crashlog-supervisor/src/failure.rs).
    let most = if reason == "kernel" { 512 } else { 256 };
    let (length, original) = (&segment["length"], &segment["original_length"]);
    if segment["excerpt"] == true {
        length.as_u64() == original.as_u64().map(|original| original.min(most))
    } else {
        length == original
    }
}

/// Whether it is a state of the card's status register (0 to 10), no answer (0xfe), or not asked (0xff).
fn is_card_state(code: u64) -> bool {
    code <= 10 || code == 0xfe || code == 0xff
}

#[cfg(test)]
mod tests;
