//! SEND, RECV, REPLY, REPLY_FAULT: sections 2.2 to 2.6.

use crate::support::{
    NO_SUCH_TASK, address, assist, faults, first, id, last_fault, myself, second, system_call,
    usage,
};
use crate::{Case, RUNNER, SUITE};
use core::arch::asm;
use test_api::{ask, assist};
use userlib::{
    FaultInfo, FaultSource, ReplyFaultReason, Sysnum, TaskId, UsageError, dead_response_code,
};
use userlib::{
    Generation, Lease, sys_recv, sys_recv_closed, sys_recv_open, sys_reply, sys_reply_fault,
    sys_send,
};

pub const CASES: &[Case] = &[
    ("s2_4_an_answer_comes_back", answer),
    ("s2_6_lengths_are_exact", lengths),
    ("s2_6_codes_are_passed_on", codes),
    ("s2_5_operation_capacity_and_leases_are_told", description),
    (
        "s2_4_send_stale_generation_gets_dead_code",
        send_to_the_past,
    ),
    ("s2_2_send_task_out_of_range", send_to_no_task),
    ("s2_2_send_invalid_slices", send_wrapping),
    ("s2_2_send_foreign_memory", send_foreign),
    ("s2_3_empty_slices_are_not_looked_at", send_empty),
    ("s2_2_recv_invalid_slice", receive_wrapping),
    ("s2_2_recv_foreign_memory", receive_foreign),
    ("s2_2_recv_closed_task_out_of_range", receive_from_no_task),
    (
        "s2_2_recv_closed_stale_generation_gets_dead_code",
        receive_from_the_past,
    ),
    (
        "s2_5_long_message_is_cut_true_length_is_told_deliberate",
        receive_long,
    ),
    ("s2_5_important_senders_come_first", receive_order),
    ("s2_5_closed_receive_takes_only_that_sender", receive_closed),
    ("s2_6_reply_to_who_does_not_wait_is_ignored", reply_ignored),
    ("s2_2_reply_task_out_of_range", reply_to_no_task),
    ("s2_6_reply_too_big_faults_the_replier", reply_too_big),
    (
        "s2_6_bad_reply_buffer_faults_the_client",
        reply_buffer_foreign,
    ),
    ("s2_6_reply_faults_carry_their_reason", reply_faults),
    (
        "s2_2_reply_fault_reason_is_checked_first",
        reply_fault_unknown,
    ),
    ("s2_2_unknown_system_calls", unknown_system_calls),
    ("s2_1_other_registers_keep_their_values", registers_survive),
    (
        "s2_1_floating_point_registers_are_a_tasks_own",
        float_survives,
    ),
];

fn answer() {
    assert_eq!(assist(assist::ECHO, [1, 2, 3, 4])[..5], [1, 2, 3, 4, 0]);
}

fn lengths() {
    for length in 0..=32 {
        let mut sent = [0; 32];
        for (value, byte) in (1..).zip(&mut sent) {
            *byte = value;
        }
        let sent = &sent[..length];
        let mut got = [0xee; 40];
        assert_eq!(
            sys_send(first(), assist::ECHO, sent, &mut got, &[]),
            (0, length)
        );
        assert_eq!(&got[..length], sent);
        assert!(
            got[length..].iter().all(|&byte| byte == 0xee),
            "bytes beyond the reply changed"
        );
    }
}

fn codes() {
    for code in [0, 1, 0xff, 0x8000_0000, 0xffff_feff] {
        assert_eq!(ask(first(), assist::CODE, [code]).0, code);
    }
}

fn description() {
    let lease = [0; 4];
    let leases = [
        Lease::read_only(&lease),
        Lease::read_only(&lease),
        Lease::read_only(&lease),
    ];
    let mut reply = [0; 16];
    assert_eq!(
        sys_send(first(), assist::DESCRIBE, &[0; 5], &mut reply, &leases),
        (0, 16)
    );
    let [operation, length, capacity, leases, ..] = test_api::words(&reply);
    assert_eq!(
        (operation, length, capacity, leases),
        (u32::from(assist::DESCRIBE), 5, 16, 3)
    );
}

