//! A log record before it is appended to the ring.

use super::append::AppendError;
use crashlog_format::page::{LOG_HEADER_LEN, LogHeader, MAX_PAYLOAD};
use zerocopy::IntoBytes;

/// Words of a record's header.
pub(super) const HEADER: usize = LOG_HEADER_LEN / 4;
/// Words of the longest record.
const LONGEST: usize = HEADER + MAX_PAYLOAD / 4;

/// A buffer for one log record, with the layout that it has in a page: header and payload are
/// copied there together, by words.
#[derive(Clone, Debug)]
pub struct Record {
    words: [u32; LONGEST],
    /// How many words the record has.
    used: usize,
    /// Bytes of payload.
    length: u16,
}

impl Record {
    /// A record without payload.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [0; LONGEST],
            used: HEADER,
            length: 0,
        }
    }

    /// Sets the length of the payload and returns its place. The content is undefined until the
    /// caller has written it.
    ///
    /// # Errors
    /// [`AppendError::TooLong`] if `length` is more than 256; the record is unchanged.
    #[inline(always)]
    pub fn payload(&mut self, length: usize) -> Result<&mut [u8], AppendError> {
        // If the addition wraps the quotient is small, and the last bound below refuses the length.
        let used = HEADER.saturating_add(length.wrapping_add(3) / 4);
        let words = self.words.get_mut(..used).ok_or(AppendError::TooLong)?;
        // The bytes that pad the record are zero.
        if let Some(last) = words.last_mut() {
            *last = 0;
        }
        self.used = used;
        self.length = length as u16;
        let (_, payload) = self.words.as_mut_bytes().split_at_mut(LOG_HEADER_LEN);
        payload.get_mut(..length).ok_or(AppendError::TooLong)
    }

    /// How many bytes it takes in the ring.
    #[must_use]
    #[inline(always)]
    pub fn space(&self) -> u32 {
        (self.used as u32).wrapping_mul(4)
    }

    /// Writes the header.
    #[inline(always)]
    pub(super) fn head(&mut self, header: &LogHeader) {
        if let Some(to) = self.words.first_chunk_mut::<HEADER>() {
            *to = header.to_words(self.length).map(u32::to_le);
        }
    }

    /// The words of the record. `None` never occurs: `used` is within the buffer.
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
