//! Log pages: one block of the stream ring each, a header and whole records.
//!
//! A record never spans pages and is padded to a multiple of four bytes. Its sequence number is not
//! stored: the records of a page are consecutive, and the page header has the number of the first.
//! The checksum over the records is not seeded with the format, so that it can be updated as they
//! arrive, before the card is known. The checksum of the page header, which is computed when the
//! page is written, is seeded and covers it.

use crate::{BLOCK_LEN, CheckError, Crc32c, FormatId, Level, Stream, VERSION};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// Length of the page header, in bytes.
pub const HEADER_LEN: usize = size_of::<PageHeader>();
/// Bytes that a page has for records.
pub const CAPACITY: usize = BLOCK_LEN - HEADER_LEN;
/// Length of the header of a record, in bytes.
pub const LOG_HEADER_LEN: usize = size_of::<RawLogHeader>();
/// Greatest length of the payload of a record, in bytes.
pub const MAX_PAYLOAD: usize = 256;
/// Offset of the first byte that the checksum covers: the one after the checksum.
const COVERED_FROM: usize = 8;

/// The first bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PageHeader {
    magic: U32,
    crc: U32,
    version: u8,
    reserved: u8,
    length: U16,
    sequence: U32,
    boot: U32,
    first_record: U32,
    records_crc: U32,
    reserved_word: U32,
}

impl PageHeader {
    /// First word: `CLPG`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLPG");

    /// The header of page `sequence`, with `length` bytes of records of boot `boot`. The first of
    /// them has the number `first_record`; `records_crc` is the checksum of all of them.
    #[must_use]
    pub fn new(
        format: FormatId,
        sequence: u32,
        boot: u32,
        first_record: u32,
        length: u16,
        records_crc: u32,
    ) -> Self {
        let words = Self::words(
            format.crc(),
            sequence,
            boot,
            first_record,
            length,
            records_crc,
        );
        zerocopy::transmute!(words.map(U32::new))
    }

    /// The words of the same header. `seed` is [`FormatId::crc`], which a writer of many pages
    /// computes only once.
    #[must_use]
    #[inline]
    pub fn words(
        seed: Crc32c,
        sequence: u32,
        boot: u32,
        first_record: u32,
        length: u16,
        records_crc: u32,
    ) -> [u32; HEADER_LEN / 4] {
        let version_and_length = u32::from(VERSION) | u32::from(length) << 16;
        let covered = [
            version_and_length,
            sequence,
            boot,
            first_record,
            records_crc,
            0,
        ];
        let crc = covered
            .iter()
            .fold(seed, |crc, word| crc.word(*word))
            .value();
        let [a, b, c, d, e, f] = covered;
        [Self::MAGIC, crc, a, b, c, d, e, f]
    }

    /// Checks the header, not the records.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(&self, format: FormatId) -> Result<(), CheckError> {
        if self.magic.get() != Self::MAGIC {
            return Err(CheckError::Magic(self.magic.get()));
        }
        if self.version != VERSION {
            return Err(CheckError::Version(self.version));
        }
        if self.crc.get() != self.checksum(format) {
            return Err(CheckError::Checksum);
        }
        if usize::from(self.length.get()) > CAPACITY {
            return Err(CheckError::Field);
        }
        Ok(())
    }

    fn checksum(&self, format: FormatId) -> u32 {
        let bytes = self.as_bytes().get(COVERED_FROM..).unwrap_or(&[]);
        format.crc().bytes(bytes).value()
    }

    /// Number of the page, from 0, since the partition was formatted.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence.get()
    }

    /// Number of the boot in which the records were accepted.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.boot.get()
    }

    /// Number of the first record, from 1 in its boot.
    #[must_use]
    pub const fn first_record(&self) -> u32 {
        self.first_record.get()
    }

    /// Length of the records, in bytes.
    #[must_use]
    pub const fn length(&self) -> u16 {
        self.length.get()
    }

    /// Checksum of the records.
    #[must_use]
    pub const fn records_crc(&self) -> u32 {
        self.records_crc.get()
    }
}

/// The header of a log record: the fields that its sender and the recorder set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHeader {
    /// The stream, which says how the payload is read.
    pub stream: Stream,
    /// Its importance.
    pub level: Level,
    /// Index of the task that sent it.
    pub task: u16,
    /// Number of records that this task had to drop just before this one.
    pub lost: u16,
    /// Time at which it was accepted, in milliseconds since the start of the boot.
    pub time: u64,
}

/// A [`LogHeader`] as on the card, with the length of the payload.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RawLogHeader {
    length: U16,
    task: U16,
    stream: u8,
    level: u8,
    lost: U16,
    time: U64,
}

