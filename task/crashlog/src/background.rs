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
//!
//! What a session does is written for a [`Port`], as in an emergency the search is; [`drive`] carries its requests out
//! with the driver of normal operation.

mod mount;
mod requests;
mod work;

use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use block_device::BlockDevice;
use crashlog_store::{Exchange, Port, PortError, PortRequest, PortTransfer, Store};
use drv_mmc::CardLocation;
use drv_sdhci::normal::Wait;
use drv_sdhci::{Direction, ErrorKind};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{CrashLogError, Failure, FailureStep, State, UnsavedReason};

use crate::card::{self, Memory, Normal};
use crate::recorder::Recorder;
use crate::trace::Trace;

/// The log on a card.
type Log<'p, 'm> = Store<'m, Port<'p, 'm>>;

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
    recorder: &'m Recorder,
    card: &mut Normal<'m>,
    memory: &Memory<'m>,
) -> UnsavedReason {
    let reason = match identify(recorder, card).await {
        Ok(identified) => {
            let exchange = Exchange::new(&recorder.region, recorder.region.scratch());
            let device = Port::new(&exchange, card.block_count());
            let work = work(recorder, device, &identified, memory);
            drive(recorder, card, &exchange, work).await
        }
        Err(reason) => reason,
    };
    match reason {
        // It may be the same card when it comes back.
        UnsavedReason::Unidentified(_) | UnsavedReason::CardFailed(_) => {}
        _ => recorder.region.location().invalidate(),
    }
    reason
}

async fn identify(
    recorder: &Recorder,
    card: &mut Normal<'_>,
) -> Result<CardLocation, UnsavedReason> {
    match card.identify().await {
        Ok(()) => Ok(*card.location()),
        Err(
            drv_mmc::Error::NoCard
            | drv_mmc::Error::Host(drv_sdhci::Error {
                kind: ErrorKind::CardGone,
                ..
            }),
        ) => Err(UnsavedReason::NoCard),
        Err(error) => {
            let failure = note_failure(recorder, FailureStep::Identify, error.code());
            Err(UnsavedReason::Unidentified(failure))
        }
    }
}

/// What is done with an identified card.
async fn work<'m>(
    recorder: &Recorder,
    device: Port<'_, 'm>,
    identified: &CardLocation,
    memory: &Memory<'m>,
) -> UnsavedReason {
    let mut place = None;
    let log = match mount::mount(recorder, device, identified, memory, &mut place).await {
        Ok(log) => log,
        Err(reason) => return reason,
    };
    match work::run(recorder, log, memory).await {
        Ok(never) => match never {},
        Err(failure) => UnsavedReason::CardFailed(failure),
    }
}

/// Polls `work` and carries its requests out.
async fn drive<F: Future>(
    recorder: &Recorder,
    card: &mut Normal<'_>,
    exchange: &Exchange<'_>,
    work: F,
) -> F::Output {
    let mut work = pin!(work);
    loop {
        // Without a request it waits for something else.
        let polled = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => exchange
                .take()
                .map_or(Poll::Pending, |need| Poll::Ready(Err(need))),
        });
        let need = match polled.await {
            Ok(output) => return output,
            Err(need) => need,
        };
        let result = match need {
            PortRequest::Transfer(transfer, first, blocks) => {
                let (direction, reliable) = match transfer {
                    PortTransfer::Read => (Direction::Read, false),
                    PortTransfer::Write => (Direction::Write, false),
                    PortTransfer::WriteReliable => (Direction::Write, true),
                };
                card.transfer(direction, first, blocks, reliable).await
            }
            PortRequest::Flush => card.flush().await,
            PortRequest::Rest => card.suspend().await.map(|how| {
                recorder.state.set(State::Suspended);
                ringbuf_entry_root!(Trace::Suspended { how: how as u8 });
            }),
        };
        exchange.answer(result.map_err(|error| {
            recorder.card_error.set(error.code());
            PortError::Device
        }));
    }
}

/// Notes a failure of the card, for whoever asks.
fn failed(recorder: &Recorder, step: FailureStep, error: PortError) -> Failure {
    let code = match error {
        PortError::Device => recorder.card_error.get(),
        // An address was refused before the card saw it.
        PortError::Refused => drv_mmc::Error::OutOfBounds.code(),
    };
    note_failure(recorder, step, code)
}

fn note_failure(recorder: &Recorder, step: FailureStep, code: u32) -> Failure {
    let failure = Failure { step, code };
    recorder.last_failure.set(Some(failure));
    ringbuf_entry_root!(Trace::Failed(failure));
    failure
}
