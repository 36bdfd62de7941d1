//! Memory that a system call may name, and who is faulted: sections 2.1 to 2.3.

use crate::Case;
use crate::leases::with;
use crate::support::{
    KERNEL_TEXT, assist, brought, call_after, call_back, first, foreign, hold, id, last_fault,
    myself, scratch, second, system_call_faults, usage,
};
use core::arch::asm;
use test_api::{ask, assist};
use userlib::{FaultInfo, Lease, Sysnum, TaskId, UsageError, dead_response_code};
use userlib::{sys_recv_open, sys_reply};

pub const CASES: &[Case] = &[
    ("s2_1_svc_immediate_is_ignored", immediate),
    ("s2_2_recv_open_ignores_the_source", open_source),
    ("s2_2_recv_invalid_slice_when_a_sender_waits", recv_queued),
    ("s2_2_reply_bad_message_faults_the_replier", reply_bad),
    ("s2_2_borrow_bad_buffer_faults_the_borrower", borrow_bad),
    ("s2_2_borrow_info_lease_out_of_range", info_out_of_range),
    ("s2_2_irq_control_unknown_bits", unknown_irq_bits),
    ("s2_2_irq_mask_must_be_a_mapped_one", inexact_irq_mask),
    ("s2_2_panic_whatever_the_message", panic_anyhow),
    ("s2_3_a_slice_may_end_just_below_the_top", below_the_top),
    ("s2_3_the_lease_tables_length_is_checked", table_length),
    ("s2_3_an_empty_slice_must_be_aligned", empty_aligned),
    ("s2_3_a_slice_must_be_covered_to_its_end", covered),
    ("s2_3_read_only_memory_is_not_written", read_only),
    ("s2_3_no_message_from_device_or_dma_memory", special_memory),
    ("s2_3_both_sides_are_faulted", both),
    ("s2_3_zero_bytes_need_no_access", zero_bytes),
];

/// First words of the controller's registers and of the retained region: mapped into the second
/// assist.
const DEVICE: u32 = 0x1e75_0000;
const DMA: u32 = 0x80c0_0000;

fn immediate() {
    let me: u32;
    // SAFETY: REFRESH_TASK_ID reads r4 and writes r4.
    unsafe {
        asm!("svc #0x5a", inout("r4") id(myself()) => me, in("r11") Sysnum::RefreshTaskId as u32);
    }
    assert_eq!(me, id(myself()));
}

/// Without bit 31, argument 3 is ignored.
fn open_source() {
    call_after(first(), Sysnum::Recv, [0, 0, 2, 0x7fff_1234, 0, 0, 0]);
    assert_eq!(userlib::sys_post(first(), 2), 0);
    assert_eq!(brought(first()), (0, id(TaskId::KERNEL), 2));
}

/// The receiver calls second and is faulted for its buffer; the sender goes on waiting.
fn recv_queued() {
    for (buffer, length, fault) in [
        (0xffff_fff0, 0x20, UsageError::InvalidSlice.into()),
        (KERNEL_TEXT, 4, foreign(KERNEL_TEXT)),
    ] {
        let victim = first();
        let (count, _) = last_fault(victim.index());
        let arguments = [id(myself()), buffer, length];
        assert_eq!(ask(victim, assist::SEND_THEN_RECEIVE, arguments).0, 0);
        // The first waits for this task, and the second for the first.
        call_back(second(), victim, assist::ECHO, 4);
        let received = sys_recv_open(&mut [0; 8], 0);
        assert_eq!(received.sender, victim);
        sys_reply(victim, 0, &[]);
        // A reply does not switch to the first; waiting for the second does.
        let dead = dead_response_code(victim.next_generation().generation());
        assert_eq!(brought(second()).0, dead);
        assert_eq!(last_fault(victim.index()), (count + 1, Some(fault)));
        assert_eq!(first(), victim.next_generation());
    }
}

fn reply_bad() {
    // This task waits for the first, so the first may reply.
    let me = id(myself());
    let bad = [me, 0, 0xffff_fff0, 0x20, 0, 0, 0];
    usage(Sysnum::Reply, bad, UsageError::InvalidSlice);
    let bad = [me, 0, KERNEL_TEXT, 4, 0, 0, 0];
    system_call_faults(Sysnum::Reply as u32, bad, foreign(KERNEL_TEXT));
}

/// The first makes a BORROW call on this task's lease, which must fault the first.
fn borrower_faults(call: Sysnum, arguments: [u32; 7], fault: FaultInfo) {
    let borrower = first();
    let (count, _) = last_fault(borrower.index());
    let [a, b, c, d, e, f, g] = arguments;
    let mut lent = [0; 4];
    let message = [call as u32, a, b, c, d, e, f, g];
    with(
        assist::SYSTEM_CALL,
        message,
        &[Lease::read_write(&mut lent)],
    );
    assert_eq!(last_fault(borrower.index()), (count + 1, Some(fault)));
    assert_eq!(lent, [0; 4]);
}

fn borrow_bad() {
    let me = id(myself());
    for call in [Sysnum::BorrowRead, Sysnum::BorrowWrite] {
        let wrapping = [me, 0, 0, 0xffff_fff0, 0x20, 0, 0];
        borrower_faults(call, wrapping, UsageError::InvalidSlice.into());
        let foreign_buffer = [me, 0, 0, KERNEL_TEXT, 4, 0, 0];
        borrower_faults(call, foreign_buffer, foreign(KERNEL_TEXT));
    }
}

