//! What the application is to do, and what its client reports: the words in the memory of
//! `test/tasks/load` and `test/tasks/saboteur`.

/// Indices of tasks of the application.
pub mod task {
    /// The recorder.
    pub const CRASHLOG: u32 = 1;
    /// The task that strikes.
    pub const SABOTEUR: u32 = 2;
    /// A task that is restarted alone when it fails.
    pub const VICTIM: u32 = 3;
    /// A task whose failure restarts the system.
    pub const FATAL: u32 = 4;
    /// The least important task.
    pub const IDLE: u32 = 6;
}

/// What the client of the recorder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Appends this many log records of 64 bytes, and waits until a page of them is on the card.
    Append(u32),
    /// Appends this many, then flushes; the time of the strike counts from the flush on.
    Flush(u32),
    /// Makes a task fail: `victim`, which is restarted alone, or `fatal`.
    Fail {
        /// Whether it is `fatal`.
        fatal: bool,
        /// How it fails.
        how: Failing,
    },
    /// Reads the first crash and the newest page of the log.
    Read,
    /// Erases the crash with this number.
    Erase(u32),
    /// Sleeps for this many milliseconds.
    Sleep(u32),
    /// Says that it is this time: milliseconds of UTC since 1970.
    SetTime(u64),
    /// Asks how the boot ended that was so many boots ago, and appends a record that says it:
    /// `end `, the first letter of the kind in lower case, and the task as a digit.
    TellEnd(u32),
}

/// How a task fails: an operation of the task `assist`, and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing(pub u32, pub [u32; 3]);

impl Failing {
    /// A store to an address that is not mapped for the task.
    pub const STORE: Self = Self(6, [0xdead_bee0, 1, 0]);
    /// A load from address 0.
    pub const NULL: Self = Self(5, [0, 0, 0]);
    /// A call of an address that is not executable.
    pub const TEXT: Self = Self(7, [0x8080_0001, 0, 0]);
    /// Endless recursion.
    pub const STACK: Self = Self(8, [0, 0, 0]);
    /// `panic!`.
    pub const PANIC: Self = Self(9, [0, 0, 0]);
    /// An undefined instruction.
    pub const UNDEFINED: Self = Self(10, [0, 0, 0]);
    /// A system call that does not exist.
    pub const SYSTEM_CALL: Self = Self(4, [99, 0, 0]);
    /// The same, but the task answers the client before, so that the client need not wait for the
    /// restart.
    pub const AFTER: Self = Self(22, [99, 0, 0]);
    /// An endless loop without calls.
    pub const HANG_COMPUTES: Self = Self(25, [0, 0, 0]);
    /// An endless loop with system calls that do not wait, of `fatal`.
    pub const HANG_CALLS_THE_KERNEL: Self = Self(25, [1, task::FATAL, 0]);
    /// An endless loop with messages to a server that answers at once.
    pub const HANG_CALLS_A_SERVER: Self = Self(25, [2, task::SABOTEUR, 0]);
    /// An endless loop in which it sleeps.
    pub const POLLS: Self = Self(25, [3, 0, 0]);
    /// The same; for 3 s it says that it is alive.
    pub const POLLS_ALIVE: Self = Self(25, [4, 0, 0]);
    /// `fatal` waits for `victim`, which sleeps.
    pub const WAIT: Self = Self(11, [task::VICTIM, 21, 0]);
    /// `fatal` waits for `victim`, which waits for it.
    pub const DEADLOCK: Self = Self(28, [task::VICTIM, task::FATAL, 0]);
    /// A message to the recorder with an unknown operation.
    pub const REPLY_FAULT: Self = Self(11, [task::CRASHLOG, 0x7fff, 0]);
}

/// What the saboteur does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Stores to this address, which is not mapped for it.
    Store(u32),
    /// Jumps to this address, which is not mapped for it. To the recorder each address is another
    /// crash.
    Jump(u32),
    /// Injects a fault into the task with this index.
    Fault(u32),
    /// Injects a fault into that task, then fails itself.
    FaultBoth(u32),
    /// Panics.
    Panic,
    /// Registers the register at this address to be saved with a crash.
    Register(u32),
    /// Panics with a text that has this number in it.
    PanicWith(u32),
    /// Injects faults into the task with this index, twelve in a row, then resets the system.
    FaultAndReset(u32),
    /// Restarts the task with this index, as the supervisor does.
    Restart(u32),
    /// Asks the supervisor for a reset of the system.
    RequestReset,
    /// Asks the kernel for it.
    Reset,
}

/// What the client knows of the recorder in this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of the last log record that was accepted.
    pub accepted: u32,
    /// Number up to which all log records are durable.
    pub durable: u32,
    /// State of the recorder.
    pub state: RecorderState,
    /// Crashes on the card.
    pub crashes: u32,
    /// Code of the client's last error; 0 is none.
    pub error: u32,
    /// Whether the recorder says that its slot is empty.
    pub no_card: bool,
}

/// State of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecorderState {
    /// Not reported yet.
    Unknown,
    /// It identifies and mounts its card.
    Starting,
    /// It writes to the card.
    Ready,
    /// It has no usable card and keeps everything in RAM.
    RamOnly,
    /// Card and controller are suspended.
    Suspended,
}

impl Work {
    /// The words in the client's memory, with the ticks to the strike.
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
            Self::TellEnd(boots_ago) => [8, ticks, boots_ago, 0, 0, 0, 0],
            Self::SetTime(utc_ms) => [7, ticks, utc_ms as u32, (utc_ms >> 32) as u32, 0, 0, 0],
        }
    }
}

impl Deed {
    /// The words in the saboteur's memory.
    pub(super) fn words(self) -> [u32; 2] {
        match self {
            Self::Nothing => [0, 0],
            Self::Store(address) => [1, address],
            Self::Fault(task) => [2, task],
            Self::FaultBoth(task) => [3, task],
            Self::Panic => [4, 0],
            Self::Register(address) => [6, address],
            Self::Jump(address) => [5, address | 1],
            Self::Restart(task) => [7, task],
            Self::RequestReset => [8, 0],
            Self::Reset => [9, 0],
            Self::PanicWith(number) => [10, number],
            Self::FaultAndReset(task) => [11, task],
        }
    }
}

impl RecorderState {
    /// The state with this code of the client.
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
