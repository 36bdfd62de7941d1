//! Strikes at an exact instruction of the system.
//!
//! A hardware timer of the SoC interrupts after a number of its ticks. This task, which only the
//! supervisor precedes in importance, then does what the harness has told it: it crashes, faults
//! another task, or lets the harness act from outside. The harness runs the machine at one
//! instruction for each 32 ns of guest time and sets the timer's clock to 100 MHz. Each instruction
//! outside of the kernel, which is never interrupted, is therefore reached by some number of ticks,
//! and by the same number in each run.
//!
//! The harness has breakpoints on [`saboteur_start`] and [`saboteur_strike`] and writes the words
//! of [`SABOTEUR_PLAN`]. The timer interrupts once in each boot, because its interrupt line stays
//! high in QEMU's model.
//!
//! `unsafe` is used to export these symbols, for the timer's registers, and for the store that
//! crashes.

#![no_std]
#![no_main]

#[cfg_attr(feature = "imx6ul", path = "timer_imx6ul.rs")]
mod timer;

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use task_jefe_api::{Jefe, region_name};
use userlib::{kipc, sys_irq_control, sys_recv_open, sys_reply, task_slot};

task_slot!(JEFE, jefe);

/// Ticks that are left at the strike. On the AST2600 there is another interrupt at zero, which in
/// QEMU's model withdraws the first one, so it has to be after the end of any test.
const LEFT: u32 = 1 << 30;

/// Written by the harness: ticks from the start of this task to the strike (0 is none), the action,
/// its argument.
#[unsafe(no_mangle)]
static SABOTEUR_PLAN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// No action of this task: the harness acts.
const NOTHING: u32 = 0;
/// Store to the address in the argument.
const STORE: u32 = 1;
/// Fault the task whose index is the argument.
const FAULT_TASK: u32 = 2;
/// Fault that task, then this one.
const FAULT_BOTH: u32 = 3;
/// Panic.
const PANIC: u32 = 4;
/// Jump to the address in the argument. It allows crashes at different places.
const JUMP: u32 = 5;
/// Register the device register at the address in the argument, to be saved with a crash.
const REGISTER: u32 = 6;
/// Restart the task whose index is the argument.
const RESTART_TASK: u32 = 7;
/// Ask the supervisor for a reset of the system.
const REQUEST_RESET: u32 = 8;
/// Ask the kernel for it.
const RESET: u32 = 9;
/// Panic with a text that has the argument in it.
const PANIC_WITH: u32 = 10;
/// Fault the task whose index is the argument a number of times, then reset the system.
const FAULT_AND_RESET: u32 = 11;
/// How often.
const FAULTS: u32 = 12;

/// The task starts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn saboteur_start() {
    black_box(1);
}

/// The strike.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn saboteur_strike() {
    // The two functions must differ, or the compiler would merge them.
    black_box(2);
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    saboteur_start();
    arm(plan(0));
    loop {
        let mut ticks = [0; 4];
        let received = sys_recv_open(&mut ticks, notifications::TIMER_IRQ_MASK);
        if received.sender == userlib::TaskId::KERNEL {
            timer::stop();
            saboteur_strike();
            strike();
        } else {
            sys_reply(received.sender, 0, &[]);
            arm(u32::from_le_bytes(ticks));
        }
    }
}

/// A word of the plan.
fn plan(index: usize) -> u32 {
    SABOTEUR_PLAN
        .get(index)
        .map_or(0, |word| word.load(Ordering::Relaxed))
}

/// Strikes after this number of ticks; 0 is never.
fn arm(ticks: u32) {
    timer::stop();
    if ticks != 0 {
        timer::set(LEFT + (ticks & (LEFT - 1)), LEFT);
        sys_irq_control(notifications::TIMER_IRQ_MASK, true);
        timer::start();
    }
}

fn strike() {
    let argument = plan(2);
    match plan(1) {
        NOTHING => {}
        STORE => store(argument),
        FAULT_TASK => kipc::fault_task(argument as usize),
        FAULT_BOTH => {
            kipc::fault_task(argument as usize);
            store(0);
        }
        JUMP => jump(argument),
        REGISTER => register(argument),
        RESTART_TASK => kipc::reinit_task(argument as usize, true),
        REQUEST_RESET => Jefe::from(JEFE.get_task_id()).request_reset(),
        RESET => kipc::system_restart(),
        PANIC_WITH => panic!("strike {argument} at {:#x}", argument << 12),
        FAULT_AND_RESET => {
            for _ in 0..FAULTS {
                kipc::fault_task(argument as usize);
            }
            kipc::system_restart()
        }
        PANIC => userlib::sys_panic(b"the saboteur strikes"),
        _ => userlib::sys_panic(b"the saboteur does not know this deed"),
    }
}

fn store(address: u32) {
    // SAFETY: none. The harness chooses an address where nothing is mapped for this task, so that
    // the store faults it.
    unsafe { (address as *mut u32).write_volatile(0) };
}

fn register(address: u32) {
    let jefe = Jefe::from(JEFE.get_task_id());
    if jefe
        .register_crash_region(address, 4, &region_name("hole"))
        .is_err()
    {
        userlib::sys_panic(b"the region cannot be registered");
    }
}

fn jump(address: u32) {
    // SAFETY: none. As above; the processor faults this task when it fetches the first instruction.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address as *const ()) };
    function();
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
