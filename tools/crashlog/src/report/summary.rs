//! What happened, and the facts of a crash, in words.

use super::page::{Call, Dump, Emergency, Fact, Frame, Message, Register, Step};
use crate::archive::Archive;
use crate::backtrace::{Backtrace, Run};
use crate::card::Card;
use crate::clock::Clock;
use crate::crash::{Crash, SegmentData};
use crate::describe::{self, Names};
use crate::logbook;
use crate::program::Program;
use crate::size;
use crate::text::{count, dump, printable, seconds};
use crashlog_format::crash::{REGISTER_NAMES, SegmentKind};
use crashlog_format::{BLOCK_LEN, EmergencyStep, OutcomePhase};
use std::path::Path;

/// Number of bytes of a dump that are shown; `crashlog show --json` has all.
const DUMP_MAX: usize = 4096;
/// Number of lines of a message that are shown, and of bytes of each.
const MESSAGE_LINES: usize = 40;
const MESSAGE_LINE_MAX: usize = 1000;

/// The name of what failed.
fn subject(crash: &Crash) -> String {
    if crash.is_of_kernel() {
        "the kernel".to_owned()
    } else {
        format!("task {}", printable(crash.header.name.as_str().as_bytes()))
    }
}

/// `Crash 7: task worker`.
pub fn title(crash: &Crash) -> String {
    let kind = if crash.is_self_test() {
        "Self-test"
    } else {
        "Crash"
    };
    format!("{kind} {}: {}", crash.header.sequence, subject(crash))
}

/// The image, by its name if its archive was found.
pub fn subtitle(crash: &Crash, archive: Option<&Archive>) -> String {
    match (archive, crash.image_id()) {
        (Some(archive), id) if id == Some(archive.id()) => printable(archive.title().as_bytes()),
        (_, Some(id)) => format!("image {id}"),
        (_, None) => "unknown image".to_owned(),
    }
}

/// What happened, in three lines: what failed, where, and what came of it.
pub fn what(crash: &Crash, frames: &[Frame], names: &dyn Names) -> Vec<String> {
    let header = &crash.header;
    let name = printable(header.name.as_str().as_bytes());
    let time = format!(
        "{} s after the start of boot {}",
        seconds(header.time.get()),
        header.boot
    );
    if crash.is_self_test() {
        return vec![
            format!("Task {name} tested its emergency path: nothing crashed."),
            format!("It did so {time}."),
        ];
    }
    let failed = if crash.is_of_kernel() {
        "The kernel failed.".to_owned()
    } else {
        format!(
            "Task {name} (index {}) {}.",
            header.task,
            describe::fault(header.fault(), header.fault_bytes(), names)
        )
    };
    let restart = if crash.is_of_kernel() {
        "the system was restarted".to_owned()
    } else {
        describe::reason(header.reason())
    };
    vec![
        failed,
        place(crash, frames),
        format!(
            "{}, {time}. This was written {}.",
            capitalized(&restart),
            describe::written(header.late(), &header.outcome)
        ),
    ]
}

