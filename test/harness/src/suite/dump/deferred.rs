//! The server's counts of calls whose replies are deferred.

use super::scene::DumpScene;
use crate::build::DEMO;
use crate::humility::system::DumpedSystem;
use crate::humility::traces;
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::sync::Arc;

/// REQ: C6 (in part): the recorder counts of a deferred call what its client gets.
pub(super) fn trial(session: &Arc<Session>) -> Trial {
    session.trial("dump::deferred-replies", DEMO, run)
}

fn run(rig: &Rig) -> Result<Cases> {
    // In the second boot the monitor asks for the newest crash.
    let scene = DumpScene::at_rest(rig, "1 crash on the card")?;
    let dump = scene.dump("core")?;
    let system = DumpedSystem::open(&dump)?;
    let counts = |task: &str, name: &str| -> Result<BTreeMap<String, u64>> {
        let program = system.tasks.iter().find(|it| it.name == task);
        let all = traces::counters(&system, program.context("no such task")?)?;
        let mut named = all.into_iter().filter(|(path, _)| path.ends_with(name));
        let (_, counts) = named
            .next()
            .with_context(|| format!("{task} has no {name}"))?;
        Ok(counts)
    };
    let served = counts("crashlog", "__CRASHLOG_SERVER_COUNTERS")?;
    let called = counts("monitor", "__CRASHLOG_CLIENT_COUNTERS")?;
    let [served_ok, called_ok] = [&served, &called].map(|it| it.get("crash_info.Ok").copied());
    ensure!(
        called_ok == Some(1) && served_ok == called_ok,
        "crash_info: the monitor counts {called_ok:?} successes, the recorder {served_ok:?}"
    );
    let pending = served
        .iter()
        .find(|(path, count)| path.ends_with("WentAway") && **count != 0);
    ensure!(
        pending.is_none(),
        "a reply is counted as missing: {pending:?}"
    );
    scene.machine.kill()?;
    Ok(Cases::one())
}
