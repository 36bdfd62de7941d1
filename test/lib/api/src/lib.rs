//! The protocol between the tasks of the kernel's test image.
//!
//! The `runner` is the supervisor and prints the results. The `suite` asks it for a case, runs the
//! case and reports that it passed. A case that fails panics; the runner, which receives every
//! fault, prints the message and restarts the suite for the next case. The `assist` tasks do what
//! would fault the suite: they make system calls with any arguments, access any address, and fault
//! on request.
//!
//! Messages are little-endian words. The protocol uses plain SEND instead of Idol, because the
//! tests are about the layer below Idol.

#![no_std]
#![forbid(unsafe_code)]

use userlib::{FaultInfo, TaskId, sys_send};

/// Words in the longest message.
pub const WORDS: usize = 9;

/// Operations of the runner.
pub mod runner {
    /// Asks for the next case. Returns its number.
    pub const NEXT: u16 = 1;
    /// Reports that a case begins; the message is its name. The assists are restarted.
    pub const BEGIN: u16 = 2;
    /// Reports that the case passed.
    pub const PASSED: u16 = 3;
    /// Reports that there is no case with this number: all are done.
    pub const FINISHED: u16 = 4;
    /// Asks for the last fault of a task (index). Returns the count of its faults in this case and
    /// the fault.
    pub const LAST_FAULT: u16 = 5;
    /// From now on do not restart faulted assists (1), or restart them (0).
    pub const HOLD: u16 = 6;
    /// Make the interrupts behind a notification (task index, mask) pending.
    pub const SOFTWARE_IRQ: u16 = 7;
    /// Read the registers of a task (by index) as the supervisor may; returns r11, sp, lr, pc and
    /// psr.
    pub const REGISTERS: u16 = 8;
    /// Read memory of a task (index, address, length) as the supervisor may; returns the first
    /// bytes.
    pub const READ_DUMP: u16 = 9;
    /// Returns the address of the supervisor's memory for what it saves, 4096 bytes and a granule,
    /// and that of the retained region.
    pub const SAVE_PLACES: u16 = 10;
    /// Asks for a range of memory for snapshots (owner, number) as the supervisor may; returns
    /// whether there is one, address and length.
    pub const SAVED_MEMORY: u16 = 11;
    /// Saves memory (owner, address, length, destination) as the supervisor may; returns the error
    /// or 0, map, bytes, and both words of the checksum.
    pub const SAVE_MEMORY: u16 = 12;
    /// Sets memory of a task aside (index, address, length, destination) and restarts the task, as
    /// the supervisor may; returns how many bytes.
    pub const SAVE_AND_RESTART: u16 = 13;
    /// Returns eight words of the supervisor's memory (address).
    pub const READ_WORDS: u16 = 14;
    /// Stores a word to the supervisor's memory (address, count, word).
    pub const FILL_WORDS: u16 = 15;
    /// Reads a register of a device (task index, address) as the supervisor may; returns the error
    /// or 0, and the word.
    pub const READ_DEVICE: u16 = 16;
    /// Asks what a task may do with memory (index, address, length) as the supervisor may; returns
    /// 0 for nothing, 1 for memory, 2 for a device.
    pub const CHECK_ACCESS: u16 = 17;
    /// Saves the entries of a list (address, count, destination, its length) as the supervisor may;
    /// returns the error or 0, how many entries are done, and how many bytes were stored.
    pub const SAVE_LIST: u16 = 18;
    /// Returns how many ticks ago the suite ran, as the supervisor may ask.
    pub const SUITE_RAN: u16 = 19;
    /// Has a task (index) come back to its receive? As the supervisor may ask; returns 0 or 1.
    pub const TAKE_RETURN: u16 = 20;
}

