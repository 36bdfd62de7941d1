//! The server whose round trips are counted: it answers as little as a server can.
//!
//! Operation 1 answers a message with its own bytes, operation 2 reads lease 0 whole and answers nothing, operation 3
//! enables its interrupt. It is the supervisor of its image: bit 0 of its notifications says that a task has faulted, bit
//! 1 is the interrupt. When one comes, [`echo_notified`] is called, where the harness has a breakpoint.
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
