//! Bounds on waiting that hold whatever the clock does.
//!
//! A phase has a deadline. Each wait in it has a limit of its own, and at most half of the phase, so that one step that
//! hangs leaves time to try something else. Time comes from a clock that is not trusted:
//!
//! * if it stands still, or does not answer, for a given number of polls, time is over;
//! * a step backwards, or forwards by more than [`JUMP_MS`], is no time: the clock was set, or is broken;
//! * however slowly it moves, a phase has at most [`PATIENCE`] times that number of polls.
//!
//! So every phase ends, and everything that consists of phases, and no phase ends early because of one leap of the clock.

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

/// What passes between two looks at most, milliseconds, if the clock is to be believed. Beyond the whole time that an
/// emergency has, it makes no difference.
const JUMP_MS: u64 = 1_000;

/// Polls in a phase at most, as a multiple of those after which a clock that stands still counts as dead.
const PATIENCE: u32 = 4;

/// Polls that stand for a millisecond of delay when the clock is dead: no processor reads a device register more often
/// than every 50 ns.
const POLLS_PER_MILLISECOND: u32 = 20_000;

/// The deadline of a phase, and the means to notice it.
#[derive(Debug)]
pub(crate) struct Watch<C> {
    clock: C,
    /// The clock at the last look.
    seen: u64,
    /// Length of the phase, milliseconds.
    phase_ms: u32,
    /// How much of it has passed.
    elapsed: u32,
    /// Looks at the clock in this phase.
    looks: u32,
    /// Of these, since it last moved.
    still: u32,
    /// How many of them mean that it is dead.
    most_still: u32,
}

/// How long one wait within a phase may take.
#[derive(Debug)]
pub struct Patience {
    limit_ms: u32,
    polls: u32,
    looks: u32,
    /// Looks since the clock last moved.
    still: u32,
    /// How much of the phase had passed at the first look.
    start: Option<u32>,
}

/// What a phase has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Milliseconds, as far as the clock could tell.
    pub ms: u32,
    /// Polls that found nothing, rounded down to a multiple of 256 in each wait.
    pub polls: u32,
}

impl Patience {
    /// At most `limit_ms` milliseconds, counted from the first look at the clock.
    #[must_use]
    pub fn new(limit_ms: u32) -> Self {
        Self {
            limit_ms,
            polls: 0,
            looks: 0,
            still: 0,
            start: None,
        }
    }
}

impl<C: Clock> Watch<C> {
    /// `limit`: polls without movement of the clock after which it counts as dead.
    pub(crate) fn new(clock: C, limit: u32) -> Self {
        Self {
            clock,
            seen: 0,
            phase_ms: 0,
            elapsed: 0,
            looks: 0,
            still: 0,
            most_still: limit / POLLS_PER_LOOK,
        }
    }

    /// Starts a phase of `ms` milliseconds; returns what the one before has taken.
    pub(crate) fn begin(&mut self, ms: u32) -> Spent {
        let passed = self.tick();
        self.elapsed = self.elapsed.saturating_add(passed);
        let spent = self.spent();
        self.phase_ms = ms;
        self.elapsed = 0;
        self.looks = 0;
        self.still = 0;
        spent
    }

