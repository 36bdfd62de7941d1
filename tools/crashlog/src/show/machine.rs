//! `crashlog show`: what was in the machine, from a snapshot.
//!
//! Tables have the columns of Humility.

use crate::cli::TaskChoice;
use crate::postmortem::{PostMortem, RegionContent, Ring, TaskState};
use crate::problem::Problem;
use crate::terminal::{BAD, FAINT, Output, STRONG, WARN};
use crate::text::{count, dump, hex, printable};
use crate::value::Radix;
use crashlog_format::crash::REGISTER_NAMES;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Lines of a dump of a region that are shown; `--json` has all bytes.
const DUMP_LINES: usize = 8;

/// Notes that are shown; `--json` has all.
const NOTES: usize = 20;

/// Prints all of it; or why it cannot be explained.
pub fn show(
    post: &Result<PostMortem, Problem>,
    choice: TaskChoice,
    out: &mut Output,
) -> Result<(), Problem> {
    let post = match post {
        Ok(post) => post,
        Err(problem) => {
            let why = printable(problem.to_string().as_bytes());
            writeln!(out, "\n{STRONG}Tasks{STRONG:#}\n  {WARN}{why}{WARN:#}")?;
            return Ok(());
        }
    };
    let is_chosen = |index: u16| choice == TaskChoice::All || post.important.contains(&index);
    tasks(post, out)?;
    waits(post, out)?;
    if choice == TaskChoice::All {
        for task in &post.tasks {
            backtrace(task, out)?;
        }
    }
    let rings: Vec<_> = post
        .rings
        .iter()
        .filter(|ring| is_chosen(ring.task))
        .collect();
    if !rings.is_empty() {
        writeln!(out, "\n{STRONG}Ring buffers{STRONG:#}")?;
    }
    for it in rings {
        ring(post, it, out)?;
    }
    regions(post, out)?;
    stacks(post, out)?;
    if !post.notes.is_empty() {
        writeln!(out, "\n{STRONG}What could not be read{STRONG:#}")?;
        for note in post.notes.iter().take(NOTES) {
            writeln!(out, "  {WARN}{}{WARN:#}", printable(note.as_bytes()))?;
        }
        let more = post.notes.len().saturating_sub(NOTES);
        if more > 0 {
            writeln!(out, "  {WARN}and {} more; --json has all{WARN:#}", more)?;
        }
    }
    Ok(())
}

fn tasks(post: &PostMortem, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "\n{STRONG}Tasks{STRONG:#}")?;
    writeln!(out, "system time = {}", post.ticks)?;
    if let Some(epitaph) = &post.epitaph {
        writeln!(
            out,
            "{BAD}the kernel has failed: {}{BAD:#}",
            printable(epitaph.as_bytes())
        )?;
    }
    writeln!(
        out,
        "{FAINT}ID TASK                       GEN PRI STATE{FAINT:#}"
    )?;
    for task in &post.tasks {
        let name = printable(task.name.as_bytes());
        let state = printable(task.state.as_bytes());
        let (before, after) = if task.is_faulted {
            (format!("{BAD}"), format!("{BAD:#}"))
        } else {
            (String::new(), String::new())
        };
        writeln!(
            out,
            "{:2} {name:<24} {:>5} {:>3} {before}{state}{after}",
            task.index, task.generation, task.priority
        )?;
    }
    Ok(())
}

fn waits(post: &PostMortem, out: &mut Output) -> Result<(), Problem> {
    if post.waits.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}Who waits for whom{STRONG:#}")?;
    for wait in &post.waits {
        let text = printable(wait.text.as_bytes());
        match wait.hopeless {
            Some(_) => writeln!(out, "  {BAD}{text}{BAD:#}")?,
            None => writeln!(out, "  {text}")?,
        }
    }
    for circle in &post.deadlocks {
        writeln!(out, "  {BAD}{}{BAD:#}", deadlock(post, circle))?;
    }
    Ok(())
}

/// A deadlock in words.
pub fn deadlock(post: &PostMortem, circle: &[u16]) -> String {
    let name = |index: &u16| {
        let name = post.task(*index).map(|task| task.name.as_str());
        printable(name.unwrap_or("?").as_bytes())
    };
    let names: Vec<_> = circle.iter().chain(circle.first()).map(name).collect();
    format!(
        "deadlock: {}: none of them can go on",
        names.join(" waits for ")
    )
}

fn backtrace(task: &TaskState, out: &mut Output) -> Result<(), Problem> {
    writeln!(
        out,
        "\n{STRONG}Backtrace of {}{STRONG:#}",
        printable(task.name.as_bytes())
    )?;
    for line in &task.backtrace {
        writeln!(out, "  {}", printable(line.as_bytes()))?;
    }
    Ok(())
}

fn ring(post: &PostMortem, ring: &Ring, out: &mut Output) -> Result<(), Problem> {
    let task = post.task(ring.task).map_or("?", |task| &task.name);
    writeln!(
        out,
        "ring buffer {} in {}:",
        printable(ring.name.as_bytes()),
        printable(task.as_bytes())
    )?;
    if !ring.totals.is_empty() {
        writeln!(out, "{FAINT}   TOTAL VARIANT{FAINT:#}")?;
        for (name, total) in &ring.totals {
            writeln!(out, "{total:>8} {}", printable(name.as_bytes()))?;
        }
    }
    if !ring.entries.is_empty() {
        writeln!(out, "{FAINT} NDX LINE      GEN    COUNT PAYLOAD{FAINT:#}")?;
        for entry in &ring.entries {
            writeln!(
                out,
                "{:>4} {:>4} {:>8} {:>8} {}",
                entry.index,
                entry.line,
                entry.generation,
                entry.count,
                printable(entry.payload.as_bytes())
            )?;
        }
    }
    Ok(())
}

