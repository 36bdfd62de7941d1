//! The operations of a program: sections 2 and 4.

use super::{Call, Machine, Next, SUPERVISOR, encoded, send_result};
use crate::program::{Kind, Op};
use crate::{BUFFER, PRIORITIES, TASKS, pattern, sum};
use userlib::{FaultInfo, ReplyFaultReason, TaskState, UsageError};

impl Machine {
    pub(super) fn operate(&mut self, task: usize, op: Op, at: usize) -> Option<Next> {
        let Some(id) = self.id(task, op.who) else {
            return self.done(task, &[0xffff_ffff]);
        };
        let index = id.index();
        let bytes = |len: u8| {
            (0..usize::from(len))
                .map(|k| pattern(task, at, k))
                .collect::<Vec<_>>()
        };
        let call = Call {
            op,
            at,
            reply: vec![0xee; usize::from(op.other).min(BUFFER)],
            leases: [bytes(BUFFER as u8), bytes(BUFFER as u8)],
            buffer: vec![0xee; usize::from(op.len)],
            mask: u32::from(op.value),
        };
        let sent = bytes(op.len);
        let out_of_range = UsageError::TaskOutOfRange;
        match op.kind {
            Kind::Nop => self.done(task, &[]),
            Kind::Send => match self.lookup(id) {
                Err(None) => self.fault_current(task, out_of_range),
                Err(Some(code)) => {
                    let result = send_result(code, 0, &call);
                    self.done(task, &result)
                }
                Ok(callee) => {
                    self.tasks[task].call = Some(call);
                    self.send(task, callee)
                }
            },
            Kind::Recv | Kind::RecvFrom => {
                let mask = call.mask;
                self.tasks[task].call = Some(call);
                if let Some(result) = self.take(task, mask) {
                    return self.done(task, &result);
                }
                if op.kind == Kind::Recv {
                    return self.recv_open(task);
                }
                match self.lookup(id) {
                    Err(None) => self.fault_current(task, out_of_range),
                    Err(Some(code)) => self.done(task, &[code, 0]),
                    Ok(source) => self.recv_closed(task, source),
                }
            }
            Kind::Reply => self.reply(task, id, op, &sent),
            Kind::ReplyFault => {
                let Ok(reason) = ReplyFaultReason::try_from(u32::from(op.value)) else {
                    return self.fault_current(task, UsageError::BadReplyFaultReason);
                };
                match self.lookup(id) {
                    Err(None) => return self.fault_current(task, out_of_range),
                    Ok(client) if self.waits_for(client, task) => {
                        let server = self.tasks[task].id;
                        self.fault(client, FaultInfo::FromServer(server, reason));
                    }
                    _ => {}
                }
                self.done(task, &[])
            }
            Kind::Post => match self.lookup(id) {
                Err(None) => self.fault_current(task, out_of_range),
                Err(Some(code)) => self.done(task, &[code, 0]),
                Ok(target) => {
                    self.tasks[task].result = Some(vec![0, 0]);
                    let woken = self.post(target, u32::from(op.value));
                    let important = PRIORITIES[target] < PRIORITIES[task];
                    Some(if woken && important { target } else { task })
                }
            },
            Kind::TimerPast => {
                self.tasks[task].timer = None;
                self.tasks[task].notifications |= u32::from(op.value);
                self.done(task, &[])
            }
            Kind::TimerNever => {
                self.tasks[task].timer = Some(u32::from(op.value));
                self.done(task, &[])
            }
            Kind::GetTimer => {
                let timer = self.tasks[task].timer;
                let result = timer.map_or(vec![0], |bits| vec![1, u32::MAX, u32::MAX, bits]);
                self.done(task, &result)
            }
            Kind::BorrowRead | Kind::BorrowWrite | Kind::BorrowInfo => {
                self.tasks[task].call = Some(call);
                self.borrow(task, id, op, &sent)
            }
            Kind::Refresh => match self.tasks.get(index) {
                None => self.fault_current(task, out_of_range),
                Some(other) => {
                    let id = other.id.0.into();
                    self.done(task, &[id])
                }
            },
            Kind::Restart => self.restart(task, index, op.value != 0),
            Kind::Fault => {
                if index >= TASKS {
                    return self.fault_current(task, out_of_range);
                }
                if index == task || index == SUPERVISOR {
                    return self.fault_current(task, UsageError::IllegalTask);
                }
                self.tasks[task].result = Some(vec![0, 0]);
                let culprit = self.tasks[task].id;
                let woken = self.fault(index, FaultInfo::Injected(culprit));
                self.if_woken(woken, task)
            }
            Kind::Status => match self.tasks.get(index) {
                None => self.fault_current(task, out_of_range),
                Some(other) => {
                    let bytes = encoded(&other.state);
                    self.done(task, &[0, bytes.len() as u32, sum(&bytes)])
                }
            },
            Kind::FindFaulted => {
                if index > TASKS {
                    return self.fault_current(task, out_of_range);
                }
                let faulted =
                    |task: &usize| matches!(self.tasks[*task].state, TaskState::Faulted { .. });
                let found = (index..TASKS).find(faulted).unwrap_or(0);
                self.done(task, &[0, 4, sum(&(found as u32).to_le_bytes())])
            }
            Kind::Panic => self.fault_current(task, FaultInfo::Panic),
            Kind::BadCall => self.fault_current(task, UsageError::BadSyscallNumber),
        }
    }
}
