//! From a faulted task to the context of its crash.

use abi::FaultInfo;
use crashlog_retained::{ContextWriter, CrashContext, CrashReason, signature};

use crate::config::TaskPolicy;
use crate::fault::Encoded;
use crate::{Kernel, PANIC_MESSAGE_MAX};

/// Bytes of stack that a context keeps, from the stack pointer on.
///
/// They cost about eight instructions each on the emergency path, so it is what
/// one to three frames take. The record says how long the stack was, and that
/// this is an excerpt: nothing was cut that belongs to it.
pub const STACK_EXCERPT: usize = 256;

/// How far below its stack a stack pointer is still taken for one that has
/// overflowed: the largest frame that a task is expected to have.
const OVERFLOW_REACH: u32 = 4_096;

/// Regions of a task that are looked through for its stack. The kernel gives a
/// task eight at most (hubris-interface section 5.3).
const REGIONS: usize = 8;

/// Where a context has the fault, while that is not known.
const NOT_KNOWN: [u8; 1] = [u8::MAX];

/// As [`NOT_KNOWN`], of a task that has no fault.
const NONE: [u8; 1] = [0];

/// What the caller knows about a crash.
#[derive(Copy, Clone, Debug)]
pub struct Crash {
    /// What it does to the system.
    pub reason: CrashReason,
    /// The task, by index.
    pub task: usize,
    /// How often it had been restarted in this boot.
    pub restarts: u32,
    /// The boot.
    pub boot: u32,
    /// When, in milliseconds since boot.
    pub time: u64,
}

/// Describes a crash: everything the kernel knows about the task goes straight
/// into `writer`, in retained RAM. Returns the crash's signature.
///
/// Of a panic, a note is made of what is known before the kernel is asked for
/// anything, and again when the fault is known: should this never end, the
/// watchdog resets the system, and the next boot records the note (X1).
pub fn capture(
    kernel: &mut impl Kernel,
    task: &TaskPolicy,
    crash: Crash,
    mut writer: ContextWriter<'_>,
) -> u32 {
    let mut context = CrashContext::new(crash.reason, crash.task as u16, task.name, &NOT_KNOWN);
    context.time = crash.time;
    context.boot = crash.boot;
    context.restarts = crash.restarts;
    let is_panic = crash.reason == CrashReason::Panic;
    if is_panic {
        writer.note(&context);
    }
    let fault = kernel.fault(crash.task);
    let encoded = Encoded::from(fault);
    context.set_fault(&NONE);
    context.set_fault(encoded.as_bytes());
    if is_panic {
        writer.note(&context);
    }

    if let Some(FaultInfo::Panic) = fault {
        message(kernel, crash.task, &mut writer);
    }
    if let Some(registers) = kernel.registers(crash.task) {
        context.registers = registers;
        let [.., sp, _lr, _pc, _psr] = registers;
        if let Some(stack) = find_stack(kernel, crash.task, task.stack, sp) {
            excerpt(kernel, crash.task, &stack, &mut writer);
        }
    }
    let message = writer.message_sum();
    writer.finish(&context);
    signature(
        context.task,
        encoded.as_bytes(),
        &context.registers,
        message,
    )
}

/// The signature of a task's fault, as [`capture`] returns it.
#[inline(never)]
pub fn signature_of(kernel: &mut impl Kernel, task: usize) -> u32 {
    let fault = kernel.fault(task);
    let mut sum = 0;
    if let Some(FaultInfo::Panic) = fault {
        let mut message = [0; PANIC_MESSAGE_MAX];
        let length = kernel.panic_message(task, &mut message);
        if let Some(message @ [_, ..]) = message.get(..length) {
            sum = ContextWriter::sum(message);
        }
    }
    let registers = kernel.registers(task).unwrap_or_default();
    signature(
        task as u16,
        Encoded::from(fault).as_bytes(),
        &registers,
        sum,
    )
}

// Not inlined, so that its buffer and that of `excerpt` are never on the stack at the same time.
#[inline(never)]
fn message(kernel: &mut impl Kernel, task: usize, writer: &mut ContextWriter<'_>) {
    let mut message = [0; PANIC_MESSAGE_MAX];
    let length = kernel.panic_message(task, &mut message);
    writer.message(message.get(..length).unwrap_or(&message));
}

/// The used part of a stack.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Stack {
    /// Its lowest used byte.
    from: u32,
    /// Bytes from there to its top.
    used: u32,
}

/// Where the stack is that `sp` points into, or has overflowed.
fn find_stack(kernel: &mut impl Kernel, task: usize, size: u32, sp: u32) -> Option<Stack> {
    for number in 0..REGIONS {
        let region = kernel.memory(task, number)?;
        let end = region.base.saturating_add(region.size);
        // Ascending, so the first that reaches beyond `sp` is the one.
        if end <= sp {
            continue;
        }
        if region.base.saturating_sub(sp) > OVERFLOW_REACH {
            return None;
        }
        let from = sp.max(region.base);
        let top = match region.base.saturating_add(size) {
            top if size != 0 && top > from => top.min(end),
            _ => end,
        };
        return Some(Stack {
            from,
            used: top - from,
        });
    }
    None
}

#[inline(never)]
fn excerpt(kernel: &mut impl Kernel, task: usize, stack: &Stack, writer: &mut ContextWriter<'_>) {
    let mut bytes = [0; STACK_EXCERPT];
    let wanted = (stack.used as usize).min(STACK_EXCERPT);
    let Some(bytes) = bytes.get_mut(..wanted) else {
        return;
    };
    let length = kernel.read(task, stack.from, bytes);
    writer.stack_at(stack.from, stack.used);
    writer.stack(bytes.get(..length).unwrap_or(bytes));
    if length >= wanted {
        writer.stack_is_excerpt();
    }
}

#[cfg(test)]
mod tests {
    use super::{Stack, find_stack};
    use crate::machine::Machine;

    /// One task with its memory at 0x1000, 0x800 of it, and more at 0x9000.
    fn machine() -> Machine {
        let mut machine = Machine::new(1);
        machine.tasks[0].memory = vec![(0x1000, vec![0; 0x800]), (0x9000, vec![0; 0x100])];
        machine
    }

    #[test]
    fn the_stack_ends_where_the_build_put_its_top() {
        assert_eq!(
            find_stack(&mut machine(), 0, 0x400, 0x13c0),
            Some(Stack {
                from: 0x13c0,
                used: 0x40
            })
        );
    }

    #[test]
    fn without_a_known_size_it_ends_with_its_region() {
        let stack = find_stack(&mut machine(), 0, 0, 0x13c0).unwrap();
        assert_eq!(stack.used, 0x440);
        // A stack pointer above the stack says nothing about its top either.
        let stack = find_stack(&mut machine(), 0, 0x400, 0x1500).unwrap();
        assert_eq!(stack.used, 0x300);
    }

    #[test]
    fn an_overflowed_stack_begins_at_its_region() {
        assert_eq!(
            find_stack(&mut machine(), 0, 0x400, 0x0ff8),
            Some(Stack {
                from: 0x1000,
                used: 0x400
            })
        );
    }

    #[test]
    fn a_wild_stack_pointer_has_no_stack() {
        for sp in [0x4000, 0x7fff, 0x9100, u32::MAX] {
            assert_eq!(find_stack(&mut machine(), 0, 0x400, sp), None, "{sp:#x}");
        }
    }
}
