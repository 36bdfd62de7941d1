//! The first block of an image.

use super::{SnapshotExtent, SnapshotRegion};
use crate::{BLOCK_LEN, CheckError, FormatId, VERSION};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// Offset of the first byte that the checksum covers: the one after the checksum.
const COVERED_FROM: usize = 8;

/// Whose memory an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SnapshotKind {
    /// That of the kernel and of all tasks, and the registered regions.
    System = 1,
    /// That of the crashed task, its entry in the task table, and its registered regions.
    Task = 2,
}

impl TryFrom<u8> for SnapshotKind {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::System),
            2 => Ok(Self::Task),
            other => Err(other),
        }
    }
}

/// The first 140 bytes of an image; zeros follow up to the end of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SnapshotHeader {
    magic: U32,
    crc: U32,
    version: u8,
    kind: u8,
    late: u8,
    reserved: u8,
    /// Sequence number of the crash; 0 while the image is in retained RAM only.
    pub sequence: U32,
    /// Boot of the crash, as the crash's context in retained RAM counts; on the card as the crash
    /// header counts.
    pub boot: U32,
    /// Index of the crashed task, 65535 if the kernel failed; as in the crash.
    pub task: U16,
    /// Index of the task that ran when the image was made: the supervisor, as a rule; 65535 if the
    /// kernel made it because it, or the supervisor, had failed.
    pub current: U16,
    /// Time of the crash in milliseconds since the start of that boot; as in the crash.
    pub time: U64,
    /// The running image, as in the crash header.
    pub image_id: U64,
    /// r0 to r12, sp, lr, pc, psr of what ran when the image was made.
    pub registers: [U32; 17],
    /// Number of registered regions.
    pub regions: U16,
    reserved_2: U16,
    /// Number of extents.
    pub extents: U32,
    /// Length of the data in bytes.
    pub data: U32,
    /// How many bytes of the image are on the card, the header included. Less than its length if
    /// the slot of the crash was too short.
    pub written: U32,
    /// How long it took to make the image, in milliseconds.
    pub milliseconds: U32,
    /// [`super::WordSum`] of the tables of regions and extents.
    pub table_sum: U64,
    reserved_3: U32,
}

impl SnapshotHeader {
    /// First word: `CLSN`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLSN");

    /// The format in whose name the checksum of an image in retained RAM is computed: it is made
    /// before the card is known.
    pub const NO_FORMAT: FormatId = FormatId::new(0);

    /// A header without regions and extents, whose checksum is not computed yet.
    #[must_use]
    pub fn new(kind: SnapshotKind) -> Self {
        Self {
            magic: Self::MAGIC.into(),
            crc: 0.into(),
            version: VERSION,
            kind: kind as u8,
            late: 0,
            reserved: 0,
            sequence: 0.into(),
            boot: 0.into(),
            task: 0.into(),
            current: 0.into(),
            time: 0.into(),
            image_id: 0.into(),
            registers: [U32::ZERO; 17],
            regions: 0.into(),
            reserved_2: 0.into(),
            extents: 0.into(),
            data: 0.into(),
            written: 0.into(),
            milliseconds: 0.into(),
            table_sum: 0.into(),
            reserved_3: 0.into(),
        }
    }

