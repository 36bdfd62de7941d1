//! Properties of the built image that are checked without running it.

pub mod archive;
mod damage;
mod damages;
mod elsewhere;
mod place;
mod verb;

use super::{Cases, Session};
use crate::build::{DEMO, Image, SD_APP};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use object::{Object, ObjectSymbol};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use verb::{check_archive, xtask};

/// Each application that a test runs: the name of the test, and the application.
const APPS: [(&str, &str); 13] = [
    ("archive-of-the-demo", DEMO),
    ("archive-of-the-kernel-suite", "test/apps/kernel/app.toml"),
    (
        "archive-of-the-recorder-suite",
        "test/apps/recorder/app.toml",
    ),
    ("archive-of-the-model", "test/apps/model/app.toml"),
    ("archive-of-foreign-tasks", "test/apps/foreign/app.toml"),
    ("archive-of-the-saboteur", "test/apps/saboteur/app.toml"),
    (
        "archive-of-the-saboteur-without-clock",
        "test/apps/saboteur/clock-off.toml",
    ),
    (
        "archive-of-the-saboteur-without-power",
        "test/apps/saboteur/power-off.toml",
    ),
    ("archive-of-crash-loops", "test/apps/loop/app.toml"),
    ("archive-of-the-self-test", "test/apps/self-test/app.toml"),
    ("archive-of-an-SD-card", SD_APP),
    ("archive-of-leases", "test/apps/hiffy/app.toml"),
    ("archive-of-the-example", EXAMPLE),
];

const EXAMPLE: &str = "app/example/app.toml";

/// One test for each check and application.
pub fn trials(session: &Arc<Session>, all: bool) -> Vec<Trial> {
    let mut trials = vec![
        // REQ: M1, M5: the emergency path calls nothing of the normal path, has no panic, no
        // recursion, no interrupt control and no receive.
        trial(session, "proof::emergency-path", DEMO, |_| {
            Ok(one(xtask(&["check-emergency".as_ref(), DEMO.as_ref()])?))
        }),
        trial(session, "proof::traces", DEMO, |image| {
            traces(&image.archive).map(|()| Cases::one())
        }),
        trial(session, "proof::traces-of-the-example", EXAMPLE, |image| {
            traces(&image.archive).map(|()| Cases::one())
        }),
        trial(session, "proof::damaged-archives", DEMO, |image| {
            damage::run(&image.archive)
        }),
        trial(session, "proof::no-place-in-the-archive", DEMO, |image| {
            place::names_no_place(&image.archive)
        }),
        trial(
            session,
            "proof::no-place-in-the-example",
            EXAMPLE,
            |image| place::names_no_place(&image.archive),
        ),
    ];
    if all {
        trials.push(trial(
            session,
            "proof::same-archive-elsewhere",
            DEMO,
            |_| elsewhere::same_archive(),
        ));
    }
    // REQ: C6
    for (name, app) in APPS {
        trials.push(trial(session, &format!("proof::{name}"), app, |image| {
            check_archive(&image.archive).map(one)
        }));
    }
    trials
}

/// A test of an image. While it runs, no other test builds anything.
fn trial(
    session: &Arc<Session>,
    name: &str,
    app: &'static str,
    run: impl FnOnce(&Image) -> Result<Cases> + Send + 'static,
) -> Trial {
    let session = session.clone();
    Trial::test(name, move || {
        let outcome = session.with_image(app, run);
        session.count(outcome)
    })
}

/// Checks that each task but `idle` has a ring buffer that counts its entries.
fn traces(archive: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| archive.display().to_string())?;
    let mut zip = zip::ZipArchive::new(file)?;
    for index in 0..zip.len() {
        let mut member = zip.by_index(index)?;
        let path = member.name()?.into_owned();
        let Some(task) = path.strip_prefix("elf/task/") else {
            continue;
        };
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        let file = object::File::parse(&*bytes)?;
        let has_trace = file.symbols().any(|symbol| {
            let name = symbol.name().unwrap_or_default();
            let name = format!("{:#}", rustc_demangle::demangle(name));
            symbol.size() > 0 && name.ends_with("::__RINGBUF")
        });
        // Only the name of the type tells whether the ring buffer counts.
        let counts = bytes.windows(15).any(|window| window == b"CountedRingbuf<");
        ensure!(
            (has_trace && counts) != (task == "idle"),
            "{task}: trace {has_trace}, counted {counts}"
        );
    }
    Ok(())
}

fn one(outcome: Result<(), String>) -> Cases {
    match outcome {
        Ok(()) => Cases::one(),
        Err(said) => Cases {
            passed: 0,
            failed: vec![said],
        },
    }
}
