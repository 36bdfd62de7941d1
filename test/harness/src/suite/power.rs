//! Power cuts: QEMU is killed at any moment, and the card must be sound then and after the next
//! boot.

use super::{Cases, Rig, Session};
use crate::build::DEMO;
use crate::machine::{Config, Machine};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Milliseconds from switching on to the cut: while the recorder starts, while it logs, and shortly
/// before and after the worker's fault at three seconds.
const MOMENTS: [u64; 12] = [
    20, 60, 100, 150, 250, 600, 1_500, 2_900, 3_050, 3_150, 3_300, 4_000,
];

/// REQ: X5: after a power cut everything that was durable is there, nothing else is, and logging
/// goes on.
pub fn trials(session: &Arc<Session>, all: bool) -> Vec<Trial> {
    let mut trials: Vec<_> = MOMENTS
        .into_iter()
        .map(|moment| {
            session.trial(format!("power::cut-after-{moment}-ms"), DEMO, move |rig| {
                cut(rig, moment)
            })
        })
        .collect();
    if all {
        trials.push(
            session.trial("power::a-hundred-cuts-on-one-card", DEMO, |rig| {
                many(rig, 100)
            }),
        );
    } else {
        trials.push(session.trial("power::ten-cuts-on-one-card", DEMO, |rig| many(rig, 10)));
    }
    trials
}

/// A text in which each line is different.
fn text() -> Vec<u8> {
    (0..4_000)
        .flat_map(|line| format!("line {line:05} of what another processor says\n").into_bytes())
        .collect()
}

/// Switches on, sends the text, and kills QEMU after that many milliseconds.
fn run_and_kill(rig: &Rig, card: &Path, moment: u64) -> Result<()> {
    let mut machine = Machine::start(
        &rig.qemu,
        &Config::new(&rig.image, Some(card)),
        &rig.artefacts,
    )?;
    let _sending = machine.uart1.send(text(), Some(40_000))?;
    machine.run()?;
    std::thread::sleep(Duration::from_millis(moment));
    machine.kill()
}

fn cut(rig: &Rig, moment: u64) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    run_and_kill(rig, &card, moment)?;
    rig.tool.verify(&card).context("after the cut")?;
    let (before, crashes) = (rig.tool.console(&card, 1)?, rig.tool.crashes(&card)?);
    let text = text();
    ensure!(
        is_part(&text, &before),
        "what is on the card was never sent"
    );

    // The next boot mounts the card and logs.
    let boots = boots(rig, &card)?;
    let mut machine = Machine::start(
        &rig.qemu,
        &Config::new(&rig.image, Some(&card)),
        &rig.artefacts,
    )?;
    let _sending = machine.uart1.send(text.clone(), Some(40_000))?;
    machine.run()?;
    machine.uart5.wait_for("crashlog: ready; boot", LIMIT)?;
    wait_for_boot(rig, &card, boots)?;
    machine.kill()?;
    rig.tool.verify(&card).context("after the next boot")?;
    ensure!(
        rig.tool.console(&card, 1)?.starts_with(&before),
        "log lines of the first boot are gone"
    );
    let after = rig.tool.crashes(&card)?;
    ensure!(
        crashes.iter().all(|old| after
            .iter()
            .any(|new| new["sequence"] == old["sequence"] && new["task"] == old["task"])),
        "a crash is gone"
    );
    Ok(Cases::one())
}

/// Many boots on one card, each of which is cut.
fn many(rig: &Rig, cuts: u64) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut durable = Vec::new();
    for cut in 0..cuts {
        // Different moments in the first five seconds, most of them early.
        let moment = 15 + cut * cut * 7919 % 1_900 + if cut % 7 == 0 { 2_600 } else { 0 };
        run_and_kill(rig, &card, moment)?;
        rig.tool
            .verify(&card)
            .with_context(|| format!("after cut {cut}, {moment} ms after switching on"))?;
        let now = rig
            .tool
            .bytes(["log".as_ref(), "--json".as_ref(), card.as_os_str()])?;
        ensure!(
            now.starts_with(&durable),
            "after cut {cut} at {moment} ms, log records that were durable are missing or changed"
        );
        durable = now;
    }
    ensure!(!durable.is_empty(), "nothing was ever logged");
    Ok(Cases {
        passed: cuts as usize,
        failed: Vec::new(),
    })
}

/// The newest boot with log records on the card; 0 if there is none.
fn boots(rig: &Rig, card: &Path) -> Result<u64> {
    let value = rig
        .tool
        .json(["verify".as_ref(), "--json".as_ref(), card.as_os_str()])?;
    let boots = value["boots"]
        .as_object()
        .context("`verify --json` has no boots")?;
    Ok(boots
        .keys()
        .filter_map(|boot| boot.parse().ok())
        .max()
        .unwrap_or(0))
}

/// Waits until a newer boot than `before` has log records on the card.
fn wait_for_boot(rig: &Rig, card: &Path, before: u64) -> Result<()> {
    let deadline = std::time::Instant::now() + LIMIT;
    while boots(rig, card)? <= before {
        ensure!(
            std::time::Instant::now() < deadline,
            "the next boot logged nothing within {LIMIT:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Whether `part` was sent. What was sent before the console task read the UART may be missing.
fn is_part(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
