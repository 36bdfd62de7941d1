//! A record of the log as a line of text, and as a line of JSON.
//!
//! A log may have millions of records, so nothing is allocated for one of the usual kinds, and a
//! text that nothing of has to be escaped is copied.

use crate::boot;
use crate::clock::{self, Clock};
use crate::describe::Names;
use crate::pieces::Pieces;
use crate::terminal::{BAD, FAINT, WARN};
use crate::text::{self, console_line, count, hex, printable};
use anstyle::Style;
use crashlog_format::page::LogRecord;
use crashlog_format::{BootRecord, Level, Stream, TimeAnchor};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The names of tasks in one boot, as they are shown.
#[derive(Default)]
pub struct TaskColumn {
    boot: Option<u32>,
    tasks: BTreeMap<u16, Task>,
}

struct Task {
    /// The name, or `task 3`.
    shown: String,
    /// `"task":NAME,` in JSON, if it has a name.
    json: String,
}

impl TaskColumn {
    fn of(&mut self, record: &LogRecord<'_>, names: &dyn Names) -> &Task {
        if self.boot != Some(record.boot) {
            self.boot = Some(record.boot);
            self.tasks.clear();
        }
        let index = record.header.task;
        self.tasks.entry(index).or_insert_with(|| Task {
            shown: names.task_or_number(index),
            json: names.task(index).map_or(String::new(), |name| {
                format!("\"task\":{},", text::json(&name.into(), false))
            }),
        })
    }
}

/// Appends one record as one line, with its styles; a line before it says how many were lost.
pub fn push(
    record: &LogRecord<'_>,
    names: &dyn Names,
    (tasks, pieces): (&mut TaskColumn, &mut Pieces),
    clock: &Clock,
    colour: bool,
    to: &mut String,
) {
    let header = &record.header;
    let task = &tasks.of(record, names).shown;
    let styled = |style: Style| colour.then(|| style.render());
    let begin = |style: Style, to: &mut String| {
        if let Some(style) = styled(style) {
            to.push_str(&style.to_string());
        }
    };
    let end = |style: Style, to: &mut String| {
        if colour {
            to.push_str(&style.render_reset().to_string());
        }
    };
    if header.lost > 0 {
        begin(WARN, to);
        padded_number(record.boot.into(), 4, to);
        to.push_str("  ");
        to.push_str(&count(header.lost.into(), "record"));
        to.push_str(" of ");
        to.push_str(task);
        to.push_str(" lost here");
        end(WARN, to);
        to.push('\n');
    }
    begin(FAINT, to);
    padded_number(record.boot.into(), 4, to);
    to.push(' ');
    seconds(header.time, to);
    if !clock.is_empty() {
        to.push_str("  ");
        if !clock.push_utc(record.boot, header.time, to) {
            spaces(clock::WIDTH, to);
        }
    }
    end(FAINT, to);
    to.push_str("  ");
    padded(task, 10, to);
    to.push(' ');
    begin(FAINT, to);
    padded(header.stream.name(), 7, to);
    end(FAINT, to);
    to.push(' ');
    let style = style(header.level);
    begin(style, to);
    push_text(record, names, pieces, to);
    end(style, to);
    to.push('\n');
}

/// Appends a line that says that records are missing.
pub fn push_missing(boot: u32, missing: u32, colour: bool, to: &mut String) {
    let (begin, end) = if colour {
        (WARN.render().to_string(), WARN.render_reset().to_string())
    } else {
        Default::default()
    };
    let missing = count(missing.into(), "record");
    to.push_str(&format!("{begin}{boot:>4}  {missing} missing here{end}\n"));
}

