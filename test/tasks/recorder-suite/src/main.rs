//! The cases of the recorder's test image: right and wrong use of its operations.
//!
//! It prints lines for the harness: `case NAME: ok`, `case NAME: FAILED: WHY`, at the end
//! `finished: N cases`. The card is written only on `flush` (see the image's `app.toml`), so that
//! the cases know what is in RAM and what is on the card.
//!
//! The one `unsafe` block claims the UART.

#![no_std]
#![no_main]

mod attacks;
mod misuse;
mod operations;

use core::fmt::Write;
#[cfg(not(feature = "imx6ul"))]
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
#[cfg(feature = "imx6ul")]
use drv_imx_uart::{UART5_ADDRESS, Uart};
use task_crashlog_api::{CrashLog, RecorderState};
use userlib::{TaskId, hl, sys_recv_notification, sys_refresh_task_id, task_slot};

task_slot!(CRASHLOG, crashlog);
task_slot!(MISUSER, misuser);

/// The failure of a case: the line, and the condition that does not hold.
struct Wrong(u32, &'static str);

/// Ends the case if the condition does not hold.
#[macro_export]
macro_rules! expect {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::Wrong(line!(), stringify!($condition)));
        }
    };
}

/// A name and a function.
type Case = (&'static str, fn(&CrashLog) -> Result<(), Wrong>);

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps this UART to this task alone, as device memory, and this is the only
    // `Uart` for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let recorder = CrashLog::from(CRASHLOG.get_task_id());
    let groups = [operations::CASES, attacks::CASES, misuse::CASES];
    let mut count = 0;
    let first: Case = ("recorder: it finds its card", starts);
    for (name, case) in core::iter::once(&first).chain(groups.into_iter().flatten()) {
        count += 1;
        // If the line cannot be printed, the harness reports that it is missing.
        let _ = match case(&recorder) {
            Ok(()) => writeln!(uart, "case {name}: ok"),
            Err(Wrong(line, what)) => writeln!(uart, "case {name}: FAILED: line {line}: {what}"),
        };
    }
    let _ = writeln!(uart, "finished: {count} cases");
    loop {
        sys_recv_notification(0);
    }
}

fn starts(recorder: &CrashLog) -> Result<(), Wrong> {
    for _ in 0..500 {
        if recorder
            .status()
            .is_ok_and(|status| status.state == RecorderState::Ready)
        {
            return Ok(());
        }
        hl::sleep_for(10);
    }
    Err(Wrong(line!(), "the recorder is ready within five seconds"))
}

/// The recorder's present task id. It has another generation after a restart.
fn generation() -> TaskId {
    sys_refresh_task_id(CRASHLOG.get_task_id())
}
