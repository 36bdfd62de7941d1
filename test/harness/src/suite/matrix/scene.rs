//! What most rows have in common.

use crate::evidence::{Crash, Evidence};
use crate::sabotage::{Deed, RecorderState, Seen, Stop, System, Work};
use crate::suite::Rig;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Ticks from the begin of a work to the strike, where it does not matter.
pub const SOON: u32 = 100_000;
/// Where the saboteur jumps to fail.
pub const NOWHERE: u32 = 0x100;

/// A system that has started well, and what is on its card.
pub struct Scene<'r> {
    pub rig: &'r Rig,
    pub card: PathBuf,
    pub system: System,
    pub evidence: Evidence,
}

impl<'r> Scene<'r> {
    /// A new card of some size, and the machine before its first instruction. One of more than 2 GiB is addressed by blocks.
    pub fn with_card_of(rig: &'r Rig, size: &str) -> Result<Self> {
        let card = rig.artefacts.path("card.img");
        let arguments = ["format", "--size", size].map(OsStr::new);
        rig.tool
            .bytes(arguments.into_iter().chain([card.as_os_str()]))?;
        Self::with(rig, card)
    }

    /// This card, and the machine before its first instruction.
    pub fn with(rig: &'r Rig, card: PathBuf) -> Result<Self> {
        let system = System::start(&rig.qemu, &rig.image, Some(&card), &rig.artefacts)?;
        let evidence = Evidence::take(&rig.tool, &card)?;
        Ok(Self {
            rig,
            card,
            system,
            evidence,
        })
    }

    /// Starts up for the first time.
    pub fn begin(&mut self) -> Result<()> {
        self.boot()?;
        self.evidence = Evidence::take(&self.rig.tool, &self.card)?;
        Ok(())
    }

    /// Starts up, and sees that logging goes on.
    pub fn boot(&mut self) -> Result<()> {
        let seen = self.system.boot()?;
        is_logging(&seen)
    }

    /// Lets the recorder alone until the saboteur is about to fail.
    pub fn strike_idle(&mut self) -> Result<Seen> {
        self.strike(Work::Sleep(1_000), SOON, Deed::Jump(NOWHERE))
    }

    /// Works until the saboteur is about to strike.
    pub fn strike(&mut self, work: Work, ticks: u32, deed: Deed) -> Result<Seen> {
        self.system.work(work, ticks, deed)?;
        self.system.go_to(Stop::Struck)?;
        self.system.seen()
    }

    /// The system restarts and has everything. Returns the records.
    pub fn recovers(&mut self, crashes: &[Crash<'_>], accepted: u32) -> Result<Vec<Value>> {
        self.boot()?;
        self.has(crashes, accepted)
    }

    /// Everything is on the card.
    pub fn has(&mut self, crashes: &[Crash<'_>], accepted: u32) -> Result<Vec<Value>> {
        let (now, records) = self
            .evidence
            .after(&self.rig.tool, &self.card, crashes, accepted)?;
        self.evidence = now;
        Ok(records)
    }

    /// Runs until a function of the recorder, the first whose name has all these parts, is called.
    pub fn go_into(&mut self, parts: &[&str]) -> Result<u32> {
        self.go_into_program("crashlog", parts)
    }

    /// [`Scene::go_into`], in a task or in the kernel.
    pub fn go_into_program(&mut self, program: &str, parts: &[&str]) -> Result<u32> {
        let address = self.system.symbols.like(program, parts)?;
        self.system.stop_at(address, true)?;
        self.system
            .go_to(Stop::At(address))
            .with_context(|| format!("on the way to {parts:?}"))?;
        self.system.stop_at(address, false)?;
        Ok(address)
    }

    /// Makes whoever runs go on at an address where nothing is.
    pub fn derail(&mut self) -> Result<()> {
        self.system.debugger.set_register(15, NOWHERE)
    }

    /// Whoever runs is interrupted here by the saboteur, which was armed before with its deed.
    pub fn strike_here(&mut self) -> Result<Seen> {
        self.system.strike_in(1)?;
        self.system.go_to(Stop::Struck)?;
        self.system.seen()
    }

    /// The recorder writes on, without a restart, from where the work is done.
    pub fn goes_on(&mut self) -> Result<()> {
        self.system.go_to(Stop::Ready)?;
        self.system.work(Work::Flush(3), 0, Deed::Nothing)?;
        self.system.go_to(Stop::Done)?;
        let seen = self.system.seen()?;
        ensure!(
            seen.error == 0 && seen.durable == seen.accepted,
            "the recorder does not go on: {seen:?}"
        );
        self.has(&[], 0).map(drop)
    }

    /// The recorder keeps everything in RAM.
    pub fn is_ram_only(&mut self) -> Result<()> {
        let seen = self.system.seen()?;
        ensure!(
            seen.state == RecorderState::RamOnly,
            "the recorder should keep everything in RAM, but says {:?}",
            seen.state
        );
        Ok(())
    }

    /// Boots with the right card in the slot again: what was kept is recorded late.
    pub fn with_the_right_card(&mut self, crash: Crash<'_>, accepted: u32) -> Result<()> {
        let card = self.card.clone();
        self.insert(&card)?;
        self.system.reset()?;
        self.system.go_to(Stop::Ready)?;
        is_logging(&self.system.seen()?)?;
        self.has(&[crash], accepted).map(drop)
    }

    /// Takes the card out of its slot.
    pub fn eject(&mut self) -> Result<()> {
        self.monitor(&format!("eject -f sd{}", self.system.slot.index))
    }

    /// Puts a card into the slot.
    pub fn insert(&mut self, card: &Path) -> Result<()> {
        self.monitor(&format!(
            "change sd{} {} raw",
            self.system.slot.index,
            card.display()
        ))
    }

    fn monitor(&mut self, command: &str) -> Result<()> {
        let said = self.system.machine.qmp.human(command)?;
        ensure!(said.trim().is_empty(), "QEMU said to `{command}`: {said}");
        Ok(())
    }

    /// Another card, that was never formatted.
    pub fn blank(&self) -> Result<PathBuf> {
        let path = self.rig.artefacts.path("blank.img");
        fs::File::create(&path)?.set_len(64 << 20)?;
        Ok(path)
    }
}

/// Whether the recorder writes to its card.
pub fn is_logging(seen: &Seen) -> Result<()> {
    ensure!(
        seen.state == RecorderState::Ready && seen.durable >= 1 && seen.error == 0,
        "logging does not go on: {seen:?}"
    );
    Ok(())
}

/// The first of the records says that it is late, and why.
pub fn is_late(records: &[Value], why: &str) -> Result<()> {
    let said = records.first().map(|record| &record["late"]);
    ensure!(
        said.is_some_and(|said| said == why),
        "it should be late because of `{why}`, but says {said:?}"
    );
    Ok(())
}

/// A card that is not ours must be as it was.
pub fn is_blank(card: &Path) -> Result<()> {
    let bytes = fs::read(card).context("cannot read the blank card")?;
    ensure!(
        bytes.iter().all(|byte| *byte == 0),
        "a card that is not ours was written"
    );
    Ok(())
}
