//! Accepting a record: see the theory of operation in the parent.

use super::entry::Extent;
use super::{LogRing, Open, RECORDS, Written};
use crate::words::store;
use core::convert::Infallible;
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU32;
use crashlog_format::Crc32c;
use crashlog_format::page::{self, CAPACITY, MAX_PAYLOAD, RECORD_HEADER_LEN, RecordHeader};

/// Words of a record's header.
const RECORD_HEADER: usize = RECORD_HEADER_LEN / 4;

/// Why a record was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// As wide as a record's number, so that either is returned in a register.
#[repr(u32)]
pub enum AppendError {
    /// Every page is waiting for the card.
    Full,
    /// The payload has more than 256 bytes.
    TooLong,
}

impl<'a> LogRing<'a> {
    /// Accepts a record: it is in retained memory when this returns. Returns its number in this boot, from 1.
    ///
    /// # Errors
    /// See [`AppendError`]; the ring is then unchanged, but for an open page that may have been closed.
    #[inline]
    pub fn append(&self, header: &RecordHeader, payload: &[u8]) -> Result<u32, AppendError> {
        self.append_words(&header_words(header, payload), payload)
    }

    /// A function of its own: it is optimised for speed, its caller for size.
    #[inline(never)]
    fn append_words(
        &self,
        header: &[u32; RECORD_HEADER],
        payload: &[u8],
    ) -> Result<u32, AppendError> {
        let never_stop = || ControlFlow::<Infallible>::Continue(());
        match self.put(header, payload, never_stop) {
            ControlFlow::Continue(result) => result,
        }
    }

    /// As [`Self::append`], asking `step` after every store whether to go on. For tests of interruption: with a `step`
    /// that never stops, nothing of it is left in the program.
    pub fn append_stepwise<B>(
        &self,
        header: &RecordHeader,
        payload: &[u8],
        step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Result<u32, AppendError>> {
        self.put(&header_words(header, payload), payload, step)
    }

    #[inline(always)]
    fn put<B>(
        &self,
        header: &[u32; RECORD_HEADER],
        payload: &[u8],
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Result<u32, AppendError>> {
        if payload.len() > MAX_PAYLOAD {
            return ControlFlow::Continue(Err(AppendError::TooLong));
        }
        let needed = page::record_len(payload.len());
        let fits = usize::from(self.written.get().extent.length).saturating_add(needed) <= CAPACITY;
        let open = match self.open.get() {
            Some(open) if fits => open,
            _ => match self.turn_page(&mut step)? {
                Some(open) => open,
                None => return ControlFlow::Continue(Err(AppendError::Full)),
            },
        };
        let Written { extent, select } = self.written.get();

        let first = RECORDS.saturating_add(usize::from(extent.length) / 4);
        let words = open.block.words().get(first..).unwrap_or(&[]);
        // What was checked above makes both splits possible.
        let Some((to_header, to_payload)) = words.split_first_chunk::<RECORD_HEADER>() else {
            return ControlFlow::Continue(Err(AppendError::Full));
        };
        let (whole, rest) = payload.as_chunks::<4>();
        let mut crc = Crc32c::resume(extent.crc);
        // Bounded by MAX_PAYLOAD above.
        crc = copy(crc, (to_header, to_payload), (header, whole), &mut step)?;
        if !rest.is_empty()
            && let Some(to) = to_payload.get(whole.len())
        {
            let word = padded(rest);
            crc = crc.word(word);
            store(to, word);
            step()?;
        }

        let extent = Extent {
            crc: crc.value(),
            // At most CAPACITY.
            length: extent.length.wrapping_add(needed as u16),
            records: extent.records.wrapping_add(1),
        };
        let select = !select;
        open.entry.set_alternate(select, extent, &mut step)?;
        open.entry.select(select);
        step()?;

        let record = self.next_record.get();
        self.next_record.set(record.wrapping_add(1));
        self.written.set(Written { extent, select });
        ControlFlow::Continue(Ok(record))
    }

    /// Closes the open page, if there is one, and opens the next; `None` if none is free.
    #[cold]
    #[inline(never)]
    fn turn_page<B>(
        &self,
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Option<Open<'a>>> {
        self.close_stepwise(&mut step)?;
        self.open_page(&mut step)
    }
}

/// Copies a header and then as many words of payload as there are, and carries their checksum on. Two words at a time; a
/// function of its own, as the four tables of the checksum leave no registers for anything else.
#[inline(never)]
fn copy<B>(
    mut crc: Crc32c,
    (to_header, to_payload): (&[AtomicU32; RECORD_HEADER], &[AtomicU32]),
    (header, payload): (&[u32; RECORD_HEADER], &[[u8; 4]]),
    mut step: impl FnMut() -> ControlFlow<B>,
) -> ControlFlow<B, Crc32c> {
    let mut one = |to: &AtomicU32, word: u32| {
        crc = crc.word(word);
        store(to, word);
        step()
    };
    for (to, word) in to_header.iter().zip(header) {
        one(to, *word)?;
    }
    let (pairs, last) = payload.as_chunks::<2>();
    let (to_pairs, _) = to_payload.as_chunks::<2>();
    for ([to_a, to_b], [a, b]) in to_pairs.iter().zip(pairs) {
        one(to_a, u32::from_le_bytes(*a))?;
        one(to_b, u32::from_le_bytes(*b))?;
    }
    if let ([word], Some(to)) = (last, to_payload.get(payload.len().wrapping_sub(1))) {
        one(to, u32::from_le_bytes(*word))?;
    }
    ControlFlow::Continue(crc)
}

/// The header of a record on its page. A payload whose length does not fit is refused before this is used.
#[inline]
fn header_words(header: &RecordHeader, payload: &[u8]) -> [u32; RECORD_HEADER] {
    header.to_words(payload.len() as u16)
}

/// One to three bytes as a word.
fn padded(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}
