//! `build` and `clippy`: crates of the application one by one, without making an image.

use crate::config::suggest::hint;
use crate::dist::Build;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::fs;

/// The name that stands for the kernel where tasks are named.
const KERNEL: &str = "kernel";

/// Compiles the named tasks, or all. The kernel cannot be named: it needs the places of all tasks, which is `dist`.
pub fn build(build: &Build, names: &[String]) -> Result<()> {
    let product = build.first_product()?;
    let objects = product.directory.join("objects");
    fs::create_dir_all(&objects).with_context(|| format!("cannot make {}", objects.display()))?;
    let names = chosen(build, names, false)?;
    let mut progress = Progress::new(names.len());
    for name in names {
        let unit = build.task_unit(name, &product.image)?;
        progress.step(&format!("building {name}"));
        build
            .compiler()
            .build(&unit, &product.object(name), &mut progress)?;
    }
    Ok(())
}

/// Runs clippy over the named tasks, or all and the kernel. Expects that `dist` has been done, because the kernel's
/// tables come from there.
pub fn clippy(build: &Build, names: &[String]) -> Result<()> {
    let product = build.first_product()?;
    let names = chosen(build, names, true)?;
    let mut progress = Progress::new(names.len());
    for name in names {
        let unit = if name == KERNEL {
            build.finished_kernel_unit(&product)?
        } else {
            build.task_unit(name, &product.image)?
        };
        progress.step(&format!("checking {name}"));
        build.compiler().clippy(&unit, &mut progress)?;
    }
    Ok(())
}

/// The tasks that are meant: those named, or all, and then the kernel too if it may be.
fn chosen<'a>(build: &'a Build, names: &'a [String], kernel: bool) -> Result<Vec<&'a str>> {
    let known: Vec<&str> = build
        .config
        .app
        .tasks
        .keys()
        .map(String::as_str)
        .chain(kernel.then_some(KERNEL))
        .collect();
    if names.is_empty() {
        return Ok(known);
    }
    for name in names {
        if !known.contains(&name.as_str()) {
            bail!(
                "{}: tasks: no task `{name}`{}",
                build.config.path.display(),
                hint(name, known.iter().copied())
            );
        }
    }
    Ok(names.iter().map(String::as_str).collect())
}
