//! The server whose round trips are counted: it answers as little as a server can.
//!
//! Operation 1 answers a message with its own bytes, operation 2 reads lease 0 whole and answers nothing.

#![no_std]
#![no_main]

use userlib::{sys_borrow_read, sys_recv_open, sys_reply};

/// Longest message and lease, in bytes.
const BUFFER: usize = 512;

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut buffer = [0; BUFFER];
    loop {
        let received = sys_recv_open(&mut buffer, 0);
        let reply = match received.operation {
            1 => buffer.get(..received.message_len).unwrap_or(&[]),
            _ => {
                sys_borrow_read(received.sender, 0, 0, &mut buffer);
                &[]
            }
        };
        sys_reply(received.sender, 0, reply);
    }
}
