//! Buffered access to a lease byte by byte, without a system call for each byte.

use crate::{AttributeRead, AttributeWrite, Leased};
use core::ops::Range;

/// Buffer of a reader that fetches up to `N` bytes at a time.
#[derive(Debug)]
struct ReadBuffer<const N: usize> {
    buffer: [u8; N],
    /// Number of bytes that have been returned to the caller.
    position: usize,
    /// Number of bytes that have been fetched; the last `filled` of them are at the start of
    /// `buffer`.
    fetched: usize,
    /// Bytes in `buffer`.
    filled: usize,
}

impl<const N: usize> ReadBuffer<N> {
    const fn new() -> Self {
        const { assert!(N > 0, "a buffer needs room for a byte") };
        Self {
            buffer: [0; N],
            position: 0,
            fetched: 0,
            filled: 0,
        }
    }

    /// How many of `len` bytes have not been returned to the caller.
    fn remaining(&self, len: usize) -> usize {
        len.saturating_sub(self.position)
    }

    /// Fetches the next of `len` bytes if all bytes in the buffer have been returned.
    fn refill(
        &mut self,
        len: usize,
        fetch: impl FnOnce(Range<usize>, &mut [u8]) -> Result<(), ()>,
    ) -> Option<()> {
        if self.position < self.fetched {
            return Some(());
        }
        let length = self.remaining(len).min(N);
        let dest = self
            .buffer
            .get_mut(..length)
            .filter(|dest| !dest.is_empty())?;
        let end = self.position.checked_add(length)?;
        fetch(self.position..end, dest).ok()?;
        self.fetched = end;
        self.filled = length;
        Some(())
    }

    /// The next byte of the buffer; `None` if all have been returned.
    fn take(&mut self) -> Option<u8> {
        let ahead = self.fetched.checked_sub(self.position)?;
        let byte = *self
            .buffer
            .get(..self.filled)?
            .get(self.filled.checked_sub(ahead)?)?;
        self.position = self.position.checked_add(1)?;
        Some(byte)
    }
}

/// Buffer of a writer that stores up to `N` bytes at a time.
#[derive(Debug)]
struct WriteBuffer<const N: usize> {
    buffer: [u8; N],
    /// Bytes in `buffer`.
    filled: usize,
    /// Number of bytes that have been stored.
    written: usize,
}

impl<const N: usize> WriteBuffer<N> {
    const fn new() -> Self {
        const { assert!(N > 0, "a buffer needs room for a byte") };
        Self {
            buffer: [0; N],
            filled: 0,
            written: 0,
        }
    }

    /// How many more bytes fit into `len`.
    fn remaining(&self, len: usize) -> usize {
        len.saturating_sub(self.written).saturating_sub(self.filled)
    }

    /// Adds a byte; true if the buffer must be flushed now.
    fn put(&mut self, len: usize, byte: u8) -> Result<bool, ()> {
        if self.remaining(len) == 0 {
            return Err(());
        }
        *self.buffer.get_mut(self.filled).ok_or(())? = byte;
        self.filled = self.filled.saturating_add(1);
        Ok(self.filled == N || self.remaining(len) == 0)
    }

    /// Stores the content of the buffer, which is empty afterwards also in case of an error: the
    /// lender was restarted then, and no later attempt can succeed.
    fn flush(
        &mut self,
        store: impl FnOnce(Range<usize>, &[u8]) -> Result<(), ()>,
    ) -> Result<(), ()> {
        let length = core::mem::take(&mut self.filled);
        let src = self.buffer.get(..length).ok_or(())?;
        let end = self.written.checked_add(length).ok_or(())?;
        store(self.written..end, src)?;
        self.written = end;
        Ok(())
    }
}

/// Reads a lease byte by byte, `N` bytes for each system call.
#[derive(Debug)]
pub struct LeaseBufReader<A: AttributeRead, const N: usize> {
    lease: Leased<A, [u8]>,
    buffer: ReadBuffer<N>,
}