fn info_out_of_range() {
    let fault = UsageError::LeaseOutOfRange.into();
    for index in [1, u32::MAX] {
        let arguments = [id(myself()), index, 0, 0, 0, 0, 0];
        borrower_faults(Sysnum::BorrowInfo, arguments, fault);
    }
}

/// The second has an interrupt, on bit 0.
fn second_faults(call: Sysnum, arguments: [u32; 2], fault: UsageError) {
    let task = second();
    let (count, _) = last_fault(task.index());
    let [a, b] = arguments;
    let (code, _) = ask(
        task,
        assist::SYSTEM_CALL,
        [call as u32, a, b, 0, 0, 0, 0, 0],
    );
    assert!(userlib::extract_new_generation(code).is_some());
    let fault = FaultInfo::SyscallUsage(fault);
    assert_eq!(last_fault(task.index()), (count + 1, Some(fault)));
}

fn unknown_irq_bits() {
    for bits in [4, 5, 0x8000_0000] {
        second_faults(Sysnum::IrqControl, [1, bits], UsageError::NoIrq);
    }
}

fn inexact_irq_mask() {
    for mask in [0, 2, 3, u32::MAX] {
        second_faults(Sysnum::IrqControl, [mask, 0], UsageError::NoIrq);
        second_faults(Sysnum::IrqStatus, [mask, 0], UsageError::NoIrq);
    }
}

fn panic_anyhow() {
    for (message, length) in [(0, 0), (0xffff_fff0, 0x20), (KERNEL_TEXT, 4), (0, u32::MAX)] {
        let arguments = [message, length, 0, 0, 0, 0, 0];
        system_call_faults(Sysnum::Panic as u32, arguments, FaultInfo::Panic);
    }
}

/// The first argument of SEND to the supervisor, with an operation that it does not know.
fn runner() -> u32 {
    id(crate::RUNNER.get_task_id()) << 16
}

fn below_the_top() {
    let wraps = [runner(), 0xffff_fff0, 0x10, 0, 0, 0, 0];
    usage(Sysnum::Send, wraps, UsageError::InvalidSlice);
    let ends = [runner(), 0xffff_fff0, 0xf, 0, 0, 0, 0];
    system_call_faults(Sysnum::Send as u32, ends, foreign(0xffff_fff0));
}

fn table_length() {
    let table = scratch([]);
    for count in [0x1555_5556, 0x8000_0000, u32::MAX] {
        let arguments = [runner(), 0, 0, 0, 0, table, count];
        usage(Sysnum::Send, arguments, UsageError::InvalidSlice);
    }
}

fn empty_aligned() {
    let arguments = [runner(), 0, 0, 0, 0, 2, 0];
    usage(Sysnum::Send, arguments, UsageError::InvalidSlice);
}

fn covered() {
    let place = scratch([1]);
    let arguments = [runner(), place, 0x10_0000, 0, 0, 0, 0];
    system_call_faults(Sysnum::Send as u32, arguments, foreign(place));
}

/// The first waits with a reply buffer in its own text.
fn read_only() {
    let caller = first();
    let [_, _, text, ..] = assist(assist::PLACES, []);
    let arguments = [id(myself()), 0x55, 8, text];
    assert_eq!(ask(caller, assist::CALL_BACK, arguments).0, 0);
    let received = sys_recv_open(&mut [0; 8], 0);
    assert_eq!(received.sender, caller);
    sys_reply(caller, 0, &[0; 8]);
    assert_eq!(last_fault(caller.index()), (1, Some(foreign(text))));
}

fn special_memory() {
    for place in [DEVICE, DMA] {
        let task = second();
        let (count, _) = last_fault(task.index());
        let send = [Sysnum::Send as u32, runner(), place, 4, 0, 0, 0, 0];
        ask(task, assist::SYSTEM_CALL, send);
        assert_eq!(last_fault(task.index()), (count + 1, Some(foreign(place))));
    }
    // The task itself may read this memory, but a message may not come from it.
    assert_eq!(ask(second(), assist::READ, [DMA]).0, 0);
}

/// Sender and receiver name foreign memory: one delivery, two faults.
fn both() {
    hold();
    let (sender, receiver) = (first(), second());
    call_after(receiver, Sysnum::Recv, [KERNEL_TEXT, 4, 0, 0, 0, 0, 0]);
    let target = id(receiver) << 16 | 0x55;
    call_after(
        sender,
        Sysnum::Send,
        [target, KERNEL_TEXT + 16, 4, 0, 0, 0, 0],
    );
    assert_eq!(
        last_fault(receiver.index()),
        (1, Some(foreign(KERNEL_TEXT)))
    );
    assert_eq!(
        last_fault(sender.index()),
        (1, Some(foreign(KERNEL_TEXT + 16)))
    );
}

/// One side has no room, so nothing is copied and no memory is checked.
fn zero_bytes() {
    call_after(second(), Sysnum::Recv, [KERNEL_TEXT, 0, 0, 0, 0, 0, 0]);
    let target = id(second()) << 16 | 0x55;
    call_after(first(), Sysnum::Send, [target, KERNEL_TEXT, 4, 0, 0, 0, 0]);
    // The message was delivered: the second has code 0, the sender and the operation.
    assert_eq!(brought(second()), (0, id(first()), 0x55));
}
