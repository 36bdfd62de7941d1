//! Slices of two tasks that share bytes: section 2.3.
//!
//! The task with the destination is faulted.
//!
//! The first two assists share a region of RAM. The first sends to the second.

use crate::Case;
use crate::support::{brought, call_after, first, foreign, hold, id, last_fault, scratch, second};
use test_api::{ask, assist};
use userlib::{LeaseAttributes, Sysnum, TaskId};

pub const CASES: &[Case] = &[
    ("s2_3_overlapping_message_faults_the_receiver", message),
    ("s2_3_overlapping_reply_faults_the_client", reply),
    ("s2_3_overlapping_borrow_faults_the_borrower", borrow_read),
    ("s2_3_overlapping_borrow_faults_the_lender", borrow_write),
];

/// The shared memory (test/apps/kernel/chip/memory.toml).
const SHARED: u32 = 0x80d0_0000;
/// Bytes of each slice.
const LENGTH: u32 = 16;
/// A slice here has no byte in common with the one at [`SHARED`].
const ADJACENT: u32 = SHARED + LENGTH;

/// Makes the first send a message, with a reply buffer and a lease, that asks the second for a
/// system call.
fn have_called(
    number: Sysnum,
    arguments: [u32; 6],
    (reply, room): (u32, u32),
    attributes: LeaseAttributes,
) {
    let [a, b, c, d, e, f] = arguments;
    let message = scratch([
        number as u32,
        a,
        b,
        c,
        d,
        e,
        f,
        0,
        attributes.bits(),
        SHARED,
        LENGTH,
    ]);
    let target = id(second()) << 16 | u32::from(assist::SYSTEM_CALL);
    let reply = if reply == 0 { message } else { reply };
    let send = [target, message, 32, reply, room, message + 32, 1];
    call_after(first(), Sysnum::Send, send);
}

fn blamed(task: TaskId, address: u32, innocent: TaskId) {
    assert_eq!(last_fault(task.index()), (1, Some(foreign(address))));
    assert_eq!(last_fault(innocent.index()).0, 0);
}

fn fill(task: TaskId) {
    for (address, word) in (SHARED..).step_by(4).zip([0x11, 0x22, 0x33, 0x44]) {
        assert_eq!(ask(task, assist::WRITE, [address, word]).0, 0);
    }
}

fn holds_copy(task: TaskId) {
    for (address, word) in (ADJACENT..).step_by(4).zip([0x11, 0x22, 0x33, 0x44]) {
        assert_eq!(ask(task, assist::READ, [address]).1[0], word);
    }
}

fn message() {
    hold();
    let target = || id(second()) << 16 | 0x55;
    fill(second());
    call_after(second(), Sysnum::Recv, [ADJACENT, LENGTH, 0, 0, 0, 0, 0]);
    call_after(
        first(),
        Sysnum::Send,
        [target(), SHARED, LENGTH, 0, 0, 0, 0],
    );
    assert_eq!(brought(second()), (0, id(first()), 0x55));
    holds_copy(second());
    // One shared byte. The first still waits for a reply to its first message, so it is restarted.
    userlib::kipc::reinit_task(first().index(), true);
    let buffer = SHARED + LENGTH - 1;
    call_after(second(), Sysnum::Recv, [buffer, LENGTH, 0, 0, 0, 0, 0]);
    call_after(
        first(),
        Sysnum::Send,
        [target(), SHARED, LENGTH, 0, 0, 0, 0],
    );
    blamed(second(), buffer, first());
}

fn reply() {
    hold();
    let answer = |from| [id(first()), 7, from, LENGTH, 0, 0];
    fill(second());
    let room = (ADJACENT, LENGTH);
    have_called(Sysnum::Reply, answer(SHARED), room, LeaseAttributes::READ);
    let (code, length, _) = brought(first());
    assert_eq!((code, length), (7, LENGTH));
    holds_copy(first());
    have_called(
        Sysnum::Reply,
        answer(SHARED + 8),
        (SHARED, LENGTH),
        LeaseAttributes::READ,
    );
    blamed(first(), SHARED, second());
}

fn borrow_read() {
    hold();
    let read = |to| [id(first()), 0, 0, to, LENGTH, 0];
    fill(second());
    have_called(
        Sysnum::BorrowRead,
        read(ADJACENT),
        (0, 32),
        LeaseAttributes::READ,
    );
    assert_eq!(brought(first()).0, 0);
    holds_copy(second());
    have_called(
        Sysnum::BorrowRead,
        read(SHARED),
        (0, 32),
        LeaseAttributes::READ,
    );
    blamed(second(), SHARED, first());
}

fn borrow_write() {
    hold();
    let write = |from| [id(first()), 0, 0, from, LENGTH, 0];
    have_called(
        Sysnum::BorrowWrite,
        write(ADJACENT),
        (0, 32),
        LeaseAttributes::WRITE,
    );
    assert_eq!(brought(first()).0, 0);
    have_called(
        Sysnum::BorrowWrite,
        write(SHARED + 8),
        (0, 32),
        LeaseAttributes::WRITE,
    );
    blamed(first(), SHARED, second());
    // The first has received the reply and goes on.
    assert_eq!(ask(second(), assist::ECHO, [5]).1[0], 5);
}
