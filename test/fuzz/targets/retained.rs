//! Retained RAM that holds anything: the next boot recovers what is sound, appends to it and closes
//! its pages.
#![no_main]

use arbitrary::Unstructured;
use block_device::Block;
use crashlog_format::{Level, Stream};
use crashlog_fuzz::retained::{arm_panic, memory};
use crashlog_retained::{AppendError, LogHeader, LogRing, Region};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

/// Most changes of one input.
const MOST: usize = 64;

thread_local! {
    static MEMORY: RefCell<Vec<Block>> =
        RefCell::new(memory());
    static SNAPSHOT: RefCell<Vec<[u8; 512]>> = RefCell::new(used());
}

/// The region of a system that has logged and failed.
fn used() -> Vec<[u8; 512]> {
    let memory = memory();
    let region = Region::over(&memory).expect("a region is long enough");
    for _ in 0..3 {
        region.begin_boot();
        let (ring, _) = LogRing::recover(&region);
        for number in 0..6_u8 {
            let _ = ring.append(&line(u64::from(number)), &[number; 90]);
        }
    }
    arm_panic(&region, 77);
    let bytes = |block: &Block| {
        let mut bytes = [0; 512];
        block.copy_to(0, &mut bytes);
        bytes
    };
    memory.iter().map(bytes).collect()
}

fn line(time: u64) -> LogHeader {
    LogHeader {
        stream: Stream::Console,
        level: Level::Info,
        task: 3,
        lost: 0,
        time,
    }
}

fuzz_target!(|input: &[u8]| {
    MEMORY.with_borrow(|memory| {
        SNAPSHOT.with_borrow(|used| {
            for (block, bytes) in memory.iter().zip(used) {
                block.copy_from(0, bytes);
            }
        });
        let mut input = Unstructured::new(input);
        let _ = change(memory, &mut input);
        check(memory);
    });
});

/// Sets words.
fn change(memory: &[Block], input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let (block, word): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
        let value = match input.arbitrary::<u8>()? {
            0..8 => input.arbitrary::<u32>()?,
            small => u32::from(small),
        };
        memory[usize::from(block) % memory.len()].set_word(usize::from(word) % 128, value);
    }
    Ok(())
}

fn check(memory: &[Block]) {
    let region = Region::over(memory).expect("a region is long enough");
    let mailbox = region.mailbox();
    let _ = (
        mailbox.state(),
        mailbox.crash(),
        mailbox.unfinished_crash(),
        mailbox.outcome(),
    );
    let _ = (
        mailbox.self_test(),
        mailbox.first_failure(),
        mailbox.try_ms(),
    );
    let _ = (
        region.failure().read(),
        region.history().load(),
        region.history().aside(),
    );
    let _ = (region.location().load(), region.location().next_page());
    if let Some(header) = region.snapshot().header() {
        let _ = region.snapshot().has_sound_tables(&header);
        assert!(region.snapshot().image(&header).len() <= region.snapshot().blocks().len());
    }
    while let Some(oops) = mailbox.oops() {
        let waiting = mailbox.oops().is_some();
        oops.clear();
        assert!(waiting);
    }
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    let most = ring.pages();
    assert!(ring.closed_pages() <= most);
    for number in 0..200_u32 {
        match ring.append(&line(number.into()), &[1; 200]) {
            Ok(_) | Err(AppendError::Full) => {}
            Err(error) => panic!("a record of 200 bytes was refused: {error:?}"),
        }
    }
    ring.close();
    let mut pages = 0;
    while let Some(page) = ring.pending_after(pages) {
        let _ = page;
        pages += 1;
        assert!(pages <= most + 1, "more pages than the ring has");
    }
}
