//! Describes a crash: from a faulted task to the context in retained RAM.
//!
//! What is known first is written first, so that the next boot can write a crash even if the
//! description ends half way.

use abi::FaultInfo;
use crashlog_retained::{ContextWriter, CrashContext, CrashReason, signature, text_sum};

use crate::config::TaskPolicy;
use crate::fault::EncodedFault;
use crate::{Kernel, PANIC_MESSAGE_MAX};

/// Bytes of stack that a context keeps, from the stack pointer on.
///
/// They cost about eight instructions each on the emergency path, so this is the size of one to
/// three frames. The crash has the length of the whole stack, and a mark that no more of it was
/// wanted.
pub const STACK_EXCERPT: usize = 192;

/// How far below its stack, in bytes, a stack pointer is still taken for one that has overflowed:
/// the largest frame that a task is expected to have.
const OVERFLOW_REACH: u32 = 4_096;

/// How many regions of a task are searched for its stack. The kernel gives a task eight at most.
const REGIONS: usize = 8;

/// The fault in a context before the kernel was asked for it.
const NOT_KNOWN: [u8; 1] = [u8::MAX];

/// The fault in the context of a task that has none: replaces [`NOT_KNOWN`], which an empty
/// encoding would not.
const NONE: [u8; 1] = [0];

/// What the supervisor knows about a crash before it asks the kernel.
#[derive(Copy, Clone, Debug)]
pub struct CrashFacts<'h> {
    /// What the crash does to the system.
    pub reason: CrashReason,
    /// The task that crashed, by index.
    pub task: usize,
    /// How often it had been restarted before, in this boot.
    pub restarts: u32,
    /// The boot, as [`crashlog_retained::Region::boot`] counts.
    pub boot: u32,
    /// The id of the running image.
    pub image_id: u64,
    /// When, in milliseconds since boot.
    pub time: u64,
    /// The fault, if it is a hang that the supervisor has found; the kernel has another for it.
    pub hang: Option<&'h [u8]>,
}

/// Describes a crash: what the kernel knows about the task goes to `writer`, in retained RAM.
/// Returns the crash's signature.
///
/// Of a panic, a note is made before the kernel is asked for anything, and again when the fault is
/// known. If this function does not return, the watchdog resets the system and the next boot writes
/// the crash from the note.
pub fn capture(
    kernel: &mut impl Kernel,
    task: &TaskPolicy,
    facts: CrashFacts<'_>,
    mut writer: ContextWriter<'_>,
) -> u32 {
    let mut context = CrashContext::new(facts.reason, facts.task as u16, task.name, &NOT_KNOWN);
    context.time = facts.time;
    context.boot = facts.boot;
    context.image_id = facts.image_id;
    context.restarts = facts.restarts;
    let is_panic = facts.reason == CrashReason::Panic;
    if is_panic {
        writer.note(&context);
    }
    let fault = kernel.fault(facts.task);
    let encoded = EncodedFault::from(fault);
    let encoded = facts.hang.unwrap_or(encoded.as_bytes());
    context.set_fault(&NONE);
    context.set_fault(encoded);
    if is_panic {
        writer.note(&context);
    }

    let mut text = 0;
    if let Some(FaultInfo::Panic) = fault {
        text = message(kernel, facts.task, Some(&mut writer));
    }
    if let Some(registers) = kernel.registers(facts.task) {
        context.registers = registers;
        let [.., sp, _lr, _pc, _psr] = registers;
        if let Some(stack) = find_stack(kernel, facts.task, task.stack, sp) {
            excerpt(kernel, facts.task, &stack, &mut writer);
        }
    }
    writer.finish(&context);
    signature(context.task, encoded, &context.registers, text)
}

/// The signature of a task's fault, as [`capture`] returns it.
#[inline(never)]
pub fn signature_of(kernel: &mut impl Kernel, task: usize, hang: Option<&[u8]>) -> u32 {
    let fault = kernel.fault(task);
    let mut text = 0;
    if let Some(FaultInfo::Panic) = fault {
        text = message(kernel, task, None);
    }
    let registers = kernel.registers(task).unwrap_or_default();
    signature(
        task as u16,
        hang.unwrap_or(EncodedFault::from(fault).as_bytes()),
        &registers,
        text,
    )
}

/// Writes the panic message of a task; returns the sum of its text.
// Not inlined: its buffer and that of `excerpt` must never be on the stack at the same time.
#[inline(never)]
fn message(kernel: &mut impl Kernel, task: usize, writer: Option<&mut ContextWriter<'_>>) -> u32 {
    let mut message = [0; PANIC_MESSAGE_MAX];
    let length = kernel.panic_message(task, &mut message);
    let message = message.get(..length).unwrap_or(&message);
    let text = text_sum(message);
    if let Some(writer) = writer {
        writer.message(message);
        writer.text(text);
    }
    text
}

/// The used part of a task's stack.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct StackExtent {
    /// Its lowest used byte.
    from: u32,
    /// Bytes from there to its top.
    used: u32,
}

/// Finds the stack that `sp` points into, or that it has overflowed. `size`: as
/// [`TaskPolicy::stack`].
fn find_stack(kernel: &mut impl Kernel, task: usize, size: u32, sp: u32) -> Option<StackExtent> {
    for number in 0..REGIONS {
        let region = kernel.memory(task, number)?;
        let end = region.base.saturating_add(region.size);
        // Addresses ascend, so the first region that ends above `sp` has it, or is the nearest
        // above it.
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
        return Some(StackExtent {
            from,
            used: top - from,
        });
    }
    None
}

#[inline(never)]
fn excerpt(
    kernel: &mut impl Kernel,
    task: usize,
    stack: &StackExtent,
    writer: &mut ContextWriter<'_>,
) {
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
    use super::{StackExtent, find_stack};
    use crate::testing::TestKernel;

    /// One task with 0x800 bytes of memory at 0x1000 and 0x100 at 0x9000.
    fn kernel() -> TestKernel {
        let mut kernel = TestKernel::new(1);
        kernel.tasks[0].memory = vec![(0x1000, vec![0; 0x800]), (0x9000, vec![0; 0x100])];
        kernel
    }

    #[test]
    fn a_stack_of_known_size_ends_at_its_top() {
        assert_eq!(
            find_stack(&mut kernel(), 0, 0x400, 0x13c0),
            Some(StackExtent {
                from: 0x13c0,
                used: 0x40
            })
        );
    }

    #[test]
    fn a_stack_of_unknown_size_ends_with_its_region() {
        let stack = find_stack(&mut kernel(), 0, 0, 0x13c0).unwrap();
        assert_eq!(stack.used, 0x440);
        // So does one whose pointer is above its top.
        let stack = find_stack(&mut kernel(), 0, 0x400, 0x1500).unwrap();
        assert_eq!(stack.used, 0x300);
    }

    #[test]
    fn an_overflowed_stack_begins_with_its_region() {
        assert_eq!(
            find_stack(&mut kernel(), 0, 0x400, 0x0ff8),
            Some(StackExtent {
                from: 0x1000,
                used: 0x400
            })
        );
    }

    #[test]
    fn a_stack_pointer_outside_of_memory_has_no_stack() {
        for sp in [0x4000, 0x7fff, 0x9100, u32::MAX] {
            assert_eq!(find_stack(&mut kernel(), 0, 0x400, sp), None, "{sp:#x}");
        }
    }
}
