//! The activity that works on the card.
//!
//! One future that never ends, made of sessions. A session begins with nothing known: the card is identified, the
//! partition found, the log on it located. Then crashes that earlier boots left in retained RAM are recorded, and from
//! there on whatever the agenda says is done, until the card fails. After a failure, or without a card, there is another
//! session some seconds later; a card that is not ours is left alone until the next start.
//!
//! Between any two steps, and in the middle of each, the task may be restarted at its emergency entry. What that needs to
//! know is in retained RAM at every moment: the log ring itself, the location of the log, the number of the next page.
//!
//! Nothing is written to a card before everything on it is located (P8).

mod mount;
mod requests;
mod work;

use core::convert::Infallible;

use crashlog_store::Store;
use drv_sdhci::interrupt::Wait;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{CrashLogError, Failure, FailureStep, State, UnsavedReason};

use crate::card::{self, Memory, Normal};
use crate::recorder::Recorder;
use crate::trace::Trace;

/// The partition of a card that is borrowed for a session.
type Partition<'s, 'm> = block_device::Window<&'s mut Normal<'m>>;

/// The log on it.
type Log<'s, 'm> = Store<'m, Partition<'s, 'm>>;

/// The driver's errors, as they come through the window of the partition.
type DeviceError = block_device::WindowError<drv_mmc::Error>;

/// Milliseconds until a card that failed, or was not there, is looked for again.
const RETRY_MS: u64 = 5_000;

/// Works for ever.
pub async fn run<'m>(recorder: &'m Recorder, memory: &Memory<'m>) -> Infallible {
    let mut card = card::normal(memory, &recorder.events);
    loop {
        let reason = session(recorder, &mut card, memory).await;
        recorder.state.set(State::RamOnly(reason));
        ringbuf_entry_root!(Trace::RamOnly(reason));
        while let Some(request) = recorder.waiting.take(|_| true) {
            request.fail(CrashLogError::NotSaving);
        }
        match reason {
            UnsavedReason::NoCard
            | UnsavedReason::Unidentified(_)
            | UnsavedReason::CardFailed(_) => {
                let retry = recorder.events.now().saturating_add(RETRY_MS);
                recorder.events.sleep_until(retry).await;
            }
            _ => loop {
                recorder.events.wait_for_work(None).await;
            },
        }
    }
}

/// Works with one card until it fails.
async fn session<'m>(
    recorder: &Recorder,
    card: &mut Normal<'m>,
    memory: &Memory<'m>,
) -> UnsavedReason {
    let mut log = match mount::mount(recorder, card, memory).await {
        Ok(log) => log,
        Err(reason) => {
            match reason {
                // It may be the same card when it comes back.
                UnsavedReason::Unidentified(_) | UnsavedReason::CardFailed(_) => {}
                _ => recorder.region.location().invalidate(),
            }
            return reason;
        }
    };
    let failure = match work::run(recorder, &mut log, memory).await {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    UnsavedReason::CardFailed(failure)
}

/// Notes a failure of the card, for whoever asks.
fn failed(recorder: &Recorder, step: FailureStep, error: DeviceError) -> Failure {
    let code = match error {
        block_device::WindowError::Device(error) => error.code(),
        // The window refused an address before the card saw it.
        block_device::WindowError::OutOfWindow => drv_mmc::Error::OutOfBounds.code(),
    };
    let failure = Failure { step, code };
    recorder.last_failure.set(Some(failure));
    ringbuf_entry_root!(Trace::Failed(failure));
    failure
}
