//! The jobs of a session: writing pages and crashes, serving readers, suspending.

use core::convert::Infallible;

use crashlog_core::agenda::{Agenda, Job, PendingWork};
use crashlog_format::crash::SegmentKind;
use crashlog_format::{LateReason, Outcome, OutcomePhase};
use crashlog_retained::{MAX_RUN, MailboxState, StoredContext, TrialStage};
use crashlog_store::{
    CrashBody, CrashWriteError, ExtraSegment, PageWriteError, PortError, SnapshotProgress,
    SnapshotStep,
};
use drv_sdhci::normal::Wait;
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{CrashLogError, DeviceFailure, FailureStep, RecorderState};

use super::session::{MountedLog, note_error};
use super::{boot_record, early_ends, requests};
use crate::config;
use crate::recorder::{CardContent, CardOperation, DeferredCall, Recorder};
use crate::reply;
use crate::trace::Trace;
use crate::transfer_blocks::TransferBlocks;

/// Writes the crashes of earlier boots, then does the jobs of the agenda until the card fails. On a
/// partition that is not written it only serves those who read; what is in retained RAM stays
/// there, and the card is not suspended.
///
/// Dropped half way, it leaves the job in progress undone. What was to be written is still in
/// retained RAM, and callers of the job have no reply.
///
/// # Errors
/// The failure of the card.
pub async fn run(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    memory: &TransferBlocks<'_>,
) -> Result<Infallible, DeviceFailure> {
    note_content(recorder, log);
    let trial = recorder.region.trial();
    let is_written = log.write_refusal().is_none();
    if is_written && trial.stage() == TrialStage::All {
        write_late_crash(recorder, log).await?;
        write_kernel_failure(recorder, log).await?;
    }
    let mut agenda = Agenda::new(
        config::WRITE_AFTER_MS,
        config::WRITE_AFTER_PAGES as usize,
        config::SUSPEND_AFTER_MS.filter(|_| is_written),
    );
    let mut snapshot = SnapshotProgress::default();
    let mut log_is_written = recorder.ring.closed_pages() == 0 || !is_written;
    loop {
        let pending = pending(recorder, is_written);
        if log_is_written && !pending.crash && !pending.snapshot {
            // What was left in retained RAM is on the card, and did no harm. Not only when there is
            // nothing to do any more: busy clients may never let it come to that.
            trial.end_start();
        }
        let job = agenda.next(&pending, recorder.events.now());
        if !matches!(job, Job::Sleep(_) | Job::Suspend)
            && recorder.state.get() == RecorderState::Suspended
        {
            // The driver resumes the card with its first request.
            recorder.state.set(RecorderState::Ready);
            ringbuf_entry_root!(Trace::Resumed);
        }
        match job {
            Job::Suspend => suspend(recorder, log).await,
            Job::WriteCrash => {
                write_pages(recorder, log, true).await?;
                log_is_written = true;
                write_oops(recorder, log).await?;
            }
            Job::WriteSnapshot => write_snapshot(recorder, log, &mut snapshot).await?,
            Job::AllPages | Job::FullPages => {
                write_pages(recorder, log, job == Job::AllPages).await?;
                log_is_written = true;
            }
            Job::Request => {
                let due = |call: &DeferredCall| !is_written || !is_flush(&call.operation);
                match recorder.deferred.take(due) {
                    Some(call) if !is_written && call.operation.writes() => {
                        call.fail(recorder, CrashLogError::NotSaving);
                    }
                    Some(call) => requests::serve(recorder, log, memory, call).await?,
                    None => {}
                }
            }
            Job::Sleep(until) => recorder.events.wait_for_work(until).await,
        }
    }
}

/// Suspends card and controller. If that fails, they stay as they are, and the agenda suspends them
/// again after its next job.
///
/// Dropped half way, it leaves them suspended or not; both the next request and the emergency path
/// cope with either.
async fn suspend(recorder: &Recorder, log: &mut MountedLog<'_, '_>) {
    if let Err(error) = log.device().rest().await {
        note_error(recorder, FailureStep::Suspend, error);
    }
}

