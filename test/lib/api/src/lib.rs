//! What the tasks of the kernel's test image say to each other.
//!
//! The `runner` is the supervisor and prints the results. The `suite` asks it for a case, runs the case and says that
//! it passed; a case that fails panics, and the runner, which sees every fault, prints the message and restarts the
//! suite for the next one. The `assist` tasks do what would kill the suite: they make system calls with any arguments,
//! touch any address, fault on demand.
//!
//! Messages are little-endian words. The protocol uses plain SEND, not Idol: what is under test is below Idol.

#![no_std]
#![forbid(unsafe_code)]

use userlib::{FaultInfo, TaskId, sys_send};

/// Words in the longest message.
pub const WORDS: usize = 9;

/// Operations of the runner.
pub mod runner {
    /// Which case is next? Answers its number.
    pub const NEXT: u16 = 1;
    /// A case begins; its name is the message. The assists are restarted.
    pub const BEGIN: u16 = 2;
    /// The case passed.
    pub const PASSED: u16 = 3;
    /// There is no such case: all are done.
    pub const FINISHED: u16 = 4;
    /// How did this task (by index) fault last? Answers the count of its faults in this case and the fault.
    pub const LAST_FAULT: u16 = 5;
    /// From now on leave faulted assists alone (1) or restart them (0).
    pub const HOLD: u16 = 6;
    /// Make the interrupts behind a notification (task index, mask) pending.
    pub const SOFTWARE_IRQ: u16 = 7;
    /// Read the registers of a task (by index) as the supervisor may; answers r11, sp, lr, pc and psr.
    pub const REGISTERS: u16 = 8;
    /// Read memory of a task (index, address, length) as the supervisor may; answers the first bytes.
    pub const READ_DUMP: u16 = 9;
}

/// Operations of an assist.
pub mod assist {
    /// Answers the message it got.
    pub const ECHO: u16 = 1;
    /// Answers with this code and no message.
    pub const CODE: u16 = 2;
    /// Answers operation, message length, reply capacity and lease count as RECV gave them.
    pub const DESCRIBE: u16 = 3;
    /// Makes the system call (number, seven arguments) and answers r4 to r10 after it.
    pub const SYSTEM_CALL: u16 = 4;
    /// Answers the word at an address.
    pub const READ: u16 = 5;
    /// Stores (address, value).
    pub const WRITE: u16 = 6;
    /// Calls an address.
    pub const EXECUTE: u16 = 7;
    /// Recurses until the stack is used up.
    pub const OVERFLOW: u16 = 8;
    /// Panics.
    pub const PANIC: u16 = 9;
    /// Runs an undefined instruction.
    pub const UNDEFINED: u16 = 10;
    /// Answers first, then sends (target, operation, reply capacity, reply address or 0) with a message of one word.
    pub const CALL_BACK: u16 = 11;
    /// Answers code, length and first word of what the last call-back brought.
    pub const CALLED_BACK: u16 = 12;
    /// Replies with this many bytes, whatever the capacity.
    pub const REPLY_BYTES: u16 = 13;
    /// Reads lease (index, offset, length) of the caller; answers code, length and the first word.
    pub const BORROW_READ: u16 = 14;
    /// Writes bytes 1, 2, 3, ... to lease (index, offset, length); answers code and length.
    pub const BORROW_WRITE: u16 = 15;
    /// Answers whether there is information about lease (index), its attributes and its length.
    pub const BORROW_INFO: u16 = 16;
    /// Posts these bits to the caller, then answers.
    pub const POST_CALLER: u16 = 17;
    /// Fills all floating-point registers with this word and answers.
    pub const CLOBBER_FLOAT: u16 = 18;
    /// Answers the addresses of a word of data, of zeroed data, of text, of the stack and of 64 bytes of scratch.
    pub const PLACES: u16 = 19;
    /// Adds 1 to a word of data (initially 7), of zeroed data and of uninitialised data; answers all three.
    pub const MARK: u16 = 20;
    /// Answers after so many milliseconds.
    pub const NAP: u16 = 21;
    /// Answers first, then makes the system call (number, seven arguments); r4 to r6 after it can be asked for as what
    /// the last call-back brought.
    pub const SYSTEM_CALL_AFTER: u16 = 22;
    /// Sets the stack pointer to this address and makes a system call.
    pub const STACK: u16 = 23;
    /// Answers first, then sends a word to a task (id) and receives into a buffer (address, length).
    pub const SEND_THEN_RECEIVE: u16 = 24;
}

/// Packs words into a message; use with `as_flattened`.
pub fn message<const N: usize>(words: [u32; N]) -> [[u8; 4]; N] {
    words.map(u32::to_le_bytes)
}

/// Reads words out of a message; those that are not there are zero.
pub fn words(message: &[u8]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(message.chunks_exact(4)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u32::from(byte));
    }
    words
}

/// Sends words and returns the code and the words of the answer.
pub fn ask<const N: usize>(
    task: TaskId,
    operation: u16,
    arguments: [u32; N],
) -> (u32, [u32; WORDS]) {
    let mut reply = [[0; 4]; WORDS];
    let (code, length) = sys_send(
        task,
        operation,
        message(arguments).as_flattened(),
        reply.as_flattened_mut(),
        &[],
    );
    (
        code,
        words(reply.as_flattened().get(..length).unwrap_or(&[])),
    )
}

/// Bytes of a fault report: a count and a fault.
pub const REPORT: usize = 4 + 16;

/// Encodes how often and how a task faulted.
pub fn encode_report(count: u32, fault: Option<FaultInfo>) -> [u8; REPORT] {
    let mut report = [0; REPORT];
    let (head, tail) = report.split_at_mut(4);
    head.copy_from_slice(&count.to_le_bytes());
    // A fault takes at most ten bytes; if that ever changes the report says "none" and the case fails.
    let _ = ssmarshal::serialize(tail, &fault);
    report
}

/// Decodes it.
pub fn decode_report(report: &[u8]) -> Option<(u32, Option<FaultInfo>)> {
    let (head, tail) = report.split_at_checked(4)?;
    let count = u32::from_le_bytes(head.try_into().ok()?);
    let (fault, _) = ssmarshal::deserialize(tail).ok()?;
    Some((count, fault))
}
