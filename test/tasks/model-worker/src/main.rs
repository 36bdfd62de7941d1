//! Runs the program of a seed and logs the result of each system call.
//!
//! `unsafe` is used for the shared log, and for system calls with wrong arguments.

#![no_std]
#![no_main]

use test_model::{BUFFER, Bad, Kind, LIVES, LOG, Op, Who, pattern, program, sum};
use test_system_call::system_call;
use userlib::{Kipcnum, Sysnum, TaskId, sys_recv_notification, sys_refresh_task_id};

/// Memory of another program: the kernel's text.
const FOREIGN: u32 = 0x8010_0000;
/// Start and length of a slice that wraps around the end of the address space.
const WRAPPING: [u32; 2] = [0xffff_fff0, 0x20];
/// Flag in the argument that names the source of a closed receive.
const CLOSED: u32 = 1 << 31;

/// Buffers that operations use, in ordinary memory.
struct Buffers {
    message: [u8; BUFFER],
    reply: [u8; BUFFER],
    leases: [[u8; BUFFER]; 2],
    table: [[u32; 3]; 2],
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    // Four tasks have this crate. The slot says which of them this one is.
    let me = whoami();
    let worker = me - 1;
    let lives = read(LOG::LIVES + worker) + 1;
    write(LOG::LIVES + worker, lives);
    log(me, LOG::START, &[lives]);
    if lives <= LIVES {
        let seed = wide(LOG::SEED);
        let program = program(seed, worker, wide(LOG::MASK));
        let mut last = None;
        for (at, op) in program.into_iter().enumerate() {
            operate(me, at, op, &mut last);
        }
    }
    loop {
        sys_recv_notification(0);
    }
}

userlib::task_slot!(ME, me);

fn whoami() -> usize {
    ME.get_task_index().into()
}

fn address(of: &[u8]) -> u32 {
    of.as_ptr().addr() as u32
}

/// A slice as it is passed to the kernel.
fn slice(of: &[u8], len: usize, bad: Bad) -> [u32; 2] {
    match bad {
        Bad::No => [address(of), len as u32],
        Bad::Malformed => WRAPPING,
        Bad::Foreign => [FOREIGN, len as u32],
    }
}

fn operate(me: usize, at: usize, op: Op, last: &mut Option<TaskId>) {
    let Some(id) = who(op.who, *last) else {
        log(me, at as u32, &[0xffff_ffff]);
        return;
    };
    let fill: [u8; BUFFER] = core::array::from_fn(|k| pattern(me, at, k));
    let mut buffers = Buffers {
        message: fill,
        reply: [0xee; BUFFER],
        leases: [fill; 2],
        table: [[0; 3]; 2],
    };
    let id32 = u32::from(id.0);
    let len = usize::from(op.len);
    let value = u32::from(op.value);
    let index = (id.index() as u32).to_le_bytes();
    match op.kind {
        Kind::Nop => log(me, at as u32, &[]),
        Kind::Send => {
            let capacity = usize::from(op.other).min(BUFFER);
            let second = if value == 3 {
                FOREIGN
            } else {
                address(&buffers.leases[1])
            };
            buffers.table = [
                [1, address(&buffers.leases[0]), BUFFER as u32],
                [3, second, BUFFER as u32],
            ];
            let [message, message_len] = slice(&buffers.message, len, op.bad);
            let [reply, reply_len] = slice(&buffers.reply, capacity, op.bad_other);
            let result = call(
                Sysnum::Send as u32,
                [
                    id32 << 16 | (0x100 + at as u32),
                    message,
                    message_len,
                    reply,
                    reply_len,
                    buffers.table.as_ptr().addr() as u32,
                    value.min(2),
                ],
            );
            let sums = [
                sum(seen(&buffers.reply[..capacity])),
                sum(seen(&buffers.leases[1])),
            ];
            log(me, at as u32, &[result[0], result[1], sums[0], sums[1]]);
        }
        Kind::Recv | Kind::RecvFrom => {
            let [buffer, buffer_len] = slice(&buffers.reply, len, op.bad);
            let source = if op.kind == Kind::Recv {
                0
            } else {
                CLOSED | id32
            };
            let result = call(
                Sysnum::Recv as u32,
                [buffer, buffer_len, value, source, 0, 0, 0],
            );
            if result[0] != 0 {
                log(me, at as u32, &result[..2]);
                return;
            }
            if result[1] != u32::from(TaskId::KERNEL.0) {
                *last = Some(TaskId(result[1] as u16));
            }
            let [a, b, c, d, e, f, _] = result;
            log(
                me,
                at as u32,
                &[a, b, c, d, e, f, sum(seen(&buffers.reply[..len]))],
            );
        }
        Kind::Reply => {
            let [message, message_len] = slice(&buffers.message, len, op.bad);
            call(
                Sysnum::Reply as u32,
                [id32, value, message, message_len, 0, 0, 0],
            );
            log(me, at as u32, &[]);
        }
        Kind::ReplyFault => {
            call(Sysnum::ReplyFault as u32, [id32, value, 0, 0, 0, 0, 0]);
            log(me, at as u32, &[]);
        }
        Kind::Post => {
            let result = call(Sysnum::Post as u32, [id32, value, 0, 0, 0, 0, 0]);
            log(me, at as u32, &result[..2]);
        }
        Kind::TimerPast | Kind::TimerNever => {
            let deadline = if op.kind == Kind::TimerPast {
                0
            } else {
                u32::MAX
            };
            call(
                Sysnum::SetTimer as u32,
                [1, deadline, deadline, value, 0, 0, 0],
            );
            log(me, at as u32, &[]);
        }
        Kind::GetTimer => {
            let result = call(Sysnum::GetTimer as u32, [0; 7]);
            let known = if result[2] == 0 { 3 } else { 6 };
            log(me, at as u32, &result[2..known]);
        }
        Kind::BorrowRead | Kind::BorrowWrite => {
            let read = op.kind == Kind::BorrowRead;
            let memory = if read {
                &buffers.reply
            } else {
                &buffers.message
            };
            let [buffer, buffer_len] = slice(memory, len, op.bad);
            let number = if read {
                Sysnum::BorrowRead
            } else {
                Sysnum::BorrowWrite
            };
            let arguments = [id32, value, op.other.into(), buffer, buffer_len, 0, 0];
            let [code, count, ..] = call(number as u32, arguments);
            let values = [code, count, sum(seen(&buffers.reply[..len]))];
            log(me, at as u32, &values[..if read { 3 } else { 2 }]);
        }
        Kind::BorrowInfo => {
            let result = call(Sysnum::BorrowInfo as u32, [id32, value, 0, 0, 0, 0, 0]);
            log(
                me,
                at as u32,
                if result[0] == 0 {
                    &result[..3]
                } else {
                    &result[..1]
                },
            );
        }
        Kind::Refresh => {
            let result = call(Sysnum::RefreshTaskId as u32, [id32, 0, 0, 0, 0, 0, 0]);
            log(me, at as u32, &result[..1]);
        }
        Kind::Restart => {
            let [a, b, c, d] = index;
            kernel(me, at, Kipcnum::ReinitTask, &[a, b, c, d, op.value]);
        }
        Kind::Fault => kernel(me, at, Kipcnum::FaultTask, &index),
        Kind::Status => kernel(me, at, Kipcnum::ReadTaskStatus, &index),
        Kind::FindFaulted => kernel(me, at, Kipcnum::FindFaultedTask, &index),
        Kind::Panic => {
            call(Sysnum::Panic as u32, [0; 7]);
        }
        Kind::BadCall => {
            call(14 + value, [0; 7]);
        }
    }
}

