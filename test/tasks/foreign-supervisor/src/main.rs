//! A small supervisor: restarts faulted tasks, prints the client's results.
//!
//! The one `unsafe` block claims the UART.

#![no_std]
#![no_main]

use core::fmt::Write;
use drv_ast2600_uart::{Uart, UART5_ADDRESS};
use hubris_num_tasks::{Task, NUM_TASKS};
use hubris_task_names::{MAX_TASK_NAME, TASK_NAMES};
use userlib::*;

/// Time limit of all cases in milliseconds.
const LIMIT: u32 = 20_000;

/// A case begins, with this name; an empty name ends them.
const BEGIN: u32 = 1;

/// How often has this task (by index) been restarted?
const RESTARTS: u32 = 2;

/// Why did a server fault this task (by index) last? The reason's number plus 1, or 0 if none did.
const REFUSAL: u32 = 3;

/// Have all cases been run, in this boot?
const ALL_RUN: u32 = 4;

/// The case that a debugger asked for has passed.
const TEST_COMPLETE: u32 = 0xfffe;

/// The result of that case: 0 failed, 1 passed, 3 not ended yet.
const TEST_RESULT: u32 = 0xffff;

#[export_name = "main"]
fn main() -> ! {
    const { assert!(NUM_TASKS == TASK_NAMES.len() && MAX_TASK_NAME >= "supervisor".len()) };
    // SAFETY: app.toml maps this UART to this task alone, as device memory, and this is the only
    // `Uart` for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let mut name = [0_u8; 64];
    let mut name_len = 0;
    let mut cases = 0;
    let mut restarts = [0_u32; NUM_TASKS];
    let mut refusals = [0_u32; NUM_TASKS];
    let mut result = 3_u32;
    set_timer_relative(LIMIT, notifications::TIMER_MASK);
    loop {
        let mut buffer = [0; 64];
        let mask = notifications::FAULT_MASK | notifications::TIMER_MASK;
        let msg = sys_recv_open(&mut buffer, mask);
        let running = core::str::from_utf8(&name[..name_len]).unwrap_or("?");
        if msg.sender == TaskId::KERNEL {
            let bits = NotificationBits::new(msg.operation);
            if bits.has_timer_fired(notifications::TIMER_MASK) {
                let _ = writeln!(uart, "case {running}: FAILED: did not end");
                let _ = writeln!(uart, "finished: {} cases", cases + 1);
            }
            let mut next = 1;
            while let Some(index) = kipc::find_faulted_task(next) {
                let index = usize::from(index);
                next = index + 1;
                if index == Task::client as usize {
                    // The task stays faulted, so that its state can be inspected.
                    sys_set_timer(None, 0);
                    result = 0;
                    let mut text = [0; PANIC_MESSAGE_MAX_LEN];
                    let why = kipc::read_panic_message(index, &mut text)
                        .ok()
                        .and_then(|mut chunks| chunks.next())
                        .map_or("", |chunk| chunk.valid());
                    let why = why.lines().next_back().unwrap_or("no message");
                    let state = kipc::read_task_status(index);
                    let _ = writeln!(
                        uart,
                        "case {running}: FAILED: {} {state:?}: {why}",
                        TASK_NAMES[index]
                    );
                    let _ = writeln!(uart, "finished: {} cases", cases + 1);
                    continue;
                }
                restarts[index] += 1;
                refusals[index] = match kipc::read_task_status(index) {
                    TaskState::Faulted {
                        fault: FaultInfo::FromServer(_, reason),
                        ..
                    } => reason as u32 + 1,
                    _ => 0,
                };
                kipc::reinit_task(index, true);
            }
            continue;
        }
        match msg.operation {
            BEGIN => {
                if name_len != 0 {
                    let _ = writeln!(uart, "case {running}: ok");
                    cases += 1;
                }
                name_len = msg.message_len.min(name.len());
                name[..name_len].copy_from_slice(&buffer[..name_len]);
                sys_reply(msg.sender, 0, &[]);
                if name_len == 0 {
                    sys_set_timer(None, 0);
                    let _ = writeln!(uart, "finished: {cases} cases");
                }
            }
            RESTARTS | REFUSAL => {
                let counts = if msg.operation == RESTARTS {
                    &restarts
                } else {
                    &refusals
                };
                let count = counts
                    .get(usize::from(buffer[0]))
                    .copied()
                    .unwrap_or(u32::MAX);
                sys_reply(msg.sender, 0, &count.to_le_bytes());
            }
            ALL_RUN => {
                let all_run = cases != 0 && name_len == 0;
                sys_reply(msg.sender, 0, &u32::from(all_run).to_le_bytes());
            }
            TEST_COMPLETE => {
                result = 1;
                sys_reply(msg.sender, 0, &[]);
            }
            TEST_RESULT => {
                let result = core::mem::replace(&mut result, 3);
                sys_reply(msg.sender, 0, &result.to_le_bytes());
            }
            _ => sys_reply_fault(msg.sender, ReplyFaultReason::UndefinedOperation),
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
