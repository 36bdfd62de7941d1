//! Kernel IPC that sets memory aside and restarts its task: section 4.

use crate::Case;
use crate::RUNNER;
use crate::saved::{KERNEL_TEXT, SDHCI, SHARED, clear, destinations, range, read, save};
use crate::support::{assist, first, id, scratch, second, supervisor};
use core::arch::asm;
use crashlog_format::snapshot::STACK_FILL;
use test_api::{ask, assist, message, runner};
use userlib::{KERNEL_MEMORY, SavedExtent, kipc};

pub const CASES: &[Case] = &[
    ("s4_kipc257_memory_is_set_aside_ours", set_aside),
    ("s4_kipc257_entry_of_before_is_saved_ours", entry_before),
    ("s4_kipc257_stack_below_it_stays_ours", stack_below),
    ("s4_kipc257_refusals_ours", set_aside_refused),
];

/// Sets memory of the first assist aside while it is restarted; returns how many bytes.
pub(crate) fn restart(from: u32, length: u32, destination: u32) -> u32 {
    let before = first();
    let index = before.index() as u32;
    let [copied, ..] = supervisor(runner::SAVE_AND_RESTART, [index, from, length, destination]);
    assert_eq!(first(), before.next_generation());
    assert_eq!(assist(assist::ECHO, [6])[0], 6, "it runs");
    copied
}

fn set_aside() {
    let [own, retained] = destinations();
    let [data, _, _, _, place, ..] = assist(assist::PLACES, []);
    for to in [own, retained] {
        // The data as it was before the start code set it to 7 again.
        assert_eq!(assist(assist::MARK, [])[0], 8);
        clear(to, 8);
        assert_eq!(restart(data, 4, to), 4);
        assert_eq!(read(to)[..2], [8, 0x5555_5555]);
    }
    let words = [11, 12, 13, 14, 15, 16, 17, 18];
    for offset in [0, 4, 128, 1024] {
        scratch(words);
        assert_eq!(restart(place, 32, retained + offset), 32);
        assert_eq!(read(retained + offset), words);
    }
    // Every way through the copy, with known content.
    let word = |at: u32| (at + 1).wrapping_mul(0x9e37_79b1);
    for at in (SHARED..SHARED + 0x1000).step_by(4) {
        assist(assist::WRITE, [at, word(at)]);
    }
    for length in [
        4,
        124,
        128,
        1020,
        1024,
        1028,
        1156,
        2048 + 3 * 128 + 24,
        4092,
        4096,
    ] {
        let from = SHARED + 0x1000 - length;
        clear(retained, length as usize / 4 + 8);
        assert_eq!(restart(from, length, retained), length);
        for offset in (0..length + 4).step_by(4) {
            let [copied, ..] = read(retained + offset);
            let expected = if offset == length {
                0x5555_5555
            } else {
                word(from + offset)
            };
            assert_eq!(copied, expected, "byte {offset} of {length}");
        }
    }
    // All of its stack and data.
    let mut ranges = (0..).map_while(|n| range(first().index() as u32, n));
    let own_range = ranges.find(|(base, size)| (*base..base + size).contains(&data));
    let (base, size) = own_range.unwrap_or_else(|| panic!("no range has the data"));
    assert_eq!(restart(base, size, retained), size);
    assert_eq!(read(retained + (data - base))[0], 7);
    floats_survive();
}

/// The copy uses the floating-point registers, which are a task's.
fn floats_survive() {
    let [own, _] = destinations();
    let [data, ..] = assist(assist::PLACES, []);
    let mine = 0x4048_f5c3_u32;
    let (low, high): (u32, u32);
    let target = id(RUNNER.get_task_id()) << 16 | u32::from(runner::SAVE_AND_RESTART);
    let request = message([first().index() as u32, data, 4, own]);
    // SAFETY: a SEND whose message is `request` and nothing else; the registers that it uses are
    // declared or saved.
    unsafe {
        asm!(
            "vmov d0, {mine}, {mine}",
            "vmov d15, {mine}, {mine}",
            "push {{r6, r7, r8, r9, r10, r11}}",
            "mov r6, #16",
            "mov r7, #0",
            "mov r8, #0",
            "mov r9, #0",
            "mov r10, #0",
            "mov r11, #0",
            "svc #0",
            "pop {{r6, r7, r8, r9, r10, r11}}",
            "vmov {low}, s0",
            "vmov {high}, s31",
            mine = in(reg) mine,
            low = lateout(reg) low,
            high = lateout(reg) high,
            inout("r4") target => _,
            inout("r5") request.as_ptr() => _,
            out("d0") _,
            out("d15") _,
        );
    }
    assert_eq!((low, high), (mine, mine));
    assert_eq!(read(own)[0], 7);
}

