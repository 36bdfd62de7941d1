//! Manages dump areas: which are free, and writing and reading of dumps.

use crate::{
    DUMP_AREA_SIZE, DUMP_MAGIC, DUMP_SEGMENT_PAD, DUMP_UNINITIALIZED, DUMPER_JEFE, DUMPER_NONE,
    DumpArea, DumpAreaHeader, DumpAreaRegion, DumpContents, DumpLzss, DumpSegmentData,
    DumpSegmentHeader, DumpTask, Memory,
};
use lzss::{SliceReader, SliceWriter};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of memory in one piece of a segment.
const PIECE: usize = 192;
/// Longest compressed piece: nine bits for each byte.
const COMPRESSED: usize = PIECE + PIECE / 8;
/// How many bytes are read at a time.
pub const READ_LEN: usize = 256;

const HEADER_LEN: u32 = size_of::<DumpAreaHeader>() as u32;
const SEGMENT_LEN: u32 = size_of::<DumpSegmentHeader>() as u32;

/// Why an operation on areas has failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// There is no area with this index, or its header is not valid.
    InvalidArea,
    /// Too few areas are free.
    NoneFree,
    /// No dump of the whole system is being prepared in the area.
    NotClaimed,
    /// The address of a segment is not aligned.
    UnalignedAddress,
    /// The length of a segment is not a multiple of 4.
    UnalignedLength,
    /// There are too many segments for one area.
    TooManySegments,
    /// The memory to be dumped could not be read.
    Read,
    /// The offset is not a multiple of [`READ_LEN`].
    UnalignedOffset,
    /// The offset is behind the end of what was written.
    BeyondEnd,
}

/// The memory that is to be dumped.
pub trait Source {
    /// Copies memory from `address` on to `to`. Returns how many bytes could be read.
    fn read(&mut self, address: u32, to: &mut [u8]) -> usize;
}

/// The areas of some regions of memory. There are at most 256: their index in messages is a byte.
#[derive(Debug)]
pub struct Areas<'a, M> {
    regions: &'a [DumpAreaRegion],
    memory: M,
}

impl<'a, M: Memory> Areas<'a, M> {
    /// The areas of `regions`, which lie in `memory`. Nothing is written.
    pub const fn new(regions: &'a [DumpAreaRegion], memory: M) -> Self {
        Self { regions, memory }
    }

    /// Where the area with this index is; `None` if there is none.
    #[must_use]
    pub fn place(&self, index: u8) -> Option<DumpAreaRegion> {
        let mut left = u32::from(index);
        for region in self.regions {
            let here = region.length / DUMP_AREA_SIZE;
            if left < here {
                let offset = left.checked_mul(DUMP_AREA_SIZE)?;
                return Some(DumpAreaRegion {
                    address: region.address.checked_add(offset)?,
                    length: DUMP_AREA_SIZE,
                });
            }
            left = left.wrapping_sub(here);
        }
        None
    }

    /// Initialises every area: all are free.
    pub fn initialize(&mut self) {
        // It fails only if there are no areas.
        let _ = self.initialize_from(0);
    }

    /// Initialises an area and all behind it: they are free.
    ///
    /// # Errors
    ///
    /// If there is no area with this index.
    pub fn initialize_from(&mut self, index: u8) -> Result<(), Error> {
        self.place(index).ok_or(Error::InvalidArea)?;
        for index in index..=u8::MAX {
            let Some(area) = self.place(index) else {
                break;
            };
            self.write_header(index, area, DumpContents::Available, DUMPER_NONE, 0)?;
        }
        Ok(())
    }

    /// An area and what it contains; [`DumpContents::Unknown`] if its header is not valid.
    ///
    /// # Errors
    ///
    /// If there is no area with this index.
    pub fn get(&self, index: u8) -> Result<DumpArea, Error> {
        let region = self.place(index).ok_or(Error::InvalidArea)?;
        let header = self.header(index);
        Ok(DumpArea {
            region,
            contents: header.map_or(DumpContents::Unknown, |header| header.contents.into()),
            index,
        })
    }

    /// The header of an area.
    ///
    /// # Errors
    ///
    /// If there is no area with this index, or its header is not valid.
    pub fn header(&self, index: u8) -> Result<DumpAreaHeader, Error> {
        let area = self.place(index).ok_or(Error::InvalidArea)?;
        let mut bytes = [0; size_of::<DumpAreaHeader>()];
        self.load(area.address, &mut bytes)?;
        let header = DumpAreaHeader::read_from_bytes(&bytes).map_err(|_| Error::InvalidArea)?;
        let segments = u32::from(header.nsegments).saturating_mul(SEGMENT_LEN);
        let least = HEADER_LEN.saturating_add(segments);
        if header.magic != DUMP_MAGIC
            || (header.address, header.length) != (area.address, area.length)
            || !(least..=area.length).contains(&header.written)
            || !header.written.is_multiple_of(4)
        {
            return Err(Error::InvalidArea);
        }
        Ok(header)
    }

