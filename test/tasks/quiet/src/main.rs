//! A client that logs a numbered record every ten milliseconds, and expects to be served whatever
//! others do.
//!
//! It panics if a record is refused, if a reply is not one to its own request, or if the system or
//! the recorder has been restarted. After each [`REPORT`] records, all of which are durable then,
//! it prints a line for the harness: `quiet: N records`.
//!
//! The one `unsafe` block claims the UART.

#![no_std]
#![no_main]

use core::fmt::Write;
#[cfg(not(feature = "imx6ul"))]
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
#[cfg(feature = "imx6ul")]
use drv_imx_uart::{UART5_ADDRESS, Uart};
use task_crashlog_api::{CrashLog, Level, RecorderState, Stream};
use userlib::{TaskId, hl, sys_get_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

/// Time between two records, in milliseconds.
const PERIOD: u64 = 10;
/// Records between two lines.
const REPORT: u32 = 100;

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps this UART to this task alone, as device memory, and this is the only
    // `Uart` for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let id = CRASHLOG.get_task_id();
    let recorder = CrashLog::from(id);
    start(&recorder);
    let mut newest = None;
    let mut due = sys_get_timer().now;
    for number in 0_u32.. {
        due += PERIOD;
        hl::sleep_until(due);
        assert!(sys_get_timer().now >= due, "woken before the time");
        newest = Some(append(&recorder, number, newest));
        if number % REPORT == REPORT - 1 {
            check(&recorder, id, newest);
            // Nobody reads the line if it cannot be printed.
            let _ = writeln!(uart, "quiet: {} records", number + 1);
        }
    }
    panic!("all numbers are used up")
}

/// Waits until the recorder has found the card.
fn start(recorder: &CrashLog) {
    for _ in 0..1_000 {
        if recorder
            .status()
            .is_ok_and(|status| status.state == RecorderState::Ready)
        {
            return;
        }
        hl::sleep_for(PERIOD);
    }
    panic!("the recorder is not ready after ten seconds")
}

/// Appends a record; its number, which is above that of the one before.
fn append(recorder: &CrashLog, number: u32, before: Option<u32>) -> u32 {
    let mut record = *b"\0quiet 00000000";
    let (_, digits) = record.split_at_mut(7);
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
    }
    match recorder.append(Stream::Event, Level::Info, 0, &record) {
        Ok(accepted) if Some(accepted) > before => accepted,
        Ok(accepted) => panic!("record {accepted:?} is not behind {before:?}"),
        Err(error) => panic!("record {number} was refused: {error:?}"),
    }
}

/// Makes all records durable; neither the system nor the recorder has been restarted.
fn check(recorder: &CrashLog, id: TaskId, newest: Option<u32>) {
    match recorder.flush() {
        Ok(durable) if Some(durable) >= newest => {}
        other => panic!("a flush up to {newest:?} returned {other:?}"),
    }
    let status = match recorder.status() {
        Ok(status) => status,
        Err(error) => panic!("no status: {error:?}"),
    };
    assert_eq!(status.boot, 1, "the system was restarted");
    assert_eq!(status.state, RecorderState::Ready);
    assert_eq!(CRASHLOG.get_task_id(), id, "the recorder was restarted");
}
