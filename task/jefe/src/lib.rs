//! The restart policy: when a task that has faulted is restarted.
//!
//! A library, so that it is tested on a host; the task in `main.rs` carries it out.
//!
//! A task that faults is restarted: at once if it has run for [`MIN_RUN`] milliseconds, else when
//! these are over. A task that fails right after its start must not take the processor from the
//! others. A task can be held instead: it then stays faulted until it is released.
//!
//! Times and behaviour are those of upstream's `jefe`.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

/// A task is restarted at most once in this many milliseconds.
pub const MIN_RUN: u64 = 50;

/// A restart comes at least this many milliseconds after the fault if other tasks are notified of
/// it, so that they can read the state of the faulted task.
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
    /// The application or a debugger has asked for it.
    Asked,
    /// The task is in a crash loop.
    CrashLoop,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum State {
    /// Not faulted, as far as is known; started at this time.
    Running { since: u64 },
    /// Faulted, to be restarted at this time.
    Waiting { until: u64 },
    /// Faulted, and not to be restarted.
    Down,
}

/// What to do with a task that has faulted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Restart it now.
    Restart,
    /// Restart it when [`Health::is_due`].
    Wait,
    /// Leave it faulted.
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

    /// Does it run? If not, its fault was handled already.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Is it held? Then a fault leaves it down.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// When it was started; `None` if it is faulted or stopped.
    #[must_use]
    pub fn running_since(&self) -> Option<u64> {
        match self.state {
            State::Running { since } => Some(since),
            State::Waiting { .. } | State::Down => None,
        }
    }

    /// Decides about a new fault. `observed`: are other tasks notified of it?
    ///
    /// After [`Verdict::Restart`] the caller restarts the task and calls [`Health::started`].
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

    /// Decides about a new fault of the least important task. It never waits: without it there may
    /// be no task that can run, which the kernel treats as a failure. It takes the processor from
    /// no other task.
    pub fn fault_of_least_important(&mut self) -> Verdict {
        if self.held.is_some() || !self.is_running() {
            self.state = State::Down;
            return Verdict::Leave;
        }
        Verdict::Restart
    }

    /// Leaves it down because it is in a crash loop, until it is released.
    pub fn hold_in_loop(&mut self) {
        self.held = Some(Hold::CrashLoop);
        self.state = State::Down;
    }

    /// Notes that it was stopped, and is to be started at `until`.
    pub fn start_later(&mut self, until: u64) {
        self.state = State::Waiting { until };
    }

    /// Leaves it down, without a hold, until it is started.
    pub fn leave_down(&mut self) {
        self.state = State::Down;
    }

    /// When it is to be restarted; `None` if it is not.
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

    /// Notes that it was restarted.
    pub fn started(&mut self, now: u64) {
        self.state = State::Running { since: now };
    }

    /// Holds it: its next fault leaves it down. A restart that it waits for takes place all the
    /// same.
    pub fn hold(&mut self) {
        self.held = Some(Hold::Asked);
    }

    /// Ends the hold. Returns `true` if it is down: then it has to be restarted now.
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
    fn the_least_important_task_never_waits() {
        let mut health = Health::new(false);
        for now in 0..100 {
            assert_eq!(health.fault_of_least_important(), Verdict::Restart);
            health.started(now);
        }
        health.hold_in_loop();
        assert_eq!(health.fault_of_least_important(), Verdict::Leave);
        let mut held = Health::new(true);
        assert_eq!(held.fault_of_least_important(), Verdict::Leave);
        assert!(!held.is_running());
    }

    #[test]
    fn a_fault_that_others_observe_waits_for_them() {
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
    fn a_task_in_a_crash_loop_is_held() {
        let mut health = Health::new(false);
        health.hold_in_loop();
        assert!(health.is_held() && !health.is_running());
        assert_eq!((health.restart_at(), health.running_since()), (None, None));
        assert_eq!(health.fault(5, false), Verdict::Leave);
        assert!(health.release());
        health.started(7);
        assert_eq!(health.running_since(), Some(7));
        assert_eq!(health.fault(5_000, false), Verdict::Restart);
    }

    #[test]
    fn a_start_can_be_delayed() {
        let mut health = Health::new(false);
        health.start_later(500);
        assert!(!health.is_due(499) && health.is_due(500));
        assert_eq!(health.running_since(), None);
    }

    #[test]
    fn a_fault_is_handled_once() {
        let mut health = Health::new(false);
        assert_eq!(health.fault(0, false), Verdict::Wait);
        assert_eq!(health.fault(1, false), Verdict::Leave);
        assert_eq!(health.restart_at(), Some(MIN_RUN));
    }
}
