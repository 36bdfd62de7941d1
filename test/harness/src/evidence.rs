//! What a crash must have left on the card, and what it must not have touched.

use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// Records that are never pushed out (`keep-first` of the applications).
const KEPT: usize = 4;

/// What is on a card.
#[derive(Clone)]
pub struct Evidence {
    /// Crash records, oldest first, as `list --json` has them.
    pub records: Vec<Value>,
    /// How many records the card can hold.
    slots: u64,
    /// How many bytes of pages the log can hold.
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
    /// Was it written after the restart?
    pub late: Late,
    /// How often it happened since the evidence before was taken.
    pub times: u64,
}

/// Whether a record was written after the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It was there before the restart.
    No,
    /// It was not.
    Yes,
    /// That depends.
    Either,
}

impl<'a> Crash<'a> {
    /// A panic that was recorded before the restart.
    pub fn panic(task: &'a str) -> Self {
        Self {
            task,
            reason: "panic",
            late: Late::No,
            times: 1,
        }
    }

    /// A fault of one task that was restarted.
    pub fn oops(task: &'a str) -> Self {
        Self {
            task,
            reason: "oops",
            late: Late::No,
            times: 1,
        }
    }

    /// The same, but the record was written after the restart.
    pub fn late(self) -> Self {
        Self {
            late: Late::Yes,
            ..self
        }
    }

    /// The same, but so often.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// The same, whenever the record was written.
    pub fn whenever(self) -> Self {
        Self {
            late: Late::Either,
            ..self
        }
    }
}

impl Evidence {
    /// Takes it, from a card that must be sound.
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

    /// Is everything here that was there `before`?
    pub fn is_longer_than(&self, before: &Self) -> bool {
        self.log.starts_with(&before.log)
            && before
                .records
                .iter()
                .all(|record| self.records.contains(record))
    }

    /// How many pages the log can hold.
    pub fn pages(&self) -> u64 {
        self.log_bytes / 512
    }

    /// Takes the evidence after these crashes, which happened after `self` was taken, and holds it against them:
    ///
    /// * the card is sound;
    /// * of each crash there is a record, whole, and of nothing else; a crash that came before is counted in its record;
    /// * all log records that were accepted before the crash are there: `accepted`, or as many as the record says;
    /// * everything older is as it was; only the retention rule may have taken a record.
    ///
    /// Returns it with the new or changed records, in the order of the crashes.
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

    /// [`Evidence::after`], with what was taken already.
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
            "log records that were durable before the crash are not as they were"
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

    /// No record but the oldest behind those that are always kept may be gone, and only when there is no room.
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

    /// Checks one record and returns it as `show --json` has it.
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

/// What there is of one crash.
struct CrashEvidence<'a> {
    /// Its record as it was listed before, if it is a repetition.
    before: Option<&'a Value>,
    /// Its record as it is listed.
    listed: &'a Value,
    /// Its record as it is shown.
    record: &'a Value,
    /// Numbers of the log records of the same boot.
    sequences: &'a [u64],
}

impl CrashEvidence<'_> {
    /// Holds it against what has happened.
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
            bail!("log record {wrong} stands where {at} should");
        }
        let least = said.max(accepted.into());
        ensure!(
            self.sequences.len() as u64 >= least,
            "{least} log records were accepted before the crash, {} are on the card",
            self.sequences.len()
        );
        Ok(())
    }

    /// A record that was not there before: in time or late, and whole.
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

/// The record of a successful emergency says what was found, and what was done before the record itself was written.
fn check_emergency(said: &Value) -> Result<()> {
    /// Every number that it says.
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
        "the emergency came to the phase {} with {}",
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
        "nobody looked at controller and card: {said}"
    );
    ensure!(
        said["error"] == 0 || said["retries"] != 0 || !repairs.is_empty(),
        "an error, but nothing was done about it: {said}"
    );
    Ok(())
}

/// All of it, or as much as there should be of what is an excerpt by design, the faulted task's stack.
fn is_whole(segment: &Value, reason: &str) -> bool {
    // Of a failure of the kernel, which is described by the kernel, more is kept (lib/crashlog-supervisor/src/failure.rs).
    let most = if reason == "kernel" { 512 } else { 256 };
    let (length, original) = (&segment["length"], &segment["original_length"]);
    if segment["excerpt"] == true {
        length.as_u64() == original.as_u64().map(|original| original.min(most))
    } else {
        length == original
    }
}

/// A state of the card's status register, no answer, or not asked.
fn is_card_state(code: u64) -> bool {
    code <= 10 || code == 0xfe || code == 0xff
}

#[cfg(test)]
mod tests;
