//! Task states.

use crate::{FaultInfo, TaskId};
use serde::{Deserialize, Serialize};

/// State of a task: healthy or faulted. Variant order is ABI.
#[derive(Copy, Clone, Debug, Serialize, Deserialize)]
pub enum TaskState {
    /// Takes part in scheduling.
    Healthy(SchedState),
    /// Stopped until the supervisor restarts it.
    Faulted {
        /// The last fault.
        fault: FaultInfo,
        /// Its state at the first fault.
        original_state: SchedState,
    },
}

impl TaskState {
    /// Would a message from `caller` be delivered at once?
    #[inline]
    pub fn can_accept_message_from(&self, caller: TaskId) -> bool {
        match *self {
            Self::Healthy(SchedState::InRecv(None)) => true,
            Self::Healthy(SchedState::InRecv(Some(source))) => source == caller,
            _ => false,
        }
    }

    /// Is the task blocked in a SEND to `target`, in exactly this generation?
    #[inline]
    pub fn is_sending_to(&self, target: TaskId) -> bool {
        matches!(*self, Self::Healthy(SchedState::InSend(to)) if to == target)
    }

    /// Is the task blocked in a RECV, so that a notification in its mask would wake it?
    #[inline]
    pub fn can_accept_notification(&self) -> bool {
        matches!(self, Self::Healthy(SchedState::InRecv(_)))
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::Healthy(SchedState::Stopped)
    }
}

impl From<SchedState> for TaskState {
    fn from(state: SchedState) -> Self {
        Self::Healthy(state)
    }
}

/// State of a healthy task. Variant order is ABI.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum SchedState {
    /// Not started.
    Stopped,
    /// Running, or waiting for the processor.
    Runnable,
    /// Waiting for this task to receive its message.
    InSend(TaskId),
    /// Waiting for this task to reply.
    InReply(TaskId),
    /// Waiting for a message: from this task only (KERNEL: notifications only), or from any.
    InRecv(Option<TaskId>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_format_of_a_blocked_receiver() {
        let mut buffer = [0xff; 8];
        let state = TaskState::Healthy(SchedState::InRecv(None));
        let n = ssmarshal::serialize(&mut buffer, &state).unwrap();
        assert_eq!(buffer[..n], [0, 4, 0]);
    }

    #[test]
    fn a_closed_receiver_accepts_only_its_source() {
        let state = TaskState::Healthy(SchedState::InRecv(Some(TaskId(3))));
        assert!(state.can_accept_message_from(TaskId(3)));
        assert!(!state.can_accept_message_from(TaskId(3).next_generation()));
        assert!(state.can_accept_notification());
    }

    #[test]
    fn a_faulted_task_accepts_nothing() {
        let state = TaskState::Faulted {
            fault: FaultInfo::Panic,
            original_state: SchedState::InRecv(None),
        };
        assert!(!state.can_accept_message_from(TaskId(1)));
        assert!(!state.can_accept_notification());
        assert!(!state.is_sending_to(TaskId(1)));
    }
}
