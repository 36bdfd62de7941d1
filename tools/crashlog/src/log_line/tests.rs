//! The fast ways give what the general ones give.

use super::*;
use crate::clock::Anchor;
use crate::describe::Nameless;
use crate::text::seconds as plain_seconds;
use crashlog_format::page::LogHeader;
use proptest::prelude::*;

struct Named;

impl Names for Named {
    fn task(&self, index: u16) -> Option<String> {
        (index < 3).then(|| format!("task-\"{index}\\\u{e4}"))
    }

    fn event(&self, _task: u16, name: &str, bytes: &[u8]) -> Option<String> {
        (bytes.len() > 2).then(|| format!("{name} {{ \"x\": \u{1b} {} }}", bytes.len()))
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,40}(\r?\n)?".prop_map(String::into_bytes),
        "\0\\PC{0,20}".prop_map(String::into_bytes),
        "\u{5}[a-z]{5}.{0,9}".prop_map(String::into_bytes),
    ]
}

fn header() -> impl Strategy<Value = LogHeader> {
    let times = prop_oneof![0_u64..5_000_000, any::<u64>()];
    (0_u8..5, 0_u8..5, 0_u16..6, 0_u16..3, times).prop_map(|(stream, level, task, lost, time)| {
        LogHeader {
            stream: stream.try_into().expect("a stream"),
            level: level.try_into().expect("a level"),
            task,
            lost,
            time,
        }
    })
}

fn clock(anchor: Option<u64>) -> Clock {
    let mut clock = Clock::default();
    if let Some(utc_ms) = anchor {
        clock.show_column();
        let payload = TimeAnchor::new(utc_ms).expect("a time").to_bytes();
        let header = LogHeader {
            stream: Stream::Boot,
            level: Level::Info,
            task: 1,
            lost: 0,
            time: 1000,
        };
        clock.set(Anchor::of(&LogRecord {
            boot: 7,
            sequence: 2,
            header,
            payload: &payload,
        }));
    }
    clock
}

/// The payload in words.
fn general_text(record: &LogRecord<'_>, names: &dyn Names) -> String {
    match Payload::of(record) {
        Payload::Console(_) => console_line(&Pieces::default().join(record)),
        Payload::Text(bytes) => printable(bytes),
        Payload::Boot(build) => boot::line(&build),
        Payload::Time(anchor) => time(anchor),
        Payload::Event { name, bytes } => event(record, name, bytes, names)
            .unwrap_or_else(|| format!("{} {}", printable(name), hex(bytes))),
        Payload::Other(bytes) => hex(bytes),
    }
}

/// One record as a line, by the formatter of the standard library.
fn general(record: &LogRecord<'_>, names: &dyn Names, clock: &Clock) -> String {
    let header = &record.header;
    let mut line = String::new();
    if header.lost > 0 {
        line += &format!(
            "{WARN}{:>4}  {} of {} lost here{WARN:#}\n",
            record.boot,
            count(header.lost.into(), "record"),
            names.task_or_number(header.task),
        );
    }
    let style = style(header.level);
    line += &format!(
        "{FAINT}{:>4} {:>10}{}{FAINT:#}  {:<10} {FAINT}{:<7}{FAINT:#} {style}{}{style:#}\n",
        record.boot,
        plain_seconds(header.time),
        clock.column(record.boot, header.time),
        names.task_or_number(header.task),
        header.stream.name(),
        general_text(record, names),
    );
    line
}

proptest! {
    #[test]
    fn a_line_is_that_of_the_general_formatter(
        boot in prop_oneof![Just(7_u32), any::<u32>()], sequence in 1_u32..4, header in header(),
        payload in payload(), anchor in proptest::option::of(0..=TimeAnchor::MAX_UTC_MS),
        is_named in any::<bool>(),
    ) {
        let record = LogRecord { boot, sequence, header, payload: &payload };
        let names: &dyn Names = if is_named { &Named } else { &Nameless };
        let clock = clock(anchor);
        let tasks = &mut TaskColumn::default();
        let mut line = String::new();
        push(&record, names, (&mut *tasks, &mut Pieces::default()), &clock, true, &mut line);
        let expected = general(&record, names, &clock);
        prop_assert_eq!(&line, &expected);
        line.clear();
        push(&record, names, (&mut *tasks, &mut Pieces::default()), &clock, false, &mut line);
        let expected = anstream::adapter::strip_str(&expected).to_string();
        prop_assert_eq!(&line, &expected);
        line.clear();
        push_json(&record, names, tasks, &clock, &mut line);
        let expected = text::json(&value(&record, names, &clock), false) + "\n";
        prop_assert_eq!(&line, &expected);
    }
}
