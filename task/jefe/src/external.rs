//! Control of tasks by a debugger, through words in memory.
//!
//! A debugger writes a request and the index of a task, then a one to the kick word, and waits for
//! one of the counters to change; `humility jefe` does so. Names and meaning of the words are
//! upstream's. The supervisor polls them whenever it handles a notification, so a request waits for
//! one interval of its timer at most; in an emergency it waits for ever.

use core::sync::atomic::{AtomicU32, Ordering};

use ringbuf::ringbuf_entry_root;
use userlib::{FromPrimitive, kipc};

use crate::{Server, Trace};

/// What a debugger can ask for.
#[derive(Copy, Clone, Debug, Eq, PartialEq, FromPrimitive, counters::Count)]
pub enum Request {
    /// Nothing.
    None = 0,
    /// Restart the task; if it is held it stays so.
    Start = 1,
    /// Hold the task: leave it faulted at its next fault.
    Hold = 2,
    /// End the hold: restart the task at its faults, and now if it is down.
    Release = 3,
    /// Fault the task and hold it.
    Fault = 4,
}

/// One: the words below are in use.
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_READY: AtomicU32 = AtomicU32::new(0);
/// The number of a [`Request`].
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_REQUEST: AtomicU32 = AtomicU32::new(0);
/// The index of the task that the request is for.
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_TASKINDEX: AtomicU32 = AtomicU32::new(0);
/// One: there is a request.
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_KICK: AtomicU32 = AtomicU32::new(0);
/// How many requests were carried out.
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_REQUESTS: AtomicU32 = AtomicU32::new(0);
/// How many requests were not carried out.
#[unsafe(no_mangle)]
pub static JEFE_EXTERNAL_ERRORS: AtomicU32 = AtomicU32::new(0);

/// Tells debuggers that requests are polled.
pub fn set_ready() {
    JEFE_EXTERNAL_READY.store(1, Ordering::SeqCst);
}

/// Carries out a request, if there is one.
pub fn check(server: &mut Server, now: u64) {
    if JEFE_EXTERNAL_KICK.swap(0, Ordering::SeqCst) == 0 {
        return;
    }
    let request = JEFE_EXTERNAL_REQUEST.load(Ordering::SeqCst);
    let task = JEFE_EXTERNAL_TASKINDEX.load(Ordering::SeqCst);
    let counter = if carry_out(server, request, task as usize, now).is_some() {
        &JEFE_EXTERNAL_REQUESTS
    } else {
        ringbuf_entry_root!(Trace::ExternalError { request, task });
        &JEFE_EXTERNAL_ERRORS
    };
    counter.fetch_add(1, Ordering::SeqCst);
}

/// `None` if the request does not exist, or not for this task.
fn carry_out(server: &mut Server, request: u32, task: usize, now: u64) -> Option<()> {
    let request = Request::from_u32(request)?;
    // The supervisor does not control itself.
    let health = server.tasks.get_mut(task).filter(|_| task != 0)?;
    ringbuf_entry_root!(Trace::External { request, task });
    match request {
        Request::None => {}
        Request::Start => server.restart(task, now),
        Request::Hold => health.hold(),
        Request::Release => {
            let is_down = health.release();
            server.crashes.forget_series(task);
            if is_down {
                server.restart(task, now);
            }
        }
        Request::Fault => {
            health.hold();
            kipc::fault_task(task);
        }
    }
    Some(())
}
