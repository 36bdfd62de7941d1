//! Byte by byte through a lease, without a system call for each byte.

use crate::{AttributeRead, AttributeWrite, Leased};

/// Reads a lease byte by byte, `N` bytes for each system call.
#[derive(Debug)]
pub struct LeaseBufReader<A: AttributeRead, const N: usize> {
    lease: Leased<A, [u8]>,
    buffer: [u8; N],
    /// Bytes of the lease that have been handed out.
    position: usize,
    /// Bytes of the lease that have been fetched; the last of them are in `buffer`, from its start on.
    fetched: usize,
    /// Bytes in `buffer`.
    filled: usize,
}

impl<A: AttributeRead, const N: usize> From<Leased<A, [u8]>> for LeaseBufReader<A, N> {
    fn from(lease: Leased<A, [u8]>) -> Self {
        const { assert!(N > 0, "a buffer needs room for a byte") };
        Self {
            lease,
            buffer: [0; N],
            position: 0,
            fetched: 0,
            filled: 0,
        }
    }
}

impl<A: AttributeRead, const N: usize> LeaseBufReader<A, N> {
    /// Has all of the lease been read?
    pub fn is_eof(&self) -> bool {
        self.position >= self.lease.len()
    }

    /// How many bytes have not been read.
    fn remaining(&self) -> usize {
        self.lease.len().saturating_sub(self.position)
    }

    /// Fetches the next bytes if the buffer is used up. `None` at the end of the lease, or if the lender is gone.
    pub fn refill(&mut self) -> Option<()> {
        if self.position < self.fetched {
            return Some(());
        }
        let length = self.remaining().min(N);
        let dest = self
            .buffer
            .get_mut(..length)
            .filter(|dest| !dest.is_empty())?;
        let end = self.position.checked_add(length)?;
        self.lease.read_range(self.position..end, dest).ok()?;
        self.fetched = end;
        self.filled = length;
        Some(())
    }

    /// The next byte. `None` at the end of the lease, or if the lender is gone.
    pub fn read(&mut self) -> Option<u8> {
        self.refill()?;
        let ahead = self.fetched.checked_sub(self.position)?;
        let byte = *self.buffer.get(self.filled.checked_sub(ahead)?)?;
        self.position = self.position.checked_add(1)?;
        Some(byte)
    }
}

/// Writes a lease byte by byte, `N` bytes for each system call.
///
/// What is in the buffer is written when it is full, when the lease is, and when the writer is dropped.
#[derive(Debug)]
pub struct LeaseBufWriter<A: AttributeWrite, const N: usize> {
    lease: Leased<A, [u8]>,
    buffer: [u8; N],
    /// Bytes in `buffer`.
    filled: usize,
    /// Bytes of the lease that have been written.
    written: usize,
}

impl<A: AttributeWrite, const N: usize> From<Leased<A, [u8]>> for LeaseBufWriter<A, N> {
    fn from(lease: Leased<A, [u8]>) -> Self {
        const { assert!(N > 0, "a buffer needs room for a byte") };
        Self {
            lease,
            buffer: [0; N],
            filled: 0,
            written: 0,
        }
    }
}

impl<A: AttributeWrite, const N: usize> LeaseBufWriter<A, N> {
    /// Has all of the lease been written?
    pub fn is_eof(&self) -> bool {
        self.remaining() == 0
    }

    /// How many bytes there is room for.
    fn remaining(&self) -> usize {
        self.lease
            .len()
            .saturating_sub(self.written)
            .saturating_sub(self.filled)
    }

    /// Adds a byte.
    ///
    /// # Errors
    ///
    /// If the lease is full, or the lender is gone.
    #[allow(clippy::result_unit_err, reason = "the interface")]
    pub fn write(&mut self, byte: u8) -> Result<(), ()> {
        if self.is_eof() {
            return Err(());
        }
        *self.buffer.get_mut(self.filled).ok_or(())? = byte;
        self.filled = self.filled.saturating_add(1);
        if self.filled == N || self.is_eof() {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what is in the buffer. It is empty afterwards in any case: an error means a lender that is gone.
    fn flush(&mut self) -> Result<(), ()> {
        let length = core::mem::take(&mut self.filled);
        let src = self.buffer.get(..length).ok_or(())?;
        let end = self.written.checked_add(length).ok_or(())?;
        self.lease.write_range(self.written..end, src)?;
        self.written = end;
        Ok(())
    }
}

impl<A: AttributeWrite, const N: usize> Drop for LeaseBufWriter<A, N> {
    fn drop(&mut self) {
        if self.filled != 0 {
            // Nobody to tell; a lender that is gone does not miss it.
            let _ = self.flush();
        }
    }
}

/// Something to read bytes from: a lease, or a slice.
pub trait BufReader<'a> {
    /// How many bytes are left.
    fn remaining_size(&self) -> usize;

    /// The next byte; `None` at the end, or if the lender is gone.
    fn read(&mut self) -> Option<u8>;
}

impl<A: AttributeRead, const N: usize> BufReader<'_> for LeaseBufReader<A, N> {
    fn remaining_size(&self) -> usize {
        self.remaining()
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
    /// If there is no room, or the lender is gone.
    #[allow(clippy::result_unit_err, reason = "the interface")]
    fn write(&mut self, byte: u8) -> Result<(), ()>;
}

impl<A: AttributeWrite, const N: usize> BufWriter<'_> for LeaseBufWriter<A, N> {
    fn remaining_size(&self) -> usize {
        self.remaining()
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
}
