//! `sizes`: what each task takes of flash and RAM, and how deep its stack can get.

use crate::dist::{Build, Product};
use crate::elf::Elf;
use crate::stack;
use anyhow::Result;

const HEADING: [&str; 6] = ["task", "flash", "ram", "stack", "direct", "indirect"];

/// Prints a table for one image, which must have been built.
///
/// `flash` and `ram` are what the task uses, `ram` with its stack; `stack` is what it has, `direct` what the deepest
/// chain of direct calls takes of it, `indirect` the same if every call through a register could call any function
/// whose address is taken.
pub fn print(build: &Build, product: &Product) -> Result<()> {
    let mut rows = vec![HEADING.map(String::from)];
    let mut notes = Vec::new();
    let (mut flash, mut ram) = (0, 0);
    for (name, task) in &build.config.app.tasks {
        let needs = build.needs(product, name)?;
        let bound = stack::bound(&Elf::read(&product.task(name))?)?;
        let of = |output: &str| needs.get(output).copied().unwrap_or_default();
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
            notes.push(format!(
                "{name}: counted once, but may recurse: {}",
                bound.recursive.join(", ")
            ));
        }
    }
    rows.push([
        "total".into(),
        flash.to_string(),
        ram.to_string(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    print!("{}", table(&rows));
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

/// Prints the deepest chain of direct calls of one task.
pub fn print_chain(product: &Product, task: &str) -> Result<()> {
    let bound = stack::bound(&Elf::read(&product.task(task))?)?;
    for (name, frame) in &bound.chain {
        println!("{frame:6}  {}", rustc_demangle::demangle(name));
    }
    println!("{:6}  frame of an interrupt", stack::EXCEPTION_FRAME);
    println!("{:6}  together", bound.direct);
    Ok(())
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
