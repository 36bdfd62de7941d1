//! The crash recorder.
//!
//! This task is the only owner of the SD host controller. It accepts log records from all tasks
//! into retained RAM, writes them to the card later, writes crashes, and lets both be read back.
//!
//! # One entry point, two paths
//!
//! The supervisor calls the emergency path by restarting this task: whatever the task was doing,
//! even failing, it begins again here with an empty stack. [`main`] reads the mailbox in retained
//! RAM. If it is armed with a crash of this boot, [`emergency::run`] runs, which shares only pure
//! functions with the normal path. Otherwise this is a start, or a restart after a fault of this
//! task, and [`normal::run`] runs. Before that decision no hardware is accessed, and no memory but
//! the retained region.
//!
//! Retained RAM alone does not say that there is an emergency: its content may be damaged. The
//! supervisor says it. If it replies to the report instead of resetting the system, there is none,
//! and [`normal::run`] runs as well.
//!
//! # The normal path
//!
//! It may begin with a self-test ([`self_test`]), which tries the emergency path while nothing has
//! crashed. Then two activities share one thread:
//!
//! * [`server`] answers requests. It never waits: a request that needs the card is deferred, and
//!   the other activity replies to it;
//! * the session future ([`normal`]) works on the card, one job at a time. It is polled when an
//!   interrupt, the timer or a request has given it something to do. Where it would wait for the
//!   card it returns, and requests are served again.
//!
//! The state that both use is in [`recorder::Recorder`], behind shared references and without
//! locks: neither activity is ever interrupted by the other.
//!
//! # Memory
//!
//! Everything that must survive a restart, and everything that the controller reads or writes by
//! DMA, is in the retained region, which the supervisor shares. Beside it there is the stack and a
//! few words of statics. They are few because `_start` zeroes them, which is part of the
//! instruction budget of an emergency.

#![no_std]
#![no_main]

mod config;
mod emergency;
mod events;
mod hardware;
mod mmc_medium;
mod normal;
mod recorder;
mod reply;
mod retained;
mod self_test;
mod server;
mod trace;
mod transfer_blocks;

use crashlog_retained::{MailboxState, Region, StoredContext};

use trace::Trace;
use userlib::{Generation, TaskId, sys_refresh_task_id};

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));

ringbuf::counted_ringbuf!(Trace, 16, Trace::None);

#[unsafe(export_name = "main")]
fn main() -> ! {
    let region = retained::claim();
    let minimal = match region.mailbox().state() {
        MailboxState::Armed => Some(false),
        MailboxState::ArmedMinimal => Some(true),
        MailboxState::Empty | MailboxState::Noted | MailboxState::Done | MailboxState::Failed => {
            None
        }
    };
    // The borrow cannot fail: this is the only one.
    if let Some(minimal) = minimal
        && let Some(mut crash) = emergency::CRASH.try_borrow_mut()
    {
        emergency::take_crash(&region, &mut crash);
        if is_of_this_boot(&region, crash.as_ref()) {
            let failure = emergency::run(&region, crash.as_ref(), minimal);
            // The supervisor resets the system instead of replying. If it replies, there is no
            // emergency: retained RAM was damaged, or written by an earlier boot.
            emergency::report(failure);
            if crash.is_none() {
                region.mailbox().clear();
            }
        }
    }
    loop {
        normal::run(&region);
    }
}

/// Did the crash in the mailbox happen in this boot? If not, it is one that an earlier boot could
/// not write.
// Not inlined: its variables must not take stack while the normal path runs.
#[inline(never)]
fn is_of_this_boot(region: &Region<'_>, crash: Option<&StoredContext<'_>>) -> bool {
    match crash {
        Some(crash) => crash.context.boot == region.boot(),
        // The crash is damaged, so its boot is unknown. The supervisor restarts this task when it
        // arms the mailbox. If the task was never restarted in this boot, the mailbox was armed in
        // an earlier one.
        None => {
            let me = TaskId::for_index_and_gen(config::TASK_INDEX, Generation::ZERO);
            sys_refresh_task_id(me).generation() != Generation::ZERO
        }
    }
}
