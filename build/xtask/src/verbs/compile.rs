//! `build`, `clippy` and `doc`: single crates of the application, without an image

use crate::dist::Build;
use crate::output;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use build_util::hint;
use std::fs;
use std::path::PathBuf;

/// The name of the kernel in a list of tasks.
const KERNEL: &str = "kernel";

/// Compiles the named tasks, or all. The kernel cannot be named, because it needs the addresses of
/// all tasks: `dist` builds it.
pub fn build(build: &Build, names: &[String]) -> Result<()> {
    let _lock = build.lock()?;
    let product = build.first_product()?;
    let objects = product.directory.join("objects");
    fs::create_dir_all(&objects).with_context(|| format!("cannot make {}", objects.display()))?;
    let names = chosen(build, names, false)?;
    let mut progress = Progress::new(names.len());
    for name in names {
        let unit = build.task_unit(name, &product.image)?;
        progress.step(&format!("building {name}"));
        build.build_bindeps(&product, name, &mut progress)?;
        build
            .compiler()
            .build(&unit, &product.object(name), &mut progress)?;
    }
    Ok(())
}

/// Runs clippy over the named tasks, or over all and the kernel. `dist` must have run, because the
/// kernel's tables are made there.
pub fn clippy(build: &Build, names: &[String]) -> Result<()> {
    let _lock = build.lock()?;
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
        if name != KERNEL {
            build.build_bindeps(&product, name, &mut progress)?;
        }
        build.compiler().clippy(&unit, &mut progress)?;
    }
    Ok(())
}

/// Writes the documentation of the named tasks, or of all, private items included, and returns its
/// folder.
pub fn doc(build: &Build, names: &[String]) -> Result<PathBuf> {
    let _lock = build.lock()?;
    let product = build.first_product()?;
    let names = chosen(build, names, false)?;
    let mut progress = Progress::new(names.len());
    for name in names {
        let unit = build.task_unit(name, &product.image)?;
        progress.step(&format!("documenting {name}"));
        build.build_bindeps(&product, name, &mut progress)?;
        build.compiler().doc(&unit, &mut progress)?;
    }
    let target = &build.config.app.target;
    Ok(build.tree.firmware().join(target).join("doc"))
}

/// The names of the tasks, one a line, in the order of their indices.
pub fn list(build: &Build) -> Result<()> {
    let tasks = build.config.app.tasks.keys();
    output::print(&tasks.map(|name| format!("{name}\n")).collect::<String>())
}

/// The named tasks, or all. With `kernel`, the kernel may be named, and is among all.
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
