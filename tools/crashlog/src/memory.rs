//! The memory of a machine after its crash: what a snapshot has saved, and the flash of its image.
//!
//! A read says which byte is not there; nothing is made up. Memory that was saved covers flash, and
//! where two pieces of it overlap, the first is kept.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a page.
const PAGE: usize = 4096;

/// Most pages of saved memory: 64 MiB, many times what a machine with this recorder has. It bounds
/// what a card can make this program allocate.
const PAGES_MAX: usize = 16384;

/// Saved memory, by page; and flash.
#[derive(Default)]
pub struct Memory {
    pages: BTreeMap<u32, Box<Page>>,
    /// Address and bytes, in the order of addresses, disjoint.
    flash: Vec<(u32, Vec<u8>)>,
}

/// A page of which some words are there.
struct Page {
    bytes: [u8; PAGE],
    there: [u32; PAGE / 128],
}

/// The address of the first byte that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent(pub u32);

/// There are more pages than this program keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Page {
    fn has(&self, word: usize) -> bool {
        self.there[word / 32] >> (word % 32) & 1 != 0
    }
}

impl Memory {
    /// Adds saved memory, except where there is some already. `address` and the number of bytes are
    /// multiples of 4.
    pub fn save(&mut self, address: u32, bytes: &[u8]) -> Result<(), TooMuch> {
        let (mut address, mut bytes) = (address, bytes);
        while !bytes.is_empty() {
            let offset = address as usize % PAGE;
            let (own, rest) = bytes.split_at(bytes.len().min(PAGE - offset));
            let number = address / PAGE as u32;
            if !self.pages.contains_key(&number) && self.pages.len() >= PAGES_MAX {
                return Err(TooMuch);
            }
            let page = self.pages.entry(number).or_insert_with(|| {
                Box::new(Page {
                    bytes: [0; PAGE],
                    there: [0; PAGE / 128],
                })
            });
            let is_full = page.there.iter().all(|words| *words == u32::MAX);
            let words = if is_full { &[] } else { own.as_chunks::<4>().0 };
            for (word, value) in (offset / 4..).zip(words) {
                if !page.has(word) {
                    page.bytes[4 * word..4 * word + 4].copy_from_slice(value);
                    page.there[word / 32] |= 1 << (word % 32);
                }
            }
            // Behind the last byte of the address space there is nothing more.
            address = address.wrapping_add(own.len() as u32);
            bytes = rest;
        }
        Ok(())
    }

    /// Whether no memory was saved.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Adds flash, except where there is some already.
    pub fn add_flash(&mut self, segments: impl IntoIterator<Item = (u32, Vec<u8>)>) {
        for (address, mut bytes) in segments {
            let most = (u64::from(u32::MAX) + 1 - u64::from(address)) as usize;
            bytes.truncate(most);
            let end = u64::from(address) + bytes.len() as u64;
            let overlaps = |(own, its): &(u32, Vec<u8>)| {
                u64::from(*own) < end && u64::from(address) < u64::from(*own) + its.len() as u64
            };
            if !bytes.is_empty() && !self.flash.iter().any(overlaps) {
                self.flash.push((address, bytes));
            }
        }
        self.flash.sort_by_key(|(address, _)| *address);
    }

    /// What is there from an address on, at most to the end of its page; empty if nothing is.
    fn run(&self, address: u32) -> &[u8] {
        let offset = address as usize % PAGE;
        let page = self.pages.get(&(address / PAGE as u32));
        if let Some(page) = page
            && page.has(offset / 4)
        {
            let end = (offset / 4..PAGE / 4)
                .find(|word| !page.has(*word))
                .unwrap_or(PAGE / 4);
            return &page.bytes[offset..4 * end];
        }
        // Words of the page cover flash.
        let end = page.map_or(PAGE, |page| {
            let next = (offset / 4..PAGE / 4).find(|word| page.has(*word));
            next.map_or(PAGE, |word| 4 * word)
        });
        let flash = self.flash.iter().find_map(|(base, bytes)| {
            let from = bytes.get(address.checked_sub(*base)? as usize..)?;
            (!from.is_empty()).then_some(from)
        });
        let flash = flash.unwrap_or(&[]);
        &flash[..flash.len().min(end - offset)]
    }

