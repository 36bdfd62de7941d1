//! Does on request what would fault the suite: any system call, access or fault.
//!
//! This task uses `unsafe` to break rules on purpose. The suite proves that the kernel does not let
//! it.

#![no_std]
#![no_main]

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use test_api::{WORDS, assist, message, words};
use test_system_call::system_call;
use userlib::{RecvMessage, Sysnum, TaskId, hl};
use userlib::{
    sys_borrow_info, sys_borrow_read, sys_borrow_write, sys_post, sys_recv_open, sys_reply,
    sys_send,
};

/// Longest message, in bytes.
const BUFFER: usize = 64;

/// Initialised data: 7 after each start.
static DATA: AtomicU32 = AtomicU32::new(7);
/// Zeroed data: 0 after each start.
static ZEROED: AtomicU32 = AtomicU32::new(0);
/// Survives a restart.
#[unsafe(link_section = ".uninit")]
static mut UNINIT: MaybeUninit<u32> = MaybeUninit::uninit();

/// What must not leave the machine.
#[unsafe(link_section = ".data.secret")]
static SECRET: [AtomicU32; 4] = [const { AtomicU32::new(u32::from_le_bytes(*b"KEY!")) }; 4];

/// Room for messages and tables that the suite builds here.
static SCRATCH: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];

/// Result of the last call-back: code, length, first word.
static CALLED_BACK: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

#[unsafe(export_name = "main")]
fn main() -> ! {
    loop {
        let mut buffer = [0; BUFFER];
        let received = sys_recv_open(&mut buffer, 0);
        let length = received.message_len.min(buffer.len());
        serve(&received, buffer.get(..length).unwrap_or(&[]));
    }
}

