//! Extents: pieces of memory, at most a page each.

use super::{EXTENT_MAX, GRANULE, STACK_FILL};
use crate::CheckError;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// What memory an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExtentKind {
    /// Memory of its owner.
    Memory = 1,
    /// A part of a region that a task has registered.
    Region = 2,
    /// Registers of a peripheral that a task has registered.
    Device = 3,
}

impl TryFrom<u8> for ExtentKind {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::Memory),
            2 => Ok(Self::Region),
            3 => Ok(Self::Device),
            other => Err(other),
        }
    }
}

/// Whether an extent was saved, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExtentStatus {
    /// It was saved.
    Saved = 0,
    /// The image was finished before its turn came.
    NotReached = 1,
    /// There was no room for its data in retained RAM.
    NoRoom = 2,
    /// The time for the snapshot was over.
    NoTime = 3,
    /// The kernel refused to read it: it is not memory that its owner may read.
    NotReadable = 4,
    /// A bus fault occurred when it was read.
    BusFault = 5,
}

impl ExtentStatus {
    /// Why it is missing, in a report; of an extent that was saved, that it was.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::NotReached => "the snapshot was cut short before it",
            Self::NoRoom => "no room in retained RAM",
            Self::NoTime => "the time was over",
            Self::NotReadable => "its owner may not read it",
            Self::BusFault => "bus fault",
        }
    }
}

impl TryFrom<u8> for ExtentStatus {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::Saved),
            1 => Ok(Self::NotReached),
            2 => Ok(Self::NoRoom),
            3 => Ok(Self::NoTime),
            4 => Ok(Self::NotReadable),
            5 => Ok(Self::BusFault),
            other => Err(other),
        }
    }
}

/// What a granule of an extent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GranuleContent {
    /// Bytes that are in the data of the image.
    Data = 0,
    /// Zeros only.
    Zeros = 1,
    /// [`STACK_FILL`] only.
    Fill = 2,
}

impl GranuleContent {
    /// The word that the granule repeats; `None` of data.
    #[must_use]
    pub const fn word(self) -> Option<u32> {
        match self {
            Self::Data => None,
            Self::Zeros => Some(0),
            Self::Fill => Some(STACK_FILL),
        }
    }
}

/// One entry of the table of extents: 24 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SnapshotExtent {
    address: U32,
    length: U16,
    owner: U16,
    kind: u8,
    status: u8,
    /// Of a region or a device: its index in the table of regions.
    region: U16,
    /// Two bits for each granule, from bit 0 on; see [`GranuleContent`].
    map: U32,
    /// [`super::WordSum`] of its data.
    sum: U64,
}

impl SnapshotExtent {
    /// An extent that has not been saved yet: `length` bytes at `address`. `region`: 0 for plain
    /// memory.
    #[must_use]
    pub fn new(kind: ExtentKind, owner: u16, address: u32, length: u16, region: u16) -> Self {
        Self {
            address: address.into(),
            length: length.into(),
            owner: owner.into(),
            kind: kind as u8,
            status: ExtentStatus::NotReached as u8,
            region: region.into(),
            ..Self::default()
        }
    }

    /// Notes that it was saved, with this map and this sum of its data, which follow those of the
    /// extents before it.
    pub fn set_saved(&mut self, map: u32, sum: u64) {
        self.status = ExtentStatus::Saved as u8;
        self.map = map.into();
        self.sum = sum.into();
    }

    /// Notes why it was not saved.
    pub fn set_missing(&mut self, status: ExtentStatus) {
        self.status = status as u8;
    }

    /// Checks what was read from a card: kind and status are known, the length is a multiple of
    /// four from 4 to [`EXTENT_MAX`], and the extent ends at 2^32 at the latest.
    ///
    /// # Errors
    /// [`CheckError::Field`].
    pub fn check(&self) -> Result<(), CheckError> {
        let length = u32::from(self.length.get());
        let is_sound = ExtentKind::try_from(self.kind).is_ok()
            && ExtentStatus::try_from(self.status).is_ok()
            && (4..=EXTENT_MAX as u32).contains(&length)
            && length.is_multiple_of(4)
            && self.address.get().is_multiple_of(4)
            && self.address.get().checked_add(length - 1).is_some()
            && (0..16).all(|granule| self.map.get() >> (2 * granule) & 3 != 3);
        if is_sound {
            Ok(())
        } else {
            Err(CheckError::Field)
        }
    }