/// Operations of an assist.
pub mod assist {
    /// Replies with the message that it received.
    pub const ECHO: u16 = 1;
    /// Replies with this code and no message.
    pub const CODE: u16 = 2;
    /// Returns operation, message length, reply capacity and lease count, as RECV returned them.
    pub const DESCRIBE: u16 = 3;
    /// Makes the system call (number, seven arguments) and returns r4 to r10 after it.
    pub const SYSTEM_CALL: u16 = 4;
    /// Returns the word at an address.
    pub const READ: u16 = 5;
    /// Stores (address, value).
    pub const WRITE: u16 = 6;
    /// Calls an address.
    pub const EXECUTE: u16 = 7;
    /// Recurses until the stack is used up.
    pub const OVERFLOW: u16 = 8;
    /// Panics.
    pub const PANIC: u16 = 9;
    /// Runs an undefined instruction: UDF, or one that reads DBGDSCRint (1), TEEHBR (2) or d16 (3).
    pub const UNDEFINED: u16 = 10;
    /// Replies first, then sends (target, operation, reply capacity, reply address or 0) with a
    /// message of one word.
    pub const CALL_BACK: u16 = 11;
    /// Returns code, length and first word of the reply to the last call-back.
    pub const CALLED_BACK: u16 = 12;
    /// Replies with this many bytes, whatever the capacity.
    pub const REPLY_BYTES: u16 = 13;
    /// Reads lease (index, offset, length) of the caller; returns code, length and the first word.
    pub const BORROW_READ: u16 = 14;
    /// Writes bytes 1, 2, 3, ... to lease (index, offset, length); returns code and length.
    pub const BORROW_WRITE: u16 = 15;
    /// Returns whether there is information about lease (index), its attributes and its length.
    pub const BORROW_INFO: u16 = 16;
    /// Posts these bits to the caller, then replies.
    pub const POST_CALLER: u16 = 17;
    /// Fills all floating-point registers with this word and replies.
    pub const CLOBBER_FLOAT: u16 = 18;
    /// Returns the addresses of a word of data, of zeroed data, of text, of the stack, of 64 bytes
    /// of scratch, and of a secret of 16 bytes, `KEY!` four times.
    pub const PLACES: u16 = 19;
    /// Adds 1 to a word of data (initially 7), of zeroed data and of uninitialised data; returns
    /// all three.
    pub const MARK: u16 = 20;
    /// Replies after this number of milliseconds.
    pub const NAP: u16 = 21;
    /// Replies first, then makes the system call (number, seven arguments). [`CALLED_BACK`] returns
    /// r4 to r6 after it.
    pub const SYSTEM_CALL_AFTER: u16 = 22;
    /// Sets the stack pointer to this address and makes a system call.
    pub const STACK: u16 = 23;
    /// Replies first, then sends a word to a task (id) and receives into a buffer (address,
    /// length).
    pub const SEND_THEN_RECEIVE: u16 = 24;
    /// Replies first, then never waits again: computes (0), posts to itself and receives that (1,
    /// own id), or sends to a server (2, its id).
    pub const HANG: u16 = 25;
    /// As [`SYSTEM_CALL_AFTER`], of the eight words at this address.
    pub const SYSTEM_CALL_AT: u16 = 26;
    /// Returns TPIDRURW, and stores this word there.
    pub const THREAD_REGISTER: u16 = 27;
    /// Sends the same operation with one word (own id) to a task (its id). Replies first, unless
    /// the caller is that task: so two of them wait for each other.
    pub const DEADLOCK: u16 = 28;
}

/// Packs words into a message; use with `as_flattened`.
pub fn message<const N: usize>(words: [u32; N]) -> [[u8; 4]; N] {
    words.map(u32::to_le_bytes)
}

/// Reads words from a message; missing ones are zero.
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

/// Sends words and returns the code and the words of the reply.
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

/// Encodes the number of a task's faults and the last fault.
pub fn encode_report(count: u32, fault: Option<FaultInfo>) -> [u8; REPORT] {
    let mut report = [0; REPORT];
    let (head, tail) = report.split_at_mut(4);
    head.copy_from_slice(&count.to_le_bytes());
    // A fault has at most ten bytes. If it does not fit, the report has no fault, and the case
    // fails.
    let _ = ssmarshal::serialize(tail, &fault);
    report
}

/// Decodes a fault report.
pub fn decode_report(report: &[u8]) -> Option<(u32, Option<FaultInfo>)> {
    let (head, tail) = report.split_at_checked(4)?;
    let count = u32::from_le_bytes(head.try_into().ok()?);
    let (fault, _) = ssmarshal::deserialize(tail).ok()?;
    Some((count, fault))
}
