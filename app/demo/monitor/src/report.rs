//! The wording of the lines.

use core::fmt::{self, Display, Formatter, Write};

use hubris_task_names::TASK_NAMES;
use task_crashlog_api::{
    CrashInfo, CrashKind, DeviceFailure, FailureStep, ReadOnlyReason, RecorderState,
    RecorderStatus, SelfTestCause, SelfTestReport, SelfTestStep, UnsavedCrash, UnsavedReason,
};

/// Generated from `[tasks.crashlog.config]` of app.toml.
mod recorder {
    include!(concat!(env!("OUT_DIR"), "/recorder.rs"));
}

/// Prints whether crashes are being saved, and why not.
pub fn state(out: &mut impl Write, status: &RecorderStatus) -> fmt::Result {
    match status.state {
        RecorderState::Starting => writeln!(out, "crashlog: starting again"),
        RecorderState::Ready | RecorderState::Suspended => writeln!(
            out,
            "crashlog: ready; boot {}, {} on the card, {} and {} since it was formatted{}",
            status.boot,
            Crashes(status.crashes),
            Count(status.oopses, ["oops", "oopses"]),
            Count(status.panics, ["panic", "panics"]),
            Tested(status.self_test),
        ),
        RecorderState::ReadOnly(reason) => writeln!(
            out,
            "crashlog: nothing is being saved: {}; {} on the card",
            why_not_written(reason),
            Crashes(status.crashes),
        ),
        RecorderState::RamOnly(reason) => {
            writeln!(
                out,
                "crashlog: nothing is being saved: {}{}",
                Why(reason),
                Tested(status.self_test)
            )
        }
    }
}

/// The end of the line about the start: the result of the self-test of the emergency path.
struct Tested(SelfTestReport);

impl Display for Tested {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            SelfTestReport::Off => Ok(()),
            SelfTestReport::PutOff => {
                f.write_str("; no self-test, as a crash waits to be recorded")
            }
            SelfTestReport::Interrupted => {
                f.write_str("; self-test FAILED: the recorder failed in it")
            }
            SelfTestReport::Passed {
                sequence,
                milliseconds,
                retries,
                code,
            } => {
                write!(
                    f,
                    "; self-test passed: crash record {sequence}, {milliseconds} ms"
                )?;
                if retries > 0 {
                    write!(
                        f,
                        ", but {}, last error {code:#x}",
                        Count(retries, ["retry", "retries"])
                    )?;
                }
                Ok(())
            }
            SelfTestReport::Failed { step, cause, code } => write!(
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
        SelfTestStep::WriteCrash => "writing the crash record",
        SelfTestStep::Commit => "committing the crash record",
        SelfTestStep::ReadBack => "reading the crash record back",
    }
}

fn cause_name(cause: SelfTestCause) -> &'static str {
    match cause {
        SelfTestCause::Controller => "its reset did not complete",
        SelfTestCause::NoCard => "no card",
        SelfTestCause::Card => "the card does not come to transfer state",
        SelfTestCause::NoPartition => "no partition of the recorder",
        SelfTestCause::OtherFormat => "not the format of the recorder",
        SelfTestCause::Device => "card or controller failed",
        SelfTestCause::Timeout => "time was up",
        SelfTestCause::Exhausted => "no sequence number left",
        SelfTestCause::Recorder => "the recorder failed",
        SelfTestCause::Differs => "it is not what was written",
        SelfTestCause::NotWritable => "the partition is not to be written",
    }
}

/// Prints a line about the newest of `count` crashes.
pub fn crash(out: &mut impl Write, count: u32, crash: &CrashInfo) -> fmt::Result {
    write!(
        out,
        "crashlog: {} on the card, newest is {}: {} of task `{}`, {}",
        Crashes(count),
        crash.sequence,
        Kind(crash.kind),
        crash.name.as_str(),
        fault(crash.fault),
    )?;
    if let Some(address) = crash.address {
        write!(out, " at {address:#010x}")?;
    }
    write!(
        out,
        ", boot {} after {}.{:03} s",
        crash.boot,
        crash.time / 1_000,
        crash.time % 1_000
    )?;
    if crash.repeats > 0 {
        write!(out, ", {} times again", crash.repeats)?;
    }
    if crash.late {
        write!(out, ", written late")?;
    }
    if crash.truncated {
        write!(out, ", truncated")?;
    }
    writeln!(out)
}

