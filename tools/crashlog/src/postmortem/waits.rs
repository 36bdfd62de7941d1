//! Who waits for whom, and where nothing comes of it.

use super::TaskState;
use super::kernel::TaskEntry;
use super::state::{self, KERNEL, MASK};
use crate::describe::Names;
use crate::value::Value;

/// A task that waits for another.
pub struct Wait {
    /// Index of the task that waits.
    pub from: u16,
    /// Index of the one for which it waits.
    pub to: u16,
    pub kind: WaitKind,
    /// Whether a notification may end it.
    pub may_be_notified: bool,
    /// Why nothing comes of it as things are, in words.
    pub hopeless: Option<String>,
    /// All of it in words.
    pub text: String,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitKind {
    /// That the other receives its message.
    Send,
    /// The other's reply.
    Reply,
    /// A message of the other, and of no one else.
    Receive,
}

impl WaitKind {
    /// What it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Reply => "reply",
            Self::Receive => "receive",
        }
    }
}

/// Each wait of a task for another, by the index of the one that waits.
pub fn find(entries: &[TaskEntry], tasks: &[TaskState], names: &dyn Names) -> Vec<Wait> {
    let waits = entries.iter().filter_map(|entry| {
        if state::is_faulted(entry) {
            return None;
        }
        let (name, content) = state::sched(entry)?;
        let (kind, id) = match name {
            "InSend" => (WaitKind::Send, content.and_then(Value::number)?),
            "InReply" => (WaitKind::Reply, content.and_then(Value::number)?),
            "InRecv" => (WaitKind::Receive, state::from(content)?),
            _ => return None,
        };
        if id == KERNEL {
            return None;
        }
        let to = (id & 0x3ff) as u16;
        let [own, other] = [entry.index, to].map(|index| names.task_or_number(index));
        let what = match kind {
            WaitKind::Send => format!("{own} waits until {other} receives its message"),
            WaitKind::Reply => format!("{own} waits for the reply of {other}"),
            WaitKind::Receive => format!("{own} receives from {other} alone"),
        };
        let peer = entries.iter().find(|entry| entry.index == to);
        let hopeless = peer.and_then(|peer| hopeless(peer, kind, id));
        let task = tasks.iter().find(|task| task.index == entry.index);
        let mask = task.and_then(|task| task.registers).map(|it| it[MASK]);
        let text = match &hopeless {
            Some(why) => format!("{what}, which {why}"),
            None => what,
        };
        Some(Wait {
            from: entry.index,
            to,
            kind,
            may_be_notified: kind == WaitKind::Receive && mask != Some(0),
            hopeless,
            text,
        })
    });
    waits.collect()
}

/// Why nothing comes of waiting for a task.
fn hopeless(peer: &TaskEntry, kind: WaitKind, id: u64) -> Option<String> {
    if state::is_faulted(peer) {
        return Some("has faulted".to_owned());
    }
    let generation = id >> 10 & 0x3f;
    if generation != peer.generation & 0x3f {
        return Some(format!(
            "has been restarted since: it is in generation {}",
            peer.generation
        ));
    }
    let (name, content) = state::sched(peer)?;
    match (name, kind, state::from(content)) {
        ("Stopped", _, _) => Some("is not started".to_owned()),
        ("InRecv", WaitKind::Send, Some(KERNEL)) => Some("receives notifications alone".to_owned()),
        _ => None,
    }
}

