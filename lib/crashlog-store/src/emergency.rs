//! The emergency write: log tail and crash record, straight from retained memory to the card.
//!
//! # In which order, and why
//!
//! 1. **Locate.** The location cache says where the log is; the card has to agree. Both copies of the ledger are read and
//!    must be successive states of the expected format, and the page that is next must not be there yet (or be the one
//!    that was on its way). A card that disagrees is searched from its partition table on; one without our partition is
//!    never written (M8).
//! 2. **Log tail**, at most 16 pages at a time, flushed: the newest lines come first, as they do not depend on anything
//!    else (P11). Pages whose write was interrupted by the crash have their numbers already and are written again, bit
//!    for bit the same.
//! 3. **Record**, header and segments, into a slot that is free by the newest ledger, flushed.
//! 4. **Commit**: the next ledger over the older copy, flushed. Until then there is no record, afterwards it is whole.
//!
//! Nothing that is durable is touched on the way, so the emergency write may itself be interrupted anywhere and begun
//! again: what was done is found done.
//!
//! Straight-line code over [`PolledDevice`]: every wait is the device's, and has its own bound. It needs about 1 KiB of
//! stack; the search, which a healthy system needs only in the first moments after power-on, needs more.

use crate::end::header_of;
use crate::pages::split_at_wrap;
use crate::prepare::{BASE_BLOCKS, Body, Extra};
use crate::search::{Search, SearchError, find_log_polled};
use crate::{MAX_RUN, MountError, Options, PartitionError, Polled};
use block_device::{Block, PolledDevice, Window, WindowError};
use crashlog_format::ledger::{Ledger, Plan};
use crashlog_format::{FormatId, Geometry, Outcome, Phase, Step};
use crashlog_retained::{Location, LogRing, Numbering, PendingPage, Region, StoredContext};

/// What is to be written, and where.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The retained region: log tail, location.
    pub region: &'a Region<'a>,
    /// The crash in its mailbox; `None` if that does not pass its check.
    pub crash: Option<&'a StoredContext<'a>>,
    /// What its location cache holds.
    pub location: Option<&'a Location>,
    /// Name of the partition, if it has to be searched for.
    pub partition: &'a str,
    /// How many unacknowledged records are never overwritten, if the partition has to be searched for.
    pub keep_first: u32,
    /// What the card driver wants to know next time; see [`Search::card`].
    pub card: &'a [u8],
    /// Segments beside message and stack; none in the minimal mode.
    pub extra: &'a [Extra<'a>],
    /// Memory that the device may transfer to and from and nobody else uses meanwhile: three blocks or more.
    pub scratch: &'a [Block],
}

/// Why the record is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The device failed.
    Device(E),
    /// There is no partition to write to.
    Partition(PartitionError<E>),
    /// The partition is not one of ours.
    Mount(MountError<E>),
    /// The crash context does not pass its check. The log tail is durable.
    Context,
    /// Every sequence number was used. The log tail is durable.
    Exhausted,
    /// An address lies outside the partition: a structure was damaged after it was checked.
    OutOfPartition,
}

/// The partition on the card: every address is checked before the device sees it (M7).
type Partition<'d, D> = Window<Polled<'d, D>>;

/// Where things are on the card, as far as writing needs it.
struct Place {
    first: u64,
    geometry: Geometry,
    format: FormatId,
    keep_first: u32,
    next_page: u32,
}

/// Writes log tail and record of the crash in the mailbox. `outcome` is brought up to date on the way, and noted in the
/// mailbox before each step that can hang. `ledger` is room for one, [`Ledger::ZERO`]: 512 bytes that need not be on the
/// stack. `look` adds to `outcome` what the device has met up to then, before that becomes part of the record.
///
/// # Errors
/// See [`Error`]; what `outcome` says was done is durable all the same.
pub fn write<D: PolledDevice>(
    device: &mut D,
    request: &Request<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
    look: impl Fn(&D, &mut Outcome),
) -> Result<(), Error<D::Error>> {
    let region = request.region;
    outcome.enter(Phase::Write);
    region.mailbox().set_outcome(outcome);
    let ring = LogRing::resume(region);
    let mut place = None;
    locate(device, request, &ring, ledger, &mut place)?;
    if place.is_none() {
        search(device, request, &ring, ledger, &mut place)?;
    }
    let Some(place) = &place else {
        return Err(Error::OutOfPartition);
    };
    outcome.finish(Step::Located);

    let window = Window::new_polled(Polled(device), place.first, place.geometry.blocks().into());
    let mut device = window.ok_or(Error::OutOfPartition)?;
    let next_page = write_tail(&mut device, place, region, &ring, outcome).map_err(failed)?;
    look(device.device().0, outcome);
    outcome.finish(Step::LogTail);
    region.mailbox().set_outcome(outcome);

    let changed = write_record(
        &mut device,
        request,
        place,
        next_page,
        &ring,
        ledger,
        outcome,
    )?;
    outcome.finish(Step::Record);

    if let ([block, ..], true) = (request.scratch, changed) {
        let to = place.geometry.ledger(ledger.generation());
        ledger.seal(place.format);
        block.copy_from(0, ledger.covered());
        device.write_reliable(to.into(), block).map_err(failed)?;
        count_blocks(outcome, 1);
    }
    // Also if the record was there already: the try that wrote it may not have come to this.
    device.flush().map_err(failed)?;
    outcome.finish(Step::Commit);
    outcome.enter(Phase::Complete);
    Ok(())
}

