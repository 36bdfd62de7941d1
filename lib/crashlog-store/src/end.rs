//! Finding the end of the stream.
//!
//! Pages are written in the order of their numbers, and each number has one place in the ring. So
//! "at the place of page n there is page n or a later one" is true up to some n and false from
//! there on, and bisection finds that n. There are two exceptions: a power cut can leave gaps
//! within one run of pages, and any page can be damaged. Both look like an end. So the [`MAX_RUN`]
//! pages after each end are read: if one of them is a page, it was not the end, and the search
//! continues after that page. A gap far before the end is recognised in the same way, as pages
//! follow it.

use crate::MAX_RUN;
use crate::store::{MountError, Store};
use block_device::{Block, BlockDevice};
use crashlog_format::FormatId;
use crashlog_format::page::PageHeader;
use zerocopy::{FromZeros, IntoBytes};

/// Distance from the ledger's note, in pages, within which the end is searched first: a power of
/// two, twice the distance between two notes.
const REACH: u32 = 2 * crate::CHECKPOINT;
/// Number of gaps that are passed before the search fails. This bounds the time of a mount of a
/// hostile card.
const MAX_GAPS: u32 = 4096;
/// Number of pages before the end that are read for the number of the last boot, if the last ones
/// are damaged.
const BOOT_PAGES: u32 = 8;

/// The end of the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamEnd {
    /// Number of the next page to be written.
    pub next_page: u32,
    /// The newest boot that has written pages.
    pub boot: u32,
}

impl StreamEnd {
    /// Finds the end. `expected` is where it was when this system last wrote to the partition, if
    /// that is known.
    pub(crate) async fn find<D: BlockDevice>(
        store: &mut Store<'_, D>,
        expected: Option<u32>,
    ) -> Result<Self, MountError<D::Error>> {
        let mut low = store.ledger.next_page();
        for _ in 0..MAX_GAPS {
            low = bisect(store, low).await;
            match after_window(store, low).await? {
                Some(after) => low = after,
                None if low == u32::MAX => return Err(MountError::Exhausted),
                None => {
                    let boot = newest_boot(store, low, expected == Some(low)).await;
                    return Ok(Self {
                        next_page: low,
                        boot,
                    });
                }
            }
        }
        Err(MountError::Damaged)
    }
}

/// Finds an end at or after `low`: a page that is not there, while the one before it is, or it is
/// `low` itself.
async fn bisect<D: BlockDevice>(store: &mut Store<'_, D>, mut low: u32) -> u32 {
    let mut reach = REACH;
    let mut high = loop {
        let probe = low.saturating_add(reach);
        if probe == u32::MAX || !is_there(store, probe).await {
            break probe;
        }
        low = probe;
        reach = reach.saturating_mul(2);
    };
    while low < high {
        let middle = low.midpoint(high);
        if is_there(store, middle).await {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    low
}

/// Whether page `sequence`, or a later one, is at its place. A page that cannot be read counts as
/// missing: if it is not the end, the window after it contains pages.
async fn is_there<D: BlockDevice>(store: &mut Store<'_, D>, sequence: u32) -> bool {
    let (format, place) = (store.format, store.geometry.page(sequence));
    let Ok(block) = store.read_block(place).await else {
        return false;
    };
    page_number(block, format, sequence).is_some()
}

/// The number of the page in `block`, if it is at least `least`.
fn page_number(block: &Block, format: FormatId, least: u32) -> Option<u32> {
    let header = header_of(block);
    (header.check(format).is_ok() && header.sequence() >= least).then(|| header.sequence())
}

/// The header of the page in `block`, not checked.
pub(crate) fn header_of(block: &Block) -> PageHeader {
    let mut header = PageHeader::new_zeroed();
    block.copy_to(0, header.as_mut_bytes());
    header
}

/// Reads the window that begins with page `first`. Returns the number after that of its newest
/// page, `None` if it holds none. Blocks at its beginning that cannot be read count as pages, so
/// that nothing is written to them.
///
/// # Errors
/// If no block of the window can be read.
async fn after_window<D: BlockDevice>(
    store: &mut Store<'_, D>,
    first: u32,
) -> Result<Option<u32>, MountError<D::Error>> {
    let window = MAX_RUN as u32;
    let mut after = None;
    let mut unreadable = 0;
    let mut offset = 0;
    while offset < window {
        let sequence = first.saturating_add(offset);
        let (blocks, result) = store
            .read_run(sequence, window.saturating_sub(offset))
            .await;
        // The command fails as a whole; its blocks are read one by one, as others may be readable.
        let blocks = if result.is_err() {
            blocks.get(..1).unwrap_or(blocks)
        } else {
            blocks
        };
        let result = match result {
            Err(_) => store.read_run(sequence, 1).await.1,
            ok => ok,
        };
        match result {
            Ok(()) => {
                let mut least = sequence;
                for block in blocks {
                    let found = page_number(block, store.format, least);
                    after = after.max(found.map(|page| page.saturating_add(1)));
                    least = least.saturating_add(1);
                }
            }
            Err(error) if unreadable == offset => {
                unreadable = unreadable.saturating_add(1);
                after = after.max(sequence.checked_add(1));
                if unreadable == window {
                    return Err(MountError::Device(error));
                }
            }
            Err(_) => {}
        }
        offset = offset.saturating_add((blocks.len() as u32).max(1));
    }
    Ok(after)
}

/// The newest boot that can have written pages: that of the last page. For each damaged page at the
/// end it is one more, as each may be of another boot and no number of a boot may be used again.
///
/// `by_us`: this system has written the last page. Then no boot is unknown to it, and a page that
/// cannot be read, now or ever, does not count: the present boot would get a second number.
async fn newest_boot<D: BlockDevice>(store: &mut Store<'_, D>, end: u32, by_us: bool) -> u32 {
    let mut damaged = 0;
    for back in 1..=BOOT_PAGES.min(end) {
        let (format, place) = (store.format, store.geometry.page(end.wrapping_sub(back)));
        if let Ok(block) = store.read_block(place).await {
            let header = header_of(block);
            if header.check(format).is_ok() {
                return header
                    .boot()
                    .max(store.ledger.boot())
                    .saturating_add(damaged);
            }
        }
        damaged = if by_us { 0 } else { back };
    }
    store.ledger.boot().saturating_add(damaged)
}