impl LogHeader {
    /// The words of the header of a record with `length` bytes of payload.
    #[must_use]
    #[inline]
    pub fn to_words(&self, length: u16) -> [u32; 4] {
        let time = self.time;
        [
            u32::from(length) | u32::from(self.task) << 16,
            u32::from(self.stream as u8)
                | u32::from(self.level as u8) << 8
                | u32::from(self.lost) << 16,
            time as u32,
            (time >> 32) as u32,
        ]
    }

    /// The bytes of the header of a record with `length` bytes of payload.
    #[must_use]
    pub fn to_bytes(&self, length: u16) -> [u8; LOG_HEADER_LEN] {
        let mut bytes = [0; LOG_HEADER_LEN];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.to_words(length)) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Bytes in a page of a record with `payload` bytes of payload.
#[must_use]
pub const fn record_len(payload: usize) -> usize {
    LOG_HEADER_LEN.saturating_add(payload.saturating_add(3) & !3)
}

/// Task of the record whose header begins with this word, and its bytes in a page.
#[must_use]
#[inline]
pub const fn task_and_len(first_word: u32) -> (u16, usize) {
    let [a, b, c, d] = first_word.to_le_bytes();
    (
        u16::from_le_bytes([c, d]),
        record_len(u16::from_le_bytes([a, b]) as usize),
    )
}

/// A page whose header and records have passed their checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The page header.
    pub header: PageHeader,
    records: &'a [u8],
}

/// Why a block is not a page with undamaged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// A check of the header failed: nothing is known about the block.
    Header(CheckError),
    /// The header is undamaged, and the checksum of the records does not match.
    Records(PageHeader),
}

impl<'a> Page<'a> {
    /// Decodes and checks a block.
    ///
    /// # Errors
    /// Which part is damaged.
    pub fn parse(block: &'a [u8], format: FormatId) -> Result<Self, PageError> {
        Self::parse_with(block, format, |records| {
            Crc32c::new().bytes(records).value()
        })
    }

    /// The same for a program with a faster CRC-32C than this crate's, of which the records are
    /// most of the work: `crc` computes that of bytes, of no format.
    ///
    /// # Errors
    /// Which part is damaged.
    pub fn parse_with(
        block: &'a [u8],
        format: FormatId,
        crc: impl FnOnce(&[u8]) -> u32,
    ) -> Result<Self, PageError> {
        let (header, rest) = PageHeader::read_from_prefix(block)
            .map_err(|_| PageError::Header(CheckError::Field))?;
        header.check(format).map_err(PageError::Header)?;
        let records = rest
            .get(..usize::from(header.length()))
            .ok_or(PageError::Records(header))?;
        if crc(records) != header.records_crc() {
            return Err(PageError::Records(header));
        }
        Ok(Self { header, records })
    }

    /// Its records in order. They end at the first one that cannot be decoded; in a page whose
    /// checksum matches there is one only if the writer has a defect.
    #[must_use]
    pub const fn records(&self) -> LogRecords<'a> {
        LogRecords {
            rest: self.records,
            boot: self.header.boot(),
            sequence: self.header.first_record(),
        }
    }
}

/// A log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Number of the boot in which it was accepted.
    pub boot: u32,
    /// Number in that boot, from 1.
    pub sequence: u32,
    /// Stream, level, task, time, and number of records lost before it.
    pub header: LogHeader,
    /// The payload.
    pub payload: &'a [u8],
}

/// The records of a page; see [`Page::records`].
#[derive(Clone, Debug)]
pub struct LogRecords<'a> {
    rest: &'a [u8],
    boot: u32,
    sequence: u32,
}

impl LogRecords<'_> {
    /// The records in `bytes`, which begin with a whole record; the first has the number
    /// `sequence`.
    #[must_use]
    pub const fn new(bytes: &[u8], boot: u32, sequence: u32) -> LogRecords<'_> {
        LogRecords {
            rest: bytes,
            boot,
            sequence,
        }
    }

    /// Number of bytes that are not decoded yet: 0 after the last record of an undamaged page.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for LogRecords<'a> {
    type Item = LogRecord<'a>;

    fn next(&mut self) -> Option<LogRecord<'a>> {
        let (raw, rest) = RawLogHeader::read_from_prefix(self.rest).ok()?;
        let length = usize::from(raw.length.get());
        if length > MAX_PAYLOAD {
            return None;
        }
        let payload = rest.get(..length)?;
        let header = LogHeader {
            stream: raw.stream.try_into().ok()?,
            level: raw.level.try_into().ok()?,
            task: raw.task.get(),
            lost: raw.lost.get(),
            time: raw.time.get(),
        };
        let record = LogRecord {
            boot: self.boot,
            sequence: self.sequence,
            header,
            payload,
        };
        self.rest = self.rest.get(record_len(length)..)?;
        self.sequence = self.sequence.wrapping_add(1);
        Some(record)
    }
}

const _: () = assert!(HEADER_LEN == 32 && LOG_HEADER_LEN == 16);
