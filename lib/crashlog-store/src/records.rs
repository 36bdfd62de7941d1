//! Crash records: writing, listing, reading, erasing.

use crate::prepare::{BASE_BLOCKS, Body};
use crate::store::{Store, read_one};
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::ledger::Entry;
use crashlog_format::record::{CrashHeader, Segment};
use crashlog_format::{CheckError, Crc32c};

/// Why a record was not written or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError<E> {
    /// The device failed.
    Device(E),
    /// Every sequence number was used.
    Exhausted,
    /// There is no record with that number.
    NoSuchRecord,
}

/// Why a record was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The device failed.
    Device(E),
    /// There is no such record or segment.
    NoSuchRecord,
    /// Its header does not hold together.
    Header(CheckError),
    /// The slot holds another record than the ledger says: this one.
    Other(u32),
}

/// What the ledger counts for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The record's sequence number.
    pub sequence: u32,
    /// How often the same crash came again.
    pub repeats: u32,
    /// Boot of the last time.
    pub last_boot: u32,
    /// Milliseconds from the start of that boot to the last time; 2^32 - 1 if it is more.
    pub last_time: u32,
    /// Was the record acknowledged?
    pub acknowledged: bool,
}

/// A record that was opened: its header, its segments, and where their bytes are.
#[derive(Clone, Copy, Debug)]
pub struct RecordReader {
    /// The header.
    pub header: CrashHeader,
    /// What is counted for it.
    pub tally: Tally,
    segments: [Segment; CrashHeader::MAX_SEGMENTS],
    pub(crate) first: u32,
}

impl<D: BlockDevice> Store<'_, D> {
    /// Writes the record of a crash and makes it durable, or counts it if it came before. Returns the sequence number of
    /// the record.
    ///
    /// # Errors
    /// See [`RecordError`]. After an error of the device the record may be there or not; trying again is safe.
    pub async fn write_record(&mut self, body: &Body<'_>) -> Result<u32, RecordError<D::Error>> {
        self.settle_ledger().await.map_err(RecordError::Device)?;
        let prepared = body
            .prepare(
                &self.ledger,
                self.keep_first,
                self.format,
                &self.geometry,
                self.next_page,
            )
            .map_err(|_| RecordError::Exhausted)?;
        if let Some(slot) = prepared.plan.writes()
            && let Some(first) = self.geometry.slot(slot)
        {
            self.write_body(body, first, prepared.base_blocks)
                .await
                .map_err(RecordError::Device)?;
        }
        let mut ledger = self.ledger.clone();
        let sequence = ledger.commit(prepared.plan, &prepared.crash);
        if ledger != self.ledger {
            self.write_ledger(&mut ledger)
                .await
                .map_err(RecordError::Device)?;
        }
        self.boot = self.boot.max(prepared.crash.boot);
        Ok(sequence)
    }

    async fn write_body(
        &mut self,
        body: &Body<'_>,
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

    /// Number of records.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.ledger.len()
    }

    /// What is counted for the `index`-th record, oldest first.
    #[must_use]
    pub fn tally(&self, index: u32) -> Option<Tally> {
        self.ledger
            .by_age(index)
            .map(|(slot, entry)| self.tally_of(slot, entry))
    }

    /// Sequence number of the newest record (P4).
    #[must_use]
    pub fn newest_record(&self) -> Option<u32> {
        let index = self.record_count().checked_sub(1)?;
        self.tally(index).map(|tally| tally.sequence)
    }

    /// What is known of the record of the last self-test.
    #[must_use]
    pub fn self_test(&self) -> Option<Tally> {
        let (slot, entry) = self.ledger.self_test()?;
        Some(self.tally_of(slot, entry))
    }

    fn tally_of(&self, slot: u32, entry: &Entry) -> Tally {
        Tally {
            sequence: entry.sequence.get(),
            repeats: entry.repeats.get(),
            last_boot: entry.last_boot.get(),
            last_time: entry.last_time.get(),
            acknowledged: self.ledger.is_acknowledged(slot),
        }
    }

    /// Opens the record with number `sequence`, be it of a crash or of a self-test.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn open_record(
        &mut self,
        sequence: u32,
    ) -> Result<RecordReader, ReadError<D::Error>> {
        let test = || {
            let is_test = self.ledger.is_self_test(sequence);
            self.ledger.self_test().filter(|_| is_test)
        };
        let (slot, entry) = self
            .ledger
            .by_sequence(sequence)
            .or_else(test)
            .ok_or(ReadError::NoSuchRecord)?;
        let tally = self.tally_of(slot, entry);
        let first = self.geometry.slot(slot).ok_or(ReadError::NoSuchRecord)?;
        let block = self.read_block(first).await.map_err(ReadError::Device)?;
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let (header, segments) =
            CrashHeader::parse(&bytes, self.format, self.geometry.slot_blocks())
                .map_err(ReadError::Header)?;
        if header.sequence.get() != sequence {
            return Err(ReadError::Other(header.sequence.get()));
        }
        Ok(RecordReader {
            header,
            tally,
            segments,
            first,
        })
    }

    /// Acknowledges and erases a record: its slot is free, its number is never used again (P9).
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn erase(&mut self, sequence: u32) -> Result<(), RecordError<D::Error>> {
        self.change_ledger(|ledger| ledger.erase(sequence)).await
    }

    /// Acknowledges a record: it stays until its slot is needed, and is then the first to go.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn acknowledge(&mut self, sequence: u32) -> Result<(), RecordError<D::Error>> {
        self.change_ledger(|ledger| ledger.acknowledge(sequence))
            .await
    }

    async fn change_ledger(
        &mut self,
        change: impl FnOnce(&mut crashlog_format::ledger::Ledger) -> bool,
    ) -> Result<(), RecordError<D::Error>> {
        self.settle_ledger().await.map_err(RecordError::Device)?;
        let mut ledger = self.ledger.clone();
        if !change(&mut ledger) {
            return Err(RecordError::NoSuchRecord);
        }
        self.write_ledger(&mut ledger)
            .await
            .map_err(RecordError::Device)
    }
}