    /// The offset in a page of the next byte that is there, if none is at `offset`.
    fn next(&self, number: u32, offset: usize) -> usize {
        let page = self.pages.get(&number);
        let saved = page.and_then(|page| (offset / 4..PAGE / 4).find(|word| page.has(*word)));
        let start = u64::from(number) * PAGE as u64;
        let flash = self.flash.iter().filter_map(|(base, _)| {
            let at = u64::from(*base).checked_sub(start)? as usize;
            (at > offset).then_some(at)
        });
        flash
            .chain(saved.map(|word| 4 * word))
            .fold(PAGE, usize::min)
    }

    /// `length` bytes of flash from an address on, even where saved memory covers them; `None` if
    /// not all of them are there.
    pub fn flash_bytes(&self, address: u32, length: usize) -> Option<&[u8]> {
        self.flash.iter().find_map(|(base, bytes)| {
            let from = address.checked_sub(*base)? as usize;
            bytes.get(from..from.checked_add(length)?)
        })
    }

    /// Whether all of `length` bytes from an address on are there.
    pub fn has_all(&self, address: u32, length: u64) -> bool {
        let mut done = 0;
        while done < length {
            let at = u32::try_from(u64::from(address) + done);
            let run = at.map_or(0, |at| self.run(at).len());
            if run == 0 {
                return false;
            }
            done += run as u64;
        }
        true
    }

    /// `length` bytes from an address on.
    ///
    /// # Errors
    /// The first byte that is not there.
    pub fn bytes(&self, address: u32, length: usize) -> Result<Vec<u8>, Absent> {
        // The length may be a wrong one: nothing is allocated before it is there.
        let mut found = Vec::new();
        let mut at = address;
        while found.len() < length {
            let run = self.run(at);
            if run.is_empty() {
                return Err(Absent(at));
            }
            let own = &run[..run.len().min(length - found.len())];
            found.extend_from_slice(own);
            let next = u32::try_from(own.len())
                .ok()
                .and_then(|own| at.checked_add(own));
            match next {
                Some(next) => at = next,
                None if found.len() == length => {}
                None => return Err(Absent(0)),
            }
        }
        Ok(found)
    }

