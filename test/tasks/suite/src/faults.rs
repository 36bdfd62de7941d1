//! Faults that the processor and the kernel raise: sections 2.11 and 3.

use crate::Case;
use crate::support::{assist, faults, first, last_fault, scratch, second};
use test_api::{ask, assist};
use userlib::{FaultInfo, FaultSource, extract_new_generation};

pub const CASES: &[Case] = &[
    ("s2_11_undefined_instruction", undefined),
    ("s2_2_panic", panic),
    ("s2_11_stack_overflow", overflow),
    ("s2_11_null_pointer", null),
    ("s2_11_hole_in_the_address_space", hole),
    ("s2_11_end_of_the_address_space", end),
    ("s2_11_private_peripheral_bus", private_bus),
    ("s2_11_arm_state", arm_state),
    ("s2_11_unaligned_access_is_no_fault", unaligned),
    ("s1_1_generations_go_round", generations),
    ("s3_5_a_fault_does_not_disturb_another_task", undisturbed),
];

/// The fault of an access by the task itself.
pub fn access(address: u32) -> FaultInfo {
    FaultInfo::MemoryAccess {
        address: Some(address),
        source: FaultSource::User,
    }
}

fn undefined() {
    faults(assist::UNDEFINED, [], FaultInfo::IllegalInstruction);
}

fn panic() {
    faults(assist::PANIC, [], FaultInfo::Panic);
}

fn overflow() {
    let task = first();
    let [_, _, _, stack, ..] = assist(assist::PLACES, []);
    let (code, _) = ask(task, assist::OVERFLOW, [0]);
    assert!(extract_new_generation(code).is_some());
    let (count, fault) = last_fault(task.index());
    assert_eq!(count, 1);
    let Some(FaultInfo::StackOverflow { address }) = fault else {
        panic!("{fault:?}")
    };
    // The stack has 2 KiB and ends at a page.
    assert!(
        (stack - 0xc00..stack).contains(&address),
        "{address:#x}, the stack was at {stack:#x}"
    );
    assert_eq!(assist(assist::ECHO, [1])[0], 1);
}

fn null() {
    for address in [0, 4, 0xffc] {
        faults(assist::READ, [address], access(address));
        faults(assist::WRITE, [address, 1], access(address));
    }
}

fn hole() {
    faults(assist::READ, [0x4800_0000], access(0x4800_0000));
}

fn end() {
    faults(assist::READ, [0xffff_fffc], access(0xffff_fffc));
}

fn private_bus() {
    // CFSR, where a Cortex-M has it, and both ends of the bus.
    for address in [0xe000_ed28, 0xe000_0000, 0xe00f_fffc] {
        let fault = FaultInfo::BusError {
            address: Some(address),
            source: FaultSource::User,
        };
        faults(assist::READ, [address], fault);
        faults(assist::WRITE, [address, 0], fault);
    }
    faults(assist::READ, [0xe010_0000], access(0xe010_0000));
}

fn arm_state() {
    // A branch to an even address leaves Thumb state, which a Cortex-M reports as UFSR.INVSTATE.
    let [data, _, text, ..] = assist(assist::PLACES, []);
    for address in [0, 0x4800_0000, data & !3, text & !3] {
        faults(
            assist::EXECUTE,
            [address],
            FaultInfo::InvalidOperation(1 << 17),
        );
    }
}

fn unaligned() {
    let [low, high] = [0x0403_0201, 0x0807_0605];
    let place = scratch([low, high]);
    for offset in 0..4 {
        let wanted = (u64::from(low) | u64::from(high) << 32) >> (8 * offset);
        assert_eq!(assist(assist::READ, [place + offset])[0], wanted as u32);
    }
}

fn generations() {
    let begun = first();
    for _ in 0..64 {
        faults(assist::PANIC, [], FaultInfo::Panic);
    }
    assert_eq!(first(), begun);
}

fn undisturbed() {
    let task = second();
    assert_eq!(ask(task, assist::MARK, []).1[..2], [8, 1]);
    faults(assist::READ, [0], access(0));
    assert_eq!(second(), task);
    assert_eq!(ask(task, assist::MARK, []).1[..2], [9, 2]);
}
