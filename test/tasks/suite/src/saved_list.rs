//! Kernel IPC that saves several pieces of memory for a snapshot with one call: section 4.

use crate::Case;
use crate::saved::{
    KERNEL_TEXT, NO_DESTINATIONS, RETAINED, SOURCE, destinations, read, save, set_source,
};
use crate::support::{NO_SUCH_TASK, address, assist, first, myself, supervisor, third};
use crashlog_format::snapshot::WordSum;
use test_api::{assist, runner};
use userlib::{KERNEL_MEMORY, ListedExtent, SaveMemoryError, kipc};

pub const CASES: &[Case] = &[
    ("s4_kipc263_list_ours", list),
    ("s4_kipc263_refusals_ours", list_refusals),
    (
        "s4_kipc263_interrupts_are_not_delayed_ours",
        list_is_interrupted,
    ),
];

const ROW: u32 = 4 * ListedExtent::WORDS as u32;
/// The second page of the retained region, and the rest: a destination.
const ROWS: u32 = RETAINED + 0x1000;
const DATA: u32 = RETAINED + 0x2000;

/// Writes an entry of the list at [`ROWS`], as the table of an image has it. The high half of its
/// third word and what the kernel stores are not zero.
fn set_row(index: u32, kind: u32, owner: u32, address: u32, length: u32) {
    let words = [address, length | owner << 16, 0xabcd_0100 | kind, 9, 9, 9];
    for (word, at) in words.into_iter().zip((ROWS + index * ROW..).step_by(4)) {
        supervisor(runner::FILL_WORDS, [at, 1, word]);
    }
}

fn row(index: u32) -> [u32; ListedExtent::WORDS] {
    let [a, b, c, d, e, f, ..] = read(ROWS + index * ROW);
    [a, b, c, d, e, f]
}

/// Status, map and sum of an entry.
fn outcome(index: u32) -> (u32, u32, u64) {
    let [_, _, facts, map, low, high] = row(index);
    assert_eq!(facts >> 16, 0xabcd);
    (
        facts >> 8 & 0xff,
        map,
        u64::from(low) | u64::from(high) << 32,
    )
}

fn save_list(
    list: u32,
    count: u32,
    destination: u32,
    room: u32,
) -> Result<(u32, u32), SaveMemoryError> {
    let [code, done, stored, ..] = supervisor(runner::SAVE_LIST, [list, count, destination, room]);
    match SaveMemoryError::try_from(code) {
        Ok(error) => Err(error),
        Err(()) => Ok((done, stored)),
    }
}

/// Saves what an interrupt has cut short, too. Returns how many entries are done.
fn save_all(count: u32, room: u32) -> (u32, u32) {
    let (mut done, mut stored) = (0, 0);
    while done < count {
        let saved = save_list(
            ROWS + done * ROW,
            count - done,
            DATA + stored,
            room - stored,
        );
        match saved {
            Ok((0, _)) => break,
            Ok((more, bytes)) => (done, stored) = (done + more, stored + bytes),
            Err(error) => panic!("{error:?}"),
        }
    }
    (done, stored)
}

/// Each entry is as if it had been saved alone, and its data follow those before it.
fn list() {
    use ListedExtent as L;
    let [own, _] = destinations();
    let [one, me] = [first(), myself()].map(|task| task.index() as u32);
    let [data, _, _, stack, _, secret, ..] = assist(assist::PLACES, []);
    let at = address(&raw const SOURCE);
    let entry = kipc::get_task_desc_region(third().index());
    set_source(|index| {
        if index < 300 {
            index as u32 | 1 << 20
        } else {
            0
        }
    });
    let pieces = [
        (me, at, 4096),
        (KERNEL_MEMORY, entry.base, entry.size),
        (one, secret, 32),
        (one, data & !3, 4),
        (one, stack & !0xff, 256),
        (me, at + 2048, 1024),
        (one, secret - 8, 32),
    ];
    let mut count = 0;
    for (number, (owner, address, length)) in pieces.into_iter().enumerate() {
        set_row(number as u32, 1 + number as u32 % 2, owner, address, length);
        count += 1;
    }
    let (done, stored) = save_all(count, 0x4000);
    assert_eq!(done, count);
    let mut offset = 0;
    for (number, (owner, address, length)) in (0..).zip(pieces) {
        let alone = save(owner, address, length, own);
        let alone = alone.unwrap_or_else(|error| panic!("{error:?}"));
        let [of, whose, facts, ..] = row(number);
        assert_eq!([of, whose], [address, length | owner << 16]);
        assert_eq!(facts & 0xff, 1 + number % 2);
        assert_eq!(outcome(number), (ListedExtent::SAVED, alone.map, alone.sum));
        for place in (0..alone.stored).step_by(32) {
            let words = (alone.stored - place).min(32) as usize / 4;
            let [listed, same] = [read(DATA + offset + place), read(own + place)];
            assert_eq!(listed.get(..words), same.get(..words), "entry {number}");
        }
        offset += alone.stored;
    }
    assert_eq!(stored, offset);
    // One that does not fit, or may not be read, is left out, and the next are saved.
    for (index, (owner, address, length)) in [
        (me, at, 256),
        (one, at, 256),
        (me, at, 4096),
        (me, at, 260),
        (me, at, 0),
        (me, at + 2, 4),
        (me, at, 6),
        (one, 0xffff_fffc, 8),
        (NO_SUCH_TASK, at, 4),
        (KERNEL_MEMORY, KERNEL_TEXT, 4),
        (me, at + 64, 64),
    ]
    .into_iter()
    .enumerate()
    {
        set_row(index as u32, 1, owner, address, length);
    }
    assert_eq!(save_all(11, 512), (11, 320));
    let expected = [
        L::SAVED,
        L::NOT_READABLE,
        L::NO_ROOM,
        L::NO_ROOM,
        L::NOT_READABLE,
        L::NOT_READABLE,
        L::NOT_READABLE,
        L::NOT_READABLE,
        L::NOT_READABLE,
        L::NOT_READABLE,
        L::SAVED,
    ];
    for (number, status) in (0..).zip(expected) {
        let (found, map, sum) = outcome(number);
        assert_eq!(found, status, "entry {number}");
        if status != L::SAVED {
            assert_eq!((map, sum), (0, WordSum::SEED));
        }
    }
    // A device, and what is of no kind, end the list before them.
    for kind in [0, 3, 4, 255] {
        set_row(0, 1, me, at, 4);
        set_row(1, kind, me, at, 4);
        assert_eq!(save_all(2, 64), (1, 4));
        assert_eq!(outcome(1), (1, 9, 9 << 32 | 9));
    }
}

