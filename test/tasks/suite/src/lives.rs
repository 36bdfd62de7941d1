//! Effects of a restart, initial state of a task: sections 2.8 to 2.11 and 3.

use crate::Case;
use crate::support::{assist, first, id, last_fault, second, supervisor, system_call, third};
use test_api::{ask, assist, runner};
use userlib::{
    FaultInfo, IrqStatus, SchedState, Sysnum, TaskId, TaskState, extract_new_generation, kipc,
    sys_get_timer, sys_post,
};

pub const CASES: &[Case] = &[
    ("s2_8_restart_clears_notifications", notifications_cleared),
    ("s2_9_a_new_tasks_timer", new_timer),
    ("s2_9_restart_clears_the_timer", timer_cleared),
    (
        "s2_10_restart_masks_interrupts_deliberate",
        interrupts_masked,
    ),
    ("s2_11_no_room_for_the_frame_is_a_stack_overflow", no_room),
    (
        "s2_11_stack_pointer_elsewhere_is_a_stack_overflow",
        elsewhere,
    ),
    ("s3_2_a_task_that_is_not_started_is_stopped", not_started),
    ("s3_7_restart_refills_the_stack", stack_refilled),
    ("s5_5_registers_of_a_new_task", new_registers),
];

/// A restart clears notifications that were posted before it, not those that are posted after it.
fn notifications_cleared() {
    assert_eq!(sys_post(first(), 2), 0);
    kipc::reinit_task(first().index(), true);
    assert_eq!(sys_post(first(), 4), 0);
    let [code, sender, bits, ..] = system_call(Sysnum::Recv, [0, 0, 6, 0, 0, 0, 0]);
    assert_eq!((code, sender, bits), (0, id(TaskId::KERNEL), 4));
}

fn new_timer() {
    let [low, high, set, deadline_low, deadline_high, bits, _] =
        system_call(Sysnum::GetTimer, [9; 7]);
    let now = u64::from(low) | u64::from(high) << 32;
    assert!((1..=sys_get_timer().now).contains(&now));
    assert_eq!([set, deadline_low, deadline_high, bits], [0; 4]);
}

fn timer_cleared() {
    system_call(Sysnum::SetTimer, [1, 0, 5, 2, 0, 0, 0]);
    let [_, _, set, low, high, bits, _] = system_call(Sysnum::GetTimer, [9; 7]);
    assert_eq!([set, low, high, bits], [1, 0, 5, 2]);
    kipc::reinit_task(first().index(), true);
    new_timer();
}

/// A deliberate difference: upstream leaves interrupts as they are.
fn interrupts_masked() {
    let call = |number: Sysnum, argument| {
        let (code, [_, r4, ..]) = ask(
            second(),
            assist::SYSTEM_CALL,
            [number as u32, 1, argument, 0, 0, 0, 0, 0],
        );
        assert_eq!(code, 0);
        IrqStatus::from_bits_retain(r4)
    };
    // Enable it, and clear what is pending.
    call(Sysnum::IrqControl, 3);
    assert!(call(Sysnum::IrqStatus, 0).contains(IrqStatus::ENABLED));
    kipc::reinit_task(second().index(), true);
    assert!(!call(Sysnum::IrqStatus, 0).contains(IrqStatus::ENABLED));
}

/// The lowest word of the first's stack, which is the lowest of its memory.
fn bottom_of_stack() -> u32 {
    let [data, _, _, stack, ..] = assist(assist::PLACES, []);
    let mut bottom = None;
    for n in 0.. {
        let Some(region) = kipc::get_task_dump_region(first().index(), n) else {
            break;
        };
        if (region.base..region.base + region.size).contains(&stack) {
            bottom = Some(region.base);
        }
    }
    match bottom {
        Some(bottom) if bottom < data => bottom,
        _ => panic!("the stack is at {stack:#x}, in no region"),
    }
}

fn overflows(stack: u32) {
    let task = first();
    let (count, _) = last_fault(task.index());
    let (code, _) = ask(task, assist::STACK, [stack]);
    assert!(extract_new_generation(code).is_some(), "{code:#x}");
    let (after, fault) = last_fault(task.index());
    assert_eq!(after, count + 1);
    let Some(FaultInfo::StackOverflow { address }) = fault else {
        panic!("stack at {stack:#x}: {fault:?}")
    };
    // The fault's address is that of the frame, or of the word of it that does not fit.
    assert!(
        stack.wrapping_sub(address) <= 128,
        "{address:#x} for a stack at {stack:#x}"
    );
}

fn no_room() {
    let bottom = bottom_of_stack();
    for room in [0, 8, 96] {
        overflows(bottom + room);
    }
    // With room for it there is no fault.
    assert_eq!(ask(first(), assist::STACK, [bottom + 512]).0, 0);
}

fn elsewhere() {
    for stack in [0x8080_1000, 0x1e75_0100, 8] {
        overflows(stack);
    }
}

fn not_started() {
    assert!(matches!(
        kipc::read_task_status(third().index()),
        TaskState::Healthy(SchedState::Stopped)
    ));
}

/// The stack holds 0xBADDCAFE from the lowest word up to the first frame, so that its depth can be
/// measured.
fn stack_refilled() {
    const FILL: u32 = 0xbadd_cafe;
    let bottom = bottom_of_stack();
    for place in (bottom..bottom + 256).step_by(4) {
        assist(assist::WRITE, [place, 0x1111_1111]);
    }
    assert_eq!(assist(assist::READ, [bottom])[0], 0x1111_1111);
    kipc::reinit_task(first().index(), true);
    for place in (bottom..bottom + 256).step_by(4) {
        assert_eq!(assist(assist::READ, [place])[0], FILL, "{place:#x}");
    }
}

/// A task that has not run yet: r11, sp, lr, pc and psr as the kernel made them.
fn new_registers() {
    let task = third();
    let [r11, sp, lr, pc, psr, ..] = supervisor(runner::REGISTERS, [task.index() as u32]);
    assert_eq!((r11, lr, psr & 1 << 24), (0, u32::MAX, 1 << 24));
    assert!(sp.is_multiple_of(8));
    assert_ne!(pc, 0);
}
