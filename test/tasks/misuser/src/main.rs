//! Sends malformed messages to the recorder, and messages that it may not send to kernel and
//! supervisor.
//!
//! The suite says what to send. This task replies to the suite before it sends, because the
//! recorder answers most of these messages with a reply fault. If the task is not faulted,
//! operation 2 returns code, length and first word of the reply. Operations 3 and 4 are as 1, to
//! the kernel and to the supervisor.
//!
//! `unsafe` makes a lease of memory that is not this task's.

#![no_std]
#![no_main]

use test_api::{message, words};
use userlib::{Lease, TaskId, sys_recv_open, sys_refresh_task_id, sys_reply, sys_send, task_slot};

task_slot!(CRASHLOG, crashlog);

/// The kernel's text, which no task may lend.
const FOREIGN: usize = 0x8010_0000;
/// Longest message and lease, in bytes.
const BUFFER: usize = 512;

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut result = [u32::MAX; 3];
    loop {
        let mut buffer = [0; 64];
        let received = sys_recv_open(&mut buffer, 0);
        let words = words(buffer.get(..received.message_len).unwrap_or(&[]));
        let target = match received.operation {
            1 => CRASHLOG.get_task_id(),
            3 => TaskId::KERNEL,
            4 => sys_refresh_task_id(TaskId(0)),
            _ => {
                sys_reply(received.sender, 0, message(result).as_flattened());
                continue;
            }
        };
        sys_reply(received.sender, 0, &[]);
        result = send(target, &words);
    }
}

/// Sends a message: operation, length, reply capacity, number of leases, length and kind of the
/// leases (0 to read, 1 to write, 2 memory of the kernel), first word of the message.
fn send(
    target: TaskId,
    [
        operation,
        length,
        capacity,
        leases,
        lease_length,
        kind,
        first,
        ..,
    ]: &[u32; 9],
) -> [u32; 3] {
    let mut outgoing = [0; BUFFER];
    for (to, from) in outgoing.iter_mut().zip(first.to_le_bytes()) {
        *to = from;
    }
    let outgoing = outgoing.get(..*length as usize).unwrap_or(&[]);
    let mut incoming = [0; BUFFER];
    let lent = [b'm'; BUFFER];
    let mut lent_to_write = [0; BUFFER];
    let lease_length = (*lease_length as usize).min(BUFFER);
    let lease = match kind {
        0 => Lease::read_only(lent.get(..lease_length).unwrap_or(&[])),
        1 => Lease::write_only(lent_to_write.get_mut(..lease_length).unwrap_or(&mut [])),
        _ => {
            // SAFETY: the slice is never read here. The kernel checks it when the recorder borrows,
            // and faults this task.
            Lease::read_only(unsafe {
                core::slice::from_raw_parts(FOREIGN as *const u8, lease_length)
            })
        }
    };
    let empty = Lease::read_only(&[]);
    let table = [lease, empty];
    let (code, count) = sys_send(
        target,
        *operation as u16,
        outgoing,
        incoming.get_mut(..*capacity as usize).unwrap_or(&mut []),
        table.get(..*leases as usize).unwrap_or(&[]),
    );
    let [first, ..] = words(incoming.get(..count.min(4)).unwrap_or(&[]));
    [code, count as u32, first]
}
