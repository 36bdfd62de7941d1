//! The snapshot of a crash that [`write`](super::write) has made durable.

use super::{Error, failed};
use crate::Polled;
use crate::prepare::{ExtraSegment, body_blocks};
use crate::snapshot::SnapshotPlace;
use block_device::{Block, PolledDevice, Window};
use crashlog_format::ledger::Ledger;
use crashlog_retained::{Location, Region, SnapshotArea, StoredContext};

/// What is written, and where to.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotRequest<'a> {
    /// The retained region, with the image.
    pub region: &'a Region<'a>,
    /// The crash that was written.
    pub crash: &'a StoredContext<'a>,
    /// Its sequence number, as [`write`](super::write) has put it into the outcome.
    pub sequence: u32,
    /// Where the log is: the location cache after [`write`](super::write).
    pub location: &'a Location,
    /// The segments that were written with the crash.
    pub extra: &'a [ExtraSegment<'a>],
    /// Memory for transfers, one block or more; nothing else may use it meanwhile.
    pub scratch: &'a [Block],
}

/// Writes the image in the dump area behind its crash, and enters it into the ledger. `ledger` is
/// as [`write`](super::write) has left it: the newest one on the card.
///
/// Returns whether the snapshot is durable. `false` if nothing was written: there is no image of
/// this crash, its slot has no room for the image's tables, the crash was counted as a repetition
/// of another, or it has a snapshot already. What does not fit into the slot is left out, and the
/// header on the card says so.
///
/// The image in the dump area remains as it is. The number of requests is bounded by the length of
/// the slot, the time of each by the device.
///
/// # Errors
/// See [`Error`]. The crash is durable all the same.
pub fn write_snapshot<D: PolledDevice>(
    device: &mut D,
    request: &SnapshotRequest<'_>,
    ledger: &mut Ledger,
) -> Result<bool, Error<D::Error>> {
    let Location {
        first, geometry, ..
    } = request.location;
    let Some((header, _)) = request.scratch.split_first() else {
        return Ok(false);
    };
    let Some((place, image)) = prepare(request, ledger, header) else {
        return Ok(false);
    };
    let window = Window::new_polled(Polled(device), *first, geometry.blocks().into());
    let mut device = window.ok_or(Error::OutOfPartition)?;
    let mut run = core::slice::from_ref(header);
    let mut done = 0;
    while !run.is_empty() {
        let at = place.first.saturating_add(done);
        device.write(at.into(), run).map_err(failed)?;
        done = done.saturating_add(run.len() as u32);
        run = place.run(image, done);
    }
    device.flush().map_err(failed)?;

    if !ledger.note_snapshot(request.sequence) {
        return Ok(false);
    }
    ledger.seal(request.location.format);
    header.copy_from(0, ledger.covered());
    let to = geometry.ledger(ledger.generation());
    device.write_reliable(to.into(), header).map_err(failed)?;
    device.flush().map_err(failed)?;
    Ok(true)
}

/// Finds the image and its place, and fills in its header on the card.
// Not inlined: its variables need not be on the stack while the device works.
#[inline(never)]
fn prepare<'a>(
    request: &SnapshotRequest<'a>,
    ledger: &Ledger,
    block: &Block,
) -> Option<(SnapshotPlace, &'a [Block])> {
    let area = request.region.snapshot();
    let mut header = area.header()?;
    let (slot, entry) = ledger.by_sequence(request.sequence)?;
    // The slot of a repetition holds the first of the crashes that are equal.
    let is_first = entry.repeats.get() == 0;
    if !SnapshotArea::is_of(&header, &request.crash.context)
        || !is_first
        || ledger.has_snapshot(slot)
    {
        return None;
    }
    let geometry = &request.location.geometry;
    let image = area.image(&header);
    let at = body_blocks(request.extra, geometry.slot_blocks());
    let place = SnapshotPlace::new(geometry, slot, at, &header, image.len())?;
    place.fill_header(
        block,
        &mut header,
        request.sequence,
        request.region.boot_offset(),
        request.location.format,
    );
    Some((place, image))
}
