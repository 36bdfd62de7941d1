//! Trace ring buffers, as `humility ringbuf` finds and shows them.

use crate::dwarf::{DebugInfo, Type, Variable};
use crate::snapshot::Snapshot;
use crate::value::{Radix, Value};

/// A ring buffer.
pub struct Ring {
    /// Index of the task that has it.
    pub task: u16,
    /// The variable's name with its modules.
    pub name: String,
    /// How often each payload was recorded, if the buffer counts; those that never were are left
    /// out, and the most frequent is first.
    pub totals: Vec<(String, u64)>,
    /// The oldest first.
    pub entries: Vec<RingEntry>,
}

/// An entry of a ring buffer.
pub struct RingEntry {
    /// Its place in the buffer.
    pub index: usize,
    /// The line of the source that recorded it.
    pub line: u64,
    pub generation: u64,
    /// How often it was recorded without another between.
    pub count: u64,
    /// What was recorded, as Humility shows it.
    pub payload: String,
}

/// The ring buffers of a task, and why others could not be read.
pub fn read(debug: &DebugInfo, task: u16, snapshot: &Snapshot) -> (Vec<Ring>, Vec<String>) {
    let (mut rings, mut notes) = (Vec::new(), Vec::new());
    for variable in debug.variables.values() {
        let is_ring = match debug.resolve(variable.ty) {
            Some(Type::Struct(it)) => it.name.contains("Ringbuf"),
            _ => false,
        };
        if !is_ring {
            continue;
        }
        match ring(debug, variable, task, snapshot) {
            Ok(ring) => rings.extend(ring),
            Err(why) => notes.push(format!("ring buffer {}: {why}", variable.path)),
        }
    }
    (rings, notes)
}

fn ring(
    debug: &DebugInfo,
    variable: &Variable,
    task: u16,
    snapshot: &Snapshot,
) -> Result<Option<Ring>, String> {
    let bytes = snapshot
        .memory
        .bytes(variable.address, variable.size as usize)
        .map_err(|absent| {
            let why = snapshot.why_missing(absent.0);
            format!("{:#010x} is missing: {why}", absent.0)
        })?;
    let broken = || "its bytes are no ring buffer".to_owned();
    let whole = Value::read(debug, variable.ty, &bytes).ok_or_else(broken)?;
    let mut value = &whole;
    let mut totals = Vec::new();
    if value.type_name().starts_with("CountedRingbuf") {
        count(
            value.member("counters").ok_or_else(broken)?,
            "",
            &mut totals,
        );
        totals.sort_by_key(|(_, total)| std::cmp::Reverse(*total));
        match value.member("ringbuf") {
            Some(ring) => value = ring,
            // It counts, and keeps no entries.
            None => {
                return Ok(Some(Ring {
                    task,
                    name: variable.path.clone(),
                    totals,
                    entries: Vec::new(),
                }));
            }
        }
    }
    if value.type_name() == "StaticCell" {
        let cell = value.member("cell").and_then(|cell| cell.member("value"));
        value = cell.ok_or_else(broken)?;
    }
    let last = value.member("last").and_then(Value::option);
    let last = last.ok_or_else(broken)?.and_then(Value::number);
    let Some(Value::Array(buffer)) = value.member("buffer") else {
        return Err(broken());
    };
    let mut entries = Vec::new();
    if let Some(last) = last {
        let last = usize::try_from(last)
            .ok()
            .filter(|last| *last < buffer.len())
            .ok_or_else(broken)?;
        for index in (last + 1..buffer.len()).chain(0..=last) {
            let entry = &buffer[index];
            let number = |name: &str| entry.member(name).and_then(Value::number);
            let generation = number("generation").ok_or_else(broken)?;
            if generation == 0 {
                continue;
            }
            entries.push(RingEntry {
                index,
                line: number("line").ok_or_else(broken)?,
                generation,
                // A ring buffer may be without counts.
                count: number("count").unwrap_or(1),
                payload: entry
                    .member("payload")
                    .ok_or_else(broken)?
                    .text(Radix::Hexadecimal),
            });
        }
    }
    Ok(Some(Ring {
        task,
        name: variable.path.clone(),
        totals,
        entries,
    }))
}

/// Collects counters, which may be nested.
fn count(value: &Value, path: &str, totals: &mut Vec<(String, u64)>) {
    let Value::Struct(_, members) = value else {
        return;
    };
    for (name, value) in members {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        if !value.type_name().starts_with("AtomicU32") {
            count(value, &path, totals);
            continue;
        }
        let cell = value.member("v").and_then(|cell| cell.member("value"));
        if let Some(total) = cell.and_then(Value::number).filter(|total| *total > 0) {
            totals.push((path, total));
        }
    }
}