    /// Claims all areas for a dump of the whole system, which is made elsewhere. Returns the first.
    ///
    /// # Errors
    ///
    /// If there is no area, or one is not free.
    pub fn claim_all(&mut self) -> Result<DumpArea, Error> {
        for index in 0..=u8::MAX {
            match self.get(index) {
                Ok(area) if area.contents == DumpContents::Available => {}
                Err(_) if index != 0 => break,
                _ => return Err(Error::NoneFree),
            }
        }
        for index in 0..=u8::MAX {
            let Some(area) = self.place(index) else {
                break;
            };
            self.write_header(index, area, DumpContents::WholeSystem, DUMPER_NONE, 0)?;
        }
        self.get(0)
    }

    /// Adds a segment to a dump of the whole system that is claimed and not made yet.
    ///
    /// # Errors
    ///
    /// If the segment is not aligned, no such dump is being prepared, or there is no room in the
    /// first area.
    pub fn add_segment(&mut self, segment: DumpSegmentHeader) -> Result<(), Error> {
        check(segment)?;
        let header = self.header(0)?;
        let segments_end = u32::from(header.nsegments)
            .saturating_mul(SEGMENT_LEN)
            .saturating_add(HEADER_LEN);
        if DumpContents::from(header.contents) != DumpContents::WholeSystem
            || header.dumper != DUMPER_NONE
            || header.written != segments_end
        {
            return Err(Error::NotClaimed);
        }
        let written = segments_end.saturating_add(SEGMENT_LEN);
        let nsegments = header.nsegments.checked_add(1);
        let (Some(nsegments), true) = (nsegments, written <= header.length) else {
            return Err(Error::TooManySegments);
        };
        let at = header.address.saturating_add(segments_end);
        self.store(at, segment.as_bytes())?;
        self.store_header(DumpAreaHeader {
            written,
            nsegments,
            ..header
        })
    }

    /// Dumps memory of a task into the first free areas. Returns the index of the first of them.
    ///
    /// # Errors
    ///
    /// If a segment is not aligned, there are not enough free areas, or the memory cannot be read.
    /// All areas that were free are free then.
    pub fn dump(
        &mut self,
        contents: DumpContents,
        task: DumpTask,
        segments: &[DumpSegmentHeader],
        source: &mut impl Source,
    ) -> Result<u8, Error> {
        for segment in segments {
            check(*segment)?;
        }
        let first = self.first_free().ok_or(Error::NoneFree)?;
        let mut at = first;
        let done = self.write_dump(&mut at, contents, task, segments, source);
        if let Err(error) = done {
            for index in first..=at {
                if let Some(area) = self.place(index) {
                    self.write_header(index, area, DumpContents::Available, DUMPER_NONE, 0)?;
                }
            }
            return Err(error);
        }
        Ok(first)
    }

    fn first_free(&self) -> Option<u8> {
        (0..=u8::MAX)
            .map_while(|index| self.get(index).ok())
            .find(|area| area.contents == DumpContents::Available)
            .map(|area| area.index)
    }

    /// Writes a dump from area `at` on, and sets `at` to the last area that was used.
    fn write_dump(
        &mut self,
        at: &mut u8,
        contents: DumpContents,
        task: DumpTask,
        segments: &[DumpSegmentHeader],
        source: &mut impl Source,
    ) -> Result<(), Error> {
        let area = self.place(*at).ok_or(Error::InvalidArea)?;
        let nsegments = u16::try_from(segments.len()).map_err(|_| Error::TooManySegments)?;
        let length = u32::from(nsegments).saturating_mul(SEGMENT_LEN);
        if HEADER_LEN.saturating_add(length) > area.length {
            return Err(Error::TooManySegments);
        }
        let mut place = area.address.saturating_add(HEADER_LEN);
        for segment in segments {
            self.store(place, segment.as_bytes())?;
            place = place.saturating_add(SEGMENT_LEN);
        }
        self.write_header(*at, area, contents, DUMPER_JEFE, nsegments)?;

        self.append(at, contents, task.as_bytes(), &[])?;
        for segment in segments {
            let end = segment.address.saturating_add(segment.length);
            let mut address = segment.address;
            while address < end {
                let mut piece = [0; PIECE];
                let length = (end.saturating_sub(address) as usize).min(PIECE);
                let piece = piece.get_mut(..length).ok_or(Error::Read)?;
                if source.read(address, piece) != length {
                    return Err(Error::Read);
                }
                self.append_piece(at, contents, address, piece)?;
                address = address.saturating_add(length as u32);
            }
        }
        Ok(())
    }

