//! Kernel IPC byte by byte: section 4.

use crate::Case;
use crate::support::{
    KERNEL_TEXT, NO_SUCH_TASK, assist, brought, call_after, call_back, first, foreign, hold, id,
    last_fault, myself, scratch, second, system_call, system_call_faults, third, usage,
};
use test_api::{REPORT, ask, assist, message, runner};
use userlib::{
    FaultInfo, Kipcnum, SchedState, Sysnum, TaskId, TaskState, UsageError, dead_response_code,
    kipc, sys_send,
};

pub const CASES: &[Case] = &[
    ("s4_1_trailing_bytes_are_ignored", trailing),
    ("s4_1_leases_are_not_looked_at", leases),
    ("s4_1_response_buffer_must_be_the_callers", response_buffer),
    ("s4_1_request_must_be_the_callers", request),
    ("s4_kipc1_encodings_of_states", states),
    ("s4_kipc1_encodings_of_faults", faults),
    ("s4_kipc2_bool_is_0_or_1", bad_bool),
    ("s4_kipc2_waiting_for_a_reply_gets_the_dead_code", in_reply),
    ("s4_kipc2_faulted_peers_are_left_alone", faulted_peer),
    ("s4_kipc2_of_oneself_with_start", self_start),
    ("s4_kipc2_of_oneself_without_start", self_stop),
    ("s4_kipc3_does_not_unblock_peers", peers_stay),
    ("s4_kipc3_second_fault_keeps_the_state_before", second_fault),
    ("s4_kipc4_is_eight_bytes", image_id),
    ("s4_kipc6_encodings", dump_region),
    ("s4_kipc7_of_record_memory_and_dma_memory", read_dump),
    ("s4_kipc9_encodings_and_range", find_faulted),
    ("s4_kipc10_bad_panic_buffer", bad_panic_buffer),
    ("s4_kipc10_is_cut_to_the_buffer", panic_message_cut),
    (
        "s4_kipc10_callers_bad_buffer_faults_the_caller",
        panic_message_buffer,
    ),
];

/// A request and its response: code, length, bytes.
fn call(operation: u16, request: &[u8]) -> (u32, usize, [u8; 24]) {
    let mut response = [0xee; 24];
    let (code, length) = sys_send(TaskId::KERNEL, operation, request, &mut response, &[]);
    (code, length, response)
}

#[track_caller]
fn answers(operation: u16, request: &[u8], wanted: &[u8]) {
    let (code, length, bytes) = call(operation, request);
    assert_eq!((code, &bytes[..length]), (0, wanted));
    assert!(bytes[length..].iter().all(|&byte| byte == 0xee));
}

fn index(task: TaskId) -> [u8; 4] {
    (task.index() as u32).to_le_bytes()
}

/// The first argument of SEND for a kernel IPC request.
fn kernel(operation: Kipcnum) -> u32 {
    id(TaskId::KERNEL) << 16 | operation as u32
}

fn trailing() {
    let [a, b, c, d] = index(first());
    answers(1, &[a, b, c, d, 9, 9, 9], &[0, 4, 0]);
    let long = [
        [a, b, c, d],
        [0xff; 4],
        [0xff; 4],
        [0xff; 4],
        [0xff; 4],
        [0xff; 4],
    ];
    answers(1, long.as_flattened(), &[0, 4, 0]);
}

/// The lease table is malformed, then absent.
fn leases() {
    let place = scratch([first().index() as u32, 0xeeee_eeee]);
    let arguments = [
        kernel(Kipcnum::ReadTaskStatus),
        place,
        4,
        place + 4,
        4,
        0xdead_beef,
        7,
    ];
    let [code, length, ..] = system_call(Sysnum::Send, arguments);
    assert_eq!((code, length), (0, 2));
    // The state is runnable: this task has made the call.
    assert_eq!(assist(assist::READ, [place + 4])[0], 0xeeee_0100);
}

fn response_buffer() {
    let place = scratch([first().index() as u32]);
    let operation = kernel(Kipcnum::ReadTaskStatus);
    let bad = [operation, place, 4, KERNEL_TEXT, 16, 0, 0];
    system_call_faults(Sysnum::Send as u32, bad, foreign(KERNEL_TEXT));
    let place = scratch([first().index() as u32]);
    let bad = [operation, place, 4, 0xffff_fff0, 0x20, 0, 0];
    usage(Sysnum::Send, bad, UsageError::InvalidSlice);
}

