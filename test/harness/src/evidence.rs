//! What a crash must have left on the card, and what it must not have touched.

use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
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
        match before {
            Some(before) => ensure!(
                listed["repeats"].as_u64()
                    == before["repeats"]
                        .as_u64()
                        .map(|repeats| repeats + crash.times),
                "counted from {} to {}",
                before["repeats"],
                listed["repeats"]
            ),
            None => {
                ensure!(
                    listed["repeats"].as_u64() == Some(crash.times - 1),
                    "new, but counted {}",
                    listed["repeats"]
                );
                ensure!(record["truncated"] != true, "something was cut");
                let late = !record["late"].is_null();
                match crash.late {
                    Late::No => ensure!(!late, "it was written late: {}", record["late"]),
                    Late::Yes => ensure!(late, "it was not written late"),
                    Late::Either => {}
                }
            }
        }
        let said = match (before, record["late"].is_null()) {
            (None, true) => record["log_records"].as_u64().unwrap_or(0),
            _ => 0,
        };
        let sequences = tool.sequences(card, boot)?;
        if let Some((at, wrong)) = (1..).zip(&sequences).find(|(at, found)| at != *found) {
            bail!("log of boot {boot}: record {wrong} stands where record {at} should");
        }
        let least = said.max(accepted.into());
        ensure!(
            sequences.len() as u64 >= least,
            "{least} log records were accepted before the crash in boot {boot}, {} are on the card",
            sequences.len()
        );
        Ok(record)
    }
}
