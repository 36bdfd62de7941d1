//! `crashlog show`: one crash, explained.

mod json;
mod machine;
pub mod saved;

use crate::archive::Archive;
use crate::archives::{self, Archives};
use crate::backtrace::Backtrace;
use crate::card::Card;
use crate::cli::Show;
use crate::crash::{Crash, SegmentData};
use crate::describe::{self, Names};
use crate::logbook::{self, Item, Logbook};
use crate::pieces::Pieces;
use crate::postmortem::PostMortem;
use crate::problem::Problem;
use crate::snapshot::{NoSnapshot, Snapshot};
use crate::terminal::{BAD, FAINT, GOOD, Output, STRONG, WARN};
use crate::text::{count, dump, printable, seconds};
use crate::{boot, log, tasks, text};
use crashlog_format::EmergencyStep;
use crashlog_format::crash::{REGISTER_NAMES, SegmentKind};
use std::io::Write;

/// Number of lines of a dump of memory that are shown; `--json` has all bytes.
const DUMP_LINES: usize = 32;

pub fn run(args: &Show, out: &mut Output) -> Result<(), Problem> {
    let archives = Archives::given(&args.archives)?;
    let card = Card::open(&args.image, false)?;
    let crash = card.find(args.sequence)?;
    let archive = crash.archive(&archives)?;
    let names = archives::names(archive.as_ref());
    let segments = crash.segments(&card)?;
    let mut snapshot = Snapshot::read(&card, &crash)?;
    let program = crash.program(archive.as_ref())?;
    let backtrace = program
        .as_ref()
        .filter(|_| crash.has_place())
        .map(|program| {
            let memory = snapshot.as_ref().ok().map(|snapshot| &snapshot.memory);
            Backtrace::new(program, &crash, &segments, memory)
        });
    let post = match (&archive, &mut snapshot) {
        (Some(archive), Ok(snapshot)) => Some(PostMortem::new(archive, &crash, snapshot)),
        _ => None,
    };
    if args.json {
        let mut value = json::of(
            args,
            &card,
            &crash,
            &segments,
            archive.as_ref(),
            backtrace.as_ref(),
        )?;
        value["snapshot"] = saved::json(&snapshot, names);
        value["machine"] = post.as_ref().map(machine::json).into();
        writeln!(out, "{}", text::json(&value, true))?;
        return end(&card, &crash, &segments, &snapshot, out);
    }
    headline(&crash, names, out)?;
    let logbook = (args.lines > 0)
        .then(|| Logbook::open_for(&card, [&crash]))
        .transpose()?;
    let build = build(&crash, archive.as_ref(), logbook.as_ref())?;
    let clock = logbook.as_ref().map(Logbook::clock);
    let utc = clock.and_then(|clock| crash.utc(clock));
    let log = match &logbook {
        Some(logbook) if !crash.is_self_test() => logbook.tails().text(&crash.header),
        _ => logbook::accepted_text(&crash.header),
    };
    facts(&card, &crash, (build, log), utc, &snapshot, out)?;
    if !crash.is_self_test() {
        registers(&crash, out)?;
    }
    if let Some(backtrace) = &backtrace {
        writeln!(out, "\n{STRONG}Backtrace{STRONG:#}")?;
        for line in backtrace.text() {
            writeln!(out, "  {}", printable(line.as_bytes()))?;
        }
    }
    if crash.is_self_test() {
        pattern(&segments, out)?;
        return end(&card, &crash, &segments, &snapshot, out);
    }
    for data in &segments {
        if data.segment.kind() == Ok(SegmentKind::Tasks) && data.sound {
            tasks::show(data, names, out)?;
        } else {
            segment(data, out)?;
        }
    }
    if let Some(post) = &post {
        machine::show(post, args.tasks, out)?;
    }
    if let Ok(snapshot) = &snapshot {
        saved::missing(snapshot, names, out)?;
    }
    if let Some(logbook) = &logbook {
        log_before(args, logbook, &crash, names, out)?;
    }
    end(&card, &crash, &segments, &snapshot, out)
}

/// Everything is shown. The error says what is damaged, if anything is.
fn end(
    card: &Card,
    crash: &Crash,
    segments: &[SegmentData],
    snapshot: &Result<Snapshot, NoSnapshot>,
    out: &mut Output,
) -> Result<(), Problem> {
    const REST: &str = "the rest is shown";
    out.flush()?;
    saved::check(snapshot, card, crash.header.sequence.get(), REST)?;
    crash.check(card, segments, REST)?;
    card.check(0, REST)
}

