//! Who waits for whom, and who waits for ever.

use super::kernel::TaskEntry;
use super::state::{self, KERNEL};
use crate::archive::Archive;
use crate::describe::Names;
use crate::value::Value;

/// A task that waits for another.
pub struct Wait {
    /// Index of the task that waits.
    pub from: u16,
    /// Index of the one for which it waits.
    pub to: u16,
    pub kind: WaitKind,
    /// Why it waits for ever, if it does, in words.
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
pub fn find(entries: &[TaskEntry], archive: &Archive) -> Vec<Wait> {
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
        let [own, other] = [entry.index, to].map(|index| archive.task_or_number(index));
        let what = match kind {
            WaitKind::Send => format!("{own} waits until {other} receives its message"),
            WaitKind::Reply => format!("{own} waits for the reply of {other}"),
            WaitKind::Receive => format!("{own} receives from {other} alone"),
        };
        let peer = entries.iter().find(|entry| entry.index == to);
        let hopeless = peer.and_then(|peer| hopeless(peer, kind, id));
        let text = match &hopeless {
            Some(why) => format!("{what}, which {why}"),
            None => what,
        };
        Some(Wait {
            from: entry.index,
            to,
            kind,
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

/// The circles of tasks that wait for each other.
pub fn circles(waits: &[Wait]) -> Vec<Vec<u16>> {
    let next = |index: u16| {
        waits
            .iter()
            .find(|wait| wait.from == index)
            .map(|wait| wait.to)
    };
    let mut circles: Vec<Vec<u16>> = Vec::new();
    for start in waits.iter().map(|wait| wait.from) {
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

    #[test]
    fn each_circle_is_found_once() {
        let wait = |(from, to): (u16, u16)| Wait {
            from,
            to,
            kind: WaitKind::Reply,
            hopeless: None,
            text: String::new(),
        };
        let of =
            |waits: &[(u16, u16)]| circles(&waits.iter().copied().map(wait).collect::<Vec<_>>());
        assert_eq!(of(&[(1, 2), (2, 3)]), Vec::<Vec<u16>>::new());
        // Task 0 waits for one of a circle, and is not in it.
        let waits = [(0, 2), (1, 2), (2, 3), (3, 1), (5, 5), (6, 7), (7, 6)];
        assert_eq!(of(&waits), [vec![1, 2, 3], vec![5], vec![6, 7]]);
    }
}
