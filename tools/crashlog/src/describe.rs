//! Crashes in words.

use crate::text::{count, seconds};
use crashlog_format::found;
use crashlog_format::{
    CrashFault, CrashReason, EmergencyFailure, EmergencyStep, FaultSource, LateReason, Outcome,
    OutcomePhase, ReplyFaultReason, UsageError,
};

/// The names of tasks and types. Without a build archive only the numbers of tasks are known.
pub trait Names {
    /// The name of the task with this index.
    fn task(&self, index: u16) -> Option<String>;

    /// A value that the task with this index has logged, in the notation of Rust; `name` is its
    /// type, `bytes` its encoding.
    fn event(&self, _task: u16, _name: &str, _bytes: &[u8]) -> Option<String> {
        None
    }

    /// The function of the task with this index that has the instruction at this address.
    fn function(&self, _task: u16, _address: u32) -> Option<String> {
        None
    }

    /// The name, or `task 3`.
    fn task_or_number(&self, index: u16) -> String {
        self.task(index).unwrap_or_else(|| format!("task {index}"))
    }
}

/// Stands in for an archive that was not given: it has no names.
pub struct Nameless;

impl Names for Nameless {
    fn task(&self, _index: u16) -> Option<String> {
        None
    }
}

/// What the task did, as a sentence that follows the task's name.
pub fn fault(fault: Option<CrashFault>, encoded: &[u8], names: &dyn Names) -> String {
    let Some(fault) = fault else {
        return format!(
            "had a fault that this program does not know (bytes {})",
            crate::text::hex(encoded)
        );
    };
    let index = |task: u16| task & 0x3ff;
    match fault {
        CrashFault::MemoryAccess {
            address,
            source: FaultSource::User,
        } => {
            format!("accessed memory that it may not access{}", at(address))
        }
        CrashFault::MemoryAccess {
            address,
            source: FaultSource::Kernel,
        } => {
            format!(
                "gave the kernel memory that it may not access itself{}",
                at(address)
            )
        }
        CrashFault::StackOverflow { address } => {
            format!("overflowed its stack, at {address:#010x}")
        }
        CrashFault::BusError { address, .. } => {
            format!("accessed an address where no device answers{}", at(address))
        }
        CrashFault::DivideByZero => "divided by zero".to_owned(),
        CrashFault::IllegalText => "jumped to memory that it may not execute".to_owned(),
        CrashFault::IllegalInstruction => "executed an instruction that does not exist".to_owned(),
        CrashFault::InvalidOperation(status) => {
            format!("was stopped by the processor (fault status {status:#010x})")
        }
        CrashFault::SyscallUsage(usage) => {
            format!("made an invalid system call: {}", usage_text(usage))
        }
        CrashFault::Panic => "panicked".to_owned(),
        CrashFault::Injected(task) => format!(
            "was faulted at the request of {}",
            names.task_or_number(index(task))
        ),
        CrashFault::Hang { ms, starved } => format!(
            "held the processor for {ms} ms without waiting{}",
            starving(starved, names)
        ),
        CrashFault::Wait { ms, chain } => {
            let chain: Vec<String> = chain
                .iter()
                .take_while(|index| **index != CrashFault::NO_TASK)
                .map(|index| names.task_or_number(u16::from(*index)))
                .collect();
            let mut text = format!("waited for {ms} ms for an answer");
            if !chain.is_empty() {
                text += &format!(" of {}", chain.join(", which waits for "));
            }
            text
        }
        CrashFault::NotAlive { ms } => format!(
            "was not alive for {ms} ms: it neither came back to its receive nor said that it is alive"
        ),
        CrashFault::FromServer(task, why) => {
            format!(
                "sent {} a message that was refused: {}",
                names.task_or_number(index(task)),
                refusal(why)
            )
        }
    }
}

/// Who was ready and could not run.
fn starving(starved: u64, names: &dyn Names) -> String {
    let tasks: Vec<String> = (0..64)
        .filter(|index| starved >> index & 1 != 0)
        .map(|index| names.task_or_number(index))
        .collect();
    if tasks.is_empty() {
        return String::new();
    }
    format!(", and {} could not run", tasks.join(", "))
}

fn at(address: Option<u32>) -> String {
    match address {
        Some(address) if address < 0x1000 => format!(", at {address:#010x} (a null pointer)"),
        Some(address) => format!(", at {address:#010x}"),
        None => String::new(),
    }
}

