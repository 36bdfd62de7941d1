//! A machine that is stopped at a place in a program, and dumped there.

use super::verb::{LIMIT, dump, offer};
use crate::core_dump::CoreDump;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine};
use crate::suite::Rig;
use crate::symbols::Symbols;
use anyhow::{Context, Result};
use std::path::PathBuf;
use tempfile::TempDir;

/// `wfi` and `svc #0`, in Thumb.
const SLEEP: [u8; 2] = [0x30, 0xbf];
const CALL: [u8; 2] = [0, 0xdf];

pub(super) struct DumpScene<'r> {
    pub(super) rig: &'r Rig,
    pub(super) machine: Machine,
    pub(super) debugger: Debugger,
    pub(super) symbols: Symbols,
    folder: TempDir,
}

impl<'r> DumpScene<'r> {
    /// The machine of an image with a fresh card, at its first instruction.
    pub(super) fn new(rig: &'r Rig) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        rig.tool.format(&card)?;
        // The path of a socket is limited to about 100 bytes.
        let folder = tempfile::tempdir().context("no folder for a socket")?;
        let mut config = Config::new(&rig.image, Some(&card));
        config.debugger = true;
        config.extra = offer(&folder.path().join("qmp"));
        let machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
        let mut debugger = Debugger::connect(&machine.debugger_socket())?;
        // The task that is running may have no access to what is read.
        debugger.use_physical_addresses()?;
        Ok(Self {
            rig,
            debugger,
            machine,
            symbols: Symbols::read(&rig.image)?,
            folder,
        })
    }

    /// The same machine later: it has printed `said`, and all tasks but `idle` wait.
    pub(super) fn at_rest(rig: &'r Rig, said: &str) -> Result<Self> {
        let mut scene = Self::new(rig)?;
        loop {
            scene.run_to_sleep()?;
            if scene.machine.uart5.has_said(said) {
                return Ok(scene);
            }
            // Run past the breakpoint: the stub would stop there again at once.
            let behind = scene.behind("idle", "main", SLEEP)?;
            scene.run_to_address(behind)?;
        }
    }

    /// Runs to an address.
    pub(super) fn run_to_address(&mut self, address: u32) -> Result<()> {
        self.debugger.set_break(address)?;
        self.debugger
            .run_until_break(LIMIT)
            .with_context(|| format!("to {address:#x}"))?;
        self.debugger.clear_break(address)
    }

    /// Runs to the function of this name, or the first one whose name has all these parts.
    pub(super) fn run_to(&mut self, program: &str, parts: &[&str]) -> Result<()> {
        let exact = match parts {
            [name] => self.symbols.address(program, name).ok(),
            _ => None,
        };
        let address = match exact {
            Some(address) => address,
            None => self.symbols.like(program, parts)?,
        };
        self.run_to_address(address)
            .with_context(|| format!("{parts:?} of {program}"))
    }

    /// Runs to where a task returns from a system call.
    pub(super) fn run_behind_call(&mut self, program: &str, stub: &str) -> Result<()> {
        let address = self.behind(program, stub, CALL)?;
        self.run_to_address(address)
    }

    /// Runs until all tasks but `idle` wait.
    pub(super) fn run_to_sleep(&mut self) -> Result<()> {
        let behind = self.behind("idle", "main", SLEEP)?;
        self.run_to_address(behind - 2)
    }

    /// The address behind the first such instruction of a function.
    fn behind(&mut self, program: &str, function: &str, instruction: [u8; 2]) -> Result<u32> {
        let start = self.symbols.like(program, &[function])? & !1;
        let code = self.debugger.memory(start, 32)?;
        let at = code.chunks(2).position(|half| half == instruction);
        let at = at.with_context(|| format!("{function} of {program} is {code:x?}"))?;
        Ok(start + 2 * at as u32 + 2)
    }

    /// Dumps the machine.
    pub(super) fn dump(&self, name: &str) -> Result<CoreDump> {
        let path = self.path(name);
        dump(
            &self.folder.path().join("qmp"),
            &self.rig.image.archive,
            &path,
        )?;
        CoreDump::read(&path)
    }

    /// The file that [`DumpScene::dump`] writes.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.rig.artefacts.path(name)
    }
}
