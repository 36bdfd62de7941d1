//! The sequence of an emergency: a state machine without side effects.
//!
//! ```text
//!              declare            enter         recorder faulted, done without
//!   Inactive ----------> Declared -----> Full --- success, or time is up -----> Minimal
//!                                          |                                       |
//!                  done, and it is durable |                          done, recorder faulted,
//!                                          v                            or time is up
//!                                      Snapshot                                    |
//!                                          | done, recorder faulted,               |
//!                                          v   or time is up                       |
//!                                         Over <-----------------------------------'
//! ```
//!
//! In `Snapshot` the crash is durable, and the recorder writes the image of the memory as well. A
//! try that ends in another way leads to `Over`: the image is made then, too, and the next boot
//! writes it.
//!
//! The budget is the hardware watchdog's, which is armed when the emergency is declared, once, with
//! all of it. Both tries end before the watchdog does: the supervisor normally resets the system
//! itself, and the watchdog fires only if the supervisor fails.
//!
//! This is the only owner of that time: the recorder is told how much of it a try has
//! ([`EmergencySequence::left`]), and has no time of its own. Nearly all belongs to the first try,
//! as a card may be busy for seconds and a second try cannot hurry it. What fails early leaves the
//! rest to the second.
//!
//! ```text
//!   budget 2 000 ms     0 ......................... 1 500 .. 1 750 ... 1 875 .. 2 000
//!   budget 8 000 ms     0 ......................... 7 250 .. 7 500 ... 7 750 .. 8 000
//!                                          full try       minimal  image      watchdog
//! ```

/// The longest of the parts of the budget that are not the full try's, milliseconds: a healthy card
/// needs far less. They are an eighth for the minimal try, and a sixteenth each for the image and
/// for the reset.
const MOST_PART_MS: u32 = 250;

/// How long before the end of its time the recorder should have reported, milliseconds, and at most
/// an eighth of it.
const REPORT_MS: u32 = 10;

/// How much the recorder is to write.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Mode {
    /// All that there is to save, in the fastest way.
    Full,
    /// The crash itself and the log tail only, in the simplest way.
    Minimal,
}

/// How far an emergency has come.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum EmergencyState {
    /// There is none.
    Inactive,
    /// A panic was found; the recorder has not been called yet.
    Declared,
    /// The recorder was called.
    Writing(Mode),
    /// The crash is durable; the recorder was told to write the snapshot.
    WritingSnapshot,
    /// The system is being reset.
    Over,
}

/// What the supervisor has to do next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum NextAction {
    /// Nothing.
    Wait,
    /// Restart the recorder at its emergency entry.
    Enter(Mode),
    /// Make the image, and tell the recorder to write it.
    WriteSnapshot,
    /// Make the image, for the next boot to write, and reset the system.
    SaveAndReset,
    /// Reset the system.
    Reset,
}

/// The state machine. Times are milliseconds since boot.
#[derive(Copy, Clone, Debug)]
pub struct EmergencySequence {
    state: EmergencyState,
    budget_ms: u32,
    /// When it was declared.
    since: u64,
}

impl EmergencySequence {
    /// No emergency yet; one that is declared has `budget_ms` milliseconds.
    #[must_use]
    pub const fn new(budget_ms: u32) -> Self {
        Self {
            state: EmergencyState::Inactive,
            budget_ms,
            since: 0,
        }
    }

    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> EmergencyState {
        self.state
    }