impl<A: AttributeRead, const N: usize> From<Leased<A, [u8]>> for LeaseBufReader<A, N> {
    fn from(lease: Leased<A, [u8]>) -> Self {
        Self {
            lease,
            buffer: ReadBuffer::new(),
        }
    }
}

impl<A: AttributeRead, const N: usize> LeaseBufReader<A, N> {
    /// Has all of the lease been read?
    pub fn is_eof(&self) -> bool {
        self.buffer.remaining(self.lease.len()) == 0
    }

    /// Fetches the next bytes if all bytes in the buffer have been returned. `None` at the end of
    /// the lease, or if the lender was restarted.
    pub fn refill(&mut self) -> Option<()> {
        let Self { lease, buffer } = self;
        buffer.refill(lease.len(), |range, dest| lease.read_range(range, dest))
    }

    /// The next byte. `None` at the end of the lease, or if the lender was restarted.
    pub fn read(&mut self) -> Option<u8> {
        self.refill()?;
        self.buffer.take()
    }
}

/// Writes a lease byte by byte, `N` bytes for each system call.
///
/// The buffer is written when it is full, when the lease is full, and when the writer is dropped.
#[derive(Debug)]
pub struct LeaseBufWriter<A: AttributeWrite, const N: usize> {
    lease: Leased<A, [u8]>,
    buffer: WriteBuffer<N>,
}

impl<A: AttributeWrite, const N: usize> From<Leased<A, [u8]>> for LeaseBufWriter<A, N> {
    fn from(lease: Leased<A, [u8]>) -> Self {
        Self {
            lease,
            buffer: WriteBuffer::new(),
        }
    }
}

impl<A: AttributeWrite, const N: usize> LeaseBufWriter<A, N> {
    /// Has all of the lease been written?
    pub fn is_eof(&self) -> bool {
        self.buffer.remaining(self.lease.len()) == 0
    }

    /// Adds a byte.
    ///
    /// # Errors
    ///
    /// If the lease is full, or the lender was restarted.
    #[allow(clippy::result_unit_err, reason = "the interface")]
    pub fn write(&mut self, byte: u8) -> Result<(), ()> {
        if self.buffer.put(self.lease.len(), byte)? {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), ()> {
        let Self { lease, buffer } = self;
        buffer.flush(|range, src| lease.write_range(range, src))
    }
}

impl<A: AttributeWrite, const N: usize> Drop for LeaseBufWriter<A, N> {
    fn drop(&mut self) {
        if self.buffer.filled != 0 {
            // The error cannot be returned from here, and a lender that was restarted does not need
            // the bytes.
            let _ = self.flush();
        }
    }
}

/// A source of bytes: a lease, or a slice.
pub trait BufReader<'a> {
    /// How many bytes are left.
    fn remaining_size(&self) -> usize;

    /// The next byte; `None` at the end, or if the lender was restarted.
    fn read(&mut self) -> Option<u8>;
}

impl<A: AttributeRead, const N: usize> BufReader<'_> for LeaseBufReader<A, N> {
    fn remaining_size(&self) -> usize {
        self.buffer.remaining(self.lease.len())
    }

    fn read(&mut self) -> Option<u8> {
        LeaseBufReader::read(self)
    }
}

impl<'a> BufReader<'a> for &'a [u8] {
    fn remaining_size(&self) -> usize {
        self.len()
    }

    fn read(&mut self) -> Option<u8> {
        let (first, rest) = self.split_first()?;
        *self = rest;
        Some(*first)
    }
}

/// Something to write bytes to: a lease, or a slice.
pub trait BufWriter<'a> {
    /// How many bytes there is room for.
    fn remaining_size(&self) -> usize;

    /// Adds a byte.
    ///
    /// # Errors
    ///
    /// If there is no room, or the lender was restarted.
    #[allow(clippy::result_unit_err, reason = "the interface")]
    fn write(&mut self, byte: u8) -> Result<(), ()>;
}

