use super::*;
use crate::testing::{FORMAT, copy, memory};
use proptest::prelude::*;

#[test]
fn a_region_that_is_too_short_is_refused() {
    let shortest: Vec<_> = (0..Region::MIN_LEN / BLOCK_LEN)
        .map(|_| Block::zeroed())
        .collect();
    assert!(Region::over(&shortest[1..]).is_none());
    assert!(Region::over(&[]).is_none());
    assert!(Region::over(&shortest).is_some());
}

/// An MPU of ARMv7-M wants regions of a power of two.
#[test]
fn the_log_ring_is_as_long_as_the_region_has_room_for() {
    for (kib, pages) in [(32, 8), (64, 64), (128, 128), (256, 128), (512, 256)] {
        let memory: Vec<_> = (0..2 * kib).map(|_| Block::zeroed()).collect();
        let region = Region::over(&memory).unwrap();
        assert_eq!(region.pages.len(), pages, "{kib} KiB");
        assert_eq!(Region::pages_in(kib * 1024), pages);
        let dump = region.snapshot().blocks().len() * BLOCK_LEN;
        assert_eq!(dump, kib * 1024 - Region::len_with(pages), "{kib} KiB");
    }
    for pages in [8, 16, 32, 64, 128] {
        let len = Region::len_with(pages);
        assert_eq!(Region::pages_in(len), pages);
        assert!(pages == 8 || Region::pages_in(len - 1) == pages / 2);
    }
}

#[test]
fn boots_are_counted_from_power_on() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    assert_eq!(region.boot(), 0);
    assert_eq!(region.begin_boot(), Start::Cold);
    for boot in 2..20 {
        assert_eq!(region.begin_boot(), Start::Warm);
        assert_eq!(region.boot(), boot);
    }
}

#[test]
fn boots_continue_after_those_on_the_card() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    region.begin_boot();
    // Log records of boot 1 are not durable; the newest boot on the card is 7.
    region.rebase(FORMAT, 7, 1);
    assert_eq!((region.boot(), region.boot_offset()), (2, 7));
    // The same card again, now with boots of ours: the offset stays, also in the next boot.
    region.rebase(FORMAT, 9, 2);
    assert_eq!(region.boot_offset(), 7);
    region.begin_boot();
    region.rebase(FORMAT, 9, 3);
    assert_eq!((region.boot(), region.boot_offset()), (3, 7));
    // Another card, with fewer boots than here.
    region.rebase(FormatId::new(1), 2, 3);
    assert_eq!(region.boot_offset(), 0);
    // The first card again, which another board has used since.
    region.rebase(FORMAT, 100, 3);
    assert_eq!(region.boot_offset(), 98);
}

/// REQ: X11 (in part: no end is told of a boot of another card)
#[test]
fn the_ends_that_are_told_are_of_no_boot_that_another_card_has() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    let mut previous = 0;
    for boot in 1..=7 {
        region.begin_boot();
        let ends = region.boot_end();
        ends.begin(previous, boot, crate::BootEnd::Restart(boot as u16));
        previous = boot;
    }
    // The ends of boots 3 to 6 are told; the newest boot on the card is 20.
    region.rebase(FORMAT, 20, 7);
    assert_eq!(region.boot_offset() + 3, 21);
}

/// At a cold start it is the last boot of the card whose end is told: by a loss of power.
#[test]
fn after_a_cold_start_the_last_boot_of_the_card_is_the_one_before() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    region.boot_end().begin(0, 1, crate::BootEnd::PowerLost);
    region.rebase(FORMAT, 20, 1);
    assert_eq!(region.boot_offset() + region.boot(), 21);
}

#[test]
fn a_crash_that_is_not_on_the_card_is_newer_than_the_card() {
    let memory = memory();
    let region = Region::over(&memory).unwrap();
    region.begin_boot();
    let mut context = crate::CrashContext::new(crate::CrashReason::Oops, 1, "task", &[]);
    context.boot = 1;
    region.mailbox().write_oops(3).unwrap().finish(&context);
    region.begin_boot();
    region.rebase(FORMAT, 7, 2);
    assert_eq!(region.boot_offset(), 7);
}

/// REQ: X3 Whichever one block of the region is destroyed, boots and their numbers on the card
/// continue, and a crash in another block is still there.
#[test]
fn the_loss_of_any_one_block_is_survived() {
    for (destroyed, noise) in (0..FIXED).flat_map(|block| [(block, 0), (block, 0x9e37_79b9)]) {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        region.begin_boot();
        region.begin_boot();
        region.rebase(FORMAT, 7, 2);
        let mut context = crate::CrashContext::new(crate::CrashReason::Panic, 1, "task", &[]);
        context.boot = region.boot();
        region.mailbox().write_crash().unwrap().finish(&context);
        region.mailbox().arm(1_000);
        memory[destroyed].fill(noise);
        assert_eq!((region.boot(), region.boot_offset()), (2, 6), "{destroyed}");
        assert_eq!(region.begin_boot(), Start::Warm);
        assert_eq!((region.boot(), region.boot_offset()), (3, 6), "{destroyed}");
        // The context of the crash is in the third block; the second has state, outcome and
        // self-test.
        let crash = region.mailbox().crash().map(|crash| crash.context);
        assert_eq!(crash, (destroyed != 2).then_some(context), "{destroyed}");
        // The next boot has written all copies again.
        memory[if destroyed == 0 { FIXED - 2 } else { 0 }].fill(noise);
        assert_eq!(region.boot(), 3);
    }
}

proptest! {
    /// A copy of the header that is damaged leaves the others: the boots go on, and no number of a
    /// boot is used twice.
    #[test]
    fn one_damaged_copy_is_no_cold_start(word in 0usize..COPY, value: u32, which in 0usize..2) {
        let original = memory();
        let region = Region::over(&original).unwrap();
        region.begin_boot();
        region.begin_boot();
        let memory = copy(&original);
        let region = Region::over(&memory).unwrap();
        memory[0].set_word(which * COPY + word, value);
        prop_assert_eq!(region.begin_boot(), Start::Warm);
        prop_assert_eq!(region.boot(), 3);
    }
}
