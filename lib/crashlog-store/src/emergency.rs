//! The emergency write: crash and log tail, from the retained region to the card.
//!
//! # In which order, and why
//!
//! 1. **Locate.** The location cache says where the log is, and the card has to confirm it: both
//!    copies of the ledger must be successive states of the expected format, and the place of the
//!    next page must not hold that page or a later one, unless it is the page whose write the crash
//!    interrupted. If the card does not confirm it, the log is searched from the GPT on; a card
//!    without a crashlog partition is never written (M8), and neither is one that table and
//!    superblocks do not agree on (X12). The cache only ever has a partition that is written.
//! 2. **Flush**, so that what was read is durable: a ledger, or pages, that normal operation has
//!    written may still be in the card's cache. Overwriting what they have made free, or the other
//!    copy, before they are durable could destroy durable crashes.
//! 3. **Crash**: header and segments, into a slot that the newest ledger has as free, flushed.
//! 4. **Commit**: the next ledger over the older copy, flushed. Before this there is no crash on
//!    the card, after it the crash is whole, and the mailbox says so. It took two writes: the fault
//!    comes first, because a card may be slow (P11).
//! 5. **Log tail**, at most 16 pages at a time, each run flushed. Pages whose write the crash
//!    interrupted already have numbers, and are written again with the same bytes. The crash is not
//!    written again: its header has the number of the last record before it, and of the page after
//!    the tail. So the tail belongs to it as soon as it is on the card, whoever writes it: if this
//!    path does not come to its end the pages stay in the ring, and the next boot writes them
//!    before its own.
//!
//! After that, if the supervisor has made an image of the system's memory, [`write_snapshot`]
//! writes it behind the crash.
//!
//! No step overwrites anything that is durable. So the emergency write is idempotent: it may be
//! interrupted anywhere and done again from the beginning.
//!
//! It is sequential code over [`PolledDevice`]. All waiting is done by the device, with a deadline
//! for each wait. It needs about 1 KiB of stack. The search needs more; it is only done if the
//! system crashes before it has mounted the card, or if the card contradicts the location cache.

mod medium;
mod snapshot;

pub use medium::{EmergencyMedium, KnownMedium, prepare, write_and_complete};
pub use snapshot::{SnapshotRequest, write_snapshot};

use crate::end::header_of;
use crate::prepare::{BASE_BLOCKS, CrashBody, ExtraSegment};
use crate::ring::split_at_wrap;
use crate::search::{Search, SearchError, find_log_polled};
use crate::{MAX_RUN, MountError, PartitionError, Polled, StoreOptions, WriteRefusal};
use block_device::{Block, PolledDevice, Window, WindowError};
use crashlog_format::ledger::{CrashPlan, Ledger};
use crashlog_format::{EmergencyStep, FormatId, Geometry, Outcome, OutcomePhase};
use crashlog_retained::{Location, LogRing, Numbering, PendingPage, Region, StoredContext};

/// What is written, and where to.
#[derive(Clone, Copy, Debug)]
pub struct EmergencyRequest<'a> {
    /// The retained region, with the log tail.
    pub region: &'a Region<'a>,
    /// The crash in its mailbox; `None` if it fails its check.
    pub crash: Option<&'a StoredContext<'a>>,
    /// The contents of its location cache; `None` if it is empty or fails its check.
    pub location: Option<&'a Location>,
    /// Name of the partition, for the search.
    pub partition: &'a str,
    /// Number of unacknowledged crashes that are never overwritten, for the search.
    pub keep_first: u32,
    /// What the card driver needs for the next start; see [`Search::card`].
    pub card: &'a [u8],
    /// Segments beside message and stack; none in the minimal mode.
    pub extra: &'a [ExtraSegment<'a>],
    /// Memory for transfers, three blocks or more; nothing else may use it meanwhile.
    pub scratch: &'a [Block],
}

