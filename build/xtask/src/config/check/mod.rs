//! The rules of a configuration beyond its schema
//!
//! They are checked before anything is built. Most prevent failures at run time: with the uphill
//! rule no tasks can deadlock by SEND, a notification of an interrupt cannot be taken for one of a
//! timer, and a task that needs more regions than there are would fault at its first access.

mod machine;
mod tasks;

use super::error::Step;
use super::{App, Config, Problem};
use anyhow::Result;

/// Checks every rule; the first that is broken is the error.
pub fn check(config: &Config) -> Result<()> {
    let app = |problem| config.files.app.locate(&problem);
    refused(&config.app).map_err(app)?;
    machine::memory(config).map_err(|problem| config.files.memory.locate(&problem))?;
    machine::kernel(config).map_err(app)?;
    tasks::priorities(&config.app.tasks).map_err(app)?;
    for (name, task) in &config.app.tasks {
        let inside = |problem: Problem| app(under_task(problem, name));
        tasks::sources(config, task).map_err(inside)?;
        tasks::stack(config, task).map_err(inside)?;
        tasks::notifications(task).map_err(inside)?;
        tasks::slots(&config.app.tasks, name, task).map_err(inside)?;
        tasks::interrupts(config, task).map_err(inside)?;
        tasks::regions(config, task).map_err(inside)?;
    }
    tasks::kernel_callers(&config.app).map_err(app)?;
    tasks::dump_agent(config).map_err(app)?;
    tasks::supervisors_kernel(config).map_err(app)?;
    tasks::shared_interrupts(config).map_err(app)?;
    // What is wrong only for this architecture comes last, behind all that is wrong anywhere.
    machine::board(config).map_err(|problem| config.files.board.locate(&problem))?;
    machine::memory_granules(config).map_err(|problem| config.files.memory.locate(&problem))?;
    machine::chip_granules(config).map_err(|problem| config.files.chip.locate(&problem))
}

/// A problem of a task, with its path from the top of the file.
fn under_task(problem: Problem, name: &str) -> Problem {
    problem
        .under(Step::Key(name.to_string()))
        .under(Step::Key("tasks".to_string()))
}

/// Parts of upstream's schema that need hardware which no board here has.
fn refused(app: &App) -> Result<(), Problem> {
    let parts = [
        (
            "mmio",
            app.mmio.is_some(),
            "no board here has an FPGA with memory-mapped registers",
        ),
        (
            "auxflash",
            app.auxflash.is_some(),
            "no board here has an auxiliary flash",
        ),
        (
            "caboose",
            app.caboose.is_some(),
            "an image that is loaded as an ELF file has no caboose",
        ),
        (
            "signing",
            app.signing.is_some(),
            "no chip here verifies signatures",
        ),
    ];
    for (key, present, why) in parts {
        if present {
            return Err(Problem::at(
                &[key],
                format!("not supported: {why}; remove it"),
            ));
        }
    }
    if app.image_names.is_empty() {
        return Err(Problem::at(
            &["image-names"],
            "is empty; name at least one image",
        ));
    }
    Ok(())
}
