//! Trace ring buffers and counters of a program.

use super::program::Program;
use super::system::DumpedSystem;
use super::types::{Type, Variable};
use super::value::Value;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

/// An entry of a ring buffer.
#[derive(Clone, Debug)]
pub struct RingEntry {
    pub line: u64,
    pub count: u64,
    pub payload: Value,
}

/// A ring buffer.
#[derive(Clone, Debug)]
pub struct Ring {
    pub name: String,
    /// The oldest first.
    pub entries: Vec<RingEntry>,
    /// How many entries fit.
    pub capacity: usize,
    /// How often each payload was recorded, if the buffer counts.
    pub counts: BTreeMap<String, u64>,
}

/// All ring buffers of a program.
pub fn rings(system: &DumpedSystem<'_>, program: &Program) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    for (variable, ty) in structures(program) {
        if ty.contains("Ringbuf") {
            let ring = ring(system, program, variable);
            rings.extend(ring.with_context(|| variable.path.clone())?);
        } else {
            let hidden = ty.is_empty() && variable.name.ends_with("RINGBUF");
            ensure!(!hidden, "{} has an unknown type", variable.path);
        }
    }
    Ok(rings)
}

/// All counters of a program outside of ring buffers: for each variable its counts by path.
pub fn counters(
    system: &DumpedSystem<'_>,
    program: &Program,
) -> Result<Vec<(String, BTreeMap<String, u64>)>> {
    let mut all = Vec::new();
    for (variable, ty) in structures(program) {
        if ty.contains("Counts") && !ty.contains("CountedRingbuf") {
            let value = system.value(program, variable)?;
            let mut counts = BTreeMap::new();
            count(&value, "", &mut counts).with_context(|| variable.path.clone())?;
            all.push((variable.path.clone(), counts));
        }
    }
    Ok(all)
}

/// Each variable with the name of its structure type; the name is empty if it has another type.
fn structures(program: &Program) -> impl Iterator<Item = (&Variable, &str)> {
    program.debug.variables.values().map(|variable| {
        let name = match program.debug.types.get(&variable.ty) {
            Some(Type::Struct(it)) => it.name.as_str(),
            _ => "",
        };
        (variable, name)
    })
}

fn ring(system: &DumpedSystem<'_>, program: &Program, variable: &Variable) -> Result<Option<Ring>> {
    let mut value = &system.value(program, variable)?;
    let mut counts = BTreeMap::new();
    if name(value)?.starts_with("CountedRingbuf") {
        count(value.member("counters")?, "", &mut counts)?;
        match value.member("ringbuf") {
            Ok(ring) => value = ring,
            Err(_) => return Ok(None),
        }
    }
    if named(value, "StaticCell") {
        let cell = value.member("cell")?;
        ensure!(named(cell, "UnsafeCell"), "the cell is a {}", name(cell)?);
        value = cell.member("value")?;
    }
    let last = value.member("last")?.option()?;
    let Value::Array(buffer) = value.member("buffer")? else {
        bail!("`buffer` is no array");
    };
    let mut entries = Vec::new();
    if let Some(last) = last {
        let last = last.number()? as usize;
        ensure!(last < buffer.len(), "`last` is {last} of {}", buffer.len());
        let order = (last + 1..buffer.len()).chain(0..=last);
        for entry in order.map(|index| &buffer[index]) {
            if entry.member("generation")?.number()? != 0 {
                entries.push(RingEntry {
                    line: entry.member("line")?.number()?,
                    count: entry.member("count")?.number().unwrap_or(1),
                    payload: entry.member("payload")?.clone(),
                });
            }
        }
    }
    Ok(Some(Ring {
        name: variable.path.clone(),
        entries,
        capacity: buffer.len(),
        counts,
    }))
}

/// Collects counts. Members are counters, zero-sized, or structures of counters.
fn count(value: &Value, path: &str, counts: &mut BTreeMap<String, u64>) -> Result<()> {
    let Value::Struct(_, members) = value else {
        bail!("`{path}` has no members with names");
    };
    for (name, value) in members {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        match value {
            Value::Number(0) => {}
            Value::Struct(ty, _) if ty.starts_with("AtomicU32") => {
                let cell = value.member("v")?;
                ensure!(named(cell, "UnsafeCell"), "`{path}` is in no UnsafeCell");
                let inner = cell.member("value")?;
                counts.insert(path, inner.number()?);
            }
            value => count(value, &path, counts)?,
        }
    }
    Ok(())
}

fn name(value: &Value) -> Result<&str> {
    match value {
        Value::Struct(name, _) => Ok(name),
        _ => bail!("no structure: {value:?}"),
    }
}

/// Whether it is the structure of this name, with any type parameters.
fn named(value: &Value, wanted: &str) -> bool {
    name(value).is_ok_and(|name| name.split('<').next() == Some(wanted))
}
