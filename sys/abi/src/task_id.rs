//! Task identifiers: which task, and in which generation.

use serde::{Deserialize, Serialize};

/// Names one generation of one task: the task's index, and how often it had been restarted (modulo
/// 64).
///
/// A restart gives the task a new generation, so that the kernel recognises a stale id and a
/// message to the old instance never reaches the new one.
///
/// Bits 9:0 are the index in the task table, bits 15:10 the generation.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[repr(transparent)]
pub struct TaskId(pub u16);

impl TaskId {
    /// The virtual task of the kernel: target of kernel IPC, sender of notifications.
    pub const KERNEL: Self = Self(!0);

    /// What a task slot holds until the build system has resolved it.
    pub const UNBOUND: Self = Self(Self::INDEX_MASK - 1);

    /// Width of the index, which is in the low bits.
    pub const INDEX_BITS: u32 = 10;

    /// Mask of the index bits.
    pub const INDEX_MASK: u16 = (1 << Self::INDEX_BITS) - 1;

    /// The id of task `index` in `generation`. Bits of `index` beyond [`Self::INDEX_BITS`] are
    /// dropped.
    #[inline]
    pub const fn for_index_and_gen(index: usize, generation: Generation) -> Self {
        Self((index as u16 & Self::INDEX_MASK) | ((generation.0 as u16) << Self::INDEX_BITS))
    }

    /// Index in the task table.
    #[inline]
    pub fn index(&self) -> usize {
        usize::from(self.0 & Self::INDEX_MASK)
    }

    /// Generation that this id names.
    #[inline]
    pub fn generation(&self) -> Generation {
        Generation((self.0 >> Self::INDEX_BITS) as u8)
    }

    /// The id of the same task after one more restart.
    #[inline]
    pub fn next_generation(self) -> Self {
        Self::for_index_and_gen(self.index(), self.generation().next())
    }
}

/// Number of restarts of a task, modulo 64: the low six bits of the kernel's restart count.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[repr(transparent)]
pub struct Generation(u8);

impl Generation {
    /// Before the first restart.
    pub const ZERO: Self = Self(0);

    /// Mask of the bits that a generation has in a [`TaskId`].
    const MASK: u8 = (1 << (u16::BITS - TaskId::INDEX_BITS)) - 1;

    /// The generation with this number.
    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The number of this generation.
    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The following generation, wrapping from 63 to 0.
    #[inline]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1) & Self::MASK)
    }
}

impl From<u8> for Generation {
    #[inline]
    fn from(value: u8) -> Self {
        Self(value)
    }
}

impl From<Generation> for u8 {
    #[inline]
    fn from(value: Generation) -> Self {
        value.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_generation_share_sixteen_bits() {
        let id = TaskId::for_index_and_gen(0x3fe, Generation::from(63));
        assert_eq!(id.0, 0xfffe);
        assert_eq!(id.index(), 0x3fe);
        assert_eq!(u8::from(id.generation()), 63);
    }

    #[test]
    fn generation_wraps_at_six_bits() {
        let id = TaskId::for_index_and_gen(5, Generation::from(63));
        assert_eq!(
            id.next_generation(),
            TaskId::for_index_and_gen(5, Generation::ZERO)
        );
    }

    #[test]
    fn reserved_ids() {
        assert_eq!(TaskId::KERNEL.0, 0xffff);
        assert_eq!(TaskId::UNBOUND.0, 0x03fe);
    }
}
