//! Crashes in words.

use crate::text::{count, seconds};
use crashlog_format::found;
use crashlog_format::{Fault, LateReason, Outcome, Phase, Reason, ReplyFault, Source, Step, Usage};

/// Who the tasks are; without a build archive only their numbers are known.
pub trait Names {
    /// The name of the task with this index.
    fn task(&self, index: u16) -> Option<String>;

    /// A typed event of the task with this index in words: the name of its type, its encoding.
    fn event(&self, _task: u16, _name: &str, _bytes: &[u8]) -> Option<String> {
        None
    }

    /// The name, or `task 3`.
    fn task_or_number(&self, index: u16) -> String {
        self.task(index).unwrap_or_else(|| format!("task {index}"))
    }
}

/// What the task did, as a sentence that follows the task's name.
pub fn fault(fault: Option<Fault>, encoded: &[u8], names: &dyn Names) -> String {
    let Some(fault) = fault else {
        return format!(
            "faulted in a way that this program does not know (bytes {})",
            crate::text::hex(encoded)
        );
    };
    let index = |task: u16| task & 0x3ff;
    match fault {
        Fault::MemoryAccess {
            address,
            source: Source::User,
        } => {
            format!("touched memory that it may not touch{}", at(address))
        }
        Fault::MemoryAccess {
            address,
            source: Source::Kernel,
        } => {
            format!(
                "gave the kernel memory that it may not use itself{}",
                at(address)
            )
        }
        Fault::StackOverflow { address } => format!("used up its stack, down to {address:#010x}"),
        Fault::BusError { address, .. } => {
            format!("touched an address where nothing answers{}", at(address))
        }
        Fault::DivideByZero => "divided by zero".to_owned(),
        Fault::IllegalText => "jumped to memory that it may not execute".to_owned(),
        Fault::IllegalInstruction => "ran an instruction that does not exist".to_owned(),
        Fault::InvalidOperation(status) => {
            format!("was stopped by the processor (fault status {status:#010x})")
        }
        Fault::SyscallUsage(usage) => format!("made a wrong system call: {}", usage_text(usage)),
        Fault::Panic => "panicked".to_owned(),
        Fault::Injected(task) => format!(
            "was faulted on request of {}",
            names.task_or_number(index(task))
        ),
        Fault::FromServer(task, why) => {
            format!(
                "sent {} a message that was refused: {}",
                names.task_or_number(index(task)),
                refusal(why)
            )
        }
    }
}

fn at(address: Option<u32>) -> String {
    match address {
        Some(address) if address < 0x1000 => format!(", at {address:#010x} (a null pointer)"),
        Some(address) => format!(", at {address:#010x}"),
        None => String::new(),
    }
}

fn usage_text(usage: Usage) -> &'static str {
    match usage {
        Usage::BadSyscallNumber => "there is none with that number",
        Usage::InvalidSlice => "a slice that is misaligned or wraps",
        Usage::TaskOutOfRange => "there is no such task",
        Usage::IllegalTask => "that task may not be faulted",
        Usage::LeaseOutOfRange => "there is no such lease",
        Usage::OffsetOutOfRange => "an offset beyond the end of a lease",
        Usage::NoIrq => "no interrupt belongs to that notification",
        Usage::BadKernelMessage => "a message that the kernel does not understand",
        Usage::BadReplyFaultReason => "an unknown reason for a reply fault",
        Usage::NotSupervisor => "only the supervisor may do that",
        Usage::ReplyTooBig => "a reply longer than the caller has room for",
    }
}

fn refusal(why: ReplyFault) -> &'static str {
    match why {
        ReplyFault::UndefinedOperation => "there is no such operation",
        ReplyFault::BadMessageSize => "wrong size",
        ReplyFault::BadMessageContents => "its contents make no sense",
        ReplyFault::BadLeases => "wrong leases",
        ReplyFault::ReplyBufferTooSmall => "no room for the reply",
        ReplyFault::AccessViolation => "this task may not ask for that",
    }
}

