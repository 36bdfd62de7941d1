//! Counts instructions: QEMU logs each one that it executes.
//!
//! With one instruction per translation block and no chaining, QEMU's execution log has one line
//! per instruction. Time is counted in instructions too, so a run is exactly repeatable. Between
//! two breakpoints the log has what was executed there, in all programs: the number of lines is the
//! number of instructions, and the address in each line tells the program. QEMU's trace events add
//! lines for the commands to the card and for each block.

use crate::artefacts::Artefacts;
use crate::build::Image;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine, OnReset, Time};
use crate::qemu::Qemu;
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Real time for anything that is counted; on an idle host it takes a fraction of a second.
const LIMIT: Duration = Duration::from_secs(120);

/// A machine whose instructions are logged, stopped at a breakpoint or before its first
/// instruction.
pub struct Counter {
    machine: Machine,
    debugger: Debugger,
    /// Functions and variables of the image.
    pub symbols: Rc<Symbols>,
    log: PathBuf,
}

/// What was executed between two breakpoints.
#[derive(Clone, Default)]
pub struct Count {
    /// Instructions.
    pub total: u64,
    /// Instructions by program.
    pub programs: BTreeMap<String, u64>,
    /// Instructions by address, for the profile.
    pub addresses: BTreeMap<u32, u64>,
    /// Functions and variables of the image.
    pub symbols: Option<Rc<Symbols>>,
    /// Commands to the card, each with the number of instructions before it.
    pub commands: Vec<(u64, String)>,
    /// Blocks that were read from the card, and written to it.
    pub blocks: (u64, u64),
}

impl Count {
    /// When the crash and the log tail of an emergency were on the card, as instructions. It writes
    /// the crash, the ledger that names it, and the log tail.
    pub fn durable(&self) -> Result<(u64, u64)> {
        match self.writes()[..] {
            [_, ledger, .., tail] => Ok((ledger, tail)),
            _ => bail!("the crash has fewer than three writes: {:?}", self.commands),
        }
    }

    /// When each write was on the card: the status of the card is read after it has programmed the
    /// blocks.
    fn writes(&self) -> Vec<u64> {
        let mut writes = Vec::new();
        let mut is_writing = false;
        for (at, command) in &self.commands {
            let is = |number| command.starts_with(number);
            if is("CMD24") || is("CMD25") {
                is_writing = true;
            } else if is_writing && is("CMD13") {
                is_writing = false;
                writes.push(*at);
            }
        }
        writes
    }
}

impl Counter {
    /// Starts a machine with this card, stopped.
    pub fn start(
        qemu: &Qemu,
        image: &Image,
        card: Option<&Path>,
        artefacts: &Artefacts,
    ) -> Result<Self> {
        let mut config = Config::new(image, card);
        config.time = Time::Counted;
        config.on_reset = OnReset::Pause;
        config.debugger = true;
        config.extra = ["-accel", "tcg,one-insn-per-tb=on"].map(Into::into).into();
        let machine = Machine::start(qemu, &config, artefacts)?;
        let debugger = Debugger::connect(&machine.debugger_socket())?;
        let symbols = Rc::new(Symbols::read(image)?);
        let mut counter = Self {
            machine,
            debugger,
            symbols,
            log: artefacts.path("execution.log"),
        };
        for event in [
            "sdhci_send_command",
            "sdcard_read_block",
            "sdcard_write_block",
        ] {
            counter
                .machine
                .qmp
                .human(&format!("trace-event {event} on"))?;
        }
        Ok(counter)
    }

    /// The debugger of the stopped machine.
    pub fn debugger(&mut self) -> &mut Debugger {
        &mut self.debugger
    }

    /// Runs to the first of these addresses, without counting. Returns the address.
    pub fn run_to(&mut self, addresses: &[u32]) -> Result<u32> {
        for address in addresses {
            self.debugger.set_break(*address)?;
        }
        self.debugger.run_until_break(LIMIT)?;
        for address in addresses {
            self.debugger.clear_break(*address)?;
        }
        let [.., pc] = self.debugger.registers()?;
        Ok(pc)
    }

    /// The text whose address and length are in r0 and r1 of the stopped machine.
    pub fn text_argument(&mut self) -> Result<String> {
        let [address, length, ..] = self.debugger.registers()?;
        let bytes = self.debugger.memory(address, length.min(256))?;
        String::from_utf8(bytes).context("the name of a row is not text")
    }

    /// Counts what is executed from here to an address.
    pub fn count_to(&mut self, address: u32) -> Result<Count> {
        self.start_log()?;
        self.run_to(&[address])?;
        self.finish_log()
    }

