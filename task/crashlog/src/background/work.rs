//! The rest of a session: writing the log and the crash records, serving readers.

use core::convert::Infallible;

use crashlog_core::agenda::{Agenda, Pending, Step};
use crashlog_format::crash::SegmentKind;
use crashlog_format::{LateReason, Outcome, OutcomePhase};
use crashlog_retained::{MAX_RUN, MailboxState, StoredContext};
use crashlog_store::{CrashBody, CrashWriteError, ExtraSegment, PageWriteError, PortError};
use drv_sdhci::normal::Wait;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{Failure, FailureStep, State};

use super::{Log, failed, requests};
use crate::card::Memory;
use crate::config;
use crate::recorder::{Card, Recorder, Wanted};
use crate::reply;
use crate::trace::Trace;

/// Works until the card fails.
pub async fn run(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    memory: &Memory<'_>,
) -> Result<Infallible, Failure> {
    note_card(recorder, log);
    late_crash(recorder, log).await?;
    failure(recorder, log).await?;
    let mut agenda = Agenda::new(
        config::WRITE_AFTER_MS,
        config::WRITE_AFTER_PAGES as usize,
        config::SUSPEND_AFTER_MS,
    );
    loop {
        let step = agenda.next(&pending(recorder), recorder.events.now());
        if !matches!(step, Step::Sleep(_) | Step::Suspend)
            && recorder.state.get() == State::Suspended
        {
            // The card resumes by itself, with the first request to it.
            recorder.state.set(State::Ready);
            ringbuf_entry_root!(Trace::Resumed);
        }
        match step {
            Step::Suspend => suspend(recorder, log).await,
            Step::Fault => {
                write_pages(recorder, log, true).await?;
                fault(recorder, log).await?;
            }
            Step::AllPages => write_pages(recorder, log, true).await?,
            Step::FullPages => write_pages(recorder, log, false).await?,
            Step::Request => {
                if let Some(request) = recorder.waiting.take(|request| !is_flush(&request.wanted)) {
                    requests::serve(recorder, log, memory, request).await?;
                }
            }
            Step::Sleep(until) => recorder.events.wait_for_work(until).await,
        }
    }
}

/// Puts card and controller to rest. If that fails they go on as they are until there has been something to do again.
async fn suspend(recorder: &Recorder, log: &mut Log<'_, '_>) {
    if let Err(error) = log.device().rest().await {
        failed(recorder, FailureStep::Suspend, error);
    }
}

fn is_flush(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Flush { .. })
}

/// What there is to do.
fn pending(recorder: &Recorder) -> Pending {
    Pending {
        faults: recorder.region.mailbox().oops().is_some(),
        full_pages: recorder.ring.closed_pages() as usize,
        oldest: recorder.oldest.get(),
        flush: recorder.waiting.any(|request| is_flush(&request.wanted)),
        request: recorder.waiting.any(|request| !is_flush(&request.wanted)),
    }
}

/// Takes note of what is on the card now, for `status`.
pub fn note_card(recorder: &Recorder, log: &Log<'_, '_>) {
    let counters = log.counters();
    recorder.card.set(Card {
        records: log.crash_count(),
        newest_record: log.newest_crash(),
        oopses: counters.oops.get(),
        panics: counters.panic.get(),
        next_page: log.next_page(),
    });
}

/// Writes the pages that are full now, and, if `all`, the one that is not; then answers who waited for them.
async fn write_pages(recorder: &Recorder, log: &mut Log<'_, '_>, all: bool) -> Result<(), Failure> {
    let ring = &recorder.ring;
    let began = recorder.events.now();
    if all {
        ring.close();
    }
    // Not more than there are now: new ones are for the next time, or a busy client could keep us here.
    let mut left = ring.closed_pages() as usize;
    while left > 0 {
        let numbering = log.numbering(recorder.region.boot_offset());
        let Some(run) = ring.next_run(&numbering, left.min(MAX_RUN)) else {
            break;
        };
        log.write_pages(run.blocks)
            .await
            .map_err(|error| match error {
                PageWriteError::Device(error) => failed(recorder, FailureStep::WritePages, error),
                // The ring numbers pages as the store wants them.
                PageWriteError::TooMany | PageWriteError::OutOfOrder => {
                    failed(recorder, FailureStep::WritePages, PortError::Refused)
                }
            })?;
        let count = run.blocks.len();
        recorder.region.location().set_next_page(log.next_page());
        ring.mark_durable(count, |task, bytes| {
            recorder.quotas.release(task.into(), bytes as u32)
        });
        left = left.saturating_sub(count);

        let count = count as u32;
        recorder
            .pages_written
            .set(recorder.pages_written.get().saturating_add(count));
        recorder.card.set(Card {
            next_page: log.next_page(),
            ..recorder.card.get()
        });
        ringbuf_entry_root!(Trace::Wrote {
            first_page: run.first_page,
            count
        });
    }
    // What is left was accepted meanwhile, or is in the open page that was not asked for.
    recorder.oldest.set(match recorder.oldest.get() {
        _ if !recorder.has_unwritten() => None,
        Some(oldest) if !all => Some(oldest),
        _ => Some(began),
    });
    let durable = ring.durable();
    let fulfilled =
        |wanted: &Wanted| matches!(wanted, Wanted::Flush { record } if *record <= durable);
    while let Some(request) = recorder.waiting.take(|request| fulfilled(&request.wanted)) {
        reply::number(request.client, Ok(durable));
    }
    Ok(())
}

