//! `check-emergency`: proves what the recorder's emergency path cannot do

use crate::dist::{Build, Product};
use crate::output;
use anyhow::{Context, Result, bail};
use build_elf::Elf;

/// Checks the recorder of an application that was built, and prints what was found.
pub fn run(build: &Build, product: &Product) -> Result<()> {
    let (task, stack) = recorder(build)?;
    let elf = Elf::read(&product.task(&task))?;
    let path = build.config.path.display();
    let proof =
        build_emergency_proof::check(&task, &elf, stack).with_context(|| path.to_string())?;
    // What is broken is said also if nobody reads the facts.
    let printed = output::print(&proof.facts);
    for line in &proof.broken {
        eprintln!("{task}: {line}");
    }
    if !proof.broken.is_empty() {
        bail!(
            "{path}: the emergency path of task `{task}` breaks {} rules (doc/design.md, \"The proof from the \
             binary\")",
            proof.broken.len()
        );
    }
    printed
}

/// The task that has the emergency path, and the bytes that are reserved for its stack.
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
