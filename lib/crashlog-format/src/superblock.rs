//! The superblock: identifies a crashlog partition; states its place, format and geometry.

use crate::gpt::Guid;
use crate::{
    BLOCK_LEN, CheckError, Crc32c, FormatId, Geometry, GeometryError, PartitionPlace, VERSION,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U32, U64},
};

/// Offset of the first byte that the checksum covers: the one after the checksum.
const COVERED_FROM: usize = 8;

/// The first block of the partition, and again the last one. Written when the partition is
/// formatted, and when it is adopted at another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Superblock {
    magic: U32,
    /// Checksum of the bytes after it. Not seeded, as the seed is what is read here.
    crc: U32,
    version: u8,
    reserved: [u8; 3],
    format: FormatId,
    blocks: U32,
    slots: U32,
    slot_blocks: U32,
    first: U64,
    guid: Guid,
}

/// What a superblock states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockContent {
    /// The format of the partition.
    pub format: FormatId,
    /// How it is divided.
    pub geometry: Geometry,
    /// First block of the partition on its card; 0 if it was formatted apart from a card.
    pub first: u64,
    /// Unique GUID of the partition in the table of its card; zeros if it was formatted apart from
    /// a card.
    pub guid: Guid,
}

impl SuperblockContent {
    /// The place that it states.
    #[must_use]
    pub fn place(&self) -> PartitionPlace {
        PartitionPlace {
            first: self.first,
            blocks: self.geometry.blocks().into(),
            guid: self.guid,
        }
    }
}

/// Why a block is not a superblock of this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperblockError {
    /// A check failed.
    Check(CheckError),
    /// The checks passed, and the geometry that it states breaks a rule.
    Geometry(GeometryError),
    /// It states a partition with this number of blocks, and this partition has another.
    Blocks(u32),
}

impl Superblock {
    /// First word: `CLSB`.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"CLSB");

    /// The superblock of a partition. Of `place` the number of blocks is not used: the geometry
    /// has it.
    #[must_use]
    pub fn new(format: FormatId, geometry: &Geometry, place: &PartitionPlace) -> Self {
        let mut superblock = Self {
            magic: Self::MAGIC.into(),
            crc: 0.into(),
            version: VERSION,
            reserved: [0; 3],
            format,
            blocks: geometry.blocks().into(),
            slots: geometry.slots().into(),
            slot_blocks: geometry.slot_blocks().into(),
            first: place.first.into(),
            guid: place.guid,
        };
        superblock.crc = superblock.checksum().into();
        superblock
    }

    /// Decodes and checks a superblock of a partition of `blocks` blocks. Whether it states the
    /// place where it was found is left to the caller.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn parse(block: &[u8], blocks: u64) -> Result<SuperblockContent, SuperblockError> {
        let (superblock, _) =
            Self::read_from_prefix(block).map_err(|_| SuperblockError::Check(CheckError::Field))?;
        superblock.check().map_err(SuperblockError::Check)?;
        let stated = superblock.blocks.get();
        if u64::from(stated) != blocks {
            return Err(SuperblockError::Blocks(stated));
        }
        let geometry = Geometry::new(blocks, superblock.slots.get(), superblock.slot_blocks.get())
            .map_err(SuperblockError::Geometry)?;
        Ok(SuperblockContent {
            format: superblock.format,
            geometry,
            first: superblock.first.get(),
            guid: superblock.guid,
        })
    }

    /// The block that holds it.
    #[must_use]
    pub fn to_block(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        for (to, from) in block.iter_mut().zip(self.as_bytes()) {
            *to = *from;
        }
        block
    }

    fn check(&self) -> Result<(), CheckError> {
        if self.magic.get() != Self::MAGIC {
            return Err(CheckError::Magic(self.magic.get()));
        }
        if self.version != VERSION {
            return Err(CheckError::Version(self.version));
        }
        if self.crc.get() != self.checksum() {
            return Err(CheckError::Checksum);
        }
        Ok(())
    }

    fn checksum(&self) -> u32 {
        let covered = self.as_bytes().get(COVERED_FROM..).unwrap_or(&[]);
        Crc32c::new().bytes(covered).value()
    }
}

impl core::fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Check(error) => write!(f, "superblock: {error}"),
            Self::Geometry(error) => write!(f, "superblock: {error}"),
            Self::Blocks(stated) => write!(f, "superblock is of a partition of {stated} blocks"),
        }
    }
}

impl core::error::Error for SuperblockError {}

const _: () = assert!(size_of::<Superblock>() == 56);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GeometryRule;
    use proptest::prelude::*;

    fn sample() -> Superblock {
        let place = PartitionPlace {
            first: 0x1_0000_0800,
            blocks: 4096,
            guid: Guid::new(9),
        };
        Superblock::new(
            FormatId::new(7),
            &Geometry::new(4096, 4, 8).unwrap(),
            &place,
        )
    }

    #[test]
    fn a_superblock_is_parsed_as_it_was_made() {
        let content = Superblock::parse(&sample().to_block(), 4096).unwrap();
        assert_eq!(content.format.get(), 7);
        let geometry = content.geometry;
        assert_eq!(
            (geometry.blocks(), geometry.slots(), geometry.slot_blocks()),
            (4096, 4, 8)
        );
        let place = content.place();
        assert_eq!(
            (place.first, place.blocks, place.guid),
            (0x1_0000_0800, 4096, Guid::new(9))
        );
    }

    /// REQ: P1
    #[test]
    fn a_geometry_that_breaks_a_rule_is_refused_at_mount() {
        let mut block = sample();
        block.slots = 1.into();
        block.crc = block.checksum().into();
        assert_eq!(
            Superblock::parse(&block.to_block(), 4096),
            Err(SuperblockError::Geometry(GeometryError {
                rule: GeometryRule::Slots,
                value: 1
            }))
        );
        assert_eq!(
            Superblock::parse(&sample().to_block(), 4095),
            Err(SuperblockError::Blocks(4096))
        );
    }

    #[test]
    fn an_unknown_version_is_reported() {
        let mut block = sample();
        block.version = 9;
        block.crc = block.checksum().into();
        assert_eq!(
            Superblock::parse(&block.to_block(), 4096),
            Err(SuperblockError::Check(CheckError::Version(9)))
        );
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_detected(bit in 0usize..size_of::<Superblock>() * 8) {
            let mut block = sample().to_block();
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Superblock::parse(&block, 4096).is_err());
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), blocks: u64) {
            prop_assert!(Superblock::parse(&bytes, blocks).is_err());
        }
    }
}
