//! The model: the kernel's rules for the operations of the programs.
//!
//! The numbers in comments are sections of test/tasks/suite/README.md.

mod calls;
mod leases;
mod lives;
mod messages;

use crate::program::{Op, Who, program};
use crate::{LIVES, LOG, OPS, PRIORITIES, TASKS, WORKERS, sum};
use userlib::{
    FaultInfo, FaultSource, Generation, SchedState, TaskId, TaskState, dead_response_code,
};

/// The final log, and the states of the workers in the encoding of kernel IPC.
pub struct Prediction {
    /// Task, operation, values.
    pub log: Vec<(u32, u32, Vec<u32>)>,
    /// Every fault, in order.
    pub faults: Vec<FaultInfo>,
    /// Id and state of each worker.
    pub states: Vec<(TaskId, Vec<u8>)>,
}

/// Indices of the supervisor, and of the task that starts the workers.
const SUPERVISOR: usize = 0;
const CONDUCTOR: usize = 5;

/// First address of memory that the workers may not access.
const FOREIGN: u32 = 0x8010_0000;

/// A call in progress, with everything that other calls may read or change.
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
    /// Result of the call, until the task runs and logs it.
    result: Option<Vec<u32>>,
}

struct Machine {
    tasks: Vec<Task>,
    log: Vec<(u32, u32, Vec<u32>)>,
    faults: Vec<FaultInfo>,
}

/// Index of the task that runs next.
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

    /// 3.1: the most important runnable task. Among those with equal priority the first one after
    /// `current`.
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
            // It receives its notification and waits for the next.
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

    /// 3.5: faults a task and notifies the supervisor. Returns whether that woke the supervisor.
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

    /// 2.8: posts bits, which stay pending until a receive whose mask has them. Returns whether
    /// that woke the task.
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

    /// 2.5: the result of a receive if notifications are pending.
    fn take(&mut self, task: usize, mask: u32) -> Option<Vec<u32>> {
        let me = &mut self.tasks[task];
        let firing = me.notifications & mask;
        me.notifications &= !firing;
        let buffer = me.call.as_ref().map_or(&[][..], |call| &call.buffer);
        (firing != 0).then(|| vec![0, 0xffff, firing, 0, 0, 0, sum(buffer)])
    }

    /// The id that an operation names; `None` if the operation is left out.
    fn id(&self, task: usize, who: Who) -> Option<TaskId> {
        let named = |index: u8| match self.tasks.get(usize::from(index)) {
            Some(task) => task.id,
            None => TaskId(u16::from(index)),
        };
        Some(match who {
            Who::Last => return self.tasks[task].last,
            Who::Now(index) => named(index),
            Who::Past(index) => {
                let id = named(index);
                let past = u8::from(id.generation()).wrapping_sub(1) & 0x3f;
                TaskId::for_index_and_gen(id.index(), Generation::from(past))
            }
        })
    }

    /// The index of the task with this id. If there is none: its dead code, or nothing if the index
    /// has no task.
    fn lookup(&self, id: TaskId) -> Result<usize, Option<u32>> {
        match self.tasks.get(id.index()) {
            None => Err(None),
            Some(task) if task.id == id => Ok(id.index()),
            Some(task) => Err(Some(dead_response_code(task.id.generation()))),
        }
    }

    fn waits_for(&self, client: usize, server: usize) -> bool {
        matches!(self.tasks[client].state, TaskState::Healthy(SchedState::InReply(to)) if to == self.tasks[server].id)
    }
}

/// Number of leases of a send.
fn lease_count(op: Op) -> u32 {
    u32::from(op.value.min(2))
}

fn access(address: u32) -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(address),
        source: FaultSource::Kernel,
    }
}

/// What a worker logs after SEND: code, length, checksums of its reply buffer and of its second
/// lease.
fn send_result(code: u32, length: u32, call: &Call) -> Vec<u32> {
    vec![code, length, sum(&call.reply), sum(&call.leases[1])]
}

#[cfg(test)]
mod tests;
