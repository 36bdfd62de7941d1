//! Trace ring buffers, counters and Idol interfaces

use super::dwarf::{Debug, Struct, Type};
use super::hiffy;
use super::names::{self, bare};
use super::program::Program;
use super::{Report, Topic};
use idol::syntax::{Interface, Reply};
use object::{Object, ObjectSection};
use std::collections::BTreeMap;

/// Checks the data of all programs.
pub fn check(objects: &[Program], debugs: &[Debug], report: &mut Report) {
    let mut interfaces: BTreeMap<String, String> = BTreeMap::new();
    for (program, debug) in objects.iter().zip(debugs) {
        for variable in &debug.variables {
            let name = debug
                .structure(variable.ty)
                .map_or("", |it| it.name.as_str());
            if name.contains("Ringbuf")
                && let Err(what) = ring_variable(debug, variable.ty)
            {
                report.add(
                    &program.member,
                    Topic::RingBuffers,
                    format!("ring buffer `{}`: {what}", variable.name),
                );
            }
            if (name.contains("Counts") || name.contains("CountedRingbuf"))
                && let Err(what) = counters_variable(debug, variable.ty)
            {
                report.add(
                    &program.member,
                    Topic::Counters,
                    format!("counters `{}`: {what}", variable.name),
                );
            }
        }
        for variable in &debug.variables {
            let ty = debug.describe(variable.ty);
            if variable.name.ends_with("_CLIENT_COUNTERS") && !ty.ends_with("EventCounts") {
                report.add(
                    &program.member,
                    Topic::Counters,
                    format!(
                        "counters `{}` are a `{ty}`; `counters ipc` takes the interface's name from `<Interface>EventCounts`",
                        variable.name
                    ),
                );
            }
        }
        if let Some(interface) = interface(program, debug, report) {
            names::of_interface(&program.member, &interface, debugs, report);
            let name = interface.name.to_string();
            if let Some(other) = interfaces.insert(name.clone(), program.name.clone()) {
                report.add(
                    &program.member,
                    Topic::Hiffy,
                    format!("serves interface `{name}`, as `{other}` does; names must be unique over all tasks"),
                );
            }
        }
        if program.name == "hiffy" {
            hiffy::check(program, debug, report);
        }
    }
}

/// Checks that a static has the shape of a ring buffer.
fn ring_variable(debug: &Debug, at: usize) -> Result<(), String> {
    let it = debug.structure(at).ok_or("is no structure")?;
    if it.name.starts_with("CountedRingbuf") {
        if it.member("counters").is_none() {
            return Err("a counted one needs a member `counters`".into());
        }
        return it
            .member("ringbuf")
            .map_or(Ok(()), |ring| in_cell(debug, ring.ty));
    }
    if it.name.starts_with("StaticCell") {
        return in_cell(debug, at);
    }
    ring(debug, it)
}

/// `StaticCell { cell: UnsafeCell { value } }`
fn in_cell(debug: &Debug, at: usize) -> Result<(), String> {
    let named = |at: usize, name: &str| {
        debug
            .structure(at)
            .filter(|it| it.name.split('<').next() == Some(name))
            .ok_or(format!("`{}` should be a `{name}`", debug.describe(at)))
    };
    let cell = named(at, "StaticCell")?
        .member("cell")
        .ok_or("`StaticCell` needs a member `cell`")?;
    let value = named(cell.ty, "UnsafeCell")?
        .member("value")
        .ok_or("`UnsafeCell` needs a member `value`")?;
    ring(
        debug,
        debug
            .structure(value.ty)
            .ok_or("the cell holds no structure")?,
    )
}

fn ring(debug: &Debug, it: &Struct) -> Result<(), String> {
    let last = it.member("last").ok_or("has no member `last`")?;
    let last = debug.structure(last.ty).ok_or("`last` is no Option")?;
    let index = last
        .variants
        .iter()
        .find(|variant| variant.name == "Some")
        .and_then(|some| debug.structure(some.ty)?.member("__0"))
        .ok_or("`last` is no Option")?;
    if !matches!(debug.ty(index.ty), Some(Type::Base { size: 4, .. })) {
        return Err("`last` must be an Option of a number of 4 bytes".into());
    }
    let buffer = it.member("buffer").ok_or("has no member `buffer`")?;
    let Some(Type::Array { element, .. }) = debug.ty(buffer.ty) else {
        return Err("`buffer` is no array".into());
    };
    let entry = debug
        .structure(*element)
        .ok_or("`buffer` is no array of structures")?;
    for name in ["line", "generation"] {
        let sound = entry
            .member(name)
            .is_some_and(|it| matches!(debug.ty(it.ty), Some(Type::Base { size: 2, .. })));
        if !sound {
            return Err(format!("`{name}` of an entry must be a u16"));
        }
    }
    let count = entry.member("count").ok_or("an entry has no `count`")?;
    if !matches!(debug.ty(count.ty), Some(Type::Base { .. })) {
        return Err("`count` of an entry must be a number or nothing".into());
    }
    let payload = entry.member("payload").ok_or("an entry has no `payload`")?;
    debug.unreadable(payload.ty).map_or(Ok(()), |what| {
        Err(format!(
            "its payload holds {what}, which Humility cannot read; record something else"
        ))
    })
}

