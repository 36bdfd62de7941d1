//! Suites that run on the target and print their results on the first serial port.

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine, Time};
use crate::paths;
use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Real time for a whole suite.
const LIMIT: Duration = Duration::from_secs(300);

/// The suites; each is an application of its own.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![
        // Instructions are counted, so that the scheduling is the same on a busy host.
        session.trial("target::kernel", "test/apps/kernel/app.toml", |rig| {
            run(rig, false, Time::Counted).and_then(listed)
        }),
        session.trial("target::foreign", "test/apps/foreign/app.toml", |rig| {
            run(rig, false, Time::Host)
        }),
        session.trial("target::recorder", "test/apps/recorder/app.toml", |rig| {
            run(rig, true, Time::Host)
        }),
        session.trial(
            "mcimx6ul-evk::target::recorder",
            "test/apps/recorder/mcimx6ul-evk.toml",
            |rig| run(rig, true, Time::Host),
        ),
    ]
}

/// Runs a suite: lines `case NAME: ok`, `case NAME: FAILED: WHY`, and at the end
/// `finished: N cases`.
fn run(rig: &Rig, with_card: bool, time: Time) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    if with_card {
        rig.tool.format(&card)?;
    }
    let mut config = Config::new(&rig.image, with_card.then_some(card.as_path()));
    config.time = time;
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
            cases.failed.push(format!("the suite printed: {line}"));
        }
    }
    bail!(
        "the suite did not finish within {LIMIT:?}; {} cases passed, these failed: {:#?}",
        cases.passed,
        cases.failed
    )
}

/// Checks that the cases in the sources, those in the suite's README and those that ran are the
/// same.
fn listed(mut cases: Cases) -> Result<Cases> {
    let folder = paths::root().join("test/tasks/suite");
    let mut sources = BTreeSet::new();
    for file in fs::read_dir(folder.join("src")).context("cannot list the suite's sources")? {
        let path = file.context("cannot list the suite's sources")?.path();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sources.extend(names(&text, '"'));
    }
    let readme = folder.join("README.md");
    let text =
        fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let readme: BTreeSet<_> = names(&text, '`').collect();
    let differ = sources.symmetric_difference(&readme);
    cases.failed.extend(differ.map(|name| {
        format!("{name}: in one of test/tasks/suite/README.md and test/tasks/suite/src only")
    }));
    if sources.len() != cases.passed + cases.failed.len() {
        let ran = cases.passed + cases.failed.len();
        cases.failed.push(format!(
            "{ran} cases ran, and the sources have {}",
            sources.len()
        ));
    }
    Ok(cases)
}

/// Names of cases, `s2_4_...`, between two of these quotes.
fn names(text: &str, quote: char) -> impl Iterator<Item = String> {
    let words = text.split(quote).filter(|word| {
        let mut chars = word.chars();
        chars.next() == Some('s')
            && chars.next().is_some_and(|c| c.is_ascii_digit())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    words.map(str::to_owned)
}
