//! Round trips, notifications, and a fault.

use crate::{bench_fault, row};
use core::hint::black_box;
use userlib::{Lease, sys_post, sys_send, task_slot};

task_slot!(ECHO, echo);

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
    // This is counted until the other task has received the notification; the harness knows it by its name.
    row(
        "context switch: post to a more important task, until it runs",
        || (),
        || {
            sys_post(echo, 1);
        },
    );
    // The server is the supervisor of this image.
    bench_fault();
}
