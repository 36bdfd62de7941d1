//! The words.

use core::fmt::{self, Display, Formatter, Write};

use hubris_task_names::TASK_NAMES;
use task_crashlog_api::{
    Failure, FailureStep, Reason, RecordInfo, SelfTest, SelfTestCause, SelfTestStep, State, Status,
    Unsaved, UnsavedReason,
};

/// Generated from `[tasks.crashlog.config]`.
mod recorder {
    include!(concat!(env!("OUT_DIR"), "/recorder.rs"));
}

/// Whether crashes are being saved, and why not.
pub fn state(out: &mut impl Write, status: &Status) -> fmt::Result {
    match status.state {
        State::Starting => writeln!(out, "crashlog: starting again"),
        State::Ready | State::Suspended => writeln!(
            out,
            "crashlog: ready; boot {}, {} on the card, {} and {} since it was formatted{}",
            status.boot,
            Records(status.records),
            Count(status.oopses, ["oops", "oopses"]),
            Count(status.panics, ["panic", "panics"]),
            Tested(status.self_test),
        ),
        State::RamOnly(reason) => {
            writeln!(
                out,
                "crashlog: nothing is being saved: {}{}",
                Why(reason),
                Tested(status.self_test)
            )
        }
    }
}

/// The end of the line about the start: whether the emergency path works on this hardware.
struct Tested(SelfTest);

impl Display for Tested {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            SelfTest::Off => Ok(()),
            SelfTest::PutOff => f.write_str("; no self-test, as a crash waits to be recorded"),
            SelfTest::Interrupted => f.write_str("; self-test FAILED: the recorder failed in it"),
            SelfTest::Passed {
                record,
                milliseconds,
                retries,
                code,
            } => {
                write!(f, "; self-test passed: record {record}, {milliseconds} ms")?;
                if retries > 0 {
                    write!(
                        f,
                        ", but {}, last error {code:#x}",
                        Count(retries, ["retry", "retries"])
                    )?;
                }
                Ok(())
            }
            SelfTest::Failed { step, cause, code } => write!(
                f,
                "; self-test FAILED {}: {}, error {code:#x}",
                step_name(step),
                cause_name(cause)
            ),
        }
    }
}

fn step_name(step: SelfTestStep) -> &'static str {
    match step {
        SelfTestStep::Controller => "resetting the controller",
        SelfTestStep::Card => "preparing the card",
        SelfTestStep::Locate => "locating the log",
        SelfTestStep::WriteLog => "writing log pages",
        SelfTestStep::WriteRecord => "writing the record",
        SelfTestStep::Commit => "committing the record",
        SelfTestStep::ReadBack => "reading the record back",
    }
}

fn cause_name(cause: SelfTestCause) -> &'static str {
    match cause {
        SelfTestCause::Controller => "it does not reset",
        SelfTestCause::NoCard => "no card",
        SelfTestCause::Card => "the card does not come to transfer state",
        SelfTestCause::NoPartition => "no partition of ours",
        SelfTestCause::OtherFormat => "not our format",
        SelfTestCause::Device => "card or controller failed",
        SelfTestCause::Timeout => "time was up",
        SelfTestCause::Exhausted => "no number left",
        SelfTestCause::Recorder => "the recorder failed",
        SelfTestCause::Differs => "it is not what was written",
    }
}

/// One line about the newest of `count` records.
pub fn record(out: &mut impl Write, count: u32, record: &RecordInfo) -> fmt::Result {
    write!(
        out,
        "crashlog: {} on the card, newest is {}: {} of task `{}`, {}",
        Records(count),
        record.sequence,
        Kind(record.reason),
        record.name.as_str(),
        fault(record.fault),
    )?;
    if let Some(address) = record.address {
        write!(out, " at {address:#010x}")?;
    }
    write!(
        out,
        ", boot {} after {}.{:03} s",
        record.boot,
        record.time / 1_000,
        record.time % 1_000
    )?;
    if record.repeats > 0 {
        write!(out, ", {} times again", record.repeats)?;
    }
    if record.late {
        write!(out, ", written late")?;
    }
    if record.truncated {
        write!(out, ", truncated")?;
    }
    writeln!(out)
}

