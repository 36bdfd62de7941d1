//! Proves from the finished recorder what its emergency path cannot do
//!
//! If [`check`] succeeds, then on every path from the task's first instruction that does not enter
//! normal operation:
//!
//! * no function of the normal path, no panic and no trapping instruction is reached,
//! * the only system calls are those of the table below, and the only SEND is the report at the
//!   end,
//! * there is no recursion, and the stack stays within its budget.
//!
//! The call graph is read from the instructions. Each function counts as a whole, with all of its
//! branches, so the result does not depend on data. The call by which `main` enters normal
//! operation is the only one that is left out; it must exist exactly once. doc/design.md has the
//! rules and says what counts as a function of the normal path.
//!
//! A call through a register is followed where the register was loaded with a constant before, in
//! the same straight-line code; compilers emit this for repeated calls of one function. Any other
//! indirect call breaks a rule. One thing is assumed: that a table branch stays within its table,
//! because the compiler checks the index before it.

#![forbid(unsafe_code)]

mod program;
mod rules;

use anyhow::{Result, bail};
use build_elf::Elf;
use build_stack_depth::EXCEPTION_FRAME;
use crashlog_supervisor::EMERGENCY_STACK;
use rules::{Findings, Rules};
use std::collections::BTreeSet;

/// Bytes of stack that the emergency path may use (doc/design.md).
const STACK_BUDGET: u32 = 1536;

/// The system calls that the path may make: SEND for the report to the supervisor, GET_TIMER for
/// deadlines, REFRESH_TASK_ID for the supervisor's task id and its own.
const SYSTEM_CALLS: [(u32, &str); 3] = [(0, "SEND"), (9, "GET_TIMER"), (10, "REFRESH_TASK_ID")];

/// By which normal operation leaves the path.
const TO_NORMAL: (&str, &str) = ("main", "task_crashlog::normal::run");

/// Searches the card for the partition; called if retained memory has no location of it.
const TO_SEARCH: &str = "crashlog_store::emergency::search";

const RULES: Rules<'_> = Rules {
    not_taken: &[TO_NORMAL],
    normal: &[
        "drv_sdhci::normal::",
        "drv_mmc::normal::",
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
    // The search calls the store's async functions with a device that is always ready, so that each
    // future is polled once.
    polled_once: &["crashlog_store::", "block_device::"],
    // Its trap is behind the call of `main`, which does not return.
    may_trap: &["_start"],
    stack: STACK_BUDGET,
};

/// The only function that may SEND. It is the last step of the path.
const REPORTER: &str = "task_crashlog::emergency::report";

/// What was found.
#[derive(Debug)]
pub struct Proof {
    /// The facts, for people.
    pub facts: String,
    /// The rules that are broken, a line each; none if the path is as it must be.
    pub broken: BTreeSet<String>,
}

/// Checks the recorder, which is the task `task` with `reserved` bytes of stack.
pub fn check(task: &str, elf: &Elf, reserved: u32) -> Result<Proof> {
    let (program, entry) = program::read(elf)?;
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
    // First without the search: the location is known in nearly every crash, and the stack budget
    // is for this case.
    let not_taken = [TO_NORMAL, searching];
    let rules = Rules {
        not_taken: &not_taken,
        polled_once: &[],
        ..RULES
    };
    let ready = rules::check(&program, entry, &rules);
    let mut facts = describe(
        &format!("emergency path of task `{task}`"),
        &ready,
        &format!("budget {STACK_BUDGET}, reserved {reserved}"),
    );
    // The supervisor copies this much of the recorder's stack before the path overwrites it.
    let budget = reserved
        .min(EMERGENCY_STACK)
        .saturating_sub(EXCEPTION_FRAME);
    let rules = Rules {
        stack: budget,
        ..RULES
    };
    let all = rules::check(&program, entry, &rules);
    facts += &describe(
        "the same with the search for the partition, if no location is known",
        &all,
        &format!("budget {budget}, with the frame of an interrupt what a snapshot has a copy of"),
    );

    let mut broken: BTreeSet<String> = ready.broken.iter().chain(&all.broken).cloned().collect();
    broken.extend(other_senders(&all));
    Ok(Proof { facts, broken })
}

/// Functions other than the reporter that SEND: they would make the path wait for another task.
fn other_senders(findings: &Findings) -> Vec<String> {
    let senders = findings.system_calls.get(&0).into_iter().flatten();
    senders
        .filter(|sender| *sender != REPORTER)
        .map(|sender| format!("`{sender}` makes system call 0 (SEND), which only `{REPORTER}` may"))
        .collect()
}

fn describe(what: &str, findings: &Findings, limit: &str) -> String {
    let mut lines = vec![what.to_string()];
    lines.push(format!("  functions     {}", findings.functions));
    lines.push(format!("  code          {} bytes", findings.code));
    lines.push(format!("  stack         {} bytes; {limit}", findings.stack));
    for function in &findings.deepest {
        lines.push(format!("    {function}"));
    }
    lines.push("  system calls".into());
    for (number, callers) in &findings.system_calls {
        let name = SYSTEM_CALLS
            .iter()
            .find(|call| call.0 == *number)
            .map_or("not allowed", |call| call.1);
        let callers: Vec<&str> = callers.iter().map(String::as_str).collect();
        lines.push(format!("    {number} {name}: {}", callers.join(", ")));
    }
    if !findings.excused.is_empty() {
        lines.push(format!(
            "  asynchronous functions, each polled once: {}",
            findings.excused.len()
        ));
    }
    lines.join("\n") + "\n"
}