fn failed<E>(error: WindowError<E>) -> Error<E> {
    match error {
        WindowError::OutOfWindow => Error::OutOfPartition,
        WindowError::Device(error) => Error::Device(error),
    }
}

/// Takes the location from the cache, and the ledger from the card; finds no place if they do not fit together.
// By reference, as a result of its own would be on the stack to the path's end.
#[inline(never)]
fn locate<D: PolledDevice>(
    device: &mut D,
    request: &Request<'_>,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    place: &mut Option<Place>,
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

    // Each change of the ledger is one generation, in the other copy. Anything else needs a closer look.
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

    // The recorder notes pages as durable here first and then in the ring.
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
    let ours = ring.pending().is_some_and(|pending| {
        pending.number == Some(next_page) && header_of(pending.block) == there
    });
    *place = (!ahead || ours).then_some(Place {
        first,
        geometry,
        format,
        keep_first,
        next_page,
    });
    Ok(())
}

fn is_page(block: &Block, format: FormatId, number: u32) -> bool {
    let header = header_of(block);
    header.sequence() == number && header.check(format).is_ok()
}

/// Finds the log as the recorder does at its start.
#[inline(never)]
fn search<D: PolledDevice>(
    device: &mut D,
    request: &Request<'_>,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    place: &mut Option<Place>,
) -> Result<(), Error<D::Error>> {
    let search = Search {
        partition: request.partition,
        options: Options {
            keep_first: request.keep_first,
        },
        region: request.region,
        ring,
        card: request.card,
        scratch: request.scratch,
    };
    find_log_polled(device, &search, |partition, store| {
        ledger.clone_from(&store.ledger);
        *place = Some(Place {
            first: partition.first,
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
    })
}

/// Writes every page of the ring and makes it durable. Returns the number of the page behind them.
#[inline(never)]
fn write_tail<D: PolledDevice>(
    device: &mut D,
    place: &Place,
    region: &Region<'_>,
    ring: &LogRing<'_>,
    outcome: &mut Outcome,
) -> Result<u32, D::Error> {
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
    Ok(next_page)
}

/// Writes header and segments, unless the crash is a repetition, and enters it into the ledger. `false` if it was there
/// already: then the ledger is as it was, and must not be written over itself.
#[inline(never)]
fn write_record<D: PolledDevice>(
    device: &mut Partition<'_, D>,
    request: &Request<'_>,
    place: &Place,
    log_page: u32,
    ring: &LogRing<'_>,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
) -> Result<bool, Error<D::Error>> {
    let region = request.region;
    let stored = request.crash.ok_or(Error::Context)?;
    let in_this_boot = stored.context.boot == ring.boot();
    let body = Body {
        stored,
        late: None,
        outcome,
        boot_offset: region.boot_offset(),
        log_record: if in_this_boot { ring.accepted() } else { 0 },
        extra: request.extra,
    };
    let Place {
        geometry,
        format,
        keep_first,
        ..
    } = place;
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
    outcome.record = ledger.commit(prepared.plan, &prepared.crash).into();
    Ok(!matches!(prepared.plan, Plan::Known { .. }))
}

#[inline(never)]
fn write_body<D: PolledDevice>(
    device: &mut D,
    geometry: &Geometry,
    first: u32,
    base: &[Block],
    extra: &[Extra<'_>],
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

fn count_blocks(outcome: &mut Outcome, count: usize) {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    outcome.blocks = outcome.blocks.get().saturating_add(count).into();
}