impl RecordReader {
    /// Its segments.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        self.segments
            .get(..self.header.segments())
            .unwrap_or(&self.segments)
    }

    /// Reads bytes of segment `index` from `offset` on, up to the end of their block or of `out`. Returns how many; 0 at
    /// the end of the segment.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read<D: BlockDevice>(
        &self,
        store: &mut Store<'_, D>,
        index: usize,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, ReadError<D::Error>> {
        let segment = self.segments().get(index).ok_or(ReadError::NoSuchRecord)?;
        let in_block = offset as usize % BLOCK_LEN;
        let left = segment.length().saturating_sub(offset) as usize;
        let count = left.min(BLOCK_LEN.saturating_sub(in_block)).min(out.len());
        let Some(out) = out.get_mut(..count).filter(|out| !out.is_empty()) else {
            return Ok(0);
        };
        // Inside the slot, as it was parsed; the sums cannot overflow.
        let block = self
            .first
            .saturating_add(segment.block())
            .saturating_add(offset / BLOCK_LEN as u32);
        let block = store.read_block(block).await.map_err(ReadError::Device)?;
        block.copy_to(in_block, out);
        Ok(count)
    }

    /// Do the bytes of segment `index` match their checksum?
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn check<D: BlockDevice>(
        &self,
        store: &mut Store<'_, D>,
        index: usize,
    ) -> Result<bool, ReadError<D::Error>> {
        let segment = self.segments().get(index).ok_or(ReadError::NoSuchRecord)?;
        segment_holds(&mut store.device, self.first, segment, store.scratch)
            .await
            .map_err(ReadError::Device)
    }
}

/// Do the bytes of a segment of the record in the slot that begins at block `first` match their checksum?
pub(crate) async fn segment_holds<D: BlockDevice>(
    device: &mut D,
    first: u32,
    segment: &Segment,
    scratch: &[Block],
) -> Result<bool, D::Error> {
    let mut crc = Crc32c::new();
    let mut left = segment.length() as usize;
    let start = first.saturating_add(segment.block());
    for block in start..start.saturating_add(segment.blocks()) {
        let block = read_one(device, scratch, block).await?;
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let here = bytes.get(..left.min(BLOCK_LEN)).unwrap_or(&[]);
        crc = crc.bytes(here);
        left = left.saturating_sub(here.len());
    }
    Ok(crc.value() == segment.crc())
}
