//! A client: calls the adder, prints the result on the serial line, and logs it.

#![no_std]
#![no_main]

use adder_api::Adder;
use core::fmt::Write;
use drv_ast2600_uart::{UART5_ADDRESS, Uart};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{Logger, info, warn};
use userlib::{set_timer_relative, sys_recv_notification, task_slot};

task_slot!(ADDER, adder);
task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    period_ms: u32,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Asked(u32),
    Answered(u32),
    Refused,
}

counted_ringbuf!(Trace, 8, Trace::None);

/// The program that app.toml names in `bindeps`.
static HELPER: &[u8] = include_bytes!(env!("XTASK_BIN_FILE_HELPER"));

#[unsafe(export_name = "main")]
fn main() -> ! {
    // SAFETY: app.toml maps UART5's page into this task and no other, and this is the only `Uart`
    // for it.
    let mut uart = unsafe { Uart::new(UART5_ADDRESS) };
    uart.configure(115_200);
    let adder = Adder::from(ADDER.get_task_id());
    let log = Logger::new(CRASHLOG.get_task_id());
    // Errors of the serial line are ignored: the task works without it.
    let _ = writeln!(uart, "greeter: {}", include_str!("../greetings.txt").trim());
    let _ = writeln!(
        uart,
        "greeter: helper begins with {:02x?}",
        HELPER.get(1..4)
    );
    let mut number = 1;
    loop {
        ringbuf_entry!(Trace::Asked(number));
        match adder.add(number, number) {
            Ok(sum) => {
                ringbuf_entry!(Trace::Answered(sum));
                info!(log, "{} and {} are {}", number, number, sum);
                let _ = writeln!(uart, "greeter: {number} and {number} are {sum}");
                number = sum;
            }
            Err(error) => {
                ringbuf_entry!(Trace::Refused);
                warn!(log, "{} is as far as it goes: {:?}", number, error);
                let _ = writeln!(uart, "greeter: {number} is as far as it goes: {error:?}");
                number = 1;
            }
        }
        set_timer_relative(TASK_CONFIG.period_ms, notifications::TIMER_MASK);
        sys_recv_notification(notifications::TIMER_MASK);
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
