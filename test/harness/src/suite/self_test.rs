//! The self-test of the emergency path at the start of a boot: with a good card, without a card,
//! with a blank one, with one that refuses writes, with one that returns other data; and together
//! with real crashes.

use super::{Cases, Rig, Session};
use crate::controller::EMMC;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The demo's system with `self-test = true`.
const APP: &str = "test/apps/self-test/app.toml";
/// The same on the i.MX 6UltraLite.
const APP_IMX6UL: &str = "test/apps/self-test/mcimx6ul-evk.toml";
const LIMIT: Duration = Duration::from_secs(120);
/// Length of a block, and of the card.
const BLOCK: u64 = 512;
const SIZE: u64 = 64 << 20;
/// The recorder's function that reads the self-test's crash back.
const READ_BACK: &[&str] = &["crashlog_store::self_test::verify"];
/// The recorder's function that writes it, as it writes each crash.
const WRITE: &[&str] = &["crashlog_store::emergency::write_crash"];
/// The emergency entry.
const EMERGENCY: &[&str] = &["task_crashlog::emergency::run"];
/// The debugger's number of the program counter, and an address that is not mapped.
const PC: u32 = 15;
const NOWHERE: u32 = 0x10;

/// REQ: M8, P6, P8, X6: the self-test of the emergency path changes nothing else, and names the
/// step that fails.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![
        session.trial("self-test::passes", APP, passes),
        session.trial("mcimx6ul-evk::self-test::passes", APP_IMX6UL, passes),
        session.trial("mcimx6ul-evk::self-test::no-card", APP_IMX6UL, no_card),
        session.trial("self-test::no-card", APP, no_card),
        session.trial("self-test::blank-card", APP, |rig| {
            let card = rig.artefacts.path("card.img");
            File::create(&card)?.set_len(SIZE)?;
            fails(
                rig,
                Some(&card),
                "GPT partition table; self-test FAILED locating the log: no partition of the recorder, error 0x0",
            )
        }),
        session.trial("self-test::write-protected", APP, write_protected),
        session.trial("self-test::other-data-read-back", APP, other_data),
        session.trial("self-test::recorder-fails", APP, recorder_fails),
        session.trial("self-test::crash-not-yet-written", APP, crash_waits),
    ]
}

fn no_card(rig: &Rig) -> Result<Cases> {
    let said = "there is no card; self-test FAILED preparing the card: no card, error 0x";
    fails(rig, None, said)
}

/// A machine that a debugger has stopped before its first instruction.
struct Held {
    machine: Machine,
    debugger: Debugger,
    symbols: Symbols,
    card: PathBuf,
    /// The breakpoint at which it has stopped.
    last: Option<u32>,
}

impl Held {
    fn new(rig: &Rig) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        rig.tool.format(&card)?;
        let mut config = Config::new(&rig.image, Some(&card));
        config.debugger = true;
        let machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
        let mut debugger = Debugger::connect(&machine.debugger_socket())?;
        debugger.use_physical_addresses()?;
        Ok(Self {
            machine,
            debugger,
            symbols: Symbols::read(&rig.image)?,
            card,
            last: None,
        })
    }

    /// Runs until a function of the recorder is called.
    fn go_into(&mut self, parts: &[&str]) -> Result<()> {
        // The stub would stop again at once at the breakpoint where the machine is.
        if self.last.take().is_some() {
            self.debugger.step()?;
        }
        let address = self.symbols.like("crashlog", parts)?;
        self.debugger.set_break(address)?;
        self.debugger
            .run_until_break(LIMIT)
            .with_context(|| format!("{parts:?} was not called"))?;
        self.debugger.clear_break(address)?;
        self.last = Some(address);
        Ok(())
    }

    /// Makes the recorder jump to an address that is not mapped.
    fn derail(&mut self) -> Result<()> {
        self.last = None;
        self.debugger.set_register(PC, NOWHERE)
    }

    /// Lets the machine run, without the debugger.
    fn let_go(self) -> Result<(Machine, PathBuf)> {
        self.debugger.detach()?;
        Ok((self.machine, self.card))
    }
}

