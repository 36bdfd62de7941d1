//! Types of the kernel IPC about regions that tasks register for crashes. This project's own; not
//! in upstream.

/// What a task may do with a range of memory.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum MemoryKind {
    /// It may not read all of it, or another bus master accesses it, or it has no bytes.
    None = 0,
    /// It may read it.
    Memory = 1,
    /// It is registers of one peripheral that it uses.
    Device = 2,
}

impl From<u32> for MemoryKind {
    fn from(value: u32) -> Self {
        match value {
            1 => Self::Memory,
            2 => Self::Device,
            _ => Self::None,
        }
    }
}

/// A region that a task has registered when it was built.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct BuiltRegion {
    /// The name that the task gave it, padded with zeros.
    pub name: [u8; BuiltRegion::NAME_LEN],
    /// Address of its first byte.
    pub base: u32,
    /// Its length in bytes.
    pub size: u32,
    /// The task's index.
    pub owner: u16,
}

impl BuiltRegion {
    /// Longest name, in bytes.
    pub const NAME_LEN: usize = 24;

    /// Length of a response: the fields in their order, little-endian, and two zeros.
    pub const LEN: usize = 36;

    /// The response.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let numbers = [self.base, self.size, self.owner.into()].map(u32::to_le_bytes);
        let source = self.name.iter().chain(numbers.as_flattened());
        for (to, from) in bytes.iter_mut().zip(source) {
            *to = *from;
        }
        bytes
    }

    /// Reads a response.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
        let mut name = [0; Self::NAME_LEN];
        for (to, from) in name.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self {
            name,
            base: word(6),
            size: word(7),
            owner: word(8) as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_region_survives_its_encoding() {
        let region = BuiltRegion {
            name: *b"a-name-of-24-characters!",
            base: 0x8081_0203,
            size: 0x1_0000,
            owner: 0x1234,
        };
        let bytes = region.to_bytes();
        assert_eq!(
            bytes[24..],
            [3, 2, 0x81, 0x80, 0, 0, 1, 0, 0x34, 0x12, 0, 0]
        );
        assert_eq!(BuiltRegion::from_bytes(&bytes), region);
    }
}