/// Why the crash is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The device failed.
    Device(E),
    /// There is no partition that may be written.
    Partition(PartitionError<E>),
    /// The partition could not be mounted.
    Mount(MountError<E>),
    /// The crash context fails its check. The log tail was written.
    Context,
    /// All sequence numbers have been used. The log tail was written.
    Exhausted,
    /// The partition was found, and is not written (X12). Nothing was.
    Refused(WriteRefusal),
    /// A block outside the partition was addressed, and not accessed: a structure was damaged after
    /// its check.
    OutOfPartition,
}

/// The partition on the card: a block outside of it is refused before the device gets the request
/// (M7).
type PartitionWindow<'d, D> = Window<Polled<'d, D>>;

/// Where on the card the log is: proves that the card has confirmed it, or that the search has
/// found it.
struct LogPlace {
    first: u64,
    geometry: Geometry,
    format: FormatId,
    keep_first: u32,
    next_page: u32,
}

/// Writes the crash in the mailbox, and the log tail.
///
/// `outcome` is updated after each step, and copied to the mailbox at the beginning and when the
/// crash is durable. `ledger` is memory for a ledger, [`Ledger::ZERO`], an out-parameter because
/// its 512 bytes need not be on the stack. `look` adds what the device has met so far to `outcome`,
/// before that is written as part of the crash header.
///
/// # Errors
/// See [`Error`]. The steps that `outcome` has as done are durable in any case. If the crash is
/// durable and the log tail is not, that is no error: [`EmergencyStep::LogTail`] is then missing.
pub fn write<D: PolledDevice>(
    device: &mut D,
    request: &EmergencyRequest<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
    look: impl Fn(&D, &mut Outcome),
) -> Result<(), Error<D::Error>> {
    let region = request.region;
    outcome.enter(OutcomePhase::Write);
    region.mailbox().set_outcome(outcome);
    let ring = LogRing::resume(region);
    let mut place = None;
    locate(device, request, &ring, ledger, &mut place)?;
    if place.is_some() {
        // What was read may be in the card's cache only. (The search flushes before it reads.)
        device.flush().map_err(Error::Device)?;
    } else {
        search(device, request, &ring, ledger, &mut place)?;
    }
    let Some(place) = &place else {
        return Err(Error::OutOfPartition);
    };
    outcome.finish(EmergencyStep::Located);
    look(device, outcome);

    let window = Window::new_polled(Polled(device), place.first, place.geometry.blocks().into());
    let mut device = window.ok_or(Error::OutOfPartition)?;
    let written = write_crash(&mut device, request, place, &ring, ledger, outcome);
    if let Err(Error::Device(_) | Error::OutOfPartition) = written {
        return written;
    }
    // Also without a crash: the newest lines are needed all the more.
    if write_tail(&mut device, place, region, &ring, outcome).is_ok() {
        outcome.finish(EmergencyStep::LogTail);
    }
    outcome.enter(OutcomePhase::Complete);
    written
}

/// The error of the window, as an error of the emergency write.
fn failed<E>(error: WindowError<E>) -> Error<E> {
    match error {
        WindowError::OutOfWindow => Error::OutOfPartition,
        WindowError::Device(error) => Error::Device(error),
    }
}

