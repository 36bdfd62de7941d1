//! What is left in retained RAM never keeps the system from running, and what a task does again and
//! again is recognised as the same.

use super::{Cases, Rig, Session};
use crate::sabotage::{APP, Deed, LOOPS, RecorderState, Stop, System, Work, task};
use anyhow::{Context, Result, ensure};
use block_device::Block;
use crashlog_retained::{CrashContext, CrashReason, EmergencyFailure, Region};
use libtest_mimic::Trial;
use std::ffi::OsStr;
use std::sync::Arc;

/// Address of the retained region, and its length in blocks (`chips/ast2600/memory.toml`).
const RETAINED: u32 = 0x80c0_0000;
const BLOCKS: usize = 2_048;
/// Its first blocks: header and mailbox.
const FIRST_BLOCKS: usize = 22;
const BLOCK: usize = 512;
/// Ticks of the saboteur's timer to the strike.
const SOON: u32 = 100_000;

/// REQ: X17 (in part: a mailbox that is armed without an emergency): the recorder does not come
/// into an endless loop.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let trial = |name: &str, with_card: bool| {
        session.trial(format!("leftover::{name}"), APP, move |rig| {
            armed_without_an_emergency(rig, with_card)
        })
    };
    vec![
        trial("armed", true),
        trial("armed-without-card", false),
        session.trial("leftover::early-boots", APP, early_boots),
        session.trial("leftover::asked-for", APP, restarts_that_are_asked_for),
        session.trial("leftover::idle-faulted", LOOPS, idle_faulted),
        session.trial("leftover::panics-with-numbers", LOOPS, panics_with_numbers),
    ]
}

/// REQ: X17 (in part: no history of faults keeps the next boot from running)
///
/// The least important task faults repeatedly, then the system is reset. If it were started later
/// in the next boot, no task could run there, and the kernel would fail, in every boot from then
/// on.
fn idle_faulted(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
    system.boot()?;
    for round in 0..2 {
        system.work(Work::Sleep(2_000), SOON, Deed::FaultAndReset(task::IDLE))?;
        system.go_to(Stop::Struck)?;
        system
            .boot()
            .with_context(|| format!("the boot after attack {round}"))?;
        lives(&mut system, true)?;
    }
    rig.tool.verify(&card)?;
    Ok(Cases::one())
}

/// REQ: X17 (in part: what survives a reset is set aside, and the log says so)
///
/// Boots end early, by resets from outside; then so do starts of the recorder, which is restarted
/// before it has written what was left.
fn early_boots(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
    system.boot()?;
    for before in 1..=crashlog_retained::Trial::LIMIT {
        system.reset()?;
        system.go_to(Stop::Ready)?;
        let log = rig.tool.text([OsStr::new("log"), card.as_os_str()])?;
        let said = log.contains("4 boots in a row ended early");
        ensure!(
            said == (before == crashlog_retained::Trial::LIMIT),
            "{before} boots ended early, and the log is: {log}"
        );
    }
    lives(&mut system, true)?;
    // Starts of the recorder, of which the region has the count.
    system.work(Work::Sleep(2_000), SOON, Deed::Restart(task::CRASHLOG))?;
    system.go_to(Stop::Struck)?;
    edit(&mut system, |region| {
        for _ in 0..crashlog_retained::Trial::LIMIT {
            region.trial().begin_start();
        }
        arm(region, false, true)?;
        region.mailbox().conclude(false);
        Ok(())
    })?;
    system.go_to(Stop::Done)?;
    system.go_to(Stop::Ready)?;
    lives(&mut system, true)?;
    let log = rig.tool.text([OsStr::new("log"), card.as_os_str()])?;
    ensure!(
        log.contains("4 starts of the recorder in a row ended early"),
        "the recorder does not say that it sets something aside: {log}"
    );
    let crashes = rig.tool.crashes(&card)?;
    ensure!(
        crashes.is_empty(),
        "a crash was not set aside: {crashes:#?}"
    );
    // This start came through, so the next one uses everything again.
    system.reset()?;
    system.go_to(Stop::Ready)?;
    let crashes = rig.tool.crashes(&card)?;
    ensure!(crashes.len() == 1, "one crash waited, but {crashes:#?}");
    Ok(Cases::one())
}

