//! Dumps in gdb, an independent reader.

use super::content;
use super::scene::DumpScene;
use crate::build::{DEMO, cargo};
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

pub(super) fn trial(session: &Arc<Session>) -> Trial {
    with_gdb(session.trial("dump::in-gdb", DEMO, in_gdb))
}

/// The test; if there is no gdb it is listed as ignored, with the reason.
pub(in crate::suite) fn with_gdb(trial: Trial) -> Trial {
    let version = Command::new("gdb-multiarch").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        trial
    } else {
        trial
            .with_kind("needs gdb-multiarch")
            .with_ignored_flag(true)
    }
}

/// What gdb prints about a dump, by `./x gdb`: after each of these commands.
pub(in crate::suite) fn ask(dump: &Path, commands: &str) -> Result<String> {
    let mut gdb = cargo()
        .args(["xtask", "gdb"])
        .arg(dump)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run cargo")?;
    let input = format!("set pagination off\nset width 0\n{commands}\nquit\n");
    gdb.stdin
        .take()
        .context("no standard input")?
        .write_all(input.as_bytes())?;
    let output = gdb.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// REQ: D3 (in part): gdb shows each task as a thread, with a backtrace that reaches its entry.
fn in_gdb(rig: &Rig) -> Result<Cases> {
    let scene = DumpScene::at_rest(rig, "ready")?;
    let names = content::names(&scene.dump("gdb.core")?.archive)?;
    let said = ask(&scene.path("gdb.core"), "thread apply all bt")?;
    let threads: Vec<&str> = said.split("\nThread ").skip(1).collect();
    ensure!(
        threads.len() == names.len(),
        "gdb does not show all tasks: {said}"
    );
    for (index, task) in names.iter().enumerate() {
        let head = format!("(LWP {})", index + 1);
        let is_it = |thread: &&&str| thread.lines().next().is_some_and(|it| it.contains(&head));
        let calls = threads.iter().find(is_it);
        let calls = calls.with_context(|| format!("no thread of {task} in: {said}"))?;
        let entry = format!(" task_{task}::main ()");
        ensure!(
            calls.contains(&entry),
            "the backtrace of {task} does not reach `{entry}`: {calls}"
        );
    }
    scene.machine.kill()?;
    Ok(Cases::one())
}