fn request() {
    let bad = [kernel(Kipcnum::ReadTaskStatus), KERNEL_TEXT, 4, 0, 0, 0, 0];
    system_call_faults(Sysnum::Send as u32, bad, foreign(KERNEL_TEXT));
    let bad = [
        kernel(Kipcnum::ReadTaskStatus),
        0xffff_fff0,
        0x20,
        0,
        0,
        0,
        0,
    ];
    usage(Sysnum::Send, bad, UsageError::InvalidSlice);
}

fn states() {
    let two = |task: TaskId| task.0.to_le_bytes();
    let ([m0, m1], [s0, s1]) = (two(myself()), two(second()));
    answers(1, &index(third()), &[0, 0]);
    answers(1, &index(myself()), &[0, 1]);
    answers(1, &index(first()), &[0, 4, 0]);
    call_back(first(), myself(), 0x55, 4);
    answers(1, &index(first()), &[0, 2, m0, m1]);
    let received = userlib::sys_recv_open(&mut [0; 4], 0);
    answers(1, &index(first()), &[0, 3, m0, m1]);
    userlib::sys_reply(received.sender, 0, &[]);
    let closed = 0x8000_0000 | id(second());
    call_after(first(), Sysnum::Recv, [0, 0, 0, closed, 0, 0, 0]);
    answers(1, &index(first()), &[0, 4, 1, s0, s1]);
    call_after(second(), Sysnum::Recv, [0, 0, 0, 0x8000_ffff, 0, 0, 0]);
    answers(1, &index(second()), &[0, 4, 1, 0xff, 0xff]);
}

/// Encoding of the faulted state: the fault, and the state before it, which is runnable unless
/// another task injected it.
fn faults() {
    hold();
    let [m0, m1] = myself().0.to_le_bytes();
    let access = |source| {
        let [a, b, c, d] = 0x0000_0ffc_u32.to_le_bytes();
        [1, 0, 1, a, b, c, d, source, 1]
    };
    let reply = |task| [Sysnum::Reply as u32, id(task), 0, 0xffc, 4, 0, 0, 0];
    let cases: [(u16, [u32; 8], &[u8]); 5] = [
        (assist::READ, [0xffc, 0, 0, 0, 0, 0, 0, 0], &access(0)),
        (assist::PANIC, [0; 8], &[1, 8, 1]),
        (assist::UNDEFINED, [0; 8], &[1, 5, 1]),
        (
            assist::SYSTEM_CALL,
            [Sysnum::Reply as u32, 0, 0, 0xffc, 4, 0, 0, 0],
            &access(1),
        ),
        (
            assist::SYSTEM_CALL,
            [99, 0, 0, 0, 0, 0, 0, 0],
            &[1, 7, 0, 1],
        ),
    ];
    for (operation, arguments, wanted) in cases {
        // The second asks the first, so that this task does not wait for a task that stays faulted.
        // The reply goes to the second, which waits for it.
        let is_reply = arguments[0] == Sysnum::Reply as u32;
        let arguments = if is_reply { reply(second()) } else { arguments };
        let place = scratch_of_second(arguments);
        let target = id(first()) << 16 | u32::from(operation);
        call_after(
            second(),
            Sysnum::Send,
            [target, place, 32, place + 32, 8, 0, 0],
        );
        answers(1, &index(first()), wanted);
        for task in [first(), second()] {
            kipc::reinit_task(task.index(), true);
        }
    }
    // After its restart it has to run before it waits again.
    assist(assist::ECHO, [1]);
    kipc::fault_task(first().index());
    answers(1, &index(first()), &[1, 9, m0, m1, 4, 0]);
    kipc::reinit_task(first().index(), true);
    call_back(first(), myself(), 0x55, 4);
    let received = userlib::sys_recv_open(&mut [0; 4], 0);
    userlib::sys_reply_fault(received.sender, userlib::ReplyFaultReason::BadLeases);
    answers(1, &index(first()), &[1, 10, m0, m1, 3, 3, m0, m1]);
}

/// As [`scratch`], in the second assist.
fn scratch_of_second<const N: usize>(words: [u32; N]) -> u32 {
    let (_, [_, _, _, _, scratch, ..]) = ask(second(), assist::PLACES, []);
    for (address, word) in (scratch..).step_by(4).zip(words) {
        ask(second(), assist::WRITE, [address, word]);
    }
    scratch
}