fn regions(post: &PostMortem, out: &mut Output) -> Result<(), Problem> {
    if post.regions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}Registered regions{STRONG:#}")?;
    for region in &post.regions {
        let name = printable(region.name.as_bytes());
        let owner = post.task(region.owner).map_or("?", |task| &task.name);
        let of = if region.is_device { "registers, " } else { "" };
        write!(
            out,
            "  {STRONG}{name}{STRONG:#} of {} ({of}{} at {:08x})",
            printable(owner.as_bytes()),
            count(region.length.into(), "byte"),
            region.address
        )?;
        match &region.content {
            RegionContent::Variable(path, value) => {
                let text = printable(value.text(Radix::Decimal).as_bytes());
                writeln!(out, "\n    {} = {text}", printable(path.as_bytes()))?;
            }
            RegionContent::Bytes(bytes) => {
                writeln!(out)?;
                lines(region.address, bytes, out)?;
            }
            RegionContent::Missing(address, why) => {
                writeln!(out, "\n    {WARN}{address:08x} is missing: {why}{WARN:#}")?;
                for (address, bytes) in region.parts.iter().take(DUMP_LINES) {
                    lines(*address, bytes, out)?;
                }
            }
        }
    }
    Ok(())
}

/// The first lines of a dump.
fn lines(address: u32, bytes: &[u8], out: &mut Output) -> Result<(), Problem> {
    for line in dump(address, bytes).iter().take(DUMP_LINES) {
        writeln!(out, "    {line}")?;
    }
    let more = bytes.len().saturating_sub(DUMP_LINES * 16);
    if more > 0 {
        writeln!(
            out,
            "    {FAINT}... {more} more bytes; --json has all of them{FAINT:#}"
        )?;
    }
    Ok(())
}

fn stacks(post: &PostMortem, out: &mut Output) -> Result<(), Problem> {
    if post.tasks.iter().all(|task| task.stack.is_none()) {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}Stack margins{STRONG:#}")?;
    writeln!(
        out,
        "{FAINT}ID TASK                STACKBASE  STACKSIZE   MAXDEPTH     MARGIN{FAINT:#}"
    )?;
    for task in &post.tasks {
        let Some(stack) = task.stack else {
            continue;
        };
        writeln!(
            out,
            "{:2} {:<18} {:#010x} {:>10} {:>10} {:>10}",
            task.index,
            printable(task.name.as_bytes()),
            stack.base,
            stack.size,
            stack.size - stack.margin,
            stack.margin
        )?;
    }
    Ok(())
}

/// The same as JSON.
pub fn json(post: &Result<PostMortem, Problem>) -> Value {
    let post = match post {
        Ok(post) => post,
        Err(problem) => return json!({ "unknown": problem.to_string() }),
    };
    let tasks: Vec<Value> = post.tasks.iter().map(task_json).collect();
    let waits: Vec<Value> = post
        .waits
        .iter()
        .map(|wait| {
            json!({
                "from": wait.from,
                "to": wait.to,
                "for": wait.kind.name(),
                "may_be_notified": wait.may_be_notified,
                "hopeless": wait.hopeless,
                "text": wait.text,
            })
        })
        .collect();
    let rings: Vec<Value> = post.rings.iter().map(ring_json).collect();
    let regions: Vec<Value> = post
        .regions
        .iter()
        .map(|region| {
            let mut value = json!({
                "name": region.name,
                "owner": region.owner,
                "address": region.address,
                "length": region.length,
                "device": region.is_device,
            });
            match &region.content {
                RegionContent::Variable(path, content) => {
                    value["variable"] = path.as_str().into();
                    value["value"] = content.json();
                }
                RegionContent::Bytes(bytes) => value["hex"] = hex(bytes).into(),
                RegionContent::Missing(address, why) => {
                    value["missing"] = json!({ "address": address, "why": why });
                    let parts = region.parts.iter();
                    value["parts"] = parts
                        .map(|(address, bytes)| json!({ "address": address, "hex": hex(bytes) }))
                        .collect();
                }
            }
            value
        })
        .collect();
    json!({
        "ticks": post.ticks,
        "epitaph": post.epitaph,
        "tasks": tasks,
        "waits": waits,
        "deadlocks": post.deadlocks,
        "rings": rings,
        "regions": regions,
        "notes": post.notes,
    })
}

fn task_json(task: &TaskState) -> Value {
    let registers = task.registers.map(|registers| {
        let all = REGISTER_NAMES.iter().zip(registers);
        all.map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect::<Map<_, _>>()
    });
    json!({
        "index": task.index,
        "task": task.name,
        "generation": task.generation,
        "priority": task.priority,
        "state": task.state,
        "faulted": task.is_faulted,
        "crashed": task.is_crashed,
        "registers": registers,
        "chain": super::json::chain(&task.calls),
        "stack": task.stack.map(|stack| json!({
            "base": stack.base,
            "size": stack.size,
            "margin": stack.margin,
        })),
    })
}

fn ring_json(ring: &Ring) -> Value {
    let totals = ring.totals.iter();
    let totals: Map<_, _> = totals
        .map(|(name, total)| (name.clone(), (*total).into()))
        .collect();
    let entries: Vec<Value> = ring
        .entries
        .iter()
        .map(|entry| {
            json!({
                "index": entry.index,
                "line": entry.line,
                "generation": entry.generation,
                "count": entry.count,
                "payload": entry.payload,
            })
        })
        .collect();
    json!({ "task": ring.task, "name": ring.name, "totals": totals, "entries": entries })
}