fn list_refusals() {
    let [own, _] = destinations();
    let at = address(&raw const SOURCE);
    let [of_first, ..] = assist(assist::PLACES, []);
    set_source(|index| index as u32 + 1);
    let me = myself().index() as u32;
    set_row(0, 1, me, at, 64);
    let refused = |list, count, destination, room| {
        let answer = save_list(list, count, destination, room);
        let what = (list, count, destination, room);
        assert_eq!(answer, Err(SaveMemoryError::Destination), "{what:x?}");
    };
    assert_eq!(save_list(ROWS, 1, own, 64), Ok((1, 64)));
    // No list, no room, and what is not whole words.
    refused(ROWS, 0, own, 64);
    for room in [0, 1, 2, 63, 0x8000_0000, 0xffff_fffc, 0xffff_ffff] {
        refused(ROWS, 1, own, room);
    }
    for offset in 1..4 {
        refused(ROWS + offset, 1, own, 64);
        refused(ROWS, 1, own + offset, 64);
    }
    // What is not the supervisor's and the kernel's alike, or is not memory.
    let odd = [
        0,
        0xffff_ffe8,
        0xffff_fffc,
        at,
        of_first,
        RETAINED - 4,
        RETAINED + 0x10_0000 - 4,
    ];
    for place in odd.into_iter().chain(NO_DESTINATIONS) {
        refused(place, 1, own, 64);
        refused(ROWS, 1, place, 64);
    }
    refused(RETAINED + 0x10_0000 - ROW, 2, own, 64);
    // The list in its destination.
    for offset in [0, ROW - 4] {
        refused(ROWS, 1, ROWS + offset, 64);
    }
    refused(ROWS, 1, ROWS - 60, 64);
    assert_eq!(save_list(ROWS, 1, ROWS + ROW, 64), Ok((1, 64)));
    // Entries beyond the sixteenth are not looked at, whatever their number.
    for index in 0..17 {
        set_row(index, 1, me, at, 4);
    }
    for count in [17, 0x0aaa_aaab, 0x8000_0001, u32::MAX] {
        let saved = save_list(ROWS, count, DATA, 64);
        assert!(saved.is_ok_and(|(done, stored)| (1..=16).contains(&done) && stored == 4 * done));
    }
    assert_eq!(outcome(16).0, 1);
    // An entry that overlaps its destination.
    set_row(0, 1, 0, own, 64);
    assert_eq!(save_list(ROWS, 1, own + 60, 64), Ok((1, 0)));
    assert_eq!(outcome(0).0, ListedExtent::NOT_READABLE);
}

/// An interrupt ends the call after the entry during which it came: some of the calls are that
/// short, as 16 pages take a good part of the time from one tick to the next.
fn list_is_interrupted() {
    let at = address(&raw const SOURCE);
    set_source(|index| index as u32 + 1);
    let me = myself().index() as u32;
    for index in 0..16 {
        set_row(index, 1, me, at, 4096);
    }
    for whole in 0..2_000 {
        let (done, stored) = match save_list(ROWS, 16, DATA, 0x1_0000) {
            Ok(saved) => saved,
            Err(error) => panic!("{error:?}"),
        };
        assert!((1..=16).contains(&done) && stored == 4096 * done);
        if done < 16 {
            assert_eq!(outcome(done - 1).0, ListedExtent::SAVED);
            assert!(whole > 0, "no call was whole");
            return;
        }
    }
    panic!("no call was interrupted");
}
