//! Who came back to its receive: from this the supervisor finds a task that is not alive.
//!
//! A receive counts if it takes a message, or waits for messages of any task or for notifications.
//! One that waits for nothing but the time (`sleep_for`) does not: a task that polls for something
//! that never happens sleeps in its loop. Nor does one that waits for a certain task, as one that
//! awaits a reply.
//!
//! # How it costs nothing where messages are passed
//!
//! A task that the supervisor asks about, and that does not wait in its receive then, gets a member
//! in its set of senders that is no task, [`AWAY`]. It is less important than all tasks, so RECV
//! finds it only where no message waits, and there on the path for senders of equal priority, which
//! removes it. RECV has to look at that set anyhow. A message that waited removes it, too
//! (`message`); one that is sent later finds a task in RECV, which has removed it.

use crate::descs::HUBRIS_TASK_COUNT;
use crate::syscalls::args::RecvArgs;
use crate::task::Task;
use abi::{SchedState, TaskId, TaskState};
use kerncore::order::Member;

/// A member of the set of senders of a task that has not come back since the supervisor asked.
const AWAY: Member = Member::new(HUBRIS_TASK_COUNT as u16);

/// The notification in which `userlib` sleeps.
const SLEEP: u32 = 1 << 31;

impl Task {
    /// It has come back to its receive.
    #[inline(always)]
    pub(crate) fn set_returned(&mut self) {
        self.senders.remove(AWAY);
    }

    /// Has it come back since this was called last, or does it wait in its receive now?
    pub(crate) fn take_return(&mut self) -> bool {
        if self.waits_in_receive() {
            self.set_returned();
            return true;
        }
        let returned = !self.senders.contains(AWAY);
        self.senders.insert(AWAY);
        returned
    }

    /// It begins to wait in a receive that is not for any task.
    #[inline(always)]
    pub(crate) fn note_closed_receive(&mut self) {
        if self.waits_in_receive() {
            self.set_returned();
        }
    }

    fn waits_in_receive(&self) -> bool {
        match self.state {
            TaskState::Healthy(SchedState::InRecv(None)) => true,
            TaskState::Healthy(SchedState::InRecv(Some(TaskId::KERNEL))) => {
                RecvArgs::of(self).notifications != SLEEP
            }
            _ => false,
        }
    }
}
