//! The signature of a crash: how repetitions of a crash are recognised.
//!
//! It groups by place and kind. What a task can change from one failure to the next without failing
//! in another way does not count: the address that was accessed, and the numbers in the text of a
//! panic. A task can still fail in as many ways as it likes; so the signature has the task, too,
//! and who counts or keeps crashes can do so for each task.

use crate::{CrashFault, Crc32c};

/// The lowest bit of the task in a signature. Below it is a checksum.
const TASK_AT: u32 = 22;

/// Task, fault and place of a crash as one number: crashes with equal numbers are repetitions of
/// each other (X6).
///
/// `fault` is the encoded fault; `registers` are r0 to r12, sp, lr, pc, psr; `text` is [`text_sum`]
/// of the panic message, 0 if there is none.
///
/// The place is the program counter; of a fault in a system call it is the return address, as all
/// calls share one stub. Only the kind of the fault counts, not the address that was accessed: a
/// wild pointer seldom has the same value twice. Most panics have the same place, so they are told
/// apart by their text. A hang has no place: the supervisor stops it anywhere in its loop; nor has
/// a task that is not alive. Where the registers are not known, zeros, there is none either, and
/// faults of one kind count as the same, wherever they were.
#[must_use]
pub fn signature(task: u16, fault: &[u8], registers: &[u32; 17], text: u32) -> u32 {
    let [.., lr, pc, _psr] = registers;
    let by_call = CrashFault::is_by_system_call(fault);
    let kind = fault.first().copied().unwrap_or(u8::MAX);
    let sum = Crc32c::new()
        .word(u32::from(task) << 8 | u32::from(kind))
        .word(match kind {
            CrashFault::HANG | CrashFault::NOT_ALIVE => 0,
            _ if by_call => *lr,
            _ => *pc,
        })
        .word(text)
        .value();
    u32::from(task) << TASK_AT | sum >> (u32::BITS - TASK_AT)
}

/// The task of a signature: the lowest ten bits of its index. Those of the kernel are all ones.
#[must_use]
pub const fn signature_task(signature: u32) -> u32 {
    signature >> TASK_AT
}

/// A checksum of the text of a panic, without what may be different each time: words that contain a
/// digit, that is, numbers and addresses, are left out. Only the line and the column behind the
/// name of a Rust source file count, as they are the place of the panic. 0 if the text is empty.
///
/// `text` is the panic message as the crash has it; each byte costs about ten instructions.
#[must_use]
pub fn text_sum(text: &[u8]) -> u32 {
    let mut sum = 0u32;
    // The sum before the present word; `None` outside of words.
    let mut before = None;
    let mut has_digit = false;
    let mut is_place = false;
    let mut last = 0u32;
    for &byte in text {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            if before.is_none() {
                before = Some(sum);
                has_digit = false;
                is_place |= last == PLACE_FOLLOWS;
            }
            has_digit |= byte.is_ascii_digit();
        } else {
            if let Some(before) = before.take()
                && has_digit
                && !is_place
            {
                sum = before;
            }
            is_place &= byte == b':';
        }
        sum = (sum ^ u32::from(byte)).wrapping_mul(FNV_PRIME);
        last = last << 8 | u32::from(byte);
    }
    match before {
        Some(before) if has_digit && !is_place => before,
        _ => sum,
    }
}

/// What is before the line of a place in a Rust source file.
const PLACE_FOLLOWS: u32 = u32::from_be_bytes(*b".rs:");

/// The multiplier of the FNV-1a hash, which is cheaper for single bytes than a checksum.
const FNV_PRIME: u32 = 0x0100_0193;

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ: X6 (in part: what counts as the same crash), X18 (in part: whatever its messages say)
    #[test]
    fn numbers_in_the_text_of_a_panic_do_not_count() {
        let same = [
            ["job 1 of 2 failed", "job 77 of 1000 failed"],
            ["no answer from 0x80840000", "no answer from 0xdeadbeef"],
            ["left 0", "left 4294967295"],
            [
                "panicked at src/main.rs:12:5:\nindex out of bounds: the len is 4 but the index is 4",
                "panicked at src/main.rs:12:5:\nindex out of bounds: the len is 4 but the index is 9",
            ],
        ];
        for [one, other] in same {
            assert_eq!(
                text_sum(one.as_bytes()),
                text_sum(other.as_bytes()),
                "{one}"
            );
        }
    }

    #[test]
    fn place_and_words_of_a_panic_count() {
        let texts = [
            "",
            "panicked at src/main.rs:12:5:\nno answer",
            "panicked at src/main.rs:13:5:\nno answer",
            "panicked at src/main.rs:12:6:\nno answer",
            "panicked at src/mail.rs:12:5:\nno answer",
            "panicked at src/main.rs:12:5:\nno question",
            "panicked at 'no answer', src/main.rs:12:5",
            "panicked at 'no answer', src/main.rs:12:6",
        ];
        let mut sums: Vec<u32> = texts.iter().map(|text| text_sum(text.as_bytes())).collect();
        assert_eq!(sums[0], 0);
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), texts.len());
    }

    #[test]
    fn a_signature_has_its_task() {
        for task in [0, 5, 1022, u16::MAX] {
            let of_task = signature(task, &[8], &[7; 17], 3);
            assert_eq!(signature_task(of_task), u32::from(task) & 0x3ff);
        }
        let place = |pc| signature(5, &[1], &core::array::from_fn(|at| pc + at as u32), 0);
        assert_ne!(place(1), place(2));
    }
}