/// Waits for the line about the start of a boot, which must contain `tested`.
fn starts(machine: &Machine, boot: u32, tested: &str) -> Result<()> {
    let line = machine
        .uart5
        .wait_for(&format!("crashlog: ready; boot {boot},"), LIMIT)?;
    ensure!(line.contains(tested), "not \"{tested}\" but: {line}");
    Ok(())
}

/// What `list --json` says of the card, which must be sound.
fn list(rig: &Rig, card: &Path) -> Result<Value> {
    rig.tool.verify(card)?;
    rig.tool
        .json(["list".as_ref(), "--json".as_ref(), card.as_os_str()])
}

/// Number and boot of the self-test's crash on the card.
fn test_crash(list: &Value) -> (u64, u64) {
    let test = &list["self_test"];
    let number = |key: &str| test[key].as_u64().unwrap_or(0);
    (number("sequence"), number("boot"))
}

/// Each boot tests again and replaces the self-test's crash; a crash in between is written before
/// the restart, with all log lines before it.
fn passes(rig: &Rig) -> Result<Cases> {
    let card = rig.artefacts.path("card.img");
    rig.tool.format(&card)?;
    let boot = || -> Result<Machine> {
        let config = Config::new(&rig.image, Some(&card));
        let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
        machine.run()?;
        Ok(machine)
    };
    let machine = boot()?;
    starts(&machine, 1, "; self-test passed: crash record 1, ")?;
    // The worker crashes.
    starts(
        &machine,
        2,
        "1 panic since it was formatted; self-test passed: crash record 3, ",
    )?;
    machine.uart5.wait_for(
        "1 crash on the card, newest is 2: panic of task `worker`",
        LIMIT,
    )?;
    machine.quit()?;

    let listed = list(rig, &card)?;
    ensure!(test_crash(&listed) == (3, 2), "{listed:#}");
    let crashes = &listed["card"]["crashes"];
    ensure!(
        crashes["panic"] == 1 && crashes["oops"] == 0 && crashes["kernel"] == 0,
        "the self-test was counted: {crashes}"
    );
    let crash = rig.tool.crash(&card, 2)?;
    ensure!(
        crash["task"] == "worker" && crash["late"].is_null(),
        "the crash is another: {crash:#}"
    );
    let sequences = rig.tool.sequences(&card, 1)?;
    ensure!(
        Some(sequences.len() as u64) == crash["log_records"].as_u64()
            && sequences.iter().copied().eq(1..=sequences.len() as u64),
        "log records of boot 1 are missing: {} are there",
        sequences.len()
    );
    let test = rig.tool.crash(&card, 3)?;
    ensure!(
        test["reason"] == "self-test" && test["segments"][1]["sound"] == true,
        "{test:#}"
    );

    let machine = boot()?;
    starts(&machine, 3, "; self-test passed: crash record 4, ")?;
    machine.quit()?;
    let now = list(rig, &card)?;
    ensure!(test_crash(&now) == (4, 3), "{now:#}");
    ensure!(
        now["crashes"] == listed["crashes"] && now["card"]["crashes"] == listed["card"]["crashes"],
        "the self-test has changed a crash: {now:#}"
    );
    Ok(Cases::one())
}

/// The line about the start names the step that failed and its code; the card is not written.
fn fails(rig: &Rig, card: Option<&Path>, said: &str) -> Result<Cases> {
    let config = Config::new(&rig.image, card);
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let line = machine
        .uart5
        .wait_for("crashlog: nothing is being saved", LIMIT)?;
    ensure!(line.contains(said), "not \"{said}\" but: {line}");
    machine.quit()?;
    if let Some(card) = card {
        ensure!(
            fs::read(card)?.iter().all(|byte| *byte == 0),
            "a card without our partition was written"
        );
    }
    Ok(Cases::one())
}

