//! The partition table: GPT, as in UEFI specification 2.10, section 5.3.
//!
//! Only what is needed to find, and to make, one partition ([`PartitionChoice`]). Of the protective
//! MBR only the presence counts: see [`backup_counts`].

mod choice;

pub use choice::{ChoiceError, FoundPartition, PartitionChoice, TableProblem};

use crate::BLOCK_LEN;
use crate::crc::Crc32;
use core::fmt;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U16, U32, U64},
};

/// Block of the primary header; the backup is the last block of the device.
pub const PRIMARY: u64 = 1;
/// Length of the longest table that is accepted, in entries. Tools make tables of 128.
pub const MAX_ENTRIES: u32 = 256;
/// Length of an entry in bytes. UEFI allows larger ones, but no tool makes them.
pub const ENTRY_LEN: u32 = 128;
/// Number of entries in one block of the table.
pub const ENTRIES_PER_BLOCK: u32 = BLOCK_LEN as u32 / ENTRY_LEN;

/// The block at which the primary header begins on a device with blocks of 4096 bytes.
pub const PRIMARY_OF_4096: u64 = 4096 / BLOCK_LEN as u64;
/// Attribute of a partition that is not to be written (bit 60 of [`GptEntry::attributes`]). UEFI
/// leaves the bits 48 to 63 to the type; for the types of Microsoft and of the Discoverable
/// Partitions Specification this one means read-only, and tools set it for any type.
pub const READ_ONLY: u64 = 1 << 60;

/// A GUID in the mixed-endian form of the table (UEFI appendix A).
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID whose text form shows this number, such as
    /// `0x0FC63DAF_8483_4772_8E79_3D69D8477DE4`.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = number.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = rest;
        Self([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [d, c, b, a, f_, e, h, g, rest @ ..] = self.0;
        for (index, byte) in [a, b, c, d, e, f_, g, h]
            .into_iter()
            .chain(rest)
            .enumerate()
        {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type GUID of a crashlog partition: `7c3d1b5a-52b7-4a3e-9e0f-c1a58109d0e5`.
pub const CRASHLOG_TYPE: Guid = Guid::new(0x7c3d1b5a_52b7_4a3e_9e0f_c1a58109d0e5);

/// The header of the table (UEFI 2.10, table 5-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub struct GptHeader {
    pub signature: [u8; 8],
    pub revision: U32,
    pub header_size: U32,
    pub header_crc32: U32,
    pub reserved: U32,
    pub my_lba: U64,
    pub alternate_lba: U64,
    pub first_usable_lba: U64,
    pub last_usable_lba: U64,
    pub disk_guid: Guid,
    pub partition_entry_lba: U64,
    pub number_of_partition_entries: U32,
    pub size_of_partition_entry: U32,
    pub partition_entry_array_crc32: U32,
}

/// Why a block is not the header of a table that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// It does not begin as a header does.
    Absent,
    /// A check failed.
    Damaged,
    /// It is sound, and its table has this number of entries, more than [`MAX_ENTRIES`].
    Entries(u32),
    /// It is sound, and the entries of its table have this length in bytes, not [`ENTRY_LEN`].
    EntryLength(u32),
}

impl GptHeader {
    /// First bytes of a header.
    pub const SIGNATURE: [u8; 8] = *b"EFI PART";
    /// Revision 1.0, the only one there is.
    pub const REVISION: u32 = 0x0001_0000;

    /// Decodes and checks the header in `block`, which is block `lba` of a device of `blocks`
    /// blocks.
    ///
    /// The table of the result lies inside the device.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn parse(block: &[u8], lba: u64, blocks: u64) -> Result<Self, HeaderError> {
        let (header, _) = Self::read_from_prefix(block).map_err(|_| HeaderError::Absent)?;
        if header.signature != Self::SIGNATURE {
            return Err(HeaderError::Absent);
        }
        let size = usize::try_from(header.header_size.get()).unwrap_or(usize::MAX);
        let covered = block.get(..size).ok_or(HeaderError::Damaged)?;
        if size < size_of::<Self>()
            || header.revision.get() != Self::REVISION
            || header.my_lba.get() != lba
            || header.header_crc32.get() != header.checksum(covered)
        {
            return Err(HeaderError::Damaged);
        }
        let entries = header.number_of_partition_entries.get();
        let entry_len = header.size_of_partition_entry.get();
        let table = header.partition_entry_lba.get();
        match table.checked_add(header.table_blocks()) {
            _ if entry_len != ENTRY_LEN => Err(HeaderError::EntryLength(entry_len)),
            _ if entries > MAX_ENTRIES => Err(HeaderError::Entries(entries)),
            Some(end) if table > PRIMARY.min(lba) && end <= blocks && entries > 0 => Ok(header),
            _ => Err(HeaderError::Damaged),
        }
    }

    /// Number of blocks of the table.
    #[must_use]
    pub const fn table_blocks(&self) -> u64 {
        let entries = self.number_of_partition_entries.get();
        entries.div_ceil(ENTRIES_PER_BLOCK) as u64
    }

    /// The checksum of the header's bytes, with zeros in place of the checksum.
    fn checksum(&self, covered: &[u8]) -> u32 {
        let before = covered.get(..16).unwrap_or(&[]);
        let after = covered.get(20..).unwrap_or(&[]);
        Crc32::new()
            .bytes(before)
            .bytes(&[0; 4])
            .bytes(after)
            .value()
    }

    /// Computes and stores the checksum.
    pub fn seal(&mut self) {
        let crc = self.checksum(self.as_bytes());
        self.header_crc32 = crc.into();
    }
}