    /// Is there an emergency, in whatever state?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state != EmergencyState::Inactive
    }

    /// A panic was found, at `now`. Returns `true` for the first one, for which the watchdog has to
    /// be armed; later ones belong to the same emergency.
    #[must_use]
    pub fn declare(&mut self, now: u64) -> bool {
        let first = self.state == EmergencyState::Inactive;
        if first {
            self.state = EmergencyState::Declared;
            self.since = now;
        }
        first
    }

    /// The crash is described in retained RAM: the recorder can be called.
    #[must_use]
    pub fn enter(&mut self) -> NextAction {
        match self.state {
            EmergencyState::Declared => self.begin_try(Mode::Full),
            EmergencyState::Inactive
            | EmergencyState::Writing(_)
            | EmergencyState::WritingSnapshot
            | EmergencyState::Over => NextAction::Wait,
        }
    }

    /// The recorder faulted, while it was writing or together with the task that crashed.
    #[must_use]
    pub fn recorder_faulted(&mut self) -> NextAction {
        match self.state {
            EmergencyState::Writing(mode) => self.end_try(mode),
            EmergencyState::WritingSnapshot => self.end(),
            // It is restarted when it is called.
            EmergencyState::Declared => NextAction::Wait,
            EmergencyState::Inactive | EmergencyState::Over => NextAction::Wait,
        }
    }

    /// Ends the try whose time is up at `now`.
    #[must_use]
    pub fn check_deadline(&mut self, now: u64) -> NextAction {
        match (self.state, self.deadline()) {
            (EmergencyState::Writing(mode), Some(deadline)) if deadline <= now => {
                self.end_try(mode)
            }
            (EmergencyState::WritingSnapshot, Some(deadline)) if deadline <= now => self.end(),
            _ => NextAction::Wait,
        }
    }

    /// The recorder reports, at `now`, that it is done; `is_durable`: the crash is on the card. If
    /// it is not, the minimal try may have more success.
    #[must_use]
    pub fn recorder_done(&mut self, now: u64, is_durable: bool) -> NextAction {
        match self.state {
            EmergencyState::Writing(Mode::Full) if !is_durable => self.begin_try(Mode::Minimal),
            EmergencyState::Writing(Mode::Full) if now < self.snapshot_deadline() => {
                self.state = EmergencyState::WritingSnapshot;
                NextAction::WriteSnapshot
            }
            _ => self.end(),
        }
    }

    /// Milliseconds within which the recorder has to end the full try, if it is called as soon as
    /// the emergency is declared. No clock has to be read for that.
    #[must_use]
    pub fn full_try(&self) -> u32 {
        less_report(self.budget_ms.saturating_sub(self.after_full_try()))
    }

    /// Milliseconds within which the recorder has to end what it was called for at `now`; 0 if it
    /// was not called.
    #[must_use]
    pub fn left(&self, now: u64) -> u32 {
        let left = self.deadline().map_or(0, |end| end.saturating_sub(now));
        // It is at most the budget, which has 32 bits.
        less_report(left as u32)
    }

    /// Ends the emergency, whatever the recorder does: another try would gain nothing.
    #[must_use]
    pub fn end(&mut self) -> NextAction {
        let action = match self.state {
            EmergencyState::Writing(_) => NextAction::SaveAndReset,
            EmergencyState::WritingSnapshot => NextAction::Reset,
            // A report without a call means nothing.
            EmergencyState::Inactive | EmergencyState::Declared | EmergencyState::Over => {
                return NextAction::Wait;
            }
        };
        self.state = EmergencyState::Over;
        action
    }

    /// When the image has to be made, and the recorder's snapshot to be written.
    #[must_use]
    pub fn snapshot_deadline(&self) -> u64 {
        self.before_end(self.sixteenth())
    }

    /// When the time of the present try is up; `None` if none is under way.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self.state {
            EmergencyState::Writing(Mode::Full) => Some(self.before_end(self.after_full_try())),
            EmergencyState::Writing(Mode::Minimal) => {
                Some(self.before_end(self.sixteenth().wrapping_mul(2)))
            }
            EmergencyState::WritingSnapshot => Some(self.snapshot_deadline()),
            EmergencyState::Inactive | EmergencyState::Declared | EmergencyState::Over => None,
        }
    }

    /// The end of the budget, less `kept` milliseconds.
    fn before_end(&self, kept: u32) -> u64 {
        let length = self.budget_ms.saturating_sub(kept);
        self.since.saturating_add(length.into())
    }

    fn sixteenth(&self) -> u32 {
        MOST_PART_MS.min(self.budget_ms >> 4)
    }

    /// The parts of all that comes after the full try.
    fn after_full_try(&self) -> u32 {
        let eighth = MOST_PART_MS.min(self.budget_ms >> 3);
        eighth.wrapping_add(self.sixteenth().wrapping_mul(2))
    }

    fn end_try(&mut self, mode: Mode) -> NextAction {
        match mode {
            Mode::Full => self.begin_try(Mode::Minimal),
            Mode::Minimal => self.end(),
        }
    }

    fn begin_try(&mut self, mode: Mode) -> NextAction {
        self.state = EmergencyState::Writing(mode);
        NextAction::Enter(mode)
    }
}