fn bad_bool() {
    for start in [2, 0xff] {
        let place = scratch([second().index() as u32, start]);
        let arguments = [kernel(Kipcnum::ReinitTask), place, 5, 0, 0, 0, 0];
        usage(Sysnum::Send, arguments, UsageError::BadKernelMessage);
    }
}

/// The second is serving the first.
fn in_reply() {
    let server = second();
    // NAP sleeps, so the first waits for a reply.
    call_back(first(), server, assist::NAP, 4);
    match kipc::read_task_status(first().index()) {
        TaskState::Healthy(state) => assert_eq!(state, SchedState::InReply(server)),
        other => panic!("{other:?}"),
    }
    kipc::reinit_task(server.index(), true);
    assert_eq!(
        brought(first()),
        (dead_response_code(second().generation()), 0, 0)
    );
}

fn faulted_peer() {
    hold();
    call_back(first(), second(), assist::NAP, 4);
    kipc::fault_task(first().index());
    kipc::reinit_task(second().index(), true);
    let (_, _, bytes) = call(1, &index(first()));
    // The fault is injected; before it, the first waited for the reply of the second's earlier
    // generation.
    assert_eq!((bytes[0], bytes[1], bytes[4]), (1, 9, 3));
    assert_eq!(last_fault(first().index()).0, 1);
}

fn self_start() {
    assist(assist::MARK, []);
    let before = first();
    let place = scratch([before.index() as u32, 1]);
    let arguments = [kernel(Kipcnum::ReinitTask), place, 5, 0, 0, 0, 0];
    let [a, b, c, d, e, f, g] = arguments;
    let message = [Sysnum::Send as u32, a, b, c, d, e, f, g];
    let (code, _) = ask(before, assist::SYSTEM_CALL, message);
    assert_eq!(
        code,
        dead_response_code(before.next_generation().generation())
    );
    assert_eq!(last_fault(before.index()).0, 0);
    // It runs, from its beginning.
    assert_eq!(assist(assist::MARK, [])[0], 8);
}

fn self_stop() {
    let before = first();
    let place = scratch([before.index() as u32, 0]);
    let arguments = [kernel(Kipcnum::ReinitTask), place, 5, 0, 0, 0, 0];
    let [a, b, c, d, e, f, g] = arguments;
    let message = [Sysnum::Send as u32, a, b, c, d, e, f, g];
    let (code, _) = ask(before, assist::SYSTEM_CALL, message);
    assert_eq!(
        code,
        dead_response_code(before.next_generation().generation())
    );
    answers(1, &index(first()), &[0, 0]);
}

/// Upstream's documents say something else; its code does this.
fn peers_stay() {
    hold();
    let peer = second();
    call_back(first(), peer, assist::NAP, 4);
    kipc::fault_task(peer.index());
    match kipc::read_task_status(first().index()) {
        TaskState::Healthy(state) => assert_eq!(state, SchedState::InReply(peer)),
        other => panic!("{other:?}"),
    }
}

fn second_fault() {
    hold();
    call_back(first(), myself(), 0x55, 4);
    let received = userlib::sys_recv_open(&mut [0; 4], 0);
    userlib::sys_reply_fault(received.sender, userlib::ReplyFaultReason::BadLeases);
    kipc::fault_task(first().index());
    match kipc::read_task_status(first().index()) {
        TaskState::Faulted {
            fault,
            original_state,
        } => assert_eq!(
            (fault, original_state),
            (FaultInfo::Injected(myself()), SchedState::InReply(myself()))
        ),
        other => panic!("{other:?}"),
    }
}

fn image_id() {
    let (code, length, bytes) = call(4, &[]);
    assert_eq!((code, length), (0, 8));
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    assert_eq!(
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        kipc::read_image_id()
    );
}

