//! The ways in which a task fails.

use core::hint::black_box;
use test_random::Random;
use userlib::sys_panic;

/// Fails in any way, or in none if the address is one of this task's.
pub fn any(random: &mut Random) {
    let word = random.word();
    let address = random.of(&[0, 4, 0x8010_0000, 0x80c0_0000, 0x1e75_0100, word]);
    match random.below(16) {
        0..4 => number(random),
        4..7 => {
            // SAFETY: none. The kernel has to protect all that is not this task's; and what is, is
            // lost with it.
            unsafe { (address as *mut u32).write_volatile(random.word()) };
        }
        7..10 => {
            // SAFETY: as above.
            black_box(unsafe { (address as *const u32).read_volatile() });
        }
        10..12 => {
            // SAFETY: none. It is the address of no function, or of one that this task may call.
            let function: extern "C" fn() = unsafe { core::mem::transmute(address as usize | 1) };
            function();
        }
        12 => {
            black_box(recurse(0));
        }
        13 => {
            // SAFETY: the instruction is permanently undefined (A8.8.247 of the ARMv7-A manual) and
            // has no effect but the fault.
            unsafe { core::arch::asm!("udf #0") };
        }
        14 if random.one_in(4) => loop {
            black_box(address);
        },
        _ => sys_panic(b"any message"),
    }
}

/// Panics with a number in the message, another one each time.
fn number(random: &mut Random) {
    panic!("value {} at {:#x}", random.word(), random.word())
}

/// Uses up the stack.
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = black_box([depth; 32]);
    if depth == u32::MAX {
        return 0;
    }
    recurse(depth + 1).wrapping_add(frame.iter().sum())
}