/// Memory of the kernel: no task may read or write it.
const KERNEL_TEXT: u32 = 0x8010_0000;

/// A dead code has the present generation of the task.
fn send_to_the_past() {
    let now = first();
    let past = TaskId::for_index_and_gen(
        now.index(),
        Generation::from(u8::from(now.generation()).wrapping_sub(1) & 0x3f),
    );
    assert_eq!(
        ask(past, assist::ECHO, [1]).0,
        dead_response_code(now.generation())
    );
}

fn send_to_no_task() {
    // The first beyond the last task of this image; 0x3fe is an unbound task slot.
    for index in [NO_SUCH_TASK, 0x100, 0x3fe] {
        usage(
            Sysnum::Send,
            [index << 16, 0, 0, 0, 0, 0, 0],
            UsageError::TaskOutOfRange,
        );
    }
}

fn send_wrapping() {
    let target = id(RUNNER.get_task_id()) << 16;
    let (bad, long) = (0xffff_fff0, 0x20);
    usage(
        Sysnum::Send,
        [target, bad, long, 0, 0, 0, 0],
        UsageError::InvalidSlice,
    );
    usage(
        Sysnum::Send,
        [target, 0, 0, bad, long, 0, 0],
        UsageError::InvalidSlice,
    );
    usage(
        Sysnum::Send,
        [target, 0, 0, 0, 0, bad & !3, 3],
        UsageError::InvalidSlice,
    );
    // A lease table must be aligned to a word.
    usage(
        Sysnum::Send,
        [target, 0, 0, 0, 0, 0x8080_0002, 1],
        UsageError::InvalidSlice,
    );
}

fn send_foreign() {
    let secret = [1, 2, 3, 4];
    let at = address(&secret);
    let target = id(RUNNER.get_task_id()) << 16;
    for at in [at, 0, 0x8010_0000, 0x1e75_0000] {
        let fault = FaultInfo::MemoryAccess {
            address: Some(at),
            source: FaultSource::Kernel,
        };
        crate::support::system_call_faults(Sysnum::Send as u32, [target, at, 4, 0, 0, 0, 0], fault);
    }
}

fn send_empty() {
    // Operation 0 of the runner is unknown: it replies with code 1.
    let target = id(RUNNER.get_task_id()) << 16;
    let [code, length, ..] = system_call(
        Sysnum::Send,
        [target, 0x1234_5678, 0, 0xdead_bee0, 0, 0xdead_bee0, 0],
    );
    assert_eq!((code, length), (1, 0));
}

/// A receiver's buffer is checked when there is a message to copy into it.
fn receive_wrapping() {
    let fault = FaultInfo::SyscallUsage(UsageError::InvalidSlice);
    receive_badly(0xffff_fff0, 0x20, fault);
}

fn receive_foreign() {
    let fault = FaultInfo::MemoryAccess {
        address: Some(KERNEL_TEXT),
        source: FaultSource::Kernel,
    };
    receive_badly(KERNEL_TEXT, 4, fault);
}

/// The assist receives into that buffer, and this task sends to it.
fn receive_badly(buffer: u32, length: u32, fault: FaultInfo) {
    let task = first();
    let number = Sysnum::Recv as u32;
    let arguments = [number, buffer, length, 0, 0, 0, 0, 0];
    assert_eq!(ask(task, assist::SYSTEM_CALL_AFTER, arguments).0, 0);
    let (code, _) = ask(task, assist::ECHO, [1]);
    assert_eq!(
        code,
        dead_response_code(task.next_generation().generation())
    );
    assert_eq!(last_fault(task.index()), (1, Some(fault)));
}

fn receive_from_no_task() {
    usage(
        Sysnum::Recv,
        [0, 0, 0, 0x8000_0000 | NO_SUCH_TASK, 0, 0, 0],
        UsageError::TaskOutOfRange,
    );
}

