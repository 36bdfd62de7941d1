//! Kernel IPC for snapshots: section 4.

use crate::Case;
use crate::set_aside::restart;
use crate::support::{NO_SUCH_TASK, address, assist, first, myself, second, supervisor, third};
use core::sync::atomic::{AtomicU32, Ordering};
use crashlog_format::snapshot::{EXTENT_MAX, GRANULE, STACK_FILL, WordSum};
use test_api::{ask, assist, runner};
use userlib::{KERNEL_MEMORY, SaveMemoryError, SavedExtent, kipc};

pub const CASES: &[Case] = &[
    ("s4_kipc258_memory_of_a_snapshot_ours", ranges),
    ("s4_kipc259_content_map_and_sum_ours", content),
    ("s4_kipc259_memory_of_the_kernel_ours", kernel_memory),
    ("s4_kipc259_refusals_ours", refusals),
    ("s4_kipc259_secrets_are_blanked_ours", secrets),
    ("s4_kipc260_device_registers_ours", devices),
    ("s4_kipc261_access_ours", access),
];

pub const WORDS: usize = EXTENT_MAX / 4;
/// What is saved: a page of this task, and a granule more for pieces that begin in it.
pub static SOURCE: [AtomicU32; WORDS + GRANULE / 4] =
    [const { AtomicU32::new(0) }; WORDS + GRANULE / 4];

/// The supervisor's memory for what is saved, and a page of it in the retained region: not the
/// first one, in which the kernel's tick stores who runs.
pub(crate) fn destinations() -> [u32; 2] {
    let [own, retained, ..] = supervisor(runner::SAVE_PLACES, []);
    [own, retained + 0x8000]
}

/// A range of memory as the supervisor gets it.
pub(crate) fn range(owner: u32, n: u32) -> Option<(u32, u32)> {
    let [some, base, size, ..] = supervisor(runner::SAVED_MEMORY, [owner, n]);
    (some != 0).then_some((base, size))
}

pub(crate) fn save(
    owner: u32,
    address: u32,
    length: u32,
    destination: u32,
) -> Result<SavedExtent, SaveMemoryError> {
    let [code, map, stored, low, high, ..] =
        supervisor(runner::SAVE_MEMORY, [owner, address, length, destination]);
    let sum = u64::from(low) | u64::from(high) << 32;
    match SaveMemoryError::try_from(code) {
        Ok(error) => Err(error),
        Err(()) => Ok(SavedExtent { map, stored, sum }),
    }
}

/// Eight words of the supervisor's memory.
pub(crate) fn read(address: u32) -> [u32; 8] {
    let [a, b, c, d, e, f, g, h, ..] = supervisor(runner::READ_WORDS, [address]);
    [a, b, c, d, e, f, g, h]
}

/// What stands in a destination before.
pub(crate) fn clear(address: u32, words: usize) {
    supervisor(runner::FILL_WORDS, [address, words as u32, 0x5555_5555]);
}

/// Saves `words` of [`SOURCE`] and compares with the format's definition.
fn saves_as_defined(first: usize, words: usize, destination: u32) {
    let source = SOURCE.iter().skip(first).take(words);
    let source = source.map(|word| word.load(Ordering::Relaxed));
    let at = address(&raw const SOURCE) + 4 * first as u32;
    saves_words(myself().index() as u32, at, words, source, destination);
}

