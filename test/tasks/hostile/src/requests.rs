//! Messages to servers and to the kernel.

use crate::memory::Memory;
use crate::{CRASHLOG, TASK_CONFIG, call, hostile, somebody};
use task_crashlog_api::{CrashLog, Level, RECORD_MAX, Stream};
use test_random::Random;
use userlib::{Kipcnum, Sysnum, TaskId, sys_refresh_task_id};

/// Operations of kernel and servers have small numbers, and those of ours begin at 0x100.
const OPERATIONS: usize = 18;

/// A record as any client appends it: servers have to hold against many proper requests, too.
pub fn append(random: &mut Random) {
    let recorder = CrashLog::from(CRASHLOG.get_task_id());
    let data = [b'h'; RECORD_MAX];
    let length = random.of(&[0, 1, 16, 64, RECORD_MAX]);
    let stream = random.of(&[Stream::Console, Stream::Event]);
    // It is of no interest whether the record is accepted.
    let _ = recorder.append(
        stream,
        Level::Info,
        random.word() as u16,
        data.get(..length).unwrap_or(&data),
    );
}

/// To the supervisor, the recorder, or the dump agent, in the form that operations have.
pub fn to_server(random: &mut Random, memory: &mut Memory) {
    // The three most important tasks.
    let target = sys_refresh_task_id(TaskId(random.below(3) as u16));
    let operation = match random.below(20) {
        0 => random.word() as u16,
        _ => random.below(OPERATIONS) as u16,
    };
    let lengths = [0, 1, 4, 4, 5, 8, 8, 12, 13, 16];
    let message = memory.first(random.of(&lengths));
    send(random, memory, target, operation, message);
}

/// To any task, with any message. A task that does not receive keeps this one until the supervisor
/// notices.
pub fn to_anybody(random: &mut Random, memory: &mut Memory) {
    let target = somebody(random);
    if target == TaskId::KERNEL {
        to_kernel(random, memory);
        return;
    }
    let operation = random.word() as u16;
    let message = memory.slice(random);
    send(random, memory, target, operation, message);
}

/// Kernel IPC: attacks on tasks, or anything else.
pub fn to_kernel(random: &mut Random, memory: &mut Memory) {
    if random.one_in(2) {
        attack(random, memory);
        return;
    }
    let operation = match random.below(3) {
        0 => random.word() as u16,
        1 => 0x100 + random.below(16) as u16,
        _ => random.below(16) as u16,
    };
    if [Kipcnum::ReinitTask as u16, Kipcnum::FaultTask as u16].contains(&operation) {
        return;
    }
    let message = memory.first(random.of(&[0, 3, 4, 5, 8, 12, 16, 24]));
    send(random, memory, TaskId::KERNEL, operation, message);
}

/// Restarts or faults a task: any, or if that is allowed to this task a hostile one.
fn attack(random: &mut Random, memory: &mut Memory) {
    let (operation, length) = random.of(&[(Kipcnum::ReinitTask, 5), (Kipcnum::FaultTask, 4)]);
    let any = random.below(hubris_num_tasks::NUM_TASKS + 1) as u32;
    let index = if TASK_CONFIG.may_restart {
        hostile(random)
    } else {
        random.of(&[any, any, any, any | 0x1_0000, u32::MAX])
    };
    memory.begin(&[index, random.word() & 1]);
    let length = random.of(&[length, length, length, 0, 8]);
    let message = memory.first(length);
    send(random, memory, TaskId::KERNEL, operation as u16, message);
}

fn send(
    random: &mut Random,
    memory: &mut Memory,
    target: TaskId,
    operation: u16,
    [message, length]: [u32; 2],
) {
    let [reply, capacity] = memory.slice(random);
    let [leases, count] = memory.leases(random);
    call(
        Sysnum::Send as u32,
        [
            u32::from(target.0) << 16 | u32::from(operation),
            message,
            length,
            reply,
            capacity,
            leases,
            count,
        ],
    );
}
