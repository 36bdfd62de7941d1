//! Blocks of 512 bytes, and the devices that hold them.
//!
//! # Theory of operation
//!
//! Everything above the card (partition, streams, crashes) uses a [`BlockDevice`]: numbered blocks
//! that are read, written and made durable. It is asynchronous, because a card takes milliseconds
//! and the recorder goes on accepting log records meanwhile. The emergency path uses a
//! [`PolledDevice`]: the same operations, synchronous. They are two traits, and a type implements
//! one of them, so that the emergency path cannot enter the request path that the crash has
//! interrupted.
//!
//! Data are in [`Block`]s. A controller with DMA reads or writes a block while the program holds a
//! reference to it. So a block consists of atomics: sharing it with the hardware, and appending to
//! one block while its neighbours are being written, needs no `unsafe` and no exclusive borrow.
//!
//! [`Window`] restricts a device to a range of blocks, usually a partition: an address outside it
//! is refused before any command reaches the device.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod block;
mod window;

pub use block::{BLOCK_LEN, BLOCK_WORDS, Block};
pub use window::{Window, WindowError};

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// A device of numbered 512-byte blocks, used asynchronously.
///
/// # Cancellation
///
/// Dropping a future of this trait before it is ready leaves a request in flight. Its blocks must
/// stay valid until the next call on the same device, which first ends that request by the device's
/// own protocol. After a write, the blocks on the device may hold the old or the new data.
pub trait BlockDevice {
    /// Why an operation failed, and in which step.
    type Error: Copy + core::fmt::Debug + PartialEq;

    /// Number of blocks; valid addresses are below it.
    fn block_count(&self) -> u64;

    /// Reads `blocks.len()` blocks, beginning at block `first`. Reading no blocks succeeds.
    fn read(
        &mut self,
        first: u64,
        blocks: &[Block],
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Writes `blocks.len()` blocks, beginning at block `first`. After an error each of them may
    /// hold the old or the new data. They are durable only after [`BlockDevice::flush`].
    fn write(
        &mut self,
        first: u64,
        blocks: &[Block],
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Writes one block so that a power cut leaves either the old or the new content, where the
    /// medium supports that (eMMC reliable write); otherwise the same as [`BlockDevice::write`].
    fn write_reliable(
        &mut self,
        block: u64,
        data: &Block,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Makes everything written so far durable.
    fn flush(&mut self) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A borrowed device is a device, for code that takes one by value.
impl<D: BlockDevice> BlockDevice for &mut D {
    type Error = D::Error;

    fn block_count(&self) -> u64 {
        D::block_count(self)
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        D::read(self, first, blocks).await
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), D::Error> {
        D::write(self, first, blocks).await
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), D::Error> {
        D::write_reliable(self, block, data).await
    }

    async fn flush(&mut self) -> Result<(), D::Error> {
        D::flush(self).await
    }
}

/// The synchronous counterpart of [`BlockDevice`], for the emergency path: a call polls, uses no
/// interrupt, and returns within the device's own time limit.
pub trait PolledDevice {
    /// Why an operation failed, and in which step.
    type Error: Copy + core::fmt::Debug + PartialEq;

    /// As [`BlockDevice::block_count`].
    fn block_count(&self) -> u64;

    /// As [`BlockDevice::read`].
    ///
    /// # Errors
    /// Those of the device; the content of `blocks` is undefined then.
    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error>;

    /// As [`BlockDevice::write`].
    ///
    /// # Errors
    /// Those of the device; each of the blocks may have been written.
    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Self::Error>;

    /// As [`BlockDevice::write_reliable`].
    ///
    /// # Errors
    /// Those of the device.
    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Self::Error>;

    /// As [`BlockDevice::flush`].
    ///
    /// # Errors
    /// Those of the device; what was written since the last flush may be lost by a power cut.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// Polls a future once, with a waker that does nothing, and drops it.
///
/// `Some` if it was ready. It always is with a device that never waits, such as an image file, or a
/// polled device behind an asynchronous interface.
pub fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
