//! Interrupt controller: GICv2 (IHI 0048B).
//!
//! Used in Secure state, for one processor. All interrupts are in group 1, which is signalled as
//! IRQ, and of one priority; but that of the hang timer is in group 0, which is signalled as FIQ,
//! and more important than all others. It is never acknowledged: it ends when the timer is set
//! anew.
//!
//! Interrupt priorities would have no effect: an interrupt only posts a notification, and the
//! kernel takes one at a time. Every interrupt is disabled until the task that owns it enables it,
//! and is disabled again when it is taken.

use crate::platform::Platform;
use abi::InterruptNum;
use core::sync::atomic::{AtomicU32, Ordering};

// Distributor registers, IHI 0048B table 4-1.
const GICD_CTLR: u32 = 0x000;
const GICD_TYPER: u32 = 0x004;
const GICD_IGROUPR: u32 = 0x080;
const GICD_ISENABLER: u32 = 0x100;
const GICD_ICENABLER: u32 = 0x180;
const GICD_ISPENDR: u32 = 0x200;
const GICD_ICPENDR: u32 = 0x280;
const GICD_IPRIORITYR: u32 = 0x400;
const GICD_ITARGETSR: u32 = 0x800;

// CPU interface registers, table 4-2.
const GICC_CTLR: u32 = 0x000;
const GICC_PMR: u32 = 0x004;
const GICC_IAR: u32 = 0x00c;
const GICC_EOIR: u32 = 0x010;

/// GICD_CTLR: both groups are enabled.
const GROUPS: u32 = 0b11;
/// GICC_CTLR: both groups are enabled; one register acknowledges both (AckCtl); group 0 is
/// signalled as FIQ (FIQEn).
const GROUPS_AND_FIQ: u32 = 0b1111;

/// First INTID that is shared between processors.
const FIRST_SHARED: u32 = 32;
/// First of the INTIDs that mean that no interrupt is pending (IHI 0048B, section 3.2.5).
const FIRST_SPECIAL: u32 = 1020;
/// Four interrupts' priorities, halfway.
const PRIORITY: u32 = 0xa0a0_a0a0;
/// Four interrupts' targets: processor 0.
const TARGET: u32 = 0x0101_0101;

static DISTRIBUTOR: AtomicU32 = AtomicU32::new(0);
static CPU_INTERFACE: AtomicU32 = AtomicU32::new(0);
static TIMER: AtomicU32 = AtomicU32::new(FIRST_SPECIAL);

/// The interrupt that was taken.
pub(crate) enum Taken {
    /// The tick.
    Timer,
    /// An interrupt of a device.
    Device(InterruptNum),
    /// None: it was no longer pending when the kernel asked.
    Spurious,
}

/// Brings the controller into a known state: every interrupt disabled but the timer's.
pub(crate) fn init(platform: &Platform) {
    DISTRIBUTOR.store(platform.gic_distributor, Ordering::Relaxed);
    CPU_INTERFACE.store(platform.gic_cpu_interface, Ordering::Relaxed);
    TIMER.store(platform.timer_interrupt, Ordering::Relaxed);

    set_distributor(GICD_CTLR, 0);
    // TYPER[4:0]: number of blocks of 32 interrupts, minus one.
    let interrupts = 32 * ((distributor(GICD_TYPER) & 0x1f) + 1);
    for word in 0..interrupts / 32 {
        set_distributor(GICD_ICENABLER + 4 * word, u32::MAX);
        set_distributor(GICD_ICPENDR + 4 * word, u32::MAX);
        set_distributor(GICD_IGROUPR + 4 * word, u32::MAX);
    }
    for word in 0..interrupts / 4 {
        set_distributor(GICD_IPRIORITYR + 4 * word, PRIORITY);
        if 4 * word >= FIRST_SHARED {
            set_distributor(GICD_ITARGETSR + 4 * word, TARGET);
        }
    }
    let hang = platform.hang_interrupt;
    let group = GICD_IGROUPR + hang / 32 * 4;
    set_distributor(group, distributor(group) & !(1 << (hang % 32)));
    let priorities = GICD_IPRIORITYR + hang / 4 * 4;
    set_distributor(priorities, PRIORITY & !(0xff << (hang % 4 * 8)));
    set_distributor(GICD_CTLR, GROUPS);
    set_cpu_interface(GICC_PMR, 0xff);
    set_cpu_interface(GICC_CTLR, GROUPS_AND_FIQ);
    enable(InterruptNum(hang));
    enable(InterruptNum(platform.timer_interrupt));
}

