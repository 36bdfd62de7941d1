//! The newest page of the stream ring, found by bisection; where damage leaves a doubt, by reading
//! the ring.
//!
//! "At the place of page n there is page n or a later one" is true up to the newest page and false
//! from there on. A page that is damaged, or that a loss of power has left out, looks like the end.
//! So the [`WINDOW`] behind an end is read: a page of this lap there means that the log goes on,
//! and the search does as well. It is the end for certain if pages of the lap before begin soon
//! behind it. In the first lap it is if there is no page at all, neither there nor at the end of
//! the ring, by which a reader of the whole ring would know it too.

use crate::problem::Problem;
use crate::ring::{Medium, PIECE};
use crate::terminal::Progress;
use block_device::BLOCK_LEN;
use crashlog_format::CheckError;
use crashlog_format::page::{Page, PageError};
use crashlog_store::{CHECKPOINT, MAX_RUN};
use std::ops::{ControlFlow, Range};

/// Number of pages behind an end that are read. It is more than [`scan`] reads before it takes the
/// first lap for over.
pub const WINDOW: u32 = 2 * PIECE;
/// So far behind an end a page of the lap before shows that nothing behind it was written: further
/// than a loss of power leaves pages out.
const GAP: u32 = 2 * MAX_RUN as u32;
/// Distance from the ledger's note, in pages, within which the end is searched first.
const REACH: u32 = 2 * CHECKPOINT;
/// Number of gaps that are passed before the whole ring is read instead.
const GAPS: u32 = 64;

/// The number behind that of the newest page; 0 if there is none. All pages before `written` are
/// written, says the ledger; `window` is [`WINDOW`].
pub fn find(medium: Medium<'_>, written: u32, window: u32) -> Result<u32, Problem> {
    match bisect(medium, written, window)? {
        Some(end) => Ok(end),
        None => read_all(medium, written),
    }
}

/// The same by bisection; `None` if damage leaves a doubt.
fn bisect(medium: Medium<'_>, written: u32, window: u32) -> Result<Option<u32>, Problem> {
    let mut low = written;
    for _ in 0..GAPS {
        low = end_from(medium, low)?;
        match behind(medium, low, window)? {
            Behind::Page(number) => low = number.saturating_add(1),
            Behind::Unknown => return Ok(None),
            Behind::Nothing => {
                let is_there = is_page_before(medium, low, window)?;
                return Ok(is_there.then_some(low));
            }
        }
    }
    Ok(None)
}