/// Where it was: the innermost function that does not belong to a library.
fn place(crash: &Crash, frames: &[Frame]) -> String {
    let mut calls = frames.iter().flat_map(|frame| &frame.calls);
    let own = calls.clone().find(|call| !call.is_library);
    match own.or_else(|| calls.next()) {
        Some(call) if call.place.is_empty() => format!("It was in {}.", call.function),
        Some(call) => format!("It was in {}, {}.", call.function, call.place),
        None if !crash.has_place() => "Where it was is not known.".to_owned(),
        None => format!(
            "Its program counter was {:#010x}; the build archive would name the function.",
            crash.header.registers[15]
        ),
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// The backtrace.
pub fn frames(backtrace: Option<&Backtrace<'_>>) -> Vec<Frame> {
    let Some(backtrace) = backtrace else {
        return Vec::new();
    };
    let frame = |run: &Run| {
        let calls = backtrace.places(run).into_iter().map(|place| {
            let file = place.file.unwrap_or_default();
            let function = printable(place.function.as_bytes());
            Call {
                is_library: is_library(&function, &file),
                function,
                place: match place.line {
                    Some(line) if !file.is_empty() => {
                        format!("{}:{line}", printable(file.as_bytes()))
                    }
                    _ => printable(file.as_bytes()),
                },
            }
        });
        Frame {
            address: format!("{:08x}", run.address),
            calls: calls.collect(),
            note: run.text().unwrap_or_default(),
        }
    };
    let mut frames: Vec<Frame> = backtrace.runs().iter().map(frame).collect();
    if let (Some(cut), Some(last)) = (backtrace.cut, frames.last_mut()) {
        let notes = [std::mem::take(&mut last.note), cut.text()];
        last.note = notes.join(" ").trim().to_owned();
    }
    frames
}

/// Whether a function belongs to Rust's libraries, or to the code below a task that reports its
/// panic.
fn is_library(function: &str, file: &str) -> bool {
    let name = function.trim_start_matches(['<', '&', '*', '[']);
    ["core::", "alloc::", "compiler_builtins::", "userlib::"]
        .iter()
        .any(|library| name.starts_with(library))
        || file.contains("/library/core/src/")
        || file.contains("/sys/userlib/src/")
}

/// Messages of a panic or of the kernel.
pub fn messages(segments: &[SegmentData]) -> Vec<Message> {
    let texts = segments.iter().filter(|data| data.is_text());
    texts
        .map(|data| {
            let lines = data.bytes.split(|byte| *byte == b'\n');
            let lines = lines.map(|line| printable(line.get(..MESSAGE_LINE_MAX).unwrap_or(line)));
            let mut lines: Vec<_> = lines.take(MESSAGE_LINES + 1).collect();
            if lines.len() > MESSAGE_LINES {
                lines.truncate(MESSAGE_LINES);
                lines.push("(the rest is left out)".to_owned());
            }
            Message {
                title: title_of(data),
                lines,
            }
        })
        .collect()
}

fn title_of(data: &SegmentData) -> String {
    let mut title = match data.segment.kind() {
        Ok(SegmentKind::Message) => "Panic message".to_owned(),
        Ok(SegmentKind::Stack) => "Stack".to_owned(),
        Ok(SegmentKind::Epitaph) => "Message of the kernel".to_owned(),
        Ok(SegmentKind::Tasks) => "Tasks".to_owned(),
        Err(number) => format!("Segment of unknown kind {number}"),
    };
    if data.segment.is_truncated() {
        title += " (truncated)";
    }
    title
}

/// The facts of the crash.
pub fn facts(crash: &Crash, archive: Option<&Archive>, clock: &Clock) -> Vec<Fact> {
    let header = &crash.header;
    let mut facts = Vec::new();
    let mut fact = |name, text| facts.push(Fact { name, text });
    if let Some(fault) = header.fault().filter(|_| !crash.is_self_test()) {
        fact("Fault", fault.to_string());
    }
    fact(
        "Time",
        format!("{} s, boot {}", seconds(header.time.get()), header.boot),
    );
    if let Some(utc) = crash.utc(clock) {
        fact("UTC", utc);
    }
    fact(
        "Image",
        crash
            .image_id()
            .map_or("unknown".to_owned(), |id| id.to_string()),
    );
    match archive {
        Some(archive) if crash.image_id() == Some(archive.id()) => {}
        Some(_) => fact(
            "Build",
            "the archive is of another image: names and lines may be wrong".to_owned(),
        ),
        None => fact("Build", "no archive: addresses only".to_owned()),
    }
    if !crash.is_of_kernel() && !crash.is_self_test() {
        fact(
            "Restarts",
            format!("{} of this task before, in the same boot", header.restarts),
        );
    }
    if crash.entry.repeats.get() > 0 {
        fact(
            "Repeated",
            format!(
                "{}, last {} s after the start of boot {}",
                count(crash.entry.repeats.get().into(), "time"),
                seconds(crash.entry.last_time.get().into()),
                crash.entry.last_boot
            ),
        );
    }
    let then = &header.counters;
    fact(
        "Crashes so far",
        format!(
            "{} oops, {} panic, {} kernel; {} of them written late",
            then.oops, then.panic, then.kernel, then.late
        ),
    );
    fact("Log", logbook::accepted_text(header));
    if crash.acknowledged {
        fact(
            "State",
            "acknowledged: its slot may be used for another crash".to_owned(),
        );
    }
    facts
}

/// The registers, as far as they are known. Those that point into the program are named after the
/// function.
pub fn registers(crash: &Crash, program: Option<&Program>) -> Vec<Register> {
    if crash.is_self_test() {
        return Vec::new();
    }
    let named = REGISTER_NAMES.iter().zip(crash.registers());
    let register = |(name, value): (&&'static str, Option<u32>)| {
        let value = value?;
        let place = program
            .filter(|program| program.is_text(value))
            .and_then(|program| program.places(value).pop());
        Some(Register {
            name,
            value: format!("{value:08x}"),
            note: place.map_or_else(String::new, |place| printable(place.function.as_bytes())),
        })
    };
    named.filter_map(register).collect()
}

/// Dumps of the memory that was saved with the crash.
pub fn dumps(segments: &[SegmentData]) -> Vec<Dump> {
    let memory = segments
        .iter()
        .filter(|data| !data.is_text() && !matches!(data.segment.kind(), Ok(SegmentKind::Tasks)));
    memory
        .map(|data| {
            let segment = &data.segment;
            let shown = data.bytes.get(..DUMP_MAX).unwrap_or(&data.bytes);
            let mut notes = vec![format!(
                "{} bytes from {:#010x}",
                shown.len(),
                segment.address()
            )];
            if segment.original() as usize > shown.len() {
                notes.push(format!("{} in all", segment.original()));
            }
            if !data.sound {
                notes.push("damaged: the checksum does not match".to_owned());
            }
            Dump {
                title: title_of(data),
                note: notes.join("; "),
                lines: dump(segment.address(), shown),
            }
        })
        .collect()
}

/// What the emergency path found and did.
pub fn emergency(crash: &Crash) -> Emergency {
    let header = &crash.header;
    let outcome = &header.outcome;
    let began = !matches!(outcome.phase(), OutcomePhase::None);
    let steps = EmergencyStep::ALL.into_iter().filter(|_| began);
    // The header cannot say that it is durable itself. The ledger names it, so it is.
    let committed = |step| {
        header.late().is_none() && matches!(step, EmergencyStep::Crash | EmergencyStep::Commit)
    };
    let facts = describe::found(outcome).into_iter();
    let mut facts: Vec<_> = facts
        .map(|(name, text)| Fact {
            name: match name {
                "found" => "Found",
                "repairs" => "Repairs",
                _ => "Took",
            },
            text,
        })
        .collect();
    if header.late().is_some() && began {
        facts.push(Fact {
            name: "Failure",
            text: outcome.failure().to_string(),
        });
    }
    Emergency {
        written: capitalized(&describe::written(header.late(), outcome)),
        steps: steps
            .map(|step| Step {
                name: step.name(),
                is_done: outcome.finished(step) || committed(step),
            })
            .collect(),
        facts,
    }
}

/// The build and the card.
pub fn card(card: &Card, path: &Path, crash: &Crash, archive: Option<&Archive>) -> Vec<Fact> {
    let counters = card.ledger.counters();
    let file_name = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        printable(name.as_encoded_bytes())
    };
    let image = match crash.image_id() {
        Some(id) => id.to_string(),
        None => "unknown".to_owned(),
    };
    let build = match archive {
        Some(archive) if crash.image_id() == Some(archive.id()) => format!(
            "{}, explained by {}",
            printable(archive.title().as_bytes()),
            file_name(archive.path())
        ),
        Some(archive) => format!(
            "explained by {}, which is of another image, {}: names and lines may be wrong",
            file_name(archive.path()),
            archive.id()
        ),
        None => "no archive of it was given".to_owned(),
    };
    let build = [("Image", image), ("Build", build)].map(|(name, text)| Fact { name, text });
    let card = [
        Fact {
            name: "Read from",
            text: file_name(path),
        },
        Fact {
            name: "Partition",
            text: format!(
                "{} from block {}",
                size::show(card.partition.bytes()),
                card.first
            ),
        },
        Fact {
            name: "Crash slots",
            text: format!(
                "{} of {}",
                card.geometry.slots(),
                size::show(u64::from(card.geometry.slot_blocks()) * BLOCK_LEN as u64)
            ),
        },
        Fact {
            name: "Log",
            text: size::show(u64::from(card.geometry.ring_pages()) * BLOCK_LEN as u64),
        },
        Fact {
            name: "Crashes",
            text: format!(
                "{} oops, {} panic, {} kernel since it was formatted",
                counters.oops, counters.panic, counters.kernel
            ),
        },
    ];
    build.into_iter().chain(card).collect()
}
