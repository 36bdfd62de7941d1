//! What is known of one page of the log ring.

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

/// What happens with the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing that is not durable is in it.
    Free,
    /// Records are being added.
    Open,
    /// It takes no more records.
    Closed,
    /// It has a number and a header.
    Numbered,
}

/// Records of a page that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Checksum over them.
    pub crc: u32,
    /// As in the entry: bytes in the lower half, how many records they are in the upper.
    lengths: u32,
}

impl Extent {
    /// No record.
    pub(super) const EMPTY: Self = Self { crc: 0, lengths: 0 };

    /// Bytes.
    pub(super) fn length(self) -> u16 {
        let [a, b, ..] = self.lengths.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// How many records they are.
    pub(super) fn records(self) -> u16 {
        let [.., c, d] = self.lengths.to_le_bytes();
        u16::from_le_bytes([c, d])
    }

    /// With one more record, of so many words; the checksum is then `crc`. The page has room for it, so neither half
    /// overflows.
    pub(super) fn with_record(self, crc: u32, words: usize) -> Self {
        let more = (words as u32).wrapping_mul(4) | 1 << 16;
        Self {
            crc,
            lengths: self.lengths.wrapping_add(more),
        }
    }
}

/// The entry of one page: words of the region, by these numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a>(&'a [AtomicU32; WORDS]);

const STATE: usize = 0;
const ORDER: usize = 1;
const BOOT: usize = 2;
const FIRST_RECORD: usize = 3;
const CHECK: usize = 4;
const NUMBER: usize = 5;
const SELECT: usize = 6;
/// Two alternates of two words.
const ALTERNATES: usize = 7;

impl<'a> Entry<'a> {
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

    pub(super) fn state(self) -> State {
        match load(self.word::<STATE>()) {
            OPEN => State::Open,
            CLOSED => State::Closed,
            NUMBERED => State::Numbered,
            _ => State::Free,
        }
    }

    pub(super) fn set_state(self, state: State) {
        let value = match state {
            State::Free => 0,
            State::Open => OPEN,
            State::Closed => CLOSED,
            State::Numbered => NUMBERED,
        };
        publish(self.word::<STATE>(), value);
    }

    /// The order number, if the entry passes its check.
    pub(super) fn order(self) -> Option<u32> {
        let fields = self.fields().map(load);
        let [order, ..] = fields;
        (load(self.word::<CHECK>()) == check_values(MAGIC, &fields)).then_some(order)
    }

    pub(super) fn boot(self) -> u32 {
        load(self.word::<BOOT>())
    }

    pub(super) fn first_record(self) -> u32 {
        load(self.word::<FIRST_RECORD>())
    }

    /// Number that follows those of its records.
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

    /// What counts of the page, within bounds even if the entry is damaged.
    pub(super) fn extent(self) -> Extent {
        self.selected().unwrap_or(Extent::EMPTY)
    }

    /// The alternate that counts; `None` if it is out of bounds.
    pub(super) fn selected(self) -> Option<Extent> {
        self.alternate(load(self.word::<SELECT>()) != 0)
    }

    pub(super) fn alternate(self, which: bool) -> Option<Extent> {
        let [crc, lengths] = self.alternate_words(which).map(load);
        let extent = Extent { crc, lengths };
        let length = extent.length();
        if usize::from(length) > CAPACITY || !length.is_multiple_of(4) {
            return None;
        }
        let most = length / crashlog_format::page::LOG_HEADER_LEN as u16;
        let records = extent.records().min(most);
        Some(Extent {
            crc,
            lengths: u32::from(length) | u32::from(records) << 16,
        })
    }

    /// Fills in the alternate that does not count.
    pub(super) fn set_alternate<B>(
        self,
        which: bool,
        extent: Extent,
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let [crc, lengths] = self.alternate_words(which);
        store(crc, extent.crc);
        step()?;
        store(lengths, extent.lengths);
        step()
    }

    /// Makes an alternate count.
    pub(super) fn select(self, which: bool) {
        publish(self.word::<SELECT>(), which.into());
    }

    fn alternate_words(self, which: bool) -> [&'a AtomicU32; 2] {
        const { assert!(ALTERNATES + 3 < WORDS) };
        let first = ALTERNATES + 2 * usize::from(which);
        [&self.0[first], &self.0[first + 1]]
    }

    /// What the check is over.
    fn fields(self) -> [&'a AtomicU32; 3] {
        [
            self.word::<ORDER>(),
            self.word::<BOOT>(),
            self.word::<FIRST_RECORD>(),
        ]
    }

    /// Makes the entry that of an open page without records. The page must be free; it is until the last store.
    pub(super) fn open<B>(
        self,
        order: u32,
        boot: u32,
        first_record: u32,
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let fields = [order, boot, first_record];
        // The old check fails from here on, the new one holds when all is in place.
        store(self.word::<CHECK>(), !check_values(MAGIC, &fields));
        step()?;
        self.set_alternate(false, Extent::EMPTY, &mut step)?;
        store(self.word::<SELECT>(), 0);
        step()?;
        for (word, value) in self.fields().into_iter().zip(fields) {
            store(word, value);
            step()?;
        }
        publish(self.word::<CHECK>(), check_values(MAGIC, &fields));
        step()?;
        self.set_state(State::Open);
        step()
    }
}
