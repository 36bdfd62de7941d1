//! `crashlog show`: one crash record, explained.

use crate::archive::{self, Archive, Program};
use crate::card::{Body, Card, Record};
use crate::cli::Show;
use crate::describe::{self, Names};
use crate::logbook::{Item, Logbook};
use crate::problem::Problem;
use crate::terminal::{BAD, FAINT, GOOD, Output, STRONG, WARN};
use crate::text::{count, dump, hex, printable, seconds};
use crate::unwind::{self, Stack};
use crate::{list, log, tasks};
use crashlog_format::record::{REGISTER_NAMES, SegmentKind};
use crashlog_format::{Step, found};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::Write;

/// Where a record has the index of a task: it was the kernel.
pub const KERNEL: u16 = u16::MAX;

/// Lines of a stack or memory dump that are shown; `--json` has it all.
const DUMP_LINES: usize = 32;

pub fn run(args: &Show, out: &mut Output) -> Result<(), Problem> {
    let archive = args.archive.as_deref().map(Archive::open).transpose()?;
    let names = archive::names(archive.as_ref());
    let card = Card::open(&args.image, false)?;
    let record = card.find(args.sequence)?;
    let bodies = card.bodies(&record)?;
    let program = match &archive {
        _ if record.is_self_test() => None,
        Some(archive) if record.header.task.get() == KERNEL => archive.kernel(),
        Some(archive) => {
            Some(archive.program(record.header.task.get(), record.header.name.as_str())?)
        }
        None => None,
    };
    let chain = program
        .as_ref()
        .map(|program| chain(program, &record, &bodies));
    if args.json {
        return json(
            args,
            &card,
            &record,
            &bodies,
            program.as_ref().zip(chain.as_deref()),
            names,
            out,
        );
    }
    headline(&record, names, out)?;
    facts(&card, &record, out)?;
    if !record.is_self_test() {
        registers(&record, out)?;
    }
    if let (Some(program), Some(chain)) = (&program, &chain) {
        writeln!(out, "\n{STRONG}Where it was{STRONG:#}")?;
        for address in chain {
            for line in explain(program, *address, chain) {
                writeln!(out, "  {line}")?;
            }
        }
    }
    if record.is_self_test() {
        return pattern(&bodies, out);
    }
    for body in &bodies {
        if body.segment.kind() == Ok(SegmentKind::Tasks) && body.sound {
            tasks::show(body, names, out)?;
        } else {
            segment(body, out)?;
        }
    }
    log_before(args, &card, &record, names, out)
}

fn headline(record: &Record, names: &dyn Names, out: &mut Output) -> Result<(), Problem> {
    let header = &record.header;
    let name = printable(header.name.as_str().as_bytes());
    if record.is_self_test() {
        writeln!(
            out,
            "{STRONG}Record {}{STRONG:#}: {GOOD}a self-test{GOOD:#} of the emergency path by task {STRONG}{name}{STRONG:#}; \
             nothing crashed,\n{} s after the start of boot {}.\n",
            header.sequence,
            seconds(header.time.get()),
            header.boot,
        )?;
        return Ok(());
    }
    let fault = describe::fault(header.fault(), header.fault_bytes(), names);
    if header.task.get() == KERNEL {
        writeln!(
            out,
            "{STRONG}Record {}{STRONG:#}: {BAD}the kernel failed{BAD:#}, and the system was restarted, {} s after the start of \
             boot {}.\n",
            header.sequence,
            seconds(header.time.get()),
            header.boot,
        )?;
        return Ok(());
    }
    writeln!(
        out,
        "{STRONG}Record {}{STRONG:#}: task {STRONG}{name}{STRONG:#} (index {}) {BAD}{fault}{BAD:#};\n{}, {} s after the \
         start of boot {}.\n",
        header.sequence,
        header.task,
        describe::reason(header.reason()),
        seconds(header.time.get()),
        header.boot,
    )?;
    Ok(())
}

fn facts(card: &Card, record: &Record, out: &mut Output) -> Result<(), Problem> {
    let header = &record.header;
    let mut fact = |name: &str, text: String| writeln!(out, "  {name:<10}{text}");
    if let Some(fault) = header.fault() {
        fact("fault", fault.to_string())?;
    }
    if record.is_self_test() {
        fact("written", "by the emergency path".to_owned())?;
    } else {
        fact("written", describe::written(header.late(), &header.outcome))?;
    }
    let steps: Vec<_> = Step::ALL
        .into_iter()
        .filter(|step| header.outcome.finished(*step))
        .map(Step::name)
        .collect();
    if !steps.is_empty() {
        fact("steps", steps.join(", "))?;
    }
    for (name, text) in describe::found(&header.outcome) {
        fact(name, text)?;
    }
    if header.task.get() != KERNEL && !record.is_self_test() {
        fact(
            "restarts",
            format!("{} of this task in that boot before", header.restarts),
        )?;
    }
    match record.entry.repeats.get() {
        0 => {}
        repeats => fact(
            "again",
            format!(
                "{} with the same task, fault and place; the last one {} s after the start of boot {}",
                count(repeats.into(), "more time"),
                seconds(record.entry.last_time.get().into()),
                record.entry.last_boot
            ),
        )?,
    }
    let then = &header.counters;
    let which = if record.is_self_test() {
        "not counted; crashes"
    } else {
        "crash number"
    };
    fact(
        "counters",
        format!(
            "{which} {} since the card was formatted: {} oops, {} panic, {} kernel; {} of them written late",
            u64::from(then.oops.get()) + u64::from(then.panic.get()) + u64::from(then.kernel.get()),
            then.oops,
            then.panic,
            then.kernel,
            then.late
        ),
    )?;
    fact(
        "log",
        format!(
            "{} had been accepted in that boot",
            count(header.log_record.get().into(), "record")
        ),
    )?;
    if record.acknowledged {
        fact(
            "seen",
            "acknowledged: its slot may be used again".to_owned(),
        )?;
    }
    for text in &card.damaged {
        writeln!(out, "  {WARN}{text}{WARN:#}")?;
    }
    Ok(())
}

