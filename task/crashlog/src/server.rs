//! The IPC server: accepts log records, defers requests that need the card.
//!
//! No operation waits. A request that needs the card is put into [`Recorder::deferred`], and the
//! session future (module `normal`) replies to it. Until then the caller stays blocked in its call,
//! so its leases stay valid.

use core::sync::atomic::Ordering;

use counters::Count;
use crashlog_format::TimeAnchor;
use crashlog_retained::{LogHeader, Record};
use idol_runtime::{ClientError, Leased, LenLimit, NotificationHandler, R, RequestError};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{
    BootEnding, CrashInfo, CrashLogError, Level, RECORD_MAX, RecorderState, RecorderStatus, Stream,
};
use userlib::{NotificationBits, RecvMessage, sys_get_timer};

use crate::events;
use crate::normal::time_anchor;
use crate::recorder::{CardOperation, DeferredCall, OutLease, Recorder};
use crate::trace::Trace;

/// Makes the generated server send no reply, which is how it treats a caller that went away. The
/// reply is deferred.
fn no_reply<T>() -> Result<T, RequestError<CrashLogError>> {
    Err(ClientError::WentAway.fail())
}

/// Refuses a call, and leaves that in the trace.
fn refuse<T>(error: CrashLogError) -> Result<T, RequestError<CrashLogError>> {
    ringbuf_entry_root!(Trace::Refused(error));
    Err(error.into())
}

/// The implementation of the IPC interface.
pub struct Server<'a> {
    recorder: &'a Recorder,
    /// The record that `append` accepts, before it is in the ring.
    record: Record,
}

impl<'a> Server<'a> {
    /// Makes the server of `recorder`.
    pub fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            record: Record::new(),
        }
    }

    /// Defers a call: the session future carries the operation out and replies.
    fn defer<T>(
        &mut self,
        msg: &RecvMessage,
        operation: CardOperation,
    ) -> Result<T, RequestError<CrashLogError>> {
        match self.recorder.state.get() {
            RecorderState::RamOnly(_) => return refuse(CrashLogError::NotSaving),
            RecorderState::ReadOnly(_) if operation.writes() => {
                return refuse(CrashLogError::NotSaving);
            }
            _ => {}
        }
        let call = DeferredCall {
            client: msg.sender,
            operation,
        };
        // `Err` does not occur: every sender is a task of this image, and each of them has a row.
        match self.recorder.deferred.put(msg.sender.index(), call) {
            Ok(()) => {
                self.recorder.events.work();
                no_reply()
            }
            Err(_) => refuse(CrashLogError::Busy),
        }
    }
}

impl NotificationHandler for Server<'_> {
    fn current_notification_mask(&self) -> u32 {
        events::MASK
    }

    fn handle_notification(&mut self, bits: NotificationBits) {
        self.recorder.events.notified(bits);
    }
}

