//! A task that does whatever a task can do, at random: system calls with any arguments, messages of
//! any form to any task, accesses, faults, endless loops.
//!
//! It knows what servers expect, so that many of its messages get past the first check. Its seed is
//! the time, so each life is another one. A task with `may-restart` restarts and faults hostile
//! tasks, itself included, and nobody else.
//!
//! `unsafe` is used for system calls with wrong arguments and for accesses to any address.

#![no_std]
#![no_main]

mod faults;
mod memory;
mod requests;

use hubris_task_names::TASK_NAMES;
use memory::Memory;
use test_random::Random;
use test_system_call::system_call;
use userlib::{Sysnum, TaskId, sys_get_timer, sys_refresh_task_id, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    /// May it restart and fault tasks by kernel IPC?
    may_restart: bool,
}

/// Milliseconds that it waits for something at most.
const PATIENCE: usize = 20;

#[unsafe(export_name = "main")]
fn main() -> ! {
    let now = sys_get_timer().now;
    // The stacks of the tasks are in different places.
    let place = (&raw const now).addr() as u64;
    let mut random = Random::new(now << 32 ^ place);
    loop {
        let mut memory = Memory::new(&mut random);
        // Most of what is refused ends this life, so what is served is more frequent.
        match random.below(100) {
            0..40 => requests::append(&mut random),
            40..48 => requests::to_server(&mut random, &mut memory),
            48..54 => requests::to_kernel(&mut random, &mut memory),
            54 => requests::to_anybody(&mut random, &mut memory),
            55..60 => receive(&mut random, &mut memory),
            60..96 => other_call(&mut random, &mut memory),
            96 => faults::any(&mut random),
            _ => wait(&mut random),
        }
    }
}

/// Makes a system call; r4 to r10 after it.
fn call(number: u32, [a, b, c, d, e, f, g]: [u32; 7]) -> [u32; 7] {
    let mut block = [number, a, b, c, d, e, f, g];
    // SAFETY: the block is this task's. What else the kernel writes is in `Memory`, which nobody
    // reads, or memory that it has to refuse, or this task is lost, as it may be.
    unsafe { system_call(core::hint::black_box(&mut block)) };
    let [_, a, b, c, d, e, f, g] = core::hint::black_box(block);
    [a, b, c, d, e, f, g]
}

/// Any task, as it is now for the most part.
fn somebody(random: &mut Random) -> TaskId {
    match random.below(12) {
        0 => TaskId(random.word() as u16),
        1 => TaskId::KERNEL,
        _ => sys_refresh_task_id(TaskId(random.below(hubris_num_tasks::NUM_TASKS) as u16)),
    }
}

/// A hostile task, by index.
fn hostile(random: &mut Random) -> u32 {
    let name = random.of(&["hostile", "other_hostile", "accomplice"]);
    // Without such a task it is one that does not exist.
    let index = TASK_NAMES.iter().position(|other| *other == name);
    index.map_or(u32::MAX, |index| index as u32)
}

/// Sets the timer, so that what waits for its notification ends.
fn set_timer(random: &mut Random) -> u32 {
    let bit = 1_u32;
    let due = sys_get_timer().now + random.below(PATIENCE) as u64;
    call(
        Sysnum::SetTimer as u32,
        [1, due as u32, (due >> 32) as u32, bit, 0, 0, 0],
    );
    bit
}

fn wait(random: &mut Random) {
    let bit = set_timer(random);
    call(Sysnum::Recv as u32, [0, 0, bit, 0, 0, 0, 0]);
}

/// Receives with any buffer, and treats the sender as it likes.
fn receive(random: &mut Random, memory: &mut Memory) {
    let mask = set_timer(random) | random.word() & random.word();
    let [buffer, length] = memory.slice(random);
    let [code, sender, ..] = call(Sysnum::Recv as u32, [buffer, length, mask, 0, 0, 0, 0]);
    if code != 0 || sender == u32::from(TaskId::KERNEL.0) {
        return;
    }
    for _ in 0..random.below(4) {
        borrow(random, memory, sender);
    }
    answer(random, memory, sender);
}

fn borrow(random: &mut Random, memory: &mut Memory, lender: u32) {
    let number = random.of(&[Sysnum::BorrowRead, Sysnum::BorrowWrite, Sysnum::BorrowInfo]);
    let lease = random.of(&[0, 0, 1, 2, 255, u32::MAX]);
    let offset = random.of(&[0, 0, 1, 4, 639, 640, u32::MAX]);
    let [buffer, length] = memory.slice(random);
    call(number as u32, [lender, lease, offset, buffer, length, 0, 0]);
}

fn answer(random: &mut Random, memory: &mut Memory, sender: u32) {
    if random.one_in(4) {
        let reason = random.of(&[0, 1, 2, 3, 4, 5, 6, 255, u32::MAX]);
        call(Sysnum::ReplyFault as u32, [sender, reason, 0, 0, 0, 0, 0]);
    } else {
        let [message, length] = memory.slice(random);
        let code = random.of(&[0, 0, 1, 7, u32::MAX]);
        call(
            Sysnum::Reply as u32,
            [sender, code, message, length, 0, 0, 0],
        );
    }
}

/// A system call that does not wait.
fn other_call(random: &mut Random, memory: &mut Memory) {
    let id = u32::from(somebody(random).0);
    match random.below(32) {
        0..8 => borrow(random, memory, id),
        8..16 => answer(random, memory, id),
        16..24 => {
            let bits = random.word() & random.word();
            let bits = random.of(&[bits, 1 << (bits % 32), u32::MAX]);
            call(Sysnum::Post as u32, [id, bits, 0, 0, 0, 0, 0]);
        }
        24..28 => {
            let words = [
                random.word() & 1,
                random.word(),
                random.word(),
                random.word(),
            ];
            let [a, b, c, d] = words;
            call(Sysnum::SetTimer as u32, [a, b, c, d, 0, 0, 0]);
        }
        28 => {
            let number = random.of(&[Sysnum::IrqControl, Sysnum::IrqStatus]);
            call(number as u32, [random.word(), random.word(), 0, 0, 0, 0, 0]);
        }
        29 => {
            call(
                Sysnum::RefreshTaskId as u32,
                [random.word(), 0, 0, 0, 0, 0, 0],
            );
        }
        _ => {
            call(Sysnum::GetTimer as u32, [random.word(); 7]);
        }
    }
}
