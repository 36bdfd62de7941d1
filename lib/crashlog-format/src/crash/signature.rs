//! The signature of a crash: how repetitions of a crash are recognised.

use crate::{CrashFault, Crc32c};

/// Task, fault and place of a crash as one number: crashes with equal numbers are repetitions of
/// each other (X6).
///
/// `fault` is the encoded fault; `registers` are r0 to r12, sp, lr, pc, psr; `message` is the
/// checksum of the panic message, 0 if there is none.
///
/// The place is the program counter; of a fault in a system call it is the return address, as all
/// calls share one stub. Only the kind of the fault counts, not the address that was accessed: a
/// wild pointer seldom has the same value twice. All panics have the same place, so they are told
/// apart by their message. A hang has no place: the supervisor stops it anywhere in its loop.
#[must_use]
pub fn signature(task: u16, fault: &[u8], registers: &[u32; 17], message: u32) -> u32 {
    let [.., lr, pc, _psr] = registers;
    let by_call = CrashFault::is_by_system_call(fault);
    let kind = fault.first().copied().unwrap_or(u8::MAX);
    Crc32c::new()
        .word(u32::from(task) << 8 | u32::from(kind))
        .word(match kind {
            CrashFault::HANG => 0,
            _ if by_call => *lr,
            _ => *pc,
        })
        .word(message)
        .value()
}