/// Saves `words` at `at`, memory of `owner`, and compares with `source` by the format's definition.
fn saves_words(
    owner: u32,
    at: u32,
    words: usize,
    mut source: impl Iterator<Item = u32>,
    destination: u32,
) {
    clear(destination, words.next_multiple_of(8) + 8);
    let saved = save(owner, at, 4 * words as u32, destination);
    let saved = saved.unwrap_or_else(|error| panic!("{error:?}"));

    let mut expected = SavedExtent {
        map: 0,
        stored: 0,
        sum: 0,
    };
    let mut sum = WordSum::new();
    let mut stored = read(destination);
    let mut granules = 0;
    while granules * (GRANULE / 4) < words {
        let mut granule = [0; GRANULE / 4];
        let length = (words - granules * (GRANULE / 4)).min(GRANULE / 4);
        let granule = granule.get_mut(..length).unwrap_or_default();
        for (word, from) in granule.iter_mut().zip(&mut source) {
            *word = from;
        }
        let content = if granule.iter().all(|&word| word == 0) {
            1
        } else if granule.iter().all(|&word| word == STACK_FILL) {
            2
        } else {
            0
        };
        expected.map |= content << (2 * granules);
        granules += 1;
        if content != 0 {
            continue;
        }
        for &word in &*granule {
            sum = sum.word(word);
            let index = expected.stored as usize / 4 % 8;
            assert_eq!(stored.get(index), Some(&word), "byte {}", expected.stored);
            expected.stored += 4;
            if index == 7 {
                stored = read(destination + expected.stored);
            }
        }
    }
    expected.sum = sum.value();
    assert_eq!(saved, expected, "{words} words");
    // Nothing behind what was stored has changed.
    let index = expected.stored as usize / 4 % 8;
    assert_eq!(stored.get(index), Some(&0x5555_5555), "overrun");
}

pub fn set_source(word: impl Fn(usize) -> u32) {
    for (index, place) in SOURCE.iter().enumerate() {
        place.store(word(index), Ordering::Relaxed);
    }
}

fn content() {
    let [own, retained] = destinations();
    let data = |index: usize| (index as u32 + 1).wrapping_mul(0x9e37_79b1);
    set_source(data);
    for words in [1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 80, 129, 300, WORDS] {
        saves_as_defined(0, words, own);
    }
    saves_as_defined(3, 64, retained);
    saves_as_defined(0, WORDS, retained);
    // Every granule has another content, and each fill ends at another place.
    for fill in [0, STACK_FILL] {
        set_source(|_| fill);
        for words in [1, 7, 8, 9, 63, 64, 65, 1000, WORDS] {
            saves_as_defined(0, words, own);
        }
        set_source(|index| {
            let (granule, place) = (index / 64, index % 64);
            if granule.is_multiple_of(2) || place != granule * 4 {
                fill
            } else {
                data(index)
            }
        });
        saves_as_defined(0, WORDS, own);
        saves_as_defined(5, 1001, own);
        // The last word alone differs, also in a last granule that is not whole.
        for words in [64, 75, 72] {
            set_source(|index| if index == words - 1 { 1 } else { fill });
            saves_as_defined(0, words, own);
        }
    }
    // Each kind of content follows each other, and data that begin with a fill each fill.
    const CONTENTS: [usize; 26] = [
        0, 1, 2, 0, 2, 1, 0, 3, 0, 4, 0, 0, 3, 1, 3, 2, 3, 3, 4, 1, 4, 2, 4, 4, 0, 0,
    ];
    for (first, change) in [(0, 8), (10, 9), (10, 32), (10, 40), (10, 63)] {
        set_source(|index| {
            let content = CONTENTS.get(first + index / 64);
            match content {
                Some(1) => 0,
                Some(2) => STACK_FILL,
                Some(3) if index % 64 < change => 0,
                Some(4) if index % 64 < change => STACK_FILL,
                _ => data(index),
            }
        });
        saves_as_defined(0, WORDS, own);
    }
    // Words of both kinds of fill in one granule are data.
    set_source(|index| {
        if index.is_multiple_of(3) {
            0
        } else {
            STACK_FILL
        }
    });
    saves_as_defined(0, 200, own);
    saves_as_defined(1, 200, own);
}

