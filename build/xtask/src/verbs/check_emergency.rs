//! `check-emergency`: proves what the recorder's emergency path cannot do

use crate::dist::{Build, Product};
use anyhow::{Context, Result};
use build_elf::Elf;

/// Checks the recorder of an application that was built, and prints what was found.
pub fn run(build: &Build, product: &Product) -> Result<()> {
    let (task, stack) = recorder(build)?;
    let elf = Elf::read(&product.task(&task))?;
    build_emergency_proof::run(&task, &elf, stack)
        .with_context(|| build.config.path.display().to_string())
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