/// An end at or behind `low`.
fn end_from(medium: Medium<'_>, mut low: u32) -> Result<u32, Problem> {
    let mut reach = REACH;
    let mut high = loop {
        let probe = low.saturating_add(reach);
        if probe == u32::MAX || !is_there(medium, probe)? {
            break probe;
        }
        low = probe;
        reach = reach.saturating_mul(2);
    };
    while low < high {
        let middle = low.midpoint(high);
        if is_there(medium, middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Whether page `number`, or a later one, is at its place.
fn is_there(medium: Medium<'_>, number: u32) -> Result<bool, Problem> {
    let mut bytes = Vec::new();
    let block = medium.read(number, 1, &mut bytes)?;
    let there = medium.number_at(number, block);
    Ok(there.is_some_and(|there| there >= number))
}

/// What is behind an end.
enum Behind {
    /// This page: it is no end.
    Page(u32),
    /// Nothing of this lap.
    Nothing,
    /// Damage, perhaps of pages of this lap.
    Unknown,
}

fn behind(medium: Medium<'_>, end: u32, window: u32) -> Result<Behind, Problem> {
    let ring = medium.geometry.ring_pages();
    let numbers = end..end.saturating_add(window.min(ring));
    let mut newest = None;
    let mut is_of_lap_before = false;
    medium.forward(numbers, PIECE, &mut |number, block| {
        match medium.number_at(number, block) {
            Some(there) if there >= number => newest = newest.max(Some(there)),
            Some(_) => is_of_lap_before |= number - end >= GAP,
            None => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let last = ring - window.min(ring)..ring;
    Ok(match newest {
        Some(newest) => Behind::Page(newest),
        None if is_of_lap_before => Behind::Nothing,
        None if end <= last.start && !is_any_page(medium, last)? => Behind::Nothing,
        None => Behind::Unknown,
    })
}

/// Whether any page is at the places of these.
fn is_any_page(medium: Medium<'_>, numbers: Range<u32>) -> Result<bool, Problem> {
    let mut found = false;
    medium.forward(numbers, PIECE, &mut |number, block| {
        found |= medium.number_at(number, block).is_some();
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Whether any page is just before `end`, as it has to be unless the ledger is wrong.
fn is_page_before(medium: Medium<'_>, end: u32, window: u32) -> Result<bool, Problem> {
    let ring = medium.geometry.ring_pages();
    let mut found = false;
    let first = end.saturating_sub(window.min(ring));
    medium.forward(first..end, PIECE, &mut |number, block| {
        found |= medium.number_at(number, block) == Some(number);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The same by reading the ring.
fn read_all(medium: Medium<'_>, written: u32) -> Result<u32, Problem> {
    let mut progress = Progress::new(
        "looking for the end of the log",
        medium.geometry.ring_pages().into(),
    );
    let mut newest = None;
    let mut note = |number| newest = newest.max(Some(number));
    scan(
        medium,
        written,
        |done| progress.at(done),
        |block| match block {
            RingBlock::Page(page) => note(page.header.sequence()),
            RingBlock::Damaged(_, PageError::Records(header)) => note(header.sequence()),
            RingBlock::Damaged(..) => {}
        },
    )?;
    Ok(newest.map_or(0, |newest: u32| newest.saturating_add(1)))
}

/// A block of the ring.
pub enum RingBlock<'a> {
    /// It holds this undamaged page, at its place.
    Page(&'a Page<'a>),
    /// It should hold a page and does not: its position, and why.
    Damaged(u32, PageError),
}

/// Reads the ring from its first position on, to the end of the ring or, in the first lap, to the
/// end of the log. Calls `each` for each block that holds a page or should, and `progress` with the
/// number of blocks that are done. All pages before `written` are written, says the ledger.
pub fn scan(
    medium: Medium<'_>,
    written: u32,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(RingBlock<'_>),
) -> Result<(), Problem> {
    /// Number of blocks without a page after which a ring in its first lap ends. The recorder
    /// continues right after a damaged page, so a gap between pages is shorter.
    const END: u32 = 2048;
    let pages = medium.geometry.ring_pages();
    let mut second_lap = written >= pages;
    let mut last_page = written;
    let mut bytes = Vec::new();
    // Blocks behind the last page, in the first lap: damaged if another page comes behind them.
    let mut pending = Vec::new();
    let mut position = 0;
    while position < pages && (second_lap || position < last_page.saturating_add(END)) {
        let count = PIECE.min(pages - position);
        let read = medium.read(position, count, &mut bytes)?;
        for (position, block) in (position..).zip(read.chunks_exact(BLOCK_LEN)) {
            let parsed = medium.parse(block);
            let sequence = match &parsed {
                Ok(page) => Some(page.header.sequence()),
                Err(PageError::Records(header)) => Some(header.sequence()),
                Err(PageError::Header(_)) => None,
            };
            // A page at another position than that of its number does not belong to the ring.
            let sequence = sequence.filter(|sequence| sequence % pages == position);
            if let Some(sequence) = sequence {
                second_lap |= sequence >= pages;
                last_page = last_page.max(position.saturating_add(1));
                for (position, error) in pending.drain(..) {
                    each(RingBlock::Damaged(position, error));
                }
            }
            let error = match parsed {
                Ok(page) if sequence.is_some() => {
                    each(RingBlock::Page(&page));
                    continue;
                }
                Ok(_) => PageError::Header(CheckError::Field),
                Err(error) => error,
            };
            let is_page = matches!(error, PageError::Records(_));
            if is_page || second_lap || position < written {
                each(RingBlock::Damaged(position, error));
            } else {
                pending.push((position, error));
            }
        }
        position += count;
        progress(position.into());
    }
    // In the first lap no block after the last page holds a page.
    if second_lap {
        for (position, error) in pending {
            each(RingBlock::Damaged(position, error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
