//! Executor of HIF programs: what `humility hiffy` calls interfaces through.
//!
//! A debugger cannot send messages, but it can write memory. It waits until [`HIFFY_READY`] is 1, writes a program to
//! [`HIFFY_TEXT`] and read-only data to [`HIFFY_DATA`], and sets [`HIFFY_KICK`]. This task looks at the kick whenever
//! its timer fires, runs the program, and counts it in [`HIFFY_REQUESTS`] or, with the reason in [`HIFFY_FAILURE`], in
//! [`HIFFY_ERRORS`]; results are in [`HIFFY_RSTACK`]. The functions that a program can call are in `functions`, and
//! [`HIFFY_FUNCTIONS`] tells the debugger their numbers, arguments and errors through DWARF.
//!
//! The task serves nobody and its priority should be just above idle's: a program can then delay nothing that matters,
//! and one that does not end is ended after [`OPERATIONS`].
//!
//! A program may send anything to any task, which is its purpose. Leave this task out of a system whose debug port is
//! in reach of those who should not.
//!
//! `unsafe` for the memory that a debugger writes behind the compiler's back.
//!
//! Interface: hubris-interface section 10.5, humility section 9.

#![no_std]
#![no_main]

#[cfg(not(feature = "testsuite"))]
mod functions;
#[cfg(feature = "testsuite")]
#[path = "tests.rs"]
mod functions;

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use functions::{FUNCTIONS, Functions};
use hif::{Failure, Fault};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use static_cell::StaticCell;
use userlib::hl;

/// The program.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_TEXT: [u8; 2048] = [0; 2048];
/// Read-only data for functions that lend some.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_DATA: [u8; 2048] = [0; 2048];
/// Results of the last program.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_RSTACK: [u8; 2048] = [0; 2048];
/// Room for the result of one function.
#[unsafe(no_mangle)]
#[used]
static HIFFY_SCRATCH: StaticCell<[u8; 512]> = StaticCell::new([0; 512]);
/// Programs that ran to their end.
#[unsafe(no_mangle)]
#[used]
static HIFFY_REQUESTS: AtomicU32 = AtomicU32::new(0);
/// Programs that did not.
#[unsafe(no_mangle)]
#[used]
static HIFFY_ERRORS: AtomicU32 = AtomicU32::new(0);
/// 1: there is a program.
#[unsafe(no_mangle)]
#[used]
static HIFFY_KICK: AtomicU32 = AtomicU32::new(0);
/// 1: a debugger may write.
#[unsafe(no_mangle)]
#[used]
static HIFFY_READY: AtomicU32 = AtomicU32::new(0);
/// Why the last program did not run to its end.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_FAILURE: Option<Failure> = None;
/// The protocol's version; a debugger compares the first two.
#[unsafe(no_mangle)]
#[used]
static HIFFY_VERSION_MAJOR: AtomicU32 = AtomicU32::new(hif::HIF_VERSION_MAJOR);
/// See [`HIFFY_VERSION_MAJOR`].
#[unsafe(no_mangle)]
#[used]
static HIFFY_VERSION_MINOR: AtomicU32 = AtomicU32::new(hif::HIF_VERSION_MINOR);
/// See [`HIFFY_VERSION_MAJOR`].
#[unsafe(no_mangle)]
#[used]
static HIFFY_VERSION_PATCH: AtomicU32 = AtomicU32::new(hif::HIF_VERSION_PATCH);
/// Not for its value, which is always `None`, but for its type.
#[unsafe(no_mangle)]
#[used]
static HIFFY_FUNCTIONS: Option<&Functions> = None;

/// Longest wait between two looks at the kick, and that after a kick, milliseconds.
const SLOW: u64 = 250;
const FAST: u64 = 1;
/// After so many looks in vain the wait is ten times as long.
const PATIENCE: u32 = 10;
/// Operations after which a program is taken for one that does not end.
const OPERATIONS: u32 = 1_000_000;

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Execute {
        offset: usize,
        op: hif::Op,
    },
    Success,
    Failure(Failure),
}

counted_ringbuf!(Trace, 32, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut wait = SLOW;
    let mut idle = 0;
    loop {
        HIFFY_READY.store(1, Ordering::SeqCst);
        hl::sleep_for(wait);
        HIFFY_READY.store(0, Ordering::SeqCst);
        if HIFFY_KICK.load(Ordering::SeqCst) == 0 {
            idle += 1;
            if idle >= PATIENCE {
                wait = wait.saturating_mul(10).min(SLOW);
                idle = 0;
            }
            continue;
        }
        HIFFY_KICK.store(0, Ordering::SeqCst);
        wait = FAST;
        idle = 0;
        match run() {
            Ok(()) => {
                ringbuf_entry!(Trace::Success);
                HIFFY_REQUESTS.fetch_add(1, Ordering::SeqCst);
            }
            Err(failure) => {
                ringbuf_entry!(Trace::Failure(failure));
                let place = &raw mut HIFFY_FAILURE;
                // SAFETY: a static of this task, which has one thread and no reference to it. Volatile, because it is
                // a debugger that reads it.
                unsafe { place.write_volatile(Some(failure)) };
                HIFFY_ERRORS.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Runs the program that a debugger has written.
fn run() -> Result<(), Failure> {
    // SAFETY: three statics of this task, which has one thread; this function is not entered twice at a time and is the
    // only one that makes references to them. A debugger writes while the task sleeps, which is not in here. What
    // it wrote is what is read: `black_box` hides from the compiler that nothing in this program writes the first two.
    let (text, data, rstack) = unsafe {
        (
            &*black_box(&raw const HIFFY_TEXT),
            &*black_box(&raw const HIFFY_DATA),
            &mut *black_box(&raw mut HIFFY_RSTACK),
        )
    };
    let mut stack = [None; 32];
    let mut left = OPERATIONS;
    let result = hif::execute::<_, 4>(
        text,
        &FUNCTIONS,
        data,
        &mut stack,
        rstack,
        &mut *HIFFY_SCRATCH.borrow_mut(),
        |offset, &op| {
            ringbuf_entry!(Trace::Execute { offset, op });
            left = left
                .checked_sub(1)
                .ok_or(Failure::Fault(Fault::TooManyOperations))?;
            Ok(())
        },
    );
    // The results are for the debugger, so they have to be in memory now.
    black_box(rstack);
    result
}
