//! Blocking and scheduling in message exchange: sections 2.4 to 2.8.

use crate::Case;
use crate::leases::with;
use crate::support::{
    KERNEL_TEXT, assist, brought, call_after, call_back, first, foreign, hold, id, last_fault,
    myself, scratch, second, third,
};
use test_api::{ask, assist};
use userlib::{
    DEFECT, FaultInfo, Lease, LeaseAttributes, ReplyFaultReason, SchedState, Sysnum, TaskId,
    TaskState, UsageError, dead_response_code, kipc,
};
use userlib::{sys_post, sys_recv_open, sys_reply, sys_reply_fault};

pub const CASES: &[Case] = &[
    ("s2_4_send_to_oneself_blocks", send_to_oneself),
    ("s2_4_send_to_a_stopped_task_blocks", send_to_stopped),
    ("s2_4_send_to_a_faulted_task_blocks", send_to_faulted),
    (
        "s2_4_sender_waits_when_delivery_faults_the_receiver",
        receiver_faulted,
    ),
    ("s2_4_priority_is_not_checked", downhill),
    ("s2_4_other_lease_attributes_are_ignored", other_attributes),
    ("s2_5_closed_receive_blocks_on_its_source", closed_states),
    (
        "s2_5_closed_receive_ends_with_its_peers_life",
        closed_peer_dies,
    ),
    ("s2_5_equals_are_taken_in_turn_after_the_receiver", equals),
    ("s2_5_bad_senders_are_faulted_and_skipped", bad_senders),
    ("s2_5_a_notification_completes_a_receive", completes),
    ("s2_6_reply_does_not_reschedule", reply_runs_on),
    ("s2_6_reply_fault_does_not_reschedule", reply_fault_runs_on),
    (
        "s2_6_reply_from_another_task_is_ignored",
        reply_from_another,
    ),
    ("s2_7_offset_that_overflows_the_address", overflow),
    ("s2_7_both_sides_of_a_borrow_are_faulted", borrow_both),
    ("s2_7_leases_end_with_the_reply", leases_end),
    (
        "s2_8_post_runs_a_more_important_task_at_once",
        post_switches,
    ),
];

fn state(task: TaskId) -> TaskState {
    kipc::read_task_status(task.index())
}

#[track_caller]
fn is(task: TaskId, wanted: SchedState) {
    match state(task) {
        TaskState::Healthy(state) => assert_eq!(state, wanted),
        other => panic!("{other:?}"),
    }
}

fn send_to_oneself() {
    call_back(first(), first(), assist::ECHO, 4);
    is(first(), SchedState::InSend(first()));
}

fn send_to_stopped() {
    kipc::reinit_task(second().index(), false);
    let stopped = second();
    call_back(first(), stopped, assist::ECHO, 4);
    is(first(), SchedState::InSend(stopped));
    kipc::reinit_task(stopped.index(), true);
    assert_eq!(
        brought(first()).0,
        dead_response_code(second().generation())
    );
}

fn send_to_faulted() {
    hold();
    let faulted = second();
    kipc::fault_task(faulted.index());
    call_back(first(), faulted, assist::ECHO, 4);
    is(first(), SchedState::InSend(faulted));
    // The call ends only when the task is restarted.
    kipc::fault_task(faulted.index());
    is(first(), SchedState::InSend(faulted));
    kipc::reinit_task(faulted.index(), true);
    assert_eq!(
        brought(first()).0,
        dead_response_code(second().generation())
    );
}

fn receiver_faulted() {
    hold();
    let receiver = second();
    call_after(receiver, Sysnum::Recv, [KERNEL_TEXT, 4, 0, 0, 0, 0, 0]);
    call_back(first(), receiver, assist::ECHO, 4);
    assert_eq!(
        last_fault(receiver.index()),
        (1, Some(foreign(KERNEL_TEXT)))
    );
    is(first(), SchedState::InSend(receiver));
    assert_eq!(last_fault(first().index()).0, 0);
}

/// The second is more important than the first. It may send to it nevertheless.
fn downhill() {
    call_back(second(), first(), assist::ECHO, 4);
    assert_eq!(brought(second()), (0, 4, 0xca11_bacc));
}

