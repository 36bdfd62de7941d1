//! Crashes in normal operation: writing, listing, reading, acknowledging, erasing.

use crate::prepare::{BASE_BLOCKS, CrashBody};
use crate::segment;
use crate::store::Store;
use block_device::{BLOCK_LEN, BlockDevice};
use crashlog_format::CheckError;
use crashlog_format::crash::{CrashHeader, Segment};
use crashlog_format::ledger::{CrashEntry, Ledger};

/// Why a crash was not written, acknowledged or erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashWriteError<E> {
    /// The device failed.
    Device(E),
    /// All sequence numbers have been used.
    Exhausted,
    /// No crash has this sequence number.
    NoSuchCrash,
    /// The partition is not written: see [`Store::write_refusal`].
    Refused,
}

/// Why a crash was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashReadError<E> {
    /// The device failed.
    Device(E),
    /// No crash has this sequence number, or the crash has no such segment.
    NoSuchCrash,
    /// Its header is damaged.
    Header(CheckError),
    /// The slot holds a crash with this sequence number instead of the one that the ledger names.
    Other(u32),
}

/// What the ledger holds of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Its sequence number.
    pub sequence: u32,
    /// How often the same crash was repeated.
    pub repeats: u32,
    /// Boot of the last repetition; of the crash itself if there was none.
    pub last_boot: u32,
    /// Time of it, in milliseconds since the start of that boot; 2^32 - 1 if it was later than
    /// that.
    pub last_time: u32,
    /// Whether it is acknowledged.
    pub acknowledged: bool,
}

/// Reads one crash: its header has passed its check, and its segments lie inside its slot.
///
/// It does not keep the crash on the card: after another crash was written, the bytes may be those
/// of that one.
#[derive(Clone, Copy, Debug)]
pub struct CrashReader {
    /// The header of the crash.
    pub header: CrashHeader,
    /// What the ledger held of it.
    pub tally: Tally,
    segments: [Segment; CrashHeader::MAX_SEGMENTS],
    /// First block of its slot.
    pub(crate) first: u32,
}

