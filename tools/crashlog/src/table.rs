//! The partition table of a card, as bytes: what it has, and adding the crashlog partition to it.
//!
//! A new table is made by `crashlog-store`. In an existing one a free entry is filled in, and
//! nothing else changes but the checksums: the entries stay where they are, and as many as they
//! are. Backup first, entries before their header, each block durable before the next: until the
//! backup is whole the primary table counts, as it was; after the first write to the primary
//! entries the backup does, with the new partition.

use crate::blank;
use crate::image::Image;
use crate::locate::{not_a_crashlog_card, read};
use crate::problem::Problem;
use block_device::BLOCK_LEN;
use crashlog_format::PartitionPlace;
use crashlog_format::crc::Crc32;
use crashlog_format::gpt::{ENTRIES_PER_BLOCK, ENTRY_LEN, GptEntry, GptHeader, PRIMARY};
use zerocopy::{FromBytes, IntoBytes};

/// Partitions begin and end at multiples of this number of blocks: 1 MiB, which is a multiple of
/// usual erase groups.
const ALIGNMENT: u64 = 2048;

/// A sound copy of the table.
pub struct Copy {
    pub header: GptHeader,
    /// The block of the header.
    block: [u8; BLOCK_LEN],
    /// The whole blocks of the entries.
    array: Vec<u8>,
}

/// Both copies of the table; `None` for one that is damaged or not there.
pub struct Tables {
    pub primary: Option<Copy>,
    pub backup: Option<Copy>,
    /// The header of the primary copy, if that alone is sound.
    header: Option<GptHeader>,
}

impl Tables {
    /// Reads both copies. The backup is where a sound primary header says, or at the end.
    pub fn read(image: &Image) -> Result<Self, Problem> {
        let mut tables = Self {
            primary: None,
            backup: None,
            header: None,
        };
        if image.blocks() <= PRIMARY {
            return Ok(tables);
        }
        tables.header = GptHeader::parse(&read(image, PRIMARY)?, PRIMARY, image.blocks()).ok();
        tables.primary = copy(image, PRIMARY)?;
        let last = image.blocks().saturating_sub(1);
        let backup = tables
            .header
            .map_or(last, |header| header.alternate_lba.get());
        if PRIMARY < backup && backup <= last {
            tables.backup = copy(image, backup)?;
        }
        Ok(tables)
    }

    /// What is damaged, in words.
    pub fn damage(&self) -> Vec<String> {
        let copies = [("primary", &self.primary), ("backup", &self.backup)];
        copies
            .into_iter()
            .filter(|(_, copy)| copy.is_none())
            .map(|(what, _)| format!("the {what} partition table is damaged"))
            .collect()
    }

    /// Number of blocks of the card that the table was made for.
    pub fn card_blocks(&self) -> Option<u64> {
        self.header
            .map(|header| header.alternate_lba.get().saturating_add(1))
    }

    /// The partitions of the copy that counts.
    pub fn partitions(&self) -> Vec<GptEntry> {
        let copy = self.primary.as_ref().or(self.backup.as_ref());
        copy.map_or(Vec::new(), |copy| {
            let entries = copy.entries().into_iter();
            entries.filter(GptEntry::is_used).collect()
        })
    }
}

impl Copy {
    fn entries(&self) -> Vec<GptEntry> {
        let count = self.header.number_of_partition_entries.get() as usize;
        self.array
            .chunks_exact(ENTRY_LEN as usize)
            .take(count)
            .filter_map(|bytes| GptEntry::read_from_bytes(bytes).ok())
            .collect()
    }

    /// Fills in the entry with this index; returns the block of the array that has changed.
    fn set(&mut self, index: usize, entry: &GptEntry) -> (u64, &[u8]) {
        let at = index * ENTRY_LEN as usize;
        if let Some(to) = self.array.get_mut(at..at + ENTRY_LEN as usize) {
            to.copy_from_slice(entry.as_bytes());
        }
        let length = self.header.number_of_partition_entries.get() as usize * ENTRY_LEN as usize;
        let crc = Crc32::new()
            .bytes(self.array.get(..length).unwrap_or(&[]))
            .value();
        // Behind the fields of the header there may be others, which its checksum covers.
        let size = self.header.header_size.get() as usize;
        self.block[88..92].copy_from_slice(&crc.to_le_bytes());
        self.block[16..20].fill(0);
        let covered = self.block.get(..size).unwrap_or(&[]);
        let crc = Crc32::new().bytes(covered).value();
        self.block[16..20].copy_from_slice(&crc.to_le_bytes());
        let block = index as u64 / u64::from(ENTRIES_PER_BLOCK);
        let from = block as usize * BLOCK_LEN;
        (
            self.header.partition_entry_lba.get().saturating_add(block),
            self.array.get(from..from + BLOCK_LEN).unwrap_or(&[]),
        )
    }

    /// The blocks of the header and of the entries: first and last.
    fn ranges(&self) -> [(u64, u64); 2] {
        let (at, array) = (
            self.header.my_lba.get(),
            self.header.partition_entry_lba.get(),
        );
        [(at, at), (array, array + self.header.table_blocks() - 1)]
    }
}

