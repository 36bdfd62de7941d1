//! What the recorder reports about itself and about the crashes on its card.
//!
//! These types travel in replies, encoded by [`hubpack`]: an enum by the index of its variant, a
//! structure field by field. The order of variants and fields is therefore part of the interface.
//! So are the names [`RecorderStatus`] and [`CrashInfo`]: Humility finds the type of a reply by its
//! name, so no other structure and no variant of an enum may have the same one in any program
//! (`./x check-archive`).

use crashlog_format::BootEnd;
use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};

/// What the recorder is doing.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum RecorderState {
    /// The card is being identified and the log on it located. Log records are accepted into
    /// retained RAM.
    Starting,
    /// Log records and crashes are written to the card.
    Ready,
    /// Nothing is written to the card, for this reason. Log records and crashes stay in retained
    /// RAM.
    RamOnly(UnsavedReason),
    /// Card and controller are suspended. Any operation that needs the card resumes them.
    Suspended,
    /// The card has a log that can be read, and nothing is written to it, for this reason. Log
    /// records and crashes stay in retained RAM.
    ReadOnly(ReadOnlyReason),
}

/// Why a log that can be read is not written.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum ReadOnlyReason {
    /// The primary partition table is damaged, and the first block of the card is neither blank nor
    /// that of a GPT: the card was made anew.
    MadeAnew,
    /// Several partitions have the configured name and the recorder's type.
    Ambiguous,
    /// The partition lies outside the blocks that its table gives to partitions, or the card has
    /// not all of it.
    OutOfBounds,
    /// The partition has blocks of the partition table, or of another partition.
    Overlaps,
    /// The partition's attributes say that it is read-only.
    Attribute,
    /// The partition table is of a larger card.
    LargerCard,
    /// The superblock states another place than the partition table.
    OtherPlace,
    /// The superblock states no place.
    NoPlace,
    /// One superblock and both ledgers are damaged.
    NoWitness,
}

/// Why nothing is being saved.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum UnsavedReason {
    /// The slot is empty.
    NoCard,
    /// There is a card, but its identification failed.
    Unidentified(DeviceFailure),
    /// The card has no partition table.
    NoPartitionTable,
    /// The card has a partition table without the configured partition.
    NoPartition,
    /// The partition was never formatted for the recorder, or both copies of its superblock are
    /// lost.
    NotFormatted,
    /// The partition has a format of this version, which this recorder does not know.
    UnknownVersion(u32),
    /// The format's geometry breaks a rule, or does not fit the partition; or the card has not the
    /// blocks of the partition.
    BadGeometry,
    /// So much on the partition is damaged that the end of the log cannot be found.
    Damaged,
    /// Every sequence number that a page of the log can have was used.
    Exhausted,
    /// The card failed while the log on it was being located, or later.
    CardFailed(DeviceFailure),
    /// Both copies of the partition table are damaged.
    TableDamaged,
    /// The partition table has this number of entries; at most 256 are read.
    TableTooLong(u32),
    /// The partition table has entries of this length in bytes; only 128 are read.
    TableEntries(u32),
    /// The card has a partition table for blocks of 4096 bytes.
    LargeBlocks,
}

/// The step in which the card or the controller failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum FailureStep {
    /// Reset and clock of the controller, identification of the card.
    Identify,
    /// Partition table, superblock, end of the log, crash slots.
    Mount,
    /// Writing pages of the stream ring.
    WritePages,
    /// Writing a crash.
    WriteCrash,
    /// Reading a crash or a page.
    Read,
    /// Erasing a crash.
    Erase,
    /// The emergency write of the previous boot.
    Emergency,
    /// Suspending or resuming the card.
    Suspend,
}

/// A failure of the card or the controller.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct DeviceFailure {
    /// The step that failed.
    pub step: FailureStep,
    /// The device driver's error code.
    pub code: u32,
}

/// A crash that is in retained RAM and not on the card.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct UnsavedCrash {
    /// Index of the task that failed.
    pub task: u16,
    /// The boot in which it failed, counted as [`RecorderStatus::boot`].
    pub boot: u32,
}