impl<D: BlockDevice> Store<'_, D> {
    /// Writes a crash and makes it durable, or counts it as a repetition. Returns the sequence
    /// number of the crash that is on the card.
    ///
    /// Idempotent: if the crash is on the card already, nothing is written. If this function is
    /// dropped before its end, or the device fails, the crash may be on the card or not, and it can
    /// be written again.
    ///
    /// # Errors
    /// See [`CrashWriteError`].
    pub async fn write_crash(
        &mut self,
        body: &CrashBody<'_>,
    ) -> Result<u32, CrashWriteError<D::Error>> {
        if self.refusal.is_some() {
            return Err(CrashWriteError::Refused);
        }
        self.refresh_ledger()
            .await
            .map_err(CrashWriteError::Device)?;
        let prepared = body
            .prepare(
                &self.ledger,
                self.keep_first,
                self.format,
                &self.geometry,
                self.next_page,
            )
            .map_err(|_| CrashWriteError::Exhausted)?;
        if let Some(slot) = prepared.plan.writes()
            && let Some(first) = self.geometry.slot(slot)
        {
            self.write_body(body, first, prepared.base_blocks)
                .await
                .map_err(CrashWriteError::Device)?;
        }
        let mut ledger = self.ledger.clone();
        let sequence = ledger.commit(prepared.plan, &prepared.crash);
        if ledger != self.ledger {
            self.write_ledger(&mut ledger)
                .await
                .map_err(CrashWriteError::Device)?;
        }
        self.boot = self.boot.max(prepared.crash.boot);
        Ok(sequence)
    }

    /// Writes header and segments and makes them durable; the ledger does not name them yet.
    async fn write_body(
        &mut self,
        body: &CrashBody<'_>,
        first: u32,
        base_blocks: usize,
    ) -> Result<(), D::Error> {
        let base = body.stored.crash_blocks().get(..base_blocks).unwrap_or(&[]);
        self.device.write(first.into(), base).await?;
        let mut at = BASE_BLOCKS;
        for extra in body.extra {
            let blocks = extra.written(at, self.geometry.slot_blocks());
            self.device
                .write(first.saturating_add(at).into(), blocks)
                .await?;
            at = at.saturating_add(blocks.len() as u32);
        }
        self.device.flush().await
    }

    /// Number of crashes on the card.
    #[must_use]
    pub fn crash_count(&self) -> u32 {
        self.ledger.len()
    }

    /// Number of crashes on the card that are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        self.ledger.unacknowledged()
    }

    /// What the ledger holds of the `index`-th crash, from 0, oldest first.
    #[must_use]
    pub fn tally(&self, index: u32) -> Option<Tally> {
        self.ledger
            .by_age(index)
            .map(|(slot, entry)| self.tally_of(slot, entry))
    }

    /// Sequence number of the newest crash (P4).
    #[must_use]
    pub fn newest_crash(&self) -> Option<u32> {
        let index = self.crash_count().checked_sub(1)?;
        self.tally(index).map(|tally| tally.sequence)
    }

    /// What the ledger holds of the last self-test.
    #[must_use]
    pub fn self_test(&self) -> Option<Tally> {
        let (slot, entry) = self.ledger.self_test()?;
        Some(self.tally_of(slot, entry))
    }

    fn tally_of(&self, slot: u32, entry: &CrashEntry) -> Tally {
        Tally {
            sequence: entry.sequence.get(),
            repeats: entry.repeats.get(),
            last_boot: entry.last_boot.get(),
            last_time: entry.last_time.get(),
            acknowledged: self.ledger.is_acknowledged(slot),
        }
    }

    /// Reads and checks the header of the crash, or of the self-test, with this sequence number.
    ///
    /// # Errors
    /// See [`CrashReadError`].
    pub async fn open_crash(
        &mut self,
        sequence: u32,
    ) -> Result<CrashReader, CrashReadError<D::Error>> {
        let self_test = || {
            let is_test = self.ledger.is_self_test(sequence);
            self.ledger.self_test().filter(|_| is_test)
        };
        let (slot, entry) = self
            .ledger
            .by_sequence(sequence)
            .or_else(self_test)
            .ok_or(CrashReadError::NoSuchCrash)?;
        let tally = self.tally_of(slot, entry);
        let first = self
            .geometry
            .slot(slot)
            .ok_or(CrashReadError::NoSuchCrash)?;
        let block = self
            .read_block(first)
            .await
            .map_err(CrashReadError::Device)?;
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let (header, segments) =
            CrashHeader::parse(&bytes, self.format, self.geometry.slot_blocks())
                .map_err(CrashReadError::Header)?;
        if header.sequence.get() != sequence {
            return Err(CrashReadError::Other(header.sequence.get()));
        }
        Ok(CrashReader {
            header,
            tally,
            segments,
            first,
        })
    }

    /// Acknowledges and erases a crash, or the self-test: its slot becomes free, and its sequence
    /// number is never used again (P9).
    ///
    /// If it is dropped before its end, or the device fails, the crash is on the card or erased.
    ///
    /// # Errors
    /// See [`CrashWriteError`].
    pub async fn erase(&mut self, sequence: u32) -> Result<(), CrashWriteError<D::Error>> {
        self.change_ledger(|ledger| ledger.erase(sequence)).await
    }

    /// Acknowledges a crash: it remains until its slot is needed, and is then overwritten before
    /// those that are not acknowledged.
    ///
    /// If it is dropped before its end, or the device fails, the crash is acknowledged or not.
    ///
    /// # Errors
    /// See [`CrashWriteError`].
    pub async fn acknowledge(&mut self, sequence: u32) -> Result<(), CrashWriteError<D::Error>> {
        self.change_ledger(|ledger| ledger.acknowledge(sequence))
            .await
    }

    /// Makes one change of the ledger durable; `change` returns whether there is such a crash.
    pub(super) async fn change_ledger(
        &mut self,
        change: impl FnOnce(&mut Ledger) -> bool,
    ) -> Result<(), CrashWriteError<D::Error>> {
        if self.refusal.is_some() {
            return Err(CrashWriteError::Refused);
        }
        self.refresh_ledger()
            .await
            .map_err(CrashWriteError::Device)?;
        let mut ledger = self.ledger.clone();
        if !change(&mut ledger) {
            return Err(CrashWriteError::NoSuchCrash);
        }
        self.write_ledger(&mut ledger)
            .await
            .map_err(CrashWriteError::Device)
    }
}

impl CrashReader {
    /// Its segments.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        self.segments
            .get(..self.header.segments())
            .unwrap_or(&self.segments)
    }

    /// Reads bytes of segment `index` from `offset` on, up to the end of their block or of `out`.
    /// Returns their number; 0 at the end of the segment and after it.
    ///
    /// # Errors
    /// See [`CrashReadError`].
    pub async fn read<D: BlockDevice>(
        &self,
        store: &mut Store<'_, D>,
        index: usize,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, CrashReadError<D::Error>> {
        let segment = self
            .segments()
            .get(index)
            .ok_or(CrashReadError::NoSuchCrash)?;
        let in_block = offset as usize % BLOCK_LEN;
        let left = segment.length().saturating_sub(offset) as usize;
        let count = left.min(BLOCK_LEN.saturating_sub(in_block)).min(out.len());
        let Some(out) = out.get_mut(..count).filter(|out| !out.is_empty()) else {
            return Ok(0);
        };
        // Inside the slot, as the parser has checked; so the sums do not overflow.
        let block = self
            .first
            .saturating_add(segment.block())
            .saturating_add(offset / BLOCK_LEN as u32);
        let block = store
            .read_block(block)
            .await
            .map_err(CrashReadError::Device)?;
        block.copy_to(in_block, out);
        Ok(count)
    }

    /// Whether the bytes of segment `index` match their checksum.
    ///
    /// # Errors
    /// See [`CrashReadError`].
    pub async fn check<D: BlockDevice>(
        &self,
        store: &mut Store<'_, D>,
        index: usize,
    ) -> Result<bool, CrashReadError<D::Error>> {
        let segment = self
            .segments()
            .get(index)
            .ok_or(CrashReadError::NoSuchCrash)?;
        segment::is_undamaged(&mut store.device, self.first, segment, store.scratch)
            .await
            .map_err(CrashReadError::Device)
    }
}