fn serve(received: &RecvMessage, bytes: &[u8]) {
    let caller = received.sender;
    let arguments = words(bytes);
    let [a, b, c, d, ..] = arguments;
    match received.operation as u16 {
        assist::ECHO => sys_reply(caller, 0, bytes),
        assist::CODE => sys_reply(caller, a, &[]),
        assist::DESCRIBE => answer(
            caller,
            [
                received.operation,
                received.message_len as u32,
                received.response_capacity as u32,
                received.lease_count as u32,
            ],
        ),
        assist::SYSTEM_CALL | assist::SYSTEM_CALL_AFTER => {
            let after = received.operation as u16 == assist::SYSTEM_CALL_AFTER;
            if after {
                sys_reply(caller, 0, &[]);
            }
            let mut block = [0; 8];
            block.copy_from_slice(arguments.get(..8).unwrap_or(&[0; 8]));
            // SAFETY: the block is this task's. The suite chooses the system call, and the kernel
            // protects all other memory.
            unsafe { system_call(&mut block) };
            if after {
                let [_, r4, r5, r6, ..] = block;
                remember([r4, r5, r6]);
            } else {
                answer(caller, block);
            }
        }
        assist::SYSTEM_CALL_AT => {
            sys_reply(caller, 0, &[]);
            // SAFETY: none. The suite chooses the address of words that it has stored.
            let mut block = unsafe { (a as *const [u32; 8]).read_volatile() };
            // SAFETY: as above.
            unsafe { system_call(&mut block) };
            let [_, r4, r5, r6, ..] = block;
            remember([r4, r5, r6]);
        }
        assist::READ => {
            // SAFETY: none. The suite chooses the address and expects a fault or a value.
            let value = unsafe { (a as *const u32).read_volatile() };
            answer(caller, [value]);
        }
        assist::WRITE => {
            // SAFETY: none, as above.
            unsafe { (a as *mut u32).write_volatile(b) };
            answer(caller, [a]);
        }
        assist::EXECUTE => {
            // SAFETY: none, as above.
            let function: extern "C" fn() = unsafe { core::mem::transmute(a as *const ()) };
            function();
            answer(caller, [a]);
        }
        assist::OVERFLOW => answer(caller, [recurse(a)]),
        assist::PANIC => panic!(),
        assist::UNDEFINED => {
            // SAFETY: the instruction faults this task and does nothing else; if not, it changes r0
            // or r1.
            unsafe {
                match a {
                    // mrc p14, 0, r0, c0, c1, 0
                    1 => core::arch::asm!(".inst.w 0xee100e11", out("r0") _),
                    // mrc p14, 6, r0, c1, c0, 0
                    2 => core::arch::asm!(".inst.w 0xeed10e10", out("r0") _),
                    // vmov r0, r1, d16
                    3 => core::arch::asm!(".inst.w 0xec510b30", out("r0") _, out("r1") _),
                    _ => core::arch::asm!("udf #0"),
                }
            }
            sys_reply(caller, 0, &[]);
        }
        assist::CALL_BACK => call_back(caller, TaskId(a as u16), b as u16, c as usize, d),
        assist::CALLED_BACK => {
            answer(
                caller,
                [0, 1, 2].map(|i: usize| {
                    CALLED_BACK
                        .get(i)
                        .map_or(0, |word| word.load(Ordering::Relaxed))
                }),
            );
        }
        assist::REPLY_BYTES => {
            sys_reply(caller, 0, [0x5a; BUFFER].get(..a as usize).unwrap_or(&[]))
        }
        assist::BORROW_READ => {
            let mut out = [0; BUFFER];
            let (code, length) = sys_borrow_read(
                caller,
                a as usize,
                b as usize,
                out.get_mut(..c as usize).unwrap_or(&mut []),
            );
            let [first, ..] = words(&out);
            answer(caller, [code, length as u32, first]);
        }
        assist::BORROW_WRITE => {
            let mut bytes = [0; BUFFER];
            for (value, byte) in (1..).zip(&mut bytes) {
                *byte = value;
            }
            let (code, length) = sys_borrow_write(
                caller,
                a as usize,
                b as usize,
                bytes.get(..c as usize).unwrap_or(&[]),
            );
            answer(caller, [code, length as u32]);
        }
        assist::BORROW_INFO => match sys_borrow_info(caller, a as usize) {
            Some(info) => answer(caller, [1, info.attributes.bits(), info.len as u32]),
            None => answer(caller, [0]),
        },
        assist::POST_CALLER => answer(caller, [sys_post(caller, a)]),
        assist::CLOBBER_FLOAT => {
            clobber_float(a);
            sys_reply(caller, 0, &[]);
        }
        assist::THREAD_REGISTER => answer(caller, [exchange_thread_register(a)]),
        assist::PLACES => {
            let local = 0_u32;
            answer(
                caller,
                [
                    (&raw const DATA).addr() as u32,
                    (&raw const ZEROED).addr() as u32,
                    (main as fn() -> !) as usize as u32 & !1,
                    (&raw const local).addr() as u32,
                    (&raw const SCRATCH).addr() as u32,
                    (&raw const SECRET).addr() as u32,
                ],
            );
        }
        assist::MARK => {
            let data = DATA.fetch_add(1, Ordering::Relaxed) + 1;
            let zeroed = ZEROED.fetch_add(1, Ordering::Relaxed) + 1;
            let uninit = &raw mut UNINIT;
            // SAFETY: the task has one thread, so the static is not used elsewhere. It lies in
            // DRAM, which holds some value even before the first write, and every value is a valid
            // u32.
            let uninit = unsafe {
                let value = uninit.cast::<u32>().read_volatile().wrapping_add(1);
                uninit.cast::<u32>().write_volatile(value);
                value
            };
            answer(caller, [data, zeroed, uninit]);
        }
        assist::NAP => {
            hl::sleep_for(u64::from(a));
            sys_reply(caller, 0, &[]);
        }
        assist::SEND_THEN_RECEIVE => {
            call_back(caller, TaskId(a as u16), 0x55, 0, 0);
            let mut block = [Sysnum::Recv as u32, b, c, 0, 0, 0, 0, 0];
            // SAFETY: the block is this task's. The suite tests whether the kernel writes to that
            // buffer.
            unsafe { system_call(&mut block) };
        }
        assist::STACK => {
            // SAFETY: the stack pointer is restored before it is used again, unless the kernel
            // faults this task.
            unsafe { call_on_stack(a) };
            sys_reply(caller, 0, &[]);
        }
        assist::HANG => {
            sys_reply(caller, 0, &[]);
            assist_hang(a, TaskId(b as u16));
        }
        assist::DEADLOCK => {
            let peer = TaskId(a as u16);
            if peer != caller {
                sys_reply(caller, 0, &[]);
            }
            sys_send(
                peer,
                assist::DEADLOCK,
                message([b]).as_flattened(),
                &mut [],
                &[],
            );
        }
        _ => sys_reply(caller, u32::MAX >> 1, &[]),
    }
}