fn set_aside_refused() {
    let [own, retained] = destinations();
    let [data, ..] = assist(assist::PLACES, []);
    let [of_second, ..] = ask(second(), assist::PLACES, []).1;
    for (from, length, to) in [
        (data, 0, own),
        (data, 6, own),
        (data + 2, 4, own),
        (data, 4, own + 1),
        (data, 4, of_second),
        (data, 4, SDHCI),
        (data, 4, data),
        (data, 4, 0xffff_fffc),
        (of_second, 4, own),
        (0xffff_fff0, 16, own),
        (0xffff_fff0, 32, own),
        (data, 0xffff_fffc, own),
        (KERNEL_TEXT, 4, own),
        (data, 4, retained + 0x10_0000),
    ] {
        clear(own, 8);
        // Restarted all the same.
        assert_eq!(restart(from, length, to), 0, "{from:#x} {length} {to:#x}");
        assert_eq!(read(own), [0x5555_5555; 8]);
    }
}

/// Words of an entry of the task table that debuggers read.
const ENTRY: usize = 64;

/// The entry of the first assist as it is, at `address`.
fn entry_now(address: u32) -> [u32; ENTRY] {
    let mut entry = [0; ENTRY];
    for (at, words) in (address..).step_by(16).zip(entry.as_chunks_mut::<4>().0) {
        let request = [first().index() as u32, at, 16];
        let [a, b, c, d, ..] = supervisor(runner::READ_DUMP, request);
        *words = [a, b, c, d];
    }
    entry
}

/// The same as it is saved with the kernel's memory.
fn entry_saved(address: u32, destination: u32) -> [u32; ENTRY] {
    let length = (ENTRY * 4) as u32;
    let saved = save(KERNEL_MEMORY, address, length, destination);
    assert!(saved.is_ok_and(|saved| saved.stored == length));
    let mut entry = [0; ENTRY];
    for (at, words) in (destination..)
        .step_by(32)
        .zip(entry.as_chunks_mut::<8>().0)
    {
        *words = read(at);
    }
    entry
}

/// With the memory of before the restart the task's entry of before is saved.
fn entry_before() {
    let [own, retained] = destinations();
    let [data, ..] = assist(assist::PLACES, []);
    let address = kipc::get_task_desc_region(first().index()).base;
    let before = entry_now(address);
    assert_eq!(restart(data, 4, retained), 4);
    assert_ne!(entry_now(address), before);
    assert_eq!(entry_saved(address, own), before);
    // Nothing is set aside, so nothing is kept.
    assert_eq!(restart(data, 0, retained), 0);
    assert_eq!(entry_saved(address, own), before);
    // A part of it, from within on.
    let words = save(KERNEL_MEMORY, address + 128, 128, own).map(|_| read(own));
    assert_eq!(words.ok().as_ref().map(|it| &it[..]), before.get(32..40));
}

/// The stack of the first assist, as far as the restart leaves it; and all of it is filled by a
/// restart for which the address is not in the stack.
fn stack_below() {
    let [own, retained] = destinations();
    let [data, ..] = assist(assist::PLACES, []);
    let index = first().index() as u32;
    let mut ranges = (0..).map_while(|n| range(index, n));
    let own_range = ranges.find(|(base, size)| (*base..base + size).contains(&data));
    // Its unused end.
    let (base, _) = own_range.unwrap_or_else(|| panic!("no range has the data"));
    let words = || {
        assert!(save(index, base, 64, own).is_ok_and(|saved| saved.stored > 0));
        read(own)
    };
    for at in (base..base + 64).step_by(4) {
        assist(assist::WRITE, [at, at]);
    }
    assert_eq!(restart(base + 16, 32, retained), 32);
    let kept = [base, base + 4, base + 8, base + 12];
    assert_eq!(words()[..4], kept);
    assert_eq!(words()[4..], [STACK_FILL; 4]);
    // With nothing to copy, as for a second try.
    assert_eq!(restart(base + 8, 0, retained), 0);
    assert_eq!(words()[..2], kept[..2]);
    assert_eq!(words()[2..], [STACK_FILL; 6]);
    assert_eq!(restart(data, 4, retained), 4);
    let filled = save(index, base, 64, own);
    assert!(filled.is_ok_and(|saved| saved.stored == 0 && saved.map == SavedExtent::FILL));
}
