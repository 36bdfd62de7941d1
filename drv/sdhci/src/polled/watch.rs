//! Bounds on waiting that hold even if time stands still.
//!
//! A phase has a deadline. Each wait in it has a limit of its own, and at most half of the phase, so that one step that
//! hangs leaves time to try something else. Time comes from a clock that may be dead (it never answers, or always the same): if it has not moved
//! during a given number of polls, time is over as well. Both bounds together make every phase end, and so everything
//! that consists of phases.

/// A source of time for the emergency path.
pub trait Clock {
    /// Milliseconds since some fixed moment; `None` if there is no telling.
    fn now(&self) -> Option<u64>;
}

impl<T: Clock + ?Sized> Clock for &T {
    fn now(&self) -> Option<u64> {
        (**self).now()
    }
}

/// Polls between two looks at the clock: a look can cost a system call, and on a healthy card most waits end before
/// the first.
const POLLS_PER_LOOK: u32 = 256;

/// Polls that stand for a millisecond of delay when the clock is dead: no processor reads a device register more often
/// than every 50 ns.
const POLLS_PER_MILLISECOND: u32 = 20_000;

/// The deadline of a phase, and the means to notice it.
#[derive(Debug)]
pub(crate) struct Watch<C> {
    clock: C,
    /// When the phase ends.
    deadline: u64,
    /// The longest that one wait in it may take.
    half_ms: u32,
    /// The clock at the last look.
    seen: u64,
    /// Polls in this phase since the clock last moved.
    stalled: u32,
    /// How many of them mean that it is dead.
    limit: u32,
}

/// How long one wait within a phase may take.
#[derive(Debug)]
pub struct Patience {
    limit_ms: u32,
    polls: u32,
    /// Of these, since the clock last moved.
    stalled: u32,
    end: Option<u64>,
}

impl Patience {
    /// At most `limit_ms` milliseconds, counted from the first look at the clock.
    #[must_use]
    pub fn new(limit_ms: u32) -> Self {
        Self {
            limit_ms,
            polls: 0,
            stalled: 0,
            end: None,
        }
    }
}

impl<C: Clock> Watch<C> {
    /// `limit`: polls without movement of the clock after which it counts as dead.
    pub(crate) fn new(clock: C, limit: u32) -> Self {
        Self {
            clock,
            deadline: 0,
            half_ms: 0,
            seen: 0,
            stalled: 0,
            limit,
        }
    }

    /// Starts a phase of `ms` milliseconds.
    pub(crate) fn begin(&mut self, ms: u32) {
        self.seen = self.clock.now().unwrap_or(0);
        self.deadline = self.seen.saturating_add(ms.into());
        self.half_ms = ms / 2;
        self.stalled = 0;
    }

    /// Counts a poll that found nothing yet; true when the step, or the phase, has taken too long.
    #[inline(always)]
    pub(crate) fn is_over(&mut self, patience: &mut Patience) -> bool {
        patience.polls = patience.polls.wrapping_add(1);
        patience.polls.is_multiple_of(POLLS_PER_LOOK) && self.look(patience)
    }

    #[cold]
    #[inline(never)]
    fn look(&mut self, patience: &mut Patience) -> bool {
        match self.clock.now() {
            Some(now) if now != self.seen => {
                self.seen = now;
                self.stalled = 0;
                patience.stalled = 0;
            }
            _ => {
                self.stalled = self.stalled.saturating_add(POLLS_PER_LOOK);
                patience.stalled = patience.stalled.saturating_add(POLLS_PER_LOOK);
            }
        }
        let limit = patience.limit_ms.min(self.half_ms);
        let end = *patience
            .end
            .get_or_insert(self.seen.saturating_add(limit.into()));
        self.seen >= end || patience.stalled >= self.limit / 2 || self.is_late()
    }

    /// Whether the phase was over at the last look.
    pub(crate) fn is_late(&self) -> bool {
        self.seen >= self.deadline || self.stalled >= self.limit
    }

    /// Lets `ms` milliseconds pass, calling `poll` meanwhile; with a dead clock, at least about that.
    pub(crate) fn delay(&mut self, ms: u32, mut poll: impl FnMut()) {
        // One more: the present millisecond is already running.
        let mut patience = Patience::new(ms.saturating_add(1));
        let most = ms.saturating_mul(POLLS_PER_MILLISECOND);
        while patience.polls < most && !self.is_over(&mut patience) {
            poll();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Patience, Watch};
    use core::cell::Cell;

    struct Ticking {
        looks: Cell<u64>,
        looks_per_ms: u64,
    }

    impl Clock for Ticking {
        fn now(&self) -> Option<u64> {
            self.looks.set(self.looks.get() + 1);
            Some(self.looks.get() / self.looks_per_ms)
        }
    }

    struct Dead;

    impl Clock for Dead {
        fn now(&self) -> Option<u64> {
            None
        }
    }

    struct Frozen;

    impl Clock for Frozen {
        fn now(&self) -> Option<u64> {
            Some(1234)
        }
    }

    fn polls<C: Clock>(watch: &mut Watch<C>, limit_ms: u32) -> u32 {
        let mut patience = Patience::new(limit_ms);
        let mut polls = 0;
        while !watch.is_over(&mut patience) {
            polls += 1;
        }
        polls
    }

    #[test]
    fn a_step_ends_at_its_own_limit_at_half_of_the_phase_and_with_the_phase() {
        let clock = Ticking {
            looks: Cell::new(0),
            looks_per_ms: 2,
        };
        let mut watch = Watch::new(clock, u32::MAX);
        watch.begin(100);
        let own = polls(&mut watch, 10);
        assert!((19 * 256..=22 * 256).contains(&own), "{own}");
        let half = polls(&mut watch, 1000);
        assert!((98 * 256..=102 * 256).contains(&half), "{half}");
        let rest = polls(&mut watch, 1000);
        assert!((70 * 256..=82 * 256).contains(&rest), "{rest}");
        assert!(watch.is_late());
        assert!(polls(&mut watch, 1000) < 256, "the phase is over");
    }

    /// REQ: X1 (bounded even with a dead time source)
    #[test]
    fn a_dead_clock_ends_every_step_of_the_phase() {
        let mut watch = Watch::new(Dead, 10_000);
        watch.begin(100);
        assert!(polls(&mut watch, 10) <= 5_120);
        assert!(
            !watch.is_late(),
            "half of the polls are left for something else"
        );
        assert!(polls(&mut watch, 10) <= 5_120);
        assert!(watch.is_late());
        assert!(
            polls(&mut watch, 10) < 256,
            "the polls of the phase are used up"
        );
        watch.begin(100);
        assert!(polls(&mut watch, 10) > 4_000, "the next phase has its own");
        let mut watch = Watch::new(Frozen, 10_000);
        watch.begin(100);
        assert!(polls(&mut watch, 10) <= 5_120);
    }

    #[test]
    fn a_delay_with_a_dead_clock_is_polls() {
        let mut watch = Watch::new(Dead, 1_000_000);
        watch.begin(100);
        let mut count = 0;
        watch.delay(2, || count += 1);
        assert!((39_000..=40_000).contains(&count), "{count}");
    }
}
