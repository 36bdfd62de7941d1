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
    /// Bytes.
    pub length: u16,
    /// How many they are.
    pub records: u16,
}

impl Extent {
    /// No record.
    pub(super) const EMPTY: Self = Self {
        crc: 0,
        length: 0,
        records: 0,
    };
}

/// The entry of one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    state: &'a AtomicU32,
    order: &'a AtomicU32,
    boot: &'a AtomicU32,
    first_record: &'a AtomicU32,
    check: &'a AtomicU32,
    number: &'a AtomicU32,
    select: &'a AtomicU32,
    alternates: &'a [AtomicU32; 4],
}

impl<'a> Entry<'a> {
    /// The entry of the page at place `index`.
    pub(super) fn of(entries: &'a [Block], index: usize) -> Option<Self> {
        let per_block = size_of::<Block>() / 4 / WORDS;
        let (in_block, _) = entries.get(index / per_block)?.words().as_chunks::<WORDS>();
        let [
            state,
            order,
            boot,
            first_record,
            check,
            number,
            select,
            rest @ ..,
        ] = in_block.get(index % per_block)?;
        let alternates = rest.first_chunk()?;
        Some(Self {
            state,
            order,
            boot,
            first_record,
            check,
            number,
            select,
            alternates,
        })
    }

    pub(super) fn state(self) -> State {
        match load(self.state) {
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
        publish(self.state, value);
    }

    /// The order number, if the entry passes its check.
    pub(super) fn order(self) -> Option<u32> {
        let fields = [self.order, self.boot, self.first_record].map(load);
        let [order, ..] = fields;
        (load(self.check) == check_values(MAGIC, &fields)).then_some(order)
    }

    pub(super) fn boot(self) -> u32 {
        load(self.boot)
    }

    pub(super) fn first_record(self) -> u32 {
        load(self.first_record)
    }

    /// Number that follows those of its records.
    pub(super) fn next_record(self) -> u32 {
        self.first_record()
            .wrapping_add(self.extent().records.into())
    }

    pub(super) fn number(self) -> u32 {
        load(self.number)
    }

    pub(super) fn set_number(self, number: u32) {
        store(self.number, number);
    }

    /// What counts of the page, within bounds even if the entry is damaged.
    pub(super) fn extent(self) -> Extent {
        self.selected().unwrap_or(Extent::EMPTY)
    }

    /// The alternate that counts; `None` if it is out of bounds.
    pub(super) fn selected(self) -> Option<Extent> {
        self.alternate(load(self.select) != 0)
    }

    pub(super) fn alternate(self, which: bool) -> Option<Extent> {
        let [crc, lengths] = self.alternate_words(which).map(load);
        let [a, b, c, d] = lengths.to_le_bytes();
        let length = u16::from_le_bytes([a, b]);
        if usize::from(length) > CAPACITY || !length.is_multiple_of(4) {
            return None;
        }
        let most = length / crashlog_format::page::RECORD_HEADER_LEN as u16;
        Some(Extent {
            crc,
            length,
            records: u16::from_le_bytes([c, d]).min(most),
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
        store(
            lengths,
            u32::from(extent.length) | u32::from(extent.records) << 16,
        );
        step()
    }

    /// Makes an alternate count.
    pub(super) fn select(self, which: bool) {
        publish(self.select, which.into());
    }

    fn alternate_words(self, which: bool) -> [&'a AtomicU32; 2] {
        let [a, b, c, d] = self.alternates;
        if which { [c, d] } else { [a, b] }
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
        store(self.check, !check_values(MAGIC, &fields));
        step()?;
        self.set_alternate(false, Extent::EMPTY, &mut step)?;
        store(self.select, 0);
        step()?;
        for (word, value) in [self.order, self.boot, self.first_record]
            .into_iter()
            .zip(fields)
        {
            store(word, value);
            step()?;
        }
        publish(self.check, check_values(MAGIC, &fields));
        step()?;
        self.set_state(State::Open);
        step()
    }
}
