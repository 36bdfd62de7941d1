//! Registers of a faulted task from a kernel that gives out memory only, as upstream's does.
//!
//! With its feature `dump` such a kernel gives out a task's entry in its table, which begins with
//! what the kernel has saved of the task: r4 to r11, psp and EXC_RETURN. All else is in the
//! exception frame, which the processor has pushed onto the task's stack, where psp points (ARMv7-M
//! ARM section B1.5.6, ARMv8-M ARM section B3.19).
//!
//! Each address is checked against the task's memory before it is read: the kernel faults a
//! supervisor that asks for anything else. A frame that the processor did not push is never taken
//! for one: registers that are not known are zeros.

use crate::{Kernel, TASK_REGISTERS};
use abi::FaultInfo;

/// Words at the start of a task's entry: r4 to r11, psp, EXC_RETURN.
const SAVED_WORDS: usize = 10;

/// Words of the frame that are read: r0 to r3, r12, lr, pc, psr.
const FRAME_WORDS: usize = 8;

/// Bytes of a frame without the floating-point registers, and of one with them.
const BASIC_FRAME: u32 = 32;
const EXTENDED_FRAME: u32 = 104;

/// EXC_RETURN, bit 4: the frame has no floating-point registers.
const IS_BASIC: u32 = 1 << 4;

/// EXC_RETURN of ARMv8-M, bits 6 and 0: the stack, and the exception, are those of the secure
/// state. Both are set on ARMv7-M.
const SECURE_STACK: u32 = 1 << 6;
const SECURE_EXCEPTION: u32 = 1 << 0;

/// psr in a frame, bit 9: the processor has aligned the stack to 8 bytes with one word.
const IS_ALIGNED: u32 = 1 << 9;

/// CFSR of ARMv8-M, bit 20 (STKOF): the stack has reached its limit.
const STACK_LIMIT: u32 = 1 << 20;

/// How many regions of a task are searched: the kernel gives a task eight at most.
const REGIONS: usize = 8;

/// The registers of a task at its fault; `None` if the kernel does not give out its table.
///
/// r0 to r3, r12, lr, pc and psr are 0 if there is no frame, as after an overflow of the stack. sp
/// is then what it was at the overflow, or a word less.
// Not inlined: its buffers would be on the stack of every emergency.
#[inline(never)]
pub(crate) fn registers(kernel: &mut impl Kernel, task: usize) -> Option<[u32; TASK_REGISTERS]> {
    let entry = kernel.task_entry(u16::try_from(task).ok()?)?;
    let mut saved = [0; 4 * SAVED_WORDS];
    if (entry.size as usize) < saved.len()
        || kernel.read(task, entry.base, &mut saved) < saved.len()
    {
        return None;
    }
    let [r4, r5, r6, r7, r8, r9, r10, r11, psp, exc_return] = decode(&saved);
    let size = match exc_return & IS_BASIC {
        0 => EXTENDED_FRAME,
        _ => BASIC_FRAME,
    };
    let frame = if has_frame(kernel.fault(task), exc_return) {
        read_frame(kernel, task, psp)
    } else {
        None
    };
    let [r0, r1, r2, r3, r12, lr, pc, psr] = frame.unwrap_or_default();
    let padding = if psr & IS_ALIGNED != 0 { 4 } else { 0 };
    let sp = psp.wrapping_add(size).wrapping_add(padding);
    Some([
        r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, sp, lr, pc, psr,
    ])
}

/// Did the processor push a whole frame, with r0 first?
///
/// Not if the stack has overflowed, wherever psp points. And if the kernel, in the non-secure
/// state, interrupts a task in the secure state, other words come first. Hubris has no such tasks.
const fn has_frame(fault: Option<FaultInfo>, exc_return: u32) -> bool {
    let overflowed = match fault {
        Some(FaultInfo::StackOverflow { .. }) => true,
        Some(FaultInfo::InvalidOperation(cfsr)) => cfsr & STACK_LIMIT != 0,
        _ => false,
    };
    let has_more = exc_return & SECURE_STACK != 0 && exc_return & SECURE_EXCEPTION == 0;
    !overflowed && !has_more
}

/// The frame at `psp`, if all of it is memory of the task.
fn read_frame(kernel: &mut impl Kernel, task: usize, psp: u32) -> Option<[u32; FRAME_WORDS]> {
    let mut frame = [0; 4 * FRAME_WORDS];
    if !psp.is_multiple_of(4) {
        return None;
    }
    let (mut at, mut rest) = (psp, frame.as_mut_slice());
    // A stack may consist of several regions, which follow one another.
    for number in 0..REGIONS {
        if rest.is_empty() {
            break;
        }
        let region = kernel.memory(task, number)?;
        let end = region.base.saturating_add(region.size);
        if end <= at {
            continue;
        }
        if region.base > at {
            return None;
        }
        let here = rest.len().min((end - at) as usize);
        let (piece, behind) = rest.split_at_mut_checked(here)?;
        if kernel.read(task, at, piece) < here {
            return None;
        }
        at = end;
        rest = behind;
    }
    rest.is_empty().then(|| decode(&frame))
}

/// Words, little endian.
fn decode<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (all, _) = bytes.as_chunks();
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(all) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests;
