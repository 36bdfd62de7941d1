//! The supervisor's registry of regions, as `humility readvar CRASH_REGIONS` shows it in a dump.

use super::scene::DumpScene;
use crate::build::DEMO;
use crate::humility::system::DumpedSystem;
use crate::humility::value::Value;
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use std::sync::Arc;

pub(super) fn trial(session: &Arc<Session>) -> Trial {
    session.trial("dump::registry", DEMO, registry)
}

/// REQ: D4: what the worker has registered when it was built, and the sensor at run time.
fn registry(rig: &Rig) -> Result<Cases> {
    let scene = DumpScene::at_rest(rig, "crashlog: ready")?;
    let dump = scene.dump("registry.core")?;
    let system = DumpedSystem::open(&dump)?;
    let index = |name: &str| system.tasks.iter().position(|task| task.name == name);
    let supervisor = &system.tasks[index("jefe").context("no supervisor")?];
    let variable = supervisor.debug.variable("CRASH_REGIONS");
    let variable = variable.context("the supervisor has no CRASH_REGIONS")?;
    let value = system.value(supervisor, variable)?;
    let Value::Array(slots) = value.member("cell")?.member("value")?.member("slots")? else {
        bail!("CRASH_REGIONS is no array: {value:?}");
    };
    let mut found = Vec::new();
    for slot in slots {
        if let Some(region) = slot.option()? {
            let origin = region.member("origin")?.variant_of()?.0.to_string();
            let owner = region.member("owner")?.number()? as usize;
            let length = region.member("length")?.number()?;
            found.push((name(region.member("name")?)?, owner, origin, length));
        }
    }
    let expected = [
        ("progress", "worker", "Build", 8),
        ("board", "sensor", "Run", 0),
    ];
    for (name, owner, origin, length) in expected {
        let region = found.iter().find(|region| region.0 == name);
        let region = region.with_context(|| format!("no region {name} in {found:?}"))?;
        ensure!(
            Some(region.1) == index(owner)
                && region.2 == origin
                && (length == 0 || region.3 == length),
            "the region is another: {region:?}"
        );
    }
    ensure!(found.len() == 2, "more regions than expected: {found:?}");
    Ok(Cases::one())
}

/// The text of an array of bytes, padded with zeros.
fn name(value: &Value) -> Result<String> {
    let Value::Array(bytes) = value else {
        bail!("a name is no array: {value:?}");
    };
    let bytes: Vec<u64> = bytes.iter().map(Value::number).collect::<Result<_>>()?;
    let text = bytes.iter().take_while(|byte| **byte != 0);
    Ok(text.map(|byte| char::from(*byte as u8)).collect())
}
