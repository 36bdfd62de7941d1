//! Accepting a record: see the theory of operation in the parent.

use super::{LogRing, Open, Record, Written};
use crate::words::store;
use core::convert::Infallible;
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU32;
use crashlog_format::Crc32c;
use crashlog_format::page::LogHeader;

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
    pub fn append(&self, header: &LogHeader, payload: &[u8]) -> Result<u32, AppendError> {
        let mut record = Record::new();
        record.payload(payload.len())?.copy_from_slice(payload);
        self.append_record(header, &mut record)
    }

    /// As [`Self::append`], of a payload that is in place already.
    ///
    /// # Errors
    /// As for [`Self::append`].
    #[inline(always)]
    pub fn append_record(
        &self,
        header: &LogHeader,
        record: &mut Record,
    ) -> Result<u32, AppendError> {
        record.head(header);
        self.append_words(record)
    }

    /// A function of its own: it is optimised for speed, its caller for size.
    #[inline(never)]
    fn append_words(&self, record: &Record) -> Result<u32, AppendError> {
        let never_stop = || ControlFlow::<Infallible>::Continue(());
        let Some(words) = record.words() else {
            return Err(AppendError::TooLong);
        };
        match self.put(words, never_stop) {
            ControlFlow::Continue(result) => result,
        }
    }

    /// As [`Self::append`], asking `step` after every store whether to go on. For tests of interruption: with a `step`
    /// that never stops, nothing of it is left in the program.
    pub fn append_stepwise<B>(
        &self,
        header: &LogHeader,
        payload: &[u8],
        step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Result<u32, AppendError>> {
        let mut record = Record::new();
        match record.payload(payload.len()) {
            Ok(place) => place.copy_from_slice(payload),
            Err(error) => return ControlFlow::Continue(Err(error)),
        }
        record.head(header);
        self.put(record.words().unwrap_or(&[]), step)
    }

    /// Is the record that was accepted last the first in its page? If so there will soon be a page to be written that
    /// there was not.
    #[must_use]
    #[inline]
    pub fn has_begun_page(&self) -> bool {
        self.written.get().extent.records() == 1
    }

    #[inline(always)]
    fn put<B>(
        &self,
        record: &[u32],
        mut step: impl FnMut() -> ControlFlow<B>,
    ) -> ControlFlow<B, Result<u32, AppendError>> {
        let (to, room) = match self.room.get().split_at_checked(record.len()) {
            Some(split) => split,
            None => {
                self.turn_page(&mut step)?;
                match self.room.get().split_at_checked(record.len()) {
                    Some(split) => split,
                    None => return ControlFlow::Continue(Err(AppendError::Full)),
                }
            }
        };
        let Some(Open { entry, .. }) = self.open.get() else {
            // There is room in an open page only.
            return ControlFlow::Continue(Err(AppendError::Full));
        };
        let Written { extent, select } = self.written.get();
        let crc = copy(Crc32c::resume(extent.crc), to, record, &mut step)?;
        let extent = extent.with_record(crc.value(), record.len());
        let select = !select;
        entry.set_alternate(select, extent, &mut step)?;
        entry.select(select);
        step()?;

        self.room.set(room);
        self.written.set(Written { extent, select });
        let number = self.next_record.get();
        self.next_record.set(number.wrapping_add(1));
        ControlFlow::Continue(Ok(number))
    }

    /// Closes the open page, if there is one, and opens the next, if one is free.
    #[cold]
    #[inline(never)]
    fn turn_page<B>(&self, mut step: impl FnMut() -> ControlFlow<B>) -> ControlFlow<B> {
        self.close_stepwise(&mut step)?;
        self.open_page(&mut step)
    }
}

/// Copies words and carries their checksum on, four at a time.
#[inline(always)]
fn copy<B>(
    mut crc: Crc32c,
    to: &[AtomicU32],
    from: &[u32],
    mut step: impl FnMut() -> ControlFlow<B>,
) -> ControlFlow<B, Crc32c> {
    let mut one = |to: &AtomicU32, word: &u32| {
        let word = u32::from_le(*word);
        crc = crc.word(word);
        store(to, word);
        step()
    };
    let (to_fours, to_rest) = to.as_chunks::<4>();
    let (fours, rest) = from.as_chunks::<4>();
    for (to, from) in to_fours.iter().zip(fours) {
        for (to, word) in to.iter().zip(from) {
            one(to, word)?;
        }
    }
    for (to, word) in to_rest.iter().zip(rest) {
        one(to, word)?;
    }
    ControlFlow::Continue(crc)
}