fn usage_text(usage: UsageError) -> &'static str {
    match usage {
        UsageError::BadSyscallNumber => "no call has that number",
        UsageError::InvalidSlice => "a slice is misaligned or wraps",
        UsageError::TaskOutOfRange => "no task has that number",
        UsageError::IllegalTask => "that task may not be faulted",
        UsageError::LeaseOutOfRange => "no lease has that number",
        UsageError::OffsetOutOfRange => "an offset is beyond the end of a lease",
        UsageError::NoIrq => "no interrupt belongs to that notification",
        UsageError::BadKernelMessage => "the kernel does not know the message",
        UsageError::BadReplyFaultReason => "the reason for a reply fault is unknown",
        UsageError::NotSupervisor => "only the supervisor may do that",
        UsageError::ReplyTooBig => "the reply is longer than the caller's buffer",
    }
}

fn refusal(why: ReplyFaultReason) -> &'static str {
    match why {
        ReplyFaultReason::UndefinedOperation => "no operation has that number",
        ReplyFaultReason::BadMessageSize => "its size is wrong",
        ReplyFaultReason::BadMessageContents => "its contents are invalid",
        ReplyFaultReason::BadLeases => "its leases are wrong",
        ReplyFaultReason::ReplyBufferTooSmall => "the buffer for the reply is too small",
        ReplyFaultReason::AccessViolation => "this task may not ask for that",
    }
}

/// What the crash did to the system.
pub fn reason(reason: Result<CrashReason, u8>) -> String {
    match reason {
        Ok(CrashReason::Oops) => "the task was restarted".to_owned(),
        Ok(CrashReason::Panic) => "the system was restarted".to_owned(),
        Ok(CrashReason::Kernel) => {
            "the kernel or the supervisor failed, and the system was restarted".to_owned()
        }
        Ok(CrashReason::SelfTest) => "nothing crashed".to_owned(),
        Err(number) => format!("reason {number} is unknown"),
    }
}

/// When and how the crash was written.
pub fn written(late: Option<LateReason>, outcome: &Outcome) -> String {
    let effort = effort(outcome);
    match late {
        None if matches!(outcome.phase(), OutcomePhase::None) => "in normal operation".to_owned(),
        None => format!("before the restart, by the emergency path{effort}"),
        Some(LateReason::Failed) => {
            format!("late, after the restart: the emergency write failed ({}{effort})", outcome.failure())
        }
        Some(LateReason::Interrupted) => {
            format!("late, after the restart: the emergency write did not end in time ({}{effort})", steps(outcome))
        }
        Some(LateReason::NotAttempted) => "late, after the restart: there was no emergency write".to_owned(),
        Some(LateReason::Restarted) => {
            "late: only the task was to be restarted, but the system was restarted before the crash was written".to_owned()
        }
        Some(LateReason::Supervisor) => {
            "late, after the restart: the supervisor failed before it started the recorder".to_owned()
        }
    }
}

/// The state in which the emergency path found controller and card, and what it did to use them:
/// facts with their names.
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
        effort.push(retries(outcome.retries.get()));
    }
    if outcome.error.get() != 0 {
        effort.push(format!("last device error {:#x}", outcome.error));
    }
    if !effort.is_empty() {
        facts.push(("repairs", effort.join(", ")));
    }
    // The header is written during the second phase; a phase that has not begun has no time.
    let phases: Vec<_> = outcome
        .phase_ms
        .iter()
        .zip(["prepare", "write", "complete"])
        .filter(|(ms, _)| ms.get() > 0)
        .map(|(ms, phase)| format!("{ms} ms to {phase}"))
        .collect();
    if !phases.is_empty() {
        facts.push((
            "took",
            phases.join(", ") + "; measured until the header was written",
        ));
    }
    facts
}

/// `1 retry`, `2 retries`.
fn retries(number: u16) -> String {
    format!("{number} {}", if number == 1 { "retry" } else { "retries" })
}

/// Codes of the states of the controller in which data are transferred.
const READING: u8 = 5;
const WRITING: u8 = 6;

/// The last step that was done.
pub fn steps(outcome: &Outcome) -> String {
    let done = EmergencyStep::ALL
        .into_iter()
        .rfind(|step| outcome.finished(*step));
    done.map_or("no step was done".to_owned(), |step| {
        format!("last step done: {}", step.name())
    })
}

fn effort(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if outcome.is_minimal() {
        parts.push("second, minimal try".to_owned());
        let first = outcome.first_failure();
        if first != EmergencyFailure::None {
            parts.push(format!("the first failed: {first}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_should_have_answered_is_named_if_it_is_known() {
        let text = |tasks: &[u8]| {
            let mut chain = [CrashFault::NO_TASK; CrashFault::WAIT_TASKS];
            chain[..tasks.len()].copy_from_slice(tasks);
            fault(Some(CrashFault::Wait { ms: 5, chain }), &[], &Nameless)
        };
        assert_eq!(text(&[]), "waited for 5 ms for an answer");
        let two = "waited for 5 ms for an answer of task 3, which waits for task 4";
        assert_eq!(text(&[3, 4]), two);
    }
}
