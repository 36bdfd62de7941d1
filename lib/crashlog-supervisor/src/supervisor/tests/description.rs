//! The description of a crash: task, fault, registers, time, stack and message.

use super::*;

#[test]
fn the_context_has_task_fault_registers_and_time() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.kernel.tasks[WORKER].fault = Some(memory_fault());
    let _ = supervisor.handle_fault(WORKER, false, 7, 0);
    // Complete, but not armed before all faults that were found are handled.
    assert_eq!(region.mailbox().state(), MailboxState::Noted);
    let crash = region.mailbox().crash().unwrap();
    let context = crash.context;
    assert_eq!(context.reason(), CrashReason::Panic);
    assert_eq!(
        (context.task, context.name.as_str()),
        (WORKER as u16, "worker")
    );
    assert_eq!((context.boot, context.time, context.restarts), (1, 100, 7));
    assert_eq!(context.image_id, IMAGE);
    assert_eq!(context.fault()[..7], [0, 1, 0xe0, 0xbe, 0xad, 0xde, 0]);
    assert_eq!(context.registers[15], 0xc0de_0003);
    let stack = crash.stack();
    assert_eq!(
        (stack.address, stack.length, stack.original),
        (0x43c0, 64, 64)
    );
    let mut bytes = [0; 64];
    crash.crash_blocks()[2].copy_to(0, &mut bytes);
    assert_eq!(bytes[..3], [0xc0, 0xc1, 0xc2]);
    assert_eq!(crash.message().length, 0);
}

/// Of a long stack an excerpt is kept, with the length of the whole and the mark of an excerpt. An
/// excerpt that the kernel does not give out whole has no such mark: bytes are missing.
#[test]
fn a_long_stack_is_an_excerpt() {
    for (given, is_excerpt) in [(usize::MAX, true), (100, false)] {
        let region = retained();
        let mut supervisor = boot(region);
        let task = &mut supervisor.kernel.tasks[WORKER];
        task.fault = Some(memory_fault());
        task.registers[13] = 0x4100;
        supervisor.kernel.gives = given;
        let _ = supervisor.handle_fault(WORKER, false, 0, 0);
        let stack = region.mailbox().crash().unwrap().stack();
        assert_eq!(
            (stack.address, stack.length, stack.original),
            (0x4100, given.min(STACK_EXCERPT) as u32, 0x300)
        );
        assert_eq!(stack.is_excerpt, is_excerpt);
    }
}

#[test]
fn a_panic_message_is_kept_byte_by_byte() {
    let region = retained();
    let mut supervisor = boot(region);
    let task = &mut supervisor.kernel.tasks[WORKER];
    task.fault = Some(FaultInfo::Panic);
    task.message = b"no \xff utf-8".to_vec();
    let _ = supervisor.handle_fault(WORKER, false, 0, 0);
    let crash = region.mailbox().crash().unwrap();
    assert_eq!(crash.context.fault()[0], 8);
    let mut bytes = [0; 10];
    crash.crash_blocks()[1].copy_to(0, &mut bytes);
    assert_eq!(&bytes, b"no \xff utf-8");
    assert_eq!(crash.message().length, 10);
}

/// On a stock kernel: from the worker's entry in the kernel's table and the frame on its stack.
///
/// REQ: X16 (in part: registers and stack on a stock kernel)
#[test]
fn registers_and_stack_are_found_in_memory() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.kernel.with_registers = false;
    let task = &mut supervisor.kernel.tasks[WORKER];
    task.fault = Some(memory_fault());
    // r4 to r11, psp, EXC_RETURN; the entry has more.
    let saved = [4, 5, 6, 7, 8, 9, 10, 11, 0x43a0, 0xffff_fffd];
    task.entry = saved.iter().flat_map(|it: &u32| it.to_le_bytes()).collect();
    task.entry.resize(168, 0xee);
    let _ = supervisor.handle_fault(WORKER, false, 0, 0);
    let crash = region.mailbox().crash().unwrap();
    let word = |at: u8| u32::from_le_bytes([at, at + 1, at + 2, at + 3]);
    let [r0, .., r12, sp, lr, pc, psr] = crash.context.registers;
    assert_eq!((r0, r12, sp), (word(0xa0), word(0xb0), 0x43c0));
    assert_eq!((lr, pc, psr), (word(0xb4), word(0xb8), word(0xbc)));
    assert_eq!(crash.context.registers[4..12], saved[..8]);
    let stack = crash.stack();
    assert_eq!((stack.address, stack.length), (0x43c0, 64));
}

/// Of an overflow there is no frame, but the stack is known, from its lowest byte on. The place is
/// not: each such fault of the task counts as the same.
///
/// REQ: X16 (in part: registers and stack on a stock kernel)
#[test]
fn an_overflow_that_left_no_frame_has_a_stack_and_no_place() {
    let mut signatures = Vec::new();
    for psp in [0x3fd0_u32, 0x3ff0] {
        let region = retained();
        let mut supervisor = boot(region);
        supervisor.kernel.with_registers = false;
        let task = &mut supervisor.kernel.tasks[WORKER];
        task.fault = Some(FaultInfo::StackOverflow { address: psp });
        task.entry = vec![0x11; 32];
        task.entry.extend(psp.to_le_bytes());
        task.entry.extend(0xffff_fffd_u32.to_le_bytes());
        let _ = supervisor.handle_fault(WORKER, false, 0, 0);
        let crash = region.mailbox().crash().unwrap();
        let [r0, .., sp, lr, pc, psr] = crash.context.registers;
        assert_eq!((r0, sp, lr, pc, psr), (0, psp + 32, 0, 0, 0));
        assert_eq!(crash.context.registers[4], 0x1111_1111);
        let stack = crash.stack();
        let from = sp.max(0x4000);
        assert_eq!((stack.address, stack.original), (from, 0x4400 - from));
        signatures.push(crashlog_retained::signature(
            crash.context.task,
            crash.context.fault(),
            &crash.context.registers,
            crash.text(),
        ));
    }
    assert_eq!(signatures[0], signatures[1]);
}

#[test]
fn a_kernel_without_registers_and_memory_is_enough() {
    let region = retained();
    let mut supervisor = boot(region);
    supervisor.kernel.with_registers = false;
    crash(&mut supervisor, &[WORKER]);
    let crash = region.mailbox().crash().unwrap();
    assert_eq!(crash.context.registers, [0; 17]);
    assert_eq!(crash.stack().length, 0);
}
