//! Checks of a card after crashes: what must be on it, and what must not have changed.

mod one;

pub use one::{Expected, Late, NOT_DESCRIBED};

use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use one::CrashEvidence;
use serde_json::Value;
use std::path::Path;

/// Crashes that the retention rule never removes (`keep-first` of the applications).
const KEPT: usize = 4;

/// What was on a card at one time.
#[derive(Clone)]
pub struct Evidence {
    /// Crashes, oldest first, as `list --json` has them.
    pub crashes: Vec<Value>,
    /// How many crashes the card can hold.
    slots: u64,
    /// Bytes of all pages of the log.
    log_bytes: u64,
    /// The log, as `log --json` has it.
    log: Vec<u8>,
}

impl Evidence {
    /// Reads a card, on which `crashlog verify` must find no error.
    pub fn take(tool: &Tool, card: &Path) -> Result<Self> {
        tool.verify(card)?;
        Self::read(tool, card)
    }

    /// The same of a card that need not be sound.
    pub fn read(tool: &Tool, card: &Path) -> Result<Self> {
        let list = tool.json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])?;
        Ok(Self {
            crashes: list["crashes"]
                .as_array()
                .cloned()
                .context("`list --json` has no crashes")?,
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
                .crashes
                .iter()
                .all(|crash| self.crashes.contains(crash))
    }

    /// How many pages the log has.
    pub fn pages(&self) -> u64 {
        self.log_bytes / 512
    }

    /// Reads the card after the `expected` crashes, which happened after `self` was taken, and
    /// checks:
    ///
    /// * `crashlog verify` finds no error;
    /// * each crash is on the card, whole, and no other one; a repetition is counted;
    /// * all log records that were accepted before the crash are there: `accepted`, or as many as
    ///   the crash itself states;
    /// * everything older is unchanged; only the retention rule may have removed a crash.
    ///
    /// Returns what was read, and the new or changed crashes in the order of `expected`.
    pub fn after(
        &self,
        tool: &Tool,
        card: &Path,
        expected: &[Expected<'_>],
        accepted: u32,
    ) -> Result<(Self, Vec<Value>)> {
        let now = Self::take(tool, card)?;
        let found = self.leads_to(&now, tool, card, expected, accepted)?;
        Ok((now, found))
    }

    /// [`Evidence::after`], with a card that was read already.
    pub fn leads_to(
        &self,
        now: &Self,
        tool: &Tool,
        card: &Path,
        expected: &[Expected<'_>],
        accepted: u32,
    ) -> Result<Vec<Value>> {
        ensure!(
            now.log.starts_with(&self.log),
            "log records that were durable before the crash have changed"
        );
        self.check_older(now)?;
        let mut new: Vec<&Value> = now
            .crashes
            .iter()
            .filter(|crash| !self.crashes.contains(crash))
            .collect();
        let mut found = Vec::new();
        for expected in expected {
            let at = new
                .iter()
                .position(|crash| {
                    crash["task"] == expected.task && crash["reason"] == expected.reason
                })
                .with_context(|| {
                    format!("there is no new crash of {expected:?}; new or changed are {new:#?}")
                })?;
            let listed = new.remove(at);
            let crash = self
                .check_record(tool, card, listed, expected, accepted)
                .with_context(|| format!("the crash of {expected:?}"))?;
            found.push(crash);
        }
        ensure!(
            new.is_empty(),
            "there are crashes that did not happen: {new:#?}"
        );
        Ok(found)
    }

    /// No older crash may be gone, except the oldest of those that are not always kept, and this
    /// only when all slots are used.
    fn check_older(&self, now: &Self) -> Result<()> {
        for (age, old) in self.crashes.iter().enumerate() {
            let still = now
                .crashes
                .iter()
                .find(|crash| crash["sequence"] == old["sequence"]);
            match still {
                Some(crash) => ensure!(
                    ["task", "boot", "reason", "time_ms", "fault"]
                        .iter()
                        .all(|key| crash[key] == old[key]),
                    "an older crash has changed from {old} to {crash}"
                ),
                None if age >= KEPT && now.crashes.len() as u64 + 1 >= self.slots => {}
                None => bail!("an older crash is gone: {old}"),
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
        expected: &Expected<'_>,
        accepted: u32,
    ) -> Result<Value> {
        let sequence = listed["sequence"].as_u64().context("no sequence")?;
        let boot = listed["last_boot"]
            .as_u64()
            .and_then(|boot| u32::try_from(boot).ok())
            .context("no boot")?;
        let before = self
            .crashes
            .iter()
            .find(|crash| crash["sequence"] == sequence);
        let crash = tool.crash(card, sequence)?;
        let sequences = tool.sequences(card, boot)?;
        CrashEvidence {
            before,
            listed,
            crash: &crash,
            sequences: &sequences,
        }
        .check(expected, accepted)
        .with_context(|| format!("in boot {boot}"))?;
        Ok(crash)
    }
}

#[cfg(test)]
mod tests;
