//! The recorder's operations, and a crash with a log tail of 4 KiB.

use crate::{bench_fault, row};
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use task_crashlog_api::{CrashLog, Level, RecorderState, Stream};
use userlib::{hl, task_slot};

task_slot!(CRASHLOG, crashlog);

/// Payload of a record.
const RECORD: usize = 64;
/// Number of records of that size that fill 4 KiB of log pages, headers included.
const TAIL: u32 = 4096 / (RECORD as u32 + 16);

/// Number of records in the log tail of the crash. The harness changes it to measure longer ones.
#[unsafe(no_mangle)]
static BENCH_TAIL: AtomicU32 = AtomicU32::new(TAIL);

/// Counts `append` and `flush`, then crashes.
pub fn run() {
    let recorder = CrashLog::from(CRASHLOG.get_task_id());
    while !recorder.status().is_ok_and(|status| {
        matches!(
            status.state,
            RecorderState::Ready | RecorderState::Suspended
        )
    }) {
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
    // It crashes in the first boot only, in which the card holds no crash.
    if recorder.status().is_ok_and(|status| status.crashes > 0) {
        return;
    }
    flush();
    for _ in 0..BENCH_TAIL.load(Ordering::Relaxed) {
        append();
    }
    bench_fault();
}
