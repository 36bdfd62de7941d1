//! A polled device with the interface of an asynchronous one.

use block_device::{Block, BlockDevice, PolledDevice};

/// Borrows a polled device as a [`BlockDevice`] whose futures are ready at the first poll. It is a [`PolledDevice`], too.
///
/// For an emergency write, whose only device is polled, and for tests and tools.
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