/// Records the crash of an earlier boot that is still in the mailbox, if there is one (X3).
async fn late_crash(recorder: &Recorder, log: &mut Log<'_, '_>) -> Result<(), Failure> {
    let mailbox = recorder.region.mailbox();
    let outcome = mailbox.outcome();
    let late = match mailbox.state() {
        MailboxState::Empty | MailboxState::Done => return Ok(()),
        MailboxState::Failed => LateReason::Failed,
        MailboxState::Noted => LateReason::Supervisor,
        MailboxState::Armed | MailboxState::ArmedMinimal => match &outcome {
            Some(outcome) if outcome.phase() != OutcomePhase::None => LateReason::Interrupted,
            _ => LateReason::NotAttempted,
        },
    };
    let Some(crash) = mailbox.crash() else {
        ringbuf_entry_root!(Trace::CrashDamaged);
        mailbox.clear();
        return Ok(());
    };
    // The lines that led to it come first.
    write_pages(recorder, log, true).await?;
    if let Some(sequence) = record(
        recorder,
        log,
        &crash,
        Some(late),
        &outcome.unwrap_or_default(),
        &[],
    )
    .await?
    {
        ringbuf_entry_root!(Trace::RecordedLate { sequence });
        recorder.late_record.set(Some(sequence));
    }
    mailbox.clear();
    Ok(())
}

/// Records the failure of the kernel, or of the supervisor, that is in retained RAM, if there is one (X4).
async fn failure(recorder: &Recorder, log: &mut Log<'_, '_>) -> Result<(), Failure> {
    let place = recorder.region.failure();
    let Some(failure) = place.read() else {
        return Ok(());
    };
    let tasks = ExtraSegment {
        kind: SegmentKind::Tasks,
        address: 0,
        length: failure.task_bytes(),
        blocks: failure.task_blocks(),
    };
    // The lines that led to it come first.
    write_pages(recorder, log, true).await?;
    let late = Some(LateReason::NotAttempted);
    let outcome = &Outcome::default();
    if let Some(sequence) = record(recorder, log, &failure.stored, late, outcome, &[tasks]).await? {
        ringbuf_entry_root!(Trace::RecordedLate { sequence });
        recorder.late_record.set(Some(sequence));
    }
    if failure.dropped > 0 {
        ringbuf_entry_root!(Trace::FailuresNotKept {
            count: failure.dropped
        });
    }
    place.clear();
    Ok(())
}

/// Records the fault of a single task that has waited longest.
async fn fault(recorder: &Recorder, log: &mut Log<'_, '_>) -> Result<(), Failure> {
    let Some(oops) = recorder.region.mailbox().oops() else {
        return Ok(());
    };
    let of_this_boot = oops.stored.context.boot == recorder.region.boot();
    let late = (!of_this_boot).then_some(LateReason::Restarted);
    let outcome = &Outcome::default();
    if let Some(sequence) = record(recorder, log, &oops.stored, late, outcome, &[]).await? {
        ringbuf_entry_root!(Trace::Recorded { sequence });
    }
    oops.clear();
    Ok(())
}

/// Writes the record of a crash; `None` if the format has no number left for it.
async fn record(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    crash: &StoredContext<'_>,
    late: Option<LateReason>,
    outcome: &Outcome,
    extra: &[ExtraSegment<'_>],
) -> Result<Option<u32>, Failure> {
    let of_this_boot = crash.context.boot == recorder.region.boot();
    let body = CrashBody {
        stored: crash,
        late,
        outcome,
        boot_offset: recorder.region.boot_offset(),
        log_record: if of_this_boot {
            recorder.ring.accepted()
        } else {
            0
        },
        extra,
    };
    let result = log.write_crash(&body).await;
    note_card(recorder, log);
    match result {
        Ok(sequence) => Ok(Some(sequence)),
        Err(CrashWriteError::Device(error)) => {
            Err(failed(recorder, FailureStep::WriteRecord, error))
        }
        Err(CrashWriteError::Exhausted | CrashWriteError::NoSuchCrash) => Ok(None),
    }
}
