//! The fuzz targets of `test/fuzz`: each runs for a minute, from the inputs in `test/fuzz/corpus`.

use super::{Cases, Session};
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The folder, relative to the root of the repository.
const FOLDER: &str = "test/fuzz";
/// Seconds that each target runs, if the variable is not set.
const SECONDS: u32 = 60;
/// The variable that sets them.
const VARIABLE: &str = "FUZZ_SECONDS";
/// Longest input in bytes.
const LENGTH: u32 = 16_384;
/// Longest time for one input in seconds: far above what the slowest takes on a busy machine.
const TIMEOUT: u32 = 120;

/// Every target is built once.
type Built = Arc<Mutex<Option<std::result::Result<(), String>>>>;

/// One test for each target.
pub fn trials(session: &Arc<Session>) -> Result<Vec<Trial>> {
    let built = Built::default();
    let mut names = targets()?;
    names.sort();
    Ok(names
        .into_iter()
        .map(|name| {
            let (session, built) = (session.clone(), built.clone());
            Trial::test(format!("fuzz::{name}"), move || {
                session.count(build(&built).and_then(|()| run(&name)))
            })
        })
        .collect())
}

/// Names of the files in `targets/`.
fn targets() -> Result<Vec<String>> {
    let folder = paths::root().join(FOLDER).join("targets");
    let entries = fs::read_dir(&folder).with_context(|| paths::shown(&folder))?;
    entries
        .map(|entry| {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            name.map(str::to_owned)
                .with_context(|| format!("{}: has no name of text", paths::shown(&path)))
        })
        .collect()
}

fn cargo_fuzz(verb: &str) -> Command {
    let mut command = crate::build::cargo();
    command
        .args(["fuzz", verb, "--fuzz-dir", FOLDER, "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(paths::target().join("fuzz"));
    command
}

fn build(built: &Built) -> Result<()> {
    let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_with(|| {
        let output = cargo_fuzz("build").stdin(Stdio::null()).output();
        match output {
            Err(error) => Err(format!("cannot run cargo: {error}")),
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    });
    if let Err(error) = built {
        bail!("`cargo fuzz build` failed:\n{error}");
    }
    Ok(())
}

/// Runs a target. New inputs go to the build directory, and those that fail stay there.
fn run(name: &str) -> Result<Cases> {
    let seconds = match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{VARIABLE}={text}: not a number of seconds"))?,
        Err(_) => SECONDS,
    };
    let work = paths::target().join("fuzz-inputs").join(name);
    fs::create_dir_all(work.join("new"))?;
    let known = paths::root().join(FOLDER).join("corpus").join(name);
    ensure!(
        known.is_dir(),
        "{}: there is no such folder; it has the inputs that the target begins with",
        paths::shown(&known)
    );
    let output = cargo_fuzz("run")
        .arg(name)
        .args([work.join("new"), known])
        .args(["--", "-close_fd_mask=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LENGTH}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-artifact_prefix={}/", work.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let done = text.lines().find_map(|line| {
        let count = line.strip_prefix("Done ")?.split(' ').next()?;
        count.parse::<u64>().ok()
    });
    match done {
        Some(count) if output.status.success() => {
            println!("fuzz::{name}: {count} executions");
            Ok(Cases {
                passed: 1,
                ..Cases::default()
            })
        }
        _ => bail!("{}", failure(name, &text, &work)),
    }
}

/// What has failed, and how to run it again.
fn failure(name: &str, text: &str, work: &Path) -> String {
    let input = text.lines().find_map(|line| {
        Some(
            line.split_once("Test unit written to ")?
                .1
                .trim()
                .to_owned(),
        )
    });
    let said: Vec<_> = text
        .lines()
        .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR"))
        .take(4)
        .collect();
    match input {
        Some(input) => format!(
            "{}\nthe input: {}; again: cargo fuzz run --fuzz-dir {FOLDER} --sanitizer none {name} {}",
            said.join("\n"),
            paths::shown(input.as_ref()),
            paths::shown(input.as_ref()),
        ),
        None => {
            let lines: Vec<_> = text.lines().rev().take(20).collect();
            let last: Vec<_> = lines.into_iter().rev().collect();
            format!("{}: {}", paths::shown(work), last.join("\n"))
        }
    }
}