fn headline(crash: &Crash, names: &dyn Names, out: &mut Output) -> Result<(), Problem> {
    let header = &crash.header;
    let name = printable(header.name.as_str().as_bytes());
    let number = header.sequence;
    let time = format!(
        "{} s after the start of boot {}",
        seconds(header.time.get()),
        header.boot
    );
    if crash.is_self_test() {
        writeln!(
            out,
            "{STRONG}{GOOD}Self-test {number}{GOOD:#}{STRONG:#} of the emergency path by task {STRONG}{name}{STRONG:#}: \
             nothing crashed,\n{time}.\n",
        )?;
    } else if crash.is_of_kernel() {
        writeln!(
            out,
            "{STRONG}Crash record {number}{STRONG:#}: {BAD}the kernel failed{BAD:#}; the system was restarted,\n{time}.\n",
        )?;
    } else {
        let fault = describe::fault(header.fault(), header.fault_bytes(), names);
        writeln!(
            out,
            "{STRONG}Crash record {number}{STRONG:#}: task {STRONG}{name}{STRONG:#} (index {}) {BAD}{fault}{BAD:#};\n{}, {time}.\n",
            header.task,
            describe::reason(header.reason()),
        )?;
    }
    Ok(())
}

fn facts(
    card: &Card,
    crash: &Crash,
    (build, log): (String, String),
    utc: Option<String>,
    snapshot: &Result<Snapshot, NoSnapshot>,
    out: &mut Output,
) -> Result<(), Problem> {
    let header = &crash.header;
    let mut fact = |name: &str, text: String| writeln!(out, "  {name:<10}{text}");
    if let Some(fault) = header.fault() {
        fact("fault", fault.to_string())?;
    }
    if let Some(utc) = utc {
        fact("time", utc)?;
    }
    if crash.is_self_test() {
        fact("written", "by the emergency path".to_owned())?;
    } else {
        fact("written", describe::written(header.late(), &header.outcome))?;
    }
    let steps: Vec<_> = EmergencyStep::ALL
        .into_iter()
        .filter(|step| header.outcome.finished(*step))
        .map(EmergencyStep::name)
        .collect();
    if !steps.is_empty() {
        fact("steps", steps.join(", "))?;
    }
    for (name, text) in describe::found(&header.outcome) {
        fact(name, text)?;
    }
    if !crash.is_of_kernel() && !crash.is_self_test() {
        fact(
            "restarts",
            format!("{} of this task before, in the same boot", header.restarts),
        )?;
    }
    match crash.entry.repeats.get() {
        0 => {}
        repeats => fact(
            "repeated",
            format!(
                "{} with {}; the last time {} s after the start of boot {}",
                count(repeats.into(), "time"),
                crash.common(),
                seconds(crash.entry.last_time.get().into()),
                crash.entry.last_boot
            ),
        )?,
    }
    let then = &header.counters;
    let total =
        u64::from(then.oops.get()) + u64::from(then.panic.get()) + u64::from(then.kernel.get());
    let which = if crash.is_self_test() {
        let crashes = if total == 1 { "crash" } else { "crashes" };
        format!("not counted; {total} {crashes}")
    } else {
        format!("crash number {total}")
    };
    fact(
        "counters",
        format!(
            "{which} since the card was formatted: {} oops, {} panic, {} kernel; {} of them written late",
            then.oops, then.panic, then.kernel, then.late
        ),
    )?;
    fact("log", log)?;
    fact("build", build)?;
    match snapshot {
        Ok(snapshot) => fact("memory", saved::fact(snapshot))?,
        Err(_) if crash.is_self_test() => {}
        Err(none) => fact("memory", format!("none: {}", none.why))?,
    }
    if crash.acknowledged {
        fact(
            "state",
            "acknowledged: its slot may be used for another crash".to_owned(),
        )?;
    }
    for text in card.remarks() {
        writeln!(out, "  {WARN}{text}{WARN:#}")?;
    }
    Ok(())
}

