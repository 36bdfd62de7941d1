//! Does numbered jobs, and crashes once.
//!
//! Every `step-ms` milliseconds it does one job: it fills a buffer, computes a checksum of it, and
//! logs that. After `fault-after-ms` milliseconds it stores the checksum through a bad pointer,
//! `bad-address`. The memory protection stops the store and the kernel faults the task.
//! `disposition` in app.toml says what a fault of this task means. With `hangs` it does not store,
//! but computes for ever; the supervisor then faults it.
//!
//! It crashes only if the recorder is ready and its card holds no crash yet. In the boot after the
//! crash it therefore goes on working, and a system without a card does not restart for ever.
//!
//! This task uses `unsafe` for its intended defect.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{CrashLogError, Logger, RecorderState, crash_region, error, info, warn};
use userlib::{sys_get_timer, sys_recv_notification, sys_set_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    step_ms: u32,
    fault_after_ms: u32,
    bad_address: u32,
    hangs: bool,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// A job was done, with this checksum.
    Job { number: u32, sum: u32 },
    /// The fault is due, but the recorder is not ready.
    Waiting,
    /// The card holds this many crashes already: no fault in this boot.
    Spared { crashes: u32 },
    /// The recorder returned this error instead of its status.
    NoStatus(#[count(children)] CrashLogError),
    /// About to store through the bad pointer.
    Faulting { address: u32 },
    /// The store through the bad pointer did not fault.
    NotStopped,
}

counted_ringbuf!(Trace, 16, Trace::None);

/// Length of a job's buffer in words.
const JOB_WORDS: usize = 64;

/// What is saved of the worker if anything crashes.
struct Progress {
    /// The number of the last job.
    job: AtomicU32,
    /// Its checksum.
    sum: AtomicU32,
}

static PROGRESS: Progress = Progress {
    job: AtomicU32::new(0),
    sum: AtomicU32::new(0),
};

crash_region!("progress", PROGRESS);

#[unsafe(export_name = "main")]
fn main() -> ! {
    let log = Logger::new(CRASHLOG.get_task_id());
    let mut plan = Plan::Fault;
    let mut due = sys_get_timer().now;
    info!(log, "worker: starting");
    let mut number = 0_u32;
    loop {
        number = number.wrapping_add(1);
        let sum = job(number);
        PROGRESS.job.store(number, Ordering::Relaxed);
        PROGRESS.sum.store(sum, Ordering::Relaxed);
        ringbuf_entry!(Trace::Job { number, sum });
        info!(log, "worker: job {number} done, sum {sum:#010x}");

        if due >= u64::from(TASK_CONFIG.fault_after_ms) && plan == Plan::Fault {
            plan = decide(&log);
            if plan == Plan::FaultNow && TASK_CONFIG.hangs {
                error!(log, "worker: job {number} adds its result up to 1");
                add_up(sum);
            } else if plan == Plan::FaultNow {
                error!(
                    log,
                    "worker: job {number} writes its result to {:#010x}", TASK_CONFIG.bad_address
                );
                deliver(sum);
                // Reached only if the address is mapped for this task.
                ringbuf_entry!(Trace::NotStopped);
                error!(log, "worker: nothing stopped the store");
                plan = Plan::Work;
            }
        }

        due = (due + u64::from(TASK_CONFIG.step_ms)).max(sys_get_timer().now);
        sys_set_timer(Some(due), notifications::TIMER_MASK);
        sys_recv_notification(notifications::TIMER_MASK);
    }
}

/// Whether this boot has a fault.
#[derive(Copy, Clone, Eq, PartialEq)]
enum Plan {
    /// A fault when it is due.
    Fault,
    /// A fault now.
    FaultNow,
    /// No fault.
    Work,
}

/// Asks the recorder whether it would save a crash, and whether that would be the first one.
fn decide(log: &Logger) -> Plan {
    match log.server().status() {
        Ok(status) => match status.state {
            RecorderState::Ready | RecorderState::Suspended if status.crashes == 0 => {
                Plan::FaultNow
            }
            RecorderState::Ready | RecorderState::Suspended => {
                ringbuf_entry!(Trace::Spared {
                    crashes: status.crashes
                });
                Plan::Work
            }
            RecorderState::Starting | RecorderState::RamOnly(_) | RecorderState::ReadOnly(_) => {
                ringbuf_entry!(Trace::Waiting);
                Plan::Fault
            }
        },
        Err(error) => {
            ringbuf_entry!(Trace::NoStatus(error));
            warn!(log, "worker: the recorder does not return its status");
            Plan::Fault
        }
    }
}

/// Fills a buffer with pseudo-random words (xorshift32) and returns a checksum of it (after
/// Fletcher).
fn job(number: u32) -> u32 {
    let mut words = [0_u32; JOB_WORDS];
    // An odd number that differs for each job: 0x9e3779b9 is 2^32 divided by the golden ratio.
    let mut state = number.wrapping_mul(0x9e37_79b9) | 1;
    for word in &mut words {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *word = state;
    }
    let mut sums = (0_u32, 0_u32);
    for word in words {
        sums.0 = sums.0.wrapping_add(word);
        sums.1 = sums.1.wrapping_add(sums.0);
    }
    sums.0 ^ sums.1.rotate_left(16)
}

/// Adds an even number until the sum is 1: for ever.
#[inline(never)]
fn add_up(result: u32) -> ! {
    let mut sum = 0_u32;
    loop {
        sum = core::hint::black_box(sum.wrapping_add(result << 1));
        if sum == 1 {
            PROGRESS.sum.store(sum, Ordering::Relaxed);
        }
    }
}

/// Stores the result through the bad pointer.
#[inline(never)]
fn deliver(result: u32) {
    let destination = TASK_CONFIG.bad_address as *mut u32;
    ringbuf_entry!(Trace::Faulting {
        address: TASK_CONFIG.bad_address
    });
    // SAFETY: this store is wrong on purpose. Nothing is mapped for this task at the address, so
    // the memory protection faults the task before the store changes anything. It is volatile, so
    // that the compiler keeps it.
    unsafe { destination.write_volatile(result) };
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
