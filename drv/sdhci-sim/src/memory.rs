//! Memory that the simulated controller can reach.

use crate::Simulator;
use block_device::Block;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Blocks that DMA can reach.
pub type Buffer = Rc<[Block]>;

/// Distance of the bus addresses of buffers: more than the length of the longest request.
const STRIDE: u32 = 0x0100_0000;

/// Bus address of the first buffer. Nothing is below, so an address of 0 is an error.
const BASE: u32 = 0x8000_0000;

/// The map from bus addresses to buffers.
#[derive(Default)]
pub(crate) struct BusMemory {
    buffers: Vec<Buffer>,
}

/// Copies the buffers: the copies have the same content and the same bus addresses.
impl Clone for BusMemory {
    fn clone(&self) -> Self {
        let copy = |buffer: &Buffer| buffer.iter().map(copy).collect();
        Self {
            buffers: self.buffers.iter().map(copy).collect(),
        }
    }
}

fn copy(block: &Block) -> Block {
    let copy = Block::zeroed();
    for (index, word) in block.words().iter().enumerate() {
        copy.set_word(index, word.load(Ordering::Relaxed));
    }
    copy
}

impl BusMemory {
    pub(crate) fn add(&mut self, buffer: &Buffer) {
        self.buffers.push(Rc::clone(buffer));
    }

    /// The bus address of a block at a host address.
    pub(crate) fn bus_address(&self, host_address: usize) -> Option<u32> {
        self.buffers
            .iter()
            .zip(0u32..)
            .find_map(|(buffer, number)| {
                let first = buffer.first()?.address();
                let offset = host_address.checked_sub(first)?;
                let inside = offset < size_of_val::<[Block]>(buffer);
                inside.then(|| BASE + number * STRIDE + offset as u32)
            })
    }

    /// Reads the word at a bus address.
    pub(crate) fn read(&self, address: u32) -> Option<u32> {
        let (block, word) = self.locate(address)?;
        Some(block.word(word))
    }

    /// Writes the word at a bus address.
    pub(crate) fn write(&self, address: u32, value: u32) -> Option<()> {
        let (block, word) = self.locate(address)?;
        block.set_word(word, value);
        Some(())
    }

    fn locate(&self, address: u32) -> Option<(&Block, usize)> {
        let offset = address.checked_sub(BASE)?;
        let buffer = self.buffers.get((offset / STRIDE) as usize)?;
        let offset = (offset % STRIDE) as usize;
        (offset.is_multiple_of(4)).then_some(())?;
        Some((buffer.get(offset / 512)?, offset % 512 / 4))
    }
}

impl Simulator {
    /// The `index`-th buffer that was made; in a fork, its copy.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn buffer_at(&self, index: usize) -> Buffer {
        Rc::clone(&self.controller().memory.buffers[index])
    }

    /// Makes blocks of the caller's such that DMA can reach them.
    pub fn reach(&self, buffer: &Buffer) {
        self.controller().memory.add(buffer);
    }

    /// Makes blocks that DMA can reach.
    #[must_use]
    pub fn buffer(&self, blocks: usize) -> Buffer {
        let buffer: Buffer = (0..blocks).map(|_| Block::zeroed()).collect();
        self.reach(&buffer);
        buffer
    }
}
