//! Thumb instructions, decoded as far as calls and stack use go
//!
//! [`flow`] says where execution continues after an instruction, [`effect`] what it does to the
//! stack.

pub mod effect;
pub mod flow;

use std::ops::Range;

/// An instruction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Of its first byte.
    pub address: u32,
    /// Its first halfword.
    pub first: u16,
    /// The halfword behind that: its second one, if it is wide.
    pub second: u16,
}

impl Instruction {
    /// Whether it has two halfwords. Three prefixes begin one (ARMv7-M Architecture Reference
    /// Manual, section A5.1).
    pub fn is_wide(&self) -> bool {
        self.first >> 11 >= 0b11101
    }

    /// Address of the first byte behind it.
    pub fn end(&self) -> u32 {
        self.address + if self.is_wide() { 4 } else { 2 }
    }
}

/// The instructions in a range of addresses, first to last. It ends early where the bytes do.
#[derive(Clone, Debug)]
pub struct Instructions<'a> {
    /// Address of the first of `bytes`.
    base: u32,
    bytes: &'a [u8],
    next: u32,
    end: u32,
    /// Ranges to pass over.
    constants: &'a [Range<u32>],
}

impl<'a> Instructions<'a> {
    /// Of `bytes`, which are at `base`, those in `range`, without `constants`.
    pub(crate) fn new(
        base: u32,
        bytes: &'a [u8],
        range: Range<u32>,
        constants: &'a [Range<u32>],
    ) -> Self {
        Self {
            base,
            bytes,
            next: range.start,
            end: range.end,
            constants,
        }
    }

    /// All of `bytes`, which are at `address` and hold no constants.
    pub fn of(address: u32, bytes: &'a [u8]) -> Self {
        let end = address.saturating_add(bytes.len() as u32);
        Self::new(address, bytes, address..end, &[])
    }
}

impl Iterator for Instructions<'_> {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        while let Some(constants) = self.constants.iter().find(|it| it.contains(&self.next)) {
            self.next = constants.end;
        }
        if self.next >= self.end {
            return None;
        }
        let halfword = |address: u32| {
            let at = address.checked_sub(self.base)? as usize;
            Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
        };
        let instruction = Instruction {
            address: self.next,
            first: halfword(self.next)?,
            second: halfword(self.next + 2).unwrap_or_default(),
        };
        self.next = instruction.end();
        Some(instruction)
    }
}

/// Branches count from the instruction's address plus 4.
fn relative(address: u32, offset: u32) -> u32 {
    address.wrapping_add(4).wrapping_add(offset)
}

fn sign_extend(value: u32, bits: u32) -> u32 {
    let shift = 32 - bits;
    ((value << shift) as i32 >> shift) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_found_between_constants() {
        // nop; bl .; two halfwords of constants; nop; half of a wide instruction
        let halfwords = [0xbf00_u16, 0xf7ff, 0xfffe, 0x1234, 0x5678, 0xbf00, 0xf7ff];
        let bytes: Vec<u8> = halfwords.iter().flat_map(|it| it.to_le_bytes()).collect();
        let constants = [0x1006..0x1008, 0x1008..0x100a];
        let all = Instructions::new(0x1000, &bytes, 0x1000..0x100c, &constants);
        let found: Vec<_> = all.map(|it| (it.address, it.end())).collect();
        assert_eq!(
            found,
            [(0x1000, 0x1002), (0x1002, 0x1006), (0x100a, 0x100c)]
        );
        let last = Instructions::of(0x1000, &bytes).last();
        let last = last.map(|it| (it.address, it.first, it.second));
        assert_eq!(last, Some((0x100c, 0xf7ff, 0)));
        assert_eq!(Instructions::of(0x1000, &[]).count(), 0);
    }
}
