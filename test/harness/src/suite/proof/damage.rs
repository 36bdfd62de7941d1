//! Damages an archive in one place at a time, and checks that `check-archive` finds it.

use super::archive::Archive;
use super::damages::{DAMAGES, Damage};
use super::verb::check_archive;
use crate::suite::Cases;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Runs one case for each damage, up to four at a time.
pub fn run(archive: &Path) -> Result<Cases> {
    let whole = Archive::read(archive)?;
    let folder = tempfile::tempdir().context("no folder for archives")?;
    let (whole, folder) = (&whole, folder.path());
    let at_a_time = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    let mut cases = Cases::default();
    for some in DAMAGES.chunks(at_a_time) {
        let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|damage| scope.spawn(move || one(whole, folder, damage)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|outcome| outcome.unwrap_or_else(|_| bail!("a test panicked")))
                .collect()
        });
        for outcome in outcomes {
            match outcome {
                Ok(()) => cases.passed += 1,
                Err(cause) => cases.failed.push(format!("{cause:#}")),
            }
        }
    }
    Ok(cases)
}

fn one(whole: &Archive, folder: &Path, (name, damage, expected): &Damage) -> Result<()> {
    let mut damaged = whole.clone();
    damage(&mut damaged).with_context(|| format!("cannot damage the archive: {name}"))?;
    let path = folder.join(format!("{name}.zip"));
    damaged.write(&path)?;
    let outcome = check_archive(&path)?;
    let _ = std::fs::remove_file(&path);
    match outcome {
        Err(said) if said.contains(expected) => Ok(()),
        Err(said) => bail!("{name}: `{expected}` is not in: {said}"),
        Ok(()) => bail!("{name}: not found"),
    }
}
