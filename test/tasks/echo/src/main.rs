//! The server whose round trips are counted. It does as little as possible.
//!
//! Operation 1 replies with the bytes of the message, operation 2 reads lease 0 completely and
//! replies without a message, operation 3 enables the task's interrupt. The task is the supervisor
//! of its image: bit 0 of its notifications means that a task has faulted, bit 1 is the interrupt.
//! On each notification it calls [`echo_notified`], where the harness has a breakpoint.
//!
//! `unsafe` is used to export that function.

#![no_std]
#![no_main]

use core::hint::black_box;
use userlib::{TaskId, sys_borrow_read, sys_irq_control_clear_pending, sys_recv_open, sys_reply};

/// Longest message and lease, in bytes.
const BUFFER: usize = 512;
/// The interrupt.
const INTERRUPT: u32 = 0b10;
/// A fault, or a post; and the interrupt.
const NOTIFICATIONS: u32 = 0b1 | INTERRUPT;

/// A notification was received.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn echo_notified() {
    black_box(1);
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut buffer = [0; BUFFER];
    loop {
        let received = sys_recv_open(&mut buffer, NOTIFICATIONS);
        if received.sender == TaskId::KERNEL {
            echo_notified();
            continue;
        }
        let reply = match received.operation {
            1 => buffer.get(..received.message_len).unwrap_or(&[]),
            3 => {
                sys_irq_control_clear_pending(INTERRUPT, true);
                &[]
            }
            _ => {
                sys_borrow_read(received.sender, 0, 0, &mut buffer);
                &[]
            }
        };
        sys_reply(received.sender, 0, reply);
    }
}
