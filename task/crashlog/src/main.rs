//! The flight recorder.
//!
//! # What it does
//!
//! The one owner of the SD host controller. It accepts log records from all tasks into retained RAM, writes them to the
//! card in the background, writes crash records, and lets both be read back.
//!
//! # Two entries at one address
//!
//! The supervisor calls this task by restarting it: whatever it was doing, even crashing, it begins again here with an
//! empty stack. If the mailbox in retained RAM is armed with a crash of this very boot, it is an emergency and
//! [`emergency::run`] takes over, a path of its own that shares no code with normal operation but pure functions.
//! Otherwise it is a start, or a restart after a fault of this task, and [`normal`] operation begins. Nothing happens
//! before that decision: no hardware is touched and no memory but the retained region read.
//!
//! # Normal operation
//!
//! It may begin with a self-test ([`self_test`]): the emergency path is tried while nothing has crashed.
//!
//! Two activities share one thread:
//!
//! * [`server`] answers requests. It never waits: what needs the card is put down for the other activity and answered
//!   later.
//! * [`background`] works on the card, one step at a time, as one future. It is polled when an interrupt, the timer or a
//!   request gives it something to do; where it has to wait for the card it returns, and requests are served again.
//!
//! What both see is in [`recorder::Recorder`], behind shared references and without locks: neither can be in the middle
//! of anything while the other runs.
//!
//! # Memory
//!
//! Everything that must survive, and everything the controller reads or writes, is in the retained region, which the
//! supervisor shares. Apart from that there is the stack and a few words of statics: `_start` zeroes them, and in an
//! emergency every instruction counts.

#![no_std]
#![no_main]

mod background;
mod card;
mod config;
mod emergency;
mod events;
mod recorder;
mod reply;
mod retained;
mod self_test;
mod server;
mod trace;

use core::future::Future;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Waker};

use crashlog_retained::{MailboxState, Region, StoredContext};

use card::Memory;
use recorder::Recorder;
use server::Server;
use task_crashlog_api::SelfTest;
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
    // Nobody else borrows it.
    if let Some(minimal) = minimal
        && let Some(mut crash) = emergency::CRASH.try_borrow_mut()
    {
        emergency::take_crash(&region, &mut crash);
        if is_of_this_boot(&region, crash.as_ref()) {
            let failure = emergency::run(&region, crash.as_ref(), minimal);
            loop {
                emergency::report(failure);
            }
        }
    }
    loop {
        normal(region);
    }
}

/// Is the crash in the mailbox one that has just happened, rather than one that an earlier boot did not get written?
fn is_of_this_boot(region: &Region<'_>, crash: Option<&StoredContext<'_>>) -> bool {
    match crash {
        Some(crash) => crash.context.boot == region.boot(),
        // Damaged, so it does not tell. It was armed before this boot if this is the first life of the task in it.
        None => {
            let me = TaskId::for_index_and_gen(config::TASK_INDEX, Generation::ZERO);
            sys_refresh_task_id(me).generation() != Generation::ZERO
        }
    }
}

/// Normal operation. A function of its own: `./x check-emergency` proves that nothing of it is on the other path.
///
/// It goes on for ever, and so does [`operate`], but the compiler must not know: it would make the call the last instruction
/// of the caller. Behind that is another function, which debuggers may then take for the caller.
#[inline(never)]
fn normal(region: Region<'static>) {
    let self_test = self_test::run(&region);
    if !black_box(operate(region, self_test)) {
        userlib::sys_panic(b"retained region")
    }
}

/// The two activities; false if the retained region is not all there. A function of its own, so that its stack is not there
/// yet when the self-test has its.
#[inline(never)]
fn operate(region: Region<'static>, self_test: SelfTest) -> bool {
    let recorder = Recorder::new(region, self_test);
    let Some(memory) = Memory::of(&region) else {
        return false;
    };
    let mut server = Server::new(&recorder);
    let mut background = pin!(background::run(&recorder, &memory));
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = Message([0; server::INCOMING_SIZE]);
    loop {
        // It never ends.
        let _ = background.as_mut().poll(&mut context);
        serve(&recorder, &mut server, &mut buffer);
    }
}

/// Answers requests until there is something for the background. A function of its own, as what it does for each is
/// not to wade through the stack of the background.
#[inline(never)]
fn serve(recorder: &Recorder, server: &mut Server<'_>, buffer: &mut Message) {
    while !recorder.events.is_due() {
        idol_runtime::dispatch(&mut buffer.0, server);
    }
}

/// Room for one message.
#[repr(C, align(4))]
struct Message([u8; server::INCOMING_SIZE]);