/// A partition (UEFI 2.10, table 5-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub struct GptEntry {
    pub partition_type_guid: Guid,
    pub unique_partition_guid: Guid,
    pub starting_lba: U64,
    pub ending_lba: U64,
    pub attributes: U64,
    pub partition_name: [U16; 36],
}

impl GptEntry {
    /// A crashlog partition of the blocks `first..=last`. The name is cut to 36 UTF-16 units.
    #[must_use]
    pub fn new(name: &str, unique: Guid, first: u64, last: u64) -> Self {
        let mut partition_name = [U16::ZERO; 36];
        for (to, from) in partition_name.iter_mut().zip(name.encode_utf16()) {
            *to = from.into();
        }
        Self {
            partition_type_guid: CRASHLOG_TYPE,
            unique_partition_guid: unique,
            starting_lba: first.into(),
            ending_lba: last.into(),
            attributes: 0.into(),
            partition_name,
        }
    }

    /// Whether it is a partition: an unused entry has no type.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.partition_type_guid.0 != [0; 16]
    }

    /// Whether the partition has this name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let found = self
            .partition_name
            .iter()
            .map(|unit| unit.get())
            .take_while(|unit| *unit != 0);
        found.eq(name.encode_utf16())
    }

    /// First and last block, as stated; `None` if no device can have them.
    #[must_use]
    pub const fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.starting_lba.get(), self.ending_lba.get());
        if PRIMARY < first && first <= last {
            Some((first, last))
        } else {
            None
        }
    }

    /// Whether it must not be written: see [`READ_ONLY`].
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.attributes.get() & READ_ONLY != 0
    }
}

const _: () = assert!(size_of::<GptHeader>() == 92 && size_of::<GptEntry>() == 128);

/// What says that block 0 belongs to a GPT: the type of the protective partition (UEFI 2.10, table
/// 5-3).
const PROTECTIVE: u8 = 0xee;

/// Whether a backup table counts, by the content of block 0: it is blank (erased), or has a
/// protective partition. Anything else is of somebody who has made the card anew, and left the end
/// of it as it was.
#[must_use]
pub fn backup_counts(block: &[u8]) -> bool {
    let types = [450, 466, 482, 498].map(|at| block.get(at).copied());
    let is_signed = block.get(510..512) == Some(&[0x55, 0xaa]);
    let is_blank = |erased| block.iter().all(|byte| *byte == erased);
    (is_signed && types.contains(&Some(PROTECTIVE))) || is_blank(0) || is_blank(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn guids_are_mixed_endian() {
        // The type of a Linux file system.
        let linux = Guid::new(0x0FC63DAF_8483_4772_8E79_3D69D8477DE4);
        assert_eq!(
            linux.0[..8],
            [0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47]
        );
        assert_eq!(linux.to_string(), "0fc63daf-8483-4772-8e79-3d69d8477de4");
        assert_eq!(
            CRASHLOG_TYPE.to_string(),
            "7c3d1b5a-52b7-4a3e-9e0f-c1a58109d0e5"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), lba: u64, blocks: u64) {
            prop_assert_eq!(GptHeader::parse(&bytes, lba, blocks), Err(HeaderError::Absent));
            if let Ok((entry, _)) = GptEntry::read_from_prefix(&bytes)
                && let Some((first, last)) = entry.range()
            {
                prop_assert!(PRIMARY < first && first <= last);
            }
        }
    }
}
