//! What every task was doing at a failure of the kernel or the supervisor.

use crate::crash::SegmentData;
use crate::describe::{self, Names};
use crate::problem::Problem;
use crate::terminal::{BAD, Output, STRONG, WARN};
use crate::text::count;
use crashlog_format::{Activity, TaskEntry};
use serde_json::{Value, json};
use std::io::Write;
use zerocopy::FromBytes;

/// Heading of the table.
pub const TITLE: &str = "What every task was doing";

/// The entries of a segment.
pub fn entries(bytes: &[u8]) -> Vec<TaskEntry> {
    bytes
        .chunks_exact(size_of::<TaskEntry>())
        .filter_map(|entry| TaskEntry::read_from_bytes(entry).ok())
        .collect()
}

/// Prints a line for each task.
pub fn show(data: &SegmentData, names: &dyn Names, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "\n{STRONG}{TITLE}{STRONG:#}")?;
    for (index, entry) in (0..).zip(entries(&data.bytes)) {
        let name = names.task_or_number(index);
        let mark = if entry.is_current() { '>' } else { ' ' };
        let place = match (entry.pc.get(), entry.sp.get()) {
            (0, 0) => "registers unknown".to_owned(),
            (pc, sp) => format!("pc {pc:08x} sp {sp:08x}"),
        };
        write!(
            out,
            " {mark}{index:>3}  {name:<16} priority {:<3} {place:<26} {}",
            entry.priority,
            activity(&entry, names)
        )?;
        if entry.is_faulted() {
            write!(out, ", then {BAD}{}{BAD:#}", fault(&entry, names))?;
        }
        if entry.restarts.get() > 0 {
            write!(out, ", {}", count(entry.restarts.get().into(), "restart"))?;
        }
        if entry.notifications.get() != 0 {
            write!(out, ", posted {:#x}", entry.notifications)?;
        }
        writeln!(out)?;
    }
    let missing = data
        .segment
        .original()
        .saturating_sub(data.segment.length())
        / size_of::<TaskEntry>() as u32;
    if missing > 0 {
        writeln!(
            out,
            "  {WARN}there was no room for {}{WARN:#}",
            count(missing.into(), "more task")
        )?;
    }
    Ok(())
}

/// The same as JSON.
pub fn json(bytes: &[u8], names: &dyn Names) -> Value {
    let entries = entries(bytes);
    let values = (0..).zip(&entries).map(|(index, entry)| {
        json!({
            "index": index,
            "task": names.task(index),
            "current": entry.is_current(),
            "priority": entry.priority,
            "restarts": entry.restarts.get(),
            "notifications": entry.notifications.get(),
            "pc": entry.pc.get(),
            "sp": entry.sp.get(),
            "activity": activity(entry, names),
            "fault": entry.is_faulted().then(|| entry.fault().map(|fault| fault.to_string())),
        })
    });
    Value::Array(values.collect())
}

/// What a task was doing, in words.
pub fn activity(entry: &TaskEntry, names: &dyn Names) -> String {
    let peer = || match entry.peer.get() {
        u16::MAX => "the kernel".to_owned(),
        id => names.task_or_number(id & 0x3ff),
    };
    match entry.activity() {
        Ok(Activity::Stopped) => "stopped".to_owned(),
        Ok(Activity::Runnable) => "ready to run".to_owned(),
        Ok(Activity::Sending) => format!("sending to {}", peer()),
        Ok(Activity::AwaitingReply) => format!("waiting for the reply of {}", peer()),
        Ok(Activity::Receiving) => "waiting for messages".to_owned(),
        Ok(Activity::ReceivingFrom) => format!("waiting for a message of {}", peer()),
        Err(number) => format!("unknown state {number}"),
    }
}

/// The fault of a task, as a sentence that follows its name.
pub fn fault(entry: &TaskEntry, names: &dyn Names) -> String {
    match entry.fault() {
        Some(fault) => describe::fault(Some(fault), &[], names),
        None => "faulted in a way that this program does not know".to_owned(),
    }
}
