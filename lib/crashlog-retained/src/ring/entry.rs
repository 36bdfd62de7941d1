//! The entry of a page of the log ring: state, order, which records are valid.

use crate::words::{check_values, load, publish, store};
use block_device::Block;
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU32;
use crashlog_format::page::CAPACITY;

const MAGIC: u32 = u32::from_le_bytes(*b"PAGE");

const WORDS: usize = 16;
const OPEN: u32 = u32::from_le_bytes(*b"OPEN");
const CLOSED: u32 = u32::from_le_bytes(*b"CLOS");
const NUMBERED: u32 = u32::from_le_bytes(*b"NUMB");

/// The state of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageState {
    /// It has no records that are not durable.
    Free,
    /// Records are being added.
    Open,
    /// It takes no more records.
    Closed,
    /// It has a number and a header.
    Numbered,
}

/// The valid records of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordExtent {
    /// CRC-32C over them.
    pub crc: u32,
    /// As in the entry: how many bytes in the lower half, how many records in the upper.
    lengths: u32,
}

impl RecordExtent {
    /// No record.
    pub(super) const EMPTY: Self = Self { crc: 0, lengths: 0 };

    /// How many bytes they have.
    pub(super) fn length(self) -> u16 {
        let [a, b, ..] = self.lengths.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// How many records they are.
    pub(super) fn records(self) -> u16 {
        let [.., c, d] = self.lengths.to_le_bytes();
        u16::from_le_bytes([c, d])
    }

    /// With one more record of `words` words; `crc` is the checksum with it. Both halves stay in
    /// their range, because the record fits into the page.
    pub(super) fn with_record(self, crc: u32, words: usize) -> Self {
        let more = (words as u32).wrapping_mul(4) | 1 << 16;
        Self {
            crc,
            lengths: self.lengths.wrapping_add(more),
        }
    }
}

/// The entry of one page: words of the region, at the indices below.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageEntry<'a>(&'a [AtomicU32; WORDS]);

const STATE: usize = 0;
const ORDER: usize = 1;
const BOOT: usize = 2;
const FIRST_RECORD: usize = 3;
const CHECK: usize = 4;
const NUMBER: usize = 5;
const SELECT: usize = 6;
/// Two alternates of two words.
const ALTERNATES: usize = 7;

impl<'a> PageEntry<'a> {
    /// The entry of the page at place `index`.
    pub(super) fn of(entries: &'a [Block], index: usize) -> Option<Self> {
        let per_block = size_of::<Block>() / 4 / WORDS;
        let (in_block, _) = entries.get(index / per_block)?.words().as_chunks::<WORDS>();
        in_block.get(index % per_block).map(Self)
    }

    #[inline]
    fn word<const INDEX: usize>(self) -> &'a AtomicU32 {
        const { assert!(INDEX < WORDS) };
        &self.0[INDEX]
    }

    pub(super) fn state(self) -> PageState {
        match load(self.word::<STATE>()) {
            OPEN => PageState::Open,
            CLOSED => PageState::Closed,
            NUMBERED => PageState::Numbered,
            _ => PageState::Free,
        }
    }

    pub(super) fn set_state(self, state: PageState) {
        let value = match state {
            PageState::Free => 0,
            PageState::Open => OPEN,
            PageState::Closed => CLOSED,
            PageState::Numbered => NUMBERED,
        };
        publish(self.word::<STATE>(), value);
    }

    /// The order number, if the entry passes its check.
    pub(super) fn order(self) -> Option<u32> {
        let fields = self.fields().map(load);
        let [order, boot, _] = fields;
        // Boots are counted from 1. An entry that was never used has only zeros, and with the right
        // order it would pass.
        let is_sound = boot != 0 && load(self.word::<CHECK>()) == check_values(MAGIC, &fields);
        is_sound.then_some(order)
    }

