//! A card that was used, and then changed: it is found, mounted and read, written in both paths and
//! read again. Whatever it holds, what is done is bounded, nothing outside of the partition is
//! written, and a crash that is reported as durable is read back whole.
#![no_main]

use arbitrary::Unstructured;
use block_device::{Block, PolledDevice, Window, now_or_never};
use crashlog_format::gpt::FoundPartition;
use crashlog_format::ledger::Ledger;
use crashlog_format::{Outcome, PARTITION_NAME};
use crashlog_fuzz::changes::{self, LogPlace};
use crashlog_fuzz::golden::{self, OPTIONS};
use crashlog_fuzz::retained::{arm_panic, memory};
use crashlog_fuzz::{Failed, MemoryCard};
use crashlog_retained::Region;
use crashlog_store::emergency::{self, EmergencyRequest};
use crashlog_store::{LogReader, Polled, Store, find_partition};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

/// Most blocks that a mount reads, if much is damaged.
const MOST_READ: u64 = 3_000;
/// Most pages whose records are read.
const MOST_PAGES: u32 = 200;

thread_local! {
    static CARDS: Vec<(MemoryCard, LogPlace)> = ["client-panic", "two-firmwares"]
        .into_iter()
        .map(|name| {
            let card = MemoryCard::of_image(&golden::content(name));
            let place = golden::place(&card);
            (card, place)
        })
        .collect();
    static MEMORY: RefCell<Vec<Block>> =
        RefCell::new(memory());
}

fuzz_target!(|input: &[u8]| {
    CARDS.with(|cards| {
        let mut input = Unstructured::new(input);
        let index = input.choose_index(cards.len()).unwrap_or(0);
        let (card, place) = &cards[index];
        let mut card = card.clone();
        let _ = changes::apply(&mut card, place, &mut input);
        MEMORY.with_borrow(|memory| check(&mut card, memory));
    });
});

fn check(card: &mut MemoryCard, memory: &[Block]) {
    let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
    read(card, &scratch);
    assert_eq!(card.changed, 0, "reading has written");

    for block in memory {
        block.fill(0);
    }
    let region = Region::over(memory).expect("a region is long enough");
    region.begin_boot();
    arm_panic(&region, 4_321);
    let partition = find(card, &scratch);
    let outside: Vec<_> = card.written().collect();
    if emergency(card, &region).is_ok() {
        let found = partition.expect("written, so found");
        assert_eq!(found.problem, None);
        let (first, blocks) = (found.place.first, found.place.blocks);
        let written = card.written().filter(|number| !outside.contains(number));
        for number in written {
            assert!(
                (first..first + blocks).contains(&number),
                "block {number} is not of the log"
            );
        }
        assert!(
            read(card, &scratch).contains(&4_321),
            "the crash is not there"
        );
    }
}

fn find(card: &mut MemoryCard, scratch: &[Block]) -> Option<FoundPartition> {
    let found = now_or_never(find_partition(&mut Polled(card), PARTITION_NAME, scratch));
    found.expect("ready").ok()
}

/// Reads all there is. Returns the times of the crashes that are whole.
fn read(card: &mut MemoryCard, scratch: &[Block]) -> Vec<u64> {
    let mut times = Vec::new();
    let Some(found) = find(card, scratch) else {
        return times;
    };
    card.read = 0;
    let there = card.block_count() - found.place.first;
    let blocks = found.place.blocks.min(there);
    let window = Window::new(Polled(&mut *card), found.place.first, blocks).expect("inside");
    let mounted = now_or_never(Store::mount(window, &found, OPTIONS, scratch)).expect("ready");
    let Ok(mut store) = mounted else {
        assert!(card.read <= MOST_READ, "{} blocks to mount", card.read);
        return times;
    };
    let count = store.device().device().0.read;
    assert!(count <= MOST_READ, "{count} blocks to mount");
    for index in 0..store.crash_count() {
        let sequence = store.tally(index).expect("one of so many").sequence;
        let Ok(crash) = now_or_never(store.open_crash(sequence)).expect("ready") else {
            continue;
        };
        let count = crash.segments().len();
        let is_whole = (0..count).all(|segment| {
            now_or_never(crash.check(&mut store, segment)).expect("ready") == Ok(true)
        });
        if is_whole {
            times.push(crash.header.time.get());
        }
        let mut bytes = [0; 600];
        for segment in 0..count {
            let read = crash.read(&mut store, segment, 0, &mut bytes);
            let _ = now_or_never(read).expect("ready");
        }
    }
    let buffer: Vec<Block> = (0..5).map(|_| Block::zeroed()).collect();
    let first = store.next_page().saturating_sub(MOST_PAGES);
    let mut reader = LogReader::starting_at(&store, &buffer, first);
    let mut last = 0;
    while let Some(_item) = now_or_never(reader.next(&mut store))
        .expect("ready")
        .expect("read")
    {
        assert!(reader.next_page() >= last, "the log goes back");
        last = reader.next_page();
    }
    times
}

type EmergencyError = emergency::Error<Failed>;

fn emergency(card: &mut MemoryCard, region: &Region<'_>) -> Result<(), EmergencyError> {
    let crash = region.mailbox().crash();
    let request = EmergencyRequest {
        region,
        crash: crash.as_ref(),
        location: None,
        partition: PARTITION_NAME,
        keep_first: OPTIONS.keep_first,
        card: &[7; 64],
        extra: &[],
        scratch: region.scratch(),
    };
    let mut ledger = Ledger::ZERO.clone();
    emergency::write(
        card,
        &request,
        &mut ledger,
        &mut Outcome::default(),
        |_, _| {},
    )
}
