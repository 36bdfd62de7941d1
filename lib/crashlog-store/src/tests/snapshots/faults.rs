//! Snapshots that are interrupted, whose device fails, or whose image is damaged.

use super::*;

/// REQ: X5 (in part: snapshots) Power fails at every block written and at every flush of a
/// snapshot. The crash stands, a snapshot that the ledger names is whole, and after a reset instead
/// the next boot writes it.
#[test]
fn the_crash_stands_wherever_power_fails() {
    let mut cuts = 0;
    for steps in 0.. {
        let (card, memory, mut oracle) = (card_with(64), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency(&card, &memory).0, Ok(()));
        let time = *oracle.crashes.last().unwrap();
        oracle.durable_crashes.insert(time, 1);
        oracle.all_durable();
        card.cut_after(steps);
        let result = snapshot_only(&card, &memory, 1);

        for survivors in Survivors::each(card.unflushed()) {
            cuts += 1;
            let card = card.after_cut(survivors);
            oracle.check(&content(&card));
            match read_snapshot(&card, 1) {
                Found::Whole(_) => {}
                found => assert!(result != Ok(true), "{steps} {survivors:?} {found:?}"),
            }
        }
        // A reset instead: the image is still in retained RAM.
        let card = card.after_reset();
        let late = next_boot(&card, &memory, &mut oracle);
        assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
        oracle.check(&content(&card));
        if result == Ok(true) {
            assert_eq!(late, None);
            assert!(steps > 20);
            break;
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

/// REQ: X5 (in part: snapshots) Any write or flush of a snapshot fails, carried out or not, in an
/// emergency or later.
#[test]
fn the_crash_stands_whatever_fails() {
    for (failure, written) in (0..).flat_map(|failure| [(failure, false), (failure, true)]) {
        let (card, memory, mut oracle) = (card_with(64), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency(&card, &memory).0, Ok(()));
        let time = *oracle.crashes.last().unwrap();
        oracle.durable_crashes.insert(time, 1);
        oracle.all_durable();
        let copy = duplicate(&memory);
        let untouched = card.duplicate();

        card.fail_after(failure, written);
        let result = snapshot_only(&card, &memory, 1);
        let failed = card.has_failed();
        assert_eq!(result.is_err(), failed, "{failure} {written} {result:?}");
        let card = card.after_cut(Survivors::All);
        oracle.check(&content(&card));
        next_boot(&card, &memory, &mut oracle.clone());
        assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));

        // The same in normal operation. The session after it begins again.
        let card = untouched;
        let mut recorder = TestRecorder::start(&card, &copy, true).unwrap();
        card.fail_after(failure, written);
        let result = write_late_image(&mut recorder);
        if card.has_failed() {
            assert!(result.is_err() && recorder.region.snapshot().is_waiting());
            oracle.check(&content(&card));
            // Both a new session and a further attempt in the same one.
            if written {
                recorder = TestRecorder::start(&card, &copy, false).unwrap();
            }
            write_late_image(&mut recorder).unwrap();
        }
        let card = card.after_cut(Survivors::All);
        assert!(matches!(read_snapshot(&card, 1), Found::Whole(_)));
        oracle.check(&content(&card));
        if !failed {
            assert!(failure > 20);
            break;
        }
    }
}

#[test]
fn a_damaged_image_is_discarded() {
    // In its header: neither path takes it. In its tables: normal operation, which has the time,
    // checks them.
    for (block, word) in [(0, 0), (0, 1), (0, 5), (0, 28), (1, 0), (1, 40)] {
        let (card, memory, mut oracle) = (card_with(128), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency(&card, &memory).0, Ok(()));
        let damaged = &memory[memory.len() - DUMP + block];
        damaged.set_word(word, !damaged.word(word));
        if block == 0 {
            assert_eq!(snapshot_only(&card, &memory, 1), Ok(false));
        }
        card.take_counts();
        assert_eq!(next_boot(&card, &memory, &mut oracle), None);
        assert_eq!(card.take_counts().written, 0);
        assert!(matches!(read_snapshot(&card, 1), Found::None));
    }
}

/// Whatever is in the dump area, nothing outside of the slot is written.
#[test]
fn any_image_harms_nothing() {
    for seed in 0..300u64 {
        let (card, memory, mut oracle) = (card_with(32), memory(), Oracle::default());
        crashed(&card, &memory, &mut oracle, 1);
        assert_eq!(emergency(&card, &memory).0, Ok(()));
        let region = Region::over(&memory).unwrap();
        let area = region.snapshot();
        let mut header = area.header().unwrap();
        let draw = |step: u64| crate::tests::card::mix(seed << 4 | step) as u32;
        match seed % 4 {
            0 => header.extents = draw(0).into(),
            1 => header.data = draw(1).into(),
            2 => header.regions = (draw(2) as u16).into(),
            _ => header.written = draw(3).into(),
        }
        header.seal(crashlog_format::snapshot::SnapshotHeader::NO_FORMAT);
        area.blocks()[0].copy_from(0, zerocopy::IntoBytes::as_bytes(&header));
        let content_before = content(&card);
        let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
        if seed % 8 < 4 {
            let _ = snapshot_only(&card, &memory, 1);
        } else {
            write_late_image(&mut recorder).unwrap();
        }
        let after = content(&card);
        assert_eq!(after.crashes, content_before.crashes);
        assert_eq!(after.log, content_before.log);
    }
}

fn duplicate(memory: &[Block]) -> Vec<Block> {
    let copy = blocks(memory.len());
    for (from, to) in memory.iter().zip(&copy) {
        for word in 0..128 {
            to.set_word(word, from.word(word));
        }
    }
    copy
}
