//! Restart of a task: section 4, request 2.

use super::{Machine, Next, send_result};
use crate::TASKS;
use crate::program::Kind;
use userlib::{SchedState, TaskState, UsageError, dead_response_code};

impl Machine {
    /// Section 4, request 2: restarts a task.
    pub(super) fn restart(&mut self, task: usize, index: usize, start: bool) -> Option<Next> {
        if index >= TASKS {
            return self.fault_current(task, UsageError::TaskOutOfRange);
        }
        let old = self.tasks[index].id;
        let life = &mut self.tasks[index];
        life.id = old.next_generation();
        life.state = if start {
            SchedState::Runnable.into()
        } else {
            SchedState::Stopped.into()
        };
        life.notifications = 0;
        life.timer = None;
        life.starting = true;
        life.last = None;
        life.call = None;
        life.result = None;
        let code = dead_response_code(life.id.generation());
        for other in (0..TASKS).filter(|&other| other != index) {
            let waits = match self.tasks[other].state {
                TaskState::Healthy(
                    SchedState::InSend(peer)
                    | SchedState::InReply(peer)
                    | SchedState::InRecv(Some(peer)),
                ) => peer == old,
                _ => false,
            };
            if !waits {
                continue;
            }
            let Some(call) = &self.tasks[other].call else {
                panic!("a task waits without a call")
            };
            self.tasks[other].result = Some(if call.op.kind == Kind::Send {
                send_result(code, 0, call)
            } else {
                vec![code, 0]
            });
            self.tasks[other].state = SchedState::Runnable.into();
        }
        if index == task {
            return if start { Some(task) } else { self.pick(task) };
        }
        self.done(task, &[0, 0])
    }
}