fn counters_variable(debug: &Debug, at: usize) -> Result<(), String> {
    let it = debug.structure(at).ok_or("is no structure")?;
    if it.name.starts_with("CountedRingbuf") {
        let counters = it.member("counters").ok_or("has no member `counters`")?;
        return counters_of(debug, counters.ty);
    }
    counters_of(debug, at)
}

fn counters_of(debug: &Debug, at: usize) -> Result<(), String> {
    let what = debug.describe(at);
    let it = debug
        .structure(at)
        .ok_or(format!("`{what}` is no structure"))?;
    if it.members.is_empty() || it.is_tuple() {
        return Err(format!("`{what}` has no members with names"));
    }
    for member in &it.members {
        match debug.ty(member.ty) {
            Some(Type::Base { size: 0, .. }) => {}
            Some(Type::Struct(counter)) if counter.name.starts_with("AtomicU32") => {
                let value = counter
                    .member("v")
                    .and_then(|v| debug.structure(v.ty)?.member("value"))
                    .map(|value| value.ty);
                if !value.is_some_and(|ty| matches!(debug.ty(ty), Some(Type::Base { size: 4, .. })))
                {
                    return Err(format!(
                        "`{}` is no AtomicU32 {{ v: UnsafeCell {{ value }} }}",
                        member.name
                    ));
                }
            }
            Some(Type::Struct(_)) => counters_of(debug, member.ty)?,
            _ => {
                return Err(format!(
                    "`{}` is neither a counter nor counters",
                    member.name
                ));
            }
        }
    }
    Ok(())
}

/// Checks the interface that a program serves, and returns it.
fn interface(program: &Program, debug: &Debug, report: &mut Report) -> Option<Interface> {
    let file = program.file().ok()?;
    let data = file.section_by_name(".idolatry")?.data().ok()?.to_vec();
    if data.is_empty() {
        return None;
    }
    let mut add = |what: String| report.add(&program.member, Topic::Hiffy, what);
    let Ok(text) = std::str::from_utf8(&data) else {
        add("section .idolatry is no UTF-8".into());
        return None;
    };
    let interface: Interface = match text.parse() {
        Ok(interface) => interface,
        Err(cause) => {
            add(format!("section .idolatry: {cause}"));
            return None;
        }
    };
    let name = interface.name.to_string();
    for (op, operation) in &interface.ops {
        let op = op.to_string();
        let arguments = format!("{name}_{op}_ARGS");
        if !operation.args.is_empty() {
            let found = debug.structs(&arguments);
            let names: Vec<String> = operation.args.keys().map(ToString::to_string).collect();
            let whole = found.iter().any(|it| {
                names.iter().all(|name| {
                    it.member(name).is_some() || it.member(&format!("raw_{name}")).is_some()
                })
            });
            if !whole {
                add(format!(
                    "operation `{op}` needs a structure `{arguments}` with members {names:?} in the debug information, \
                     or Humility cannot call it"
                ));
            }
        }
        if let Some(what) = reply(debug, &name, &op, &operation.reply) {
            add(what);
        }
    }
    Some(interface)
}

/// Why Humility could not decode a reply; `None` if it can.
fn reply(debug: &Debug, interface: &str, op: &str, reply: &Reply) -> Option<String> {
    // Humility shows tuples of base types alone: other parts are in the tuple's name with their
    // paths, by which Humility does not find it. That is not an error of the image.
    if matches!(reply.ok().ty, syn::Type::Tuple(_)) {
        return None;
    }
    let ok = bare(&reply.ok().ty);
    let named = format!("{interface}_{op}_REPLY");
    if !debug.has_type(&ok) && !debug.has_type(&named) {
        return Some(format!(
            "operation `{op}`: neither `{ok}` nor `{named}` is in the debug information, so Humility cannot show a reply"
        ));
    }
    let error = reply.error_type().map(bare);
    error
        .filter(|error| !debug.has_enum(error))
        .map(|error| {
            format!(
                "operation `{op}`: its error `{error}` is no enum in the debug information, so Humility cannot show it"
            )
        })
}
