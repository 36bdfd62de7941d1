//! Client of the flight recorder: IPC, log macros, types.
//!
//! A task names `crashlog` in its `task-slots` and makes one [`Logger`]:
//!
//! ```ignore
//! task_slot!(CRASHLOG, crashlog);
//!
//! let log = Logger::new(CRASHLOG.get_task_id());
//! info!(log, "fan {} at {} rpm", fan, speed);
//! event!(log, Reading { sensor: 3, millikelvin: 296_150 });
//! ```
//!
//! # What is promised
//!
//! A record is *accepted* when [`CrashLog::append`] returns its sequence number: it is then in RAM that survives the
//! death of the recorder and a reset of the system, and will be on the card after the next crash, or sooner. `append`
//! never waits for the card. When the task's share of that RAM is used up it answers [`CrashLogError::Full`] at once,
//! and the task decides: one that can hold back tries again later and loses nothing; the macros drop the record, and
//! the next record that is accepted says how many were lost before it.
//!
//! A record is *durable* when it is on the card. [`CrashLog::flush`] returns when everything accepted before it is.
//!
//! If the recorder is restarted while it handles an `append`, the client gets [`CrashLogError::ServerRestarted`] and
//! cannot know whether the record was accepted. [`Logger`] sends it again: such a record may be in the log twice, but
//! is never missing.
//!
//! # What is in a record
//!
//! The console stream holds bytes as they came. Every record of the event stream begins with one byte, the length of a
//! type name. If it is zero, the rest is a line of text in UTF-8 made by [`error!`], [`warn!`], [`info!`], [`debug!`]
//! or [`trace!`]; otherwise the name and then the value's [`hubpack`] encoding follow, made by [`event!`]. Sender,
//! time, boot and sequence number are added by the recorder, from what the kernel says about the sender.

#![no_std]
#![forbid(unsafe_code)]

mod error;
mod logger;
mod status;
mod stream;

pub use error::CrashLogError;
pub use logger::{Logger, TEXT_MAX};
pub use status::{
    Failure, FailureStep, Reason, RecordInfo, SelfTest, SelfTestCause, SelfTestStep, State, Status,
    TaskName, Unsaved, UnsavedReason,
};
pub use stream::{Level, Stream};

use userlib::sys_send;

/// Longest payload of one record, in bytes.
pub const RECORD_MAX: usize = 256;

/// Length of a page of the stream ring, in bytes.
pub const PAGE_LEN: usize = 512;

#[allow(missing_docs, reason = "generated from idl/crashlog.idol")]
mod client {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
}

pub use client::CrashLog;
