//! Works through numbered jobs, and really crashes once.
//!
//! Each `step-ms` one job: fill a buffer, sum it up, say so in the log. After
//! `fault-after-ms` the job's result goes through a pointer that points
//! nowhere, `bad-address`, as it would with a damaged descriptor. The memory
//! protection stops the store and the kernel faults the task; app.toml says
//! what a fault of this task means.
//!
//! It crashes only when there is something to see: when the recorder can save
//! the crash, and its card holds no record yet. So the boot after the crash,
//! which finds the record, goes on working, and a system without a card does
//! not restart for ever.
//!
//! This task uses `unsafe` for the defect that it is there to have.

#![no_std]
#![no_main]

use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_crashlog_api::{CrashLogError, Logger, State, error, info, warn};
use userlib::{sys_get_timer, sys_recv_notification, sys_set_timer, task_slot};

task_slot!(CRASHLOG, crashlog);

task_config::task_config! {
    step_ms: u32,
    fault_after_ms: u32,
    bad_address: u32,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// A job was done, with this sum.
    Job { number: u32, sum: u32 },
    /// The time of the fault has come, but the recorder is not ready to save.
    Waiting,
    /// The card holds this many records already: no fault in this boot.
    Spared { records: u32 },
    /// The recorder did not say.
    NoStatus(#[count(children)] CrashLogError),
    /// About to store through the bad pointer.
    Faulting { address: u32 },
    /// The store through the bad pointer went through.
    NotStopped,
}

counted_ringbuf!(Trace, 16, Trace::None);

/// Words that a job works on.
const JOB_WORDS: usize = 64;

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
        ringbuf_entry!(Trace::Job { number, sum });
        info!(log, "worker: job {number} done, sum {sum:#010x}");

        if due >= u64::from(TASK_CONFIG.fault_after_ms) && plan == Plan::Fault {
            plan = decide(&log);
            if plan == Plan::FaultNow {
                error!(
                    log,
                    "worker: job {number} writes its result to {:#010x}", TASK_CONFIG.bad_address
                );
                deliver(sum);
                // Only if something is mapped there after all.
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

/// What this boot is to see.
#[derive(Copy, Clone, Eq, PartialEq)]
enum Plan {
    /// A fault, when its time has come.
    Fault,
    /// A fault, now.
    FaultNow,
    /// None.
    Work,
}

/// Asks the recorder whether a crash would be the first and would be saved.
fn decide(log: &Logger) -> Plan {
    match log.server().status() {
        Ok(status) => match status.state {
            State::Ready | State::Suspended if status.records == 0 => Plan::FaultNow,
            State::Ready | State::Suspended => {
                ringbuf_entry!(Trace::Spared {
                    records: status.records
                });
                Plan::Work
            }
            State::Starting | State::RamOnly(_) => {
                ringbuf_entry!(Trace::Waiting);
                Plan::Fault
            }
        },
        Err(error) => {
            ringbuf_entry!(Trace::NoStatus(error));
            warn!(log, "worker: the recorder does not say how it is");
            Plan::Fault
        }
    }
}

/// The work: a buffer of pseudo-random words (xorshift32), summed up (Fletcher's way).
fn job(number: u32) -> u32 {
    let mut words = [0_u32; JOB_WORDS];
    // An odd number that differs for each job (2^32 over the golden ratio).
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

/// Hands the result over, through a pointer that is no good.
#[inline(never)]
fn deliver(result: u32) {
    let destination = TASK_CONFIG.bad_address as *mut u32;
    ringbuf_entry!(Trace::Faulting {
        address: TASK_CONFIG.bad_address
    });
    // SAFETY: there is none, and that is the point: nothing is mapped for this
    // task at the address, so that the processor's memory protection ends the
    // task before the store reaches anything. The store is volatile, so it is
    // the very next thing that happens.
    unsafe { destination.write_volatile(result) };
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