/// The supervisor's operation by which a task says that it is alive.
const ALIVE: u16 = 17;

/// Never comes back. Its name is looked for in the crash.
#[inline(never)]
fn assist_hang(how: u32, task: TaskId) -> ! {
    let mut round = 0_u32;
    loop {
        match how {
            1 => {
                sys_post(task, 1);
                sys_recv_open(&mut [], 1);
            }
            2 => {
                sys_send(task, 0, &[0; 4], &mut [], &[]);
            }
            3 => hl::sleep_for(1),
            4 => {
                if round < 30 {
                    round += 1;
                    sys_send(task, ALIVE, &[], &mut [], &[]);
                }
                hl::sleep_for(100);
            }
            _ => _ = core::hint::black_box(how),
        }
    }
}

fn answer<const N: usize>(caller: TaskId, words: [u32; N]) {
    sys_reply(caller, 0, message(words).as_flattened());
}

/// Replies to the caller, then calls it (or another task) with one word and keeps the result. The
/// reply buffer is at address `elsewhere` if that is not 0.
fn call_back(caller: TaskId, target: TaskId, operation: u16, capacity: usize, elsewhere: u32) {
    sys_reply(caller, 0, &[]);
    let outgoing = message([0xca11_bacc]);
    let mut reply = [0; BUFFER];
    let (code, length) = if elsewhere == 0 {
        let reply = reply.get_mut(..capacity).unwrap_or(&mut []);
        sys_send(target, operation, outgoing.as_flattened(), reply, &[])
    } else {
        let outgoing = (&raw const outgoing).addr() as u32;
        let place = u32::from(target.0) << 16 | u32::from(operation);
        let mut block = [
            Sysnum::Send as u32,
            place,
            outgoing,
            4,
            elsewhere,
            capacity as u32,
            0,
            0,
        ];
        // SAFETY: the block is this task's. The suite tests whether the kernel writes to that
        // address.
        unsafe { system_call(&mut block) };
        (block[1], block[2] as usize)
    };
    let [first, ..] = words(&reply);
    remember([code, length as u32, first]);
}

fn remember(words: [u32; 3]) {
    for (place, value) in CALLED_BACK.iter().zip(words) {
        place.store(value, Ordering::Relaxed);
    }
}

/// Uses 64 bytes of stack and more for each level.
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = [depth; WORDS];
    let frame = core::hint::black_box(&frame);
    if depth == u32::MAX {
        return 0;
    }
    recurse(depth + 1).wrapping_add(frame.iter().sum())
}

/// Fills d0..d15 with a word.
fn clobber_float(word: u32) {
    macro_rules! fill {
        ($($register:literal)*) => {
            // SAFETY: only floating-point registers change, and all of them are declared.
            unsafe {
                core::arch::asm!(
                    $(concat!("vmov ", $register, ", {0}, {0}"),)*
                    in(reg) word,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _,
                    out("d7") _, out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _,
                    out("d14") _, out("d15") _,
                    options(nomem, nostack),
                );
            }
        };
    }
    fill!("d0" "d1" "d2" "d3" "d4" "d5" "d6" "d7" "d8" "d9" "d10" "d11" "d12" "d13" "d14" "d15");
}

/// Reads TPIDRURW, and stores a word there.
fn exchange_thread_register(word: u32) -> u32 {
    let before;
    // SAFETY: no code of this task uses that register; r0 and r1 are declared.
    unsafe {
        core::arch::asm!(
            ".inst.w 0xee1d0f50", // mrc p15, 0, r0, c13, c0, 2
            ".inst.w 0xee0d1f50", // mcr p15, 0, r1, c13, c0, 2
            out("r0") before,
            in("r1") word,
            options(nomem, nostack),
        );
    }
    before
}

/// Makes the system call SET_TIMER, which clears the timer, with the stack pointer at `stack`.
///
/// # Safety
/// There may be no stack at that address. The kernel has to refuse an address where its frame does
/// not fit.
#[unsafe(naked)]
unsafe extern "C" fn call_on_stack(stack: u32) {
    core::arch::naked_asm!(
        "push {{r4-r11, lr}}",
        "mov r10, sp",
        "mov sp, r0",
        "mov r4, #0",
        "mov r11, #3",
        "svc #0",
        "mov sp, r10",
        "pop {{r4-r11, pc}}",
    )
}
