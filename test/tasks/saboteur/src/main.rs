//! Strikes at an exact moment, whatever the system is doing then.
//!
//! A hardware timer of the SoC interrupts after a number of its ticks, and this task, more important than all but the
//! supervisor, does what the harness has told it: it crashes, faults another task, or lets the harness act from outside.
//! The harness runs the machine at one instruction for each 32 ns of guest time and sets the timer's clock to 100 MHz. So
//! each instruction outside the kernel, which is never interrupted, is reached by some number of ticks, and by the same
//! number in each run.
//!
//! The harness has breakpoints on [`saboteur_start`] and [`saboteur_strike`] and writes the words of [`SABOTEUR_PLAN`].
//! The timer interrupts once in a boot: in QEMU's model its interrupt line then stays as it is.
//!
//! `unsafe` is used to export what the harness looks for, for the timer's registers, and for the store that crashes.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use userlib::{kipc, sys_irq_control, sys_recv_open, sys_reply};

/// First register of the timers.
const TIMERS: usize = 0x1e78_2000;
/// Where timer 1 begins.
const RELOAD: usize = 0x04;
/// Where timer 1 interrupts on its way to zero.
const MATCH: [usize; 2] = [0x08, 0x0c];
/// So many ticks are left then. There is another interrupt at zero, which in QEMU's model takes the first one back; it is
/// half a minute away.
const LEFT: u32 = 1 << 30;
/// Four bits for each timer.
const CONTROL: usize = 0x30;
/// Timer 1 counts the bus clock down.
const START: u32 = 1 << 0;

/// What the harness says: ticks from the start of this task to the strike (0 is none), the deed, its argument.
#[unsafe(no_mangle)]
static SABOTEUR_PLAN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// Nothing: the harness acts.
const NOTHING: u32 = 0;
/// Store to the address that the argument says.
const STORE: u32 = 1;
/// Fault the task with the index that the argument says.
const FAULT_TASK: u32 = 2;
/// Fault that task, and then this one too.
const FAULT_BOTH: u32 = 3;
/// Panic.
const PANIC: u32 = 4;
/// Jump to the address that the argument says: a crash at another place each time.
const JUMP: u32 = 5;

/// The task starts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn saboteur_start() {
    black_box(1);
}

/// The moment has come.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn saboteur_strike() {
    // Two functions that do the same would be made one.
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
            set(CONTROL, 0);
            saboteur_strike();
            strike();
        } else {
            sys_reply(received.sender, 0, &[]);
            arm(u32::from_le_bytes(ticks));
        }
    }
}

/// One of the words that the harness wrote.
fn plan(index: usize) -> u32 {
    SABOTEUR_PLAN
        .get(index)
        .map_or(0, |word| word.load(Ordering::Relaxed))
}

/// Strikes in so many ticks; 0 is never.
fn arm(ticks: u32) {
    set(CONTROL, 0);
    if ticks != 0 {
        for register in MATCH {
            set(register, LEFT);
        }
        set(RELOAD, LEFT + (ticks & (LEFT - 1)));
        sys_irq_control(notifications::TIMER_IRQ_MASK, true);
        set(CONTROL, START);
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
        PANIC => userlib::sys_panic(b"the saboteur strikes"),
        _ => userlib::sys_panic(b"the saboteur does not know this deed"),
    }
}

fn store(address: u32) {
    // SAFETY: none. The harness chooses an address where nothing is mapped for this task, so that the store faults it.
    unsafe { (address as *mut u32).write_volatile(0) };
}

fn jump(address: u32) {
    // SAFETY: none. As above; the processor faults this task when it fetches the first instruction.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address as *const ()) };
    function();
}

fn set(register: usize, value: u32) {
    // SAFETY: app.toml maps the timers to this task, as device memory, and the registers are aligned words in them.
    unsafe { ((TIMERS + register) as *mut u32).write_volatile(value) };
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
