//! A card in memory, of which only blocks that are not zero take space.

use block_device::{BLOCK_LEN, Block, PolledDevice};
use std::collections::HashMap;
use std::rc::Rc;

type Bytes = [u8; BLOCK_LEN];

/// A card. A clone is cheap: it shares the blocks of the original until they are written.
#[derive(Clone)]
pub struct MemoryCard {
    count: u64,
    original: Rc<HashMap<u64, Bytes>>,
    written: HashMap<u64, Bytes>,
    /// Blocks that were read.
    pub read: u64,
    /// Blocks that were written, by requests.
    pub changed: u64,
}

/// A request reached beyond the end of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl MemoryCard {
    /// A card of `count` blocks of zeros.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self::with(count, HashMap::new())
    }

    /// The card that an image is of; an incomplete last block is left out.
    #[must_use]
    pub fn of_image(image: &[u8]) -> Self {
        let (blocks, _) = image.as_chunks::<BLOCK_LEN>();
        let filled = (0..)
            .zip(blocks)
            .filter(|(_, block)| block.iter().any(|byte| *byte != 0));
        Self::with(
            blocks.len() as u64,
            filled.map(|(number, block)| (number, *block)).collect(),
        )
    }

    fn with(count: u64, original: HashMap<u64, Bytes>) -> Self {
        Self {
            count,
            original: Rc::new(original),
            written: HashMap::new(),
            read: 0,
            changed: 0,
        }
    }

    /// The card with all writes made, to be cloned.
    #[must_use]
    pub fn settled(&self) -> Self {
        let mut blocks = (*self.original).clone();
        blocks.extend(self.written.iter().map(|(number, block)| (*number, *block)));
        Self::with(self.count, blocks)
    }

    /// Content of a block.
    #[must_use]
    pub fn block(&self, number: u64) -> Bytes {
        let found = self
            .written
            .get(&number)
            .or_else(|| self.original.get(&number));
        found.copied().unwrap_or([0; BLOCK_LEN])
    }

    /// Sets a block, which is not counted as a write; does nothing beyond the end.
    pub fn set(&mut self, number: u64, bytes: Bytes) {
        if number < self.count {
            self.written.insert(number, bytes);
        }
    }

    /// Numbers of the blocks that were set or written since the card was made or settled.
    pub fn written(&self) -> impl Iterator<Item = u64> {
        self.written.keys().copied()
    }

    fn check(&self, first: u64, count: usize) -> Result<(), Failed> {
        match first.checked_add(count as u64) {
            Some(end) if end <= self.count => Ok(()),
            _ => Err(Failed),
        }
    }
}

impl PolledDevice for MemoryCard {
    type Error = Failed;

    fn block_count(&self) -> u64 {
        self.count
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        self.check(first, blocks.len())?;
        self.read += blocks.len() as u64;
        for (number, block) in (first..).zip(blocks) {
            block.copy_from(0, &self.block(number));
        }
        Ok(())
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        self.check(first, blocks.len())?;
        self.changed += blocks.len() as u64;
        for (number, block) in (first..).zip(blocks) {
            let mut bytes = [0; BLOCK_LEN];
            block.copy_to(0, &mut bytes);
            self.set(number, bytes);
        }
        Ok(())
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Failed> {
        self.write(block, core::slice::from_ref(data))
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }
}
