//! Functions and constants that the cases share.

use crate::{ASSIST, RUNNER, SECOND, SUITE, THIRD};
use test_api::{REPORT, WORDS, ask, assist, decode_report, message, runner};
use userlib::{
    FaultInfo, FaultSource, Sysnum, TaskId, UsageError, extract_new_generation,
    sys_refresh_task_id, sys_send,
};

/// The first index without a task in this image.
pub const NO_SUCH_TASK: u32 = 6;

/// An address that no task may touch: the kernel's text.
pub const KERNEL_TEXT: u32 = 0x8010_0000;

/// Asks the supervisor for something.
pub fn supervisor<const N: usize>(operation: u16, arguments: [u32; N]) -> [u32; WORDS] {
    let (code, reply) = ask(RUNNER.get_task_id(), operation, arguments);
    assert_eq!(code, 0, "runner, operation {operation}");
    reply
}

/// The first assist, in its present generation.
pub fn first() -> TaskId {
    sys_refresh_task_id(ASSIST.get_task_id())
}

/// The second assist, which is more important than the first.
pub fn second() -> TaskId {
    sys_refresh_task_id(SECOND.get_task_id())
}

/// The third assist, as important as the first and after the second in the task table. Each case
/// begins with it stopped.
pub fn third() -> TaskId {
    sys_refresh_task_id(THIRD.get_task_id())
}

/// This task.
pub fn myself() -> TaskId {
    sys_refresh_task_id(SUITE.get_task_id())
}

/// Calls an operation of the first assist, which succeeds.
pub fn assist<const N: usize>(operation: u16, arguments: [u32; N]) -> [u32; WORDS] {
    let (code, reply) = ask(first(), operation, arguments);
    assert_eq!(code, 0, "assist, operation {operation}");
    reply
}

/// Makes the first assist make a system call that returns; r4 to r10 after it.
pub fn system_call(number: Sysnum, arguments: [u32; 7]) -> [u32; 7] {
    let [a, b, c, d, e, f, g] = arguments;
    let [_, a, b, c, d, e, f, g, ..] =
        assist(assist::SYSTEM_CALL, [number as u32, a, b, c, d, e, f, g]);
    [a, b, c, d, e, f, g]
}

/// How often the task with this index faulted in this case, and how last.
pub fn last_fault(index: usize) -> (u32, Option<FaultInfo>) {
    let mut report = [0; REPORT];
    let (code, length) = sys_send(
        RUNNER.get_task_id(),
        runner::LAST_FAULT,
        message([index as u32]).as_flattened(),
        &mut report,
        &[],
    );
    assert_eq!((code, length), (0, REPORT));
    decode_report(&report).unwrap_or_else(|| panic!("the runner's report does not decode"))
}

/// Calls an operation of the first assist that must fault it once, with this fault. The assist is
/// restarted.
pub fn faults<const N: usize>(operation: u16, arguments: [u32; N], expected: FaultInfo) {
    let before = first();
    let (count_before, _) = last_fault(before.index());
    let (code, _) = ask(before, operation, arguments);
    let (count, fault) = last_fault(before.index());
    assert_eq!(fault, Some(expected), "answer {code:#x}");
    assert_eq!(count, count_before + 1, "faults");
    assert_eq!(
        extract_new_generation(code),
        Some(before.next_generation().generation())
    );
    assert_eq!(first(), before.next_generation());
    // It works again, and no other task was faulted.
    assert_eq!(assist(assist::ECHO, [1, 2, 3])[..3], [1, 2, 3]);
    assert_eq!(last_fault(second().index()).0, 0);
}

/// The fault of a task that names memory of another program in a system call.
pub fn foreign(address: u32) -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(address),
        source: FaultSource::Kernel,
    }
}

/// Makes a task make a system call after its reply. [`brought`] returns the result.
pub fn call_after(task: TaskId, number: Sysnum, arguments: [u32; 7]) {
    let [a, b, c, d, e, f, g] = arguments;
    let message = [number as u32, a, b, c, d, e, f, g];
    assert_eq!(ask(task, assist::SYSTEM_CALL_AFTER, message).0, 0);
}

/// Makes a task send one word to another (operation 0x55 of this task, any of an assist), with room
/// for `capacity` bytes.
pub fn call_back(task: TaskId, target: TaskId, operation: u16, capacity: u32) {
    let message = [id(target), u32::from(operation), capacity];
    assert_eq!(ask(task, assist::CALL_BACK, message).0, 0);
}

/// Result of the last call-back, or of the last system call after a reply: r4 (code), r5 (length),
/// first word or r6.
pub fn brought(task: TaskId) -> (u32, u32, u32) {
    let (code, [a, b, c, ..]) = ask(task, assist::CALLED_BACK, []);
    assert_eq!(code, 0);
    (a, b, c)
}

/// From now on the supervisor leaves faulted assists as they are.
pub fn hold() {
    supervisor(runner::HOLD, [1]);
}

/// Makes the first assist make a system call that must fault it with this fault.
pub fn system_call_faults(number: u32, arguments: [u32; 7], expected: FaultInfo) {
    let [a, b, c, d, e, f, g] = arguments;
    faults(assist::SYSTEM_CALL, [number, a, b, c, d, e, f, g], expected);
}

/// The same as [`system_call_faults`], for a usage error.
pub fn usage(number: Sysnum, arguments: [u32; 7], expected: UsageError) {
    system_call_faults(number as u32, arguments, FaultInfo::SyscallUsage(expected));
}

/// A task id as an argument of system calls.
pub fn id(task: TaskId) -> u32 {
    u32::from(task.0)
}

/// The address of a value, as an argument of an assist.
pub fn address<T: ?Sized>(of: *const T) -> u32 {
    of.addr() as u32
}

/// Puts words into memory of the first assist, for system calls, and returns their address. A
/// restart clears them.
pub fn scratch<const N: usize>(words: [u32; N]) -> u32 {
    let [_, _, _, _, scratch, ..] = assist(assist::PLACES, []);
    for (address, word) in (scratch..).step_by(4).zip(words) {
        assist(assist::WRITE, [address, word]);
    }
    scratch
}
