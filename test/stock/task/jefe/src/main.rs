//! A small supervisor, which restarts what faults at once, with the recorder's part in it.
//!
//! doc/jefe.patch.md says which lines of it a supervisor needs.

#![no_std]
#![no_main]

mod crash;

use userlib::*;

/// Milliseconds between two looks at what there is to do.
const INTERVAL: u64 = 100;

/// The operation at the end of idl/jefe.idol.
const EMERGENCY_DONE: u32 = 14;

#[export_name = "main"]
fn main() -> ! {
    let mut crashes = crash::new();
    let mut next = INTERVAL;
    loop {
        sys_set_timer(crashes.timer(Some(next)), notifications::TIMER_MASK);
        let mask = notifications::FAULT_MASK | notifications::TIMER_MASK;
        let msg = sys_recv_open(&mut [], mask);
        if msg.sender == TaskId::KERNEL {
            while let Some(task) = crashes.next_fault(|_| false) {
                kipc::reinit_task(task, true);
            }
            crashes.timer_fired();
            while next <= sys_get_timer().now {
                next += INTERVAL;
            }
        } else if msg.operation == EMERGENCY_DONE {
            let reply = crashes.emergency_done(msg.sender.index());
            sys_reply(msg.sender, 0, &[reply.into()]);
        } else {
            sys_reply_fault(msg.sender, ReplyFaultReason::UndefinedOperation);
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
