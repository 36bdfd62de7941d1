//! The restart policy, apart from the task that follows it.
//!
//! A task that faults is restarted, at once if it has run for a while, and
//! otherwise as late as needed that no task is restarted more often than each
//! [`MIN_RUN`] milliseconds: a task that fails right after its start must not
//! keep the processor from the others. A task can be held instead: it then
//! stays as it is when it faults, until it is released.
//!
//! Figures and behaviour are upstream's (hubris-interface section 10.1).

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

/// A task is restarted at most once in this many milliseconds.
pub const MIN_RUN: u64 = 50;

/// Milliseconds between fault and restart at least, where other tasks are told about the fault: the time they have
/// to look at the corpse.
pub const MIN_DOWN: u64 = 5;

/// What the supervisor knows about one task.
#[derive(Copy, Clone, Debug)]
pub struct Health {
    held: Option<Hold>,
    state: State,
}

/// Why a fault leaves a task down.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Hold {
    /// The application or a debugger asked for it.
    Asked,
    /// The same fault came again and again.
    CrashLoop,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum State {
    /// Not known to be faulted; started at this time.
    Running { since: u64 },
    /// Faulted, to be restarted at this time.
    Waiting { until: u64 },
    /// Faulted, to be left alone.
    Down,
}

/// What to do with a task that has faulted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Restart it now.
    Restart,
    /// Restart it when [`Health::is_due`].
    Wait,
    /// Leave it alone.
    Leave,
}

impl Health {
    /// A task that started at boot.
    #[must_use]
    pub const fn new(held: bool) -> Self {
        Self {
            held: if held { Some(Hold::Asked) } else { None },
            state: State::Running { since: 0 },
        }
    }

    /// Is its fault a new one, or was it judged already?
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Would a fault leave it down, for a human to look at?
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// When it was started, if it is not known to be faulted.
    #[must_use]
    pub fn running_since(&self) -> Option<u64> {
        match self.state {
            State::Running { since } => Some(since),
            State::Waiting { .. } | State::Down => None,
        }
    }

    /// Judges a new fault. `observed`: are other tasks told about it?
    ///
    /// After [`Verdict::Restart`] the caller restarts the task and says so by
    /// [`Health::started`].
    pub fn fault(&mut self, now: u64, observed: bool) -> Verdict {
        let State::Running { since } = self.state else {
            return Verdict::Leave;
        };
        if self.held.is_some() {
            self.state = State::Down;
            return Verdict::Leave;
        }
        let mut until = since.saturating_add(MIN_RUN);
        if observed {
            until = until.max(now.saturating_add(MIN_DOWN));
        }
        if until <= now {
            return Verdict::Restart;
        }
        self.state = State::Waiting { until };
        Verdict::Wait
    }

    /// Judges a new fault of the least important task, without which there may be nothing to run: it is never made to
    /// wait. It keeps the processor from nobody, as everybody else comes first.
    pub fn fault_of_last(&mut self) -> Verdict {
        if self.held.is_some() || !self.is_running() {
            self.state = State::Down;
            return Verdict::Leave;
        }
        Verdict::Restart
    }

    /// Leaves it down, because the same fault came again and again: until it is
    /// released.
    pub fn break_loop(&mut self) {
        self.held = Some(Hold::CrashLoop);
        self.state = State::Down;
    }

    /// It was stopped, and is to be started at this time.
    pub fn start_later(&mut self, until: u64) {
        self.state = State::Waiting { until };
    }

    /// Takes the task out of the policy: it stays down until it is started.
    pub fn leave_down(&mut self) {
        self.state = State::Down;
    }

    /// When it is to be restarted, if it is.
    #[must_use]
    pub fn restart_at(&self) -> Option<u64> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } | State::Down => None,
        }
    }

    /// Has the time of its restart come?
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        self.restart_at().is_some_and(|until| until <= now)
    }

    /// It was restarted.
    pub fn started(&mut self, now: u64) {
        self.state = State::Running { since: now };
    }

    /// From now on its faults leave it down. One that waits for its restart is
    /// restarted all the same.
    pub fn hold(&mut self) {
        self.held = Some(Hold::Asked);
    }

    /// From now on its faults restart it. If it is down, that is to be done
    /// now: returns `true`.
    #[must_use]
    pub fn release(&mut self) -> bool {
        self.held = None;
        self.state == State::Down
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, MIN_DOWN, MIN_RUN, Verdict};

    #[test]
    fn a_task_that_ran_for_a_while_is_restarted_at_once() {
        let mut health = Health::new(false);
        assert_eq!(health.fault(MIN_RUN, false), Verdict::Restart);
        health.started(MIN_RUN);
        assert!(health.is_running());
        assert_eq!(health.restart_at(), None);
    }

    #[test]
    fn a_task_that_fails_early_waits() {
        let mut health = Health::new(false);
        health.started(1_000);
        assert_eq!(health.fault(1_010, false), Verdict::Wait);
        assert!(!health.is_running());
        assert!(!health.is_due(1_000 + MIN_RUN - 1));
        assert!(health.is_due(1_000 + MIN_RUN));
    }

    #[test]
    fn a_crash_loop_restarts_twenty_times_a_second() {
        let mut health = Health::new(false);
        let mut restarts = 0;
        for now in 0..1_000 {
            if health.is_running() && health.fault(now, false) == Verdict::Restart
                || health.is_due(now)
            {
                health.started(now);
                restarts += 1;
            }
        }
        assert_eq!(restarts, 19);
    }

    #[test]
    fn the_last_task_never_waits() {
        let mut health = Health::new(false);
        for now in 0..100 {
            assert_eq!(health.fault_of_last(), Verdict::Restart);
            health.started(now);
        }
        health.break_loop();
        assert_eq!(health.fault_of_last(), Verdict::Leave);
        let mut held = Health::new(true);
        assert_eq!(held.fault_of_last(), Verdict::Leave);
        assert!(!held.is_running());
    }

    #[test]
    fn observers_get_their_time() {
        let mut health = Health::new(false);
        assert_eq!(health.fault(MIN_RUN, true), Verdict::Wait);
        assert_eq!(health.restart_at(), Some(MIN_RUN + MIN_DOWN));
    }

    #[test]
    fn a_held_task_stays_down_until_released() {
        let mut health = Health::new(true);
        assert_eq!(health.fault(1_000, true), Verdict::Leave);
        assert_eq!(health.restart_at(), None);
        assert!(health.release());
        health.started(2_000);
        assert!(!health.release());
        assert_eq!(health.fault(3_000, false), Verdict::Restart);
    }

    /// REQ: X6
    #[test]
    fn a_crash_loop_ends_when_it_is_broken() {
        let mut health = Health::new(false);
        health.break_loop();
        assert!(health.is_held() && !health.is_running());
        assert_eq!((health.restart_at(), health.running_since()), (None, None));
        assert_eq!(health.fault(5, false), Verdict::Leave);
        assert!(health.release());
        health.started(7);
        assert_eq!(health.running_since(), Some(7));
        assert_eq!(health.fault(5_000, false), Verdict::Restart);
    }

    #[test]
    fn a_start_can_be_put_off() {
        let mut health = Health::new(false);
        health.start_later(500);
        assert!(!health.is_due(499) && health.is_due(500));
        assert_eq!(health.running_since(), None);
    }

    #[test]
    fn a_fault_is_judged_once() {
        let mut health = Health::new(false);
        assert_eq!(health.fault(0, false), Verdict::Wait);
        assert_eq!(health.fault(1, false), Verdict::Leave);
        assert_eq!(health.restart_at(), Some(MIN_RUN));
    }
}