    /// Compresses a piece of a segment and appends it.
    fn append_piece(
        &mut self,
        at: &mut u8,
        contents: DumpContents,
        address: u32,
        piece: &[u8],
    ) -> Result<(), Error> {
        let mut compressed = [DUMP_SEGMENT_PAD; COMPRESSED.next_multiple_of(4)];
        let reader = SliceReader::new(piece);
        // There is room for any piece, so this does not fail.
        let length = DumpLzss::compress_stack(reader, SliceWriter::new(&mut compressed))
            .map_err(|_| Error::TooManySegments)?;
        let header = DumpSegmentData {
            address,
            compressed_length: length as u16,
            uncompressed_length: piece.len() as u16,
        };
        let padded = compressed
            .get(..length.next_multiple_of(4))
            .unwrap_or(&compressed);
        self.append(at, contents, header.as_bytes(), padded)
    }

    /// Appends a structure of two parts to area `at`. If it does not fit there the next area is
    /// used, and `at` set to it.
    fn append(
        &mut self,
        at: &mut u8,
        contents: DumpContents,
        first: &[u8],
        second: &[u8],
    ) -> Result<(), Error> {
        let (first_length, second_length) = (first.len() as u32, second.len() as u32);
        let length = first_length.saturating_add(second_length);
        let mut header = self.header(*at)?;
        if header.written.saturating_add(length) > header.length {
            let next = at.checked_add(1).ok_or(Error::NoneFree)?;
            if self.get(next).map_err(|_| Error::NoneFree)?.contents != DumpContents::Available {
                return Err(Error::NoneFree);
            }
            let area = self.place(next).ok_or(Error::InvalidArea)?;
            self.write_header(next, area, contents, DUMPER_JEFE, 0)?;
            *at = next;
            header = self.header(next)?;
        }
        let place = header.address.saturating_add(header.written);
        self.store(place, first)?;
        self.store(place.saturating_add(first_length), second)?;
        self.store_header(DumpAreaHeader {
            written: header.written.saturating_add(length),
            ..header
        })
    }

    /// Reads [`READ_LEN`] bytes of an area; those behind its end are 0.
    ///
    /// # Errors
    ///
    /// If there is no area with this index or its header is not valid, or if the offset is not a
    /// multiple of [`READ_LEN`] or is behind the end.
    pub fn read(&self, index: u8, offset: u32) -> Result<[u8; READ_LEN], Error> {
        if !(offset as usize).is_multiple_of(READ_LEN) {
            return Err(Error::UnalignedOffset);
        }
        let header = self.header(index)?;
        let Some(left @ 1..) = header.written.checked_sub(offset) else {
            return Err(Error::BeyondEnd);
        };
        let mut bytes = [0; READ_LEN];
        let count = (left as usize).min(READ_LEN);
        let wanted = bytes.get_mut(..count).ok_or(Error::BeyondEnd)?;
        self.load(header.address.saturating_add(offset), wanted)?;
        Ok(bytes)
    }

    /// Writes the header of an area that contains its segment headers, if any, and nothing else.
    fn write_header(
        &mut self,
        index: u8,
        area: DumpAreaRegion,
        contents: DumpContents,
        dumper: u8,
        nsegments: u16,
    ) -> Result<(), Error> {
        let next = index.checked_add(1).and_then(|next| self.place(next));
        let segments = u32::from(nsegments).saturating_mul(SEGMENT_LEN);
        self.store_header(DumpAreaHeader {
            magic: DUMP_MAGIC,
            address: area.address,
            length: area.length,
            written: HEADER_LEN.saturating_add(segments),
            contents: contents.into(),
            dumper,
            nsegments,
            next: next.map_or(0, |next| next.address),
        })
    }

    /// Writes a header, its magic number last: until then the area is not valid.
    fn store_header(&mut self, header: DumpAreaHeader) -> Result<(), Error> {
        let unfinished = DumpAreaHeader {
            magic: DUMP_UNINITIALIZED,
            ..header
        };
        self.store(header.address, unfinished.as_bytes())?;
        self.store(header.address, &header.magic)
    }

    /// Reads bytes from `address` on. Address and length must be multiples of 4.
    fn load(&self, mut address: u32, to: &mut [u8]) -> Result<(), Error> {
        for bytes in to.chunks_exact_mut(4) {
            let word = self.memory.load(address).ok_or(Error::InvalidArea)?;
            bytes.copy_from_slice(&word.to_le_bytes());
            address = address.saturating_add(4);
        }
        Ok(())
    }

    /// Writes bytes from `address` on. Address and length must be multiples of 4.
    fn store(&mut self, mut address: u32, from: &[u8]) -> Result<(), Error> {
        let (words, _) = from.as_chunks::<4>();
        for word in words {
            let word = u32::from_le_bytes(*word);
            self.memory.store(address, word).ok_or(Error::InvalidArea)?;
            address = address.saturating_add(4);
        }
        Ok(())
    }
}

/// Checks that a segment consists of whole words.
fn check(segment: DumpSegmentHeader) -> Result<(), Error> {
    if !segment.address.is_multiple_of(4) {
        return Err(Error::UnalignedAddress);
    }
    if !segment.length.is_multiple_of(4) {
        return Err(Error::UnalignedLength);
    }
    Ok(())
}
