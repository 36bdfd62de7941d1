//! The same crash many times: it is counted and not stored again, older crashes stay, and the
//! blocks that are written are bounded.

use super::{Cases, Rig, Session};
use crate::evidence::{Evidence, Expected};
use crate::sabotage::{APP, Deed, Failing, RecorderState, Stop, System, Work};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

/// Different crashes before the loop: as many as are always kept.
const FIRST: u32 = 4;
/// Blocks that a cycle may write: in the emergency one page of log tail and at most two copies of
/// the ledger; in the boot one page for what is logged, one when the recorder starts, and one each
/// for what the client appends and flushes.
const BLOCKS: u64 = 8;
/// Blocks of a crash slot.
const SLOT: u64 = 512;

/// REQ: X6, K5: after N crashes by the same fault the count is right, the first crashes are
/// unchanged, each record that was reported as written is read back whole, and the blocks written
/// in a cycle are bounded.
pub fn trials(session: &Arc<Session>, all: bool) -> Vec<Trial> {
    let cycles = if all { 1_000 } else { 50 };
    vec![
        session.trial(format!("crash-loop::{cycles}-panics"), APP, move |rig| {
            panics(rig, cycles)
        }),
        session.trial(
            format!("crash-loop::{}-oopses", cycles / 10),
            APP,
            move |rig| oopses(rig, cycles / 10),
        ),
    ]
}

/// A card with the first crashes, and a system that is ready.
fn begin(rig: &Rig, card: &Path) -> Result<(System, Evidence)> {
    rig.tool.format(card)?;
    let mut system = System::start(&rig.qemu, &rig.image, Some(card), &rig.artefacts)?;
    system.boot()?;
    let mut evidence = Evidence::take(&rig.tool, card)?;
    for crash in 0..FIRST {
        system.work(Work::Sleep(100), 100_000, Deed::Jump(0x100 + 4 * crash))?;
        system.go_to(Stop::Struck)?;
        let accepted = system.seen()?.accepted;
        system.boot()?;
        (evidence, _) =
            evidence.after(&rig.tool, card, &[Expected::panic("saboteur")], accepted)?;
    }
    system
        .machine
        .qmp
        .human("trace-event sdcard_write_block on")?;
    Ok((system, evidence))
}

fn panics(rig: &Rig, cycles: u32) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    let (mut system, mut evidence) = begin(rig, &card)?;
    let mut writes = Writes::open(&rig.artefacts.path("qemu.log"))?;
    let mut most = 0;
    for cycle in 1..=cycles {
        let (fatal, how) = (true, Failing::STORE);
        system.work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
        let seen = system.boot()?;
        ensure!(
            seen.state == RecorderState::Ready && seen.durable >= 1 && seen.error == 0,
            "after crash {cycle} logging does not go on: {seen:?}"
        );
        let expected = [Expected::panic("fatal")];
        (evidence, _) = evidence
            .after(&rig.tool, &card, &expected, 1)
            .with_context(|| format!("after crash {cycle}"))?;
        let written = writes.since_last()?;
        if cycle == 1 {
            // The crash itself, with the memory of the system.
            ensure!(
                written <= SLOT + BLOCKS,
                "the first crash wrote {written} blocks; {} are allowed",
                SLOT + BLOCKS
            );
        } else {
            most = most.max(written);
        }
    }
    ensure!(most > 0, "no write was counted");
    ensure!(
        most <= BLOCKS,
        "a cycle wrote {most} blocks; {BLOCKS} are allowed"
    );
    finish(&evidence, cycles, "fatal")
}

fn oopses(rig: &Rig, cycles: u32) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    let (mut system, mut evidence) = begin(rig, &card)?;
    for cycle in 1..=cycles {
        let (fatal, how) = (false, Failing::STORE);
        system.work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
        system
            .go_to(Stop::Done)
            .with_context(|| format!("after oops {cycle}"))?;
        (evidence, _) = evidence
            .after(&rig.tool, &card, &[Expected::oops("victim")], 0)
            .with_context(|| format!("after oops {cycle}"))?;
        system.go_to(Stop::Ready)?;
    }
    finish(&evidence, cycles, "victim")
}

/// Checks that the first crashes are there, and one for the loop.
fn finish(evidence: &Evidence, cycles: u32, task: &str) -> Result<Cases> {
    let (looped, first) = evidence
        .crashes
        .split_last()
        .context("there are no crashes")?;
    ensure!(
        first.len() == FIRST as usize && first.iter().all(|crash| crash["task"] == "saboteur"),
        "the first crashes are not what is left: {first:#?}"
    );
    ensure!(
        looped["task"] == task && looped["repeats"] == cycles - 1,
        "{cycles} crashes of {task}, but the last crash is {looped}"
    );
    Ok(Cases {
        passed: cycles as usize,
        failed: Vec::new(),
    })
}

/// Counts the lines that QEMU logs for blocks written.
struct Writes(BufReader<File>);

impl Writes {
    fn open(log: &Path) -> Result<Self> {
        let file = File::open(log).context("QEMU has no log")?;
        let mut writes = Self(BufReader::new(file));
        writes.since_last()?;
        Ok(writes)
    }

    /// Lines since the last call.
    fn since_last(&mut self) -> Result<u64> {
        let mut count = 0;
        let mut line = String::new();
        while self.0.read_line(&mut line)? > 0 {
            count += u64::from(line.starts_with("sdcard_write_block"));
            line.clear();
        }
        Ok(count)
    }
}