/// What of `left` milliseconds the recorder may use.
fn less_report(left: u32) -> u32 {
    left.saturating_sub(REPORT_MS.min(left >> 3))
}

#[cfg(test)]
mod tests {
    use super::{EmergencySequence, EmergencyState, Mode, NextAction};

    fn writing() -> EmergencySequence {
        let mut emergency = EmergencySequence::new(2_000);
        assert!(emergency.declare(1_000));
        assert_eq!(emergency.enter(), NextAction::Enter(Mode::Full));
        emergency
    }

    /// REQ: X13 (in part: what a try has left of the budget is used for a second one)
    #[test]
    fn a_recorder_that_reports_a_failure_is_called_a_second_time() {
        let mut emergency = writing();
        assert_eq!(
            emergency.recorder_done(1_100, false),
            NextAction::Enter(Mode::Minimal)
        );
        assert_eq!(emergency.deadline(), Some(2_750));
        assert_eq!(
            emergency.recorder_done(1_200, false),
            NextAction::SaveAndReset
        );
        assert!(emergency.is_active());
        assert_eq!(emergency.deadline(), None);
    }

    /// REQ: X13 (in part: the budget that a try has)
    #[test]
    fn the_recorder_is_told_how_long_it_has() {
        let mut emergency = EmergencySequence::new(8_000);
        assert_eq!(emergency.left(500), 0);
        assert!(emergency.declare(500));
        assert_eq!(emergency.left(500), 0);
        let _ = emergency.enter();
        assert_eq!(emergency.left(500), 7_240);
        assert_eq!(emergency.full_try(), 7_240);
        assert_eq!(emergency.left(7_730), 18);
        assert_eq!(emergency.left(9_000), 0);
        let _ = emergency.recorder_faulted();
        assert_eq!(emergency.left(4_500), 3_490);
        // With the largest budget, too, and the smallest.
        let mut emergency = EmergencySequence::new(u32::MAX);
        assert!(emergency.declare(0));
        let _ = emergency.enter();
        assert_eq!(emergency.left(0), u32::MAX - 760);
        let mut emergency = EmergencySequence::new(100);
        assert!(emergency.declare(0));
        let _ = emergency.enter();
        assert_eq!(emergency.deadline(), Some(76));
        assert_eq!(emergency.left(0), 67);
    }

    #[test]
    fn the_snapshot_follows_a_crash_that_is_durable() {
        let end: [fn(&mut EmergencySequence) -> NextAction; 4] = [
            |emergency| emergency.recorder_done(2_000, true),
            EmergencySequence::recorder_faulted,
            |emergency| emergency.check_deadline(2_875),
            EmergencySequence::end,
        ];
        for end in end {
            let mut emergency = writing();
            assert_eq!(
                emergency.recorder_done(1_100, true),
                NextAction::WriteSnapshot
            );
            assert_eq!(emergency.state(), EmergencyState::WritingSnapshot);
            assert_eq!(emergency.deadline(), Some(2_875));
            assert_eq!(emergency.check_deadline(2_874), NextAction::Wait);
            assert_eq!(end(&mut emergency), NextAction::Reset);
            assert_eq!(emergency.state(), EmergencyState::Over);
        }
        // Neither after a minimal try, nor without time.
        let mut emergency = writing();
        let _ = emergency.recorder_faulted();
        assert_eq!(
            emergency.recorder_done(1_100, true),
            NextAction::SaveAndReset
        );
        let mut emergency = writing();
        assert_eq!(
            emergency.recorder_done(2_875, true),
            NextAction::SaveAndReset
        );
    }

