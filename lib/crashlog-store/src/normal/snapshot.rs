//! Snapshots in normal operation: the image that an emergency or an oops has left in retained RAM.

use crate::CrashWriteError;
use crate::snapshot::SnapshotPlace;
use crate::store::Store;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crash::CrashHeader;
use crashlog_format::ledger::CrashEntry;
use crashlog_format::snapshot::SnapshotHeader;
use crashlog_format::{FormatId, Geometry};
use crashlog_retained::Region;

/// How far the writing of an image has come. The default value is its beginning.
#[derive(Debug, Default)]
pub struct SnapshotProgress(Option<BegunSnapshot>);

/// An image of which blocks may be on the card.
#[derive(Clone, Copy, Debug)]
struct BegunSnapshot {
    /// Number of its crash.
    sequence: u32,
    place: SnapshotPlace,
    /// How many of its blocks are written.
    done: u32,
}

/// What has become of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStep {
    /// There is more to write.
    More,
    /// It is durable, with the crash that has this sequence number.
    Written(u32),
    /// It cannot be written: the partition is not written, or it is damaged, or of no crash on the
    /// card, or its crash was repeated before it, has a snapshot already, or has no room for it in
    /// its slot.
    Discarded,
}

impl<D: BlockDevice> Store<'_, D> {
    /// Writes the next blocks of the image in the dump area of `region`, at most 32 KiB. To be
    /// called with the same `progress` until it returns something else than [`SnapshotStep::More`];
    /// then the caller clears the area. Crashes and pages may be written, and crashes erased,
    /// between two calls.
    ///
    /// If it is dropped before its end, or the device fails, the snapshot is on the card or not,
    /// and can be written again from the beginning. Its crash is not touched.
    ///
    /// # Errors
    /// That of the device.
    pub async fn write_snapshot(
        &mut self,
        region: &Region<'_>,
        progress: &mut SnapshotProgress,
    ) -> Result<SnapshotStep, D::Error> {
        if self.refusal.is_some() {
            return Ok(SnapshotStep::Discarded);
        }
        self.refresh_ledger().await?;
        let mut begun = match progress.0 {
            Some(begun) => begun,
            None => match self.place_snapshot(region).await? {
                Some(begun) => begun,
                None => return Ok(SnapshotStep::Discarded),
            },
        };
        // The crash may have been erased, and its slot may hold another one.
        if self.ledger.by_sequence(begun.sequence).is_none() {
            return Ok(SnapshotStep::Discarded);
        }
        if begun.done == 0 {
            let (Some(mut header), Some(block)) =
                (region.snapshot().header(), self.scratch.first())
            else {
                return Ok(SnapshotStep::Discarded);
            };
            if header.boot.get() != region.boot() {
                header.set_late();
            }
            let offset = region.boot_offset();
            begun
                .place
                .fill_header(block, &mut header, begun.sequence, offset, self.format);
            let block = core::slice::from_ref(block);
            self.device.write(begun.place.first.into(), block).await?;
            begun.done = 1;
        }
        let run = begun.place.run(region.snapshot().blocks(), begun.done);
        if !run.is_empty() {
            let at = begun.place.first.saturating_add(begun.done);
            self.device.write(at.into(), run).await?;
            begun.done = begun.done.saturating_add(run.len() as u32);
        }
        progress.0 = Some(begun);
        if begun.done < begun.place.blocks {
            return Ok(SnapshotStep::More);
        }
        self.device.flush().await?;
        let noted = self.change_ledger(|ledger| ledger.note_snapshot(begun.sequence));
        match noted.await {
            Ok(()) => Ok(SnapshotStep::Written(begun.sequence)),
            Err(CrashWriteError::Device(error)) => Err(error),
            Err(
                CrashWriteError::Exhausted
                | CrashWriteError::NoSuchCrash
                | CrashWriteError::Refused,
            ) => Ok(SnapshotStep::Discarded),
        }
    }

    /// Finds the crash of the image in the dump area, and the place for it in the slot of the
    /// crash. The crash is recognised by boot, task and time in its header on the card.
    async fn place_snapshot(
        &mut self,
        region: &Region<'_>,
    ) -> Result<Option<BegunSnapshot>, D::Error> {
        let area = region.snapshot();
        let Some(image) = area.header().filter(|image| area.has_sound_tables(image)) else {
            return Ok(None);
        };
        let boot = image.boot.get().saturating_add(region.boot_offset());
        let mut index = self.crash_count();
        while let Some(next) = index.checked_sub(1) {
            index = next;
            let Some((slot, entry)) = self.ledger.by_age(index) else {
                break;
            };
            if self.ledger.has_snapshot(slot) || !may_be_of(entry, boot, &image) {
                continue;
            }
            let sequence = entry.sequence.get();
            let Some(first) = self.geometry.slot(slot) else {
                continue;
            };
            let block = self.read_block(first).await?;
            let Some(at) = room_behind(block, self.format, &self.geometry, sequence, boot, &image)
            else {
                continue;
            };
            let blocks = area.image(&image).len();
            let place = SnapshotPlace::new(&self.geometry, slot, at, &image, blocks);
            return Ok(place.map(|place| BegunSnapshot {
                sequence,
                place,
                done: 0,
            }));
        }
        Ok(None)
    }
}

/// The block of the slot behind the crash whose header is in `block`; `None` if the image is not of
/// this crash.
// Not inlined: the header and its segments would be in the frame of the future's function.
#[inline(never)]
fn room_behind(
    block: &Block,
    format: FormatId,
    geometry: &Geometry,
    sequence: u32,
    boot: u32,
    image: &SnapshotHeader,
) -> Option<u32> {
    let mut bytes = [0; BLOCK_LEN];
    block.copy_to(0, &mut bytes);
    let (header, segments) = CrashHeader::parse(&bytes, format, geometry.slot_blocks()).ok()?;
    let is_of = header.sequence.get() == sequence
        && header.boot.get() == boot
        && header.task == image.task
        && header.time == image.time;
    let segments = segments.get(..header.segments()).unwrap_or(&segments);
    is_of.then(|| CrashHeader::snapshot_block(segments))
}

/// Whether the image can be of the crash with this entry. If that was repeated, the entry has the
/// time of the last repetition, and only the header of the crash can tell.
fn may_be_of(entry: &CrashEntry, boot: u32, image: &SnapshotHeader) -> bool {
    let time = u32::try_from(image.time.get()).unwrap_or(u32::MAX);
    entry.repeats.get() > 0 || (entry.last_boot.get() == boot && entry.last_time.get() == time)
}