fn dump_region() {
    let request = |n: u32| [index(first()), n.to_le_bytes()];
    let record = kipc::get_task_desc_region(first().index());
    let (code, length, bytes) = call(6, request(0).as_flattened());
    assert_eq!((code, length, bytes[0]), (0, 9, 1));
    let words = test_api::words(&bytes[1..]);
    assert_eq!((words[0], words[1]), (record.base, record.size));
    answers(6, request(100).as_flattened(), &[0]);
    answers(6, request(u32::MAX).as_flattened(), &[0]);
    let place = scratch([NO_SUCH_TASK, 0]);
    let arguments = [kernel(Kipcnum::GetTaskDumpRegion), place, 8, 0, 0, 0, 0];
    usage(Sysnum::Send, arguments, UsageError::TaskOutOfRange);
    // Devices are not dumped, DMA memory is.
    let mut dma = false;
    for n in 0.. {
        let Some(region) = kipc::get_task_dump_region(second().index(), n) else {
            break;
        };
        assert_ne!(region.base, 0x1e75_0000);
        dma |= region.base == 0x80c0_0000;
    }
    assert!(dma);
}

/// The supervisor reads a task's memory.
fn dumped(task: TaskId, base: u32, size: u32) -> ([u8; REPORT], usize) {
    let mut bytes = [0; REPORT];
    let (code, length) = sys_send(
        crate::RUNNER.get_task_id(),
        runner::READ_DUMP,
        message([task.index() as u32, base, size]).as_flattened(),
        &mut bytes,
        &[],
    );
    assert_eq!(code, 0);
    (bytes, length)
}

fn read_dump() {
    let place = scratch([0x0403_0201, 0x0807_0605]);
    let (bytes, length) = dumped(first(), place + 1, 5);
    assert_eq!((length, &bytes[..5]), (5, &[2, 3, 4, 5, 6][..]));
    let record = kipc::get_task_desc_region(first().index());
    let (_, length) = dumped(first(), record.base, record.size);
    assert_eq!(
        length, REPORT,
        "the kernel's record is longer than the answer"
    );
    ask(second(), assist::WRITE, [0x80cf_0000, 0x1234_5678]);
    let (bytes, length) = dumped(second(), 0x80cf_0000, 4);
    assert_eq!((length, &bytes[..4]), (4, &[0x78, 0x56, 0x34, 0x12][..]));
}

fn find_faulted() {
    hold();
    answers(9, &1_u32.to_le_bytes(), &[0; 4]);
    answers(9, &NO_SUCH_TASK.to_le_bytes(), &[0; 4]);
    kipc::fault_task(second().index());
    answers(9, &1_u32.to_le_bytes(), &index(second()));
    let place = scratch([NO_SUCH_TASK + 1]);
    let arguments = [kernel(Kipcnum::FindFaultedTask), place, 4, 0, 0, 0, 0];
    call_after(first(), Sysnum::Send, arguments);
    let fault = UsageError::TaskOutOfRange.into();
    assert_eq!(last_fault(first().index()), (1, Some(fault)));
}

/// Makes the first panic with a message at an address; it stays faulted.
fn panicked(message: u32, length: u32) -> TaskId {
    call_after(first(), Sysnum::Panic, [message, length, 0, 0, 0, 0, 0]);
    let task = first();
    assert_eq!(last_fault(task.index()), (1, Some(FaultInfo::Panic)));
    task
}

fn bad_panic_buffer() {
    hold();
    let task = panicked(KERNEL_TEXT, 4);
    let (code, length, _) = call(10, &index(task));
    assert_eq!((code, length), (2, 0));
    // A message at an address without memory is bad, too.
    kipc::reinit_task(task.index(), true);
    call_after(first(), Sysnum::Panic, [0xffff_fff0, 0x20, 0, 0, 0, 0, 0]);
    assert_eq!(call(10, &index(task)).0, 2);
    let (code, length, _) = call(10, &index(second()));
    assert_eq!((code, length), (1, 0));
}

fn panic_message_cut() {
    hold();
    let place = scratch([0x0403_0201; 8]);
    let task = panicked(place, 32);
    let (code, length, bytes) = call(10, &index(task));
    assert_eq!((code, length, &bytes[..4]), (0, 24, &[1, 2, 3, 4][..]));
}

fn panic_message_buffer() {
    hold();
    let place = scratch([1]);
    let task = panicked(place, 4);
    let request = scratch_of_second([task.index() as u32]);
    let operation = kernel(Kipcnum::ReadPanicMessage);
    call_after(
        second(),
        Sysnum::Send,
        [operation, request, 4, KERNEL_TEXT, 8, 0, 0],
    );
    let fault = foreign(KERNEL_TEXT);
    assert_eq!(last_fault(second().index()), (1, Some(fault)));
}
