//! A range of blocks of a device, usually a partition.

use crate::{Block, BlockDevice, PolledDevice};

/// Blocks `first .. first + count` of a device, numbered from 0.
///
/// Every address is checked against the range before a request reaches the device, so that a wrong
/// one cannot affect a neighbouring partition. Holding one proves that the range is on the device.
///
/// Dropping a future of it has the effect that dropping the device's future has.
#[derive(Debug)]
pub struct Window<D> {
    device: D,
    first: u64,
    count: u64,
}

/// Why an operation on a [`Window`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowError<E> {
    /// The request reaches outside the window; nothing was sent to the device.
    OutOfWindow,
    /// The device failed.
    Device(E),
}

impl<D> Window<D> {
    /// The device behind the window.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Returns the device.
    pub fn into_inner(self) -> D {
        self.device
    }

    /// The device's address of block `block`, if all `len` blocks from there on are inside.
    fn locate<E>(&self, block: u64, len: usize) -> Result<u64, WindowError<E>> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        match block.checked_add(len) {
            // `first + count` did not overflow when the window was made, so this does not either.
            Some(end) if end <= self.count => Ok(self.first.wrapping_add(block)),
            _ => Err(WindowError::OutOfWindow),
        }
    }

    fn checked(device: D, first: u64, count: u64, device_blocks: u64) -> Option<Self> {
        let end = first.checked_add(count)?;
        (end <= device_blocks).then_some(Self {
            device,
            first,
            count,
        })
    }
}

impl<D: BlockDevice> Window<D> {
    /// A window on an asynchronous device; `None` if it does not fit on it.
    pub fn new(device: D, first: u64, count: u64) -> Option<Self> {
        let blocks = device.block_count();
        Self::checked(device, first, count, blocks)
    }
}

impl<D: PolledDevice> Window<D> {
    /// A window on a polled device; `None` if it does not fit on it.
    pub fn new_polled(device: D, first: u64, count: u64) -> Option<Self> {
        let blocks = device.block_count();
        Self::checked(device, first, count, blocks)
    }
}

impl<D: BlockDevice> BlockDevice for Window<D> {
    type Error = WindowError<D::Error>;

    fn block_count(&self) -> u64 {
        self.count
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error> {
        let first = self.locate(first, blocks.len())?;
        self.device
            .read(first, blocks)
            .await
            .map_err(WindowError::Device)
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error> {
        let first = self.locate(first, blocks.len())?;
        self.device
            .write(first, blocks)
            .await
            .map_err(WindowError::Device)
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Self::Error> {
        let block = self.locate(block, 1)?;
        self.device
            .write_reliable(block, data)
            .await
            .map_err(WindowError::Device)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.device.flush().await.map_err(WindowError::Device)
    }
}

impl<D: PolledDevice> PolledDevice for Window<D> {
    type Error = WindowError<D::Error>;

    fn block_count(&self) -> u64 {
        self.count
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error> {
        let first = self.locate(first, blocks.len())?;
        self.device.read(first, blocks).map_err(WindowError::Device)
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error> {
        let first = self.locate(first, blocks.len())?;
        self.device
            .write(first, blocks)
            .map_err(WindowError::Device)
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Self::Error> {
        let block = self.locate(block, 1)?;
        self.device
            .write_reliable(block, data)
            .map_err(WindowError::Device)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.device.flush().map_err(WindowError::Device)
    }
}
