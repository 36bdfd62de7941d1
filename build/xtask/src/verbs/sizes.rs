//! `sizes`: flash, RAM and stack of each task

use crate::allocate::Needs;
use crate::dist::{Build, Product};
use crate::output;
use crate::progress::Progress;
use anyhow::{Result, bail};
use build_elf::Elf;
use build_elf::names::short;
use build_stack_depth as stack;
use build_util::hint;
use indexmap::IndexMap;
use std::fmt::Write;

const HEADING: [&str; 6] = ["task", "flash", "ram", "stack", "direct", "indirect"];

/// Prints a table.
///
/// All numbers are bytes. `flash` and `ram` are what the task uses, `ram` including its stack.
/// `stack` is the size of the stack, `direct` the need of the deepest chain of direct calls, and
/// `indirect` the need if every call through a register could call every function whose address is
/// taken (`build/stack-depth`).
pub fn print(build: &Build, product: &Product) -> Result<()> {
    let needs = measured(build, product)?;
    let mut rows = vec![HEADING.map(String::from)];
    let mut notes = Vec::new();
    let (mut flash, mut ram) = (0, 0);
    for (name, task) in &build.config.app.tasks {
        let bound = stack::bound(&Elf::read(&product.trial(name))?)?;
        let of = |output: &str| {
            needs
                .get(name)
                .and_then(|needs| needs.get(output))
                .copied()
                .unwrap_or_default()
        };
        flash += of("flash");
        ram += of(build.config.ram_of(task));
        rows.push([
            name.clone(),
            of("flash").to_string(),
            of(build.config.ram_of(task)).to_string(),
            build.config.stack_of(task).to_string(),
            bound.direct.to_string(),
            bound.with_indirect.to_string(),
        ]);
        if !bound.recursive.is_empty() {
            let names: Vec<String> = bound.recursive.iter().map(|name| short(name)).collect();
            notes.push(format!(
                "{name}: counted once, but may recurse: {}",
                names.join(", ")
            ));
        }
    }
    let none = String::new;
    rows.push([
        "total".into(),
        flash.to_string(),
        ram.to_string(),
        none(),
        none(),
        none(),
    ]);
    let mut text = table(&rows);
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    if let Some(needs) = build.snapshot_needs(product)? {
        text.push_str(&format!(
            "snapshot: {} KiB for the whole system, {} KiB for the largest task (`{}`); a crash slot has {}\n",
            needs.whole.div_ceil(1024),
            needs.largest.div_ceil(1024),
            needs.task,
            needs.slot / 1024,
        ));
    }
    output::print(&text)
}

/// Prints the deepest chain of direct calls of one task.
pub fn print_chain(build: &Build, product: &Product, task: &str) -> Result<()> {
    if build.config.index_of(task).is_none() {
        let hint = hint(task, build.config.app.tasks.keys().map(String::as_str));
        bail!(
            "{}: tasks: no task `{task}`{hint}",
            build.config.path.display()
        );
    }
    measured(build, product)?;
    let bound = stack::bound(&Elf::read(&product.trial(task))?)?;
    let mut text = String::new();
    for (name, frame) in &bound.chain {
        writeln!(text, "{frame:6}  {}", short(name))?;
    }
    writeln!(text, "{:6}  frame of an interrupt", stack::EXCEPTION_FRAME)?;
    writeln!(text, "{:6}  together", bound.direct)?;
    output::print(&text)
}

fn measured(build: &Build, product: &Product) -> Result<IndexMap<String, Needs>> {
    let mut progress = Progress::new(build.config.app.tasks.len());
    Ok(build.measured(product, &mut progress)?.1)
}

/// First column to the left, numbers to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].len())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns() {
        let rows = [["task", "flash"], ["idle", "92"], ["crashlog", "30000"]]
            .map(|row| row.map(String::from));
        assert_eq!(
            table(&rows),
            "task      flash\nidle         92\ncrashlog  30000\n"
        );
    }
}