/// Result of the self-test of the emergency path, which runs at the start of a boot.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SelfTestReport {
    /// It is not configured.
    Off,
    /// It was skipped, because a crash in retained RAM had to be written first.
    PutOff,
    /// It did not finish: the recorder failed during the test and was restarted.
    Interrupted,
    /// The emergency path wrote a crash that is marked as a test, and the same was read back.
    Passed {
        /// Sequence number of the crash that was written.
        sequence: u32,
        /// Duration of writing and reading in milliseconds.
        milliseconds: u32,
        /// Commands that had to be repeated.
        retries: u32,
        /// The device driver's code of the last error from which it recovered; 0 if there was none.
        /// An error without a retry comes from recovering the card: a card does not answer at first
        /// after a reset, for instance.
        code: u32,
    },
    /// It failed.
    Failed {
        /// The step that failed.
        step: SelfTestStep,
        /// Why it failed.
        cause: SelfTestCause,
        /// The device driver's error code; 0 if the device did not fail. With
        /// [`SelfTestCause::Differs`]: 0x100 crash not found, 0x101 not named by the ledger, 0x102
        /// header differs, 0x110 + n checksum of segment n, 0x120 + n bytes of block n.
        code: u32,
    },
}

/// A step of the self-test, in order.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SelfTestStep {
    /// The controller is reset.
    Controller,
    /// The card is brought to transfer state.
    Card,
    /// The partition, and the log in it, are located.
    Locate,
    /// Log records from retained RAM are written.
    WriteLog,
    /// The crash is written and flushed.
    WriteCrash,
    /// The ledger that names the crash is written and flushed.
    Commit,
    /// Everything is read back and compared.
    ReadBack,
}

impl SelfTestStep {
    /// Every step, in order.
    pub const ALL: [Self; 7] = [
        Self::Controller,
        Self::Card,
        Self::Locate,
        Self::WriteLog,
        Self::WriteCrash,
        Self::Commit,
        Self::ReadBack,
    ];

    /// The step with this number, counted from 0; [`Self::ReadBack`] for a number that is too
    /// large.
    pub fn from_number(number: u32) -> Self {
        let known = Self::ALL.into_iter().find(|step| *step as u32 == number);
        known.unwrap_or(Self::ReadBack)
    }
}

/// Why a step of the self-test failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SelfTestCause {
    /// The controller's reset did not complete.
    Controller,
    /// There is no card.
    NoCard,
    /// The card could not be brought to transfer state.
    Card,
    /// The card has no partition of the recorder. Nothing was written to it.
    NoPartition,
    /// The partition is not formatted, or not in the expected format. Nothing was written to it.
    OtherFormat,
    /// The card or the controller failed while reading or writing.
    Device,
    /// The deadline passed.
    Timeout,
    /// The format has no sequence number left.
    Exhausted,
    /// The recorder itself failed.
    Recorder,
    /// What was read back is not what was written.
    Differs,
    /// The card has a partition of the recorder that is not to be written. Nothing was.
    NotWritable,
}

/// Status of the recorder. Counts saturate.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct RecorderStatus {
    /// What the recorder is doing, and why it does not save if it does not.
    pub state: RecorderState,
    /// Number of this boot since the card was formatted, or since power-on while there is no card.
    pub boot: u32,
    /// Crashes on the card that are not erased.
    pub crashes: u32,
    /// Sequence number of the newest crash on the card.
    pub newest_crash: Option<u32>,
    /// Faults that restarted one task, since the card was formatted.
    pub oopses: u32,
    /// Faults that restarted the system, since the card was formatted.
    pub panics: u32,
    /// Sequence number of the newest log record accepted in this boot; 0 if there is none.
    pub accepted: u32,
    /// Sequence number up to which all log records of this boot are durable.
    pub durable: u32,
    /// Log records that clients dropped in this boot, as they reported it.
    pub lost: u32,
    /// Bytes of the log ring that hold records which are not durable yet.
    pub ring_used: u32,
    /// Size of the log ring in bytes.
    pub ring_size: u32,
    /// Pages of the stream ring written in this boot.
    pub pages_written: u32,
    /// Sequence number of the newest page of the stream ring on the card.
    pub newest_page: Option<u32>,
    /// The last failure of the card or controller in this boot.
    pub last_failure: Option<DeviceFailure>,
    /// Would an emergency write now know where the partition is, without a search?
    pub emergency_ready: bool,
    /// Sequence number of the crash that an earlier boot left in retained RAM and this boot wrote.
    pub late_crash: Option<u32>,
    /// A crash that is still in retained RAM only.
    pub unsaved: Option<UnsavedCrash>,
    /// Result of the self-test of the emergency path.
    pub self_test: SelfTestReport,
    /// Crashes on the card that are unread: not acknowledged by `acknowledge_crash`. To list or to
    /// read a crash does not acknowledge it. 0 as long as `state` is [`RecorderState::Starting`]:
    /// the card is not known yet.
    pub unread: u32,
}

