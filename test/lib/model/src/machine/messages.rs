//! Messages: sections 2.4 to 2.6.

use super::{FOREIGN, Machine, Next, access, lease_count, send_result};
use crate::program::{Bad, Op};
use crate::{PRIORITIES, TASKS, pattern, sum};
use userlib::{FaultInfo, SchedState, TaskId, UsageError};

impl Machine {
    /// 2.4, when both tasks are ready: copies the message, or returns the faults of one or both.
    fn deliver(
        &mut self,
        sender: usize,
        receiver: usize,
    ) -> Result<(), (Option<FaultInfo>, Option<FaultInfo>)> {
        let (from, to) = match (&self.tasks[sender].call, &self.tasks[receiver].call) {
            (Some(from), Some(to)) => (from.clone(), to.clone()),
            _ => panic!("a delivery between tasks that do not wait"),
        };
        let malformed = Some(FaultInfo::SyscallUsage(UsageError::InvalidSlice));
        let table = lease_count(from.op);
        if from.op.bad == Bad::Malformed || from.op.bad_other == Bad::Malformed {
            return Err((malformed, None));
        }
        if to.op.bad == Bad::Malformed {
            return Err((None, malformed));
        }
        let length = usize::from(from.op.len);
        let count = length.min(to.buffer.len());
        let foreign = |bad: Bad| (count != 0 && bad == Bad::Foreign).then_some(access(FOREIGN));
        let blame = (foreign(from.op.bad), foreign(to.op.bad));
        if blame != (None, None) {
            return Err(blame);
        }
        let id = self.tasks[sender].id;
        let mut buffer = to.buffer;
        for (k, byte) in buffer.iter_mut().enumerate().take(count) {
            *byte = pattern(sender, from.at, k);
        }
        let operation = 0x100 + from.at as u32;
        self.tasks[receiver].last = Some(id);
        self.tasks[receiver].result = Some(vec![
            0,
            id.0.into(),
            operation,
            length as u32,
            from.reply.len() as u32,
            table,
            sum(&buffer),
        ]);
        self.tasks[receiver].state = SchedState::Runnable.into();
        let server = self.tasks[receiver].id;
        self.tasks[sender].state = SchedState::InReply(server).into();
        Ok(())
    }

    pub(super) fn send(&mut self, task: usize, callee: usize) -> Option<Next> {
        let (me, target) = (self.tasks[task].id, self.tasks[callee].id);
        if self.tasks[callee].state.can_accept_message_from(me) {
            match self.deliver(task, callee) {
                Ok(()) => return Some(callee),
                Err((from, to)) => {
                    if let Some(fault) = to {
                        self.fault(callee, fault);
                    }
                    if let Some(fault) = from {
                        return self.fault_current(task, fault);
                    }
                }
            }
        }
        self.tasks[task].state = SchedState::InSend(target).into();
        self.pick(task)
    }

    pub(super) fn recv_open(&mut self, task: usize) -> Option<Next> {
        let me = self.tasks[task].id;
        let mut woken = false;
        loop {
            let order = (1..TASKS).map(|distance| (task + distance) % TASKS);
            let sender = order
                .filter(|&other| self.tasks[other].state.is_sending_to(me))
                .min_by_key(|&other| PRIORITIES[other]);
            let Some(sender) = sender else {
                self.tasks[task].state = SchedState::InRecv(None).into();
                return self.pick(task);
            };
            match self.deliver(sender, task) {
                Ok(()) => return self.if_woken(woken, task),
                Err((from, to)) => {
                    if let Some(fault) = from {
                        woken |= self.fault(sender, fault);
                    }
                    if let Some(fault) = to {
                        return self.fault_current(task, fault);
                    }
                }
            }
        }
    }

    pub(super) fn recv_closed(&mut self, task: usize, source: usize) -> Option<Next> {
        let me = self.tasks[task].id;
        if self.tasks[source].state.is_sending_to(me) {
            match self.deliver(source, task) {
                Ok(()) => return Some(task),
                Err((from, to)) => {
                    if let Some(fault) = from {
                        self.fault(source, fault);
                    }
                    if let Some(fault) = to {
                        return self.fault_current(task, fault);
                    }
                }
            }
        }
        let source = self.tasks[source].id;
        self.tasks[task].state = SchedState::InRecv(Some(source)).into();
        self.pick(task)
    }

    /// 2.6: a reply.
    pub(super) fn reply(&mut self, task: usize, id: TaskId, op: Op, sent: &[u8]) -> Option<Next> {
        let client = match self.lookup(id) {
            Err(None) => return self.fault_current(task, UsageError::TaskOutOfRange),
            Ok(client) if self.waits_for(client, task) => client,
            _ => return self.done(task, &[]),
        };
        if op.bad == Bad::Malformed {
            return self.fault_current(task, UsageError::InvalidSlice);
        }
        let Some(mut call) = self.tasks[client].call.clone() else {
            panic!("a client without a call")
        };
        if sent.len() > call.reply.len() {
            return self.fault_current(task, UsageError::ReplyTooBig);
        }
        if !sent.is_empty() {
            let bad_client = call.op.bad_other == Bad::Foreign;
            if bad_client {
                self.fault(client, access(FOREIGN));
            }
            if op.bad == Bad::Foreign {
                return self.fault_current(task, access(FOREIGN));
            }
            if bad_client {
                return self.done(task, &[]);
            }
        }
        call.reply[..sent.len()].copy_from_slice(sent);
        let result = send_result(op.value.into(), sent.len() as u32, &call);
        self.tasks[client].result = Some(result);
        self.tasks[client].state = SchedState::Runnable.into();
        self.done(task, &[])
    }
}
