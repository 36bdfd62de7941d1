//! What the recorder says about itself and about the records on its card.

use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};

/// What the recorder is doing.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum State {
    /// The card is being identified and the log on it located. Records are accepted.
    Starting,
    /// Records go to the card.
    Ready,
    /// Records stay in RAM: nothing is being saved, for the reason given. A crash is kept in retained RAM.
    RamOnly(UnsavedReason),
    /// Card and controller are asleep; any operation wakes them.
    Suspended,
}

/// Why nothing is being saved.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum UnsavedReason {
    /// The slot is empty.
    NoCard,
    /// There is a card, but it did not answer as one.
    Unidentified(Failure),
    /// The card has no partition table that holds together.
    NoPartitionTable,
    /// The card has a partition table without the configured partition.
    NoPartition,
    /// The partition was never formatted for the recorder, or both copies of its superblock are damaged.
    NotFormatted,
    /// The partition has a format of this version, which this recorder does not know.
    UnknownVersion(u32),
    /// The format's geometry breaks a rule, or does not fit the partition.
    BadGeometry,
    /// So much on the partition is damaged that the end of the log cannot be found.
    Damaged,
    /// Every number that a page of the log can have was used.
    Exhausted,
    /// The card failed while the log on it was being located, or since.
    CardFailed(Failure),
}

/// The step in which the card or the controller failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum FailureStep {
    /// Reset and clock of the controller, identification of the card.
    Identify,
    /// Partition table, superblock, ends of the streams, record slots.
    Mount,
    /// Pages of the stream ring.
    WritePages,
    /// A crash record.
    WriteRecord,
    /// Reading a record or a page.
    Read,
    /// Erasing a record.
    Erase,
    /// The emergency write of the previous boot.
    Emergency,
    /// Suspending the card, or resuming it.
    Suspend,
}

/// A failure of the card or the controller.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct Failure {
    /// What was being done.
    pub step: FailureStep,
    /// The device driver's error code.
    pub code: u32,
}

/// A crash whose record is not on the card.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct Unsaved {
    /// The task that failed, by index.
    pub task: u16,
    /// The boot in which it failed.
    pub boot: u32,
}

/// What came of the self-test of the emergency path, at the start of this boot.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SelfTest {
    /// It is not configured.
    Off,
    /// A crash waited to be recorded, and comes first: nothing was tested.
    PutOff,
    /// It did not end: the recorder failed in it, and was restarted.
    Interrupted,
    /// A record was written by the emergency path and read back whole.
    Passed {
        /// Its number.
        record: u32,
        /// Milliseconds that writing and reading took.
        milliseconds: u32,
        /// Commands that had to be tried again.
        retries: u32,
        /// The device driver's code of the last error that was got over; 0 if there was none. One without a retry is
        /// from bringing the card back: one that a reset has put out, for instance, does not answer at first.
        code: u32,
    },
    /// It failed.
    Failed {
        /// What was being done.
        step: SelfTestStep,
        /// Why it did not work.
        cause: SelfTestCause,
        /// The device driver's error code; 0 if the device did not fail. Where what was read back differs: 0x100 not
        /// found, 0x101 not named by the ledger, 0x102 header, 0x110 and more checksum of a segment, 0x120 and more
        /// bytes of a block.
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
    /// Log records that were in retained RAM are written.
    WriteLog,
    /// The record is written and flushed.
    WriteRecord,
    /// The ledger that names it is written and flushed.
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
        Self::WriteRecord,
        Self::Commit,
        Self::ReadBack,
    ];

    /// The step with this number, from 0; the last one if there are not so many.
    pub fn from_number(number: u32) -> Self {
        let known = Self::ALL.into_iter().find(|step| *step as u32 == number);
        known.unwrap_or(Self::ReadBack)
    }
}

/// Why a step of the self-test did not work.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SelfTestCause {
    /// The controller does not come out of its reset.
    Controller,
    /// There is no card.
    NoCard,
    /// The card could not be brought to transfer state.
    Card,
    /// There is no partition of ours on the card. It was not written.
    NoPartition,
    /// The partition is not formatted, or not in the format that was expected. It was not written.
    OtherFormat,
    /// The card or the controller failed while reading or writing.
    Device,
    /// The time was up.
    Timeout,
    /// The format has no number left.
    Exhausted,
    /// The recorder itself failed.
    Recorder,
    /// What was read back is not what was written.
    Differs,
}

/// State of the recorder. Counts are saturating.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct Status {
    /// What it is doing, and why not if it does not save.
    pub state: State,
    /// Number of this boot since the card was formatted, or since power-on while there is no card.
    pub boot: u32,
    /// Records on the card that are not erased.
    pub records: u32,
    /// Sequence number of the newest record.
    pub newest_record: Option<u32>,
    /// Faults that restarted one task, since the card was formatted.
    pub oopses: u32,
    /// Faults that restarted the system, since the card was formatted.
    pub panics: u32,
    /// Sequence number of the newest log record accepted in this boot; 0 is none.
    pub accepted: u32,
    /// Sequence number up to which all log records of this boot are durable.
    pub durable: u32,
    /// Log records that their senders had to drop in this boot, as they reported it.
    pub lost: u32,
    /// Bytes of retained RAM that hold records which are not durable yet.
    pub ring_used: u32,
    /// Bytes of retained RAM for records.
    pub ring_size: u32,
    /// Pages of the stream ring written in this boot.
    pub pages_written: u32,
    /// Sequence number of the newest page of the stream ring on the card.
    pub newest_page: Option<u32>,
    /// The last failure of the card or controller in this boot.
    pub last_failure: Option<Failure>,
    /// Is a polled emergency write possible now?
    pub emergency_ready: bool,
    /// Record of an earlier boot's crash that this boot found in retained RAM and wrote late.
    pub late_record: Option<u32>,
    /// A crash that is still in retained RAM only.
    pub unsaved: Option<Unsaved>,
    /// What came of the self-test of the emergency path.
    pub self_test: SelfTest,
}

/// What a record is about.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum Reason {
    /// One task failed and was restarted.
    Oops,
    /// A task failed and the system was restarted.
    Panic,
    /// The kernel or the supervisor failed.
    Kernel,
    /// Nothing: the recorder tried its emergency path.
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

/// A record on the card.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub struct RecordInfo {
    /// Sequence number since the card was formatted; never used twice.
    pub sequence: u32,
    /// What it is about.
    pub reason: Reason,
    /// Was it written after the restart, from retained RAM?
    pub late: bool,
    /// Did something have to be cut?
    pub truncated: bool,
    /// The task that failed, by index in the image of that boot.
    pub task: u16,
    /// Its name.
    pub name: TaskName,
    /// What it did, as the variant index of `FaultInfo` in the ABI.
    pub fault: u8,
    /// The address of the fault, where it has one.
    pub address: Option<u32>,
    /// The boot it failed in, counted since the card was formatted.
    pub boot: u32,
    /// When, in milliseconds since the start of that boot.
    pub time: u64,
    /// How often the same fault of the same task at the same place came again.
    pub repeats: u32,
    /// Segments that `read_record` can read.
    pub segments: u32,
}
