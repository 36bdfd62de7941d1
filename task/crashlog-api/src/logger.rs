//! The [`Logger`] and its macros.

use core::cell::Cell;
use core::fmt::{self, Write};

use hubpack::SerializedSize;
use serde::Serialize;
use userlib::TaskId;

use crate::{CrashLog, CrashLogError, Level, RECORD_MAX, Stream};

/// Longest text of [`info!`](crate::info) and the like, in bytes. A longer text is cut and ends in
/// `…`.
pub const TEXT_MAX: usize = 128;

/// The mark of a cut text: an ellipsis.
const CUT: &str = "\u{2026}";

/// One task's connection to the recorder, with the number of records that it dropped.
///
/// It is not `Sync`: a task makes one and passes references.
pub struct Logger {
    server: CrashLog,
    lost: Cell<u16>,
}

impl Logger {
    /// Connects to the recorder in task `server`, which comes from a task slot.
    pub fn new(server: TaskId) -> Self {
        Self {
            server: CrashLog::from(server),
            lost: Cell::new(0),
        }
    }

    /// The recorder's operations.
    pub fn server(&self) -> &CrashLog {
        &self.server
    }

    /// Number of records that were dropped since the last one that was accepted.
    pub fn lost(&self) -> u16 {
        self.lost.get()
    }

    /// Appends one record and returns its sequence number in this boot. Bytes beyond [`RECORD_MAX`]
    /// are left out.
    ///
    /// # Errors
    /// As [`CrashLog::append`]. The record is not counted as lost: after [`CrashLogError::Full`]
    /// the caller may try again later, or drop the record and call [`Logger::dropped`].
    pub fn append(&self, stream: Stream, level: Level, data: &[u8]) -> Result<u32, CrashLogError> {
        let data = data.get(..RECORD_MAX).unwrap_or(data);
        let lost = self.lost.get();
        let mut result = self.server.append(stream, level, lost, data);
        if result == Err(CrashLogError::ServerRestarted) {
            result = self.server.append(stream, level, lost, data);
        }
        if result.is_ok() {
            self.lost.set(0);
        }
        result
    }

    /// Counts one record as lost; the next record that is accepted carries the count.
    pub fn dropped(&self) {
        self.lost.set(self.lost.get().saturating_add(1));
    }

    /// Appends a line of text to the event stream, or drops and counts it. Use the macros.
    pub fn text(&self, level: Level, text: fmt::Arguments<'_>) {
        let mut line = Line::new();
        // `Line` never returns an error: it cuts the text.
        let _ = line.write_fmt(text);
        self.append_or_drop(level, line.finish());
    }

    /// Appends a value to the event stream under the last part of its type's name, or drops and
    /// counts it. Use [`event!`](crate::event).
    pub fn event<T: Serialize + SerializedSize>(&self, level: Level, value: &T) {
        let mut record = [0; RECORD_MAX];
        match encode_event(&mut record, value) {
            Some(record) => self.append_or_drop(level, record),
            None => self.dropped(),
        }
    }

    fn append_or_drop(&self, level: Level, data: &[u8]) {
        if self.append(Stream::Event, level, data).is_err() {
            self.dropped();
        }
    }
}

/// Encodes length and name of the type, then the value; `None` if they do not fit into a record.
fn encode_event<'a, T: Serialize>(record: &'a mut [u8; RECORD_MAX], value: &T) -> Option<&'a [u8]> {
    let name = core::any::type_name::<T>();
    let name = name.rsplit("::").next().unwrap_or(name).as_bytes();
    let (length, rest) = record.split_first_mut()?;
    *length = u8::try_from(name.len()).ok()?;
    let (head, tail) = rest.split_at_mut_checked(name.len())?;
    head.copy_from_slice(name);
    let encoded = hubpack::serialize(tail, value).ok()?;
    record.get(..1 + name.len() + encoded)
}

/// A text record that is being written: the zero length byte that marks it as text, then at most
/// [`TEXT_MAX`] bytes.
struct Line {
    record: [u8; 1 + TEXT_MAX],
    len: usize,
    cut: bool,
}

impl Line {
    fn new() -> Self {
        Self {
            record: [0; 1 + TEXT_MAX],
            len: 1,
            cut: false,
        }
    }

    fn finish(&self) -> &[u8] {
        self.record.get(..self.len).unwrap_or(&[])
    }

    fn put(&mut self, text: &str) {
        let end = self.len + text.len();
        if let Some(place) = self.record.get_mut(self.len..end) {
            place.copy_from_slice(text.as_bytes());
            self.len = end;
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let room = self.record.len() - self.len;
        if text.len() <= room {
            self.put(text);
            return Ok(());
        }
        // The mark replaces the end of this text, or of what came before it, from a character
        // boundary on.
        self.cut = true;
        let end = self.record.len() - CUT.len();
        if self.len <= end {
            let fits = boundary(text, end - self.len);
            self.put(text.get(..fits).unwrap_or(""));
        } else {
            let before =
                core::str::from_utf8(self.record.get(1..self.len).unwrap_or(&[])).unwrap_or("");
            self.len = 1 + boundary(before, end - 1);
        }
        self.put(CUT);
        Ok(())
    }
}

/// The last character boundary of `text` up to `end`. (`str::floor_char_boundary` is newer than the
/// compiler of a stock Hubris tree.)
fn boundary(text: &str, end: usize) -> usize {
    let end = end.min(text.len());
    // A character has four bytes at most.
    let mut places = (end.saturating_sub(3)..=end).rev();
    places
        .find(|&place| text.is_char_boundary(place))
        .unwrap_or(0)
}

/// Appends a line at [`Level::Error`]: `error!(log, "format {}", argument)`.
#[macro_export]
macro_rules! error {
    ($log:expr, $($text:tt)+) => { $log.text($crate::Level::Error, ::core::format_args!($($text)+)) };
}

/// Appends a line at [`Level::Warn`].
#[macro_export]
macro_rules! warn {
    ($log:expr, $($text:tt)+) => { $log.text($crate::Level::Warn, ::core::format_args!($($text)+)) };
}

/// Appends a line at [`Level::Info`].
#[macro_export]
macro_rules! info {
    ($log:expr, $($text:tt)+) => { $log.text($crate::Level::Info, ::core::format_args!($($text)+)) };
}

/// Appends a line at [`Level::Debug`].
#[macro_export]
macro_rules! debug {
    ($log:expr, $($text:tt)+) => { $log.text($crate::Level::Debug, ::core::format_args!($($text)+)) };
}

/// Appends a line at [`Level::Trace`].
#[macro_export]
macro_rules! trace {
    ($log:expr, $($text:tt)+) => { $log.text($crate::Level::Trace, ::core::format_args!($($text)+)) };
}

/// Appends a value to the event stream: `event!(log, value)`, or `event!(log, level, value)` at
/// another level than [`Level::Info`].
#[macro_export]
macro_rules! event {
    ($log:expr, $value:expr $(,)?) => {
        $log.event($crate::Level::Info, &$value)
    };
    ($log:expr, $level:expr, $value:expr $(,)?) => {
        $log.event($level, &$value)
    };
}
