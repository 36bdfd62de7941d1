//! Hostile tasks do whatever a task can do, beside a client that logs at a steady pace.

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The quiet client's records, ten milliseconds apart, and with `--all`: half an hour.
const RECORDS: u32 = 1_500;
const ALL_RECORDS: u32 = 180_000;

/// Real time for a hundred records, which are a second of the machine's.
const LIMIT: Duration = Duration::from_secs(60);

/// The tasks that have to survive (`test/apps/hostile/app.toml`).
const SOUND: [&str; 4] = ["jefe", "crashlog", "dump_agent", "quiet"];
/// The tasks that attack them.
const HOSTILE: [&str; 3] = ["hostile", "other_hostile", "accomplice"];

/// REQ: X7 (in part: random attacks): neither system nor servers are restarted, the quiet client is
/// served, and all its records are on the card.
pub fn trials(session: &Arc<Session>, all: bool) -> Vec<Trial> {
    let records = if all { ALL_RECORDS } else { RECORDS };
    let app = "test/apps/hostile/app.toml";
    vec![session.trial("hostile::quiet-client", app, move |rig| {
        quiet_client(rig, records)
    })]
}

fn quiet_client(rig: &Rig, records: u32) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    for number in (1..).map(|line| line * 100) {
        let line = machine
            .uart5
            .next_line(LIMIT)
            .with_context(|| format!("the quiet client stopped before record {number}"))?;
        ensure!(
            line == format!("quiet: {number} records"),
            "the quiet client printed `{line}` in place of {number} records"
        );
        if number >= records {
            break;
        }
    }
    let events = machine.qmp.events();
    ensure!(
        !events.iter().any(|event| event == "RESET"),
        "the system was reset"
    );
    machine.quit()?;
    rig.tool.verify(&card)?;
    let crashes = rig.tool.crashes(&card)?;
    let failed = |task: &str| crashes.iter().any(|crash| crash["task"] == task);
    for task in SOUND {
        ensure!(!failed(task), "{task} has failed: {crashes:#?}");
    }
    for task in HOSTILE {
        ensure!(failed(task), "{task} has not failed once: {crashes:#?}");
    }
    ensure!(
        crashes.iter().all(|crash| crash["reason"] == "oops"),
        "a crash restarted the system: {crashes:#?}"
    );
    all_are_there(rig, &card, records)?;
    Ok(Cases::one())
}

/// The quiet client's records up to this one are there, each once, from the first on or, if the
/// ring of the log has come round, from the oldest on.
fn all_are_there(rig: &Rig, card: &Path, records: u32) -> Result<()> {
    let options = ["log", "--json", "--archive"].map(OsStr::new);
    let paths = [rig.image.archive.as_os_str(), card.as_os_str()];
    let log = rig.tool.text(options.into_iter().chain(paths))?;
    let mut next = None;
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).context("the host tool printed no JSON")?;
        // If the ring has not come round, the first one is there, too.
        if record["sequence"] == 1 {
            next = Some(0);
        }
        if record["task"] != "quiet" {
            continue;
        }
        let number = record["text"]
            .as_str()
            .and_then(|text| u32::from_str_radix(text.strip_prefix("quiet ")?, 16).ok())
            .with_context(|| format!("not a record of the quiet client: {line}"))?;
        ensure!(
            next.is_none_or(|next| next == number),
            "record {number} follows, not {next:?}"
        );
        ensure!(record["lost"] == 0, "it has lost records: {line}");
        next = Some(number + 1);
    }
    ensure!(
        next >= Some(records),
        "the last record is before {next:?}, not {records}"
    );
    Ok(())
}
