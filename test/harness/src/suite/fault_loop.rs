//! Tasks that fail again and again in the same way are held in the end.

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
/// Long enough for many more failures if the tasks were not held.
const WATCHED: Duration = Duration::from_secs(2);

/// After this many resets, or restarts, a task is held at its next fault
/// (`test/apps/loop/app.toml`).
const RESETS: u64 = 3;
const RESTARTS: u64 = 5;

/// REQ: X6: repetitions are counted in the first crash, the tasks are held, and the system stays
/// up.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let app = "test/apps/loop/app.toml";
    vec![session.trial("fault-loop::tasks-are-held", app, tasks_are_held)]
}

fn tasks_are_held(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    wait_for(rig, &card, [("looper", RESETS), ("stumbler", RESTARTS)])?;
    let resets = count_resets(&mut machine);
    ensure!(
        resets == RESETS,
        "{resets} resets until both tasks were held, not {RESETS}"
    );
    std::thread::sleep(WATCHED);
    ensure!(
        count_resets(&mut machine) == 0,
        "the system was reset by a task that should be held"
    );
    machine.quit()?;
    rig.tool.verify(&card)?;
    // After it was held for the first time, the stumbler fails once in each boot, and is held at
    // once.
    let stumbled = repeats(rig, &card, "stumbler")?.unwrap_or(0);
    ensure!(
        repeats(rig, &card, "looper")? == Some(RESETS)
            && (RESTARTS..=RESTARTS + RESETS).contains(&stumbled),
        "more failures: {:#?}",
        rig.tool.crashes(&card)?
    );
    let crashes = rig.tool.crashes(&card)?;
    ensure!(crashes.len() == 2, "two faults, but {crashes:#?}");
    ensure!(
        crashes.iter().all(|crash| crash["boot"] == 1),
        "the first failures are not kept: {crashes:#?}"
    );
    Ok(Cases::one())
}

/// Resets by the guest since the last call.
fn count_resets(machine: &mut Machine) -> u64 {
    let events = machine.qmp.events();
    events.iter().filter(|event| *event == "RESET").count() as u64
}

/// Waits until the crashes of these tasks have been repeated that many times.
fn wait_for(rig: &Rig, card: &Path, wanted: [(&str, u64); 2]) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut all = true;
        for (task, count) in wanted {
            all &= repeats(rig, card, task)? >= Some(count);
        }
        if all {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "after {LIMIT:?} the crashes are these: {:#?}",
            rig.tool.crashes(card)?
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How often the crash of a task was repeated; `None` if there is none.
fn repeats(rig: &Rig, card: &Path, task: &str) -> Result<Option<u64>> {
    let crashes: Vec<Value> = rig.tool.crashes(card)?;
    crashes
        .iter()
        .find(|crash| crash["task"] == task)
        .map(|crash| crash["repeats"].as_u64().context("no number of repeats"))
        .transpose()
}