impl InOrderCrashLogImpl for Server<'_> {
    // The fast path: inlined into the dispatcher, which would otherwise spend instructions of its
    // budget on a call.
    #[inline(always)]
    fn append(
        &mut self,
        msg: &RecvMessage,
        stream: Stream,
        level: Level,
        lost: u16,
        data: LenLimit<Leased<R, [u8]>, RECORD_MAX>,
    ) -> Result<u32, RequestError<CrashLogError>> {
        let recorder = self.recorder;
        let task = msg.sender.index();
        let Ok(payload) = self.record.payload(data.len()) else {
            return refuse(CrashLogError::BadLease);
        };
        if data.read_range(0..data.len(), payload).is_err() {
            return refuse(CrashLogError::BadLease);
        }
        let Ok(charge) = recorder.quotas.check(task, self.record.space()) else {
            return refuse(CrashLogError::Full);
        };
        let now = sys_get_timer().now;
        let header = LogHeader {
            stream,
            level,
            // The kernel's task indices have 10 bits.
            task: task as u16,
            lost,
            time: now,
        };
        let Ok(sequence) = recorder.ring.append_record(&header, &mut self.record) else {
            return refuse(CrashLogError::Full);
        };
        charge.make();
        if lost != 0 {
            recorder
                .lost
                .set(recorder.lost.get().saturating_add(lost.into()));
        }
        if recorder.ring.has_begun_page() {
            // The record opened a page. If the ring was empty before, this record is the oldest
            // that is not durable.
            recorder.oldest.set(recorder.oldest.get().or(Some(now)));
            recorder.events.work();
        }
        Ok(sequence)
    }

    fn flush(&mut self, msg: &RecvMessage) -> Result<u32, RequestError<CrashLogError>> {
        let ring = &self.recorder.ring;
        let record = ring.accepted();
        if !self.recorder.has_unwritten() {
            return Ok(ring.durable());
        }
        self.defer(msg, CardOperation::Flush { record })
    }

    fn status(&mut self, _: &RecvMessage) -> Result<RecorderStatus, RequestError<CrashLogError>> {
        Ok(self.recorder.status())
    }

    fn crash_info(
        &mut self,
        msg: &RecvMessage,
        index: u32,
    ) -> Result<CrashInfo, RequestError<CrashLogError>> {
        self.defer(msg, CardOperation::DescribeCrash { index })
    }

    fn read_crash(
        &mut self,
        msg: &RecvMessage,
        sequence: u32,
        segment: u32,
        offset: u32,
        out: OutLease,
    ) -> Result<u32, RequestError<CrashLogError>> {
        self.defer(
            msg,
            CardOperation::ReadCrash {
                sequence,
                segment,
                offset,
                out,
            },
        )
    }

    fn erase_crash(
        &mut self,
        msg: &RecvMessage,
        sequence: u32,
    ) -> Result<(), RequestError<CrashLogError>> {
        self.defer(msg, CardOperation::EraseCrash { sequence })
    }

    fn acknowledge_crash(
        &mut self,
        msg: &RecvMessage,
        sequence: u32,
    ) -> Result<(), RequestError<CrashLogError>> {
        self.defer(msg, CardOperation::AcknowledgeCrash { sequence })
    }

    fn set_time(
        &mut self,
        msg: &RecvMessage,
        utc_ms: u64,
    ) -> Result<u32, RequestError<CrashLogError>> {
        let Some(anchor) = TimeAnchor::new(utc_ms) else {
            return refuse(CrashLogError::BadTime);
        };
        match time_anchor::append(self.recorder, msg.sender.index(), anchor) {
            Some(sequence) => Ok(sequence),
            None => refuse(CrashLogError::Full),
        }
    }

    fn boot_end(
        &mut self,
        _: &RecvMessage,
        boots_ago: u32,
    ) -> Result<BootEnding, RequestError<CrashLogError>> {
        let region = &self.recorder.region;
        let ends = region.boot_end().ends(region.boot());
        // The newest first: that of one boot ago.
        let end = boots_ago
            .checked_sub(1)
            .and_then(|before| ends.iter().nth(before as usize));
        Ok(end.map_or(BootEnding::NotKnown, BootEnding::from))
    }

    fn read_page(
        &mut self,
        msg: &RecvMessage,
        page: u32,
        out: OutLease,
    ) -> Result<(), RequestError<CrashLogError>> {
        self.defer(msg, CardOperation::ReadPage { page, out })
    }
}

/// Counts what the client of a deferred call gets. The generated server has counted the call under
/// `WentAway`, because it has sent no reply; the count is moved from there. A client that was
/// restarted meanwhile is not told apart: a reply tells its sender nothing.
pub fn count_reply(operation: &CardOperation, result: Result<(), CrashLogError>) {
    let all = generated::counters();
    let counters = match operation {
        CardOperation::Flush { .. } => &all.flush,
        CardOperation::DescribeCrash { .. } => &all.crash_info,
        CardOperation::ReadCrash { .. } => &all.read_crash,
        CardOperation::EraseCrash { .. } => &all.erase_crash,
        CardOperation::AcknowledgeCrash { .. } => &all.acknowledge_crash,
        CardOperation::ReadPage { .. } => &all.read_page,
    };
    let pending = &counters.Err.Fail.WentAway;
    // No other code writes the counter meanwhile: a task is one thread.
    let left = pending.load(Ordering::Relaxed).wrapping_sub(1);
    pending.store(left, Ordering::Relaxed);
    result.map_err(RequestError::Runtime).count(counters);
}

pub use generated::INCOMING_SIZE;
use generated::InOrderCrashLogImpl;

#[allow(missing_docs, reason = "generated from idl/crashlog.idol")]
mod generated {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));

    /// The counters, which are private to the generated code.
    pub fn counters() -> &'static <CrashLogEvent as Count>::Counters {
        &__CRASHLOG_SERVER_COUNTERS
    }
}
