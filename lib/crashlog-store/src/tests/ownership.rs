//! Whose a partition is: superblocks that agree with the table, or not; and formatting and adopting
//! that are cut off.

use super::card::{Survivors, TestCard};
use super::oracle::Oracle;
use super::recorder::*;
use crate::emergency::Error;
use crate::*;
use crashlog_format::gpt::{Guid, TableProblem};
use crashlog_format::{FormatId, PartitionPlace, Superblock};

const OURS: u64 = 2048;
/// The second superblock, and the two ledgers.
const LAST: u64 = OURS + 191;
const LEDGERS: [u64; 2] = [OURS + 8, OURS + 176];

/// A card with a crash and a log.
fn used_card(oracle: &mut Oracle) -> TestCard {
    let card = small_card();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    recorder.append(oracle).unwrap();
    recorder.flush(oracle).unwrap();
    recorder.oops(oracle, 1).unwrap();
    recorder.oops(oracle, 2).unwrap();
    drop(recorder);
    card
}

/// A place of the partition's length.
fn place(first: u64, guid: u128) -> PartitionPlace {
    PartitionPlace {
        first,
        blocks: 192,
        guid: Guid::new(guid),
    }
}

/// Writes superblocks that state this place.
fn restate(card: &TestCard, blocks: &[u64], place: PartitionPlace) {
    let content = Superblock::parse(&card.peek(OURS), 192).unwrap();
    let block = Superblock::new(content.format, &content.geometry, &place).to_block();
    for at in blocks {
        card.poke(*at, |bytes| *bytes = block);
    }
}

fn refusal(card: &TestCard) -> Option<WriteRefusal> {
    let scratch = blocks(16);
    mount(card, &scratch).unwrap().write_refusal()
}

/// REQ: X12 A partition that is not ours is read, and nothing writes it: no function of normal
/// operation, and no emergency, whether or not the log was mounted before.
#[test]
fn a_partition_that_table_and_superblocks_do_not_agree_on_is_read_and_not_written() {
    type Change = fn(&TestCard);
    let cases: [(&str, Change, WriteRefusal); 8] = [
        (
            "another first block",
            |card| restate(card, &[OURS, LAST], place(4096, 2)),
            WriteRefusal::OtherPlace,
        ),
        (
            "another GUID",
            |card| restate(card, &[OURS, LAST], place(OURS, 3)),
            WriteRefusal::OtherPlace,
        ),
        (
            "another GUID in the first superblock",
            |card| restate(card, &[OURS], place(OURS, 3)),
            WriteRefusal::OtherPlace,
        ),
        (
            "no place",
            |card| restate(card, &[OURS, LAST], PartitionPlace::unknown(192)),
            WriteRefusal::NoPlace,
        ),
        (
            "the first superblock and both ledgers lost",
            |card| {
                for block in [OURS, LEDGERS[0], LEDGERS[1]] {
                    card.poke(block, |bytes| bytes.fill(0));
                }
            },
            WriteRefusal::NoWitness,
        ),
        (
            "the last superblock and both ledgers lost",
            |card| {
                for block in [LAST, LEDGERS[0], LEDGERS[1]] {
                    card.poke(block, |bytes| bytes.fill(0));
                }
            },
            WriteRefusal::NoWitness,
        ),
        (
            "the primary table and the first superblock lost",
            |card| {
                for block in [1, OURS] {
                    card.poke(block, |bytes| bytes.fill(0));
                }
            },
            WriteRefusal::NoWitness,
        ),
        (
            "the card made anew",
            |card| {
                card.poke(1, |bytes| bytes.fill(0));
                card.poke(0, |bytes| bytes[450] = 0x83);
            },
            WriteRefusal::Table(TableProblem::MadeAnew),
        ),
    ];
    for (name, change, expected) in cases {
        let mut oracle = Oracle::default();
        let card = used_card(&mut oracle);
        change(&card);
        card.take_counts();
        let scratch = blocks(16);
        let mut store = mount(&card, &scratch).unwrap();
        assert_eq!(store.write_refusal(), Some(expected), "{name}");
        // It is read.
        assert_eq!(store.crash_count(), 2, "{name}");
        now(store.open_crash(2)).unwrap();
        let buffer = blocks(4);
        let mut reader = LogReader::new(&store, &buffer);
        assert!(now(reader.next(&mut store)).unwrap().is_some(), "{name}");
        // It is not written.
        assert_eq!(now(store.erase(1)), Err(CrashWriteError::Refused), "{name}");
        assert_eq!(
            now(store.acknowledge(1)),
            Err(CrashWriteError::Refused),
            "{name}"
        );
        assert_eq!(now(store.write_pages(&[])), Err(PageWriteError::Refused));

        let memory = retained_memory();
        let own = small_card();
        let recorder = TestRecorder::start(&own, &memory, true).unwrap();
        recorder.append(&mut oracle).unwrap();
        recorder.panic(&mut oracle, 3);
        recorder.region.location().invalidate();
        let (result, _) = emergency(&card, &memory);
        assert_eq!(result, Err(Error::Refused(expected)), "{name}");
        assert_eq!(card.take_counts().written, 0, "{name}");
    }
}

