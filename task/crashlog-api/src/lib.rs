//! Client of the crash recorder: IPC, log macros, types, and what is saved of a task's memory.
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
//! # Guarantees
//!
//! A record is *accepted* when [`CrashLog::append`] returns its sequence number. It is then in RAM
//! that keeps its content when the recorder is restarted and when the system is reset, and it will
//! be on the card after the next crash or sooner. `append` never waits for the card. When the
//! task's quota of that RAM is used up it returns [`CrashLogError::Full`] at once, and the task
//! decides: it can try again later and lose nothing, or drop the record, as the macros do. The next
//! record that is accepted says how many were dropped before it.
//!
//! A record is *durable* when it is on the card. [`CrashLog::flush`] returns when every record
//! accepted before it is.
//!
//! If the recorder is restarted while it handles an `append`, the client gets
//! [`CrashLogError::ServerRestarted`], which does not say whether the record was accepted.
//! [`Logger`] sends it again: such a record may be in the log twice, but is never missing.
//!
//! # Content of a record
//!
//! A record of the console stream holds bytes as they came. A record of the event stream begins
//! with one byte, the length of a type name. If it is zero, the rest is a line of text in UTF-8
//! made by [`error!`], [`warn!`], [`info!`], [`debug!`] or [`trace!`]; otherwise the name and then
//! the value's [`hubpack`] encoding follow, made by [`event!`]. The recorder adds sender, time,
//! boot and sequence number; the sender is the one that the kernel names.
//!
//! # Memory
//!
//! [`crash_region!`] names a static that is to be saved with a crash, and [`secret!`] declares one
//! that never is.

#![no_std]
#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "client")]
mod logger;
mod region;
mod status;
mod stream;

pub use error::CrashLogError;
#[cfg(feature = "client")]
pub use logger::{Logger, TEXT_MAX};
pub use region::{CrashRegionDescriptor, REGION_NAME_MAX};
pub use status::{
    BootEnding, CrashInfo, CrashKind, DeviceFailure, FailureStep, ReadOnlyReason, RecorderState,
    RecorderStatus, SelfTestCause, SelfTestReport, SelfTestStep, TaskName, UnsavedCrash,
    UnsavedReason,
};
pub use stream::{Level, Stream};

#[cfg(feature = "client")]
use userlib::sys_send;

/// Longest payload of one log record, in bytes.
pub const RECORD_MAX: usize = 256;

/// Length of a page of the stream ring, in bytes.
pub const PAGE_LEN: usize = 512;

#[cfg(feature = "client")]
#[allow(missing_docs, reason = "generated from idl/crashlog.idol")]
mod client {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/client_stub.rs"));
}

#[cfg(feature = "client")]
pub use client::CrashLog;
