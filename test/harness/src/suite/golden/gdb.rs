//! Cores of the golden cards in gdb: an independent reader of registers, stacks and frame
//! information finds the calls that the host tool finds.

use super::{BUILDS, IMAGE, files};
use crate::build::DEMO;
use crate::suite::dump::gdb::{ask, with_gdb};
use crate::suite::{Cases, Rig, Session};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

/// Cards with a snapshot.
const CARDS: [&str; 5] = [
    "client-panic",
    "recorder-in-write",
    "kernel-failure",
    "stack-overflow",
    "oops",
];

/// For each frame of each thread its program counter; functions that are inlined are frames, too.
const COMMAND: &str = "thread apply all -s frame apply all -q -s p/x $pc";

/// gdb's number of the kernel's thread.
const KERNEL: u64 = 65_535;

/// REQ: D3 (in part: gdb), X15 (in part: gdb): a core of each card opens in gdb, has a thread for
/// each task that was saved, and the backtrace of each is the one that `crashlog show` prints.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let trial = |card: &'static str| {
        let name = format!("golden::in-gdb-{card}");
        with_gdb(session.trial(name, DEMO, move |rig| same_calls(rig, card)))
    };
    CARDS.into_iter().map(trial).collect()
}

fn same_calls(rig: &Rig, card: &str) -> Result<Cases> {
    let folder = rig.artefacts.dir();
    fs::write(folder.join(IMAGE), files::read(card)?)?;
    files::unpack_builds(&folder.join(BUILDS))?;
    let tool = |words: &[&str]| {
        let output = rig.tool.run_in(folder, words)?;
        ensure!(
            output.status.success(),
            "`crashlog {}` failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    };
    tool(&["dump", IMAGE, "-o", "core", "--archive", BUILDS])?;
    let show = "show --json --tasks all --archive";
    let words: Vec<&str> = show.split(' ').chain([BUILDS, IMAGE]).collect();
    let shown: Value = serde_json::from_slice(&tool(&words)?)?;
    let said = ask(&folder.join("core"), COMMAND)?;
    let threads = threads(&said)?;

    let mut compared = 0;
    let kernel = (shown["task"] == "kernel").then_some((KERNEL, &shown));
    let tasks = shown["machine"]["tasks"].as_array().context("no tasks")?;
    let tasks = tasks.iter().filter_map(|task| {
        let index = task["index"].as_u64()?;
        Some((index + 1, task))
    });
    for (number, program) in tasks.chain(kernel) {
        let ours = calls(&program["chain"]);
        let none = Vec::new();
        let theirs = threads.get(&number).unwrap_or(&none);
        ensure!(
            ours.is_empty() == theirs.is_empty(),
            "thread {number}: the tool has {} calls, gdb {}",
            ours.len(),
            theirs.len()
        );
        // gdb goes on to the entry, which has no caller.
        ensure!(
            theirs.starts_with(&ours),
            "thread {number}: the tool shows {ours:x?}, gdb {theirs:x?}"
        );
        compared += usize::from(!ours.is_empty());
    }
    ensure!(compared == threads.len(), "gdb has other threads: {said}");
    Ok(Cases {
        passed: compared,
        failed: Vec::new(),
    })
}

/// The addresses of a backtrace of `show --json`, each once where it follows itself.
fn calls(chain: &Value) -> Vec<u64> {
    let calls = chain.as_array().into_iter().flatten();
    let mut calls: Vec<u64> = calls.filter_map(|call| call["address"].as_u64()).collect();
    calls.dedup();
    calls
}

/// The program counters of each thread, by gdb's number, each once where it follows itself.
fn threads(said: &str) -> Result<BTreeMap<u64, Vec<u64>>> {
    let thread = |text: &str| {
        let (_, number) = text.split_once("(LWP ")?;
        let (number, _) = number.split_once(')')?;
        let values = text.lines().filter_map(|line| line.split_once(" = 0x"));
        let values: Option<Vec<u64>> = values
            .map(|(_, value)| u64::from_str_radix(value, 16).ok())
            .collect();
        let mut values = values?;
        values.dedup();
        Some((number.parse().ok()?, values))
    };
    let threads = said.split("\nThread ").skip(1);
    threads
        .map(|text| thread(text).with_context(|| format!("gdb said: {text}")))
        .collect()
}