fn ranges() {
    // What Humility's dumps have, without the DMA memory of the second assist. The memory that both
    // assists share is the first's.
    let [one, two] = [first(), second()].map(|task| task.index() as u32);
    let dumped = |task: u32, base: u32| {
        let mut regions = (0..).map_while(|n| kipc::get_task_dump_region(task as usize, n));
        regions.any(|region| region.base == base)
    };
    assert!(dumped(one, SHARED) && dumped(two, SHARED) && dumped(two, RETAINED));
    let has = |owner: u32, base: u32| {
        let mut ranges = (0..).map_while(|n| range(owner, n));
        ranges.any(|(start, size)| (start..start + size).contains(&base))
    };
    assert!(has(one, SHARED) && !has(two, SHARED) && !has(two, RETAINED) && !has(two, SDHCI));
    let [data, _, _, stack, ..] = assist(assist::PLACES, []);
    assert!(has(one, data) && has(one, stack));
    assert!(has(myself().index() as u32, address(&raw const SOURCE)));
    let entry = kipc::get_task_desc_region(first().index()).base;
    assert!(has(KERNEL_MEMORY, entry) && has(KERNEL_MEMORY, KERNEL_STACK));
    assert!(!has(KERNEL_MEMORY, KERNEL_TEXT));

    for owner in [NO_SUCH_TASK, KERNEL_MEMORY - 1, KERNEL_MEMORY + 1, u32::MAX] {
        assert_eq!(range(owner, 0), None);
    }
    assert_eq!(range(one, u32::MAX), None);
    // No two ranges have a byte in common, and all can be saved to the end.
    let [own, _] = destinations();
    let all = || {
        let owners = (0..NO_SUCH_TASK).chain([KERNEL_MEMORY]);
        owners.flat_map(|owner| {
            (0..).map_while(move |n| range(owner, n).map(|(base, size)| (owner, base, size)))
        })
    };
    for (owner, base, size) in all() {
        assert!(size >= 4 && (base | size).is_multiple_of(4));
        for (other, start, length) in all() {
            let same = (owner, base, size) == (other, start, length);
            assert!(same || base + size <= start || start + length <= base);
        }
        if owner != 0 {
            assert!(save(owner, base, 4, own).is_ok());
            assert!(save(owner, base + size - 4, 4, own).is_ok());
        }
    }
}

/// What may be registered to be saved with a crash.
fn access() {
    let [one, two] = [first(), second()].map(|task| task.index() as u32);
    let access = |task: u32, address: u32, length: u32| {
        let [kind, ..] = supervisor(runner::CHECK_ACCESS, [task, address, length]);
        kind
    };
    let [data, _, text, stack, ..] = assist(assist::PLACES, []);
    let (nothing, memory, device) = (0, 1, 2);
    for address in [data, text, stack, SHARED] {
        assert_eq!(access(one, address, 4), memory, "{address:#x}");
        assert_eq!(access(one, address + 1, 1), memory, "{address:#x}");
        assert_eq!(access(one, address, 0), nothing);
    }
    assert_eq!(access(two, SHARED, 0x1000), memory);
    assert_eq!(access(two, data, 4), nothing);
    assert_eq!(access(two, SDHCI, 4), device);
    assert_eq!(access(two, SDHCI + 0xffc, 4), device);
    assert_eq!(access(two, SDHCI + 0xffc, 8), nothing);
    assert_eq!(access(two, SDHCI - 4, 8), nothing);
    assert_eq!(access(one, SDHCI, 4), nothing);
    // Memory for DMA, memory of the kernel, and what wraps.
    assert_eq!(access(two, RETAINED, 4), nothing);
    assert_eq!(access(one, KERNEL_STACK, 4), nothing);
    assert_eq!(access(one, 0, u32::MAX), nothing);
    assert_eq!(access(one, 0xffff_fffc, 8), nothing);
    assert_eq!(access(two, SDHCI, 0xffff_ff00), nothing);
}

/// The secret of an assist and what follows it: also of one that is about to be restarted.
fn secrets() {
    let blank = u32::from_le_bytes(*b"****");
    let [own, retained] = destinations();
    let [_, _, _, _, _, secret, ..] = assist(assist::PLACES, []);
    let mut expected = [blank; 8];
    for (at, word) in (secret..).step_by(4).zip(&mut expected).skip(4) {
        [*word, ..] = assist(assist::READ, [at]);
    }
    let mut sum = WordSum::new();
    for word in expected {
        sum = sum.word(word);
    }
    for to in [own, retained] {
        clear(to, 16);
        let saved = save(first().index() as u32, secret, 32, to);
        let (map, stored, sum) = (0, 32, sum.value());
        assert_eq!(saved, Ok(SavedExtent { map, stored, sum }));
        assert_eq!(read(to), expected);
        assert_eq!(read(to + 32), [0x5555_5555; 8]);
    }
    // In the middle of other memory: the end of the stack and all data.
    let one = first().index() as u32;
    let mut ranges = (0..).map_while(|n| range(one, n));
    let own_range = ranges.find(|(base, size)| (*base..base + size).contains(&secret));
    let (base, size) = own_range.unwrap_or_else(|| panic!("no range has the secret"));
    let end = (secret + 768).min(base + size);
    for begin in [secret - 8, secret, secret + 8] {
        let words = (begin..end).step_by(4).map(|at| {
            let [word, ..] = assist(assist::READ, [at]);
            let is_secret = (secret..secret + 16).contains(&at);
            if is_secret { blank } else { word }
        });
        saves_words(one, begin, words.len(), words, own);
    }
    clear(own, 8);
    assert_eq!(restart(secret, 16, own), 16);
    let [a, b, c, d, after, ..] = read(own);
    assert_eq!(
        [a, b, c, d, after],
        [blank, blank, blank, blank, 0x5555_5555]
    );
}

