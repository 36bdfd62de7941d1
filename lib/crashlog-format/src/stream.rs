//! Streams and levels of log records.

/// What kind of record it is, and so how its payload is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// Bytes of text, as a serial console or a log macro produces them.
    Console = 0,
    /// A task's own typed record: length and name of the type, then its hubpack bytes.
    Event = 1,
    /// Something about a fault, by the supervisor.
    Fault = 2,
    /// A snapshot of a ring buffer.
    Trace = 3,
}

impl Stream {
    /// Every stream, by its number.
    pub const ALL: [Self; 4] = [Self::Console, Self::Event, Self::Fault, Self::Trace];

    /// Its name as a command line or a report writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Event => "event",
            Self::Fault => "fault",
            Self::Trace => "trace",
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
            other => Err(other),
        }
    }
}

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is not as it should be.
    Warn = 1,
    /// Worth knowing in normal operation.
    Info = 2,
    /// For whoever looks for a mistake.
    Debug = 3,
    /// Every step.
    Trace = 4,
}

impl Level {
    /// Every level, by its number.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// Its name as a command line or a report writes it.
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