/// The image that crashed, and its name: as its boot record says or, if that is not there, its
/// archive.
fn build(
    crash: &Crash,
    archive: Option<&Archive>,
    logbook: Option<&Logbook<'_>>,
) -> Result<String, Problem> {
    let id = crash.image_id();
    let text = id.map_or("unknown".to_owned(), |id| id.to_string());
    let boot = crash.header.boot.get();
    let recorded = match logbook {
        Some(logbook) => logbook.build(boot, id, boot::names)?,
        None => None,
    };
    Ok(match (recorded, archive) {
        (Some(names), _) => format!("{text}  {names}"),
        (None, Some(archive)) if id == Some(archive.id()) => {
            format!("{text}  {}", printable(archive.title().as_bytes()))
        }
        _ => text,
    })
}

fn registers(crash: &Crash, out: &mut Output) -> Result<(), Problem> {
    writeln!(out, "\n{STRONG}Registers{STRONG:#}")?;
    let named = REGISTER_NAMES.iter().zip(crash.registers());
    let known: Vec<_> = named
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    for row in known.chunks(4) {
        for (name, value) in row {
            write!(out, "  {FAINT}{name:>3}{FAINT:#} {value:08x}")?;
        }
        writeln!(out)?;
    }
    if let Some(why) = crash.registers_missing() {
        writeln!(out, "  {WARN}{why}{WARN:#}")?;
    }
    Ok(())
}

fn segment(data: &SegmentData, out: &mut Output) -> Result<(), Problem> {
    let segment = &data.segment;
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
            " {WARN}(truncated: {} of {} bytes){WARN:#}",
            segment.length(),
            segment.original()
        )?;
    }
    if !data.sound {
        write!(out, " {WARN}(damaged: the checksum does not match){WARN:#}")?;
    }
    writeln!(out)?;
    if data.is_text() {
        for line in data.bytes.split(|byte| *byte == b'\n') {
            writeln!(out, "  {}", printable(line))?;
        }
        return Ok(());
    }
    let lines = dump(segment.address(), &data.bytes);
    for line in lines.iter().take(DUMP_LINES) {
        writeln!(out, "  {line}")?;
    }
    if lines.len() > DUMP_LINES {
        writeln!(
            out,
            "  {FAINT}... {} more bytes; --json has all of them{FAINT:#}",
            data.bytes.len() - DUMP_LINES * 16
        )?;
    }
    Ok(())
}

/// The segments of a self-test: a message, and a pattern in place of a stack.
fn pattern(segments: &[SegmentData], out: &mut Output) -> Result<(), Problem> {
    for data in segments {
        if data.is_text() {
            segment(data, out)?;
        } else {
            let whole = if data.sound { "whole" } else { "damaged" };
            let length = data.segment.length();
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
        Ok(SegmentKind::Message) => "Panic message".to_owned(),
        Ok(SegmentKind::Stack) => "Stack".to_owned(),
        Ok(SegmentKind::Epitaph) => "Message of the kernel".to_owned(),
        Ok(SegmentKind::Tasks) => tasks::TITLE.to_owned(),
        Err(number) => format!("Segment of unknown kind {number}"),
    }
}

/// The log lines just before the crash.
fn log_before(
    args: &Show,
    logbook: &Logbook<'_>,
    crash: &Crash,
    names: &dyn Names,
    out: &mut Output,
) -> Result<(), Problem> {
    writeln!(out, "\n{STRONG}Log before the crash{STRONG:#}")?;
    // The log is read twice, first to count its records, so that no more than one line is in
    // memory.
    let header = &crash.header;
    let mut total = 0_usize;
    logbook.before(header, args.lines, |item| {
        total += usize::from(matches!(item, Item::Record(_)));
        Ok(())
    })?;
    let mut skip = total.saturating_sub(args.lines);
    let mut pieces = Pieces::default();
    logbook.before(header, args.lines, |item| match item {
        Item::Record(_) if skip > 0 => {
            skip -= 1;
            Ok(())
        }
        Item::Record(record) => log::line(&record, names, logbook.clock(), &mut pieces, out),
        Item::Missing { count: missing, .. } => {
            writeln!(
                out,
                "{WARN}      {} missing here{WARN:#}",
                count(missing.into(), "record")
            )?;
            Ok(())
        }
    })?;
    if total == 0 {
        writeln!(
            out,
            "  the card has no log of that boot; it may have been overwritten"
        )?;
    }
    Ok(())
}
