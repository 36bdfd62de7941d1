//! Memory and comparisons for tests.

use crate::{Level, LogHeader, Region, Stream};
use block_device::Block;
use crashlog_format::page::{LogRecord, Page, PageError};
use crashlog_format::{BLOCK_LEN, FormatId};

/// The format id of tests.
pub(crate) const FORMAT: FormatId = FormatId::new(0x1122_3344_5566_7788);

/// Memory for a region with a log ring of 128 pages, all zeros.
pub(crate) fn memory() -> Vec<Block> {
    memory_with(128)
}

/// As [`memory`], with a log ring of so many pages.
pub(crate) fn memory_with(pages: usize) -> Vec<Block> {
    (0..Region::len_with(pages) / BLOCK_LEN)
        .map(|_| Block::zeroed())
        .collect()
}

/// A copy of the memory, as a restart finds it.
pub(crate) fn copy(memory: &[Block]) -> Vec<Block> {
    memory
        .iter()
        .map(|block| {
            let copy = Block::zeroed();
            for (index, word) in block.words().iter().enumerate() {
                copy.set_word(index, word.load(std::sync::atomic::Ordering::Relaxed));
            }
            copy
        })
        .collect()
}

pub(crate) fn header(task: u16, time: u64) -> LogHeader {
    LogHeader {
        stream: Stream::Console,
        level: Level::Info,
        task,
        lost: 0,
        time,
    }
}

pub(crate) fn bytes(block: &Block) -> [u8; BLOCK_LEN] {
    let mut bytes = [0; BLOCK_LEN];
    block.copy_to(0, &mut bytes);
    bytes
}

/// A log record, with what tests compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub boot: u32,
    pub sequence: u32,
    pub task: u16,
    pub payload: Vec<u8>,
}

impl From<LogRecord<'_>> for Seen {
    fn from(record: LogRecord<'_>) -> Self {
        Self {
            boot: record.boot,
            sequence: record.sequence,
            task: record.header.task,
            payload: record.payload.to_vec(),
        }
    }
}

/// All records that a ring would write. Pages that fail their check are left out, as the card's
/// reader leaves them out.
pub(crate) fn drain(ring: &crate::LogRing<'_>) -> Vec<Seen> {
    ring.close();
    let mut seen = Vec::new();
    let mut next_page = 0;
    while let Some(run) = ring.next_run(
        &crate::Numbering {
            format: FORMAT,
            next_page,
            boot_offset: 0,
        },
        16,
    ) {
        assert_eq!(run.first_page, next_page);
        for block in run.blocks {
            match Page::parse(&bytes(block), FORMAT) {
                Ok(page) => {
                    assert_eq!(page.header.sequence(), next_page);
                    let mut records = page.records();
                    seen.extend(records.by_ref().map(Seen::from));
                    assert_eq!(records.remaining(), 0);
                }
                Err(PageError::Records(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            next_page += 1;
        }
        ring.mark_durable(run.blocks.len(), |_, _| {});
    }
    seen
}
