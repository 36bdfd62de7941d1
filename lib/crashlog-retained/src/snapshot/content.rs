//! Saving words that are at hand; the kernel saves all other memory.

use super::SavedMemory;
use block_device::{BLOCK_WORDS, Block};
use crashlog_format::snapshot::{EXTENT_MAX, GRANULE, GranuleContent, STACK_FILL, WordSum};

/// Words of a granule.
const GRANULE_WORDS: usize = GRANULE / 4;

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

    /// Saves `length` bytes, at most [`EXTENT_MAX`], that are at byte `at` of `from`: stores their
    /// data to byte `offset` of `to`. All three are multiples of 4. What is beyond the end of `from`
    /// is zeros.
    #[must_use]
    pub fn of_blocks(from: &[Block], at: u32, length: u32, to: &[Block], offset: u32) -> Self {
        let words = (length as usize).min(EXTENT_MAX) / 4;
        let first = at as usize / 4;
        let mut to_index = offset as usize / 4;
        let (mut map, mut stored, mut sum) = (0, 0_u32, WordSum::new());
        for granule in 0..words.div_ceil(GRANULE_WORDS) {
            let begin = granule.saturating_mul(GRANULE_WORDS);
            let range = begin..begin.saturating_add(GRANULE_WORDS).min(words);
            let content = content(from, first, range.clone());
            map |= (content as u32) << (2 * granule);
            if content != GranuleContent::Data {
                continue;
            }
            for index in range {
                let value = word(from, first.saturating_add(index));
                if let Some(block) = to.get(to_index / BLOCK_WORDS) {
                    block.set_word(to_index % BLOCK_WORDS, value);
                }
                sum = sum.word(value);
                to_index = to_index.saturating_add(1);
                stored = stored.saturating_add(4);
            }
        }
        Self {
            map,
            stored,
            sum: sum.value(),
        }
    }
}

/// What the words of a granule are, all of them.
fn content(from: &[Block], first: usize, range: core::ops::Range<usize>) -> GranuleContent {
    let fill = word(from, first.saturating_add(range.start));
    let content = match fill {
        0 => GranuleContent::Zeros,
        STACK_FILL => GranuleContent::Fill,
        _ => return GranuleContent::Data,
    };
    for index in range {
        if word(from, first.saturating_add(index)) != fill {
            return GranuleContent::Data;
        }
    }
    content
}

fn word(blocks: &[Block], index: usize) -> u32 {
    blocks
        .get(index / BLOCK_WORDS)
        .map_or(0, |block| block.word(index % BLOCK_WORDS))
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

    #[test]
    fn fill_is_encoded_and_data_are_stored() {
        let blocks = |count: usize| (0..count).map(|_| Block::zeroed()).collect::<Vec<_>>();
        let (from, to) = (blocks(4), blocks(3));
        // From word 100 on: a granule of zeros, one of fill, one that begins like fill, and a part
        // of one that is zeros.
        for index in 64..192 {
            from[(100 + index) / 128].set_word((100 + index) % 128, STACK_FILL);
        }
        from[(100 + 191) / 128].set_word((100 + 191) % 128, 7);
        let saved = SavedMemory::of_blocks(&from, 400, 4 * 200, &to, 508);
        assert_eq!((saved.map, saved.stored), (0b01_00_10_01, 256));
        assert_eq!(to[0].word(127), STACK_FILL);
        assert_eq!(to[1].word(62), 7);
        let mut sum = WordSum::new();
        for _ in 0..63 {
            sum = sum.word(STACK_FILL);
        }
        assert_eq!(saved.sum, sum.word(7).value());
    }
}