/// Takes the location from the cache and the newest ledger from the card. `place` remains `None` if
/// they contradict each other.
// An out-parameter: a returned value would be on the stack until the end of the path.
#[inline(never)]
fn locate<D: PolledDevice>(
    device: &mut D,
    request: &EmergencyRequest<'_>,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    place: &mut Option<LogPlace>,
) -> Result<(), Error<D::Error>> {
    let next_page = request.region.location().next_page();
    let (Some(location), Some(next_page)) = (request.location, next_page) else {
        return Ok(());
    };
    let Location {
        first,
        geometry,
        format,
        keep_first,
        ..
    } = *location;
    let [even, odd, page, ..] = request.scratch else {
        return Ok(());
    };
    let Some(mut window) = Window::new_polled(Polled(device), first, geometry.blocks().into())
    else {
        return Ok(());
    };
    let mut read = |at: u32, to| {
        window
            .read(at.into(), core::slice::from_ref(to))
            .map_err(failed)
    };
    read(geometry.ledger(0), even)?;
    read(geometry.ledger(1), odd)?;
    read(geometry.page(next_page), page)?;

    // Each change of the ledger is one generation, in the other copy. For anything else the search
    // is needed.
    let [a, b] = [even, odd].map(|block| block.word(Ledger::GENERATION_WORD));
    let (newest, other) = match b.wrapping_sub(a).cast_signed() {
        1 => (odd, even),
        -1 => (even, odd),
        _ => return Ok(()),
    };
    ledger.load(|offset, out| newest.copy_to(offset, out));
    if other.word(0) != Ledger::MAGIC || ledger.check(format, &geometry).is_err() {
        return Ok(());
    }

    // Normal operation notes durable pages first in the location cache and then in the ring.
    for _ in 0..ring.pages() {
        match ring.pending() {
            Some(PendingPage {
                block,
                number: Some(number),
            }) if number < next_page && is_page(block, format, number) => {
                ring.release(1);
            }
            _ => break,
        }
    }
    let there = header_of(page);
    let ahead = there.check(format).is_ok() && there.sequence() >= next_page;
    let interrupted = ring.pending().is_some_and(|pending| {
        pending.number == Some(next_page) && header_of(pending.block) == there
    });
    *place = (!ahead || interrupted).then_some(LogPlace {
        first,
        geometry,
        format,
        keep_first,
        next_page,
    });
    Ok(())
}

/// Whether `block` holds page `number`.
fn is_page(block: &Block, format: FormatId, number: u32) -> bool {
    let header = header_of(block);
    header.sequence() == number && header.check(format).is_ok()
}

/// Finds the log as normal operation does at its start.
#[inline(never)]
fn search<D: PolledDevice>(
    device: &mut D,
    request: &EmergencyRequest<'_>,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    place: &mut Option<LogPlace>,
) -> Result<(), Error<D::Error>> {
    let search = Search {
        partition: request.partition,
        options: StoreOptions {
            keep_first: request.keep_first,
        },
        region: request.region,
        ring,
        card: request.card,
        scratch: request.scratch,
    };
    find_log_polled(device, &search, |first, store| {
        ledger.clone_from(&store.ledger);
        *place = Some(LogPlace {
            first,
            geometry: store.geometry,
            format: store.format,
            keep_first: store.keep_first,
            next_page: store.next_page,
        });
    })
    .map_err(|error| match error {
        SearchError::Partition(error) => Error::Partition(error),
        SearchError::Mount(error) => Error::Mount(error),
        SearchError::Device(error) => Error::Device(error),
        SearchError::OutOfPartition => Error::OutOfPartition,
        SearchError::Refused(refusal) => Error::Refused(refusal),
    })
}

/// Writes all pages of the log ring and makes them durable.
#[inline(never)]
fn write_tail<D: PolledDevice>(
    device: &mut D,
    place: &LogPlace,
    region: &Region<'_>,
    ring: &LogRing<'_>,
    outcome: &mut Outcome,
) -> Result<(), D::Error> {
    let boot_offset = region.boot_offset();
    let geometry = &place.geometry;
    let mut next_page = place.next_page;
    for _ in 0..ring.pages() {
        let numbering = Numbering {
            format: place.format,
            next_page,
            boot_offset,
        };
        let Some(run) = ring.next_run(&numbering, MAX_RUN) else {
            break;
        };
        let (before, after) = split_at_wrap(geometry, next_page, run.blocks);
        device.write(geometry.page(next_page).into(), before)?;
        if !after.is_empty() {
            device.write(geometry.ring_first().into(), after)?;
        }
        device.flush()?;
        let count = run.blocks.len();
        next_page = next_page.saturating_add(count as u32);
        region.location().set_next_page(next_page);
        ring.release(count);
        count_blocks(outcome, count);
        outcome.pages = outcome.pages.get().saturating_add(count as u16).into();
    }
    Ok(())
}

