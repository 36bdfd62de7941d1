//! `check-emergency`: proves from the finished recorder what its emergency path does not do.
//!
//! The path is everything that is reached from the task's first instruction when the mailbox is armed: all calls, but the
//! one by which `main` goes over to normal operation. Whole functions are looked at, so what is proved holds whichever
//! way is taken through them. The rules, and what counts as a function of the normal path, are in doc/design.md.
//!
//! Calls through registers are followed where the register was loaded with a constant just before, which is what a
//! compiler makes of repeated calls of one function; any other is refused. That a table branch stays within its table is
//! taken from the compiler, which checks the index before.

mod program;
mod rules;

use crate::dist::{Build, Product};
use crate::elf::Elf;
use crate::stack::EXCEPTION_FRAME;
use anyhow::{Context, Result, bail};
use rules::{Findings, Rules};
use std::collections::BTreeSet;

/// Budget of the emergency stack (doc/design.md), bytes.
const STACK_BUDGET: u32 = 1536;

/// Number of each system call that the path makes: SEND for the report to the supervisor, GET_TIMER for deadlines,
/// REFRESH_TASK_ID for the supervisor's and the own task id.
const SYSTEM_CALLS: [(u32, &str); 3] = [(0, "SEND"), (9, "GET_TIMER"), (10, "REFRESH_TASK_ID")];

/// By which normal operation leaves the path.
const TO_NORMAL: (&str, &str) = ("main", "task_crashlog::normal::run");

/// By which an emergency that finds no location in retained memory goes to search the card.
const TO_SEARCH: &str = "crashlog_store::emergency::search";

const RULES: Rules<'_> = Rules {
    not_taken: &[TO_NORMAL],
    normal: &[
        "drv_sdhci::interrupt::",
        "drv_mmc::card::",
        "drv_mmc::host::",
        "task_crashlog::normal::",
        "task_crashlog::server::",
        "task_crashlog::recorder::",
        "task_crashlog::events::",
        "task_crashlog::reply::",
        "crashlog_core::",
        "idol_runtime::",
    ],
    panics: &[
        "core::panicking::",
        "sys_panic",
        "rust_begin_unwind",
        "rust_panic",
    ],
    system_calls: &[0, 9, 10],
    // The search awaits the store's functions over a device that is always ready: each is polled once.
    polled_once: &["crashlog_store::", "block_device::"],
    // `main` does not come back to it.
    may_trap: &["_start"],
    stack: STACK_BUDGET,
};

/// The only one that may SEND: the path ends there.
const REPORTER: &str = "task_crashlog::emergency::report";

/// Checks the recorder of an application that was built, and prints what was found.
pub fn run(build: &Build, product: &Product) -> Result<()> {
    let (task, reserved) = recorder(build)?;
    let elf = Elf::read(&product.task(&task))?;
    let (program, entry) = program::read(&elf)?;
    let searching = program.values().find_map(|function| {
        let called = |to: &u32| program.get(to).is_some_and(|f| f.name() == TO_SEARCH);
        let callee = function.calls.keys().find(|to| called(to))?;
        Some((
            function.names.first()?.as_str(),
            program[callee].names.first()?.as_str(),
        ))
    });
    let Some(searching) = searching else {
        bail!("{task}: nothing calls `{TO_SEARCH}`, which has to be a function of its own");
    };
    // What a system that was ready does is proved apart: it is nearly every crash, and has the budget.
    let not_taken = [TO_NORMAL, searching];
    let rules = Rules {
        not_taken: &not_taken,
        polled_once: &[],
        ..RULES
    };
    let ready = rules::check(&program, entry, &rules);
    print(
        &format!("emergency path of task `{task}`"),
        &ready,
        &format!("budget {STACK_BUDGET}, reserved {reserved}"),
    );
    let reserved = reserved.saturating_sub(EXCEPTION_FRAME);
    let rules = Rules {
        stack: reserved,
        ..RULES
    };
    let all = rules::check(&program, entry, &rules);
    print(
        "the same with the search for the partition, if no location is known",
        &all,
        &format!("{reserved} are left of the reserved ones beside the frame of an interrupt"),
    );

    let mut broken: BTreeSet<String> = ready.broken.iter().chain(&all.broken).cloned().collect();
    broken.extend(other_senders(&all));
    if broken.is_empty() {
        return Ok(());
    }
    for line in &broken {
        eprintln!("{task}: {line}");
    }
    bail!(
        "{}: the emergency path of task `{task}` breaks {} rules (doc/design.md, \"The proof from the binary\")",
        build.config.path.display(),
        broken.len()
    )
}

/// The task that has the emergency path, and its stack.
fn recorder(build: &Build) -> Result<(String, u32)> {
    let tasks = &build.config.app.tasks;
    let (name, task) = tasks
        .iter()
        .find(|(_, task)| task.name == "task-crashlog")
        .with_context(|| {
            format!(
                "{}: no task is built from the crate `task-crashlog`, so there is no emergency path",
                build.config.path.display()
            )
        })?;
    Ok((name.clone(), build.config.stack_of(task)))
}

/// Nobody waits for another task before everything is done.
fn other_senders(findings: &Findings) -> Vec<String> {
    let senders = findings.system_calls.get(&0).into_iter().flatten();
    senders
        .filter(|sender| *sender != REPORTER)
        .map(|sender| format!("`{sender}` makes system call 0 (SEND), which only `{REPORTER}` may"))
        .collect()
}

fn print(what: &str, findings: &Findings, limit: &str) {
    println!("{what}");
    println!("  functions     {}", findings.functions);
    println!("  code          {} bytes", findings.code);
    println!("  stack         {} bytes; {limit}", findings.stack);
    for function in &findings.deepest {
        println!("    {function}");
    }
    println!("  system calls");
    for (number, callers) in &findings.system_calls {
        let name = SYSTEM_CALLS
            .iter()
            .find(|call| call.0 == *number)
            .map_or("not allowed", |call| call.1);
        let callers: Vec<&str> = callers.iter().map(String::as_str).collect();
        println!("    {number} {name}: {}", callers.join(", "));
    }
    if !findings.excused.is_empty() {
        println!(
            "  asynchronous functions, each polled once: {}",
            findings.excused.len()
        );
    }
}
