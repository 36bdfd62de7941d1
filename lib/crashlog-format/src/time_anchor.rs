//! The time anchor: a log record that says which time of day a moment of a boot was.
//!
//! It is the payload of a record of [`Stream::Boot`](crate::Stream::Boot) that is not the first of
//! its boot (that is the boot record). The moment is the time in the record's header. There may be
//! several in a boot: a clock that is set anew is one more anchor, and none is changed.

/// A time anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeAnchor {
    utc_ms: u64,
}

/// What the record is, in its first byte.
const KIND: u8 = 1;

impl TimeAnchor {
    /// Length of its encoding in bytes.
    pub const LEN: usize = 16;

    /// The latest time, the last millisecond of the year 9999: later years are not written with
    /// four digits, as RFC 3339 has them.
    pub const MAX_UTC_MS: u64 = 253_402_300_799_999;

    /// The anchor of this time: milliseconds of UTC since 1970-01-01 00:00:00, without leap
    /// seconds. `None` beyond [`Self::MAX_UTC_MS`].
    #[must_use]
    pub const fn new(utc_ms: u64) -> Option<Self> {
        if utc_ms > Self::MAX_UTC_MS {
            return None;
        }
        Some(Self { utc_ms })
    }

    /// Milliseconds of UTC since 1970-01-01 00:00:00, at most [`Self::MAX_UTC_MS`].
    #[must_use]
    pub const fn utc_ms(self) -> u64 {
        self.utc_ms
    }

    /// Its encoding: 1, seven reserved bytes, the milliseconds as a little-endian number.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d, e, f, g, h] = self.utc_ms.to_le_bytes();
        [KIND, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h]
    }

    /// Decodes the payload of a record. Bytes behind it are left to later versions. `None` if it is
    /// cut off, its time is beyond [`Self::MAX_UTC_MS`], or the record is another one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<8>()?;
        let (utc_ms, _) = rest.split_first_chunk()?;
        let [kind, ..] = *head;
        if kind != KIND {
            return None;
        }
        Self::new(u64::from_le_bytes(*utc_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let anchor = TimeAnchor::new(0x0000_0123_4567_89ab).unwrap();
        let bytes = anchor.to_bytes();
        assert_eq!(TimeAnchor::parse(&bytes), Some(anchor));
        assert_eq!(
            TimeAnchor::parse(&[&bytes[..], &[7]].concat()),
            Some(anchor)
        );
        for length in 0..bytes.len() {
            assert_eq!(TimeAnchor::parse(&bytes[..length]), None, "{length}");
        }
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(TimeAnchor::parse(&other), None);
    }

    #[test]
    fn times_beyond_the_year_9999_are_refused() {
        let last = TimeAnchor::new(TimeAnchor::MAX_UTC_MS).unwrap();
        assert_eq!(TimeAnchor::parse(&last.to_bytes()), Some(last));
        for beyond in [TimeAnchor::MAX_UTC_MS + 1, u64::MAX] {
            assert_eq!(TimeAnchor::new(beyond), None);
            let bytes = TimeAnchor { utc_ms: beyond }.to_bytes();
            assert_eq!(TimeAnchor::parse(&bytes), None);
        }
    }
}