    #[test]
    fn both_tries_end_inside_the_budget() {
        let mut emergency = writing();
        assert_eq!(emergency.deadline(), Some(2_500));
        assert_eq!(
            emergency.check_deadline(2_500),
            NextAction::Enter(Mode::Minimal)
        );
        assert_eq!(emergency.deadline(), Some(2_750));
        assert_eq!(emergency.check_deadline(2_749), NextAction::Wait);
        assert_eq!(emergency.check_deadline(2_750), NextAction::SaveAndReset);
        assert_eq!(emergency.check_deadline(9_999), NextAction::Wait);
    }

    #[test]
    fn a_recorder_that_faults_is_called_a_second_time() {
        let mut emergency = writing();
        assert_eq!(
            emergency.recorder_faulted(),
            NextAction::Enter(Mode::Minimal)
        );
        // The first try ended early: the second has the rest of its time, too.
        assert_eq!(emergency.deadline(), Some(2_750));
        assert_eq!(emergency.recorder_faulted(), NextAction::SaveAndReset);
        assert_eq!(emergency.recorder_faulted(), NextAction::Wait);
    }

    #[test]
    fn a_later_crash_does_not_begin_another_emergency() {
        let mut emergency = writing();
        assert!(!emergency.declare(1_500));
        assert_eq!(emergency.enter(), NextAction::Wait);
        assert_eq!(emergency.deadline(), Some(2_500));
    }

    #[test]
    fn events_without_an_emergency_change_nothing() {
        let mut emergency = EmergencySequence::new(2_000);
        assert_eq!(emergency.recorder_done(0, true), NextAction::Wait);
        assert_eq!(emergency.end(), NextAction::Wait);
        assert_eq!(emergency.enter(), NextAction::Wait);
        assert_eq!(emergency.recorder_faulted(), NextAction::Wait);
        assert_eq!(emergency.check_deadline(u64::MAX), NextAction::Wait);
        assert_eq!(emergency.state(), EmergencyState::Inactive);
    }

    /// In every order of events there are at most two tries, one snapshot and one reset, and no
    /// state comes back. An image is made once: for the recorder, or before the reset.
    #[test]
    fn every_sequence_of_events_ends() {
        const EVENTS: u32 = 6;
        const LENGTH: u32 = 6;
        for sequence in 0..EVENTS.pow(LENGTH) {
            let mut emergency = writing();
            let (mut entered, mut images, mut resets) = (1, 0, 0);
            for position in 0..LENGTH {
                let action = match sequence / EVENTS.pow(position) % EVENTS {
                    0 => emergency.recorder_faulted(),
                    1 => emergency.check_deadline(u64::MAX),
                    2 => emergency.recorder_done(1_100, true),
                    3 => emergency.recorder_done(1_100, false),
                    4 => emergency.end(),
                    _ => emergency.enter(),
                };
                match action {
                    NextAction::Enter(_) => entered += 1,
                    NextAction::WriteSnapshot => images += 1,
                    NextAction::SaveAndReset => {
                        images += 1;
                        resets += 1;
                    }
                    NextAction::Reset => resets += 1,
                    NextAction::Wait => {}
                }
            }
            assert!(entered <= 2 && images <= 1 && resets <= 1, "{sequence}");
            if emergency.state() == EmergencyState::Over {
                assert_eq!((images, resets), (1, 1), "{sequence}");
            }
        }
    }
}
