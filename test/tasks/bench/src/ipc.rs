//! Round trips, notifications, an interrupt, and a fault.
//!
//! The interrupt is that of an unused serial port: "transmitter empty", which is pending as soon as
//! it is enabled. The registers are mapped into this task, the interrupt belongs to the other.

use crate::{bench_fault, row};
use core::hint::black_box;
use userlib::{Lease, sys_post, sys_send, task_slot};

task_slot!(ECHO, echo);

/// Interrupt enable register of UART1 (AST2600 datasheet, UART10).
const INTERRUPT_ENABLE: *mut u32 = (0x1e78_3000 + 0x04) as *mut u32;
/// Its bit for "the transmitter is empty".
const TRANSMITTER_EMPTY: u32 = 1 << 1;

fn enable_interrupt(bits: u32) {
    // SAFETY: the application maps the port into this task, as device memory, and the register is
    // an aligned word of it.
    unsafe { INTERRUPT_ENABLE.write_volatile(bits) };
}

/// Counts messages of the sizes that the budgets name.
pub fn run() {
    let echo = ECHO.get_task_id();
    let sent = [0x5a; 32];
    let mut got = [0; 32];
    let lent = [0xa5; 512];
    row(
        "IPC round trip, 0 B",
        || (),
        || {
            black_box(sys_send(echo, 1, &[], &mut [], &[]));
        },
    );
    row(
        "IPC round trip, 4 B both ways",
        || (),
        || {
            black_box(sys_send(echo, 1, &sent[..4], &mut got[..4], &[]));
        },
    );
    row(
        "IPC round trip, 32 B both ways",
        || (),
        || {
            black_box(sys_send(echo, 1, &sent, &mut got, &[]));
        },
    );
    row(
        "IPC round trip, 512 B read lease",
        || (),
        || {
            black_box(sys_send(echo, 2, &[], &mut [], &[Lease::read_only(&lent)]));
        },
    );
    // Counting ends when the other task has received the notification; the harness recognises this
    // row by its name.
    row(
        "context switch: post to a more important task, until it runs",
        || (),
        || {
            sys_post(echo, 1);
        },
    );
    // As above. Instructions of this task are not counted.
    row(
        "interrupt of a device, until the notified task runs",
        || {
            enable_interrupt(0);
            sys_send(echo, 3, &[], &mut [], &[]);
        },
        || enable_interrupt(TRANSMITTER_EMPTY),
    );
    enable_interrupt(0);
    // The server is the supervisor of this image.
    bench_fault();
}
