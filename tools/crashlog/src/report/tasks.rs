//! What every task was doing.

use super::waits::{self, Waiter};
use crate::archive::Archive;
use crate::archives;
use crate::crash::SegmentData;
use crate::postmortem::{PostMortem, Stack, WaitKind};
use crate::tasks;
use crate::text::{count, printable};
use crashlog_format::crash::SegmentKind;
use crashlog_format::{Activity, TaskEntry};

/// The tasks, as a table and as a drawing of who waited for whom.
pub struct Tasks {
    pub rows: Vec<TaskRow>,
    /// What the column of [`TaskRow::count`] has.
    pub count_title: &'static str,
    /// Whether anything is known of stacks.
    pub has_stacks: bool,
    /// Waits that cannot end, in words.
    pub hopeless: Vec<String>,
    /// What is not there, in words.
    pub missing: Vec<String>,
    pub waits: Option<waits::Drawing>,
}

impl Tasks {
    /// Whether there is a backtrace of any task.
    pub fn has_calls(&self) -> bool {
        self.rows.iter().any(|row| !row.calls.is_empty())
    }
}

pub struct TaskRow {
    pub class: &'static str,
    pub index: usize,
    pub name: String,
    pub priority: String,
    /// Its generation, or how often it had been restarted.
    pub count: String,
    /// What it was doing.
    pub state: String,
    /// Its fault; empty if it has none.
    pub fault: String,
    /// The function, or the program counter.
    pub place: String,
    pub stack: Option<StackBar>,
    /// Its backtrace.
    pub calls: Vec<String>,
}

/// How far a stack was used.
pub struct StackBar {
    pub class: &'static str,
    /// In words.
    pub text: String,
    /// The part that was used, of 100.
    pub used: u64,
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
            // Whether a notification may end it is not known.
            is_lasting: entry.activity() != Ok(Activity::ReceivingFrom),
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
        count: entry.restarts.to_string(),
        state: printable(tasks::activity(entry, names).as_bytes()),
        fault: if entry.is_faulted() {
            printable(tasks::fault(entry, names).as_bytes())
        } else {
            String::new()
        },
        place: place(index as u16, entry.pc.get(), archive),
        stack: None,
        calls: Vec::new(),
    });
    let missing = data
        .segment
        .original()
        .saturating_sub(data.segment.length())
        / size_of::<TaskEntry>() as u32;
    Some(Tasks {
        rows: rows.collect(),
        count_title: "Restarts",
        has_stacks: false,
        hopeless: Vec::new(),
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

/// The tasks of a snapshot.
pub fn of_system(post: &PostMortem, archive: Option<&Archive>) -> Option<Tasks> {
    if post.tasks.is_empty() {
        return None;
    }
    let waiters: Vec<_> = (0..=post.tasks.iter().map(|task| task.index).max()?)
        .map(|index| {
            let wait = post.waits.iter().find(|wait| wait.from == index);
            let task = post.task(index);
            Waiter {
                name: task.map_or_else(
                    || format!("task {index}"),
                    |task| printable(task.name.as_bytes()),
                ),
                on: wait.map(|wait| wait.to.into()),
                how: match wait.map(|wait| wait.kind) {
                    Some(WaitKind::Send) => "is sending to",
                    Some(WaitKind::Reply) => "waits for the reply of",
                    Some(WaitKind::Receive) | None => "waits for a message of",
                },
                is_lasting: wait.is_some_and(|wait| !wait.may_be_notified),
                has_failed: task.is_some_and(|task| task.is_faulted),
            }
        })
        .collect();
    let rows = post.tasks.iter().map(|task| {
        let pc = task.registers.map_or(0, |registers| registers[15]);
        TaskRow {
            class: match task.is_faulted {
                true => "failed",
                false if post.current == Some(task.index) => "current",
                false => "task",
            },
            index: task.index.into(),
            name: printable(task.name.as_bytes()),
            priority: task.priority.to_string(),
            count: task.generation.to_string(),
            state: printable(task.state.as_bytes()),
            fault: String::new(),
            place: place(task.index, pc, archive),
            stack: task.stack.as_ref().map(stack),
            calls: task
                .backtrace
                .iter()
                .map(|line| printable(line.as_bytes()))
                .collect(),
        }
    });
    let hopeless = post.waits.iter().filter(|wait| wait.hopeless.is_some());
    Some(Tasks {
        rows: rows.collect(),
        count_title: "Generation",
        has_stacks: post.tasks.iter().any(|task| task.stack.is_some()),
        hopeless: hopeless
            .map(|wait| printable(wait.text.as_bytes()))
            .collect(),
        missing: Vec::new(),
        waits: waits::draw(&waiters),
    })
}

fn stack(stack: &Stack) -> StackBar {
    let size = stack.size.max(1);
    let used = size.saturating_sub(stack.margin);
    StackBar {
        class: if stack.margin < size / 8 {
            "tight"
        } else {
            "wide"
        },
        text: format!("{used} of {}", stack.size),
        used: u64::from(used) * 100 / u64::from(size),
    }
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
fn place(index: u16, pc: u32, archive: Option<&Archive>) -> String {
    if pc == 0 {
        return "unknown".to_owned();
    }
    let function = archive
        .and_then(|archive| archive.program_at(index).ok()?.places(pc).pop())
        .map(|place| printable(place.function.as_bytes()));
    function.unwrap_or_else(|| format!("{pc:08x}"))
}
