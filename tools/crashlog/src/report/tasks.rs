//! What every task was doing.

use super::waits::{self, Waiter};
use crate::archive::Archive;
use crate::archives;
use crate::crash::SegmentData;
use crate::describe::Names;
use crate::tasks;
use crate::text::{count, printable};
use crashlog_format::crash::SegmentKind;
use crashlog_format::{Activity, TaskEntry};

/// The tasks, as a table and as a drawing of who waited for whom.
pub struct Tasks {
    pub rows: Vec<TaskRow>,
    /// What is not there, in words.
    pub missing: Vec<String>,
    pub waits: Option<waits::Drawing>,
}

pub struct TaskRow {
    pub class: &'static str,
    pub index: usize,
    pub name: String,
    pub priority: String,
    pub restarts: String,
    /// What it was doing.
    pub state: String,
    /// Its fault; empty if it has none.
    pub fault: String,
    /// The function, or the program counter.
    pub place: String,
}

/// The tasks of a crash that has them: one of the kernel or of the supervisor.
pub fn read(segments: &[SegmentData], archive: Option<&Archive>) -> Option<Tasks> {
    let data = segments
        .iter()
        .find(|data| data.segment.kind() == Ok(SegmentKind::Tasks) && data.sound)?;
    let names = archives::names(archive);
    let entries = tasks::entries(&data.bytes);
    let name = |index: usize| printable(names.task_or_number(index as u16).as_bytes());
    let waiters: Vec<_> = (0..)
        .zip(&entries)
        .map(|(index, entry)| Waiter {
            name: name(index),
            on: on(entry),
            how: how(entry),
            has_failed: entry.is_faulted(),
        })
        .collect();
    let rows = (0..).zip(&entries).map(|(index, entry)| TaskRow {
        class: match (entry.is_faulted(), entry.is_current()) {
            (true, _) => "failed",
            (false, true) => "current",
            (false, false) => "task",
        },
        index,
        name: name(index),
        priority: entry.priority.to_string(),
        restarts: entry.restarts.to_string(),
        state: printable(tasks::activity(entry, names).as_bytes()),
        fault: if entry.is_faulted() {
            printable(tasks::fault(entry, names).as_bytes())
        } else {
            String::new()
        },
        place: place(index as u16, entry, archive),
    });
    let missing = data
        .segment
        .original()
        .saturating_sub(data.segment.length())
        / size_of::<TaskEntry>() as u32;
    Some(Tasks {
        rows: rows.collect(),
        missing: (missing > 0)
            .then(|| {
                format!(
                    "There was no room for {}.",
                    count(missing.into(), "more task")
                )
            })
            .into_iter()
            .collect(),
        waits: waits::draw(&waiters),
    })
}

/// The task that another waits for.
fn on(entry: &TaskEntry) -> Option<usize> {
    match entry.activity() {
        Ok(Activity::Sending | Activity::AwaitingReply | Activity::ReceivingFrom) => {
            // An index beyond the table, such as the kernel's, is ignored by the drawing.
            Some(usize::from(entry.peer.get() & 0x3ff))
        }
        _ => None,
    }
}

fn how(entry: &TaskEntry) -> &'static str {
    match entry.activity() {
        Ok(Activity::Sending) => "is sending to",
        Ok(Activity::AwaitingReply) => "waits for the reply of",
        _ => "waits for a message of",
    }
}

/// The function that a task was in, without those inlined into it; or its program counter.
fn place(index: u16, entry: &TaskEntry, archive: Option<&Archive>) -> String {
    let pc = entry.pc.get();
    if pc == 0 {
        return "unknown".to_owned();
    }
    let function = archive
        .and_then(|archive| {
            let name = archive.task(index)?;
            archive.program(index, &name).ok()?.places(pc).pop()
        })
        .map(|place| printable(place.function.as_bytes()));
    function.unwrap_or_else(|| format!("{pc:08x}"))
}