fn receive_from_the_past() {
    let now = first();
    let past = TaskId::for_index_and_gen(
        now.index(),
        Generation::from(u8::from(now.generation()).wrapping_sub(1) & 0x3f),
    );
    assert_eq!(
        sys_recv(&mut [], 0, Some(past)).err(),
        Some(dead_response_code(now.generation()))
    );
}

/// A deliberate difference from upstream's code: RECV returns the length that was sent.
fn receive_long() {
    call_back(first(), 8);
    let mut buffer = [0; 2];
    let received = sys_recv_open(&mut buffer, 0);
    assert_eq!(
        (
            received.message_len,
            received.operation,
            received.response_capacity
        ),
        (4, 0x55, 8)
    );
    assert_eq!(buffer, [0xcc, 0xba]);
    sys_reply(received.sender, 0, &[]);
}

/// Makes an assist send to this task: one word, operation 0x55.
fn call_back(task: TaskId, capacity: u32) {
    assert_eq!(
        ask(task, assist::CALL_BACK, [id(myself()), 0x55, capacity]).0,
        0
    );
}

/// Code, length and first word of the reply to the first assist's call.
fn called_back() -> (u32, u32, u32) {
    let [code, length, word, ..] = assist(assist::CALLED_BACK, []);
    (code, length, word)
}

fn receive_order() {
    // The first assist calls first, but the second is more important.
    call_back(first(), 4);
    call_back(second(), 4);
    for sender in [second(), first()] {
        let received = sys_recv_open(&mut [0; 8], 0);
        assert_eq!(received.sender, sender);
        sys_reply(received.sender, 7, &[1, 0, 0, 0]);
    }
    assert_eq!(called_back(), (7, 4, 1));
}

fn receive_closed() {
    call_back(second(), 4);
    call_back(first(), 4);
    for sender in [first(), second()] {
        let received = sys_recv_closed(&mut [0; 8], 0, sender)
            .unwrap_or_else(|_| panic!("the sender has another generation"));
        assert_eq!(received.sender, sender);
        sys_reply(received.sender, 0, &[]);
    }
}

fn reply_ignored() {
    // A task that does not wait for this one; this task itself; a past generation.
    sys_reply(first(), 0, &[1]);
    sys_reply(myself(), 0, &[1]);
    sys_reply(
        TaskId::for_index_and_gen(SUITE.get_task_id().index(), Generation::from(63)),
        0,
        &[1],
    );
    sys_reply_fault(first(), ReplyFaultReason::BadLeases);
    assert_eq!(assist(assist::ECHO, [9])[0], 9);
    assert_eq!(last_fault(first().index()).0, 0);
}

fn reply_to_no_task() {
    usage(
        Sysnum::Reply,
        [NO_SUCH_TASK, 0, 0, 0, 0, 0, 0],
        UsageError::TaskOutOfRange,
    );
    usage(
        Sysnum::ReplyFault,
        [NO_SUCH_TASK, 0, 0, 0, 0, 0, 0],
        UsageError::TaskOutOfRange,
    );
}

fn reply_too_big() {
    // This task's reply buffer has 36 bytes.
    assert_eq!(ask(first(), assist::REPLY_BYTES, [36]).0, 0);
    faults(
        assist::REPLY_BYTES,
        [37],
        FaultInfo::SyscallUsage(UsageError::ReplyTooBig),
    );
}

/// The assist waits with a reply buffer in the kernel's text: the reply faults the assist and not
/// this task.
fn reply_buffer_foreign() {
    let caller = first();
    assert_eq!(
        ask(
            caller,
            assist::CALL_BACK,
            [id(myself()), 0x55, 8, KERNEL_TEXT]
        )
        .0,
        0
    );
    let received = sys_recv_open(&mut [0; 8], 0);
    assert_eq!(received.sender, caller);
    sys_reply(received.sender, 0, &[0; 8]);
    let fault = FaultInfo::MemoryAccess {
        address: Some(KERNEL_TEXT),
        source: FaultSource::Kernel,
    };
    assert_eq!(last_fault(caller.index()), (1, Some(fault)));
}

