//! Finding the end of the stream.
//!
//! Pages are written in the order of their numbers and each number has its place, so "page n is there, or a later one
//! in its place" is true up to some n and false from there on: bisection finds it. Two things disturb that. Within one
//! run a power cut can leave gaps with pages behind them; and any page can be damaged. Both look like an end. So the
//! [`MAX_RUN`] pages behind each end are read, too: if a page is among them, it was none, and the search goes on behind
//! it. An end that was a gap far back in the stream is found out in the same way: pages follow it.

use crate::MAX_RUN;
use crate::store::{MountError, Store};
use block_device::{Block, BlockDevice};
use crashlog_format::FormatId;
use crashlog_format::page::PageHeader;
use zerocopy::{FromZeros, IntoBytes};

/// How far from the ledger's note the end is looked for first: a power of two, twice what is written between two
/// notes.
const REACH: u32 = 2 * crate::CHECKPOINT;
/// How many false ends are passed before giving up. Each is a gap that a power cut or damage left.
const MAX_GAPS: u32 = 4096;
/// How many pages before the end are asked for their boot if the last is damaged.
const BOOT_PAGES: u32 = 8;

/// The end of the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// Number of the next page to be written.
    pub next_page: u32,
    /// No later boot has written pages.
    pub boot: u32,
}

impl End {
    pub(crate) async fn find<D: BlockDevice>(
        store: &mut Store<'_, D>,
    ) -> Result<Self, MountError<D::Error>> {
        let mut low = store.ledger.next_page();
        for _ in 0..MAX_GAPS {
            low = bisect(store, low).await;
            match behind_window(store, low).await? {
                Some(behind) => low = behind,
                None if low == u32::MAX => return Err(MountError::Exhausted),
                None => {
                    let boot = newest_boot(store, low).await;
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

/// An end at or after `low`: the page is not there, the one before is (or it is `low`).
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

/// Is page `sequence` there, or a later one in its place? A page that cannot be read is not; if that is wrong, the
/// window shows it.
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

pub(crate) fn header_of(block: &Block) -> PageHeader {
    let mut header = PageHeader::new_zeroed();
    block.copy_to(0, header.as_mut_bytes());
    header
}

/// Reads the window that begins with page `first`: the number behind the newest page that is there, `None` if none is.
/// Blocks at its beginning that cannot be read are passed, so that writing goes on behind them.
///
/// # Errors
/// If no block of the window can be read.
async fn behind_window<D: BlockDevice>(
    store: &mut Store<'_, D>,
    first: u32,
) -> Result<Option<u32>, MountError<D::Error>> {
    let window = MAX_RUN as u32;
    let mut behind = None;
    let mut unreadable = 0;
    let mut offset = 0;
    while offset < window {
        let sequence = first.saturating_add(offset);
        let (blocks, result) = store
            .read_run(sequence, window.saturating_sub(offset))
            .await;
        // A command fails as a whole; block by block the rest can still be had.
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
                    behind = behind.max(found.map(|page| page.saturating_add(1)));
                    least = least.saturating_add(1);
                }
            }
            Err(error) if unreadable == offset => {
                unreadable = unreadable.saturating_add(1);
                behind = behind.max(sequence.checked_add(1));
                if unreadable == window {
                    return Err(MountError::Device(error));
                }
            }
            Err(_) => {}
        }
        offset = offset.saturating_add((blocks.len() as u32).max(1));
    }
    Ok(behind)
}

/// The newest boot that can have written pages: that of the last page. If that is damaged, one more for each page
/// looked at in vain: no number of a boot is used twice.
async fn newest_boot<D: BlockDevice>(store: &mut Store<'_, D>, end: u32) -> u32 {
    let mut vain = 0;
    for back in 1..=BOOT_PAGES.min(end) {
        let (format, place) = (store.format, store.geometry.page(end.wrapping_sub(back)));
        if let Ok(block) = store.read_block(place).await {
            let header = header_of(block);
            if header.check(format).is_ok() {
                return header.boot().max(store.ledger.boot()).saturating_add(vain);
            }
        }
        vain = back;
    }
    store.ledger.boot().saturating_add(vain)
}
