//! Executor of HIF programs: what `humility hiffy` calls interfaces through.
//!
//! A debugger cannot send messages, but it can write memory. It waits until [`HIFFY_READY`] is 1,
//! writes a program to [`HIFFY_TEXT`] and read-only data to [`HIFFY_DATA`], and sets
//! [`HIFFY_KICK`]. This task polls the kick by its timer, runs the program, and counts it in
//! [`HIFFY_REQUESTS`] or, with the reason in [`HIFFY_FAILURE`], in [`HIFFY_ERRORS`]; results are in
//! [`HIFFY_RSTACK`]. The functions that a program can call are in module `functions`. The debugger
//! finds their numbers, arguments and errors in the DWARF type of [`HIFFY_FUNCTIONS`].
//!
//! The task is no server, and its priority should be just above that of idle, so that a program
//! delays no other task. One that does not end is ended after [`OPERATIONS`].
//!
//! A program may send any message to any task: that is its purpose. Leave this task out of a system
//! whose debug port is accessible to people who must not do that.
//!
//! `unsafe` is used for the memory that a debugger writes without the compiler's knowledge.
//!
//! Names and types of the statics are those of Hubris' `hiffy`.

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
/// Read-only data, for functions that lend it to a server.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_DATA: [u8; 2048] = [0; 2048];
/// Results of the last program.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_RSTACK: [u8; 2048] = [0; 2048];
/// Buffer for the result of one function.
#[unsafe(no_mangle)]
#[used]
static HIFFY_SCRATCH: StaticCell<[u8; 512]> = StaticCell::new([0; 512]);
/// How many programs ran to their end.
#[unsafe(no_mangle)]
#[used]
static HIFFY_REQUESTS: AtomicU32 = AtomicU32::new(0);
/// How many programs failed.
#[unsafe(no_mangle)]
#[used]
static HIFFY_ERRORS: AtomicU32 = AtomicU32::new(0);
/// 1: there is a program to run.
#[unsafe(no_mangle)]
#[used]
static HIFFY_KICK: AtomicU32 = AtomicU32::new(0);
/// 1: a debugger may write the program.
#[unsafe(no_mangle)]
#[used]
static HIFFY_READY: AtomicU32 = AtomicU32::new(0);
/// Why the last program that failed did.
#[unsafe(no_mangle)]
#[used]
static mut HIFFY_FAILURE: Option<Failure> = None;
/// The version of the protocol; a debugger compares the first two parts.
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
/// Only its type is used, by debuggers; its value is always `None`.
#[unsafe(no_mangle)]
#[used]
static HIFFY_FUNCTIONS: Option<&Functions> = None;

/// Longest interval between two polls of the kick, and the one after a kick, in milliseconds.
const SLOW: u64 = 250;
const FAST: u64 = 1;
/// After this many polls without a kick the interval becomes ten times as long.
const IDLE_POLLS: u32 = 10;
/// How many operations a program may run, so that one that does not end is ended.
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
            if idle >= IDLE_POLLS {
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
                // SAFETY: a static of this task, which has one thread and no reference to it.
                // Volatile, because only a debugger reads it.
                unsafe { place.write_volatile(Some(failure)) };
                HIFFY_ERRORS.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Runs the program that a debugger has written.
fn run() -> Result<(), Failure> {
    // SAFETY: three statics of this task, which has one thread; this function is not entered twice
    // at a time and is the only one that makes references to them. A debugger writes only while the
    // task sleeps, so not during this function. `black_box`: the compiler must not assume that the
    // first two have their initial values because no code writes them.
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
    // The debugger reads the results from memory, so the compiler must not keep them elsewhere or
    // leave them out.
    black_box(rstack);
    result
}