/// Prints that a crash is in retained RAM only, or that this is no longer so.
pub fn unsaved(out: &mut impl Write, unsaved: Option<UnsavedCrash>) -> fmt::Result {
    match unsaved {
        Some(UnsavedCrash { task, boot }) => writeln!(
            out,
            "crashlog: a crash of task `{}` in boot {boot} is in retained RAM only",
            TASK_NAMES.get(usize::from(task)).unwrap_or(&"?"),
        ),
        None => writeln!(out, "crashlog: no crash is in retained RAM only any more"),
    }
}

/// Prints a failure of the card or its controller.
pub fn failure(out: &mut impl Write, failure: DeviceFailure) -> fmt::Result {
    writeln!(out, "crashlog: the card failed: {}", Failed(failure))
}

/// A number of crashes, with its noun.
pub struct Crashes(pub u32);

impl Display for Crashes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no crash"),
            1 => f.write_str("1 crash"),
            n => write!(f, "{n} crashes"),
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
            UnsavedReason::NoPartitionTable => f.write_str("the card has no GPT partition table"),
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
                    "the partition `{}` has no superblock: never formatted, or lost; see `crashlog list`",
                    recorder::PARTITION
                )
            }
            UnsavedReason::UnknownVersion(version) => {
                write!(
                    f,
                    "the partition has format version {version}, of another firmware"
                )
            }
            UnsavedReason::BadGeometry => {
                f.write_str("the partition's superblock describes an impossible geometry")
            }
            UnsavedReason::Damaged => f.write_str("too much of the log on the card is damaged"),
            UnsavedReason::Exhausted => f.write_str("the format has no page number left"),
            UnsavedReason::CardFailed(failure) => {
                write!(f, "the card failed: {}", Failed(failure))
            }
            UnsavedReason::TableDamaged => {
                f.write_str("both copies of the partition table are damaged")
            }
            UnsavedReason::TableTooLong(count) => {
                write!(f, "the partition table has {count} entries, more than 256")
            }
            UnsavedReason::TableEntries(length) => write!(
                f,
                "the entries of the partition table are {length} bytes long, and not 128"
            ),
            UnsavedReason::LargeBlocks => {
                f.write_str("the partition table is of a card with blocks of 4096 bytes")
            }
        }
    }
}

fn why_not_written(reason: ReadOnlyReason) -> &'static str {
    match reason {
        ReadOnlyReason::MadeAnew => "the card was made anew, and has only an old backup table",
        ReadOnlyReason::Ambiguous => "there is more than one partition of the recorder",
        ReadOnlyReason::OutOfBounds => "the partition is not where its table may have one",
        ReadOnlyReason::Overlaps => "the partition has blocks of the table or of another one",
        ReadOnlyReason::Attribute => "the partition's attributes say that it is read-only",
        ReadOnlyReason::LargerCard => "the partition table is of a larger card",
        ReadOnlyReason::OtherPlace => "the partition was copied or moved; see `crashlog adopt`",
        ReadOnlyReason::NoPlace => {
            "the partition was formatted apart from the card; see `crashlog adopt`"
        }
        ReadOnlyReason::NoWitness => "a superblock and both ledgers are damaged",
    }
}

struct Failed(DeviceFailure);

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let step = match self.0.step {
            FailureStep::Identify => "identifying it",
            FailureStep::Mount => "locating the log on it",
            FailureStep::WritePages => "writing log pages",
            FailureStep::WriteCrash => "writing a crash",
            FailureStep::Read => "reading",
            FailureStep::Erase => "erasing a crash",
            FailureStep::Emergency => "the emergency write of the boot before",
            FailureStep::Suspend => "suspending it",
        };
        write!(f, "{step}, error {:#x}", self.0.code)
    }
}

/// A number, with its noun in singular and plural.
struct Count(u32, [&'static str; 2]);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(count, [one, several]) = *self;
        write!(f, "{count} {}", if count == 1 { one } else { several })
    }
}

struct Kind(CrashKind);

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            CrashKind::Oops => "oops",
            CrashKind::Panic => "panic",
            CrashKind::Kernel => "kernel failure",
            CrashKind::SelfTest => "self-test",
        })
    }
}

/// A fault, by the variant index of `abi::FaultInfo`, or by the number of one that the supervisor
/// has found.
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
        0x80 => "endless loop",
        0x81 => "endless wait for an answer",
        0x82 => "no sign of life",
        _ => "unknown fault",
    }
}
