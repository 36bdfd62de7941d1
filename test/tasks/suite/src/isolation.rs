//! Access to memory that is not the task's own faults it, without other effects.

use crate::Case;
use crate::faults::access;
use crate::support::{address, assist, faults, second};
use core::sync::atomic::{AtomicU32, Ordering};
use test_api::{ask, assist};
use userlib::FaultInfo;

pub const CASES: &[Case] = &[
    ("s5_3_isolation_kernel_text", kernel_text),
    ("s5_3_isolation_kernel_data", kernel_data),
    ("s5_3_isolation_other_data", other_data),
    ("s5_3_isolation_other_stack", other_stack),
    ("s5_3_isolation_other_text", other_text),
    ("s5_3_isolation_sdhci", sdhci),
    ("s5_3_isolation_devices", devices),
    ("s5_3_isolation_retained_region", retained),
    ("s5_3_own_text_cannot_be_written", own_text),
    ("s5_3_own_data_cannot_be_executed", own_data),
    ("s5_3_nothing_else_can_be_executed", execute_elsewhere),
    ("s5_3_thread_register_is_not_shared_ours", thread_register),
    ("s5_3_other_registers_are_closed_ours", other_registers),
];

/// First words of the kernel's flash and RAM, which come first in the memories of
/// chips/ast2600/memory.toml.
const KERNEL_TEXT: u32 = 0x8010_0000;
const KERNEL_DATA: u32 = 0x8080_0000;
/// First and last page of the retained region.
const RETAINED: [u32; 2] = [0x80c0_0000, 0x80cf_f000];
/// The controller's global registers and the slot's.
const SDHCI: [u32; 2] = [0x1e75_0000, 0x1e75_0100];

/// A word of this task that no other task may change.
static CANARY: AtomicU32 = AtomicU32::new(CALM);
const CALM: u32 = 0x600d_cafe;

/// Expects a fault for reading and for writing this address.
fn closed(at: u32) {
    faults(assist::READ, [at], access(at));
    faults(assist::WRITE, [at, 0xbad_bad], access(at));
}

fn kernel_text() {
    closed(KERNEL_TEXT);
    closed(KERNEL_TEXT + 0x1000);
}

fn kernel_data() {
    for offset in [0, 0x1000, 0x2000, 0xfffc] {
        closed(KERNEL_DATA + offset);
    }
}

fn other_data() {
    closed(address(&CANARY));
    assert_eq!(CANARY.load(Ordering::Relaxed), CALM);
}

fn other_stack() {
    let local = AtomicU32::new(CALM);
    closed(address(&local));
    assert_eq!(local.load(Ordering::Relaxed), CALM);
}

fn other_text() {
    let text = other_text as fn() as usize as u32 & !3;
    closed(text);
    // Two tasks of the same crate have separate texts.
    let (_, [_, _, text, ..]) = ask(second(), assist::PLACES, []);
    closed(text & !3);
}

fn sdhci() {
    for page in SDHCI {
        closed(page);
    }
    closed(0x1e74_0100);
}

fn devices() {
    // Interrupt controller, watchdog, system control unit, both UARTs.
    for page in [
        0x4046_1000,
        0x4046_2000,
        0x1e78_5000,
        0x1e6e_2000,
        0x1e78_3000,
        0x1e78_4000,
    ] {
        closed(page);
    }
}

fn retained() {
    for page in RETAINED {
        closed(page);
    }
}

fn own_text() {
    let [_, _, text, ..] = assist(assist::PLACES, []);
    let text = text & !3;
    let [before, ..] = assist(assist::READ, [text]);
    faults(assist::WRITE, [text, !before], access(text));
    assert_eq!(assist(assist::READ, [text])[0], before);
}

fn own_data() {
    // `bx lr`, twice: if it were executed, the assist would go on.
    const RETURN: u32 = 0x4770_4770;
    let [data, zeroed, _, stack, scratch, ..] = assist(assist::PLACES, []);
    for at in [data, zeroed, scratch, (stack - 0x200) & !3] {
        assist(assist::WRITE, [at, RETURN]);
        faults(assist::EXECUTE, [at | 1], FaultInfo::IllegalText);
    }
}

fn execute_elsewhere() {
    let text = execute_elsewhere as fn() as usize as u32;
    for at in [
        KERNEL_TEXT | 1,
        text | 1,
        1,
        SDHCI[0] | 1,
        RETAINED[0] | 1,
        0x4800_0001,
    ] {
        faults(assist::EXECUTE, [at], FaultInfo::IllegalText);
    }
}

/// REQ: C1 (in part)
fn thread_register() {
    assist(assist::THREAD_REGISTER, [0x5ec2_e700]);
    let (_, [seen, ..]) = ask(second(), assist::THREAD_REGISTER, [0]);
    assert_eq!(seen, 0);
}

/// Registers of debugging, of ThumbEE, and d16: where the core lacks them they are undefined
/// anyway.
///
/// REQ: C1 (in part)
fn other_registers() {
    for which in [1, 2, 3] {
        faults(assist::UNDEFINED, [which], FaultInfo::IllegalInstruction);
    }
}