/// A kernel IPC request; logs code, length, and the checksum of the response if there is one.
fn kernel(me: usize, at: usize, operation: Kipcnum, request: &[u8]) {
    let mut response = [0; 16];
    let (code, length) = userlib::sys_send(
        TaskId::KERNEL,
        operation as u16,
        request,
        &mut response,
        &[],
    );
    let values = [code, length as u32, sum(&response[..length])];
    let known = if length == 0 { 2 } else { 3 };
    log(me, at as u32, &values[..known]);
}

fn who(who: Who, last: Option<TaskId>) -> Option<TaskId> {
    let named = |index: u8| {
        let id = TaskId(index.into());
        if index == test_model::NO_SUCH_TASK {
            id
        } else {
            sys_refresh_task_id(id)
        }
    };
    Some(match who {
        Who::Last => return last,
        Who::Now(index) => named(index),
        Who::Past(index) => {
            let id = named(index);
            let past = u8::from(id.generation()).wrapping_sub(1) & 0x3f;
            TaskId::for_index_and_gen(id.index(), past.into())
        }
    })
}

/// Memory that the kernel may have written, which the compiler does not know.
fn seen(bytes: &[u8]) -> &[u8] {
    core::hint::black_box(bytes)
}

fn wide(word: usize) -> u64 {
    u64::from(read(word)) | u64::from(read(word + 1)) << 32
}

fn read(word: usize) -> u32 {
    // SAFETY: the region is mapped into this task, and every word of it is a number.
    unsafe { (LOG::BASE as *const u32).add(word).read_volatile() }
}

fn write(word: usize, value: u32) {
    // SAFETY: as above; no Rust value lies in the region.
    unsafe { (LOG::BASE as *mut u32).add(word).write_volatile(value) };
}

/// Appends an entry. Workers are switched only in system calls, so the count is exact.
fn log(me: usize, at: u32, values: &[u32]) {
    let count = read(LOG::COUNT) as usize;
    write(LOG::COUNT, count as u32 + 1);
    if count >= LOG::MAX {
        return;
    }
    let entry = LOG::ENTRIES + count * LOG::ENTRY;
    for (word, value) in (entry..).zip([me as u32, at, values.len() as u32]) {
        write(word, value);
    }
    for (word, &value) in (entry + 3..).zip(values) {
        write(word, value);
    }
}

/// Makes a system call; r4 to r10 after it.
fn call(number: u32, [a, b, c, d, e, f, g]: [u32; 7]) -> [u32; 7] {
    let mut block = [number, a, b, c, d, e, f, g];
    // SAFETY: the block is this task's. Buffers that the kernel may write belong to the caller,
    // which reads them again only through `seen`.
    unsafe { system_call(core::hint::black_box(&mut block)) };
    let [_, a, b, c, d, e, f, g] = core::hint::black_box(block);
    [a, b, c, d, e, f, g]
}
