//! Random programs of system calls, compared with a model of the kernel.
//!
//! The target runs one seed after the other and prints a hash of everything that happened; the
//! model predicts the hash. For a seed that differs, each operation is removed that is not needed
//! for the difference; the rest is shown, with the first place where kernel and model differ.

use super::{Cases, Rig, Session};
use crate::machine::{Config, Machine, Time};
use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;
use test_model::{Hash, Kind, OPS, WORKERS, predict, program, sum};
use userlib::TaskId;

/// Number of seeds, and number with `--all`.
const SEEDS: u64 = 2_000;
const ALL_SEEDS: u64 = 100_000;

/// Real time for one line.
const LIMIT: Duration = Duration::from_secs(60);

/// How many of the seeds that fail are shown.
const SHOWN: usize = 3;

/// Kernel and model do the same.
pub fn trials(session: &Arc<Session>, all: bool) -> Vec<Trial> {
    let seeds = if all { ALL_SEEDS } else { SEEDS };
    vec![
        session.trial("target::model", "test/apps/model/app.toml", move |rig| {
            run(rig, seeds)
        }),
    ]
}

fn run(rig: &Rig, seeds: u64) -> Result<Cases> {
    let mut config = Config::new(&rig.image, None);
    config.time = Time::Counted;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    machine.uart5.wait_for("ready", LIMIT)?;
    let mut cases = Cases::default();
    let mut failed = Vec::new();
    perform(&machine, &format!("run 0 {seeds:x} 0"), |ran| {
        if ran.is_as_predicted(0) {
            cases.passed += 1;
        } else {
            failed.push(ran.seed);
        }
    })?;
    if cases.passed + failed.len() != seeds as usize {
        bail!("{} of {seeds} seeds were run", cases.passed + failed.len());
    }
    for (shown, &seed) in failed.iter().enumerate() {
        cases.failed.push(if shown < SHOWN {
            shrink(&machine, seed)?
        } else {
            format!("seed {seed:#x}: kernel and model differ")
        });
    }
    machine.quit()?;
    Ok(cases)
}

/// What the target prints for a seed.
struct Ran {
    seed: u64,
    before: [TaskId; WORKERS],
    hash: u64,
    /// The entries of its log and the states, after the command `show`.
    lines: Vec<String>,
}

impl Ran {
    fn is_as_predicted(&self, mask: u64) -> bool {
        let prediction = predict(self.seed, mask, self.before);
        let mut hash = Hash::new();
        hash.add(prediction.log.len() as u32);
        for (task, operation, values) in &prediction.log {
            hash.add(*task);
            hash.add(*operation);
            hash.add(values.len() as u32);
            values.iter().for_each(|&value| hash.add(value));
        }
        for (id, state) in &prediction.states {
            hash.add(id.0.into());
            hash.add(sum(state));
        }
        hash.0 == self.hash
    }
}

/// Sends a command to the target, and passes each seed that it has run to `each`.
fn perform(machine: &Machine, command: &str, mut each: impl FnMut(Ran)) -> Result<()> {
    let sending = machine
        .uart5
        .send(format!("{command}\n").into_bytes(), None)?;
    let mut lines = Vec::new();
    loop {
        let line = machine
            .uart5
            .next_line(LIMIT)
            .with_context(|| format!("the target did not end `{command}`"))?;
        if line == "done" {
            drop(sending);
            return Ok(());
        }
        match line.strip_prefix("seed ") {
            Some(numbers) => {
                let numbers = numbers
                    .split(' ')
                    .map(|word| u64::from_str_radix(word, 16))
                    .collect::<Result<Vec<_>, _>>()
                    .with_context(|| format!("the target said: {line}"))?;
                let [seed, a, b, c, d, _, hash] = numbers[..] else {
                    bail!("the target said: {line}");
                };
                each(Ran {
                    seed,
                    before: [a, b, c, d].map(|id| TaskId(id as u16)),
                    hash,
                    lines: std::mem::take(&mut lines),
                });
            }
            None => lines.push(line),
        }
    }
}

/// Removes the operations that are not needed for a seed to fail, and describes the failure of the
/// rest.
fn shrink(machine: &Machine, seed: u64) -> Result<String> {
    let mut mask = 0;
    for bit in 0..WORKERS * OPS {
        let smaller = mask | 1 << bit;
        let mut fails = false;
        perform(machine, &format!("run {seed:x} 1 {smaller:x}"), |ran| {
            fails = !ran.is_as_predicted(smaller);
        })?;
        if fails {
            mask = smaller;
        }
    }
    let mut text = format!("seed {seed:#x}, mask {mask:#x}: kernel and model differ");
    for worker in 0..WORKERS {
        for (at, op) in program(seed, worker, mask).iter().enumerate() {
            if op.kind != Kind::Nop {
                text += &format!("\n  task {} operation {at:x}: {op:?}", worker + 1);
            }
        }
    }
    perform(machine, &format!("show {seed:x} 1 {mask:x}"), |ran| {
        let prediction = predict(seed, mask, ran.before);
        let entries = prediction.log.iter().map(|(task, operation, values)| {
            let values: String = values.iter().map(|value| format!(" {value:x}")).collect();
            format!("entry {task:x} {operation:x}{values}")
        });
        let states = (1..)
            .zip(&prediction.states)
            .map(|(worker, (id, state))| format!("state {worker:x} {:x} {state:x?}", id.0));
        let predicted: Vec<_> = entries.chain(states).collect();
        let same = predicted
            .iter()
            .zip(&ran.lines)
            .take_while(|(a, b)| a == b)
            .count();
        let from = same.saturating_sub(6);
        text += "\n  before it:";
        for line in &predicted[from..same] {
            text += &format!("\n    {line}");
        }
        text += &format!(
            "\n  model:  {}\n  kernel: {}",
            predicted.get(same).map_or("ends", String::as_str),
            ran.lines.get(same).map_or("ends", String::as_str)
        );
    })?;
    Ok(text)
}