fn other_attributes() {
    let lent = scratch([0x1234_5678, 0xffff_ffff, 0, 4, 0, 0, 4]);
    assist(assist::WRITE, [lent + 8, lent]);
    let target = id(second()) << 16 | u32::from(assist::BORROW_READ);
    let (table, message, reply) = (lent + 4, lent + 16, lent + 32);
    call_after(
        first(),
        Sysnum::Send,
        [target, message, 12, reply, 12, table, 1],
    );
    assert_eq!(brought(first()), (0, 12, 12));
    assert_eq!(
        (
            assist(assist::READ, [reply])[0],
            assist(assist::READ, [reply + 8])[0]
        ),
        (0, 0x1234_5678)
    );
}

fn closed_states() {
    call_after(first(), Sysnum::Recv, [0, 0, 0, 0x8000_ffff, 0, 0, 0]);
    is(first(), SchedState::InRecv(Some(TaskId::KERNEL)));
    let closed = 0x8000_0000 | id(myself());
    call_after(second(), Sysnum::Recv, [0, 0, 0, closed, 0, 0, 0]);
    is(second(), SchedState::InRecv(Some(myself())));
}

fn closed_peer_dies() {
    let peer = second();
    let closed = 0x8000_0000 | id(peer);
    call_after(first(), Sysnum::Recv, [0, 0, 0, closed, 0, 0, 0]);
    is(first(), SchedState::InRecv(Some(peer)));
    kipc::reinit_task(peer.index(), true);
    let (code, _, _) = brought(first());
    assert_eq!(
        code,
        dead_response_code(peer.next_generation().generation())
    );
}

/// First and third have the same priority. The receiver is the second, between them in the task
/// table, so the third comes first.
fn equals() {
    kipc::reinit_task(third().index(), true);
    call_back(second(), myself(), 0x55, 4);
    let held = sys_recv_open(&mut [0; 8], 0);
    assert_eq!(held.sender, second());
    call_back(first(), second(), assist::MARK, 12);
    call_back(third(), second(), assist::MARK, 12);
    is(first(), SchedState::InSend(second()));
    is(third(), SchedState::InSend(second()));
    sys_reply(held.sender, 0, &[]);
    // The second counts from 7.
    assert_eq!((brought(third()).2, brought(first()).2), (8, 9));
}

/// The second, which comes first, sends a message from memory that is not its own.
fn bad_senders() {
    let target = id(myself()) << 16 | 0x55;
    for (message, length, fault) in [
        (0xffff_fff0, 0x20, UsageError::InvalidSlice.into()),
        (KERNEL_TEXT, 4, foreign(KERNEL_TEXT)),
    ] {
        let bad = second();
        let (count, _) = last_fault(bad.index());
        call_after(bad, Sysnum::Send, [target, message, length, 0, 0, 0, 0]);
        is(bad, SchedState::InSend(myself()));
        call_back(first(), myself(), 0x55, 4);
        let received = sys_recv_open(&mut [0; 8], 0);
        assert_eq!((received.sender, received.message_len), (first(), 4));
        sys_reply(received.sender, 0, &[]);
        assert_eq!(last_fault(bad.index()), (count + 1, Some(fault)));
    }
}

fn completes() {
    call_after(first(), Sysnum::Recv, [0, 0, 6, 0, 0, 0, 0]);
    // A bit outside of the mask does not wake it.
    assert_eq!(sys_post(first(), 8), 0);
    is(first(), SchedState::InRecv(None));
    assert_eq!(sys_post(first(), 4 | 16), 0);
    assert_eq!(brought(first()), (0, id(TaskId::KERNEL), 4));
    // The other bits are still pending.
    call_after(first(), Sysnum::Recv, [0, 0, 0xff, 0, 0, 0, 0]);
    assert_eq!(brought(first()), (0, id(TaskId::KERNEL), 8 | 16));
}

fn reply_runs_on() {
    call_back(second(), myself(), 0x55, 4);
    let received = sys_recv_open(&mut [0; 8], 0);
    is(second(), SchedState::InReply(myself()));
    sys_reply(received.sender, 3, &[1, 0, 0, 0]);
    // It is more important than this task, and has not run.
    is(second(), SchedState::Runnable);
    assert_eq!(brought(second()), (3, 4, 1));
}

