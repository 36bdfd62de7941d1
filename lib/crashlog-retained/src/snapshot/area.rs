//! The dump area, as the recorder sees it.

use crate::CrashContext;
use crate::words::{load, publish, store};
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
        self.get(0) == SnapshotHeader::MAGIC
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
        let words = SnapshotHeader::REGIONS_AT / 4..header.tables_end() / 4;
        let sum = words.fold(WordSum::new(), |sum, index| {
            sum.word(self.get(index as usize))
        });
        sum.value() == header.table_sum.get()
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
        if let Some(word) = self.word(0) {
            publish(word, 0);
        }
    }

    /// Makes an image valid by its header, which is stored last.
    pub(super) fn publish(&self, header: &SnapshotHeader) {
        let (words, _) = header.as_bytes().as_chunks::<4>();
        let Some((magic, rest)) = words.split_first() else {
            return;
        };
        for (index, word) in rest.iter().enumerate() {
            self.set(index.saturating_add(1), u32::from_le_bytes(*word));
        }
        for index in words.len()..BLOCK_WORDS {
            self.set(index, 0);
        }
        if let Some(word) = self.word(0) {
            publish(word, u32::from_le_bytes(*magic));
        }
    }

    /// Word `index` of the area, or 0 beyond its end.
    pub(super) fn get(&self, index: usize) -> u32 {
        self.word(index).map_or(0, load)
    }

    /// Sets word `index` of the area; does nothing beyond its end.
    pub(super) fn set(&self, index: usize, value: u32) {
        if let Some(word) = self.word(index) {
            store(word, value);
        }
    }

    fn word(&self, index: usize) -> Option<&'a AtomicU32> {
        let block = self.0.get(index / BLOCK_WORDS)?;
        block.words().get(index % BLOCK_WORDS)
    }
}
