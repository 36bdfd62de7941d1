//! The store on another medium than a card.

use super::card::mix;
use super::recorder::*;
use crate::*;
use block_device::{BLOCK_LEN, Block, PolledDevice, Window};
use crashlog_format::gpt::FoundPartition;

/// Another medium: bytes in memory, without a busy state, a cache or commands.
struct Bytes(Vec<u8>);

/// The error of a request beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beyond;

impl Bytes {
    fn range(&self, first: u64, blocks: &[Block]) -> Result<std::ops::Range<usize>, Beyond> {
        let begin = usize::try_from(first).unwrap().saturating_mul(BLOCK_LEN);
        let end = begin.saturating_add(blocks.len() * BLOCK_LEN);
        (end <= self.0.len()).then_some(begin..end).ok_or(Beyond)
    }
}

impl PolledDevice for Bytes {
    type Error = Beyond;

    fn block_count(&self) -> u64 {
        (self.0.len() / BLOCK_LEN) as u64
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Beyond> {
        let range = self.range(first, blocks)?;
        for (bytes, block) in self.0[range].chunks(BLOCK_LEN).zip(blocks) {
            block.copy_from(0, bytes);
        }
        Ok(())
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Beyond> {
        let range = self.range(first, blocks)?;
        for (bytes, block) in self.0[range].chunks_mut(BLOCK_LEN).zip(blocks) {
            block.copy_to(0, bytes);
        }
        Ok(())
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Beyond> {
        PolledDevice::write(self, block, core::slice::from_ref(data))
    }

    fn flush(&mut self) -> Result<(), Beyond> {
        Ok(())
    }
}

/// REQ: M9 The store uses a medium only through the traits of `block-device`: it formats, mounts
/// and writes this one, does emergency writes with and without a known location, and reads
/// everything back.
#[test]
fn the_store_works_on_another_medium() {
    const BLOCKS: usize = 4096;
    let mut medium = Bytes(vec![0; BLOCKS * BLOCK_LEN]);
    let made = format_medium(&mut medium);
    let entry = FoundPartition {
        place: made,
        problem: None,
        from_backup: false,
    };

    let mut crashes = Vec::new();
    for boot in 1..=4_u32 {
        let memory = retained_memory();
        let (region, ring) = cold_boot(&memory);
        let header = line(boot.into());
        // In every other boot nothing was mounted before the crash: the emergency write has to
        // search.
        if boot % 2 == 0 {
            for number in 0..20_u64 {
                ring.append(&header, &mix(number).to_le_bytes()).unwrap();
            }
            let mut device = Polled(&mut medium);
            let found = now(find_partition(&mut device, "crashlog", region.scratch())).unwrap();
            assert_eq!((found.place, found.problem), (made, None));
            let window = Window::new(device, made.first, made.blocks).unwrap();
            let mut store = now(Store::mount(window, &found, OPTIONS, region.scratch())).unwrap();
            region.rebase(store.format(), store.last_boot(), ring.oldest_boot());
            ring.close();
            let numbering = store.numbering(region.boot_offset());
            let run = ring.next_run(&numbering, MAX_RUN).unwrap();
            now(store.write_pages(run.blocks)).unwrap();
            ring.mark_durable(run.blocks.len(), |_, _| {});
            let location = crashlog_retained::Location {
                first: made.first,
                geometry: *store.geometry(),
                format: store.format(),
                keep_first: KEEP_FIRST,
                card: CARD,
            };
            region.location().store(&location, store.next_page());
        }
        ring.append(&header, b"the last words").unwrap();
        let time = u64::from(boot) * 1000;
        arm_panic(&region, time, boot);
        let (result, outcome) = emergency_with(&mut medium, &region, &[]);
        assert_eq!((result, outcome.sequence.get()), (Ok(()), boot));
        crashes.push(time);

        let scratch = blocks(16);
        let window = Window::new(Polled(&mut medium), made.first, made.blocks).unwrap();
        let mut store = now(Store::mount(window, &entry, OPTIONS, &scratch)).unwrap();
        let times = (1..=boot).map(|number| {
            let crash = now(store.open_crash(number)).unwrap();
            crash.header.time.get()
        });
        assert!(times.eq(crashes.iter().copied()));
        let buffer = blocks(3);
        let mut reader = LogReader::new(&store, &buffer);
        let mut last = None;
        let mut count = 0;
        while let Some(item) = now(reader.next(&mut store)).unwrap() {
            let LogItem::Record { record, .. } = item else {
                panic!("{item:?}");
            };
            last = Some((record.boot, record.payload.to_vec()));
            count += 1;
        }
        assert_eq!(last, Some((boot, b"the last words".to_vec())));
        assert_eq!(count, boot + boot / 2 * 20);
    }
}
