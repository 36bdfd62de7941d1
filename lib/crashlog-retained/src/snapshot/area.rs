//! The dump area, as the recorder sees it.

use crate::CrashContext;
use crate::words::{load, publish, store, words};
use block_device::{BLOCK_LEN, BLOCK_WORDS, Block};
use core::sync::atomic::AtomicU32;
use crashlog_format::snapshot::{SnapshotHeader, WordSum};
use zerocopy::{FromZeros, IntoBytes};

/// The dump area of the retained region. It may be empty, if the region is short.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotArea<'a>(&'a [Block]);

impl<'a> SnapshotArea<'a> {
    pub(crate) const fn new(blocks: &'a [Block]) -> Self {
        Self(blocks)
    }

    /// The area without its last `blocks`, and these; `None` if it is not longer than they are.
    #[must_use]
    pub fn split_end(&self, blocks: usize) -> Option<(Self, &'a [Block])> {
        let rest = self.0.len().checked_sub(blocks).filter(|rest| *rest > 0)?;
        let (area, end) = self.0.split_at_checked(rest)?;
        Some((Self(area), end))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.len().saturating_mul(BLOCK_LEN)).unwrap_or(u32::MAX)
    }

    /// Its blocks.
    #[must_use]
    pub const fn blocks(&self) -> &'a [Block] {
        self.0
    }

    /// Whether there seems to be an image; only [`Self::header`] checks it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.magic().map(load) == Some(SnapshotHeader::MAGIC)
    }

    /// The header of a complete image; `None` if there is none, or it fails its check.
    #[must_use]
    pub fn header(&self) -> Option<SnapshotHeader> {
        let block = self.0.first()?;
        let mut header = SnapshotHeader::new_zeroed();
        block.copy_to(0, header.as_mut_bytes());
        // In place, as this is called on the emergency path, whose stack is short.
        let check = header.check(SnapshotHeader::NO_FORMAT, self.size());
        check.is_ok().then_some(header)
    }

    /// The blocks of the image with this header, the header's included.
    #[must_use]
    pub fn image(&self, header: &SnapshotHeader) -> &'a [Block] {
        let blocks = (header.length() as usize).div_ceil(BLOCK_LEN);
        self.0.get(..blocks).unwrap_or(self.0)
    }

    /// Whether the tables of the image with this header match their checksum.
    #[must_use]
    pub fn has_sound_tables(&self, header: &SnapshotHeader) -> bool {
        self.table_sum(header) == header.table_sum.get()
    }

    /// The checksum of the tables of the image with this header, as far as they lie in the area.
    pub(super) fn table_sum(&self, header: &SnapshotHeader) -> u64 {
        let mut left = header
            .tables_end()
            .saturating_sub(SnapshotHeader::REGIONS_AT) as usize
            / 4;
        let mut sum = WordSum::new();
        for block in self.0.get(1..).unwrap_or(&[]) {
            let words = words(block, 0, left);
            sum = words.iter().fold(sum, |sum, word| sum.word(load(word)));
            left = left.saturating_sub(words.len());
            if left == 0 {
                break;
            }
        }
        sum.value()
    }

    /// Whether the image with this header is of this crash.
    #[must_use]
    pub fn is_of(header: &SnapshotHeader, crash: &CrashContext) -> bool {
        header.boot.get() == crash.boot
            && header.task.get() == crash.task
            && header.time.get() == crash.time
    }

    /// Discards the image: it is on the card, or of no use.
    pub fn clear(&self) {
        if let Some(magic) = self.magic() {
            publish(magic, 0);
        }
    }

    /// Makes an image valid by its header, which is stored last.
    pub(super) fn publish(&self, header: &SnapshotHeader) {
        let (values, _) = header.as_bytes().as_chunks::<4>();
        let (Some(block), Some((magic, values))) = (self.0.first(), values.split_first()) else {
            return;
        };
        let [first, places @ ..] = block.words();
        let (places, rest) = places
            .split_at_checked(values.len())
            .unwrap_or((places, &[]));
        for (place, value) in places.iter().zip(values) {
            store(place, u32::from_le_bytes(*value));
        }
        for place in rest {
            store(place, 0);
        }
        publish(first, u32::from_le_bytes(*magic));
    }

    /// Stores the whole words of `bytes`, fewer than a block's, from word `at` of the area on;
    /// nothing beyond its end.
    #[inline(never)]
    pub(super) fn store(&self, at: usize, bytes: &[u8]) {
        let (mut values, _) = bytes.as_chunks::<4>();
        let mut word = at % BLOCK_WORDS;
        for block in self.0.get(at / BLOCK_WORDS..).unwrap_or(&[]) {
            let places = words(block, word, values.len());
            for (place, value) in places.iter().zip(values) {
                store(place, u32::from_le_bytes(*value));
            }
            values = values.get(places.len()..).unwrap_or(&[]);
            if values.is_empty() {
                return;
            }
            word = 0;
        }
    }

    /// Loads whole words of `bytes`, fewer than a block's, from word `at` of the area on; they stay
    /// as they are beyond its end.
    #[inline(never)]
    pub(super) fn load(&self, at: usize, bytes: &mut [u8]) {
        let (mut values, _) = bytes.as_chunks_mut::<4>();
        let mut word = at % BLOCK_WORDS;
        for block in self.0.get(at / BLOCK_WORDS..).unwrap_or(&[]) {
            let places = words(block, word, values.len());
            for (place, value) in places.iter().zip(values.iter_mut()) {
                *value = load(place).to_le_bytes();
            }
            values = values.get_mut(places.len()..).unwrap_or(&mut []);
            if values.is_empty() {
                return;
            }
            word = 0;
        }
    }

    /// The first word of an image.
    fn magic(&self) -> Option<&'a AtomicU32> {
        let [magic, ..] = self.0.first()?.words();
        Some(magic)
    }
}
