//! The recorder's operations, and a crash with a log tail of 4 KiB.

use crate::row;
use core::hint::black_box;
use task_crashlog_api::{CrashLog, Level, State, Stream};
use userlib::{hl, task_slot};

task_slot!(CRASHLOG, crashlog);

/// Payload of a record.
const RECORD: usize = 64;
/// So many records of that size, with their headers, fill 4 KiB of log pages.
const TAIL: usize = 4096 / (RECORD + 16);

/// Counts `append` and `flush`, then crashes.
pub fn run() {
    let recorder = CrashLog::from(CRASHLOG.get_task_id());
    while !recorder
        .status()
        .is_ok_and(|status| matches!(status.state, State::Ready | State::Suspended))
    {
        hl::sleep_for(10);
    }
    let bytes = [b'x'; RECORD];
    let append = || {
        let _ = black_box(recorder.append(Stream::Event, Level::Info, 0, &bytes));
    };
    let flush = || {
        let _ = black_box(recorder.flush());
    };
    row("append of 64 B", || (), append);
    row(
        "flush of one 64-byte record",
        || {
            flush();
            append();
        },
        flush,
    );
    // In the first boot the crash leaves a record; there is no second crash.
    if recorder.status().is_ok_and(|status| status.records > 0) {
        return;
    }
    flush();
    for _ in 0..TAIL {
        append();
    }
    bench_fault();
}

/// Crashes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_fault() {
    // SAFETY: none. Nothing is mapped at address 0, so the store faults this task and reaches nothing.
    unsafe { core::ptr::null_mut::<u32>().write_volatile(0) };
}
