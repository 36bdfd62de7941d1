//! Secrets: what tasks declare as such is on the card in no crash, and in no dump or report of one.

use super::matrix::scene::Scene;
use super::{Cases, Rig, Session};
use crate::core_dump::CoreDump;
use crate::sabotage::{APP, Deed, Failing, Stop, Work};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read};
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
    for crash in &crashes {
        read_out(rig, &scene.card, crash)?;
    }
    Ok(Cases::one())
}

/// The secret is neither in the report of a crash nor in its dump: not in its memory, and not as
/// the value with which it begins in flash and in the programs of the archive inside.
fn read_out(rig: &Rig, card: &Path, crash: &Value) -> Result<()> {
    let number = crash["sequence"].to_string();
    let [report, core] = ["report", "dump"].map(|what| rig.artefacts.path(what));
    for (command, output) in [("report", &report), ("dump", &core)] {
        let words = [command, "--force", "--archive"]
            .map(OsStr::new)
            .into_iter();
        let files = [
            rig.image.archive.as_os_str(),
            "-o".as_ref(),
            output.as_os_str(),
        ];
        let what = [card.as_os_str(), number.as_ref()];
        rig.tool.bytes(words.chain(files).chain(what))?;
    }
    let text = fs::read(&report)?;
    ensure!(
        within(&text, SECRET) == 0,
        "the report {number} has the secret"
    );
    let mut blanks = within(&text, BLANK);
    let core = CoreDump::read(&core)?;
    let mut archive = zip::ZipArchive::new(Cursor::new(&core.archive))?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let name = member.name()?.into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        ensure!(
            within(&bytes, SECRET) == 0,
            "the {name} of the archive in the dump {number} has the secret"
        );
    }
    for (address, bytes) in core.segments {
        ensure!(
            within(&bytes, SECRET) == 0,
            "the dump {number} has the secret, in the memory from {address:#x} on"
        );
        blanks += within(&bytes, BLANK);
    }
    ensure!(blanks > 0, "crash {number} has no secret that was blanked");
    Ok(())
}

/// How often `what` is in the file.
fn count(file: &Path, what: &[u8]) -> Result<usize> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(within(&bytes, what))
}

/// How often `what` is in the bytes.
fn within(bytes: &[u8], what: &[u8]) -> usize {
    let parts = bytes.windows(what.len());
    parts.filter(|part| *part == what).count()
}
