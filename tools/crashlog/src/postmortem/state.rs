//! The state of a task, in the words of `humility tasks`.

use super::kernel::{Kernel, TaskEntry};
use crate::value::{Radix, Value};
use std::fmt::Write;

/// The id that stands for the kernel.
pub const KERNEL: u64 = 0xffff;

/// The register that holds the mask of the notifications that a task waits for, of a task in RECV.
pub const MASK: usize = 6;

/// Longest panic message that is shown.
const MESSAGE_MAX: u32 = 255;

/// Whether the task has faulted.
pub fn is_faulted(entry: &TaskEntry) -> bool {
    let state = entry.value.member("state").and_then(Value::variant);
    state.is_some_and(|(name, _)| name == "Faulted")
}

/// What it does, or did before it faulted: the variant of `SchedState` and its content.
pub fn sched(entry: &TaskEntry) -> Option<(&str, Option<&Value>)> {
    let (name, content) = entry.value.member("state")?.variant()?;
    match name {
        "Healthy" => content?.inner().variant(),
        _ => content?.member("original_state")?.variant(),
    }
}

/// The state in words.
pub fn explain(kernel: &Kernel<'_>, entry: &TaskEntry, registers: Option<&[u32; 17]>) -> String {
    let sched = explain_sched(kernel, entry, registers);
    if !is_faulted(entry) {
        return sched;
    }
    let fault = entry.value.member("state").and_then(|state| {
        let (_, content) = state.variant()?;
        content?.member("fault")
    });
    let fault = fault.map_or_else(
        || "unknown fault".to_owned(),
        |fault| explain_fault(kernel, fault, registers),
    );
    format!("FAULT: {fault} (was: {sched})")
}

fn explain_sched(kernel: &Kernel<'_>, entry: &TaskEntry, registers: Option<&[u32; 17]>) -> String {
    let Some((name, content)) = sched(entry) else {
        return "unknown state".to_owned();
    };
    let id = content.and_then(Value::number);
    match (name, id) {
        ("Stopped", _) => "not started".to_owned(),
        ("Runnable", _) if entry.is_current => "RUNNING".to_owned(),
        ("Runnable", _) => "ready".to_owned(),
        ("InSend", Some(KERNEL)) => "HALT: send to kernel".to_owned(),
        ("InSend", Some(id)) => format!("wait: send to {}", kernel.task_id(id)),
        ("InReply", Some(id)) => format!("wait: reply from {}", kernel.task_id(id)),
        ("InRecv", _) => explain_receive(kernel, entry, from(content), registers),
        _ => format!("unknown state {name}"),
    }
}

/// From whom a task receives, if not from any: the content of `InRecv`.
pub fn from(content: Option<&Value>) -> Option<u64> {
    content?.inner().option()??.number()
}

fn explain_receive(
    kernel: &Kernel<'_>,
    entry: &TaskEntry,
    from: Option<u64>,
    registers: Option<&[u32; 17]>,
) -> String {
    let mut text = match from {
        Some(KERNEL) => String::new(),
        Some(id) => format!("recv({} only)", kernel.task_id(id)),
        None => "recv".to_owned(),
    };
    let Some(registers) = registers else {
        if text.is_empty() {
            text.push_str("notif: unknown");
        }
        return text;
    };
    let mask = registers[MASK];
    if mask == 0 {
        if from == Some(KERNEL) {
            text.push_str("(DEAD)");
        }
        return text;
    }
    text.push_str(if text.is_empty() {
        "notif:"
    } else {
        ", notif:"
    });
    let timer = entry.value.member("timer");
    let deadline = timer.and_then(|timer| timer.member("deadline")?.option()??.number());
    let posts = timer.and_then(|timer| timer.member("to_post")?.number());
    for bit in (0..32).filter(|bit| mask >> bit & 1 != 0) {
        let _ = write!(text, " {}", kernel.config().notification(entry.index, bit));
        let mut marks = Vec::new();
        if let (Some(deadline), Some(posts)) = (deadline, posts)
            && posts >> bit & 1 != 0
        {
            let left = i128::from(deadline) - i128::from(kernel.ticks());
            marks.push(format!("T{left:+}"));
        }
        let interrupts = kernel.config().interrupts(entry.index, bit);
        marks.extend(interrupts.iter().map(|number| format!("irq{number}")));
        if !marks.is_empty() {
            let _ = write!(text, "({})", marks.join("/"));
        }
    }
    text
}

