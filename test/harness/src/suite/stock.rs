//! The portable crates in a workspace that has the shape of a stock Hubris tree.
//!
//! `test/stock` is that workspace without them. The two are put together in `target/stock`, which
//! is what doc/porting.md tells a person to do who takes the recorder into a Hubris tree. Which
//! folders are copied is what the manifests say of themselves (`build_parts`).

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine};
use crate::paths;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// As deep in the repository as `test/stock`, whose crates find ours by relative paths.
const TREE: &str = "target/stock";

pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    const NAME: &str = "app::stock";
    let trial = match lay_out() {
        Ok(()) => session.trial(NAME, "target/stock/app.toml", recorder),
        Err(cause) => Trial::test(NAME, move || Err(format!("{cause:#}").into())),
    };
    vec![trial]
}

/// REQ: C5, X16 (in part: a stock Hubris tree). Unmodified, and against libraries that have nothing
/// but what the interface specification names, they build, the recorder finds its card, and a crash
/// has registers and stack, found in the memory that the kernel gives out.
fn recorder(rig: &Rig) -> Result<Cases> {
    check_patch()?;
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let said = machine.uart5.next_line(LIMIT);
    let ready = "crashlog: ready; boot 1, no crash on the card";
    ensure!(
        said.as_deref().is_some_and(|line| line.starts_with(ready)),
        "it said {said:?} instead of `{ready}`"
    );
    machine
        .uart5
        .wait_for("crashlog: ready; boot 2, 1 crash", LIMIT)?;
    machine.quit()?;
    let archive = rig.image.archive.to_string_lossy();
    let path = card.to_string_lossy();
    let crash = rig
        .tool
        .json(["show", "--json", "--archive", &archive, &path])?;
    let chain = &crash["chain"];
    for (at, function) in [(0, "task_worker::deliver"), (1, "main")] {
        ensure!(
            chain[at].to_string().contains(function),
            "the calls are {chain:#}, and number {at} is not of {function}"
        );
    }
    ensure!(
        crash["registers"]["r4"].is_u64() && crash["registers"]["psr"].is_u64(),
        "registers are not known: {}",
        crash["registers"]
    );
    Ok(Cases::one())
}

/// Each line that doc/jefe.patch.md adds is in the supervisor that runs here.
fn check_patch() -> Result<()> {
    let root = paths::root();
    let patch = fs::read_to_string(root.join("doc/jefe.patch.md"))?;
    let mut supervisor = String::new();
    for file in files(&root.join("test/stock/task/jefe"))? {
        supervisor += &fs::read_to_string(file)?;
    }
    let mut added = patch.lines().filter_map(|line| line.strip_prefix('+'));
    ensure!(added.clone().count() > 10, "doc/jefe.patch.md adds nothing");
    let missing = added.find(|line| !supervisor.lines().any(|known| known == *line));
    ensure!(
        missing.is_none(),
        "doc/jefe.patch.md: {missing:?} is in no file of test/stock/task/jefe"
    );
    Ok(())
}

/// Makes [`TREE`]. A file that is there already, with the same content, is left alone: Cargo goes
/// by its time.
fn lay_out() -> Result<()> {
    let tree = paths::root().join(TREE);
    let mut wanted = BTreeSet::new();
    let frame = paths::root().join("test/stock");
    copy(&frame, &tree, &mut wanted)?;
    for path in build_parts::product(&build_parts::read(paths::root())?) {
        copy(&paths::root().join(&path), &tree.join(&path), &mut wanted)?;
    }
    for file in files(&tree)? {
        if !wanted.contains(&file) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// Copies a file, or all files of a folder.
fn copy(from: &Path, to: &Path, wanted: &mut BTreeSet<PathBuf>) -> Result<()> {
    for file in files(from)? {
        let inside = file.strip_prefix(from)?;
        let target = match inside.parent() {
            Some(_) => to.join(inside),
            // Empty, as `from` is the file itself: joined with that, `to` would end in `/`.
            None => to.to_owned(),
        };
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if fs::read(&target).ok().as_ref() != Some(&content) {
            let folder = target.parent().context("a file is in a folder")?;
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&target, content))
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
        wanted.insert(target);
    }
    Ok(())
}

/// The file itself, or all files in a folder and those below it.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
            open.push(entry.path());
        }
    }
    Ok(found)
}