/// The circles of tasks that wait for each other and for nothing else.
pub fn circles(waits: &[Wait]) -> Vec<Vec<u16>> {
    let lasting = || waits.iter().filter(|wait| !wait.may_be_notified);
    let next = |index: u16| {
        lasting()
            .find(|wait| wait.from == index)
            .map(|wait| wait.to)
    };
    let mut circles: Vec<Vec<u16>> = Vec::new();
    for start in lasting().map(|wait| wait.from) {
        if circles.iter().any(|circle| circle.contains(&start)) {
            continue;
        }
        // Each task waits for one at most, so a way that does not come back within as many steps as
        // there are waits does not come back.
        let mut way = vec![start];
        for _ in waits {
            match way.last().and_then(|last| next(*last)) {
                Some(to) if to == start => {
                    circles.push(way);
                    break;
                }
                Some(to) => way.push(to),
                None => break,
            }
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Letters;

    impl Names for Letters {
        fn task(&self, index: u16) -> Option<String> {
            Some(char::from(b'a' + index as u8).to_string())
        }
    }

    /// A value `name(content)`.
    fn variant(name: &str, content: Value) -> Value {
        let content = Value::Tuple(name.to_owned(), vec![content]);
        Value::Enum(name.to_owned(), Some(Box::new(content)))
    }

    fn id(index: u64, generation: u64) -> Value {
        let id = Value::Unsigned(index | generation << 10);
        Value::Tuple("TaskId".to_owned(), vec![id])
    }

    fn entry(index: u16, generation: u64, state: Value) -> TaskEntry {
        TaskEntry {
            index,
            address: 0,
            value: Value::Struct("Task".to_owned(), vec![("state".to_owned(), state)]),
            generation,
            priority: 0,
            is_current: false,
        }
    }

    fn healthy(state: Value) -> Value {
        variant("Healthy", state)
    }

    #[test]
    fn each_wait_is_spelled_out() {
        let receives = |from: Value| healthy(variant("InRecv", from));
        let fault = Value::Struct(
            "Faulted".to_owned(),
            vec![(
                "original_state".to_owned(),
                Value::Enum("Runnable".to_owned(), None),
            )],
        );
        let entries = [
            entry(0, 0, healthy(variant("InReply", id(1, 0)))),
            entry(1, 0, healthy(variant("InSend", id(2, 3)))),
            entry(2, 67, receives(variant("Some", id(0x3ff, 0x3f)))),
            entry(
                3,
                0,
                Value::Enum("Faulted".to_owned(), Some(Box::new(fault))),
            ),
            entry(4, 0, healthy(variant("InSend", id(3, 0)))),
            entry(5, 0, healthy(variant("InReply", id(2, 2)))),
            entry(6, 0, receives(variant("Some", id(1, 0)))),
            entry(7, 0, receives(Value::Enum("None".to_owned(), None))),
            entry(8, 0, healthy(Value::Enum("Runnable".to_owned(), None))),
        ];
        let waits = find(&entries, &[], &Letters);
        let texts: Vec<&str> = waits.iter().map(|wait| wait.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "a waits for the reply of b",
                // Generation 67 is 3 modulo 64.
                "b waits until c receives its message, which receives notifications alone",
                "e waits until d receives its message, which has faulted",
                "f waits for the reply of c, which has been restarted since: it is in generation 67",
                "g receives from b alone",
            ]
        );
        let may_be_notified: Vec<bool> = waits.iter().map(|wait| wait.may_be_notified).collect();
        assert_eq!(may_be_notified, [false, false, false, false, true]);
    }

    #[test]
    fn each_circle_is_found_once() {
        let wait = |(from, to): (u16, u16)| Wait {
            from,
            to,
            kind: WaitKind::Reply,
            may_be_notified: from == 9,
            hopeless: None,
            text: String::new(),
        };
        let of =
            |waits: &[(u16, u16)]| circles(&waits.iter().copied().map(wait).collect::<Vec<_>>());
        assert_eq!(of(&[(1, 2), (2, 3)]), Vec::<Vec<u16>>::new());
        // Task 0 waits for one of a circle, and is not in it; a notification may wake task 9.
        let waits = [
            (0, 2),
            (1, 2),
            (2, 3),
            (3, 1),
            (5, 5),
            (6, 7),
            (7, 6),
            (8, 9),
            (9, 8),
        ];
        assert_eq!(of(&waits), [vec![1, 2, 3], vec![5], vec![6, 7]]);
    }
}
