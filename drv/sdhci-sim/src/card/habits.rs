//! What a card does that its standard allows, and that not every card does.

use super::SimCard;

/// Habits of a card. By default it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// It misses the first CMD0 after power-up.
    pub misses_first_reset: bool,
    /// It does not answer the second CMD1 or ACMD41 of a power-up.
    pub misses_second_condition: bool,
    /// After a time-out of its data it does not answer one CMD13.
    pub silent_after_timeout: bool,
    /// How long it takes to power up, counted from the first CMD1 or ACMD41, microseconds: up to a
    /// second (SD 4.2.3, eMMC 6.4.2).
    pub power_up_us: u64,
    /// A CMD0 during programming makes it rebuild its tables; for so many microseconds it answers
    /// nothing.
    pub rebuild_us: u64,
    /// CMD0 leaves the cache on, and the partition selected, that earlier software has chosen.
    pub keeps_modes: bool,
    /// It asks urgently for background operations, by an exception bit in each status (eMMC
    /// 6.6.25).
    pub urgent_background: bool,
    /// Each write after so many blocks finds it collecting garbage, for so many microseconds.
    pub stall: Option<(u32, u64)>,
}

/// The state that the habits need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mood {
    /// CMD0 since it was powered.
    resets: u32,
    /// CMD1 or ACMD41 since it was powered.
    conditions: u32,
    /// The next CMD13 is not answered.
    pub(super) is_silent: bool,
    /// It answers nothing before this time.
    pub(super) silent_until: u64,
    /// Blocks since the last stall.
    blocks: u32,
}

impl SimCard {
    /// Whether the card ignores a command because of its habits.
    pub(super) fn misses(&mut self, now: u64, index: u8) -> bool {
        let mood = &mut self.mood;
        if now < mood.silent_until {
            return true;
        }
        match index {
            0 => {
                mood.resets += 1;
                self.habits.misses_first_reset && mood.resets == 1
            }
            1 | 41 => {
                mood.conditions += 1;
                self.habits.misses_second_condition && mood.conditions == 2
            }
            13 => std::mem::take(&mut mood.is_silent),
            _ => false,
        }
    }

    /// The controller has reported a time-out of the card's data.
    pub(crate) fn data_timed_out(&mut self) {
        self.mood.is_silent = self.habits.silent_after_timeout;
    }

    /// How long the programming of a block takes, if it usually takes `us`.
    pub(super) fn stalled(&mut self, us: u64) -> u64 {
        self.mood.blocks += 1;
        match self.habits.stall {
            Some((after, stall_us)) if self.mood.blocks > after => {
                self.mood.blocks = 0;
                stall_us
            }
            _ => us,
        }
    }
}