fn reply_faults() {
    let reasons = [
        ReplyFaultReason::UndefinedOperation,
        ReplyFaultReason::BadMessageSize,
        ReplyFaultReason::BadMessageContents,
        ReplyFaultReason::BadLeases,
        ReplyFaultReason::ReplyBufferTooSmall,
        ReplyFaultReason::AccessViolation,
    ];
    for reason in reasons {
        let caller = first();
        call_back(caller, 4);
        let received = sys_recv_open(&mut [0; 8], 0);
        assert_eq!(received.sender, caller);
        sys_reply_fault(caller, reason);
        // The runner is more important than this task: it has received the fault when the call
        // returns.
        assert_eq!(
            last_fault(caller.index()).1,
            Some(FaultInfo::FromServer(myself(), reason))
        );
        assert_eq!(first(), caller.next_generation());
    }
}

fn reply_fault_unknown() {
    // The reason is checked before the task.
    usage(
        Sysnum::ReplyFault,
        [NO_SUCH_TASK, 6, 0, 0, 0, 0, 0],
        UsageError::BadReplyFaultReason,
    );
}

fn unknown_system_calls() {
    for number in [14, 15, 0x100, u32::MAX] {
        crate::support::system_call_faults(
            number,
            [0; 7],
            FaultInfo::SyscallUsage(UsageError::BadSyscallNumber),
        );
    }
}

/// All registers but those of the results keep their values: GET_TIMER has six results, POST one
/// and a zero.
fn registers_survive() {
    let [code, zero, rest @ ..] = system_call(Sysnum::Post, [id(first()), 0, 3, 4, 5, 6, 7]);
    assert_eq!((code, zero), (0, 0));
    assert_eq!(rest, [3, 4, 5, 6, 7]);
    // The kernel must not change r0 to r3, r12 and lr either.
    let (r0, r1, r2, r3, r12): (u32, u32, u32, u32, u32);
    // SAFETY: SET_TIMER with these arguments clears this task's timer, which no case relies on.
    // Registers that are used are declared; r6 and r7 cannot be and are saved around.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "svc #0",
            "pop {{r6, r7}}",
            inout("r0") 0x1000_u32 => r0,
            inout("r1") 0x1001_u32 => r1,
            inout("r2") 0x1002_u32 => r2,
            inout("r3") 0x1003_u32 => r3,
            inout("r12") 0x100c_u32 => r12,
            in("r4") 0,
            in("r5") 0,
            in("r11") Sysnum::SetTimer as u32,
        );
    }
    assert_eq!(
        [r0, r1, r2, r3, r12],
        [0x1000, 0x1001, 0x1002, 0x1003, 0x100c]
    );
}

fn float_survives() {
    let mine = 0x4048_f5c3_u32;
    let (low, high): (u32, u32);
    let target = id(first()) << 16 | u32::from(assist::CLOBBER_FLOAT);
    let word = 0xdead_beef_u32.to_le_bytes();
    // SAFETY: a SEND whose message is `word` and nothing else; the registers that it uses are
    // declared or saved.
    unsafe {
        asm!(
            "vmov d0, {mine}, {mine}",
            "vmov d15, {mine}, {mine}",
            "push {{r6, r7, r8, r9, r10, r11}}",
            "mov r6, #4",
            "mov r7, #0",
            "mov r8, #0",
            "mov r9, #0",
            "mov r10, #0",
            "mov r11, #0",
            "svc #0",
            "pop {{r6, r7, r8, r9, r10, r11}}",
            "vmov {low}, s0",
            "vmov {high}, s31",
            mine = in(reg) mine,
            low = lateout(reg) low,
            high = lateout(reg) high,
            inout("r4") target => _,
            inout("r5") word.as_ptr() => _,
            out("d0") _,
            out("d15") _,
        );
    }
    assert_eq!((low, high), (mine, mine));
}