/// Makes the crash durable: writes header and segments, unless it is a repetition, and the ledger
/// with it.
#[inline(never)]
fn write_crash<D: PolledDevice>(
    device: &mut PartitionWindow<'_, D>,
    request: &EmergencyRequest<'_>,
    place: &LogPlace,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
) -> Result<(), Error<D::Error>> {
    let changed = write_segments(device, request, place, ring, ledger, outcome)?;
    outcome.finish(EmergencyStep::Crash);
    if let ([block, ..], true) = (request.scratch, changed) {
        let to = place.geometry.ledger(ledger.generation());
        ledger.seal(place.format);
        block.copy_from(0, ledger.covered());
        device.write_reliable(to.into(), block).map_err(failed)?;
        count_blocks(outcome, 1);
    }
    // Also if the crash was committed already: the try that did it may have been interrupted before
    // its flush.
    device.flush().map_err(failed)?;
    outcome.finish(EmergencyStep::Commit);
    let mailbox = request.region.mailbox();
    mailbox.set_outcome(outcome);
    mailbox.commit();
    Ok(())
}

/// Writes header and segments, unless the crash is a repetition, and enters the crash into
/// `ledger`. `false` if it was committed already: the ledger is then unchanged, and must not be
/// written, as that would overwrite its newest copy.
#[inline(never)]
fn write_segments<D: PolledDevice>(
    device: &mut PartitionWindow<'_, D>,
    request: &EmergencyRequest<'_>,
    place: &LogPlace,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
) -> Result<bool, Error<D::Error>> {
    let region = request.region;
    let stored = request.crash.ok_or(Error::Context)?;
    let in_this_boot = stored.context.boot == ring.boot();
    let body = CrashBody {
        stored,
        late: None,
        outcome,
        boot_offset: region.boot_offset(),
        log_record: if in_this_boot { ring.accepted() } else { 0 },
        extra: request.extra,
    };
    let LogPlace {
        geometry,
        format,
        keep_first,
        ..
    } = place;
    let log_page = place.next_page.saturating_add(ring.closed_pages());
    let Ok(prepared) = body.prepare(ledger, *keep_first, *format, geometry, log_page) else {
        return Err(Error::Exhausted);
    };
    if let Some(slot) = prepared.plan.writes() {
        let first = geometry.slot(slot).ok_or(Error::OutOfPartition)?;
        let base = stored
            .crash_blocks()
            .get(..prepared.base_blocks)
            .unwrap_or(&[]);
        write_body(device, geometry, first, base, request.extra, outcome).map_err(failed)?;
    }
    outcome.sequence = ledger.commit(prepared.plan, &prepared.crash).into();
    Ok(!matches!(prepared.plan, CrashPlan::Known { .. }))
}

/// Writes header and segments and makes them durable.
#[inline(never)]
fn write_body<D: PolledDevice>(
    device: &mut D,
    geometry: &Geometry,
    first: u32,
    base: &[Block],
    extra: &[ExtraSegment<'_>],
    outcome: &mut Outcome,
) -> Result<(), D::Error> {
    device.write(first.into(), base)?;
    count_blocks(outcome, base.len());
    let mut at = BASE_BLOCKS;
    for extra in extra {
        let blocks = extra.written(at, geometry.slot_blocks());
        device.write(first.saturating_add(at).into(), blocks)?;
        at = at.saturating_add(blocks.len() as u32);
        count_blocks(outcome, blocks.len());
    }
    device.flush()
}

/// Adds to the number of blocks written.
fn count_blocks(outcome: &mut Outcome, count: usize) {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    outcome.blocks = outcome.blocks.get().saturating_add(count).into();
}
