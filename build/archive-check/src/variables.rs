//! Whether Humility finds the variables that it looks for
//!
//! It takes address and size of a variable from its symbol. Of several symbols at one address it
//! sees the first. Of several variables with one name it takes the first, those of the kernel
//! before those of the tasks.

use super::dwarf::{Debug, Variable};
use super::program::{Program, Symbol};
use super::{Report, Topic};

/// Variables of the kernel that Humility looks up by name.
const OF_KERNEL: [&str; 7] = [
    "TICKS",
    "KERNEL_HAS_FAILED",
    "KERNEL_EPITAPH",
    "CLOCK_FREQ_KHZ",
    "HUBRIS_TASK_TABLE_SPACE",
    "HUBRIS_TASK_DESCS",
    "HUBRIS_REGION_DESCS",
];

/// Checks the variables of all programs.
pub fn check(objects: &[Program], debugs: &[Debug], report: &mut Report) {
    for (program, debug) in objects.iter().zip(debugs) {
        for variable in debug.variables.iter().filter(|it| it.placed) {
            if is_looked_for(program, debug, variable)
                && let Err(what) = find(program, debug, variable)
            {
                report.add(
                    &program.member,
                    Topic::DebugInformation,
                    format!("variable `{}` {what}", variable.name),
                );
            }
        }
    }
    for name in OF_KERNEL {
        unique(name, "kernel", objects, debugs, report);
    }
    let executor = objects.iter().zip(debugs).find(|it| it.0.name == "hiffy");
    let names = executor.map_or(Vec::new(), |(_, debug)| {
        let all = debug.variables.iter().filter(|it| it.placed);
        all.map(|it| it.name.clone())
            .filter(|name| name.starts_with("HIFFY_"))
            .collect()
    });
    for name in &names {
        unique(name, "hiffy", objects, debugs, report);
    }
}

/// Whether a command of Humility shows or needs the variable.
fn is_looked_for(program: &Program, debug: &Debug, variable: &Variable) -> bool {
    let ty = debug
        .structure(variable.ty)
        .map_or("", |it| it.name.as_str());
    let name = variable.name.as_str();
    ty.contains("Ringbuf")
        || ty.contains("Counts")
        || program.name == "kernel" && OF_KERNEL.contains(&name)
        || program.name == "hiffy" && name.starts_with("HIFFY_")
}

/// The symbol of a variable, if Humility uses it.
fn symbol<'p>(program: &'p Program, variable: &Variable) -> Option<&'p Symbol> {
    let found = program.symbol(&variable.linkage);
    found.filter(|it| it.size > 0 && it.section.is_some())
}

fn find(program: &Program, debug: &Debug, variable: &Variable) -> Result<(), String> {
    let Some(own) = symbol(program, variable) else {
        return Err(format!(
            "has no symbol `{}` with a size, so Humility does not see it",
            variable.linkage
        ));
    };
    let first = debug
        .variables
        .iter()
        .find(|other| symbol(program, other).is_some_and(|it| it.address == own.address));
    match first {
        Some(first) if first.linkage != variable.linkage => Err(format!(
            "is at {:#x}, as `{}` is; Humility sees that one alone",
            own.address, first.name
        )),
        _ => Ok(()),
    }
}

/// Checks that Humility finds this variable, and not another of the same name.
fn unique(name: &str, of: &str, objects: &[Program], debugs: &[Debug], report: &mut Report) {
    for (program, debug) in objects.iter().zip(debugs) {
        let mut places: Vec<u32> = debug
            .variables
            .iter()
            .filter(|it| it.name == name)
            .filter_map(|it| Some(symbol(program, it)?.address))
            .collect();
        places.sort_unstable();
        places.dedup();
        // Only the kernel's are found before those of a task, or a task's before those of one
        // behind it.
        let is_own = program.name == of;
        if is_own && places.len() > 1 || !is_own && of != "kernel" && !places.is_empty() {
            report.add(
                &program.member,
                Topic::DebugInformation,
                format!("variable `{name}` is there again; Humility looks it up by that name, so call it something else"),
            );
        }
    }
}
