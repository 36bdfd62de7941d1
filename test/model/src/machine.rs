//! The model: the rules of sections 2 to 4, for the operations that programs have.

use crate::program::{Bad, Kind, Op, Who, program};
use crate::{BUFFER, LIVES, LOG, OPS, PRIORITIES, TASKS, WORKERS, pattern, sum};
use userlib::{
    DEFECT, FaultInfo, FaultSource, Generation, ReplyFaultReason, SchedState, TaskId, TaskState,
    UsageError, dead_response_code,
};

/// What the log has at the end, and the states of the workers as kernel IPC encodes them.
pub struct Prediction {
    /// Task, operation, values.
    pub log: Vec<(u32, u32, Vec<u32>)>,
    /// Every fault, in order.
    pub faults: Vec<FaultInfo>,
    /// Id and state of each worker.
    pub states: Vec<(TaskId, Vec<u8>)>,
}

/// The supervisor, and who starts the workers.
const SUPERVISOR: usize = 0;
const CONDUCTOR: usize = 5;

/// Where foreign memory begins.
const FOREIGN: u32 = 0x8010_0000;

/// A call that waits, with all that may be asked about it.
#[derive(Clone)]
struct Call {
    op: Op,
    at: usize,
    reply: Vec<u8>,
    leases: [Vec<u8>; 2],
    buffer: Vec<u8>,
    mask: u32,
}

#[derive(Clone)]
struct Task {
    id: TaskId,
    state: TaskState,
    notifications: u32,
    timer: Option<u32>,
    program: [Op; OPS],
    at: usize,
    lives: u32,
    starting: bool,
    last: Option<TaskId>,
    call: Option<Call>,
    /// What the call brought, until the task runs and writes it down.
    result: Option<Vec<u32>>,
}

struct Machine {
    tasks: Vec<Task>,
    log: Vec<(u32, u32, Vec<u32>)>,
    faults: Vec<FaultInfo>,
}

/// Who runs next.
type Next = usize;

/// Runs the programs of a seed. The workers' ids before they are started are `before`.
pub fn predict(seed: u64, mask: u64, before: [TaskId; WORKERS]) -> Prediction {
    let mut machine = Machine::new(seed, mask, before);
    machine.run();
    let states = machine.tasks[1..=WORKERS]
        .iter()
        .map(|task| (task.id, encoded(&task.state)));
    let states = states.collect();
    Prediction {
        log: machine.log,
        faults: machine.faults,
        states,
    }
}

fn encoded(state: &TaskState) -> Vec<u8> {
    let mut bytes = [0; 16];
    match ssmarshal::serialize(&mut bytes, state) {
        Ok(length) => bytes[..length].to_vec(),
        Err(error) => panic!("a state does not encode: {error}"),
    }
}