    /// Counts what is executed from here until the system requests its reset.
    pub fn count_to_reset(mut self) -> Result<Count> {
        self.start_log()?;
        self.debugger.detach()?;
        self.machine.run()?;
        self.machine
            .qmp
            .wait_event("SHUTDOWN", LIMIT)
            .context("the system did not request a reset")?;
        self.machine.qmp.human("log none")?;
        // QEMU writes out the last lines when it quits.
        let (log, symbols) = (self.log, self.symbols);
        self.machine.quit()?;
        read(&log, &symbols)
    }

    /// Counts commands and blocks, but no instructions, until a line with this text comes.
    pub fn card_until(mut self, text: &str) -> Result<Count> {
        let _ = fs::remove_file(&self.log);
        self.machine
            .qmp
            .human(&format!("logfile {}", self.log.display()))?;
        self.debugger.detach()?;
        self.machine.run()?;
        self.machine.uart5.wait_for(text, LIMIT)?;
        let (log, symbols) = (self.log, self.symbols);
        self.machine.quit()?;
        read(&log, &symbols)
    }

    fn start_log(&mut self) -> Result<()> {
        let _ = fs::remove_file(&self.log);
        self.machine
            .qmp
            .human(&format!("logfile {}", self.log.display()))?;
        self.machine.qmp.human("log exec,nochain").map(drop)
    }

    fn finish_log(&mut self) -> Result<Count> {
        self.machine.qmp.human("log none")?;
        // QEMU writes out and closes this log when it gets another one.
        self.machine.qmp.human("logfile /dev/null")?;
        read(&self.log, &self.symbols)
    }
}

/// Reads an execution log.
fn read(log: &Path, symbols: &Rc<Symbols>) -> Result<Count> {
    let bytes = fs::read(log).with_context(|| format!("QEMU wrote no log to {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut count = Count {
        symbols: Some(symbols.clone()),
        ..Count::default()
    };
    let mut last = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Trace 0: ") {
            let address = rest
                .split('/')
                .nth(1)
                .and_then(|address| u32::from_str_radix(address.trim_start_matches("0x"), 16).ok());
            last =
                address.with_context(|| format!("a line of QEMU's log has no address: {line}"))?;
            add(&mut count, symbols, last, 1);
        } else if line.starts_with("Stopped execution") {
            // The block that was logged before this line was not executed.
            add(&mut count, symbols, last, -1);
        } else if let Some(command) = line.strip_prefix("sdhci_send_command ") {
            count.commands.push((count.total, command.to_owned()));
        } else if line.starts_with("sdcard_read_block") {
            count.blocks.0 += 1;
        } else if line.starts_with("sdcard_write_block") {
            count.blocks.1 += 1;
        }
    }
    Ok(count)
}

fn add(count: &mut Count, symbols: &Symbols, address: u32, change: i64) {
    let (program, _) = symbols.at(address);
    let change = |number: &mut u64| *number = number.saturating_add_signed(change);
    change(&mut count.total);
    change(count.programs.entry(program.to_owned()).or_default());
    change(count.addresses.entry(address).or_default());
}

impl Count {
    /// The count without what counting itself costs, which `empty`, the count of an empty row, has:
    /// the two calls that mark start and end, and one tick of the kernel. (When the machine
    /// continues after a breakpoint, time leaps to the next timer.) A count that is not `marked` at
    /// its end has only the tick.
    pub fn without(&self, empty: &Self, marked: bool) -> Self {
        let mut net = self.clone();
        for (program, cost) in empty
            .programs
            .iter()
            .filter(|(program, _)| marked || *program == "kernel")
        {
            net.total = net.total.saturating_sub(*cost);
            if let Some(number) = net.programs.get_mut(program) {
                *number = number.saturating_sub(*cost);
            }
        }
        net.programs.retain(|_, number| *number > 0);
        net
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_counted() {
        let log = "Trace 0: 0x7f [00800000/0000000080100038/00000070/ff022201] \n\
                   sdhci_send_command CMD13 ARG[0x00020000]\n\
                   Trace 1: 0x7f [00800000/0000000080100000/00000070/ff022201] \n\
                   Trace 0: 0x7f [00800000/000000008010003a/00000070/ff022201] \n\
                   Stopped execution of TB chain before 0x7f [000000008010003a] \n\
                   Trace 0: 0x7f [00800000/000000008010003a/00000070/ff022201] \n\
                   sdcard_write_block addr 0x506800 size 0x200\n";
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("log");
        fs::write(&path, log).expect("write");
        let symbols = Rc::new(Symbols::none());
        let count = read(&path, &symbols).expect("count");
        assert_eq!((count.total, count.blocks), (2, (0, 1)));
        assert_eq!(count.commands, [(1, "CMD13 ARG[0x00020000]".to_owned())]);
    }
}