/// Appends one record as one line of JSON.
pub fn push_json(
    record: &LogRecord<'_>,
    names: &dyn Names,
    tasks: &mut TaskColumn,
    clock: &Clock,
    to: &mut String,
) {
    // The keys are in the order of the alphabet, as those of `value` are.
    let payload = Payload::of(record);
    if matches!(payload, Payload::Boot(_) | Payload::Time(_)) {
        to.push_str(&text::json(&value(record, names, clock), false));
        to.push('\n');
        return;
    }
    let header = &record.header;
    let field = |name: &str, value: u64, to: &mut String| {
        to.push_str(name);
        number(value, to);
    };
    field("{\"boot\":", record.boot.into(), to);
    let line = match payload {
        Payload::Console(bytes) | Payload::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    if line.is_none() {
        let bytes = match payload {
            Payload::Event { bytes, .. } => bytes,
            Payload::Text(bytes) => bytes,
            _ => record.payload,
        };
        to.push_str(",\"hex\":\"");
        push_hex(bytes, to);
        to.push('"');
    }
    to.push_str(",\"level\":\"");
    to.push_str(header.level.name());
    field("\",\"lost\":", header.lost.into(), to);
    field(",\"sequence\":", record.sequence.into(), to);
    to.push_str(",\"stream\":\"");
    to.push_str(header.stream.name());
    to.push_str("\",");
    to.push_str(&tasks.of(record, names).json);
    field("\"task_index\":", header.task.into(), to);
    match (line, &payload) {
        (Some(line), _) => {
            to.push_str(",\"text\":");
            string(line, to);
        }
        (None, Payload::Event { name, bytes }) => {
            if let Some(text) = event(record, name, bytes, names) {
                to.push_str(",\"text\":");
                string(&text, to);
            }
        }
        _ => {}
    }
    field(",\"time_ms\":", header.time, to);
    if let Payload::Event { name, .. } = payload {
        to.push_str(",\"type\":");
        string(&String::from_utf8_lossy(name), to);
    }
    let length = to.len();
    to.push_str(",\"utc\":\"");
    if clock.push_utc(record.boot, header.time, to) {
        to.push('"');
    } else {
        to.truncate(length);
    }
    to.push_str("}\n");
}

/// The payload in words. `pieces` has what belongs to it of the records before.
pub fn text(record: &LogRecord<'_>, names: &dyn Names, pieces: &mut Pieces) -> String {
    let mut text = String::new();
    push_text(record, names, pieces, &mut text);
    text
}

fn push_text(record: &LogRecord<'_>, names: &dyn Names, pieces: &mut Pieces, to: &mut String) {
    match Payload::of(record) {
        Payload::Console(_) => {
            let joined = pieces.join(record);
            match &*joined {
                [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => match plain(line) {
                    Some(line) => to.push_str(line),
                    None => to.push_str(&console_line(&joined)),
                },
                line => to.push_str(&console_line(line)),
            }
        }
        Payload::Text(line) => match plain(line) {
            Some(line) => to.push_str(line),
            None => to.push_str(&printable(line)),
        },
        Payload::Boot(build) => to.push_str(&boot::line(&build)),
        Payload::Time(anchor) => to.push_str(&time(anchor)),
        Payload::Event { name, bytes } => match event(record, name, bytes, names) {
            Some(text) => to.push_str(&text),
            None => {
                to.push_str(&printable(name));
                to.push(' ');
                push_hex(bytes, to);
            }
        },
        Payload::Other(bytes) => push_hex(bytes, to),
    }
}

fn time(anchor: TimeAnchor) -> String {
    format!("the time is {}", clock::text(anchor))
}

/// The bytes as text, if nothing of it is escaped in a line: no control character, no backslash,
/// and nothing outside of ASCII.
fn plain(bytes: &[u8]) -> Option<&str> {
    // No exit from the loop, so that it takes many bytes at once.
    let special = bytes.iter().fold(false, |special, byte| {
        special | (*byte < b' ') | (*byte > b'~') | (*byte == b'\\')
    });
    std::str::from_utf8(bytes).ok().filter(|_| !special)
}

/// A typed event in words, if the archive has its type.
fn event(record: &LogRecord<'_>, name: &[u8], bytes: &[u8], names: &dyn Names) -> Option<String> {
    let text = names.event(record.header.task, std::str::from_utf8(name).ok()?, bytes)?;
    Some(printable(text.as_bytes()))
}

/// One record as JSON.
pub fn value(record: &LogRecord<'_>, names: &dyn Names, clock: &Clock) -> Value {
    let header = &record.header;
    let mut value = json!({
        "boot": record.boot,
        "sequence": record.sequence,
        "time_ms": header.time,
        "task_index": header.task,
        "stream": header.stream.name(),
        "level": header.level.name(),
        "lost": header.lost,
    });
    if let Some(task) = names.task(header.task) {
        value["task"] = task.into();
    }
    if let Some(utc) = clock.utc(record.boot, header.time) {
        value["utc"] = utc.into();
    }
    match Payload::of(record) {
        Payload::Console(bytes) | Payload::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => value["text"] = text.into(),
            Err(_) => value["hex"] = hex(bytes).into(),
        },
        Payload::Event { name, bytes } => {
            value["type"] = String::from_utf8_lossy(name).into();
            value["hex"] = hex(bytes).into();
            if let Some(text) = event(record, name, bytes, names) {
                value["text"] = text.into();
            }
        }
        Payload::Boot(build) => {
            value["text"] = boot::line(&build).into();
            value["build"] = boot::value(&build);
        }
        Payload::Time(anchor) => value["text"] = time(anchor).into(),
        Payload::Other(bytes) => value["hex"] = hex(bytes).into(),
    }
    value
}

/// A payload, by its stream; see `task/crashlog-api`.
enum Payload<'a> {
    /// A line, or a part of one, unchanged.
    Console(&'a [u8]),
    /// A line of text.
    Text(&'a [u8]),
    /// A value: the name of its type, and its encoding.
    Event { name: &'a [u8], bytes: &'a [u8] },
    /// What firmware runs.
    Boot(BootRecord<'a>),
    /// What time it is.
    Time(TimeAnchor),
    /// A malformed record, or a stream without a defined form.
    Other(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn of(record: &LogRecord<'a>) -> Self {
        let payload = record.payload;
        match record.header.stream {
            Stream::Console => Self::Console(payload),
            Stream::Event => match payload.split_first() {
                Some((0, text)) => Self::Text(text),
                Some((&length, rest)) => match rest.split_at_checked(length.into()) {
                    Some((name, bytes)) => Self::Event { name, bytes },
                    None => Self::Other(payload),
                },
                None => Self::Other(payload),
            },
            Stream::Fault => Self::Text(payload),
            Stream::Trace => Self::Other(payload),
            Stream::Boot => match clock::anchor(record) {
                Some(anchor) => Self::Time(anchor),
                None => BootRecord::parse(payload).map_or(Self::Other(payload), Self::Boot),
            },
        }
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::Error => BAD,
        Level::Warn => WARN,
        Level::Info => Style::new(),
        Level::Debug | Level::Trace => FAINT,
    }
}

/// A string of JSON, as [`text::json`] makes it.
fn string(text: &str, to: &mut String) {
    if !text.is_ascii() {
        to.push_str(&text::json(&text.into(), false));
        return;
    }
    to.push('"');
    let mut rest = text;
    while let Some(length) = rest.bytes().position(is_escaped) {
        let (before, from) = rest.split_at(length);
        to.push_str(before);
        let mut characters = from.chars();
        let escaped = characters.next();
        match escaped {
            Some('\n') => to.push_str("\\n"),
            Some('\r') => to.push_str("\\r"),
            Some('\t') => to.push_str("\\t"),
            Some('\x08') => to.push_str("\\b"),
            Some('\x0c') => to.push_str("\\f"),
            Some(quoted @ ('"' | '\\')) => to.extend(['\\', quoted]),
            Some(other) => {
                to.push_str("\\u00");
                push_hex(&[other as u8], to);
            }
            None => {}
        }
        rest = characters.as_str();
    }
    to.push_str(rest);
    to.push('"');
}

/// Whether a character of ASCII is escaped in JSON.
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f)
}

fn push_hex(bytes: &[u8], to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            to.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

/// A number in decimal digits.
fn number(value: u64, to: &mut String) {
    let mut buffer = [0; 20];
    to.push_str(digits(value, &mut buffer));
}

/// The same, right-aligned.
fn padded_number(value: u64, width: usize, to: &mut String) {
    let mut buffer = [0; 20];
    let digits = digits(value, &mut buffer);
    spaces(width.saturating_sub(digits.len()), to);
    to.push_str(digits);
}

fn digits(mut value: u64, buffer: &mut [u8; 20]) -> &str {
    let mut used = 0;
    for digit in buffer.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        used += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let digits = buffer.get(buffer.len() - used..).unwrap_or(&[]);
    std::str::from_utf8(digits).unwrap_or_default()
}

/// Milliseconds as seconds, ten characters wide.
fn seconds(milliseconds: u64, to: &mut String) {
    padded_number(milliseconds / 1000, 6, to);
    to.push('.');
    let rest = milliseconds % 1000;
    let zeros = match rest {
        0..10 => "00",
        10..100 => "0",
        _ => "",
    };
    to.push_str(zeros);
    number(rest, to);
}

/// A text, left-aligned.
fn padded(text: &str, width: usize, to: &mut String) {
    to.push_str(text);
    let length = if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    };
    spaces(width.saturating_sub(length), to);
}

fn spaces(count: usize, to: &mut String) {
    const SPACES: &str = "                                ";
    to.push_str(SPACES.get(..count).unwrap_or(SPACES));
}

#[cfg(test)]
mod tests;
