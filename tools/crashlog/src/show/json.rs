//! `crashlog show --json`: one crash as a JSON object.

use crate::archive::Archive;
use crate::backtrace::{Backtrace, Call};
use crate::card::Card;
use crate::cli::Show;
use crate::crash::{Crash, SegmentData};
use crate::describe::{self, Names};
use crate::logbook::{self, Item, Logbook};
use crate::problem::Problem;
use crate::text::hex;
use crate::{archives, list, log_line, tasks};
use crashlog_format::crash::{CrashHeader, REGISTER_NAMES, SegmentKind};
use crashlog_format::{EmergencyStep, found};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// The crash, without its snapshot.
pub fn of(
    args: &Show,
    card: &Card,
    crash: &Crash,
    segments: &[SegmentData],
    archive: Option<&Archive>,
    backtrace: Option<&Backtrace<'_>>,
) -> Result<Value, Problem> {
    let names = archives::names(archive);
    let header = &crash.header;
    let logbook = Logbook::open_for(card, [crash])?;
    let mut value = list::summary(crash, logbook.clock());
    value["description"] = if crash.is_self_test() {
        "tested its emergency path".into()
    } else if crash.is_of_kernel() {
        "failed".into()
    } else {
        describe::fault(header.fault(), header.fault_bytes(), names).into()
    };
    value["archive"] = archive
        .map(|archive| archive.path().to_string_lossy())
        .into();
    let registers: Map<String, Value> = REGISTER_NAMES
        .iter()
        .zip(crash.registers())
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    value["registers"] = registers.into();
    let then = &header.counters;
    value["counters"] = json!({ "oops": then.oops.get(), "panic": then.panic.get(), "kernel": then.kernel.get(), "late": then.late.get() });
    value["truncated"] = segments
        .iter()
        .any(|data| data.segment.is_truncated())
        .into();
    value["log_records"] = logbook::accepted_before(header).into();
    value["log_missing"] = logbook.tails().missing(header).into();
    value["emergency"] = emergency(header);
    let segments: Vec<Value> = segments.iter().map(|data| segment(data, names)).collect();
    value["segments"] = segments.into();
    if let Some(backtrace) = backtrace {
        value["chain"] = chain(&backtrace.calls());
    }
    value["log"] = log_before(args, &logbook, header, names)?;
    Ok(value)
}

/// A backtrace.
pub fn chain(calls: &[Call]) -> Value {
    let calls = calls.iter();
    calls
        .map(|call| json!({ "address": call.address, "places": call.lines }))
        .collect()
}

/// The outcome of the emergency write.
fn emergency(header: &CrashHeader) -> Value {
    let outcome = &header.outcome;
    let steps = EmergencyStep::ALL.into_iter();
    let steps = steps.filter(|step| outcome.finished(*step));
    json!({
        "phase": format!("{:?}", outcome.phase()).to_lowercase(),
        "failure": outcome.failure().to_string(),
        "minimal": outcome.is_minimal(),
        "first_failure": outcome.first_failure().to_string(),
        "steps": steps.map(EmergencyStep::name).collect::<Vec<_>>(),
        "controller": outcome.controller,
        "card": outcome.card,
        "command": outcome.command,
        "dma": outcome.mode & found::MODE_DMA != 0,
        "blocks_left": outcome.blocks_left.get(),
        "drain": found::drain(outcome.drain),
        "repairs": found::repairs(outcome.repairs.get()).collect::<Vec<_>>(),
        "phase_ms": outcome.phase_ms.map(|ms| ms.get()),
        "retries": outcome.retries.get(),
        "error": outcome.error.get(),
        "pages": outcome.pages.get(),
        "blocks": outcome.blocks.get(),
        "time_ms": outcome.milliseconds.get(),
    })
}

/// A segment and its contents.
fn segment(data: &SegmentData, names: &dyn Names) -> Value {
    let segment = &data.segment;
    let mut value = json!({
        "kind": data.name(),
        "address": segment.address(),
        "length": segment.length(),
        "original_length": segment.original(),
        "excerpt": segment.is_excerpt(),
        "truncated": segment.is_truncated(),
        "sound": data.sound,
    });
    if data.is_text() {
        value["text"] = String::from_utf8_lossy(&data.bytes).into();
    } else if segment.kind() == Ok(SegmentKind::Tasks) {
        value["tasks"] = tasks::json(&data.bytes, names);
    } else {
        value["hex"] = hex(&data.bytes).into();
    }
    value
}

/// The last log records before the crash.
fn log_before(
    args: &Show,
    logbook: &Logbook<'_>,
    header: &CrashHeader,
    names: &dyn Names,
) -> Result<Value, Problem> {
    let mut lines = VecDeque::new();
    logbook.before(header, args.lines, |item| {
        if let Item::Record(record) = item {
            lines.push_back(log_line::value(&record, names, logbook.clock()));
            if lines.len() > args.lines {
                lines.pop_front();
            }
        }
        Ok(())
    })?;
    Ok(lines.into_iter().collect::<Vec<_>>().into())
}