fn reply_fault_runs_on() {
    let client = first();
    call_back(client, myself(), 0x55, 4);
    let received = sys_recv_open(&mut [0; 8], 0);
    sys_reply_fault(received.sender, ReplyFaultReason::BadLeases);
    // The supervisor has a notification, and has not run.
    match state(client) {
        TaskState::Faulted {
            fault,
            original_state,
        } => assert_eq!(
            (fault, original_state),
            (
                FaultInfo::FromServer(myself(), ReplyFaultReason::BadLeases),
                SchedState::InReply(myself())
            )
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(first(), client);
}

/// The first waits for this task; a reply from the second is ignored.
fn reply_from_another() {
    let client = first();
    call_back(client, myself(), 0x55, 4);
    let received = sys_recv_open(&mut [0; 8], 0);
    for call in [Sysnum::Reply, Sysnum::ReplyFault] {
        let (code, _) = ask(
            second(),
            assist::SYSTEM_CALL,
            [call as u32, id(client), 0, 0, 0, 0, 0, 0],
        );
        assert_eq!(code, 0);
        is(client, SchedState::InReply(myself()));
    }
    sys_reply(received.sender, 5, &[]);
    assert_eq!(brought(client).0, 5);
}

/// The first lends the second memory that wraps around the end of the address space.
fn overflow() {
    let borrower = second();
    let place = scratch([LeaseAttributes::READ.bits(), 0xffff_fff0, 0x20, 0, 0x18, 4]);
    let target = id(borrower) << 16 | u32::from(assist::BORROW_READ);
    call_after(
        first(),
        Sysnum::Send,
        [target, place + 12, 12, 0, 0, place, 1],
    );
    let fault = UsageError::OffsetOutOfRange.into();
    assert_eq!(last_fault(borrower.index()), (1, Some(fault)));
    assert_eq!(
        brought(first()).0,
        dead_response_code(second().generation())
    );
    // If the address does not overflow, the lender is faulted for memory that is not its own.
    let borrower = second();
    let place = scratch([LeaseAttributes::READ.bits(), 0xffff_fff0, 0x20, 0, 0x8, 4]);
    let target = id(borrower) << 16 | u32::from(assist::BORROW_READ);
    call_after(
        first(),
        Sysnum::Send,
        [target, place + 12, 12, 0, 0, place, 1],
    );
    let fault = UsageError::InvalidSlice.into();
    assert_eq!(last_fault(first().index()), (1, Some(fault)));
    assert_eq!(borrower, second());
}

/// The lender has lent memory that is not its own, and the borrower's buffer is read-only.
fn borrow_both() {
    hold();
    let (lender, borrower) = (first(), second());
    // The lease table, then the system call that the second makes while the first waits for it.
    let borrow = Sysnum::BorrowRead as u32;
    let place = scratch([
        1,
        KERNEL_TEXT + 16,
        4,
        borrow,
        id(lender),
        0,
        0,
        KERNEL_TEXT,
        4,
        0,
        0,
    ]);
    let target = id(borrower) << 16 | u32::from(assist::SYSTEM_CALL);
    call_after(
        lender,
        Sysnum::Send,
        [target, place + 12, 32, 0, 0, place, 1],
    );
    assert_eq!(
        last_fault(lender.index()),
        (1, Some(foreign(KERNEL_TEXT + 16)))
    );
    assert_eq!(
        last_fault(borrower.index()),
        (1, Some(foreign(KERNEL_TEXT)))
    );
}

/// The first replies, and then borrows.
fn leases_end() {
    let mut lent = [1; 4];
    for call in [Sysnum::BorrowRead, Sysnum::BorrowWrite, Sysnum::BorrowInfo] {
        let arguments = [call as u32, id(myself()), 0, 0, 0, 0, 0, 0];
        let leases = [Lease::read_write(&mut lent)];
        let (code, _) = with(assist::SYSTEM_CALL_AFTER, arguments, &leases);
        assert_eq!((code, brought(first()).0), (0, DEFECT));
    }
}

fn post_switches() {
    call_after(second(), Sysnum::Recv, [0, 0, 2, 0, 0, 0, 0]);
    assert_eq!(sys_post(second(), 2), 0);
    // It has run, and is in an open receive again.
    is(second(), SchedState::InRecv(None));
    assert_eq!(brought(second()), (0, id(TaskId::KERNEL), 2));
}
