//! `./x dump`: its files are read by a reader that shares no code with the writer.

mod card;
mod content;
mod deferred;
pub(super) mod gdb;
mod registry;
mod scene;
mod states;
mod tasks;
mod verb;

use super::proof::archive;
use super::{Cases, Rig, Session, scripts};
use crate::build::DEMO;
use crate::core_dump::CoreDump;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use verb::{LIMIT, dump, offer};

/// REQ: C6, D3 (in part): the dump of a machine has what Humility needs, equal to what the machine
/// has.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let mut trials = vec![
        session.trial("dump::read-back", DEMO, read_back),
        session.trial("dump::of-another-image", DEMO, of_another_image),
    ];
    trials.push(gdb::trial(session));
    trials.push(deferred::trial(session));
    trials.push(card::trial(session));
    trials.push(registry::trial(session));
    trials.extend(states::trials(session));
    trials
}

fn read_back(rig: &Rig) -> Result<Cases> {
    let socket = rig.artefacts.path("qmp-of-dump");
    let mut machine = start(rig, &socket)?;
    // A running machine must run afterwards.
    let first = rig.artefacts.path("running.core");
    dump(&socket, &rig.image.archive, &first)?;
    let status = machine
        .qmp
        .execute("query-status", serde_json::Value::Null)?;
    ensure!(
        status["running"] == true,
        "the machine does not run after a dump"
    );
    let ticks = content::check(&CoreDump::read(&first)?, &rig.image)?;
    ensure!(ticks > 0, "no time has passed");

    // A machine that is stopped in a program must stay stopped, and can be compared with its dump.
    let symbols = Symbols::read(&rig.image)?;
    let core = loop {
        machine.stop()?;
        let core = registers(&mut machine)?;
        if symbols.at(core[&15]).1 != "?" {
            break core;
        }
        machine.run()?;
    };
    let second = rig.artefacts.path("stopped.core");
    dump(&socket, &rig.image.archive, &second)?;
    let status = machine
        .qmp
        .execute("query-status", serde_json::Value::Null)?;
    ensure!(
        status["running"] == false,
        "a stopped machine runs after a dump"
    );
    let found = CoreDump::read(&second)?;
    content::check(&found, &rig.image)?;
    for (number, value) in core {
        ensure!(
            found.registers.get(&number) == Some(&value),
            "register {number} is {value:#x} in the machine and {:x?} in the dump",
            found.registers.get(&number)
        );
    }
    for (address, bytes) in &found.segments {
        let there = machine.memory(*address, bytes.len() as u32)?;
        ensure!(
            there == *bytes,
            "the segment at {address:#x} is not what the machine has there"
        );
    }
    machine.kill()?;
    scripts::ring::check(&second)?;
    Ok(Cases::one())
}

/// The archive of another image is refused, with a message that says so.
fn of_another_image(rig: &Rig) -> Result<Cases> {
    let socket = rig.artefacts.path("qmp-of-dump");
    let mut machine = start(rig, &socket)?;
    let other = rig.artefacts.path("other.core");
    let symbols = Symbols::read(&rig.image)?;
    let (address, length) = content::place(&symbols, "HUBRIS_IMAGE_ID")?;
    let id = machine.memory(address, length)?;
    let archive = rig.artefacts.path("other.zip");
    archive::change_image(&rig.image.archive, &id, &archive)?;
    let said = match dump(&socket, &archive, &other) {
        Ok(()) => bail!("a dump was made of a machine with another image"),
        Err(said) => said.to_string(),
    };
    ensure!(
        said.contains("another image"),
        "the message does not say why: {said}"
    );
    ensure!(!other.exists(), "a refused dump has left a file");
    machine.kill()?;
    Ok(Cases::one())
}

fn start(rig: &Rig, socket: &Path) -> Result<Machine> {
    let mut config = Config::new(&rig.image, None);
    config.extra = offer(socket);
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("there is no card", LIMIT)?;
    Ok(machine)
}

/// r0 to r15 of the machine, as QEMU's monitor shows them.
fn registers(machine: &mut Machine) -> Result<BTreeMap<u32, u32>> {
    let arguments = json!({ "command-line": "info registers", "cpu-index": 0 });
    let text = machine.qmp.execute("human-monitor-command", arguments)?;
    let text = text.as_str().context("no text")?;
    let mut found = BTreeMap::new();
    for (name, value) in text
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        if let Some(number) = name.strip_prefix('R').and_then(|rest| rest.parse().ok()) {
            found.insert(number, u32::from_str_radix(value, 16)?);
        }
    }
    ensure!(
        found.len() == 16,
        "the monitor shows {} registers",
        found.len()
    );
    Ok(found)
}