    /// The little-endian word at an address.
    ///
    /// # Errors
    /// The first byte that is not there.
    pub fn word(&self, address: u32) -> Result<u32, Absent> {
        let bytes = self.bytes(address, 4)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte)))
    }

    /// What was saved, flash left out: address and bytes of each piece.
    pub fn saved(&self) -> Vec<(u32, Vec<u8>)> {
        self.saved_in(0, 1 << 32)
    }

    /// What was saved of `size` bytes from an address on, flash left out: address and bytes of each
    /// piece.
    pub fn saved_in(&self, base: u32, size: u64) -> Vec<(u32, Vec<u8>)> {
        let end = u64::from(base) + size;
        let mut all: Vec<(u32, Vec<u8>)> = Vec::new();
        for (number, page) in self.pages.range(base / PAGE as u32..) {
            let start = number * PAGE as u32;
            if u64::from(start) >= end {
                break;
            }
            for word in (0..PAGE / 4).filter(|word| page.has(*word)) {
                let address = start + 4 * word as u32;
                if address < base || u64::from(address) + 4 > end {
                    continue;
                }
                let bytes = &page.bytes[4 * word..4 * word + 4];
                match all.last_mut() {
                    Some((from, its)) if *from as usize + its.len() == address as usize => {
                        its.extend_from_slice(bytes);
                    }
                    _ => all.push((address, bytes.to_vec())),
                }
            }
        }
        all
    }

    /// Everything that is there: address and bytes, in order, disjoint, and with a gap between one
    /// and the next.
    pub fn segments(&self) -> Vec<(u32, Vec<u8>)> {
        let of_flash = self.flash.iter().flat_map(|(base, bytes)| {
            let last = base + (bytes.len() - 1) as u32;
            base / PAGE as u32..=last / PAGE as u32
        });
        let numbers: BTreeSet<u32> = self.pages.keys().copied().chain(of_flash).collect();
        let mut all: Vec<(u32, Vec<u8>)> = Vec::new();
        for number in numbers {
            let mut offset = 0;
            while offset < PAGE {
                let address = number * PAGE as u32 + offset as u32;
                let run = self.run(address);
                if run.is_empty() {
                    offset = self.next(number, offset);
                    continue;
                }
                offset += run.len();
                match all.last_mut() {
                    Some((base, bytes))
                        if u64::from(*base) + bytes.len() as u64 == u64::from(address) =>
                    {
                        bytes.extend_from_slice(run);
                    }
                    _ => all.push((address, run.to_vec())),
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_first_is_kept() {
        let mut memory = Memory::default();
        memory.save(0x1ff8, &[1; 16]).expect("room");
        memory.save(0x1ff0, &[2; 0x20]).expect("room");
        let bytes = memory.bytes(0x1ff0, 0x20).expect("all");
        assert_eq!(bytes[..8], [2; 8]);
        assert_eq!(bytes[8..24], [1; 16]);
        assert_eq!(bytes[24..], [2; 8]);
        assert_eq!(memory.segments(), [(0x1ff0, bytes.clone())]);
        let part = memory.saved_in(0x1ff4, 0x10);
        assert_eq!(part, [(0x1ff4, bytes[4..20].to_vec())]);
        assert_eq!(memory.saved_in(0x2010, 0xffff_ffff), []);
        memory.add_flash([(0x5000, vec![1; 4])]);
        assert_eq!(memory.saved(), [(0x1ff0, bytes)]);
    }

    #[test]
    fn the_first_byte_that_is_missing_is_named() {
        let mut memory = Memory::default();
        memory.save(0x1000, &[0; 8]).expect("room");
        memory.add_flash([(0x100b, vec![7; 5])]);
        assert_eq!(memory.bytes(0x1000, 9), Err(Absent(0x1008)));
        assert_eq!(memory.word(0x100a), Err(Absent(0x100a)));
        assert_eq!(memory.bytes(0x100b, 5), Ok(vec![7; 5]));
        assert_eq!(memory.bytes(0x2000, usize::MAX), Err(Absent(0x2000)));
        assert_eq!(
            memory.segments(),
            [(0x1000, vec![0; 8]), (0x100b, vec![7; 5])]
        );
    }

    #[test]
    fn saved_memory_covers_flash() {
        let mut memory = Memory::default();
        memory.add_flash([(0x1ffe, vec![7; 12]), (0x2000, vec![8; 4])]);
        memory.save(0x2004, &[1; 4]).expect("room");
        let bytes = [7, 7, 7, 7, 7, 7, 1, 1, 1, 1, 7, 7];
        assert_eq!(memory.bytes(0x1ffe, 12), Ok(bytes.to_vec()));
        assert_eq!(memory.segments(), [(0x1ffe, bytes.to_vec())]);
        assert_eq!(memory.flash_bytes(0x2004, 6), Some(&[7; 6][..]));
        for (address, length) in [(0x2004, 7), (0x1ffd, 1), (0x2000, usize::MAX)] {
            assert_eq!(memory.flash_bytes(address, length), None);
        }
    }

    #[test]
    fn the_address_space_ends() {
        let mut memory = Memory::default();
        memory.save(0xffff_fff8, &[3; 8]).expect("room");
        memory.add_flash([(0xffff_fff0, vec![4; 99])]);
        assert_eq!(memory.bytes(0xffff_fff8, 8), Ok(vec![3; 8]));
        assert_eq!(memory.bytes(0xffff_fff8, 9), Err(Absent(0)));
        assert_eq!(memory.saved(), [(0xffff_fff8, vec![3; 8])]);
        assert!(memory.has_all(0xffff_fff8, 8) && !memory.has_all(0xffff_fff8, 9));
        let (address, bytes) = memory.segments().remove(0);
        assert_eq!((address, bytes.len()), (0xffff_fff0, 16));
    }

    #[test]
    fn a_card_cannot_ask_for_more_than_a_limit() {
        let mut memory = Memory::default();
        for page in 0..PAGES_MAX as u32 {
            memory.save(page * PAGE as u32, &[1; 4]).expect("room");
        }
        assert_eq!(memory.save(0xf000_0000, &[1; 4]), Err(TooMuch));
        assert_eq!(memory.save(0x4, &[1; 4]), Ok(()));
    }
}
