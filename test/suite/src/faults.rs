//! What the processor and the kernel fault a task for: sections 2.11 and 3.

use crate::Case;
use crate::support::{assist, faults, first, last_fault, scratch, second};
use test_api::{ask, assist};
use userlib::{FaultInfo, FaultSource, extract_new_generation};

pub const CASES: &[Case] = &[
    ("faults: an undefined instruction", undefined),
    ("faults: a panic", panic),
    ("faults: a stack overflow", overflow),
    ("faults: a null pointer", null),
    ("faults: a hole in the address space", hole),
    ("faults: the end of the address space", end),
    (
        "faults: unaligned access to ordinary memory is none",
        unaligned,
    ),
    (
        "faults: generations go round after 64 restarts",
        generations,
    ),
    (
        "faults: one task's fault does not disturb another",
        undisturbed,
    ),
];

/// What an access of the task itself faults with.
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
