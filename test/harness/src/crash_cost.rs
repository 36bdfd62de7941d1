//! Counts the instructions of a crash: from each state of controller and card, with a longer log
//! tail, with and without DMA.

use crate::artefacts::Artefacts;
use crate::bench::snapshot_begins;
use crate::build::Image;
use crate::controller::{self, Action, EMMC, STATES};
use crate::count::{Count, Counter};
use crate::qemu::Qemu;
use crate::tool::Tool;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;

/// Log records of 64 bytes that fill 4 KiB of the log, with their headers of 16 bytes.
const TAIL: u32 = 4096 / 80;
/// KiB by which the longer tail is longer.
const FURTHER: u32 = 8;

/// What was counted.
pub struct CrashCosts {
    /// A crash in each state of controller and card.
    states: Vec<(&'static str, CrashCost)>,
    /// The second, minimal try of the emergency, without DMA.
    minimal: CrashCost,
    /// Each further KiB of the log tail.
    further: Further,
}

struct Further {
    dma: u64,
    pio: u64,
}

/// What one crash costs.
#[derive(Clone, Copy)]
struct CrashCost {
    /// Instructions until the crash is durable on the card.
    durable: u64,
    /// Instructions until the log tail is.
    tail: u64,
    /// Instructions until the system requests its restart.
    restart: u64,
    /// Commands to the card.
    commands: usize,
    /// Blocks written.
    blocks: u64,
}

/// The state in which a crash is counted.
struct CrashSetup {
    /// What leads to the state of controller and card.
    steps: &'static [Action],
    /// Log records in RAM.
    records: u32,
    /// Whether the first try of the emergency fails.
    minimal: bool,
}

/// Counts all crashes. `empty` is what counting itself costs.
pub fn count(qemu: &Qemu, tool: &Tool, image: &Image, empty: &Count) -> Result<CrashCosts> {
    let counted = |setting: &CrashSetup| -> Result<CrashCost> {
        let count = crash(qemu, tool, image, setting)?;
        let (durable, tail) = count.durable()?;
        let net = count.without(empty, false);
        let without = |at: u64| at.saturating_sub(count.total - net.total);
        Ok(CrashCost {
            durable: without(durable),
            tail: without(tail),
            restart: net.total,
            commands: net.commands.len(),
            blocks: net.blocks.1,
        })
    };
    let setting = |steps, records, minimal| CrashSetup {
        steps,
        records,
        minimal,
    };
    let mut states = vec![(
        "idle, the card in transfer state",
        counted(&setting(&[], TAIL, false))?,
    )];
    for (_, state, steps) in STATES {
        let cost =
            counted(&setting(steps, TAIL, false)).with_context(|| format!("in state: {state}"))?;
        states.push((state, cost));
    }
    let long = TAIL + FURTHER * 1024 / 80;
    let minimal = counted(&setting(&[], TAIL, true))?;
    let dma = counted(&setting(&[], long, false))?;
    let pio = counted(&setting(&[], long, true))?;
    let per_kib = |long: CrashCost, short: CrashCost| {
        (long.restart.saturating_sub(short.restart)) / u64::from(FURTHER)
    };
    let short = states.first().map_or(minimal, |(_, cost)| *cost);
    Ok(CrashCosts {
        further: Further {
            dma: per_kib(dma, short),
            pio: per_kib(pio, minimal),
        },
        states,
        minimal,
    })
}

/// Counts one crash, from the faulting instruction to the request of the restart, without its
/// snapshot.
fn crash(qemu: &Qemu, tool: &Tool, image: &Image, setting: &CrashSetup) -> Result<Count> {
    let artefacts = Artefacts::new("bench/crash")?;
    let card = artefacts.path("card.img");
    tool.format(&card)?;
    let mut counter = Counter::start(qemu, image, Some(&card), &artefacts)?;
    let symbols = counter.symbols.clone();
    counter.run_to(&[symbols.address("bench", "bench_begin")?])?;
    counter.debugger().use_physical_addresses()?;
    for (address, _) in symbols.variable("bench", "BENCH_TAIL")? {
        counter.debugger().set_word(address, setting.records)?;
    }
    counter.run_to(&[symbols.address("bench", "bench_fault")?])?;
    controller::bring(counter.debugger(), EMMC, setting.steps)?;
    if setting.minimal {
        // The first try fails at its entry; the second one is counted.
        let entry = symbols.like("crashlog", &["task_crashlog::emergency::run"])?;
        counter.run_to(&[entry])?;
        counter.debugger().set_register(15, 0x10)?;
        counter.run_to(&[entry])?;
    }
    let count = counter.count_to(snapshot_begins(&counter)?)?;
    counter.count_to_reset()?;
    let crashes = tool.crashes(&card)?;
    ensure!(
        crashes.len() == 1 && crashes[0]["late"].is_null(),
        "the emergency write did not succeed: {crashes:?}"
    );
    artefacts.discard();
    Ok(count)
}

impl CrashCosts {
    /// Rows for the first table.
    pub fn rows(&self) -> String {
        let mut text = String::new();
        let Further { dma, pio } = self.further;
        let _ = writeln!(
            text,
            "| each further KiB of log, checksums included, by ADMA2 | 2 560 | {} | Linux by ADMA, the transfer alone: about 200 |",
            grouped(dma)
        );
        let _ = writeln!(
            text,
            "| each further KiB of log, checksums included, by PIO | - | {} | Linux by PIO: 13 000 to 17 000 |",
            grouped(pio)
        );
        let _ = writeln!(
            text,
            "| second try, without DMA, 4 KiB log tail: entry to restart request | - | {} | |",
            grouped(self.minimal.restart)
        );
        text
    }

    /// The table of the states.
    pub fn section(&self) -> String {
        let mut text = String::from(
            "\n## A crash from each state of controller and card\n\n\
             A client faults with 4 KiB of log in RAM. The states are those of the rows `state-*` of the\n\
             [fault matrix](fault-matrix.md).\n\n\
             | state | fault to durable crash | to durable log tail | to restart request | commands to the card | blocks written |\n\
             |---|---:|---:|---:|---:|---:|\n",
        );
        for (state, cost) in &self.states {
            let _ = writeln!(
                text,
                "| {state} | {} | {} | {} | {} | {} |",
                grouped(cost.durable),
                grouped(cost.tail),
                grouped(cost.restart),
                cost.commands,
                cost.blocks
            );
        }
        text
    }
}

/// A number with a space between groups of three digits: `12 345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
