//! A polled device behind an asynchronous face.

use block_device::{Block, BlockDevice, PolledDevice};

/// Borrows a polled device; its futures are always ready.
///
/// For the rare case that an emergency finds no location in retained memory and has to mount: the device's request path
/// is still the polled one.
#[derive(Debug)]
pub struct Polled<'d, D>(pub &'d mut D);

impl<D: PolledDevice> BlockDevice for Polled<'_, D> {
    type Error = D::Error;

    fn block_count(&self) -> u64 {
        self.0.block_count()
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        self.0.read(first, blocks)
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        self.0.write(first, blocks)
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), D::Error> {
        self.0.write_reliable(block, data)
    }

    async fn flush(&mut self) -> Result<(), D::Error> {
        self.0.flush()
    }
}

impl<D: PolledDevice> PolledDevice for Polled<'_, D> {
    type Error = D::Error;

    fn block_count(&self) -> u64 {
        self.0.block_count()
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        self.0.read(first, blocks)
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        self.0.write(first, blocks)
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), D::Error> {
        self.0.write_reliable(block, data)
    }

    fn flush(&mut self) -> Result<(), D::Error> {
        self.0.flush()
    }
}
