//! The operations during which the sweeps crash the system.

use crate::sabotage::{APP, CLOCK_OFF, Failing, POWER_OFF, Work};

/// More ticks than any operation takes.
pub const NEVER: u32 = 1 << 24;
/// The operation during which the saboteur strikes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The start of the system, up to the recorder being ready.
    Start,
    /// Work of the recorder's client.
    Work(Work),
    /// Work of the recorder's client, with controller and card suspended at its start.
    Resume(Work),
}

/// Who fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The saboteur, which restarts the system.
    Another,
    /// The recorder.
    Recorder,
}

pub const OOPS: Work = Work::Fail {
    fatal: false,
    how: Failing::AFTER,
};

pub const PANIC: Work = Work::Fail {
    fatal: true,
    how: Failing::TEXT,
};

/// Name, application and operation of each sweep. Each is run twice: another task fails, or the
/// recorder.
pub const OPERATIONS: [(&str, &str, Operation); 10] = [
    ("start", APP, Operation::Start),
    ("append", APP, Operation::Work(Work::Append(12))),
    ("flush", APP, Operation::Work(Work::Flush(5))),
    ("oops", APP, Operation::Work(OOPS)),
    ("read", APP, Operation::Work(Work::Read)),
    ("emergency", APP, Operation::Work(PANIC)),
    ("resume-clock", CLOCK_OFF, Operation::Resume(Work::Flush(5))),
    ("emergency-clock-off", CLOCK_OFF, Operation::Resume(PANIC)),
    ("resume-power", POWER_OFF, Operation::Resume(Work::Flush(5))),
    ("emergency-power-off", POWER_OFF, Operation::Resume(PANIC)),
];
