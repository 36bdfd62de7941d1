//! Blocks and windows, by their public interface.

use block_device::{
    BLOCK_LEN, Block, BlockDevice, PolledDevice, Window, WindowError, now_or_never,
};
use proptest::prelude::*;

/// Blocks in memory; counts the requests that reach it.
struct RamDevice {
    blocks: Vec<Block>,
    requests: usize,
}

impl RamDevice {
    fn new(count: usize) -> Self {
        Self {
            blocks: (0..count).map(|_| Block::zeroed()).collect(),
            requests: 0,
        }
    }

    fn copy(&mut self, first: u64, len: usize, copy: impl Fn(usize, &Block)) -> Result<(), ()> {
        self.requests += 1;
        let first = usize::try_from(first).map_err(|_| ())?;
        let blocks = self.blocks.get(first..first + len).ok_or(())?;
        blocks
            .iter()
            .enumerate()
            .for_each(|(i, block)| copy(i, block));
        Ok(())
    }
}

fn assign(to: &Block, from: &Block) {
    let mut bytes = [0; BLOCK_LEN];
    from.copy_to(0, &mut bytes);
    to.copy_from(0, &bytes);
}

impl PolledDevice for RamDevice {
    type Error = ();

    fn block_count(&self) -> u64 {
        self.blocks.len() as u64
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), ()> {
        self.copy(first, blocks.len(), |i, block| assign(&blocks[i], block))
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), ()> {
        self.copy(first, blocks.len(), |i, block| assign(block, &blocks[i]))
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), ()> {
        self.copy(block, 1, |_, block| assign(block, data))
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

impl BlockDevice for RamDevice {
    type Error = ();

    fn block_count(&self) -> u64 {
        PolledDevice::block_count(self)
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), ()> {
        PolledDevice::read(self, first, blocks)
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), ()> {
        PolledDevice::write(self, first, blocks)
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), ()> {
        PolledDevice::write_reliable(self, block, data)
    }

    async fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

#[test]
fn words_are_little_endian_bytes() {
    let block = Block::zeroed();
    block.copy_from(4, &[1, 2, 3, 4]);
    assert_eq!(block.word(1), 0x0403_0201);
    block.set_word(0, 0xAABB_CCDD);
    let mut bytes = [0; 6];
    block.copy_to(0, &mut bytes);
    assert_eq!(bytes, [0xDD, 0xCC, 0xBB, 0xAA, 1, 2]);
}

#[test]
fn words_beyond_the_end_read_zero_and_ignore_writes() {
    let block = Block::zeroed();
    block.fill(u32::MAX);
    block.set_word(128, 7);
    assert_eq!(block.word(127), u32::MAX);
    assert_eq!(block.word(128), 0);
}

#[test]
fn windows_must_fit_on_their_device() {
    assert!(Window::new_polled(RamDevice::new(8), 2, 6).is_some());
    assert!(Window::new_polled(RamDevice::new(8), 2, 7).is_none());
    assert!(Window::new(RamDevice::new(8), u64::MAX, 2).is_none());
}

/// REQ: M7 (no request outside the partition reaches the device)
#[test]
fn requests_outside_the_window_never_reach_the_device() {
    let blocks: Vec<Block> = (0..3).map(|_| Block::zeroed()).collect();
    let mut window = Window::new_polled(RamDevice::new(16), 4, 8).expect("the window fits");
    for first in [6, 8, 1000, u64::MAX - 3, u64::MAX] {
        assert_eq!(
            PolledDevice::read(&mut window, first, &blocks),
            Err(WindowError::OutOfWindow)
        );
        assert_eq!(
            PolledDevice::write(&mut window, first, &blocks),
            Err(WindowError::OutOfWindow)
        );
        let future = BlockDevice::write(&mut window, first, &blocks);
        assert_eq!(now_or_never(future), Some(Err(WindowError::OutOfWindow)));
    }
    assert_eq!(
        PolledDevice::write_reliable(&mut window, 8, &blocks[0]),
        Err(WindowError::OutOfWindow)
    );
    assert_eq!(window.device().requests, 0);
    assert_eq!(PolledDevice::write(&mut window, 5, &blocks), Ok(()));
    assert_eq!(window.into_inner().requests, 1);
}

#[test]
fn a_window_shifts_addresses() {
    let mut window = Window::new(RamDevice::new(16), 4, 8).expect("the window fits");
    let data = Block::zeroed();
    data.fill(0x1234_5678);
    assert_eq!(
        now_or_never(BlockDevice::write(
            &mut window,
            7,
            core::slice::from_ref(&data)
        )),
        Some(Ok(()))
    );
    assert_eq!(window.into_inner().blocks[11].word(0), 0x1234_5678);
}

#[test]
fn a_future_that_is_not_ready_gives_none() {
    assert_eq!(now_or_never(core::future::pending::<()>()), None);
    assert_eq!(now_or_never(async { 5 }), Some(5));
}

proptest! {
    /// Copying at any offset does what copying bytes in an array does, and nothing beyond the end.
    #[test]
    fn copies_behave_as_a_byte_array(
        start in proptest::collection::vec(any::<u8>(), BLOCK_LEN),
        offset in 0usize..600,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        from in 0usize..600,
        len in 0usize..600,
    ) {
        let block = Block::zeroed();
        block.copy_from(0, &start);
        let mut model = start;
        block.copy_from(offset, &bytes);
        for (to, from) in model.iter_mut().skip(offset).zip(&bytes) {
            *to = *from;
        }
        let mut got = vec![0x5A; len];
        let mut want = got.clone();
        block.copy_to(from, &mut got);
        for (to, from) in want.iter_mut().zip(model.iter().skip(from)) {
            *to = *from;
        }
        prop_assert_eq!(got, want);
    }
}
