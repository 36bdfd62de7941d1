//! Kernel IPC: section 4.

use crate::Case;
use crate::support::{
    NO_SUCH_TASK, assist, call_after, first, id, last_fault, myself, scratch, second, supervisor,
    system_call_faults, usage,
};
use test_api::{ask, assist, runner};
use userlib::{
    FaultInfo, Kipcnum, ReadPanicMessageError, SchedState, Sysnum, TaskId, TaskState, UsageError,
};
use userlib::{PANIC_MESSAGE_MAX_LEN, extract_new_generation, kipc, sys_send};

pub const CASES: &[Case] = &[
    ("s4_kipc1_states_of_tasks", states),
    ("s4_kipc1_encoding_of_a_receiver", encoding),
    ("s4_task_out_of_range", no_such_task),
    ("s4_1_unknown_numbers_and_short_requests", unknown),
    ("s4_1_small_response_buffer", small_buffer),
    ("s4_kipc2_restart_and_memory", restart),
    ("s4_kipc2_restart_without_start", restart_stopped),
    ("s4_kipc2_senders_get_the_dead_code", restart_tells),
    ("s4_kipc3_fault_is_injected", fault_task),
    ("s4_kipc3_illegal_task", fault_refused),
    ("s4_kipc9_find_faulted_task", find_faulted),
    ("s4_kipc10_panic_message", panic_messages),
    ("s4_kipc4_image_id", image_id),
    ("s4_kipc6_dump_regions", dump_regions),
    ("s4_kipc7_secrets_are_blanked_ours", secrets),
    ("s4_kipc10_secrets_are_blanked_ours", secret_message),
    ("s4_supervisor_only", supervisor_only),
    ("s4_kipc2_3_5_closed_unless_named_ours", not_named),
    (
        "s4_kipc2_the_supervisor_is_out_of_reach_ours",
        not_the_supervisor,
    ),
    ("s4_kipc256_registers_ours", registers),
];

/// The first argument of SEND for a kernel IPC request with this number.
fn kernel(operation: u32) -> u32 {
    id(TaskId::KERNEL) << 16 | operation
}

fn states() {
    let state = |task| kipc::read_task_status(task);
    assert!(matches!(
        state(myself().index()),
        TaskState::Healthy(SchedState::Runnable)
    ));
    assert!(matches!(
        state(first().index()),
        TaskState::Healthy(SchedState::InRecv(None))
    ));
    // The supervisor is in an open receive.
    assert!(matches!(
        state(0),
        TaskState::Healthy(SchedState::InRecv(None))
    ));
    assert_eq!(
        ask(second(), assist::CALL_BACK, [id(first()), 0xffff, 0]).0,
        0
    );
    assert_eq!(
        ask(first(), assist::CALL_BACK, [id(myself()), 0x55, 0]).0,
        0
    );
    assert!(
        matches!(state(first().index()), TaskState::Healthy(SchedState::InSend(to)) if to == myself())
    );
}

fn encoding() {
    let mut response = [0xee; 8];
    let request = (first().index() as u32).to_le_bytes();
    let (code, length) = sys_send(
        TaskId::KERNEL,
        Kipcnum::ReadTaskStatus as u16,
        &request,
        &mut response,
        &[],
    );
    // Healthy, InRecv, None.
    assert_eq!((code, length, &response[..3]), (0, 3, &[0, 4, 0][..]));
}

fn no_such_task() {
    for operation in [1, 2, 3, 10] {
        // Five bytes are enough for the longest of these requests.
        let place = scratch([NO_SUCH_TASK]);
        usage(
            Sysnum::Send,
            [kernel(operation), place, 5, 0, 0, 0, 0],
            UsageError::TaskOutOfRange,
        );
    }
    // A search may begin at the end of the task table, but not beyond.
    assert_eq!(kipc::find_faulted_task(NO_SUCH_TASK as usize), None);
}

fn unknown() {
    for operation in [0, 11, 0xff, 0xffff] {
        usage(
            Sysnum::Send,
            [kernel(operation), 0, 0, 0, 0, 0, 0],
            UsageError::BadKernelMessage,
        );
    }
    for operation in [1, 2, 3, 9, 10] {
        usage(
            Sysnum::Send,
            [kernel(operation), 0, 0, 0, 0, 0, 0],
            UsageError::BadKernelMessage,
        );
    }
}

fn small_buffer() {
    let request = (first().index() as u32).to_le_bytes();
    let (code, length) = sys_send(
        TaskId::KERNEL,
        Kipcnum::ReadTaskStatus as u16,
        &request,
        &mut [0; 1],
        &[],
    );
    assert_eq!((code, length), (0, size_of::<TaskState>()));
}

