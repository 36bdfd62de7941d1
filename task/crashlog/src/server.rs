//! The activity that answers requests.
//!
//! No operation waits. What needs the card is put down in [`Recorder::waiting`] and answered by the background; the
//! caller stays blocked in its call until then, and its leases stay valid.

use crashlog_retained::{LogHeader, Record};
use idol_runtime::{ClientError, Leased, LenLimit, NotificationHandler, R, RequestError};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{CrashLogError, Level, RECORD_MAX, RecordInfo, State, Status, Stream};
use userlib::{NotificationBits, RecvMessage, sys_get_timer};

use crate::events;
use crate::recorder::{Out, Recorder, Request, Wanted};
use crate::trace::Trace;

/// Not in place yet: the answer comes later.
fn later<T>() -> Result<T, RequestError<CrashLogError>> {
    Err(ClientError::WentAway.fail())
}

fn refuse<T>(error: CrashLogError) -> Result<T, RequestError<CrashLogError>> {
    ringbuf_entry_root!(Trace::Refused(error));
    Err(error.into())
}

/// The server.
pub struct Server<'a> {
    recorder: &'a Recorder,
    record: Record,
}

impl<'a> Server<'a> {
    /// The server of `recorder`.
    pub fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            record: Record::new(),
        }
    }

    /// Puts a request down for the background.
    fn put<T>(
        &mut self,
        msg: &RecvMessage,
        wanted: Wanted,
    ) -> Result<T, RequestError<CrashLogError>> {
        let request = Request {
            client: msg.sender,
            wanted,
        };
        if matches!(self.recorder.state.get(), State::RamOnly(_)) {
            return refuse(CrashLogError::NotSaving);
        }
        // The kernel knows every sender, so it has a row.
        match self.recorder.waiting.put(msg.sender.index(), request) {
            Ok(()) => {
                self.recorder.events.work();
                later()
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
    // The operation that counts; the others are not on its way.
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
            // Where there was no page there was nothing that is not durable.
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
        self.put(msg, Wanted::Flush { record })
    }

    fn status(&mut self, _: &RecvMessage) -> Result<Status, RequestError<CrashLogError>> {
        Ok(self.recorder.status())
    }

    fn record_info(
        &mut self,
        msg: &RecvMessage,
        index: u32,
    ) -> Result<RecordInfo, RequestError<CrashLogError>> {
        self.put(msg, Wanted::RecordInfo { index })
    }

    fn read_record(
        &mut self,
        msg: &RecvMessage,
        sequence: u32,
        segment: u32,
        offset: u32,
        out: Out,
    ) -> Result<u32, RequestError<CrashLogError>> {
        self.put(
            msg,
            Wanted::ReadRecord {
                sequence,
                segment,
                offset,
                out,
            },
        )
    }

    fn erase_record(
        &mut self,
        msg: &RecvMessage,
        sequence: u32,
    ) -> Result<(), RequestError<CrashLogError>> {
        self.put(msg, Wanted::EraseRecord { sequence })
    }

    fn read_page(
        &mut self,
        msg: &RecvMessage,
        page: u32,
        out: Out,
    ) -> Result<(), RequestError<CrashLogError>> {
        self.put(msg, Wanted::ReadPage { page, out })
    }
}

pub use generated::INCOMING_SIZE;
use generated::InOrderCrashLogImpl;

#[allow(missing_docs, reason = "generated from idl/crashlog.idol")]
mod generated {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
}
