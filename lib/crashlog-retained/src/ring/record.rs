//! A log record on its way into the ring.

use super::append::AppendError;
use crashlog_format::page::{LOG_HEADER_LEN, LogHeader, MAX_PAYLOAD};
use zerocopy::IntoBytes;

/// Words of a record's header.
pub(super) const HEADER: usize = LOG_HEADER_LEN / 4;
/// Words of the longest record.
const LONGEST: usize = HEADER + MAX_PAYLOAD / 4;

/// Room for one record, laid out as it will be in its page: so that it goes there by words, header and payload in one.
#[derive(Clone, Debug)]
pub struct Record {
    words: [u32; LONGEST],
    /// How many of them it has.
    used: usize,
    /// Bytes of payload.
    length: u16,
}

impl Record {
    /// Room for a record; without payload so far.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [0; LONGEST],
            used: HEADER,
            length: 0,
        }
    }

    /// Where the payload goes, `length` bytes, whose content is not defined yet.
    ///
    /// # Errors
    /// [`AppendError::TooLong`] if it would have more than 256 bytes; nothing is changed.
    #[inline(always)]
    pub fn payload(&mut self, length: usize) -> Result<&mut [u8], AppendError> {
        // A length that wraps is longer than what this gives.
        let used = HEADER.saturating_add(length.wrapping_add(3) / 4);
        let words = self.words.get_mut(..used).ok_or(AppendError::TooLong)?;
        // What pads the record is zero.
        if let Some(last) = words.last_mut() {
            *last = 0;
        }
        self.used = used;
        self.length = length as u16;
        let (_, payload) = self.words.as_mut_bytes().split_at_mut(LOG_HEADER_LEN);
        payload.get_mut(..length).ok_or(AppendError::TooLong)
    }

    /// Bytes that it takes in the ring.
    #[must_use]
    #[inline(always)]
    pub fn space(&self) -> u32 {
        (self.used as u32).wrapping_mul(4)
    }

    /// Puts the header in place.
    #[inline(always)]
    pub(super) fn head(&mut self, header: &LogHeader) {
        if let Some(to) = self.words.first_chunk_mut::<HEADER>() {
            *to = header.to_words(self.length).map(u32::to_le);
        }
    }

    /// All of it. It never has more words than there are.
    #[inline(always)]
    pub(super) fn words(&self) -> Option<&[u32]> {
        self.words.get(..self.used)
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}