    /// Address of its first byte.
    #[must_use]
    pub const fn address(&self) -> u32 {
        self.address.get()
    }

    /// Its length in bytes, of memory.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length.get() as u32
    }

    /// Whose memory it is: a task's index, or [`super::KERNEL_OWNER`].
    #[must_use]
    pub const fn owner(&self) -> u16 {
        self.owner.get()
    }

    /// Of a region or a device: its index in the table of regions.
    #[must_use]
    pub const fn region(&self) -> u16 {
        self.region.get()
    }

    /// What memory it is.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn kind(&self) -> Result<ExtentKind, u8> {
        self.kind.try_into()
    }

    /// Whether it was saved.
    ///
    /// # Errors
    /// The number on the card, if this program does not know it.
    pub fn status(&self) -> Result<ExtentStatus, u8> {
        self.status.try_into()
    }

    /// The [`super::WordSum`] that its data must have.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// Its granules: what each holds, and how many bytes it has. Only the last may have fewer than
    /// [`GRANULE`].
    pub fn granules(&self) -> impl Iterator<Item = (GranuleContent, usize)> + use<> {
        let (map, length) = (
            self.map.get(),
            usize::from(self.length.get()).min(EXTENT_MAX),
        );
        (0..length.div_ceil(GRANULE)).map(move |index| {
            let content = match map >> (2 * index) & 3 {
                1 => GranuleContent::Zeros,
                2 => GranuleContent::Fill,
                _ => GranuleContent::Data,
            };
            (content, length.saturating_sub(index * GRANULE).min(GRANULE))
        })
    }

    /// How many bytes of data it has in the image: 0 if it was not saved. Its data begin where
    /// those of the extents before it end.
    #[must_use]
    pub fn stored(&self) -> u32 {
        if self.status != ExtentStatus::Saved as u8 {
            return 0;
        }
        let data = self
            .granules()
            .filter(|(content, _)| *content == GranuleContent::Data);
        data.map(|(_, length)| length as u32).sum()
    }
}

const _: () = assert!(size_of::<SnapshotExtent>() == 24 && EXTENT_MAX / GRANULE == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn granules_follow_the_map() {
        let mut extent = SnapshotExtent::new(ExtentKind::Memory, 3, 0x8000_0100, 600, 0);
        assert_eq!(extent.status(), Ok(ExtentStatus::NotReached));
        assert_eq!(extent.stored(), 0);
        extent.set_saved(0b10_00_01, 5);
        let granules: Vec<_> = extent.granules().collect();
        assert_eq!(
            granules,
            [
                (GranuleContent::Zeros, 256),
                (GranuleContent::Data, 256),
                (GranuleContent::Fill, 88)
            ]
        );
        assert_eq!(extent.stored(), 256);
        assert_eq!(extent.check(), Ok(()));
    }

    #[test]
    fn an_extent_that_breaks_a_rule_is_refused() {
        let of = |address, length| SnapshotExtent::new(ExtentKind::Memory, 0, address, length, 0);
        assert_eq!(of(0xffff_f000, 4096).check(), Ok(()));
        for (address, length) in [(0xffff_f004, 4096), (0, 0), (0, 6), (2, 4), (0, 4100)] {
            let refused = of(address, length).check();
            assert_eq!(refused, Err(CheckError::Field), "{address:#x} {length}");
        }
        let mut extent = of(0, 256);
        extent.set_saved(3, 0);
        assert_eq!(extent.check(), Err(CheckError::Field));
    }

    proptest! {
        /// Any bytes can be read as an extent, without a panic.
        #[test]
        fn any_bytes_are_an_extent(bytes: [u8; 24]) {
            let extent = SnapshotExtent::read_from_bytes(&bytes).unwrap();
            let _ = (extent.check(), extent.kind(), extent.status());
            prop_assert!(extent.stored() <= EXTENT_MAX as u32);
            prop_assert!(extent.granules().count() <= 16);
        }
    }
}
