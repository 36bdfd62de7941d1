//! A card or its image: a file or a device of 512-byte blocks.
//!
//! All reads and writes name their block, so an [`Image`] has no position. It is also a
//! [`BlockDevice`], for the code that the host shares with the target; its futures are ready at the
//! first poll.

use crate::problem::{Code, Problem};
use crate::ring::ReadBlocks;
use block_device::{BLOCK_LEN, Block, BlockDevice};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// An open card or image, or a part of it.
pub struct Image {
    path: PathBuf,
    file: File,
    /// Block of the file that is block 0 of this view, and number of blocks of the view.
    first: u64,
    blocks: u64,
    /// How many of them the file has; the others read as zeros.
    there: u64,
    device: bool,
}

impl Image {
    /// Opens `path` for reading, and for writing if `write`.
    pub fn open(path: &Path, write: bool) -> Result<Self, Problem> {
        let found = path.metadata();
        if found.is_ok_and(|found| found.file_type().is_fifo()) {
            // To open it would wait for somebody who writes to it.
            return Err(Problem::new(
                Code::Usage,
                format!(
                    "{}: is a pipe, which cannot be read in any order; write it to a file first",
                    path.display()
                ),
            ));
        }
        let mut file = File::options()
            .read(true)
            .write(write)
            .open(path)
            .map_err(|cause| match cause.kind() {
                io::ErrorKind::NotFound => Problem::new(
                    Code::Io,
                    format!(
                        "{}: there is no such file; `crashlog format` creates one",
                        path.display()
                    ),
                ),
                _ => Problem::io(path, "open it", &cause),
            })?;
        let kind = file
            .metadata()
            .map_err(|cause| Problem::io(path, "read its type", &cause))?
            .file_type();
        if kind.is_dir() {
            return Err(Problem::new(
                Code::Usage,
                format!("{}: is a directory, not a card or an image", path.display()),
            ));
        }
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Problem::new(
                Code::Usage,
                format!("{}: is neither a file nor a block device", path.display()),
            ));
        }
        // The length of a block device is found by seeking only.
        let bytes = file
            .seek(SeekFrom::End(0))
            .map_err(|cause| Problem::io(path, "find its size", &cause))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            first: 0,
            blocks: bytes / BLOCK_LEN as u64,
            there: bytes / BLOCK_LEN as u64,
            device: kind.is_block_device(),
        })
    }

    /// A view of `blocks` blocks from `first` on, cut at the end of this view.
    pub fn part(&self, first: u64, blocks: u64) -> Result<Self, Problem> {
        let start = first.min(self.blocks);
        self.padded(start, blocks.min(self.blocks - start))
    }

    /// A view of `blocks` blocks from `first` on. Those beyond the end of the file read as zeros,
    /// and cannot be written.
    pub fn padded(&self, first: u64, blocks: u64) -> Result<Self, Problem> {
        let file = self
            .file
            .try_clone()
            .map_err(|cause| Problem::io(&self.path, "open it again", &cause))?;
        let start = first.min(self.there);
        Ok(Self {
            path: self.path.clone(),
            file,
            first: self.first + start,
            blocks,
            there: blocks.min(self.there - start),
            device: self.device,
        })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in blocks; an incomplete last block does not count.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks * BLOCK_LEN as u64
    }

    /// Whether it is a device rather than a file.
    pub fn is_device(&self) -> bool {
        self.device
    }

    /// Reads blocks from `first` on into `buffer`, whose length is a multiple of the block length.
    pub fn read_at(&self, first: u64, buffer: &mut [u8]) -> Result<(), Problem> {
        let count = (buffer.len() / BLOCK_LEN) as u64;
        if first.checked_add(count).is_none_or(|end| end > self.blocks) {
            return Err(Problem::new(
                Code::NotACrashlogCard,
                format!(
                    "{}: is truncated: block {first} is beyond its end",
                    self.path.display()
                ),
            ));
        }
        self.read_there(first, buffer)
            .map_err(|cause| Problem::io(&self.path, &format!("read block {first}"), &cause))
    }

    /// Reads the first bytes of the file as far as there are any, also of an incomplete block.
    pub fn read_head(&self, head: &mut [u8]) {
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, filled as u64) {
                Ok(count) if count > 0 => filled += count,
                _ => break,
            }
        }
    }

    /// Reads blocks that are in the view; those that the file has not are zeros.
    fn read_there(&self, first: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.there.saturating_sub(first);
        let length = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .saturating_mul(BLOCK_LEN)
            .min(buffer.len());
        let (bytes, beyond) = buffer.split_at_mut(length);
        beyond.fill(0);
        if bytes.is_empty() {
            return Ok(());
        }
        self.file
            .read_exact_at(bytes, (self.first + first) * BLOCK_LEN as u64)
    }

    /// Writes whole blocks from `first` on.
    pub fn write_at(&self, first: u64, bytes: &[u8]) -> Result<(), Problem> {
        self.file
            .write_all_at(bytes, (self.first + first) * BLOCK_LEN as u64)
            .map_err(|cause| Problem::io(&self.path, &format!("write block {first}"), &cause))
    }

    /// Waits until everything written is durable.
    pub fn sync(&self) -> Result<(), Problem> {
        self.file
            .sync_all()
            .map_err(|cause| Problem::io(&self.path, "flush it", &cause))
    }
}

impl ReadBlocks for Image {
    fn read_at(&self, first: u64, buffer: &mut [u8]) -> Result<(), Problem> {
        Self::read_at(self, first, buffer)
    }
}

/// Why a transfer failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The blocks are not all inside the image.
    OutOfRange,
    /// The operating system failed it.
    Io(io::ErrorKind),
}

impl Image {
    /// Checks that the view has the blocks, and the file all of them if they are to be written.
    fn check(&self, first: u64, count: usize, write: bool) -> Result<u64, TransferError> {
        let blocks = if write { self.there } else { self.blocks };
        match first.checked_add(count as u64) {
            Some(end) if end <= blocks => Ok((self.first + first) * BLOCK_LEN as u64),
            _ => Err(TransferError::OutOfRange),
        }
    }
}

impl BlockDevice for Image {
    type Error = TransferError;

    fn block_count(&self) -> u64 {
        self.blocks
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), TransferError> {
        self.check(first, blocks.len(), false)?;
        let mut bytes = vec![0; blocks.len() * BLOCK_LEN];
        self.read_there(first, &mut bytes)
            .map_err(|cause| TransferError::Io(cause.kind()))?;
        for (block, bytes) in blocks.iter().zip(bytes.chunks_exact(BLOCK_LEN)) {
            block.copy_from(0, bytes);
        }
        Ok(())
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), TransferError> {
        let offset = self.check(first, blocks.len(), true)?;
        let mut bytes = vec![0; blocks.len() * BLOCK_LEN];
        for (block, bytes) in blocks.iter().zip(bytes.chunks_exact_mut(BLOCK_LEN)) {
            block.copy_to(0, bytes);
        }
        self.file
            .write_all_at(&bytes, offset)
            .map_err(|cause| TransferError::Io(cause.kind()))
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), TransferError> {
        self.write(block, core::slice::from_ref(data)).await
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        self.file
            .sync_data()
            .map_err(|cause| TransferError::Io(cause.kind()))
    }
}