fn is_flush(operation: &CardOperation) -> bool {
    matches!(operation, CardOperation::Flush { .. })
}

/// What there is to do now. If the partition is not written, that is to serve those who read, and
/// to refuse the others.
fn pending(recorder: &Recorder, is_written: bool) -> PendingWork {
    if !is_written {
        return PendingWork {
            request: recorder.deferred.any(|_| true),
            ..PendingWork::default()
        };
    }
    let uses_all = recorder.region.trial().stage() == TrialStage::All;
    PendingWork {
        crash: uses_all && recorder.region.mailbox().oops().is_some(),
        full_pages: recorder.ring.closed_pages() as usize,
        oldest: recorder.oldest.get(),
        flush: recorder.deferred.any(|call| is_flush(&call.operation)),
        request: recorder.deferred.any(|call| !is_flush(&call.operation)),
        snapshot: uses_all && recorder.region.snapshot().is_waiting(),
    }
}

/// Notes what is on the card now, for `status`.
pub fn note_content(recorder: &Recorder, log: &MountedLog<'_, '_>) {
    let counters = log.counters();
    recorder.content.set(CardContent {
        // There are at most 22 slots.
        crashes: log.crash_count() as u16,
        unread: log.unacknowledged() as u16,
        newest_crash: log.newest_crash(),
        oopses: counters.oops.get(),
        panics: counters.panic.get(),
        next_page: log.next_page(),
    });
}

/// Writes the pages that are full now and, if `all`, the one that is not. Then replies to callers
/// of `flush` whose records are durable now.
///
/// Dropped half way, it leaves the pages that were not written yet in retained RAM. A page whose
/// write was interrupted is found when the log is located the next time.
async fn write_pages(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    all: bool,
) -> Result<(), DeviceFailure> {
    let ring = &recorder.ring;
    let began = recorder.events.now();
    if all {
        ring.close();
    }
    // Only the pages that are full now. With those that fill meanwhile, a busy client could prolong
    // this loop for ever.
    let mut left = ring.closed_pages() as usize;
    while left > 0 {
        let numbering = log.numbering(recorder.region.boot_offset());
        let Some(run) = ring.next_run(&numbering, left.min(MAX_RUN)) else {
            if ring.closed_pages() > 0 {
                // All numbers have been used. The next mount says so.
                return Err(note_error(
                    recorder,
                    FailureStep::WritePages,
                    PortError::Refused,
                ));
            }
            break;
        };
        log.write_pages(run.blocks)
            .await
            .map_err(|error| match error {
                PageWriteError::Device(error) => {
                    note_error(recorder, FailureStep::WritePages, error)
                }
                // None occurs: the ring numbers pages in the order that the store expects, and
                // a partition that is not written has no such job.
                PageWriteError::TooMany | PageWriteError::OutOfOrder | PageWriteError::Refused => {
                    note_error(recorder, FailureStep::WritePages, PortError::Refused)
                }
            })?;
        let count = run.blocks.len();
        recorder.region.location().set_next_page(log.next_page());
        ring.mark_durable(count, |task, bytes| {
            recorder.quotas.release(task.into(), bytes as u32)
        });
        boot_record::append(recorder);
        left = left.saturating_sub(count);

        let count = count as u32;
        recorder
            .pages_written
            .set(recorder.pages_written.get().saturating_add(count));
        recorder.content.set(CardContent {
            next_page: log.next_page(),
            ..recorder.content.get()
        });
        ringbuf_entry_root!(Trace::Wrote {
            first_page: run.first_page,
            count
        });
    }
    // What is left was accepted meanwhile, or is in the open page, if that was not to be written.
    recorder.oldest.set(match recorder.oldest.get() {
        _ if !recorder.has_unwritten() => None,
        Some(oldest) if !all => Some(oldest),
        _ => Some(began),
    });
    let durable = ring.durable();
    let fulfilled = |operation: &CardOperation| matches!(operation, CardOperation::Flush { record } if *record <= durable);
    while let Some(call) = recorder.deferred.take(|call| fulfilled(&call.operation)) {
        reply::number(recorder, &call, Ok(durable));
    }
    Ok(())
}

