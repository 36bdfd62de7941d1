//! Suites that run on the target and print their results on the first serial port.

use super::{Bench, Cases, Rig};
use crate::machine::{Config, Machine};
use anyhow::{Result, bail};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Real time for a whole suite.
const LIMIT: Duration = Duration::from_secs(300);

/// The suites; each is an application of its own.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        bench.trial("target::kernel", "test/kernel/app.toml", |rig| {
            run(rig, false)
        }),
        bench.trial("target::foreign", "test/foreign/app.toml", |rig| {
            run(rig, false)
        }),
        bench.trial("target::recorder", "test/recorder/app.toml", |rig| {
            run(rig, true)
        }),
    ]
}

/// Runs a suite: lines `case NAME: ok`, `case NAME: FAILED: WHY`, and at the end `finished: N cases`.
fn run(rig: &Rig, with_card: bool) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    if with_card {
        rig.tool.format(&card)?;
    }
    let config = Config::new(&rig.image.elf, with_card.then_some(card.as_path()));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let deadline = Instant::now() + LIMIT;
    let mut cases = Cases::default();
    while let Some(line) = machine
        .uart5
        .next_line(deadline.saturating_duration_since(Instant::now()))
    {
        if let Some(result) = line.strip_prefix("case ") {
            if result.ends_with(": ok") {
                cases.passed += 1;
            } else {
                cases.failed.push(result.to_owned());
            }
        } else if let Some(count) = line.strip_prefix("finished: ") {
            let ran = cases.passed + cases.failed.len();
            if count != format!("{ran} cases") {
                bail!("the suite finished {count}, but {ran} results were seen");
            }
            machine.quit()?;
            return Ok(cases);
        } else {
            cases.failed.push(format!("the suite said: {line}"));
        }
    }
    bail!(
        "the suite did not finish within {LIMIT:?}; {} cases passed, these failed: {:#?}",
        cases.passed,
        cases.failed
    )
}