/// REQ: X12 One superblock, and a ledger, are enough.
#[test]
fn one_superblock_and_a_ledger_that_agree_are_written() {
    for lost in [
        vec![OURS],
        vec![LAST],
        vec![OURS, LEDGERS[0]],
        vec![LAST, LEDGERS[1]],
        vec![LEDGERS[0], LEDGERS[1]],
    ] {
        let card = used_card(&mut Oracle::default());
        for block in &lost {
            card.poke(*block, |bytes| bytes.fill(0));
        }
        assert_eq!(refusal(&card), None, "{lost:?}");
    }
}

/// What a mount finds: the format, the crashes, and whether it is written.
fn seen(card: &TestCard) -> (u64, Vec<u32>, u32, Option<WriteRefusal>) {
    let scratch = blocks(16);
    let store = mount(card, &scratch).unwrap();
    let crashes = (0..store.crash_count()).map(|index| store.tally(index).unwrap().sequence);
    (
        store.format().get(),
        crashes.collect(),
        store.next_page(),
        store.write_refusal(),
    )
}

/// Each state of `card` that a power cut in `work` can leave.
fn cuts(card: &TestCard, work: impl Fn(&TestCard) -> bool, mut check: impl FnMut(&TestCard)) {
    for steps in 0..100 {
        let cut = card.duplicate();
        cut.cut_after(steps);
        let done = work(&cut);
        for survivors in Survivors::each(cut.unflushed()) {
            check(&cut.after_cut(survivors));
        }
        if done {
            return;
        }
    }
    panic!("it does not come to its end");
}

/// REQ: X12 (in part: formatting that is cut off)
#[test]
fn formatting_that_is_cut_off_leaves_the_old_state_or_the_new_one() {
    let mut oracle = Oracle::default();
    let whole = used_card(&mut oracle);
    let scratch = blocks(16);
    now(mount(&whole, &scratch).unwrap().erase(1)).unwrap();
    let one_superblock = |lost: u64| {
        let card = whole.duplicate();
        card.poke(lost, |bytes| bytes[20] ^= 1);
        card
    };
    let odd_is_newest = whole.duplicate();
    now(mount(&odd_is_newest, &scratch).unwrap().acknowledge(2)).unwrap();
    let one_ledger = whole.duplicate();
    one_ledger.poke(LEDGERS[0], |bytes| bytes[20] ^= 1);
    let cards = [
        whole.duplicate(),
        odd_is_newest,
        one_superblock(OURS),
        one_superblock(LAST),
        one_ledger,
    ];
    for card in cards {
        let before = seen(&card);
        let after = (0xF1, vec![], 0, None);
        let (mut old, mut new) = (0, 0);
        let work = |card: &TestCard| {
            let options = FormatOptions {
                format: FormatId::new(0xF1),
                slots: Some(4),
                slot_blocks: Some(8),
                place: table_entry(card).place,
            };
            now(format_partition(&mut window(card), &options)).is_ok()
        };
        cuts(&card, work, |card| match seen(card) {
            state if state == before => old += 1,
            state if state == after => new += 1,
            state => panic!("{state:?} is neither {before:?} nor {after:?}"),
        });
        assert!(old > 3 && new > 3, "{old} {new}");
    }
}

/// REQ: X12 (in part: adopting)
#[test]
fn adopting_that_is_cut_off_leaves_the_old_place_or_the_new_one() {
    for lost in [None, Some(OURS), Some(LAST)] {
        let card = used_card(&mut Oracle::default());
        let place = PartitionPlace {
            first: 4096,
            blocks: 192,
            guid: Guid::new(7),
        };
        restate(&card, &[OURS, LAST], place);
        if let Some(lost) = lost {
            card.poke(lost, |bytes| bytes[20] ^= 1);
        }
        let before = seen(&card);
        assert_eq!(before.3, Some(WriteRefusal::OtherPlace));
        let work = |card: &TestCard| {
            let content = [OURS, LAST].map(|at| Superblock::parse(&card.peek(at), 192).ok());
            let content = content[0].or(content[1]).unwrap();
            let place = table_entry(card).place;
            now(adopt_partition(&mut window(card), &content, &place)).is_ok()
        };
        let mut states = Vec::new();
        cuts(&card, work, |card| {
            let state = seen(card);
            assert_eq!(
                (state.0, &state.1, state.2),
                (before.0, &before.1, before.2)
            );
            states.push(state.3);
        });
        assert_eq!(states.first(), Some(&Some(WriteRefusal::OtherPlace)));
        assert_eq!(states.last(), Some(&None));
    }
}

/// A blank card has no table, or a table with an empty log.
#[test]
fn making_a_card_that_is_cut_off_leaves_no_card_or_a_whole_one() {
    let table = TableOptions {
        name: "crashlog",
        disk: Guid::new(1),
        partition: Guid::new(2),
    };
    let work = |card: &TestCard| {
        let options = FormatOptions {
            format: FormatId::new(0xF1),
            slots: Some(4),
            slot_blocks: Some(8),
            place: table_entry(card).place,
        };
        now(format_partition(&mut window(card), &options)).is_ok()
            && now(write_table(&mut card.clone(), &table)).is_ok()
    };
    let (mut none, mut whole) = (0, 0);
    cuts(&TestCard::new(2048 + 192 + 33), work, |card| {
        let scratch = blocks(16);
        match mount(card, &scratch) {
            Err(error) => {
                assert!(error == "NoTable" || error == "Damaged", "{error}");
                none += 1;
            }
            Ok(store) => {
                assert_eq!(store.write_refusal(), None);
                whole += 1;
            }
        }
    });
    assert!(none > 3 && whole > 3, "{none} {whole}");
}