fn kernel_memory() {
    let [own, _] = destinations();
    // The third assist is stopped, so its entry does not change.
    let entry = kipc::get_task_desc_region(third().index());
    let saved = save(KERNEL_MEMORY, entry.base, entry.size, own);
    assert!(saved.is_ok_and(|saved| saved.stored == entry.size));
    for offset in (0..entry.size & !31).step_by(16) {
        let request = [third().index() as u32, entry.base + offset, 16];
        let [a, b, c, d, ..] = supervisor(runner::READ_DUMP, request);
        let [e, f, g, h, ..] = read(own + offset);
        assert_eq!([a, b, c, d], [e, f, g, h]);
    }
}

/// The kernel's text and stack, the retained region, the memory that both assists have, a device of
/// the second, the device of the supervisor: test/apps/kernel/chip.
pub(crate) const KERNEL_TEXT: u32 = 0x8010_0000;
const KERNEL_STACK: u32 = 0x8080_0000;
pub const RETAINED: u32 = 0x80c0_0000;
pub(crate) const SHARED: u32 = 0x80d0_0000;
pub(crate) const SDHCI: u32 = 0x1e75_0000;
const UART5: u32 = 0x1e78_4000;
/// Memory that is not for the supervisor and the kernel alike, and no memory.
pub const NO_DESTINATIONS: [u32; 5] = [SHARED, SDHCI, UART5, KERNEL_STACK, KERNEL_TEXT];
const UART1: u32 = 0x1e78_3000;