fn registers(record: &Record, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "\n{STRONG}Registers{STRONG:#}")?;
    let named: Vec<_> = REGISTER_NAMES.iter().zip(record.header.registers).collect();
    for row in named.chunks(4) {
        for (name, value) in row {
            write!(out, "  {FAINT}{name:>3}{FAINT:#} {value:08x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The chain of calls, as far as the stack was saved.
fn chain(program: &Program, record: &Record, bodies: &[Body]) -> Vec<u32> {
    let mut registers = [0; 16];
    for (to, from) in registers.iter_mut().zip(record.header.registers) {
        *to = from.get();
    }
    let stack = bodies
        .iter()
        .find(|body| body.segment.kind() == Ok(SegmentKind::Stack) && body.sound);
    let stack = stack.map_or(
        Stack {
            address: 0,
            bytes: &[],
        },
        |body| Stack {
            address: body.segment.address(),
            bytes: &body.bytes,
        },
    );
    unwind::chain(program, &registers, &stack)
}

/// An address of the chain as lines: the function, and those that it was inlined into.
fn explain(program: &Program, address: u32, chain: &[u32]) -> Vec<String> {
    let inside = if chain.first() == Some(&address) {
        address
    } else {
        address.wrapping_sub(1)
    };
    let places = program.places(inside);
    if places.is_empty() {
        return vec![format!("{address:08x}  ?")];
    }
    let mut lines = Vec::new();
    for (index, place) in places.iter().enumerate() {
        if index == 0 {
            lines.push(format!("{address:08x}  {place}"));
        } else {
            lines.push(format!("          in {place}"));
        }
    }
    lines
}

fn segment(body: &Body, out: &mut Output) -> Result<(), Problem> {
    let segment = &body.segment;
    write!(out, "\n{STRONG}{}{STRONG:#}", title(segment.kind()))?;
    if segment.is_excerpt() {
        write!(
            out,
            " {FAINT}(the first {} of {} bytes){FAINT:#}",
            segment.length(),
            segment.original()
        )?;
    }
    if segment.is_truncated() {
        write!(
            out,
            " {WARN}(cut: {} of {} bytes){WARN:#}",
            segment.length(),
            segment.original()
        )?;
    }
    if !body.sound {
        write!(out, " {WARN}(damaged: the checksum does not match){WARN:#}")?;
    }
    writeln!(out)?;
    if body.is_text() {
        for line in body.bytes.split(|byte| *byte == b'\n') {
            writeln!(out, "  {}", printable(line))?;
        }
        return Ok(());
    }
    let lines = dump(segment.address(), &body.bytes);
    for line in lines.iter().take(DUMP_LINES) {
        writeln!(out, "  {line}")?;
    }
    if lines.len() > DUMP_LINES {
        writeln!(
            out,
            "  {FAINT}... {} more bytes; --json has them all{FAINT:#}",
            body.bytes.len() - DUMP_LINES * 16
        )?;
    }
    Ok(())
}

/// What a self-test wrote: a text, and bytes that mean nothing.
fn pattern(bodies: &[Body], out: &mut Output) -> Result<(), Problem> {
    for body in bodies {
        if body.is_text() {
            segment(body, out)?;
        } else {
            let whole = if body.sound { "whole" } else { "damaged" };
            let length = body.segment.length();
            writeln!(
                out,
                "\n{STRONG}Test pattern{STRONG:#}\n  {length} bytes, {whole}"
            )?;
        }
    }
    Ok(())
}

fn title(kind: Result<SegmentKind, u8>) -> String {
    match kind {
        Ok(SegmentKind::Message) => "What it said".to_owned(),
        Ok(SegmentKind::Stack) => "Stack".to_owned(),
        Ok(SegmentKind::Note) => "Notes of the supervisor".to_owned(),
        Ok(SegmentKind::Memory) => "Memory".to_owned(),
        Ok(SegmentKind::Epitaph) => "What the kernel said".to_owned(),
        Ok(SegmentKind::Directory) => "Registered regions".to_owned(),
        Ok(SegmentKind::Tasks) => "What every task was doing".to_owned(),
        Err(number) => format!("Segment of kind {number}, which this program does not know"),
    }
}

/// The log lines just before the crash.
fn log_before(
    args: &Show,
    card: &Card,
    record: &Record,
    names: &dyn Names,
    out: &mut Output,
) -> Result<(), Problem> {
    if args.lines == 0 {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}The log before it{STRONG:#}")?;
    // The lines are rendered as they come, and only the last ones are kept.
    let header = &record.header;
    let logbook = Logbook::open(card)?;
    let mut total = 0_usize;
    logbook.before(
        header.boot.get(),
        header.log_record.get(),
        args.lines,
        |item| {
            total += usize::from(matches!(item, Item::Record(_)));
            Ok(())
        },
    )?;
    let mut skip = total.saturating_sub(args.lines);
    logbook.before(
        header.boot.get(),
        header.log_record.get(),
        args.lines,
        |item| match item {
            Item::Record(_) if skip > 0 => {
                skip -= 1;
                Ok(())
            }
            Item::Record(record) => log::line(&record, names, out),
            Item::Missing { count: missing, .. } => {
                writeln!(
                    out,
                    "{WARN}      {} missing here{WARN:#}",
                    count(missing.into(), "record")
                )?;
                Ok(())
            }
        },
    )?;
    if total == 0 {
        writeln!(out, "  nothing of that boot is on the card (any more)")?;
    }
    Ok(())
}

fn json(
    args: &Show,
    card: &Card,
    record: &Record,
    bodies: &[Body],
    code: Option<(&Program, &[u32])>,
    names: &dyn Names,
    out: &mut Output,
) -> Result<(), Problem> {
    let header = &record.header;
    let mut value = list::summary(record);
    value["description"] = if record.is_self_test() {
        "tried its emergency path".into()
    } else if header.task.get() == KERNEL {
        "failed".into()
    } else {
        describe::fault(header.fault(), header.fault_bytes(), names).into()
    };
    let registers: Map<String, Value> = REGISTER_NAMES
        .iter()
        .zip(header.registers)
        .map(|(name, value)| ((*name).to_owned(), value.get().into()))
        .collect();
    value["registers"] = registers.into();
    let then = &header.counters;
    value["counters"] = json!({ "oops": then.oops.get(), "panic": then.panic.get(), "kernel": then.kernel.get(), "late": then.late.get() });
    value["truncated"] = bodies.iter().any(|body| body.segment.is_truncated()).into();
    value["log_records"] = header.log_record.get().into();
    let outcome = &header.outcome;
    value["emergency"] = json!({
        "phase": format!("{:?}", outcome.phase()).to_lowercase(),
        "failure": outcome.failure().to_string(),
        "minimal": outcome.is_minimal(),
        "steps": Step::ALL.into_iter().filter(|step| outcome.finished(*step)).map(Step::name).collect::<Vec<_>>(),
        "controller": outcome.controller,
        "card": outcome.card,
        "command": outcome.command,
        "dma": outcome.mode & found::MODE_DMA != 0,
        "blocks_left": outcome.blocks_left.get(),
        "drain": found::drain(outcome.drain),
        "repairs": found::repairs(outcome.repairs.get()).collect::<Vec<_>>(),
        "phase_ms": outcome.phase_milliseconds.map(|ms| ms.get()),
        "retries": outcome.retries.get(),
        "error": outcome.error.get(),
        "pages": outcome.pages.get(),
        "blocks": outcome.blocks.get(),
        "time_ms": outcome.milliseconds.get(),
    });
    let segments: Vec<Value> = bodies
        .iter()
        .map(|body| {
            let mut value = json!({
                "kind": body.name(),
                "address": body.segment.address(),
                "length": body.segment.length(),
                "original_length": body.segment.original(),
                "excerpt": body.segment.is_excerpt(),
                "truncated": body.segment.is_truncated(),
                "sound": body.sound,
            });
            if body.is_text() {
                value["text"] = String::from_utf8_lossy(&body.bytes).into();
            } else if body.segment.kind() == Ok(SegmentKind::Tasks) {
                value["tasks"] = tasks::json(&body.bytes, names);
            } else {
                value["hex"] = hex(&body.bytes).into();
            }
            value
        })
        .collect();
    value["segments"] = segments.into();
    if let Some((program, chain)) = code {
        let chain: Vec<Value> = chain
            .iter()
            .map(|address| json!({ "address": address, "places": explain(program, *address, chain) }))
            .collect();
        value["chain"] = chain.into();
    }
    let mut lines = VecDeque::new();
    Logbook::open(card)?.before(
        header.boot.get(),
        header.log_record.get(),
        args.lines,
        |item| {
            if let Item::Record(record) = item {
                lines.push_back(log::value(&record, names));
                if lines.len() > args.lines {
                    lines.pop_front();
                }
            }
            Ok(())
        },
    )?;
    value["log"] = lines.into_iter().collect::<Vec<_>>().into();
    writeln!(out, "{value:#}")?;
    Ok(())
}
