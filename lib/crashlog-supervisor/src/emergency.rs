//! The sequence of an emergency, as a state machine without side effects.
//!
//! ```text
//!            declare           begin            recorder faulted,
//!   Normal ----------> Declared -----> Full ---- or time is up ----> Minimal
//!                                        |                              |
//!                                        | done            done, recorder faulted,
//!                                        v                   or time is up
//!                                       Over <--------------------------'
//! ```
//!
//! Time is a budget that the hardware watchdog holds too: it is armed when the
//! emergency is declared, once, with all of it. The two tries end before it
//! does, so that the supervisor is normally the one who resets the system, and
//! the watchdog is left with the case that there is no supervisor any more.

/// Part of the budget at whose end the full try is over, in eighths.
const FULL_EIGHTHS: u64 = 5;

/// Part of the budget at whose end the minimal try is over, in eighths.
const MINIMAL_EIGHTHS: u64 = 7;

/// How the recorder is to work.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Mode {
    /// All that there is to save, in the fastest way.
    Full,
    /// The fault record and the log tail only, in the simplest way.
    Minimal,
}

/// Where an emergency is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// There is none.
    Normal,
    /// A crash has been found; the recorder has not been called yet.
    Declared,
    /// The recorder is at work.
    Writing(Mode),
    /// The system is to be reset.
    Over,
}

/// What the supervisor has to do next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Restart the recorder at its emergency entry.
    Enter(Mode),
    /// Reset the system.
    Reset,
}

/// The state machine. Times are milliseconds since boot.
#[derive(Copy, Clone, Debug)]
pub struct Emergency {
    phase: Phase,
    budget_ms: u32,
    /// When it was declared.
    since: u64,
}

impl Emergency {
    /// No emergency; when there is one it gets `budget_ms`.
    #[must_use]
    pub const fn new(budget_ms: u32) -> Self {
        Self {
            phase: Phase::Normal,
            budget_ms,
            since: 0,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Is there one, in whatever phase?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase != Phase::Normal
    }

    /// A crash was found. Returns `true` for the first one, for which the
    /// watchdog is to be armed; the others share its emergency.
    #[must_use]
    pub fn declare(&mut self, now: u64) -> bool {
        let first = self.phase == Phase::Normal;
        if first {
            self.phase = Phase::Declared;
            self.since = now;
        }
        first
    }

    /// The crash is described in retained RAM, the recorder can be called.
    #[must_use]
    pub fn begin(&mut self) -> Step {
        match self.phase {
            Phase::Declared => self.enter(Mode::Full),
            Phase::Normal | Phase::Writing(_) | Phase::Over => Step::Wait,
        }
    }

    /// The recorder faulted, while it was at work or in the same moment as the
    /// task that crashed.
    #[must_use]
    pub fn recorder_faulted(&mut self) -> Step {
        match self.phase {
            Phase::Writing(mode) => self.give_up(mode),
            // Calling it restarts it.
            Phase::Declared => Step::Wait,
            Phase::Normal | Phase::Over => Step::Wait,
        }
    }

    /// Looks at the clock.
    #[must_use]
    pub fn time(&mut self, now: u64) -> Step {
        match (self.phase, self.deadline()) {
            (Phase::Writing(mode), Some(deadline)) if deadline <= now => self.give_up(mode),
            _ => Step::Wait,
        }
    }

    /// The recorder says that it is done, well or not.
    #[must_use]
    pub fn done(&mut self) -> Step {
        match self.phase {
            Phase::Writing(_) => self.reset(),
            // Nobody asked.
            Phase::Normal | Phase::Declared | Phase::Over => Step::Wait,
        }
    }

    /// When [`time`](Self::time) will have something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let eighths = match self.phase {
            Phase::Writing(Mode::Full) => FULL_EIGHTHS,
            Phase::Writing(Mode::Minimal) => MINIMAL_EIGHTHS,
            Phase::Normal | Phase::Declared | Phase::Over => return None,
        };
        // The budget has 32 bits, so the product fits.
        Some(
            self.since
                .saturating_add(u64::from(self.budget_ms) * eighths / 8),
        )
    }

    fn give_up(&mut self, mode: Mode) -> Step {
        match mode {
            Mode::Full => self.enter(Mode::Minimal),
            Mode::Minimal => self.reset(),
        }
    }

    fn enter(&mut self, mode: Mode) -> Step {
        self.phase = Phase::Writing(mode);
        Step::Enter(mode)
    }

    fn reset(&mut self) -> Step {
        self.phase = Phase::Over;
        Step::Reset
    }
}