fn refusals() {
    let [own, retained] = destinations();
    let me = myself().index() as u32;
    let at = address(&raw const SOURCE);
    let [one, two] = [first(), second()].map(|task| task.index() as u32);
    let [of_first, ..] = assist(assist::PLACES, []);
    assert!(save(me, at, 256, own).is_ok() && save(me, at, 256, retained).is_ok());
    assert!(save(two, SHARED, 256, own).is_ok() && save(one, SHARED, 256, own).is_ok());
    // A task may read its text.
    let text = refusals as fn() as usize as u32 & !3;
    assert!(save(me, text, 16, own).is_ok());

    let not_readable = |owner, address, length| {
        let refused = save(owner, address, length, own);
        assert_eq!(
            refused,
            Err(SaveMemoryError::NotReadable),
            "{length} bytes at {address:#x} of {owner}"
        );
    };
    not_readable(me, of_first, 4);
    not_readable(one, at, 4);
    not_readable(KERNEL_MEMORY, at, 4);
    not_readable(me, KERNEL_STACK, 4);
    not_readable(KERNEL_MEMORY, KERNEL_TEXT, 4);
    not_readable(two, SDHCI, 4);
    not_readable(two, RETAINED, 4);
    // The supervisor shares it with the kernel: its saved copy of the recorder is read from there.
    assert!(save(0, RETAINED, 4, own).is_ok());
    not_readable(0, UART5, 4);
    for owner in [NO_SUCH_TASK, KERNEL_MEMORY - 1, KERNEL_MEMORY + 1, u32::MAX] {
        not_readable(owner, at, 4);
    }
    for length in [
        0,
        1,
        2,
        3,
        5,
        4095,
        4097,
        4098,
        4100,
        8192,
        0x8000_0000,
        0xffff_fffc,
    ] {
        not_readable(me, at, length);
    }
    for offset in 1..4 {
        not_readable(me, at + offset, 4);
    }
    for address in [0, 4, 0xffff_f000, 0xffff_fff8, 0xffff_fffc] {
        not_readable(me, address, 4096);
        not_readable(KERNEL_MEMORY, address, 4096);
        not_readable(me, address, 4);
    }
    // From the end of a range on, and over it.
    for owner in (0..NO_SUCH_TASK).chain([KERNEL_MEMORY]) {
        let mut end = None;
        for (base, size) in (0..).map_while(|n| range(owner, n)) {
            if end.is_none_or(|end| end != base) {
                not_readable(owner, base - 4, 8);
            }
            end = Some(base + size);
        }
        if let Some(end) = end {
            not_readable(owner, end - 4, 8);
        }
    }

    let destination = |length, to| {
        let refused = save(me, at, length, to);
        assert_eq!(refused, Err(SaveMemoryError::Destination), "to {to:#x}");
    };
    for to in [at + 2048, of_first].into_iter().chain(NO_DESTINATIONS) {
        destination(16, to);
    }
    for to in [
        0,
        0xffff_fff0,
        0xffff_fff4,
        0xffff_fffc,
        own + 1,
        own + 2,
        retained + 3,
    ] {
        destination(16, to);
    }
    destination(4096, RETAINED + 0x10_0000 - 4092);
    destination(4096, RETAINED - 4);
    // Onto itself, or a part of itself.
    let onto_itself = save(0, own, 64, own + 60);
    assert_eq!(onto_itself, Err(SaveMemoryError::Destination));
    assert!(save(0, own, 64, own + 64).is_ok());
    // No refusal has changed anything.
    clear(own, 8);
    not_readable(me, of_first, 32);
    assert_eq!(read(own), [0x5555_5555; 8]);
}

/// An address in a region of the second assist where the chip has nothing, and registers that hold
/// a constant: the controller's Capabilities (of slot 0), and of the UARTs the Line Status.
const HOLE: u32 = 0x4800_0000;
const CAPABILITIES: u32 = SDHCI + 0x140;
const LINE_STATUS: u32 = 0x14;

fn devices() {
    let read_device = |task: u32, address: u32| {
        let [code, word, ..] = supervisor(runner::READ_DEVICE, [task, address]);
        match SaveMemoryError::try_from(code) {
            Ok(error) => Err(error),
            Err(()) => Ok(word),
        }
    };
    let [one, two] = [first(), second()].map(|task| task.index() as u32);
    let (code, [capabilities, ..]) = ask(second(), assist::READ, [CAPABILITIES]);
    assert!(code == 0 && capabilities != 0);
    for _ in 0..2 {
        assert_eq!(read_device(two, CAPABILITIES), Ok(capabilities));
        // Bus faults, which neither the kernel nor the task notices.
        for offset in [0, 4, 0x800, 0xffc] {
            let answer = read_device(two, HOLE + offset);
            assert_eq!(answer, Err(SaveMemoryError::BusFault));
        }
    }
    assert_eq!(ask(second(), assist::ECHO, [5]).1[0], 5);
    // Of the supervisor, whose table is in use, and of this task. The transmitter is empty.
    for (task, uart) in [(0, UART5), (myself().index() as u32, UART1)] {
        let status = read_device(task, uart + LINE_STATUS);
        assert!(status.is_ok_and(|status| status & 0x20 != 0), "{status:?}");
    }
    let [of_second, ..] = ask(second(), assist::PLACES, []).1;
    for (task, address) in [
        (one, CAPABILITIES),
        (one, HOLE),
        (two, UART5),
        (0, SDHCI),
        (two, of_second),
        (two, RETAINED),
        (two, SHARED),
        (two, CAPABILITIES + 1),
        (two, CAPABILITIES + 2),
        (two, SDHCI - 4),
        (two, SDHCI + 0x1000),
        (two, HOLE + 0x1000),
        (two, 0),
        (two, 0xffff_fffc),
    ] {
        let answer = read_device(task, address);
        assert_eq!(answer, Err(SaveMemoryError::NotReadable), "{address:#x}");
    }
}
