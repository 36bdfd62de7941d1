//! Cuts the bytes of a serial line into records.
//!
//! A [`Collector`] takes bytes one at a time. They make a record at a line feed, when
//! [`RECORD_MAX`] bytes have come without one, or when the line has been silent for some time, so
//! that a prompt is recorded although no line feed follows it. No byte is changed: the payloads of
//! all records, one after the other, are the bytes that came, with NULs, control characters, line
//! feeds and bytes that are not UTF-8.
//!
//! The collector holds one record. When it is complete, it must be [taken](Collector::taken) before
//! the next byte is accepted. This gives the task flow control: while the recorder is full, the
//! task stops reading the line.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

/// Longest record, in bytes: the longest payload the recorder accepts.
pub const RECORD_MAX: usize = 256;

/// The record under construction.
pub struct Collector {
    bytes: [u8; RECORD_MAX],
    len: usize,
    complete: bool,
    /// The time of the last byte, in milliseconds.
    last: u64,
}

/// The collector holds a complete record and takes no bytes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct NotTaken;

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector {
    /// An empty collector.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; RECORD_MAX],
            len: 0,
            complete: false,
            last: 0,
        }
    }

    /// Takes a byte that came at `now`, in milliseconds.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] if there is a complete record. The byte is not accepted, so check
    /// [`record`](Self::record) before reading a byte from the line.
    pub fn push(&mut self, byte: u8, now: u64) -> Result<(), NotTaken> {
        if self.complete {
            return Err(NotTaken);
        }
        let Some(place) = self.bytes.get_mut(self.len) else {
            return Err(NotTaken);
        };
        *place = byte;
        self.len += 1;
        self.last = now;
        self.complete = byte == b'\n' || self.len == RECORD_MAX;
        Ok(())
    }

    /// The complete record, if there is one. It stays until [`taken`](Self::taken).
    #[must_use]
    pub fn record(&self) -> Option<&[u8]> {
        if self.complete {
            self.bytes.get(..self.len)
        } else {
            None
        }
    }

    /// Forgets the complete record, if there is one: the caller has delivered it.
    pub fn taken(&mut self) {
        if self.complete {
            self.len = 0;
            self.complete = false;
        }
    }

    /// Completes a record that was begun and has had no byte for `silence` milliseconds.
    pub fn tick(&mut self, now: u64, silence: u64) {
        if self.deadline(silence).is_some_and(|due| due <= now) {
            self.complete = true;
        }
    }

    /// The time at which [`tick`](Self::tick) would complete the record; `None` if the collector is
    /// empty or its record is complete.
    #[must_use]
    pub fn deadline(&self, silence: u64) -> Option<u64> {
        if self.len > 0 && !self.complete {
            Some(self.last.saturating_add(silence))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Collector, NotTaken, RECORD_MAX};

    /// Feeds `input` as a task does whose records are always accepted.
    fn records(input: &[u8]) -> Vec<Vec<u8>> {
        let mut collector = Collector::new();
        let mut records = Vec::new();
        let mut take = |collector: &mut Collector| {
            if let Some(record) = collector.record() {
                records.push(record.to_vec());
                collector.taken();
            }
        };
        for (now, &byte) in (0..).zip(input) {
            collector.push(byte, now).unwrap();
            take(&mut collector);
        }
        collector.tick(u64::MAX, 100);
        take(&mut collector);
        records
    }

    #[test]
    fn a_record_ends_at_each_line_feed() {
        assert_eq!(
            records(b"one\r\n\ntwo\nrest"),
            [&b"one\r\n"[..], b"\n", b"two\n", b"rest"]
        );
    }

    #[test]
    fn a_long_line_makes_several_records() {
        let mut line = vec![b'x'; 2 * RECORD_MAX + 3];
        line.push(b'\n');
        let records = records(&line);
        let lengths: Vec<_> = records.iter().map(Vec::len).collect();
        assert_eq!(lengths, [RECORD_MAX, RECORD_MAX, 4]);
        assert_eq!(records.concat(), line);
    }

    #[test]
    fn no_byte_is_changed_or_dropped() {
        // Every byte value, in a pattern whose period is not a multiple of the record length.
        let input: Vec<u8> = (0..10_007_u32).map(|i| (i * 89 % 256) as u8).collect();
        let records = records(&input);
        assert!(records.iter().all(|r| (1..=RECORD_MAX).contains(&r.len())));
        assert_eq!(records.concat(), input);
    }

    #[test]
    fn a_complete_record_holds_the_line() {
        let mut collector = Collector::new();
        collector.push(b'\n', 0).unwrap();
        assert_eq!(collector.push(b'x', 0), Err(NotTaken));
        assert_eq!(collector.record(), Some(&b"\n"[..]));
        assert_eq!(collector.record(), Some(&b"\n"[..]));
        collector.taken();
        assert_eq!(collector.record(), None);
        collector.push(b'x', 0).unwrap();
    }

    #[test]
    fn silence_completes_a_partial_line() {
        let mut collector = Collector::new();
        assert_eq!(collector.deadline(100), None);
        for (now, byte) in [(10, b'>'), (40, b' ')] {
            collector.push(byte, now).unwrap();
        }
        assert_eq!(collector.deadline(100), Some(140));
        collector.tick(139, 100);
        assert_eq!(collector.record(), None);
        collector.tick(140, 100);
        assert_eq!(collector.record(), Some(&b"> "[..]));
        assert_eq!(collector.deadline(100), None);
    }

    #[test]
    fn taking_a_partial_record_does_nothing() {
        let mut collector = Collector::new();
        collector.push(b'x', 0).unwrap();
        collector.taken();
        collector.push(b'\n', 0).unwrap();
        assert_eq!(collector.record(), Some(&b"x\n"[..]));
    }
}
