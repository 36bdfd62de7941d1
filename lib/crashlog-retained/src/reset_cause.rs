//! What the chip says of the reset that began this boot.
//!
//! Its register is read, and cleared, once in a boot, by the first program that runs: the kernel of
//! the application. That leaves it here for the supervisor, which has no access to the register.
//! The supervisor takes it, so that it is not read again in a boot whose kernel leaves none.

use crate::words::{check_values, load, publish, store, words};
use block_device::Block;

const MAGIC: u32 = u32::from_le_bytes(*b"RSTC");

/// Words of the header's block: check, cause.
const FIRST: usize = 36;
const WORDS: usize = 2;

/// What the chip says of the last reset.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum ResetCause {
    /// It does not say, or software did it.
    #[default]
    Unknown,
    /// Power was applied.
    PowerOn,
    /// The reset pin was asserted.
    Pin,
    /// A watchdog.
    Watchdog,
}

impl ResetCause {
    const fn to_number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::PowerOn => 1,
            Self::Pin => 2,
            Self::Watchdog => 3,
        }
    }

    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::PowerOn,
            2 => Self::Pin,
            3 => Self::Watchdog,
            _ => Self::Unknown,
        }
    }
}

/// Where the kernel leaves it for the supervisor.
#[derive(Clone, Copy, Debug)]
pub struct ResetCauseSlot<'a>(&'a Block);

impl<'a> ResetCauseSlot<'a> {
    pub(crate) const fn new(header: &'a Block) -> Self {
        Self(header)
    }

    /// Leaves it. To be called at the start of a boot, before the supervisor runs.
    pub fn leave(&self, cause: ResetCause) {
        if let [check, number] = words(self.0, FIRST, WORDS) {
            store(check, 0);
            store(number, cause.to_number());
            publish(check, check_values(MAGIC, &[cause.to_number()]));
        }
    }

    /// Takes it; [`ResetCause::Unknown`] if nobody has left it in this boot.
    #[must_use]
    pub fn take(&self) -> ResetCause {
        let [check, number] = words(self.0, FIRST, WORDS) else {
            return ResetCause::Unknown;
        };
        let number = load(number);
        let is_sound = load(check) == check_values(MAGIC, &[number]);
        store(check, 0);
        if is_sound {
            ResetCause::from_number(number)
        } else {
            ResetCause::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;
    use crate::testing::memory;
    use proptest::prelude::*;

    const ALL: [ResetCause; 4] = [
        ResetCause::Unknown,
        ResetCause::PowerOn,
        ResetCause::Pin,
        ResetCause::Watchdog,
    ];

    #[test]
    fn what_is_left_is_taken_once() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        assert_eq!(region.reset_cause().take(), ResetCause::Unknown);
        for cause in ALL {
            region.reset_cause().leave(cause);
            // It is left before the boot is begun, also in memory that holds garbage.
            region.begin_boot();
            assert_eq!(region.reset_cause().take(), cause);
            assert_eq!(region.reset_cause().take(), ResetCause::Unknown);
        }
    }

    proptest! {
        #[test]
        fn damage_is_noticed(word in 0usize..128, value: u32) {
            let memory = memory();
            let slot = Region::over(&memory).unwrap().reset_cause();
            slot.leave(ResetCause::Watchdog);
            memory[0].set_word(word, value);
            let taken = slot.take();
            prop_assert!(matches!(taken, ResetCause::Watchdog | ResetCause::Unknown));
        }
    }
}
