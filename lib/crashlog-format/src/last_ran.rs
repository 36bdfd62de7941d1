//! Who ran last in the boot before: what is known of a boot that ended and left no note.
//!
//! The boot record has it behind the ends of boots ([`crate::BootRecord::last_ran`]).

/// The task that the last tick of a boot has interrupted, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRan {
    /// The task, by index.
    pub task: u16,
    /// Its program counter.
    pub pc: u32,
}

impl LastRan {
    /// Length of its encoding in bytes.
    pub const LEN: usize = 7;

    /// First byte of its encoding. A later version may put something else in this place.
    const KIND: u8 = 1;

    /// Its encoding: a kind in one byte, the task, the program counter, little endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b] = self.task.to_le_bytes();
        let [c, d, e, f] = self.pc.to_le_bytes();
        [Self::KIND, a, b, c, d, e, f]
    }

    /// Decodes it from the start of `bytes`. `None` if it is not there: records of earlier versions
    /// end before.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([Self::KIND, rest @ ..], _) = bytes.split_first_chunk::<{ Self::LEN }>()? else {
            return None;
        };
        let [a, b, c, d, e, f] = *rest;
        Some(Self {
            task: u16::from_le_bytes([a, b]),
            pc: u32::from_le_bytes([c, d, e, f]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let ran = LastRan {
            task: 0x0102,
            pc: 0x8013_61c0,
        };
        let bytes = ran.to_bytes();
        assert_eq!(bytes, [1, 2, 1, 0xc0, 0x61, 0x13, 0x80]);
        assert_eq!(LastRan::parse(&bytes), Some(ran));
        assert_eq!(LastRan::parse(&[&bytes[..], b"later"].concat()), Some(ran));
        for length in 0..LastRan::LEN {
            assert_eq!(LastRan::parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(LastRan::parse(b"\x05later_"), None);
    }
}