/// The card refuses writes.
fn write_protected(rig: &Rig) -> Result<Cases> {
    let mut held = Held::new(rig)?;
    held.go_into(WRITE)?;
    // SET_WRITE_PROT, CMD28 with R1b, for each group of 2 MiB, until the next identification.
    for group in 0..32_u32 {
        held.debugger
            .set_word(EMMC.registers + 0x08, group * (2 << 20))?;
        held.debugger
            .set_word(EMMC.registers + 0x0c, (28 << 8 | 0x1b) << 16)?;
    }
    let (machine, card) = held.let_go()?;
    starts(
        &machine,
        1,
        "; self-test FAILED writing the crash record: card or controller failed, error 0x",
    )?;
    machine.quit()?;
    let listed = list(rig, &card)?;
    ensure!(listed["self_test"].is_null(), "{listed:#}");
    Ok(Cases::one())
}

/// The card accepts the write, and has other data afterwards.
fn other_data(rig: &Rig) -> Result<Cases> {
    let mut held = Held::new(rig)?;
    held.go_into(READ_BACK)?;
    let card = held.card.clone();
    let listed = list(rig, &card)?;
    ensure!(test_crash(&listed) == (1, 1), "{listed:#}");
    let number = |key: &str| listed["card"][key].as_u64().context("no such number");
    // The last of the three blocks in the last slot.
    let slot_blocks = number("slot_bytes")? / BLOCK;
    let slot = number("first_block")? + 16 + (number("slots")? - 1) * slot_blocks;
    File::options()
        .write(true)
        .open(&card)?
        .write_all_at(&[0xff], (slot + 2) * BLOCK + 7)?;
    let (machine, card) = held.let_go()?;
    starts(
        &machine,
        1,
        "; self-test FAILED reading the crash record back: it is not what was written, error 0x111",
    )?;
    machine.quit()?;
    rig.tool.verify(&card)?;
    Ok(Cases::one())
}

/// The recorder fails during the test: this is a crash like any other, and the next boot tests
/// again.
fn recorder_fails(rig: &Rig) -> Result<Cases> {
    let mut held = Held::new(rig)?;
    held.go_into(READ_BACK)?;
    held.derail()?;
    let (machine, card) = held.let_go()?;
    starts(&machine, 2, "; self-test passed: crash record 3, ")?;
    machine.quit()?;
    let listed = list(rig, &card)?;
    ensure!(test_crash(&listed) == (3, 2), "{listed:#}");
    let crash = rig.tool.crash(&card, 2)?;
    ensure!(
        crash["task"] == "crashlog" && crash["late"].is_null() && crash["fault"] == "IllegalText",
        "the crash is another: {crash:#}"
    );
    Ok(Cases::one())
}

/// A crash that the emergency could not write is written first: there is no test in that boot, but
/// in the next.
fn crash_waits(rig: &Rig) -> Result<Cases> {
    let mut held = Held::new(rig)?;
    // The worker's crash; the recorder fails both times.
    for _ in 0..2 {
        held.go_into(EMERGENCY)?;
        held.derail()?;
    }
    let (machine, card) = held.let_go()?;
    starts(
        &machine,
        2,
        "; no self-test, as a crash waits to be recorded",
    )?;
    machine
        .uart5
        .wait_for("was written late, out of retained RAM", LIMIT)?;
    machine.quit()?;
    let listed = list(rig, &card)?;
    // The crash of the self-test in the first boot.
    ensure!(test_crash(&listed) == (1, 1), "{listed:#}");
    let late: Vec<_> = listed["crashes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|crash| crash["task"] == "worker" && !crash["late"].is_null())
        .collect();
    ensure!(late.len() == 1, "no late crash of the worker: {listed:#}");

    let config = Config::new(&rig.image, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let line = machine.uart5.wait_for("crashlog: ready; boot ", LIMIT)?;
    ensure!(
        line.contains("; self-test passed: crash record 4, "),
        "{line}"
    );
    machine.quit()?;
    let now = list(rig, &card)?;
    ensure!(
        test_crash(&now).0 == 4 && now["crashes"] == listed["crashes"],
        "{now:#}"
    );
    Ok(Cases::one())
}