impl Machine {
    fn new(seed: u64, mask: u64, before: [TaskId; WORKERS]) -> Self {
        let tasks = (0..TASKS).map(|index| {
            let worker = (1..=WORKERS).contains(&index).then(|| index - 1);
            let id = worker.map_or(
                TaskId::for_index_and_gen(index, Generation::ZERO),
                |worker| before[worker].next_generation(),
            );
            let state = if worker.is_some() {
                SchedState::Runnable
            } else {
                SchedState::InRecv(Some(TaskId::KERNEL))
            };
            Task {
                id,
                state: state.into(),
                notifications: 0,
                timer: None,
                program: program(seed, worker.unwrap_or(0), mask),
                at: 0,
                lives: 0,
                starting: true,
                last: None,
                call: None,
                result: None,
            }
        });
        Self {
            tasks: tasks.collect(),
            log: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn run(&mut self) {
        // The conductor has started the workers and goes to sleep.
        let mut current = self.pick(CONDUCTOR);
        while let Some(task) = current {
            current = self.step(task);
        }
    }

    /// 3.1: the most important runnable task, among equals the first after `current`.
    fn pick(&self, current: usize) -> Option<Next> {
        let order = (1..=TASKS).map(|distance| (current + distance) % TASKS);
        order
            .filter(|&task| {
                matches!(
                    self.tasks[task].state,
                    TaskState::Healthy(SchedState::Runnable)
                )
            })
            .min_by_key(|&task| PRIORITIES[task])
    }

    /// Lets a task run up to and through its next call.
    fn step(&mut self, task: usize) -> Option<Next> {
        if task == SUPERVISOR {
            // It takes its notification and waits for the next.
            if self.tasks[task].notifications & 1 != 0 {
                self.tasks[task].notifications = 0;
                return Some(task);
            }
            self.tasks[task].state = SchedState::InRecv(Some(TaskId::KERNEL)).into();
            return self.pick(task);
        }
        let me = &mut self.tasks[task];
        if me.starting {
            me.starting = false;
            me.lives += 1;
            me.at = if me.lives > LIVES { OPS } else { 0 };
            let lives = me.lives;
            self.log.push((task as u32, LOG::START, vec![lives]));
            return Some(task);
        }
        if let Some(result) = me.result.take() {
            let at = me.at;
            me.at += 1;
            me.call = None;
            self.log.push((task as u32, at as u32, result));
            return Some(task);
        }
        let at = me.at;
        match me.program.get(at).copied() {
            Some(op) => self.operate(task, op, at),
            None => {
                me.state = SchedState::InRecv(Some(TaskId::KERNEL)).into();
                self.pick(task)
            }
        }
    }

    /// The call returns at once.
    fn done(&mut self, task: usize, result: &[u32]) -> Option<Next> {
        self.tasks[task].result = Some(result.to_vec());
        Some(task)
    }

    /// 3.5: a task is faulted and the supervisor told. Whether that woke it.
    fn fault(&mut self, task: usize, fault: impl Into<FaultInfo>) -> bool {
        let fault = fault.into();
        self.faults.push(fault);
        let original_state = match self.tasks[task].state {
            TaskState::Healthy(state) => state,
            TaskState::Faulted { original_state, .. } => original_state,
        };
        self.tasks[task].state = TaskState::Faulted {
            fault,
            original_state,
        };
        self.post(SUPERVISOR, 1)
    }

    fn fault_current(&mut self, task: usize, fault: impl Into<FaultInfo>) -> Option<Next> {
        self.fault(task, fault);
        self.pick(task)
    }

    fn if_woken(&self, woken: bool, task: usize) -> Option<Next> {
        if woken { self.pick(task) } else { Some(task) }
    }

    /// 2.8: bits are kept until a receive whose mask has them. Whether that woke the task.
    fn post(&mut self, task: usize, bits: u32) -> bool {
        self.tasks[task].notifications |= bits;
        if !self.tasks[task].state.can_accept_notification() {
            return false;
        }
        let mask = match &self.tasks[task].call {
            Some(call) => call.mask,
            None => u32::from(task == SUPERVISOR),
        };
        let Some(result) = self.take(task, mask) else {
            return false;
        };
        if task != SUPERVISOR {
            self.tasks[task].result = Some(result);
        }
        self.tasks[task].state = SchedState::Runnable.into();
        true
    }

    /// 2.5 rule 1: what a receive brings if notifications are there.
    fn take(&mut self, task: usize, mask: u32) -> Option<Vec<u32>> {
        let me = &mut self.tasks[task];
        let firing = me.notifications & mask;
        me.notifications &= !firing;
        let buffer = me.call.as_ref().map_or(&[][..], |call| &call.buffer);
        (firing != 0).then(|| vec![0, 0xffff, firing, 0, 0, 0, sum(buffer)])
    }

    /// The id that an operation names; `None`: the operation is left out.
    fn id(&self, task: usize, who: Who) -> Option<TaskId> {
        let named = |index: u8| match self.tasks.get(usize::from(index)) {
            Some(task) => task.id,
            None => TaskId(u16::from(index)),
        };
        Some(match who {
            Who::Last => return self.tasks[task].last,
            Who::Task(index) => named(index),
            Who::Past(index) => {
                let id = named(index);
                let past = u8::from(id.generation()).wrapping_sub(1) & 0x3f;
                TaskId::for_index_and_gen(id.index(), Generation::from(past))
            }
        })
    }

    /// The task that an id names; its dead code; or no task at all.
    fn lookup(&self, id: TaskId) -> Result<usize, Option<u32>> {
        match self.tasks.get(id.index()) {
            None => Err(None),
            Some(task) if task.id == id => Ok(id.index()),
            Some(task) => Err(Some(dead_response_code(task.id.generation()))),
        }
    }

    fn operate(&mut self, task: usize, op: Op, at: usize) -> Option<Next> {
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

    fn waits_for(&self, client: usize, server: usize) -> bool {
        matches!(self.tasks[client].state, TaskState::Healthy(SchedState::InReply(to)) if to == self.tasks[server].id)
    }

    /// 2.4, when both sides are ready: the message is copied, or one or both are to blame.
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

    fn send(&mut self, task: usize, callee: usize) -> Option<Next> {
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

    fn recv_open(&mut self, task: usize) -> Option<Next> {
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

    fn recv_closed(&mut self, task: usize, source: usize) -> Option<Next> {
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

    /// 2.6.
    fn reply(&mut self, task: usize, id: TaskId, op: Op, sent: &[u8]) -> Option<Next> {
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

    /// 2.7.
    fn borrow(&mut self, task: usize, id: TaskId, op: Op, sent: &[u8]) -> Option<Next> {
        let info = op.kind == Kind::BorrowInfo;
        let buffer = vec![0xee; usize::from(op.len)];
        // What is logged: the sum of the buffer only where something is read.
        let result = |code: u32, rest: [u32; 2], buffer: &[u8]| match op.kind {
            Kind::BorrowInfo if code == 0 => vec![0, rest[0], rest[1]],
            Kind::BorrowInfo => vec![code],
            Kind::BorrowRead => vec![code, rest[0], sum(buffer)],
            _ => vec![code, rest[0]],
        };
        let defect = result(DEFECT, [0, 0], &buffer);
        if !info && op.bad == Bad::Malformed {
            return self.fault_current(task, UsageError::InvalidSlice);
        }
        let lender = match self.lookup(id) {
            Err(None) => return self.fault_current(task, UsageError::TaskOutOfRange),
            Err(Some(code)) => return self.done(task, &result(code, [0, 0], &buffer)),
            Ok(lender) if self.waits_for(lender, task) => lender,
            Ok(_) => return self.done(task, &defect),
        };
        let Some(call) = self.tasks[lender].call.clone() else {
            panic!("a lender without a call")
        };
        let (index, offset) = (u32::from(op.value), usize::from(op.other));
        if index >= lease_count(call.op) {
            return self.fault_current(task, UsageError::LeaseOutOfRange);
        }
        // The first may be read, the second read and written.
        let attributes = if index == 0 { 1 } else { 3 };
        if info {
            return self.done(task, &[0, attributes, BUFFER as u32]);
        }
        let Some(rest) = BUFFER.checked_sub(offset) else {
            return self.fault_current(task, UsageError::OffsetOutOfRange);
        };
        if op.kind == Kind::BorrowWrite && attributes & 2 == 0 {
            return self.done(task, &defect);
        }
        let count = rest.min(usize::from(op.len));
        if count != 0 {
            let lent_foreign = call.op.value == 3 && index == 1;
            let mut woken = false;
            if lent_foreign {
                woken = self.fault(lender, access(FOREIGN + offset as u32));
            }
            if op.bad == Bad::Foreign {
                return self.fault_current(task, access(FOREIGN));
            }
            if lent_foreign {
                self.tasks[task].result = Some(defect);
                return self.if_woken(woken, task);
            }
        }
        let mut buffer = buffer;
        let lease = index as usize;
        if op.kind == Kind::BorrowRead {
            buffer[..count].copy_from_slice(&call.leases[lease][offset..offset + count]);
        } else if let Some(call) = &mut self.tasks[lender].call {
            call.leases[lease][offset..offset + count].copy_from_slice(&sent[..count]);
        }
        self.done(task, &result(0, [count as u32, 0], &buffer))
    }

    /// Section 4, request 2.
    fn restart(&mut self, task: usize, index: usize, start: bool) -> Option<Next> {
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

/// How many leases a send has.
fn lease_count(op: Op) -> u32 {
    u32::from(op.value.min(2))
}

fn access(address: u32) -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(address),
        source: FaultSource::Kernel,
    }
}

/// What a worker writes down after SEND: code, length, its reply buffer, its second lease.
fn send_result(code: u32, length: u32, call: &Call) -> Vec<u32> {
    vec![code, length, sum(&call.reply), sum(&call.leases[1])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Comparing is worth nothing where nothing happens: the seeds of every run go through all the rules.
    #[test]
    fn every_outcome_is_reached_often() {
        let mut seen = BTreeMap::<String, u32>::new();
        let mut see = |what: String| *seen.entry(what).or_default() += 1;
        let before = [1, 2, 3, 4].map(TaskId);
        for seed in 0..2_000 {
            let prediction = predict(seed, 0, before);
            for (task, operation, values) in &prediction.log {
                let Some(op) = program(seed, *task as usize - 1, 0)
                    .get(*operation as usize)
                    .copied()
                else {
                    see(format!("life {}", values[0]));
                    continue;
                };
                let code = match values.first() {
                    Some(0xffff_ffff) => "left out",
                    Some(code) if *code >= 0xffff_ff00 => "dead",
                    Some(0) | None => "well",
                    Some(_) => "code",
                };
                see(format!("{:?} {code}", op.kind));
                if values.len() == 7 {
                    let cut = values[3] > u32::from(op.len);
                    see(format!("message {}", values[1] != 0xffff));
                    see(format!("cut {cut}"));
                }
            }
            for fault in &prediction.faults {
                let text = format!("{fault:?}");
                let end = text.find(['{', ',']).unwrap_or(text.len());
                let name = match fault {
                    FaultInfo::Injected(_) => "Injected",
                    FaultInfo::FromServer(..) => "FromServer",
                    _ => text[..end].trim(),
                };
                see(format!("fault {name}"));
            }
        }
        let often = [
            "Send well",
            "Send code",
            "Send dead",
            "Recv well",
            "RecvFrom well",
            "RecvFrom dead",
            "message true",
            "message false",
            "cut true",
            "Reply well",
            "Reply left out",
            "Post well",
            "Post dead",
            "BorrowRead well",
            "BorrowRead code",
            "BorrowWrite well",
            "BorrowInfo well",
            "Restart well",
            "Fault well",
            "Status well",
            "FindFaulted well",
            "GetTimer well",
            "Refresh code",
            "life 2",
            "life 3",
            "fault Injected",
            "fault FromServer",
            "fault MemoryAccess",
            "fault Panic",
            "fault SyscallUsage(InvalidSlice)",
            "fault SyscallUsage(TaskOutOfRange)",
            "fault SyscallUsage(LeaseOutOfRange)",
            "fault SyscallUsage(OffsetOutOfRange)",
            "fault SyscallUsage(ReplyTooBig)",
            "fault SyscallUsage(BadReplyFaultReason)",
            "fault SyscallUsage(BadSyscallNumber)",
            "fault SyscallUsage(IllegalTask)",
        ];
        for what in often {
            let count = seen.get(what).copied().unwrap_or(0);
            assert!(count >= 5, "{what}: {count} times; {seen:#?}");
        }
    }
}
