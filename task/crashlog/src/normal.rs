//! The normal path: requests are served and the card is written, in turns.
//!
//! Module `session` has the future that works on the card, `mount` the beginning of a session,
//! `work` and `requests` its jobs; `boot_record` has what is logged first, `time_anchor` what is
//! logged when a task says what time it is. The server and the state that it shares with the future
//! are beside this module: [`server`], [`crate::recorder`], [`crate::events`], [`crate::reply`].

mod boot_record;
mod early_ends;
mod mount;
mod own_record;
mod requests;
mod session;
pub mod time_anchor;
mod work;

use core::future::Future;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Waker};

use crashlog_retained::Region;
use task_crashlog_api::SelfTestReport;

use crate::recorder::Recorder;
use crate::self_test;
use crate::server::{self, Server};
use crate::transfer_blocks::TransferBlocks;

/// Runs the self-test, if it is configured, then normal operation. Never returns.
///
/// It must not be inlined: `./x check-emergency` proves that no function of the normal path is
/// reached in an emergency, and finds this call by its name. The return type is not `!`, because a
/// diverging call would be the last instruction of the caller. Its return address would then lie in
/// the next function, which debuggers would show as the caller. The same goes for [`operate`],
/// whose result is hidden from the compiler.
#[inline(never)]
pub fn run(region: &Region<'static>) {
    region.trial().begin_start();
    let self_test = self_test::run(region);
    if !black_box(operate(region, self_test)) {
        userlib::sys_panic(b"retained region")
    }
}

/// Runs the two activities. Returns false if the retained region is too small.
///
/// It must not be inlined: its stack frame would be added to the stack that the self-test needs.
#[inline(never)]
fn operate(region: &Region<'static>, self_test: SelfTestReport) -> bool {
    let recorder = Recorder::new(*region, self_test);
    let is_first = recorder.ring.accepted() == 0;
    boot_record::append(&recorder);
    early_ends::report(&recorder, is_first);
    let Some(memory) = TransferBlocks::of(region) else {
        return false;
    };
    let mut server = Server::new(&recorder);
    let mut sessions = pin!(session::run(&recorder, &memory));
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = MessageBuffer([0; server::INCOMING_SIZE]);
    loop {
        // The future never completes.
        let _ = sessions.as_mut().poll(&mut context);
        serve(&recorder, &mut server, &mut buffer);
    }
}

/// Serves requests until the future has something to do.
///
/// It must not be inlined: its variables would be in the stack frame of [`operate`], which holds
/// the future. Addressing them in such a large frame costs instructions for each request.
#[inline(never)]
fn serve(recorder: &Recorder, server: &mut Server<'_>, buffer: &mut MessageBuffer) {
    while !recorder.events.is_due() {
        idol_runtime::dispatch(&mut buffer.0, server);
    }
}

/// Room for one message.
#[repr(C, align(4))]
struct MessageBuffer([u8; server::INCOMING_SIZE]);
