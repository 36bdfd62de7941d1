//! The client whose calls are counted.
//!
//! What is counted stands between a call of [`bench_begin`] and one of [`bench_end`]. The harness has breakpoints on
//! both and has QEMU log every instruction in between. The name of the row is `bench_begin`'s argument, so this file
//! alone decides what is counted. Each row is run several times, so that the harness can tell a disturbance (a tick)
//! from the rule, and an empty row tells what the counting itself costs.
//!
//! `unsafe` is used to export the functions, for a device register, and for the store that crashes.

#![no_std]
#![no_main]

use core::hint::black_box;

#[cfg(feature = "ipc")]
mod ipc;
#[cfg(feature = "recorder")]
mod recorder;

/// Runs of each row.
const RUNS: usize = 5;

/// A row begins. The harness reads the arguments out of r0 and r1.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_begin(name: *const u8, length: usize) {
    black_box((name, length));
}

/// A row ends.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_end() {
    // Two functions that do the same would be made one.
    black_box(1);
}

/// There are no more rows.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_finish() {
    black_box(2);
}

/// Crashes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_fault() {
    // SAFETY: none. Nothing is mapped at address 0, so the store faults this task and reaches nothing.
    unsafe { core::ptr::null_mut::<u32>().write_volatile(0) };
}

/// Counts `what` several times. `before` is run before each and is not counted.
#[inline(always)]
fn row(name: &str, mut before: impl FnMut(), mut what: impl FnMut()) {
    for _ in 0..RUNS {
        before();
        bench_begin(name.as_ptr(), name.len());
        what();
        bench_end();
    }
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    row("nothing", || (), || ());
    #[cfg(feature = "ipc")]
    ipc::run();
    #[cfg(feature = "recorder")]
    recorder::run();
    bench_finish();
    loop {
        userlib::sys_recv_notification(0);
    }
}