fn explain_fault(kernel: &Kernel<'_>, fault: &Value, registers: Option<&[u32; 17]>) -> String {
    let Some((name, content)) = fault.variant() else {
        return "unknown fault".to_owned();
    };
    let member = |name: &str| content.and_then(|content| content.member(name));
    let access = |what: &str| {
        let address = member("address").and_then(Value::option).flatten();
        let place = match address.and_then(Value::number) {
            Some(address) => format!("precise: {address:#x}"),
            None => "imprecise".to_owned(),
        };
        let source = match member("source").and_then(Value::variant) {
            Some(("Kernel", _)) => " in syscall",
            _ => " in task code",
        };
        format!("{what} fault ({place}){source}")
    };
    match name {
        "MemoryAccess" => access("mem"),
        "BusError" => access("bus"),
        "StackOverflow" => {
            let address = member("address").and_then(Value::number);
            format!("stack overflow; sp={:#x}", address.unwrap_or_default())
        }
        "DivideByZero" => "divide by zero".to_owned(),
        "IllegalText" => "jump to non-executable mem".to_owned(),
        "IllegalInstruction" => "illegal instruction".to_owned(),
        "InvalidOperation" => {
            let bits = content.and_then(Value::number);
            format!("general fault, cfsr={:#x}", bits.unwrap_or_default())
        }
        "SyscallUsage" => {
            let usage = content.and_then(|content| content.inner().variant());
            format!(
                "in syscall: {}",
                usage.map_or("unknown", |(name, _)| usage_error(name))
            )
        }
        "Panic" => panic_message(kernel, registers),
        "Injected" => match content.and_then(Value::number) {
            Some(id) => format!("killed by {}", kernel.task_id(id)),
            None => "killed".to_owned(),
        },
        "FromServer" => {
            let parts = match content {
                Some(Value::Tuple(_, parts)) => parts.as_slice(),
                _ => &[],
            };
            let id = parts.first().and_then(Value::number);
            let reason = parts.get(1).map(|reason| reason.text(Radix::Decimal));
            format!(
                "reply fault: task id {}, reason {}",
                id.map_or("unknown".to_owned(), |id| kernel.task_id(id)),
                reason.unwrap_or_default()
            )
        }
        other => other.to_owned(),
    }
}

fn usage_error(name: &str) -> &'static str {
    match name {
        "BadSyscallNumber" => "undefined syscall number",
        "InvalidSlice" => "sent malformed slice to kernel",
        "TaskOutOfRange" => "used bogus task index",
        "IllegalTask" => "illegal task operation",
        "LeaseOutOfRange" => "bad caller lease index",
        "OffsetOutOfRange" => "bad caller lease offset",
        "NoIrq" => "referred to undefined interrupt",
        "BadKernelMessage" => "sent nonsense IPC to kernel",
        _ => "unknown",
    }
}

/// The message of a panic, to which r4 and r5 point.
fn panic_message(kernel: &Kernel<'_>, registers: Option<&[u32; 17]>) -> String {
    let Some(registers) = registers else {
        return "panic".to_owned();
    };
    let (address, length) = (registers[4], registers[5].min(MESSAGE_MAX));
    match kernel.bytes(address, length as usize) {
        Ok(bytes) => message(&bytes),
        Err(why) => format!("panic; its message at {why}"),
    }
}

/// A message as text. It is escaped where it is shown.
fn message(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::printable;

    #[test]
    fn a_message_is_escaped_once() {
        let shown = printable(message(b"a\n\x1b[31m \\ \xff").as_bytes());
        assert_eq!(shown, "a\\n\\x1b[31m \\\\ \u{fffd}");
    }
}
