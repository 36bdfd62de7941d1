//! Leases and the three BORROW calls: section 2.7.

use crate::Case;
use crate::support::{
    NO_SUCH_TASK, faults, first, id, last_fault, myself, scratch, second, system_call, usage,
};
use test_api::{WORDS, assist, message, words};
use userlib::{DEFECT, FaultInfo, FaultSource, Lease, LeaseAttributes, Sysnum, UsageError};
use userlib::{dead_response_code, extract_new_generation, sys_send};

pub const CASES: &[Case] = &[
    ("s2_7_info_tells_attributes_and_length", information),
    ("s2_7_read_copies_what_there_is", read),
    ("s2_7_write_copies_what_fits", write),
    ("s2_7_the_end_is_a_legal_offset", end),
    ("s2_7_read_needs_the_attribute", read_attribute),
    ("s2_7_write_needs_the_attribute", write_attribute),
    ("s2_2_borrow_lease_out_of_range", index),
    ("s2_2_borrow_offset_out_of_range", offset),
    ("s2_7_lender_must_wait_for_the_borrower", not_waiting),
    ("s2_2_borrow_stale_generation_gets_dead_code", past),
    ("s2_2_borrow_task_out_of_range", from_no_task),
    ("s2_7_foreign_memory_faults_the_lender", foreign),
    ("s2_7_foreign_table_faults_the_lender", table_foreign),
];