fn restart() {
    let [data, zeroed, uninit, ..] = assist(assist::MARK, []);
    assert_eq!((data, zeroed), (8, 1));
    assert_eq!(assist(assist::MARK, [])[..3], [9, 2, uninit + 1]);
    let before = first();
    kipc::reinit_task(before.index(), true);
    assert_eq!(first(), before.next_generation());
    // Data has its initial values, zeroed data is zero, uninitialised data is unchanged.
    assert_eq!(assist(assist::MARK, [])[..3], [8, 1, uninit + 2]);
}

fn restart_stopped() {
    let index = first().index();
    kipc::reinit_task(index, false);
    assert!(matches!(
        kipc::read_task_status(index),
        TaskState::Healthy(SchedState::Stopped)
    ));
    kipc::reinit_task(index, true);
    assert_eq!(assist(assist::ECHO, [4])[0], 4);
}

/// The first assist waits for the second, which is restarted.
fn restart_tells() {
    let before = second();
    // The second waits for this task, so the first waits for the second.
    assert_eq!(
        ask(second(), assist::CALL_BACK, [id(myself()), 0x55, 0]).0,
        0
    );
    assert_eq!(
        ask(
            first(),
            assist::CALL_BACK,
            [id(before), u32::from(assist::ECHO), 8]
        )
        .0,
        0
    );
    assert!(matches!(
        kipc::read_task_status(first().index()),
        TaskState::Healthy(SchedState::InSend(to)) if to == before
    ));
    kipc::reinit_task(before.index(), true);
    let [code, length, ..] = assist(assist::CALLED_BACK, []);
    assert_eq!(
        (extract_new_generation(code), length),
        (Some(before.next_generation().generation()), 0)
    );
}

fn fault_task() {
    let victim = second();
    kipc::fault_task(victim.index());
    assert_eq!(
        last_fault(victim.index()),
        (1, Some(FaultInfo::Injected(myself())))
    );
    assert_eq!(second(), victim.next_generation());
}

fn fault_refused() {
    for index in [0, first().index() as u32] {
        let place = scratch([index]);
        usage(
            Sysnum::Send,
            [kernel(3), place, 4, 0, 0, 0, 0],
            UsageError::IllegalTask,
        );
    }
}

fn find_faulted() {
    supervisor(runner::HOLD, [1]);
    assert_eq!(kipc::find_faulted_task(1), None);
    let (one, two) = (first().index(), second().index());
    kipc::fault_task(two);
    kipc::fault_task(one);
    assert_eq!(
        kipc::find_faulted_task(1).map(usize::from),
        Some(one.min(two))
    );
    assert_eq!(
        kipc::find_faulted_task(one.min(two) + 1).map(usize::from),
        Some(one.max(two))
    );
    assert_eq!(kipc::find_faulted_task(one.max(two) + 1), None);
    // A second fault replaces the first; the state before the first is kept.
    kipc::fault_task(one);
    let TaskState::Faulted {
        fault,
        original_state,
    } = kipc::read_task_status(one)
    else {
        panic!("not faulted")
    };
    assert_eq!(fault, FaultInfo::Injected(myself()));
    assert_eq!(original_state, SchedState::InRecv(None));
    // Sending to it blocks, as to a stopped task, until it is restarted.
    kipc::reinit_task(one, true);
    kipc::reinit_task(two, true);
    assert_eq!(assist(assist::ECHO, [1])[0], 1);
}

fn panic_messages() {
    supervisor(runner::HOLD, [1]);
    let mut buffer = [0; PANIC_MESSAGE_MAX_LEN];
    let index = second().index();
    assert_eq!(
        kipc::read_panic_message(index, &mut buffer).err(),
        Some(ReadPanicMessageError::TaskNotPanicked)
    );
    // The first panics on request of the second, with the message of a task that is built without
    // messages.
    let victim = first();
    assert_eq!(
        ask(
            second(),
            assist::CALL_BACK,
            [id(victim), u32::from(assist::PANIC), 0]
        )
        .0,
        0
    );
    assert!(matches!(
        kipc::read_task_status(victim.index()),
        TaskState::Faulted {
            fault: FaultInfo::Panic,
            original_state: SchedState::Runnable
        }
    ));
    let mut chunks = kipc::read_panic_message(victim.index(), &mut buffer)
        .unwrap_or_else(|_| panic!("no message"));
    assert_eq!(chunks.next().map(|chunk| chunk.valid()), Some("PANIC"));
    kipc::reinit_task(victim.index(), true);
}

fn image_id() {
    let id = kipc::read_image_id();
    assert_ne!(id, 0);
    assert_eq!(kipc::read_image_id(), id);
}