#[cfg(test)]
mod tests {
    use super::{Emergency, Mode, Phase, Step};

    fn writing() -> Emergency {
        let mut emergency = Emergency::new(2_000);
        assert!(emergency.declare(1_000));
        assert_eq!(emergency.begin(), Step::Enter(Mode::Full));
        emergency
    }

    #[test]
    fn a_healthy_recorder_ends_it_with_a_reset() {
        let mut emergency = writing();
        assert_eq!(emergency.time(2_249), Step::Wait);
        assert_eq!(emergency.done(), Step::Reset);
        assert!(emergency.is_active());
        assert_eq!(emergency.deadline(), None);
    }

    #[test]
    fn both_tries_end_inside_the_budget() {
        let mut emergency = writing();
        assert_eq!(emergency.deadline(), Some(2_250));
        assert_eq!(emergency.time(2_250), Step::Enter(Mode::Minimal));
        assert_eq!(emergency.deadline(), Some(2_750));
        assert_eq!(emergency.time(2_749), Step::Wait);
        assert_eq!(emergency.time(2_750), Step::Reset);
        assert_eq!(emergency.time(9_999), Step::Wait);
    }

    #[test]
    fn a_recorder_that_faults_is_called_once_more() {
        let mut emergency = writing();
        assert_eq!(emergency.recorder_faulted(), Step::Enter(Mode::Minimal));
        // The first try ended early, so the second one has the rest of its time too.
        assert_eq!(emergency.deadline(), Some(2_750));
        assert_eq!(emergency.recorder_faulted(), Step::Reset);
        assert_eq!(emergency.recorder_faulted(), Step::Wait);
    }

    #[test]
    fn later_crashes_share_the_emergency() {
        let mut emergency = writing();
        assert!(!emergency.declare(1_500));
        assert_eq!(emergency.begin(), Step::Wait);
        assert_eq!(emergency.deadline(), Some(2_250));
    }

    #[test]
    fn answers_that_nobody_asked_for_change_nothing() {
        let mut emergency = Emergency::new(2_000);
        assert_eq!(emergency.done(), Step::Wait);
        assert_eq!(emergency.begin(), Step::Wait);
        assert_eq!(emergency.recorder_faulted(), Step::Wait);
        assert_eq!(emergency.time(u64::MAX), Step::Wait);
        assert_eq!(emergency.phase(), Phase::Normal);
    }

    /// Whatever happens in whatever order, an emergency is over after at most
    /// two tries, and never goes back.
    #[test]
    fn every_sequence_of_events_ends() {
        const EVENTS: u32 = 4;
        const LENGTH: u32 = 6;
        for sequence in 0..EVENTS.pow(LENGTH) {
            let mut emergency = writing();
            let (mut entered, mut resets) = (1, 0);
            for position in 0..LENGTH {
                let step = match sequence / EVENTS.pow(position) % EVENTS {
                    0 => emergency.recorder_faulted(),
                    1 => emergency.time(u64::MAX),
                    2 => emergency.done(),
                    _ => emergency.begin(),
                };
                match step {
                    Step::Enter(_) => entered += 1,
                    Step::Reset => resets += 1,
                    Step::Wait => {}
                }
            }
            assert!(entered <= 2 && resets <= 1, "sequence {sequence}");
            if emergency.phase() == Phase::Over {
                assert_eq!(resets, 1);
            }
        }
    }
}
