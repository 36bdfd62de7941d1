//! One block of data, which hardware may access as well.

use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes in a block: the unit in which every card addresses, programs and checks data.
pub const BLOCK_LEN: usize = 512;

/// 32-bit words in a block.
pub const BLOCK_WORDS: usize = BLOCK_LEN / 4;

/// 512 bytes, as 128 little-endian words.
///
/// All accesses are relaxed. A driver that lets hardware access a block has to order them itself;
/// the controller driver has a fence before it starts a transfer and one after its end.
#[repr(C, align(4))]
pub struct Block([AtomicU32; BLOCK_WORDS]);

impl Block {
    /// A block of zeros.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self([const { AtomicU32::new(0) }; BLOCK_WORDS])
    }

    /// Word `index` (bytes `4 * index ..`, little-endian), or 0 beyond the end.
    #[must_use]
    #[inline]
    pub fn word(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, load)
    }

    /// Sets word `index`; does nothing beyond the end.
    #[inline]
    pub fn set_word(&self, index: usize, value: u32) {
        if let Some(word) = self.0.get(index) {
            store(word, value);
        }
    }

    /// Sets every word.
    pub fn fill(&self, value: u32) {
        for word in &self.0 {
            store(word, value);
        }
    }

    /// Copies `bytes` into the block at `offset`; bytes beyond the end of the block are ignored.
    pub fn copy_from(&self, offset: usize, bytes: &[u8]) {
        let Some(words) = self.0.get(offset / 4..) else {
            return;
        };
        let (words, rest) = match head_len(offset) {
            0 => (words, bytes),
            head_len => {
                let (head, rest) = split(bytes, head_len);
                let [first, words @ ..] = words else { return };
                merge(first, offset % 4, head);
                (words, rest)
            }
        };
        let (whole, tail) = rest.as_chunks::<4>();
        for (word, chunk) in words.iter().zip(whole) {
            store(word, u32::from_le_bytes(*chunk));
        }
        if let ([_, ..], Some(word)) = (tail, words.get(whole.len())) {
            merge(word, 0, tail);
        }
    }

    /// Copies from `offset` of the block into `out`; bytes of `out` for which the block has none
    /// are left unchanged.
    pub fn copy_to(&self, offset: usize, out: &mut [u8]) {
        let Some(words) = self.0.get(offset / 4..) else {
            return;
        };
        let (words, rest) = match head_len(offset).min(out.len()) {
            0 => (words, out),
            head_len => {
                let Some((head, rest)) = out.split_at_mut_checked(head_len) else {
                    return;
                };
                let [first, words @ ..] = words else { return };
                extract(first, offset % 4, head);
                (words, rest)
            }
        };
        let (whole, tail) = rest.as_chunks_mut::<4>();
        for (word, chunk) in words.iter().zip(whole.iter_mut()) {
            *chunk = load(word).to_le_bytes();
        }
        if let ([_, ..], Some(word)) = (&*tail, words.get(whole.len())) {
            extract(word, 0, tail);
        }
    }

    /// The words as they are in memory, for hardware: little-endian on every processor.
    #[must_use]
    #[inline]
    pub fn words(&self) -> &[AtomicU32; BLOCK_WORDS] {
        &self.0
    }

    /// The block's address, as the processor has it.
    #[must_use]
    #[inline]
    pub fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl core::fmt::Debug for Block {
    /// Prints the address and not the 512 bytes.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Block({:#x})", self.address())
    }
}

fn load(word: &AtomicU32) -> u32 {
    u32::from_le(word.load(Ordering::Relaxed))
}

fn store(word: &AtomicU32, value: u32) {
    word.store(value.to_le(), Ordering::Relaxed);
}

/// Bytes from `offset` up to the next word boundary.
fn head_len(offset: usize) -> usize {
    offset.wrapping_neg() % 4
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// Replaces the bytes of `word` from `first` on; `bytes` beyond the word are ignored.
fn merge(word: &AtomicU32, first: usize, bytes: &[u8]) {
    let mut value = load(word).to_le_bytes();
    for (to, from) in value.iter_mut().skip(first).zip(bytes) {
        *to = *from;
    }
    store(word, u32::from_le_bytes(value));
}

fn extract(word: &AtomicU32, first: usize, out: &mut [u8]) {
    let value = load(word).to_le_bytes();
    for (to, from) in out.iter_mut().zip(value.iter().skip(first)) {
        *to = *from;
    }
}
