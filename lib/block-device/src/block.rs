//! One block of data that hardware may share.

use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes in a block: the unit in which every card addresses, programs and checks data.
pub const BLOCK_LEN: usize = 512;

/// 32-bit words in a block.
pub const BLOCK_WORDS: usize = BLOCK_LEN / 4;

/// 512 bytes, as 128 little-endian words.
///
/// All accesses are relaxed: whoever hands a block to hardware orders them (the controller driver has a fence before it
/// starts a transfer and after it ends).
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

    /// Copies `bytes` into the block at `offset`; what would go beyond the end is left out.
    pub fn copy_from(&self, offset: usize, bytes: &[u8]) {
        let Some(words) = self.0.get(offset / 4..) else {
            return;
        };
        let mut words = words.iter();
        let (head, rest) = split(bytes, head_len(offset));
        if !head.is_empty()
            && let Some(word) = words.next()
        {
            merge(word, offset % 4, head);
        }
        let whole = rest.chunks_exact(4);
        let tail = whole.remainder();
        for chunk in whole {
            let Some(word) = words.next() else { return };
            if let Ok(chunk) = chunk.try_into() {
                store(word, u32::from_le_bytes(chunk));
            }
        }
        if let Some(word) = words.next() {
            merge(word, 0, tail);
        }
    }

    /// Copies from `offset` of the block into `out`; bytes of `out` beyond the end of the block stay as they are.
    pub fn copy_to(&self, offset: usize, out: &mut [u8]) {
        let Some(words) = self.0.get(offset / 4..) else {
            return;
        };
        let mut words = words.iter();
        let head_len = head_len(offset).min(out.len());
        let Some((head, rest)) = out.split_at_mut_checked(head_len) else {
            return;
        };
        if !head.is_empty()
            && let Some(word) = words.next()
        {
            extract(word, offset % 4, head);
        }
        let mut whole = rest.chunks_exact_mut(4);
        for chunk in &mut whole {
            let Some(word) = words.next() else { return };
            chunk.copy_from_slice(&load(word).to_le_bytes());
        }
        if let Some(word) = words.next() {
            extract(word, 0, whole.into_remainder());
        }
    }

    /// The words themselves, as hardware sees them (little-endian in memory).
    #[must_use]
    #[inline]
    pub fn words(&self) -> &[AtomicU32; BLOCK_WORDS] {
        &self.0
    }

    /// Where the block is, as the processor addresses it.
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
    /// Says where it is; the content would fill a screen.
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
