//! Streams and levels of log records.
//!
//! The clients of the recorder use these types, too: `task-crashlog-api` re-exports them. So they
//! have the traits that Idol needs of an argument that is received by `FromPrimitive`:
//! [`FromPrimitive`] in the server, zerocopy's [`IntoBytes`] and [`Immutable`] in the client that
//! upstream's Idol generates.

use num_traits::FromPrimitive;
use zerocopy::{Immutable, IntoBytes};

/// The stream of a record: it says how the payload is read. The numbers are those on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoBytes, Immutable)]
#[repr(u8)]
pub enum Stream {
    /// Bytes of a serial console, unchanged; a record is a line, or a part of a line.
    Console = 0,
    /// A task's own records: a value with the name of its type, or a line of text.
    Event = 1,
    /// Lines of text about faults. No task writes them yet.
    Fault = 2,
    /// Snapshots of ring buffers. No task writes them yet.
    Trace = 3,
    /// The boot record ([`crate::BootRecord`]) and time anchors ([`crate::TimeAnchor`]). The
    /// recorder alone writes them: it accepts no record of this stream from a task.
    Boot = 4,
}

impl Stream {
    /// All streams, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Console,
        Self::Event,
        Self::Fault,
        Self::Trace,
        Self::Boot,
    ];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Event => "event",
            Self::Fault => "fault",
            Self::Trace => "trace",
            Self::Boot => "boot",
        }
    }
}

impl TryFrom<u8> for Stream {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::Console),
            1 => Ok(Self::Event),
            2 => Ok(Self::Fault),
            3 => Ok(Self::Trace),
            4 => Ok(Self::Boot),
            other => Err(other),
        }
    }
}

/// How the recorder receives a stream from a task: [`Stream::Boot`] is none that a task may name.
impl FromPrimitive for Stream {
    #[inline]
    fn from_i64(number: i64) -> Option<Self> {
        from_number(number).filter(|stream| *stream != Self::Boot)
    }

    #[inline]
    fn from_u64(number: u64) -> Option<Self> {
        from_number(number).filter(|stream| *stream != Self::Boot)
    }
}

/// The importance of a record, most important first. The numbers are those on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoBytes, Immutable)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is wrong, and the task continues.
    Warn = 1,
    /// Normal operation that is worth knowing afterwards.
    Info = 2,
    /// Details that help to find a defect.
    Debug = 3,
    /// Every step.
    Trace = 4,
}

impl Level {
    /// All levels, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl TryFrom<u8> for Level {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::Error),
            1 => Ok(Self::Warn),
            2 => Ok(Self::Info),
            3 => Ok(Self::Debug),
            4 => Ok(Self::Trace),
            other => Err(other),
        }
    }
}

impl FromPrimitive for Level {
    #[inline]
    fn from_i64(number: i64) -> Option<Self> {
        from_number(number)
    }

    #[inline]
    fn from_u64(number: u64) -> Option<Self> {
        from_number(number)
    }
}

/// The value with this number, whatever the width of the number.
#[inline]
fn from_number<T: TryFrom<u8>, N: TryInto<u8>>(number: N) -> Option<T> {
    T::try_from(number.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_conversion() {
        for number in 0..=u8::MAX {
            assert_eq!(
                Stream::from_u8(number),
                Stream::try_from(number)
                    .ok()
                    .filter(|stream| *stream != Stream::Boot),
                "no task may name the stream of the boot record"
            );
            assert_eq!(Level::from_u8(number), Level::try_from(number).ok());
        }
        for (number, stream) in (0..).zip(Stream::ALL) {
            assert_eq!(Stream::try_from(number), Ok(stream));
            assert_eq!(stream.as_bytes(), [number]);
        }
        for (number, level) in (0..).zip(Level::ALL) {
            assert_eq!(Level::from_u8(number), Some(level));
            assert_eq!(level.as_bytes(), [number]);
        }
        // Not cut to the width of the type.
        assert_eq!(
            (Stream::from_u64(256), Stream::from_i64(-256)),
            (None, None)
        );
        assert_eq!((Level::from_u64(256), Level::from_i64(-256)), (None, None));
    }
}
