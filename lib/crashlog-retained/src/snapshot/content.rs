//! Saving a word that is at hand; the kernel saves all other memory.

use super::SavedMemory;
use block_device::{BLOCK_WORDS, Block};
use crashlog_format::snapshot::{GranuleContent, STACK_FILL, WordSum};

impl SavedMemory {
    /// Saves one word to byte `offset`, a multiple of 4, of `to`.
    #[must_use]
    pub fn of_word(word: u32, to: &[Block], offset: u32) -> Self {
        let content = match word {
            0 => GranuleContent::Zeros,
            STACK_FILL => GranuleContent::Fill,
            _ => GranuleContent::Data,
        };
        let (mut stored, mut sum) = (0, WordSum::new());
        if content == GranuleContent::Data {
            let index = offset as usize / 4;
            if let Some(block) = to.get(index / BLOCK_WORDS) {
                block.set_word(index % BLOCK_WORDS, word);
            }
            sum = sum.word(word);
            stored = 4;
        }
        Self {
            map: content as u32,
            stored,
            sum: sum.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_saved_as_a_granule_of_its_own() {
        let blocks = [Block::zeroed(), Block::zeroed()];
        let saved = SavedMemory::of_word(7, &blocks, 516);
        assert_eq!((saved.map, saved.stored, blocks[1].word(1)), (0, 4, 7));
        assert_eq!(saved.sum, WordSum::new().word(7).value());
        for (word, map) in [(0, 1), (STACK_FILL, 2)] {
            let saved = SavedMemory::of_word(word, &blocks, 0);
            assert_eq!(
                (saved.map, saved.stored, saved.sum),
                (map, 0, WordSum::SEED)
            );
        }
    }
}
