//! The session future, which works on the card.
//!
//! The future never completes. It runs one session after the other. A session knows nothing at its
//! beginning: it identifies the card, finds the partition and locates the log. Then it writes the
//! crashes that earlier boots left in retained RAM, and after that it does the jobs of the agenda
//! until the card fails. After a failure, or without a card, the next session begins after
//! [`RETRY_MS`]. A card without a valid log is not accessed again until the next start of the task.
//!
//! Nothing is written to a card before everything on it is located.
//!
//! # Restart
//!
//! The task may be restarted at its emergency entry at any instruction, in the middle of a transfer
//! too. The future is then gone without being dropped. What the emergency path needs is in retained
//! RAM at every moment: the log ring, the location of the log, the number of the next page.
//!
//! # Cancellation
//!
//! The future is dropped by nothing but the end of the task, so its asynchronous functions do not
//! have to leave anything in order when they are dropped half way, and do not: a transfer would go
//! on in the controller. Each says what it would leave behind.
//!
//! # Devices
//!
//! The jobs are written for a [`Port`], as the emergency path's search for the partition is.
//! [`drive`] carries the port's requests out with the driver of the normal path.

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
use task_crashlog_api::{CrashLogError, DeviceFailure, FailureStep, RecorderState, UnsavedReason};

use crate::hardware::{self, NormalDevice};
use crate::recorder::Recorder;
use crate::trace::Trace;
use crate::transfer_blocks::TransferBlocks;

use super::{mount, work};

/// A log whose every part on the card is located.
pub type MountedLog<'p, 'm> = Store<'m, Port<'p, 'm>>;

/// Milliseconds from a failure of the card, or from an empty slot, to the next session.
const RETRY_MS: u64 = 5_000;

/// Runs sessions. Never completes.
///
/// Dropped half way, it leaves callers without a reply and a transfer in the controller.
pub async fn run<'m>(recorder: &'m Recorder, memory: &TransferBlocks<'m>) -> Infallible {
    let mut card = hardware::normal_device(memory, &recorder.events);
    loop {
        let reason = session(recorder, &mut card, memory).await;
        recorder.state.set(RecorderState::RamOnly(reason));
        recorder.region.trial().end_start();
        ringbuf_entry_root!(Trace::RamOnly(reason));
        while let Some(call) = recorder.deferred.take(|_| true) {
            call.fail(recorder, CrashLogError::NotSaving);
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

/// Works with one card until it fails; returns why nothing is saved any more.
///
/// Dropped half way, it leaves the location of the log in retained RAM valid, for the emergency
/// path.
async fn session<'m>(
    recorder: &'m Recorder,
    card: &mut NormalDevice<'m>,
    memory: &TransferBlocks<'m>,
) -> UnsavedReason {
    let reason = match identify(recorder, card).await {
        Ok(identified) => {
            let exchange = Exchange::new(&recorder.region, recorder.region.scratch());
            let device = Port::new(&exchange, card.block_count());
            let jobs = mount_and_work(recorder, device, &identified, memory);
            drive(recorder, card, &exchange, jobs).await
        }
        Err(reason) => reason,
    };
    match reason {
        // The location stays valid: the same card may answer again.
        UnsavedReason::Unidentified(_) | UnsavedReason::CardFailed(_) => {}
        _ => recorder.region.location().invalidate(),
    }
    reason
}

/// Identifies the card in the slot.
///
/// Dropped half way, it leaves the card in some state of identification; the next call begins with
/// a reset.
async fn identify(
    recorder: &Recorder,
    card: &mut NormalDevice<'_>,
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

/// Locates the log on an identified card and does jobs until the card fails.
///
/// Dropped half way, it leaves callers of the job in progress without a reply.
async fn mount_and_work<'m>(
    recorder: &Recorder,
    device: Port<'_, 'm>,
    identified: &CardLocation,
    memory: &TransferBlocks<'m>,
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

/// Polls `jobs` and carries out the requests that it leaves in `exchange`.
///
/// Dropped half way, it drops `jobs` as well, and leaves a transfer in the controller.
async fn drive<F: Future>(
    recorder: &Recorder,
    card: &mut NormalDevice<'_>,
    exchange: &Exchange<'_>,
    jobs: F,
) -> F::Output {
    let mut jobs = pin!(jobs);
    loop {
        // If `jobs` is pending and has left no request, it waits for an event, and so does this
        // function.
        let polled = poll_fn(|context| match jobs.as_mut().poll(context) {
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
                recorder.state.set(RecorderState::Suspended);
                ringbuf_entry_root!(Trace::Suspended { how: how as u8 });
            }),
        };
        exchange.answer(result.map_err(|error| {
            recorder.card_error.set(error.code());
            PortError::Device
        }));
    }
}

/// Notes an error of the port as the last failure, for `status`.
pub fn note_error(recorder: &Recorder, step: FailureStep, error: PortError) -> DeviceFailure {
    let code = match error {
        PortError::Device => recorder.card_error.get(),
        // The port refused the address: no command was sent to the card.
        PortError::Refused => drv_mmc::Error::OutOfBounds.code(),
    };
    note_failure(recorder, step, code)
}

/// Notes a failure of the card or the controller as the last one, for `status`.
fn note_failure(recorder: &Recorder, step: FailureStep, code: u32) -> DeviceFailure {
    let failure = DeviceFailure { step, code };
    recorder.last_failure.set(Some(failure));
    ringbuf_entry_root!(Trace::Failed(failure));
    failure
}