    /// Was it never used, and is it not damaged?
    pub(super) fn is_blank(self) -> bool {
        let fields = self.fields().map(load);
        fields == [0; 3] && load(self.word::<CHECK>()) == 0
    }

    /// Was it to be opened with these fields, and has no record yet?
    pub(super) fn is_being_opened(self, order: u32, boot: u32, first_record: u32) -> bool {
        let fields = [order, boot, first_record];
        load(self.word::<CHECK>()) == !check_values(MAGIC, &fields)
    }

    pub(super) fn boot(self) -> u32 {
        load(self.word::<BOOT>())
    }

    pub(super) fn first_record(self) -> u32 {
        load(self.word::<FIRST_RECORD>())
    }

    /// The number behind that of its last record.
    pub(super) fn next_record(self) -> u32 {
        self.first_record()
            .wrapping_add(self.extent().records().into())
    }

    pub(super) fn number(self) -> u32 {
        load(self.word::<NUMBER>())
    }

    pub(super) fn set_number(self, number: u32) {
        store(self.word::<NUMBER>(), number);
    }

    /// The valid records, within the bounds of the page even if the entry is damaged.
    pub(super) fn extent(self) -> RecordExtent {
        self.selected().unwrap_or(RecordExtent::EMPTY)
    }

    /// The alternate that is valid; `None` if it is out of bounds.
    pub(super) fn selected(self) -> Option<RecordExtent> {
        self.alternate(load(self.word::<SELECT>()) != 0)
    }

    pub(super) fn alternate(self, which: bool) -> Option<RecordExtent> {
        let [crc, lengths] = self.alternate_words(which).map(load);
        let extent = RecordExtent { crc, lengths };
        let length = extent.length();
        if usize::from(length) > CAPACITY || !length.is_multiple_of(4) {
            return None;
        }
        let most = length / crashlog_format::page::LOG_HEADER_LEN as u16;
        let records = extent.records().min(most);
        Some(RecordExtent {
            crc,
            lengths: u32::from(length) | u32::from(records) << 16,
        })
    }

    /// Fills in an alternate; it must not be the valid one.
    pub(super) fn set_alternate<B>(
        self,
        which: bool,
        extent: RecordExtent,
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let [crc, lengths] = self.alternate_words(which);
        store(crc, extent.crc);
        step()?;
        store(lengths, extent.lengths);
        step()
    }

    /// Makes an alternate the valid one.
    pub(super) fn select(self, which: bool) {
        publish(self.word::<SELECT>(), which.into());
    }

    #[cfg(test)]
    pub(super) fn set_word(self, word: usize, value: u32) {
        store(&self.0[word], value);
    }

    fn alternate_words(self, which: bool) -> [&'a AtomicU32; 2] {
        const { assert!(ALTERNATES + 3 < WORDS) };
        let first = ALTERNATES + 2 * usize::from(which);
        [&self.0[first], &self.0[first + 1]]
    }

    /// The words that the check covers.
    fn fields(self) -> [&'a AtomicU32; 3] {
        [
            self.word::<ORDER>(),
            self.word::<BOOT>(),
            self.word::<FIRST_RECORD>(),
        ]
    }

    /// Makes this the entry of an open page without records. The page must be free, and stays free
    /// until the last store.
    pub(super) fn open<B>(
        self,
        order: u32,
        boot: u32,
        first_record: u32,
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let fields = [order, boot, first_record];
        // The check fails from here on until all fields have their new values.
        store(self.word::<CHECK>(), !check_values(MAGIC, &fields));
        step()?;
        self.set_alternate(false, RecordExtent::EMPTY, &mut step)?;
        store(self.word::<SELECT>(), 0);
        step()?;
        for (word, value) in self.fields().into_iter().zip(fields) {
            store(word, value);
            step()?;
        }
        publish(self.word::<CHECK>(), check_values(MAGIC, &fields));
        step()?;
        self.set_state(PageState::Open);
        step()
    }
}