impl<A: AttributeWrite, const N: usize> BufWriter<'_> for LeaseBufWriter<A, N> {
    fn remaining_size(&self) -> usize {
        self.buffer.remaining(self.lease.len())
    }

    fn write(&mut self, byte: u8) -> Result<(), ()> {
        LeaseBufWriter::write(self, byte)
    }
}

impl<'a> BufWriter<'a> for &'a mut [u8] {
    fn remaining_size(&self) -> usize {
        self.len()
    }

    fn write(&mut self, byte: u8) -> Result<(), ()> {
        let (first, rest) = core::mem::take(self).split_first_mut().ok_or(())?;
        *first = byte;
        *self = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_readers_and_writers() {
        let mut reader: &[u8] = &[1, 2];
        assert_eq!(reader.remaining_size(), 2);
        assert_eq!(
            [BufReader::read(&mut reader), reader.read(), reader.read()],
            [Some(1), Some(2), None]
        );

        let mut memory = [0; 2];
        let mut writer: &mut [u8] = &mut memory;
        assert_eq!(BufWriter::write(&mut writer, 7), Ok(()));
        assert_eq!(writer.remaining_size(), 1);
        assert_eq!(BufWriter::write(&mut writer, 8), Ok(()));
        assert_eq!(BufWriter::write(&mut writer, 9), Err(()));
        assert_eq!(memory, [7, 8]);
    }

    #[test]
    fn bytes_are_fetched_in_pieces_and_returned_in_order() {
        let content = [1, 2, 3, 4, 5];
        let mut pieces = Vec::new();
        let mut buffer = ReadBuffer::<2>::new();
        let mut read = Vec::new();
        loop {
            let fetched = buffer.refill(content.len(), |range, dest| {
                pieces.push(range.clone());
                dest.copy_from_slice(&content[range]);
                Ok(())
            });
            match fetched.and_then(|()| buffer.take()) {
                Some(byte) => read.push(byte),
                None => break,
            }
        }
        assert_eq!(read, content);
        assert_eq!(pieces, [0..2, 2..4, 4..5]);
        assert_eq!(buffer.remaining(content.len()), 0);
    }

    #[test]
    fn failed_fetch_returns_nothing_and_can_be_repeated() {
        let mut buffer = ReadBuffer::<4>::new();
        assert_eq!(buffer.refill(1, |_, _| Err(())), None);
        assert_eq!(buffer.take(), None);
        assert_eq!(buffer.remaining(1), 1);
        let fetched = buffer.refill(1, |_, dest| {
            dest.fill(9);
            Ok(())
        });
        assert_eq!(
            (fetched, buffer.take(), buffer.take()),
            (Some(()), Some(9), None)
        );
    }

    #[test]
    fn bytes_are_stored_in_pieces() {
        let mut stored = Vec::new();
        let mut buffer = WriteBuffer::<2>::new();
        for byte in 1..=5 {
            if buffer.put(5, byte).unwrap() {
                let store = |range, src: &[u8]| {
                    stored.push((range, src.to_vec()));
                    Ok(())
                };
                buffer.flush(store).unwrap();
            }
        }
        assert_eq!(
            stored,
            [(0..2, vec![1, 2]), (2..4, vec![3, 4]), (4..5, vec![5])]
        );
        assert_eq!(buffer.put(5, 6), Err(()));
    }

    #[test]
    fn lost_bytes_are_not_stored_again() {
        let mut buffer = WriteBuffer::<2>::new();
        assert_eq!(buffer.put(4, 1), Ok(false));
        assert_eq!(buffer.put(4, 2), Ok(true));
        assert_eq!(buffer.flush(|_, _| Err(())), Err(()));
        assert_eq!((buffer.filled, buffer.written), (0, 0));
    }
}
