//! The client whose calls are counted.
//!
//! The harness counts the instructions between a call of [`bench_begin`] and one of [`bench_end`]:
//! it has breakpoints on both, and QEMU logs every instruction in between. The argument of
//! `bench_begin` is the name of the row, so this crate alone decides what is counted. Each row is
//! run several times, so that the harness can recognise disturbances (a tick). An empty row shows
//! the cost of counting.
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
    // The two functions must differ, or the compiler would merge them.
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
    // SAFETY: this store is wrong on purpose. Nothing is mapped at address 0, so it faults this
    // task and changes nothing.
    unsafe { core::ptr::null_mut::<u32>().write_volatile(0) };
}

/// Counts several runs of `what`. `before` is run before each of them and is not counted.
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
