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
    /// What DMA sees: the descriptors, and what they describe, as they were at the last barrier. A
    /// bus address, and the words from there on.
    seen: Vec<(u32, Vec<u32>)>,
    /// What DMA has written since the last barrier, which the processor does not see yet.
    written: Vec<(u32, u32)>,
}

/// Copies the buffers: the copies have the same content and the same bus addresses.
impl Clone for BusMemory {
    fn clone(&self) -> Self {
        let copy = |buffer: &Buffer| buffer.iter().map(copy).collect();
        Self {
            buffers: self.buffers.iter().map(copy).collect(),
            seen: self.seen.clone(),
            written: self.written.clone(),
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

    /// Reads the word at a bus address, as DMA sees it; `None` if no barrier has made it visible.
    pub(crate) fn read(&self, address: u32) -> Option<u32> {
        self.seen.iter().find_map(|(start, words)| {
            let offset = address.checked_sub(*start)?;
            words.get(offset as usize / 4).copied()
        })
    }

    /// Whether there is memory at a bus address at all.
    pub(crate) fn is_memory(&self, address: u32) -> bool {
        self.locate(address).is_some()
    }

    /// Writes the word at a bus address; the processor sees it after the next barrier.
    pub(crate) fn write(&mut self, address: u32, value: u32) -> Option<()> {
        self.locate(address)?;
        self.written.push((address, value));
        Some(())
    }

    /// What DMA has written reaches memory.
    pub(crate) fn settle(&mut self) {
        for (address, value) in std::mem::take(&mut self.written) {
            if let Some((block, word)) = self.locate(address) {
                block.set_word(word, value);
            }
        }
    }

    /// DMA and the processor see what the other has written before. `table` is the bus address of
    /// the descriptors; only they, and what they describe, are copied.
    pub(crate) fn barrier(&mut self, table: u32) {
        self.settle();
        let mut seen = Vec::new();
        let mut descriptor = table;
        while let Some(words) = self.words(descriptor, 2) {
            let (attributes, address) = (words[0], words[1]);
            seen.push((descriptor, words));
            let bytes = match attributes >> 16 {
                0 => 0x1_0000,
                bytes => bytes,
            };
            if let Some(words) = self.words(address, bytes / 4) {
                seen.push((address, words));
            }
            if attributes & 3 != 1 {
                break;
            }
            descriptor += 8;
        }
        self.seen = seen;
    }

    fn words(&self, address: u32, count: u32) -> Option<Vec<u32>> {
        (0..count)
            .map(|index| {
                let (block, word) = self.locate(address.checked_add(index * 4)?)?;
                Some(block.word(word))
            })
            .collect()
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