/// The copy of the table whose header is block `lba`, if its checksums match.
fn copy(image: &Image, lba: u64) -> Result<Option<Copy>, Problem> {
    let block = read(image, lba)?;
    let Ok(header) = GptHeader::parse(&block, lba, image.blocks()) else {
        return Ok(None);
    };
    let length = header.number_of_partition_entries.get() as usize * ENTRY_LEN as usize;
    let mut array = vec![0; length.next_multiple_of(BLOCK_LEN)];
    image.read_at(header.partition_entry_lba.get(), &mut array)?;
    let covered = array.get(..length).unwrap_or(&[]);
    let is_sound = Crc32::new().bytes(covered).value() == header.partition_entry_array_crc32.get();
    Ok(is_sound.then_some(Copy {
        header,
        block,
        array,
    }))
}

/// A partition that can be added to a table.
pub struct Addition {
    /// Its first and its last block.
    pub range: (u64, u64),
    /// Whether all of its blocks are blank.
    pub is_blank: bool,
    primary: Copy,
    backup: Copy,
    /// Index of its entry.
    index: usize,
}

impl Addition {
    /// Chooses an entry and a gap in the table of an image: the largest that is blank, or, if none
    /// is, the largest.
    pub fn plan(image: &Image) -> Result<Self, Problem> {
        let name = image.path().display();
        let refused = |what: &str| Err(not_a_crashlog_card(format!("{name}: {what}")));
        let tables = Tables::read(image)?;
        if tables
            .card_blocks()
            .is_some_and(|blocks| blocks > image.blocks())
        {
            return refused(
                "its partition table is of a larger card; repair the table first, for example with `gdisk`",
            );
        }
        let (Some(primary), Some(backup)) = (tables.primary, tables.backup) else {
            return refused(
                "a copy of its partition table is damaged; repair the table first, for example with `gdisk`",
            );
        };
        let entries = primary.entries();
        let sum = |copy: &Copy| copy.header.partition_entry_array_crc32;
        if sum(&primary) != sum(&backup) {
            return refused(
                "the two copies of its partition table differ; repair the table first, for example with `gdisk`",
            );
        }
        let Some(index) = entries.iter().position(|entry| !entry.is_used()) else {
            return refused(&format!(
                "all {} entries of its partition table are used; no partition can be added",
                entries.len()
            ));
        };
        let used = entries.iter().filter(|entry| entry.is_used());
        let mut taken: Vec<(u64, u64)> = used
            .map(|entry| (entry.starting_lba.get(), entry.ending_lba.get()))
            .chain(primary.ranges())
            .chain(backup.ranges())
            .filter(|(first, last)| first <= last)
            .collect();
        taken.sort_unstable();
        let first = primary.header.first_usable_lba.get().max(PRIMARY + 1);
        let last = primary.header.last_usable_lba.get();
        let mut gaps = gaps(&taken, first, last.min(image.blocks() - 1));
        gaps.sort_by_key(|(first, last)| std::cmp::Reverse(last - first));
        let Some(largest) = gaps.first().copied() else {
            return refused("has no room for a partition: 1 MiB in one piece is needed");
        };
        let mut range = None;
        for (first, last) in gaps {
            if blank::is_blank(&image.part(first, last - first + 1)?)? {
                range = Some((first, last));
                break;
            }
        }
        Ok(Self {
            range: range.unwrap_or(largest),
            is_blank: range.is_some(),
            primary,
            backup,
            index,
        })
    }

    /// Adds the partition, which has this place, to the table.
    pub fn write(mut self, image: &Image, place: &PartitionPlace) -> Result<(), Problem> {
        let (first, last) = self.range;
        let entry = GptEntry::new(crashlog_format::PARTITION_NAME, place.guid, first, last);
        for copy in [&mut self.backup, &mut self.primary] {
            let (at, bytes) = copy.set(self.index, &entry);
            image.write_at(at, bytes)?;
            image.sync()?;
            image.write_at(copy.header.my_lba.get(), &copy.block)?;
            image.sync()?;
        }
        Ok(())
    }
}

/// The aligned gaps between the ranges `taken`, which are sorted, inside of `first..=last`.
fn gaps(taken: &[(u64, u64)], first: u64, last: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut from = first;
    let end = (last.saturating_add(1), u64::MAX);
    for (taken_from, taken_to) in taken.iter().copied().chain([end]) {
        let to = taken_from.min(end.0);
        let Some(start) = from.checked_next_multiple_of(ALIGNMENT) else {
            break;
        };
        let stop = to / ALIGNMENT * ALIGNMENT;
        if start < stop {
            gaps.push((start, stop - 1));
        }
        from = from.max(taken_to.saturating_add(1));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::gaps;

    #[test]
    fn gaps_are_aligned_and_between_what_is_taken() {
        let taken = [(4096, 5000), (8192, 10_000)];
        assert_eq!(
            gaps(&taken, 34, 20_000),
            [(2048, 4095), (6144, 8191), (10_240, 18_431)]
        );
    }

    /// A foreign entry may state any numbers.
    #[test]
    fn nothing_is_behind_the_last_number_that_there_is() {
        assert_eq!(gaps(&[(4096, u64::MAX)], 34, u64::MAX), [(2048, 4095)]);
        assert_eq!(gaps(&[], u64::MAX, u64::MAX), []);
    }
}
