//! Access to memory by address, one word at a time.

use crate::DumpAreaRegion;
use core::sync::atomic::{AtomicU32, Ordering};

/// The memory that areas are in.
pub trait Memory {
    /// Reads the word at `address`; `None` if it is not aligned to 4 or there is no memory.
    fn load(&self, address: u32) -> Option<u32>;

    /// Writes the word at `address`; `None` if it is not aligned to 4 or there is no memory.
    fn store(&mut self, address: u32, word: u32) -> Option<()>;
}

/// Regions of memory, each with the address of its first word.
#[derive(Copy, Clone, Debug)]
pub struct Words<'a, const N: usize>([(u32, &'a [AtomicU32]); N]);

impl<'a, const N: usize> Words<'a, N> {
    /// These regions.
    #[must_use]
    pub const fn new(regions: [(u32, &'a [AtomicU32]); N]) -> Self {
        Self(regions)
    }

    fn word(&self, address: u32) -> Option<&AtomicU32> {
        if !address.is_multiple_of(4) {
            return None;
        }
        self.0.iter().find_map(|(base, words)| {
            let offset = address.checked_sub(*base)?;
            words.get(offset as usize / 4)
        })
    }
}

impl<const N: usize> Memory for Words<'_, N> {
    fn load(&self, address: u32) -> Option<u32> {
        self.word(address).map(|word| word.load(Ordering::Relaxed))
    }

    fn store(&mut self, address: u32, word: u32) -> Option<()> {
        self.word(address)
            .map(|at| at.store(word, Ordering::Relaxed))
    }
}

/// The words of an extern region.
///
/// # Safety
///
/// The region is memory that may be read and written for the rest of the program, its address is
/// not 0 and aligned to 4, and whatever accesses it meanwhile, in this program or another, does so
/// by whole words.
#[must_use]
pub unsafe fn extern_words(region: DumpAreaRegion) -> &'static [AtomicU32] {
    let base = core::ptr::with_exposed_provenance::<AtomicU32>(region.address as usize);
    // SAFETY: by the caller's promise the range is memory that can be accessed for the rest of the
    // program and its address is aligned; the division rounds down, so the slice does not reach
    // beyond it. Every bit pattern is a valid `AtomicU32`, and a shared reference to one allows
    // others to write it.
    unsafe { core::slice::from_raw_parts(base, region.length as usize / 4) }
}