/// Writes the crash of an earlier boot that is still in the mailbox, if there is one.
///
/// Dropped half way, it leaves the crash in the mailbox. If it was already durable, it is written
/// once more.
async fn write_late_crash(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
) -> Result<(), DeviceFailure> {
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
        early_ends::report_damaged_crash(recorder);
        mailbox.clear();
        return Ok(());
    };
    // The log records before the crash are written first.
    write_pages(recorder, log, true).await?;
    if let Some(sequence) = write_crash(
        recorder,
        log,
        &crash,
        Some(late),
        &outcome.unwrap_or_default(),
        &[],
    )
    .await?
    {
        ringbuf_entry_root!(Trace::WroteLateCrash { sequence });
        recorder.late_crash.set(Some(sequence));
    }
    mailbox.clear();
    Ok(())
}

/// Writes the failure of the kernel or of the supervisor that is in retained RAM, if there is one.
///
/// Dropped half way, it leaves the failure in retained RAM. If it was already durable, it is
/// written once more.
async fn write_kernel_failure(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
) -> Result<(), DeviceFailure> {
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
    // The log records before the crash are written first.
    write_pages(recorder, log, true).await?;
    let late = Some(LateReason::NotAttempted);
    let outcome = &Outcome::default();
    if let Some(sequence) =
        write_crash(recorder, log, &failure.stored, late, outcome, &[tasks]).await?
    {
        ringbuf_entry_root!(Trace::WroteLateCrash { sequence });
        recorder.late_crash.set(Some(sequence));
    }
    if failure.dropped > 0 {
        ringbuf_entry_root!(Trace::FailuresNotKept {
            count: failure.dropped
        });
    }
    place.clear();
    Ok(())
}

/// Writes the oldest oops in retained RAM.
///
/// Dropped half way, it leaves the oops in retained RAM. If it was already durable, it is written
/// once more.
async fn write_oops(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
) -> Result<(), DeviceFailure> {
    let Some(oops) = recorder.region.mailbox().oops() else {
        return Ok(());
    };
    let of_this_boot = oops.stored.context.boot == recorder.region.boot();
    let late = (!of_this_boot).then_some(LateReason::Restarted);
    let outcome = &Outcome::default();
    if let Some(sequence) = write_crash(recorder, log, &oops.stored, late, outcome, &[]).await? {
        ringbuf_entry_root!(Trace::WroteCrash { sequence });
    }
    oops.clear();
    Ok(())
}

/// Writes the next piece of the image that an emergency or an oops has left in retained RAM, behind
/// its crash. Its crash is on the card by now, as the agenda has crashes written first; an image of
/// no crash is discarded.
///
/// Dropped half way, it leaves the image in retained RAM. The next session begins again with it.
async fn write_snapshot(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    progress: &mut SnapshotProgress,
) -> Result<(), DeviceFailure> {
    let step = log
        .write_snapshot(&recorder.region, progress)
        .await
        .map_err(|error| note_error(recorder, FailureStep::WriteCrash, error))?;
    let sequence = match step {
        SnapshotStep::More => return Ok(()),
        SnapshotStep::Written(sequence) => Some(sequence),
        SnapshotStep::Discarded => None,
    };
    ringbuf_entry_root!(Trace::SnapshotDone { sequence });
    recorder.region.snapshot().clear();
    *progress = SnapshotProgress::default();
    Ok(())
}

/// Writes a crash; returns its sequence number, or `None` if the format has no number left for it.
///
/// Dropped half way, it leaves a crash slot that is not committed, or a crash that is durable.
async fn write_crash(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    crash: &StoredContext<'_>,
    late: Option<LateReason>,
    outcome: &Outcome,
    extra: &[ExtraSegment<'_>],
) -> Result<Option<u32>, DeviceFailure> {
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
    note_content(recorder, log);
    match result {
        Ok(sequence) => Ok(Some(sequence)),
        Err(CrashWriteError::Device(error)) => {
            Err(note_error(recorder, FailureStep::WriteCrash, error))
        }
        Err(
            CrashWriteError::Exhausted | CrashWriteError::NoSuchCrash | CrashWriteError::Refused,
        ) => Ok(None),
    }
}