/// REQ: X17 (in part: a restart that a task asks for is no early end)
///
/// A task that app.toml names for it asks the kernel for a restart, soon after each start.
fn restarts_that_are_asked_for(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
    system.boot()?;
    for _ in 0..=crashlog_retained::Trial::LIMIT {
        system.work(Work::Sleep(2_000), SOON, Deed::Reset)?;
        system.go_to(Stop::Struck)?;
        system.boot()?;
    }
    let log = rig.tool.text([OsStr::new("log"), card.as_os_str()])?;
    ensure!(
        !log.contains("ended early"),
        "every boot ended as a task asked for, and the log is: {log}"
    );
    let boots = rig.tool.text([OsStr::new("boots"), card.as_os_str()])?;
    ensure!(
        boots.matches("restart asked for by").count() > crashlog_retained::Trial::LIMIT as usize,
        "the boots do not say who asked: {boots}"
    );
    Ok(Cases::one())
}

/// REQ: X6 (in part: a number in the text of a panic does not make it another crash), X18 (in part:
/// the same)
fn panics_with_numbers(rig: &Rig) -> Result<Cases> {
    /// As in the application.
    const HOLD_AFTER: u32 = 3;
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let mut system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
    system.boot()?;
    for number in 0..=HOLD_AFTER {
        system.work(Work::Sleep(2_000), SOON, Deed::PanicWith(number + 7))?;
        system.go_to(Stop::Struck)?;
        if number < HOLD_AFTER {
            system.boot()?;
        } else {
            // The saboteur is held, and the system goes on.
            system.go_to(Stop::Done)?;
        }
    }
    let crashes = rig.tool.crashes(&card)?;
    ensure!(
        crashes.len() == 1 && crashes.iter().all(|crash| crash["repeats"] == HOLD_AFTER),
        "one panic, four times, but these crashes: {crashes:#?}"
    );
    Ok(Cases::one())
}

/// The recorder is restarted while the mailbox says, wrongly, that there is an emergency.
fn armed_without_an_emergency(rig: &Rig, with_card: bool) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let card = with_card.then_some(card.as_path());
    let mut system = System::start(&rig.qemu, &rig.image, card, &rig.artefacts)?;
    system.boot()?;
    let mut cases = Cases::default();
    for minimal in [false, true] {
        for sound in [false, true] {
            system.work(Work::Sleep(2_000), SOON, Deed::Restart(task::CRASHLOG))?;
            system.go_to(Stop::Struck)?;
            edit(&mut system, |region| arm(region, minimal, sound))?;
            system
                .go_to(Stop::Done)
                .and_then(|()| system.go_to(Stop::Ready))
                .and_then(|()| lives(&mut system, with_card))
                .with_context(|| format!("minimal: {minimal}, crash sound: {sound}"))?;
            cases.passed += 1;
        }
    }
    if let Some(card) = card {
        rig.tool.verify(card)?;
    }
    Ok(cases)
}

/// Arms the mailbox, with a crash of this boot or with one that does not pass its check.
fn arm(region: &Region<'_>, minimal: bool, sound: bool) -> Result<()> {
    let mailbox = region.mailbox();
    let writer = mailbox.write_crash().context("there is no mailbox")?;
    if sound {
        let mut context = CrashContext::new(CrashReason::Panic, 3, "victim", &[0]);
        context.boot = region.boot();
        context.time = 1;
        writer.finish(&context);
    }
    if minimal {
        mailbox.arm_minimal(1_000, EmergencyFailure::Recorder);
    } else {
        mailbox.arm(1_000);
    }
    Ok(())
}

/// Runs on, and checks that the client can log again. A recorder that does not end its emergency
/// would let no task of less importance run.
fn lives(system: &mut System, with_card: bool) -> Result<()> {
    system.work(Work::Flush(1), 0, Deed::Nothing)?;
    system.go_to(Stop::Done)?;
    let seen = system.seen()?;
    let expected = if with_card {
        RecorderState::Ready
    } else {
        RecorderState::RamOnly
    };
    ensure!(seen.state == expected, "the recorder is not up: {seen:?}");
    ensure!(
        !with_card || seen.durable == seen.accepted,
        "the record is not on the card: {seen:?}"
    );
    system.go_to(Stop::Ready)
}

/// Changes header and mailbox of the retained region.
fn edit(system: &mut System, change: impl FnOnce(&Region<'_>) -> Result<()>) -> Result<()> {
    let blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::zeroed()).collect();
    let first = blocks.get(..FIRST_BLOCKS).context("too few blocks")?;
    for (index, block) in first.iter().enumerate() {
        let address = RETAINED + (index * BLOCK) as u32;
        block.copy_from(0, &system.debugger.memory(address, BLOCK as u32)?);
    }
    let region = Region::over(&blocks).context("the retained region is too short")?;
    change(&region)?;
    for (index, block) in first.iter().enumerate() {
        let mut bytes = [0; BLOCK];
        block.copy_to(0, &mut bytes);
        let address = RETAINED + (index * BLOCK) as u32;
        system.debugger.set_memory(address, &bytes)?;
    }
    Ok(())
}
