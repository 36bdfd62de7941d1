//! What the application is told to do, and what its client has seen: the words of `test/tasks/load` and `test/tasks/saboteur`.

/// Indices of tasks of the application.
pub mod task {
    /// The flight recorder.
    pub const CRASHLOG: u32 = 1;
    /// The task that strikes.
    pub const SABOTEUR: u32 = 2;
    /// A task that is restarted when it fails.
    pub const VICTIM: u32 = 3;
    /// A task whose failure takes the system down.
    pub const FATAL: u32 = 4;
}

/// What the client of the recorder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Appends so many records of 64 bytes, and waits until a page of them is on the card.
    Append(u32),
    /// Appends so many, then flushes; time runs from the flush on.
    Flush(u32),
    /// Has a task fail: `victim`, which is restarted, or `fatal`.
    Fail {
        /// `fatal` or `victim`?
        fatal: bool,
        /// How.
        how: Failing,
    },
    /// Reads the first crash record and the newest page of the log.
    Read,
    /// Erases the crash record with this number.
    Erase(u32),
    /// Sleeps for so many milliseconds.
    Sleep(u32),
}

/// How a task fails: operation of the task `assist`, and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing(pub u32, pub [u32; 3]);

impl Failing {
    /// A store to an address where nothing is mapped for the task.
    pub const STORE: Self = Self(6, [0xdead_bee0, 1, 0]);
    /// A load from address 0.
    pub const NULL: Self = Self(5, [0, 0, 0]);
    /// A call of an address that may not be executed.
    pub const TEXT: Self = Self(7, [0x8080_0001, 0, 0]);
    /// Endless recursion.
    pub const STACK: Self = Self(8, [0, 0, 0]);
    /// `panic!`.
    pub const PANIC: Self = Self(9, [0, 0, 0]);
    /// An undefined instruction.
    pub const UNDEFINED: Self = Self(10, [0, 0, 0]);
    /// A system call that does not exist.
    pub const SYSTEM_CALL: Self = Self(4, [99, 0, 0]);
    /// The same, but the client is answered before: it does not have to wait until the task is restarted.
    pub const AFTER: Self = Self(22, [99, 0, 0]);
    /// A message to the recorder with an operation that it does not have.
    pub const REPLY_FAULT: Self = Self(11, [task::CRASHLOG, 0x7fff, 0]);
}

/// What the saboteur does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing; we do it.
    Nothing,
    /// Stores to this address, where nothing is mapped for it.
    Store(u32),
    /// Jumps to this address, where nothing is mapped for it. Each address is another crash to the recorder.
    Jump(u32),
    /// Faults the task with this index.
    Fault(u32),
    /// Faults that task, then itself.
    FaultBoth(u32),
    /// Panics.
    Panic,
}

/// What the client has seen of the recorder in this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of the last record that was accepted.
    pub accepted: u32,
    /// Number up to which all are durable.
    pub durable: u32,
    /// State of the recorder.
    pub state: RecorderState,
    /// Crash records on the card.
    pub records: u32,
    /// Code of the client's last error; 0 is none.
    pub error: u32,
    /// The recorder says that its slot is empty.
    pub no_card: bool,
}

/// State of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecorderState {
    /// It has not said.
    Unknown,
    /// It looks for its card.
    Starting,
    /// It writes to the card.
    Ready,
    /// It keeps everything in RAM.
    RamOnly,
    /// Card and controller are asleep.
    Suspended,
}

impl Work {
    /// What the client finds, with the ticks to the strike.
    pub(super) fn words(self, ticks: u32) -> [u32; 7] {
        match self {
            Self::Append(count) => [1, ticks, count, 0, 0, 0, 0],
            Self::Flush(count) => [2, ticks, count, 0, 0, 0, 0],
            Self::Fail {
                fatal,
                how: Failing(operation, [a, b, c]),
            } => [3, ticks, fatal.into(), operation, a, b, c],
            Self::Read => [4, ticks, 0, 0, 0, 0, 0],
            Self::Erase(sequence) => [5, ticks, sequence, 0, 0, 0, 0],
            Self::Sleep(milliseconds) => [6, ticks, milliseconds, 0, 0, 0, 0],
        }
    }
}

impl Deed {
    /// What the saboteur finds.
    pub(super) fn words(self) -> [u32; 2] {
        match self {
            Self::Nothing => [0, 0],
            Self::Store(address) => [1, address],
            Self::Fault(task) => [2, task],
            Self::FaultBoth(task) => [3, task],
            Self::Panic => [4, 0],
            Self::Jump(address) => [5, address | 1],
        }
    }
}

impl RecorderState {
    /// As the client has it.
    pub(super) fn of(code: u32) -> Self {
        match code {
            1 => Self::Starting,
            2 => Self::Ready,
            3 => Self::RamOnly,
            4 => Self::Suspended,
            _ => Self::Unknown,
        }
    }
}
