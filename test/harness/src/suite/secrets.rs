//! Secrets: what tasks declare as such is on the card in no crash.

use super::matrix::scene::Scene;
use super::{Cases, Rig, Session};
use crate::sabotage::{APP, Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The secret of `tasks/assist`, and what it is blanked to.
const SECRET: &[u8] = b"KEY!KEY!KEY!KEY!";
const BLANK: &[u8] = b"****************";

/// The system call PANIC, and the operation of an assist that makes any.
const PANIC: u32 = 8;
const SYSTEM_CALL: u32 = 4;

/// The function of the kernel that handles interrupts, and `udf #0` in Thumb, its instruction set.
const INTERRUPT: &str = "kern::arch::arm_a::entry::interrupt";
const UNDEFINED: [u8; 2] = [0x00, 0xde];

pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![session.trial("secrets::card", APP, card)]
}

/// An oops and a panic whose message is the secret, and a failure of the kernel. All memory of the
/// tasks that have the secret is saved with them.
fn card(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    scene.begin()?;
    for (fatal, program) in [(false, "victim"), (true, "fatal")] {
        let place = scene
            .system
            .symbols
            .variable(program, "test_assist::SECRET")?;
        let [(address, 16)] = place[..] else {
            anyhow::bail!("the secret of {program} is at {place:x?}");
        };
        let memory = scene.system.debugger.memory(address, 16)?;
        ensure!(
            memory == SECRET,
            "{program} has another secret: {memory:x?}"
        );
        let how = Failing(SYSTEM_CALL, [PANIC, address, 16]);
        scene
            .system
            .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
        if fatal {
            scene.boot()?;
        } else {
            scene.system.go_to(Stop::Done)?;
            scene.system.go_to(Stop::Ready)?;
        }
    }
    // The reset loads the image again.
    let at = scene.system.symbols.address("kernel", INTERRUPT)?;
    scene.system.debugger.set_memory(at & !1, &UNDEFINED)?;
    scene.system.work(Work::Sleep(1_000), 0, Deed::Nothing)?;
    scene.boot().context("after the failure of the kernel")?;

    let crashes = rig.tool.crashes(&scene.card)?;
    ensure!(
        crashes.len() == 3,
        "there are not three crashes: {crashes:#?}"
    );
    rig.tool.verify(&scene.card)?;
    let [secrets, blanks] = [SECRET, BLANK].map(|what| count(&scene.card, what));
    let (secrets, blanks) = (secrets?, blanks?);
    ensure!(secrets == 0, "the secret is on the card {secrets} times");
    ensure!(
        blanks >= 7,
        "the secret is blanked {blanks} times, fewer than it was saved"
    );
    Ok(Cases::one())
}

/// How often `what` is in the file.
fn count(file: &Path, what: &[u8]) -> Result<usize> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes
        .windows(what.len())
        .filter(|part| *part == what)
        .count())
}