/// A crash that is in retained RAM only, or is no longer.
pub fn unsaved(out: &mut impl Write, unsaved: Option<Unsaved>) -> fmt::Result {
    match unsaved {
        Some(Unsaved { task, boot }) => writeln!(
            out,
            "crashlog: a crash of task `{}` in boot {boot} is in retained RAM only",
            TASK_NAMES.get(usize::from(task)).unwrap_or(&"?"),
        ),
        None => writeln!(out, "crashlog: no crash is in retained RAM only any more"),
    }
}

/// A failure of the card or its controller.
pub fn failure(out: &mut impl Write, failure: Failure) -> fmt::Result {
    writeln!(out, "crashlog: the card failed: {}", Failed(failure))
}

/// A number of records, with its noun.
pub struct Records(pub u32);

impl Display for Records {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no record"),
            1 => f.write_str("1 record"),
            n => write!(f, "{n} records"),
        }
    }
}

struct Why(UnsavedReason);

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            UnsavedReason::NoCard => f.write_str("there is no card"),
            UnsavedReason::Unidentified(failure) => {
                write!(f, "the card does not answer as one ({})", Failed(failure))
            }
            UnsavedReason::NoPartitionTable => {
                f.write_str("the card has no valid GPT partition table")
            }
            UnsavedReason::NoPartition => {
                write!(
                    f,
                    "the card has no partition named `{}`",
                    recorder::PARTITION
                )
            }
            UnsavedReason::NotFormatted => {
                write!(
                    f,
                    "the partition `{}` is not formatted; use `crashlog format`",
                    recorder::PARTITION
                )
            }
            UnsavedReason::UnknownVersion(version) => {
                write!(f, "the partition has the unknown format version {version}")
            }
            UnsavedReason::BadGeometry => {
                f.write_str("the partition's superblock describes an impossible geometry")
            }
            UnsavedReason::Damaged => f.write_str("too much of the log on the card is damaged"),
            UnsavedReason::Exhausted => f.write_str("the format has no page number left"),
            UnsavedReason::CardFailed(failure) => {
                write!(f, "the card failed: {}", Failed(failure))
            }
        }
    }
}

struct Failed(Failure);

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let step = match self.0.step {
            FailureStep::Identify => "identifying it",
            FailureStep::Mount => "locating the log on it",
            FailureStep::WritePages => "writing log pages",
            FailureStep::WriteRecord => "writing a record",
            FailureStep::Read => "reading",
            FailureStep::Erase => "erasing a record",
            FailureStep::Emergency => "the emergency write of the boot before",
            FailureStep::Suspend => "suspending it",
        };
        write!(f, "{step}, error {:#x}", self.0.code)
    }
}

/// A number, and what there are so many of: one, several.
struct Count(u32, [&'static str; 2]);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(count, [one, several]) = *self;
        write!(f, "{count} {}", if count == 1 { one } else { several })
    }
}

struct Kind(Reason);

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Reason::Oops => "oops",
            Reason::Panic => "panic",
            Reason::Kernel => "kernel failure",
            Reason::SelfTest => "self-test",
        })
    }
}

/// What a task did, by the variant index of `abi::FaultInfo` (interface section 1.3).
fn fault(variant: u8) -> &'static str {
    match variant {
        0 => "memory access",
        1 => "stack overflow",
        2 => "bus error",
        3 => "division by zero",
        4 => "illegal text",
        5 => "illegal instruction",
        6 => "invalid operation",
        7 => "wrong use of a system call",
        8 => "panic",
        9 => "fault injected",
        10 => "fault by a server's reply",
        _ => "unknown fault",
    }
}