/// What the crash did to the system.
pub fn reason(reason: Result<Reason, u8>) -> String {
    match reason {
        Ok(Reason::Oops) => "the task was restarted".to_owned(),
        Ok(Reason::Panic) => "the system was restarted".to_owned(),
        Ok(Reason::Kernel) => {
            "the kernel or the supervisor failed, and the system was restarted".to_owned()
        }
        Ok(Reason::SelfTest) => "nothing crashed".to_owned(),
        Err(number) => format!("reason {number}, which this program does not know"),
    }
}

/// How the record came to the card.
pub fn written(late: Option<LateReason>, outcome: &Outcome) -> String {
    let effort = effort(outcome);
    match late {
        None if matches!(outcome.phase(), Phase::None) => "in normal operation".to_owned(),
        None => format!("before the restart, by the emergency path{effort}"),
        Some(LateReason::Failed) => {
            format!("late, after the restart: the emergency write failed ({}{effort})", outcome.failure())
        }
        Some(LateReason::Interrupted) => {
            format!("late, after the restart: the emergency write did not end in time ({}{effort})", steps(outcome))
        }
        Some(LateReason::NotAttempted) => "late, after the restart: there was no emergency write".to_owned(),
        Some(LateReason::Restarted) => {
            "late: the system was restarted before the record of this restarted task could be written".to_owned()
        }
        Some(LateReason::Supervisor) => {
            "late, after the restart: the supervisor did not come to calling the recorder".to_owned()
        }
    }
}

/// In which state the emergency path found controller and card, and what it did about that: facts with their names.
pub fn found(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let Some(controller) = found::controller(outcome.controller) else {
        return facts;
    };
    let mut text = format!("controller {controller}");
    if matches!(outcome.controller, READING | WRITING) {
        let by = if outcome.mode & found::MODE_DMA != 0 {
            "ADMA2"
        } else {
            "PIO"
        };
        text += &format!(
            " (CMD{} by {by}, {} left)",
            outcome.command,
            count(outcome.blocks_left.get().into(), "block")
        );
    }
    match found::card(outcome.card) {
        Some(card) => text += &format!("; card {card}"),
        None => text += &format!("; card in state {}", outcome.card),
    }
    if let Some(drain) = found::drain(outcome.drain) {
        text += &format!("; {drain}");
    }
    facts.push(("found", text));
    let mut effort: Vec<_> = found::repairs(outcome.repairs.get())
        .map(str::to_owned)
        .collect();
    if outcome.retries.get() > 0 {
        effort.push(count(outcome.retries.get().into(), "more try"));
    }
    if outcome.error.get() != 0 {
        effort.push(format!("last device error {:#x}", outcome.error));
    }
    if !effort.is_empty() {
        facts.push(("repairs", effort.join(", ")));
    }
    // The record is written in the midst of the second phase: what has not begun took no time.
    let phases: Vec<_> = outcome
        .phase_milliseconds
        .iter()
        .zip(["prepare", "write", "complete"])
        .filter(|(ms, _)| ms.get() > 0)
        .map(|(ms, phase)| format!("{ms} ms to {phase}"))
        .collect();
    if !phases.is_empty() {
        facts.push(("took", phases.join(", ") + ", up to this record"));
    }
    facts
}

/// Codes of the controller's state in which data were moving.
const READING: u8 = 5;
const WRITING: u8 = 6;

/// The last step that was done.
pub fn steps(outcome: &Outcome) -> String {
    let done = Step::ALL.into_iter().rfind(|step| outcome.finished(*step));
    done.map_or("nothing was done".to_owned(), |step| {
        format!("last step done: {}", step.name())
    })
}

fn effort(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if outcome.is_minimal() {
        parts.push("second, minimal try".to_owned());
    }
    if outcome.milliseconds.get() > 0 {
        parts.push(format!("{} s", seconds(outcome.milliseconds.get().into())));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("; {}", parts.join(", "))
    }
}