    /// What the phase has taken up to the last look.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            ms: self.elapsed,
            polls: self.looks.saturating_mul(POLLS_PER_LOOK),
        }
    }

    /// Counts a poll that found nothing yet; true when the step, or the phase, has taken too long.
    #[inline(always)]
    pub(crate) fn is_over(&mut self, patience: &mut Patience) -> bool {
        patience.polls = patience.polls.wrapping_add(1);
        patience.polls.is_multiple_of(POLLS_PER_LOOK) && self.look(patience)
    }

    /// Milliseconds since the last look, as far as they can be believed.
    fn tick(&mut self) -> u32 {
        let now = self.clock.now().unwrap_or(self.seen);
        // A step backwards is a huge one forwards.
        let passed = now.wrapping_sub(self.seen);
        self.seen = now;
        if passed > JUMP_MS { 0 } else { passed as u32 }
    }

    #[cold]
    #[inline(never)]
    fn look(&mut self, patience: &mut Patience) -> bool {
        self.looks = self.looks.saturating_add(1);
        patience.looks = patience.looks.saturating_add(1);
        let passed = self.tick();
        if passed == 0 {
            self.still = self.still.saturating_add(1);
            patience.still = patience.still.saturating_add(1);
        } else {
            self.still = 0;
            patience.still = 0;
            self.elapsed = self.elapsed.saturating_add(passed);
        }
        let limit = patience.limit_ms.min(self.phase_ms / 2);
        let start = *patience.start.get_or_insert(self.elapsed);
        self.elapsed.wrapping_sub(start) >= limit
            || patience.still >= self.most_still / 2
            || patience.looks >= self.most_looks() / 2
            || self.is_late()
    }

    fn most_looks(&self) -> u32 {
        self.most_still.saturating_mul(PATIENCE)
    }

    /// Whether the phase was over at the last look.
    pub(crate) fn is_late(&self) -> bool {
        self.elapsed >= self.phase_ms
            || self.still >= self.most_still
            || self.looks >= self.most_looks()
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

    /// A clock made of a function of the number of looks.
    struct Strange<F>(Cell<u64>, F);

    impl<F: Fn(u64) -> Option<u64>> Clock for Strange<F> {
        fn now(&self) -> Option<u64> {
            self.0.set(self.0.get() + 1);
            (self.1)(self.0.get())
        }
    }

    fn strange(time: impl Fn(u64) -> Option<u64>) -> impl Clock {
        Strange(Cell::new(0), time)
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
        let dead: [fn(u64) -> Option<u64>; 2] = [|_| None, |_| Some(1234)];
        for time in dead {
            let mut watch = Watch::new(strange(time), 10_240);
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
        }
    }

    /// Polls until the phase is over, whatever the waits in it are.
    fn polls_of_phase<C: Clock>(watch: &mut Watch<C>) -> u32 {
        let mut all = 0;
        while !watch.is_late() {
            all += 1 + polls(watch, 1_000);
            assert!(all < 1 << 24, "it does not end");
        }
        all
    }

    /// REQ: X1 (bounded whatever the time source does)
    #[test]
    fn a_clock_that_is_broken_ends_every_phase() {
        let clocks: [fn(u64) -> Option<u64>; 6] = [
            |look| Some(1_000_000 - look * 7),
            |look| Some(look % 2 * 1_000),
            |look| Some(look.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            |look| Some(look * 100_000),
            |look| (!look.is_multiple_of(3)).then_some(look / 1_000),
            |look| Some(look / 1_000),
        ];
        for time in clocks {
            let mut watch = Watch::new(strange(time), 10_240);
            watch.begin(100);
            let all = polls_of_phase(&mut watch);
            assert!(all <= 4 * 10_240 + 256, "{all}");
            assert_eq!(watch.spent().polls, all / 256 * 256);
        }
    }

    /// A clock that is set once, forwards or backwards, neither ends the phase nor makes it endless.
    #[test]
    fn one_leap_of_the_clock_makes_no_difference() {
        let length = |leap: fn(u64) -> u64| {
            let mut watch = Watch::new(strange(move |look| Some(leap(look))), 1 << 20);
            watch.begin(100);
            polls_of_phase(&mut watch)
        };
        let even = length(|look| 10_000 + look);
        for leap in [
            length(|look| if look < 40 { 10_000 + look } else { look }),
            length(|look| if look < 40 { look } else { 1 << 40 | look }),
        ] {
            assert!(leap.abs_diff(even) <= 256, "{leap} instead of {even}");
        }
    }

    #[test]
    fn what_a_phase_has_taken_is_told() {
        let mut watch = Watch::new(strange(|look| Some(look * 3)), 1 << 20);
        watch.begin(1_000);
        polls(&mut watch, 30);
        let spent = watch.spent();
        assert_eq!(spent.ms, 3 * spent.polls / 256);
        let all = watch.begin(1_000);
        assert_eq!((all.ms, all.polls), (spent.ms + 3, spent.polls));
        assert_eq!(watch.spent(), super::Spent::default());
    }

    #[test]
    fn a_delay_with_a_dead_clock_is_polls() {
        let mut watch = Watch::new(strange(|_| None), 1_000_000);
        watch.begin(100);
        let mut count = 0;
        watch.delay(2, || count += 1);
        assert!((39_000..=40_000).contains(&count), "{count}");
    }
}