/// Takes the pending interrupt.
pub(crate) fn take() -> Taken {
    // Bits 12:10 name the processor that sent a software-generated interrupt; there are none.
    let number = cpu_interface(GICC_IAR) & 0x3ff;
    if number == TIMER.load(Ordering::Relaxed) {
        Taken::Timer
    } else if number >= FIRST_SPECIAL {
        Taken::Spurious
    } else {
        Taken::Device(InterruptNum(number))
    }
}

/// Ends an interrupt that was taken; it can be taken again once it is enabled.
pub(crate) fn end(irq: InterruptNum) {
    set_cpu_interface(GICC_EOIR, irq.0);
}

/// Ends the timer's interrupt.
pub(crate) fn end_timer() {
    end(InterruptNum(TIMER.load(Ordering::Relaxed)));
}

/// Enables an interrupt.
pub(crate) fn enable(irq: InterruptNum) {
    set_bit(GICD_ISENABLER, irq);
}

/// Disables an interrupt.
pub(crate) fn disable(irq: InterruptNum) {
    set_bit(GICD_ICENABLER, irq);
}

/// Makes an interrupt pending by software.
pub(crate) fn set_pending(irq: InterruptNum) {
    set_bit(GICD_ISPENDR, irq);
}

/// Makes an interrupt not pending.
pub(crate) fn clear_pending(irq: InterruptNum) {
    set_bit(GICD_ICPENDR, irq);
}

/// Is it enabled?
pub(crate) fn is_enabled(irq: InterruptNum) -> bool {
    bit(GICD_ISENABLER, irq)
}

/// Is it pending?
pub(crate) fn is_pending(irq: InterruptNum) -> bool {
    bit(GICD_ISPENDR, irq)
}

fn set_bit(register: u32, irq: InterruptNum) {
    set_distributor(register + irq.0 / 32 * 4, 1 << (irq.0 % 32));
}

fn bit(register: u32, irq: InterruptNum) -> bool {
    distributor(register + irq.0 / 32 * 4) & 1 << (irq.0 % 32) != 0
}

fn distributor(offset: u32) -> u32 {
    // SAFETY: a register of the distributor (`init`), of which the platform gave the address; the
    // kernel maps it for itself.
    unsafe { read(DISTRIBUTOR.load(Ordering::Relaxed), offset) }
}

fn set_distributor(offset: u32, value: u32) {
    // SAFETY: as above.
    unsafe { write(DISTRIBUTOR.load(Ordering::Relaxed), offset, value) }
}

fn cpu_interface(offset: u32) -> u32 {
    // SAFETY: as above, for the CPU interface.
    unsafe { read(CPU_INTERFACE.load(Ordering::Relaxed), offset) }
}

fn set_cpu_interface(offset: u32, value: u32) {
    // SAFETY: as above, for the CPU interface.
    unsafe { write(CPU_INTERFACE.load(Ordering::Relaxed), offset, value) }
}

/// # Safety
///
/// `base + offset` is a device register that may be read.
unsafe fn read(base: u32, offset: u32) -> u32 {
    let register = base.wrapping_add(offset) as *const u32;
    // SAFETY: the caller's promise.
    unsafe { register.read_volatile() }
}

/// # Safety
///
/// `base + offset` is a device register that may be written.
unsafe fn write(base: u32, offset: u32, value: u32) {
    let register = base.wrapping_add(offset) as *mut u32;
    // SAFETY: the caller's promise.
    unsafe { register.write_volatile(value) }
}