/// How a boot ended. Tasks are named by their index in the image of that boot.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum BootEnding {
    /// It is not known, or the boot has not ended.
    NotKnown,
    /// This task asked for a restart.
    Restart(u16),
    /// This task crashed, and the system was reset for that.
    Crash(u16),
    /// The kernel or the supervisor failed.
    Kernel,
    /// The hardware watchdog reset the system, and no crash was described.
    Watchdog,
    /// Power was lost: retained RAM did not survive.
    PowerLost,
    /// A reset from outside: retained RAM survived, and nothing in the system asked for a reset.
    Outside,
}

impl From<BootEnd> for BootEnding {
    fn from(end: BootEnd) -> Self {
        match end {
            BootEnd::NotKnown => Self::NotKnown,
            BootEnd::Restart(task) => Self::Restart(task),
            BootEnd::Crash(task) => Self::Crash(task),
            BootEnd::Kernel => Self::Kernel,
            BootEnd::Watchdog => Self::Watchdog,
            BootEnd::PowerLost => Self::PowerLost,
            BootEnd::Outside => Self::Outside,
        }
    }
}

/// What failed in a crash.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum CrashKind {
    /// One task failed and was restarted.
    Oops,
    /// A task failed and the system was restarted.
    Panic,
    /// The kernel or the supervisor failed.
    Kernel,
    /// Nothing failed: this was written by the self-test.
    SelfTest,
}

/// Name of a task, cut to 24 bytes of UTF-8.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct TaskName {
    bytes: [u8; 24],
}

impl TaskName {
    /// Takes the name from zero-padded bytes; everything from the first zero on is ignored.
    pub fn new(bytes: [u8; 24]) -> Self {
        Self { bytes }
    }

    /// The name; empty if it is not UTF-8.
    pub fn as_str(&self) -> &str {
        let name = self.bytes.split(|&byte| byte == 0).next().unwrap_or(&[]);
        core::str::from_utf8(name).unwrap_or("")
    }
}

/// A crash on the card.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct CrashInfo {
    /// Sequence number since the card was formatted; never used twice.
    pub sequence: u32,
    /// What failed.
    pub kind: CrashKind,
    /// Was it written after the restart, from retained RAM?
    pub late: bool,
    /// Was a segment cut, because it had no room?
    pub truncated: bool,
    /// The task that failed, by its index in the image of that boot.
    pub task: u16,
    /// Its name.
    pub name: TaskName,
    /// The fault, as the variant index of `FaultInfo` in Hubris' ABI; from 0x80 on, what the
    /// supervisor has found: 0x80 a hang, 0x81 a wait, 0x82 a task that is not alive.
    pub fault: u8,
    /// The address of the fault, where it has one.
    pub address: Option<u32>,
    /// The boot in which it failed, counted since the card was formatted.
    pub boot: u32,
    /// When it failed, in milliseconds since the start of that boot.
    pub time: u64,
    /// How often the same fault of the same task at the same place was repeated.
    pub repeats: u32,
    /// Number of segments that `read_crash` can read.
    pub segments: u32,
}