/// Asks the first assist to do something with leases of this task.
pub fn with<const N: usize>(
    operation: u16,
    arguments: [u32; N],
    leases: &[Lease<'_>],
) -> (u32, [u32; WORDS]) {
    let mut reply = [[0; 4]; WORDS];
    let (code, length) = sys_send(
        first(),
        operation,
        message(arguments).as_flattened(),
        reply.as_flattened_mut(),
        leases,
    );
    (
        code,
        words(reply.as_flattened().get(..length).unwrap_or(&[])),
    )
}

fn information() {
    let (a, mut b, mut c) = ([0; 3], [0; 20], [0; 0]);
    let leases = [
        Lease::read_only(&a),
        Lease::write_only(&mut b),
        Lease::read_write(&mut c),
    ];
    let wanted = [
        (LeaseAttributes::READ.bits(), 3),
        (LeaseAttributes::WRITE.bits(), 20),
        (
            LeaseAttributes::READ.bits() | LeaseAttributes::WRITE.bits(),
            0,
        ),
    ];
    for (index, (attributes, length)) in (0..).zip(wanted) {
        let (code, [known, got, len, ..]) = with(assist::BORROW_INFO, [index], &leases);
        assert_eq!((code, known, got, len), (0, 1, attributes, length));
    }
}

fn read() {
    let bytes: [u8; 20] = core::array::from_fn(|i| i as u8);
    let leases = [Lease::read_only(&[0xff; 4]), Lease::read_only(&bytes)];
    // Index, offset, buffer; bytes copied, first word.
    for (arguments, copied, word) in [
        ([1, 0, 20], 20, 0x0302_0100),
        ([1, 2, 64], 18, 0x0504_0302),
        ([1, 0, 3], 3, 0x0002_0100),
        ([1, 19, 4], 1, 0x13),
        ([0, 0, 4], 4, 0xffff_ffff),
    ] {
        let (code, [rc, count, first, ..]) = with(assist::BORROW_READ, arguments, &leases);
        assert_eq!(
            (code, rc, count, first),
            (0, 0, copied, word),
            "{arguments:?}"
        );
    }
}

fn write() {
    let mut bytes = [0xee; 8];
    let (code, [rc, count, ..]) = with(
        assist::BORROW_WRITE,
        [0, 2, 3],
        &[Lease::write_only(&mut bytes)],
    );
    assert_eq!((code, rc, count), (0, 0, 3));
    assert_eq!(bytes, [0xee, 0xee, 1, 2, 3, 0xee, 0xee, 0xee]);
    let (code, [rc, count, ..]) = with(
        assist::BORROW_WRITE,
        [0, 5, 60],
        &[Lease::read_write(&mut bytes)],
    );
    assert_eq!((code, rc, count), (0, 0, 3));
    assert_eq!(bytes, [0xee, 0xee, 1, 2, 3, 1, 2, 3]);
}

fn end() {
    let mut bytes = [0; 4];
    let (_, [rc, count, ..]) = with(assist::BORROW_READ, [0, 4, 8], &[Lease::read_only(&bytes)]);
    assert_eq!((rc, count), (0, 0));
    let (_, [rc, count, ..]) = with(
        assist::BORROW_WRITE,
        [0, 4, 8],
        &[Lease::write_only(&mut bytes)],
    );
    assert_eq!((rc, count), (0, 0));
}

fn read_attribute() {
    let mut bytes = [1; 4];
    let (_, [rc, count, word, ..]) = with(
        assist::BORROW_READ,
        [0, 0, 4],
        &[Lease::write_only(&mut bytes)],
    );
    assert_eq!((rc, count, word), (DEFECT, 0, 0));
}

fn write_attribute() {
    let bytes = [0xee; 4];
    let (_, [rc, count, ..]) = with(assist::BORROW_WRITE, [0, 0, 4], &[Lease::read_only(&bytes)]);
    assert_eq!(
        (rc, count, core::hint::black_box(bytes)),
        (DEFECT, 0, [0xee; 4])
    );
}

/// A use of leases that faults the borrower.
fn borrower_faults(arguments: [u32; 3], fault: UsageError) {
    let mut bytes = [0; 4];
    for operation in [assist::BORROW_READ, assist::BORROW_WRITE] {
        let borrower = first();
        let (count, _) = last_fault(borrower.index());
        let (code, _) = with(operation, arguments, &[Lease::read_write(&mut bytes)]);
        assert_eq!(
            last_fault(borrower.index()),
            (count + 1, Some(FaultInfo::SyscallUsage(fault)))
        );
        assert_eq!(
            extract_new_generation(code),
            Some(borrower.next_generation().generation())
        );
    }
}

fn index() {
    borrower_faults([1, 0, 4], UsageError::LeaseOutOfRange);
    borrower_faults([u32::MAX, 0, 4], UsageError::LeaseOutOfRange);
}

fn offset() {
    borrower_faults([0, 5, 1], UsageError::OffsetOutOfRange);
    borrower_faults([0, u32::MAX, 1], UsageError::OffsetOutOfRange);
}

/// The runner is in an open receive, so it does not wait for the assist.
fn not_waiting() {
    let runner = id(crate::RUNNER.get_task_id());
    for call in [Sysnum::BorrowRead, Sysnum::BorrowWrite, Sysnum::BorrowInfo] {
        let [code, ..] = system_call(call, [runner, 0, 0, 0, 0, 0, 0]);
        assert_eq!(code, DEFECT, "{call:?}");
    }
}

fn past() {
    let now = myself();
    let past = id(now) ^ 1 << 15;
    for call in [Sysnum::BorrowRead, Sysnum::BorrowWrite, Sysnum::BorrowInfo] {
        let [code, ..] = system_call(call, [past, 0, 0, 0, 0, 0, 0]);
        assert_eq!(code, dead_response_code(now.generation()), "{call:?}");
    }
}

fn from_no_task() {
    for call in [Sysnum::BorrowRead, Sysnum::BorrowWrite, Sysnum::BorrowInfo] {
        usage(
            call,
            [NO_SUCH_TASK, 0, 0, 0, 0, 0, 0],
            UsageError::TaskOutOfRange,
        );
    }
}

/// The first assist lends the second memory that is not its own: the lender is faulted, the
/// borrower is not.
fn foreign() {
    lender_faults(|table| table);
}

/// The same with a lease table in memory of another program.
fn table_foreign() {
    lender_faults(|_| KERNEL_TEXT);
}

/// An address that no task may read.
const KERNEL_TEXT: u32 = 0x8010_0000;

/// Has the first assist send BORROW_READ to the second with one lease of the kernel's text. `table`
/// says where the lease table is, given the address of a good one.
fn lender_faults(table: impl Fn(u32) -> u32) {
    let borrower = second();
    // The lease table, then the message: index, offset, length.
    let place = scratch([LeaseAttributes::READ.bits(), KERNEL_TEXT, 4, 0, 0, 4]);
    let target = id(borrower) << 16 | u32::from(assist::BORROW_READ);
    let fault = FaultInfo::MemoryAccess {
        address: Some(KERNEL_TEXT),
        source: FaultSource::Kernel,
    };
    faults(
        assist::SYSTEM_CALL,
        [
            Sysnum::Send as u32,
            target,
            place + 12,
            12,
            0,
            0,
            table(place),
            1,
        ],
        fault,
    );
    assert_eq!(second(), borrower);
}