    /// Whose memory it holds.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn kind(&self) -> Result<SnapshotKind, u8> {
        self.kind.try_into()
    }

    /// Whether it was written to the card only after the restart.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.late != 0
    }

    /// Marks it as written only after the restart.
    pub const fn set_late(&mut self) {
        self.late = 1;
    }

    /// Computes and stores the checksum. Every change has to be followed by this.
    pub fn seal(&mut self, format: FormatId) {
        self.crc = self.checksum(format).into();
    }

    fn checksum(&self, format: FormatId) -> u32 {
        let covered = self.as_bytes().get(COVERED_FROM..).unwrap_or(&[]);
        format.crc().bytes(covered).value()
    }

    /// Offset in the image of the table of regions.
    pub const REGIONS_AT: u32 = BLOCK_LEN as u32;

    /// Offset in the image of the table of extents.
    #[must_use]
    pub fn extents_at(&self) -> u32 {
        let regions = u32::from(self.regions.get());
        Self::REGIONS_AT.saturating_add(regions.saturating_mul(size_of::<SnapshotRegion>() as u32))
    }

    /// Offset in the image of the first byte behind the table of extents.
    #[must_use]
    pub fn tables_end(&self) -> u32 {
        let extents = self.extents.get();
        self.extents_at()
            .saturating_add(extents.saturating_mul(size_of::<SnapshotExtent>() as u32))
    }

    /// Offset in the image of the data.
    #[must_use]
    pub fn data_at(&self) -> u32 {
        self.tables_end()
            .checked_next_multiple_of(BLOCK_LEN as u32)
            .unwrap_or(u32::MAX)
    }

    /// Length of the image in bytes.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.data_at().saturating_add(self.data.get())
    }

    /// Decodes and checks the first block of an image that has room for `room` bytes. Header and
    /// tables lie inside of them; the data may not.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn parse(block: &[u8], format: FormatId, room: u32) -> Result<Self, CheckError> {
        let (header, _) = Self::read_from_prefix(block).map_err(|_| CheckError::Field)?;
        header.check(format, room)?;
        Ok(header)
    }

    /// Checks a header that was read from an image that has room for `room` bytes, as
    /// [`Self::parse`] does.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(&self, format: FormatId, room: u32) -> Result<(), CheckError> {
        if self.magic.get() != Self::MAGIC {
            return Err(CheckError::Magic(self.magic.get()));
        }
        if self.version != VERSION {
            return Err(CheckError::Version(self.version));
        }
        if self.crc.get() != self.checksum(format) {
            return Err(CheckError::Checksum);
        }
        let is_sound = self.kind().is_ok()
            && self.tables_end() <= room
            && self.written.get() <= room
            && self.length() < u32::MAX;
        if is_sound {
            Ok(())
        } else {
            Err(CheckError::Field)
        }
    }
}

const _: () = assert!(size_of::<SnapshotHeader>() == 140);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(change: impl FnOnce(&mut SnapshotHeader)) -> SnapshotHeader {
        let mut header = SnapshotHeader::new(SnapshotKind::System);
        header.sequence = 9.into();
        header.extents = 3.into();
        header.regions = 1.into();
        header.data = 1000.into();
        header.written = 2000.into();
        change(&mut header);
        header.seal(FormatId::new(5));
        header
    }

    #[test]
    fn the_parts_follow_one_another() {
        let header = sealed(|_| ());
        assert_eq!(header.extents_at(), 512 + 36);
        assert_eq!(header.tables_end(), 512 + 36 + 72);
        assert_eq!(header.data_at(), 1024);
        assert_eq!(header.length(), 2024);
        let parsed = SnapshotHeader::parse(header.as_bytes(), FormatId::new(5), 4096);
        assert_eq!(parsed, Ok(header));
    }

    #[test]
    fn a_header_that_breaks_a_rule_is_refused() {
        let parse = |header: &SnapshotHeader, format, room| {
            SnapshotHeader::parse(header.as_bytes(), FormatId::new(format), room).unwrap_err()
        };
        assert_eq!(parse(&sealed(|_| ()), 6, 4096), CheckError::Checksum);
        assert_eq!(parse(&sealed(|_| ()), 5, 600), CheckError::Field);
        assert_eq!(parse(&sealed(|_| ()), 5, 1999), CheckError::Field);
        let many = sealed(|header| header.extents = u32::MAX.into());
        assert_eq!(parse(&many, 5, u32::MAX - 1), CheckError::Field);
        let long = sealed(|header| header.data = u32::MAX.into());
        assert_eq!(parse(&long, 5, u32::MAX), CheckError::Field);
        let magic = sealed(|header| header.magic = 1.into());
        assert_eq!(parse(&magic, 5, 4096), CheckError::Magic(1));
        let version = sealed(|header| header.version = 77);
        assert_eq!(parse(&version, 5, 4096), CheckError::Version(77));
        let kind = sealed(|header| header.kind = 7);
        assert_eq!(parse(&kind, 5, 4096), CheckError::Field);
    }

    proptest! {
        /// No bytes make the parser panic; each change of a bit is noticed.
        #[test]
        fn any_change_is_noticed(bit in 0usize..140 * 8, room: u32) {
            let mut bytes = sealed(|_| ()).as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SnapshotHeader::parse(&bytes, FormatId::new(5), room).is_err());
        }
    }
}