fn dump_regions() {
    let task = first().index();
    let record = kipc::get_task_desc_region(task);
    assert!(
        record.size >= 100 && record.base.is_multiple_of(4),
        "{record:?}"
    );
    let [data, _, _, stack, ..] = assist(assist::PLACES, []);
    let mut covered = [false; 2];
    let mut last = 0;
    for n in 0.. {
        let Some(region) = kipc::get_task_dump_region(task, n) else {
            break;
        };
        assert!(region.base >= last, "regions go up");
        last = region.base;
        for (covered, address) in covered.iter_mut().zip([data, stack]) {
            *covered |= (region.base..region.base + region.size).contains(&address);
        }
    }
    assert_eq!(covered, [true; 2], "data and stack are dumped");
}

/// Where the assist has a secret.
fn secret() -> u32 {
    let [_, _, _, _, _, secret, ..] = assist(assist::PLACES, []);
    secret
}

/// Memory around a secret is read as it is.
fn secrets() {
    let secret = secret();
    let key = u32::from_le_bytes(*b"KEY!");
    assert_eq!(assist(assist::READ, [secret])[0], key);
    let after = assist(assist::READ, [secret + 16])[0];
    let read = |address: u32, size: u32| {
        supervisor(runner::READ_DUMP, [first().index() as u32, address, size])
    };
    let blank = u32::from_le_bytes(*b"****");
    let [a, b, c, d, e, ..] = read(secret, 20);
    assert_eq!([a, b, c, d, e], [blank, blank, blank, blank, after]);
    let [edge, ..] = read(secret + 15, 4);
    assert_eq!(edge, after << 8 | u32::from(b'*'));
}

fn secret_message() {
    supervisor(runner::HOLD, [1]);
    let (victim, secret) = (first(), secret());
    // The kernel stops in PANIC, whose message is the first word and a half of the secret.
    let request = [Sysnum::Panic as u32, secret, 6, 0, 0, 0, 0, 0];
    ask(victim, assist::SYSTEM_CALL_AFTER, request);
    assert!(matches!(
        kipc::read_task_status(victim.index()),
        TaskState::Faulted {
            fault: FaultInfo::Panic,
            ..
        }
    ));
    let mut buffer = [0; PANIC_MESSAGE_MAX_LEN];
    let mut chunks = kipc::read_panic_message(victim.index(), &mut buffer)
        .unwrap_or_else(|_| panic!("no message"));
    assert_eq!(chunks.next().map(|chunk| chunk.valid()), Some("******"));
    kipc::reinit_task(victim.index(), true);
}

fn supervisor_only() {
    let task = first().index() as u32;
    let record = kipc::get_task_desc_region(first().index());
    for operation in [
        7, 8, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x110, 0x111,
    ] {
        let place = scratch([task, record.base, record.size, 0]);
        system_call_faults(
            Sysnum::Send as u32,
            [kernel(operation), place, 16, 0, 0, 0, 0],
            FaultInfo::SyscallUsage(UsageError::NotSupervisor),
        );
    }
}

/// The second assist is not in `[kernel.allowed-callers]`, the first is for all but the reset.
///
/// REQ: X7 (in part)
fn not_named() {
    let reset = [kernel(5), 0, 0, 0, 0, 0, 0];
    usage(Sysnum::Send, reset, UsageError::NotSupervisor);
    let refused = FaultInfo::SyscallUsage(UsageError::NotSupervisor);
    let (victim, mut faults) = (first(), last_fault(second().index()).0);
    for target in [0, victim.index() as u32, NO_SUCH_TASK] {
        for operation in [2, 3, 5] {
            let (_, [_, _, _, _, place, ..]) = ask(second(), assist::PLACES, []);
            ask(second(), assist::WRITE, [place, target]);
            let arguments = [kernel(operation), place, 5, 0, 0, 0, 0];
            call_after(second(), Sysnum::Send, arguments);
            faults += 1;
            let expected = (faults, Some(refused));
            assert_eq!(last_fault(second().index()), expected, "{operation}");
        }
    }
    assert_eq!(first(), victim);
}

/// REQ: C3 (in part)
fn not_the_supervisor() {
    for start in [0, 1] {
        let place = scratch([0, start]);
        usage(
            Sysnum::Send,
            [kernel(2), place, 5, 0, 0, 0, 0],
            UsageError::IllegalTask,
        );
    }
}

/// The assist waits in RECV, which is system call 1.
fn registers() {
    let [_, _, text, stack, ..] = assist(assist::PLACES, []);
    let [r11, sp, _, pc, psr, ..] = supervisor(runner::REGISTERS, [first().index() as u32]);
    assert_eq!(r11, Sysnum::Recv as u32);
    assert!(
        (stack - 0x400..stack + 0x400).contains(&sp),
        "sp {sp:#x}, a local variable is at {stack:#x}"
    );
    assert!(
        (text..text + 0x4000).contains(&pc) || (text - 0x4000..text).contains(&pc),
        "pc {pc:#x}"
    );
    assert_eq!(
        psr & 1 << 24,
        1 << 24,
        "Thumb state, as an M-profile core has it"
    );
}
