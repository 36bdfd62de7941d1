//! Bounds on waiting that hold whatever the clock does.
//!
//! A try has a time, and consists of phases. A phase may use what is left of the try, less what the
//! phases after it need. Each wait in it has a limit of its own, and at most half of the phase, so
//! that one step that hangs leaves time to try something else. A wait for a card that is busy may
//! be prolonged ([`PhaseTimer::prolong`]): until only [`PhaseTimer::reserve_ms`] of the phase is
//! left. The time comes from a clock that is not trusted:
//!
//! * if it stands still, or does not answer, for a given number of polls, the wait and then the
//!   phase are over;
//! * a step backwards, or forwards by more than [`JUMP_MS`], does not count as time: the clock was
//!   set, or is broken;
//! * however slowly it moves, a phase has a greatest number of polls, by its length.
//!
//! So every phase ends, and everything that consists of phases. No phase ends early because of one
//! jump of the clock.

/// A source of time for the emergency path.
pub trait Clock {
    /// Milliseconds since a fixed moment; `None` if the clock does not answer.
    fn now(&self) -> Option<u64>;
}

impl<T: Clock + ?Sized> Clock for &T {
    fn now(&self) -> Option<u64> {
        (**self).now()
    }
}

/// Polls between two readings of the clock: reading it can cost a system call, and on a healthy
/// card most waits end before the first.
const POLLS_PER_READING: u32 = 256;

/// Longest accepted step between two readings, milliseconds. A larger step is a jump of the clock
/// and counts as no time. Between two readings of a clock that works there is far less.
const JUMP_MS: u64 = 1_000;

/// Polls in a phase at most, as a multiple of those after which a clock that stands still counts as
/// dead. A longer phase has more: see [`PhaseTimer::most_readings`].
const MOST_POLLS_FACTOR: u32 = 4;

/// Milliseconds for which the polls suffice after which a clock that stands still counts as dead,
/// at least.
const MS_WITHOUT_TIME: u32 = 512;

/// What a step keeps for the one after it, milliseconds, and at most an eighth of the try and of
/// its phase. A healthy card is identified, or gets all of a crash, in less.
const RESERVE_MS: u32 = 60;

/// Polls that stand for a millisecond of delay when the clock is dead: no processor reads a device
/// register more often than every 50 ns.
const POLLS_PER_MILLISECOND: u32 = 20_000;

/// Measures a phase, in time and in polls.
#[derive(Debug)]
pub(crate) struct PhaseTimer<C> {
    clock: C,
    /// The clock at the last reading.
    last: u64,
    /// What was left of the try when the phase began, milliseconds.
    left_ms: u32,
    /// What each step keeps for the one after it, milliseconds.
    reserve_ms: u32,
    /// Length of the phase, milliseconds.
    phase_ms: u32,
    /// How much of it has passed, milliseconds.
    elapsed_ms: u32,
    /// Readings of the clock in this phase.
    readings: u32,
    /// Readings since the clock last moved.
    still: u32,
    /// As many readings of a clock that does not move mean that it is dead.
    most_still: u32,
}

/// How long one wait within a phase may take, and what it has taken.
#[derive(Debug)]
pub struct WaitLimit {
    limit_ms: u32,
    polls: u32,
    readings: u32,
    /// Readings since the clock last moved.
    still: u32,
    /// How much of the phase had passed at the first reading, milliseconds.
    start: Option<u32>,
    /// It has all the time that the phase can spare.
    is_prolonged: bool,
}

/// What a phase has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Milliseconds, as far as the clock could tell.
    pub ms: u32,
    /// Polls that found nothing, rounded down to a multiple of 256 in each wait.
    pub polls: u32,
}

impl WaitLimit {
    /// At most `limit_ms` milliseconds, counted from the first reading of the clock.
    #[must_use]
    pub fn new(limit_ms: u32) -> Self {
        Self {
            limit_ms,
            polls: 0,
            readings: 0,
            still: 0,
            start: None,
            is_prolonged: false,
        }
    }
}

impl<C: Clock> PhaseTimer<C> {
    /// The clock counts as dead after `polls_without_time` polls during which it did not move.
    pub(crate) fn new(clock: C, polls_without_time: u32) -> Self {
        Self {
            clock,
            last: 0,
            left_ms: 0,
            reserve_ms: 0,
            phase_ms: 0,
            elapsed_ms: 0,
            readings: 0,
            still: 0,
            most_still: polls_without_time / POLLS_PER_READING,
        }
    }

    /// Starts a try of `try_ms` milliseconds. A phase begins with [`Self::begin_phase`] only.
    pub(crate) fn begin_try(&mut self, try_ms: u32) {
        self.last = self.clock.now().unwrap_or(self.last);
        self.left_ms = try_ms;
        self.reserve_ms = RESERVE_MS.min(try_ms / 8);
        self.elapsed_ms = 0;
        self.readings = 0;
    }

    /// Starts a phase that is followed by `later` others, for each of which it leaves a reserve.
    /// Returns what the one before has taken.
    pub(crate) fn begin_phase(&mut self, later: u32) -> Spent {
        let passed = self.read_clock();
        self.elapsed_ms = self.elapsed_ms.saturating_add(passed);
        let spent = self.spent();
        self.left_ms = self.left_ms.saturating_sub(self.elapsed_ms);
        let reserve = self.reserve_ms.saturating_mul(later);
        self.phase_ms = self.left_ms.saturating_sub(reserve);
        self.elapsed_ms = 0;
        self.readings = 0;
        self.still = 0;
        spent
    }

    /// Milliseconds of the phase that a wait for a busy card may still take: the rest is for what
    /// has to be done if the card stays busy.
    pub(crate) fn patience_ms(&self) -> u32 {
        let reserve_ms = self.reserve_ms.min(self.phase_ms / 8);
        let spent = self.elapsed_ms.saturating_add(reserve_ms);
        self.phase_ms.saturating_sub(spent)
    }

    /// Lets a wait that has expired go on for as long as the phase allows, because the card is
    /// busy. False if there is no time left for that, or no clock to measure it with.
    #[cold]
    #[inline(never)]
    pub(crate) fn prolong(&mut self, limit: &mut WaitLimit) -> bool {
        let patience_ms = self.patience_ms();
        if patience_ms == 0
            || limit.is_prolonged
            || limit.still >= self.most_still / 2
            || self.phase_expired()
        {
            return false;
        }
        *limit = WaitLimit::new(patience_ms);
        limit.is_prolonged = true;
        true
    }

    /// What the phase has taken up to the last reading.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            ms: self.elapsed_ms,
            polls: self.readings.saturating_mul(POLLS_PER_READING),
        }
    }

    /// Counts a poll that found nothing yet; true when the wait, or the phase, has taken too long.
    #[inline(always)]
    pub(crate) fn wait_expired(&mut self, limit: &mut WaitLimit) -> bool {
        limit.polls = limit.polls.wrapping_add(1);
        limit.polls.is_multiple_of(POLLS_PER_READING) && self.check(limit)
    }

    /// Milliseconds since the last reading; 0 if the clock does not answer or has jumped.
    fn read_clock(&mut self) -> u32 {
        let now = self.clock.now().unwrap_or(self.last);
        // A step backwards wraps to a huge one forwards.
        let passed = now.wrapping_sub(self.last);
        self.last = now;
        if passed > JUMP_MS { 0 } else { passed as u32 }
    }

    #[cold]
    #[inline(never)]
    fn check(&mut self, limit: &mut WaitLimit) -> bool {
        self.readings = self.readings.saturating_add(1);
        limit.readings = limit.readings.saturating_add(1);
        let passed = self.read_clock();
        if passed == 0 {
            self.still = self.still.saturating_add(1);
            limit.still = limit.still.saturating_add(1);
        } else {
            self.still = 0;
            limit.still = 0;
            self.elapsed_ms = self.elapsed_ms.saturating_add(passed);
        }
        let limit_ms = if limit.is_prolonged {
            limit.limit_ms
        } else {
            limit.limit_ms.min(self.phase_ms / 2)
        };
        let start = *limit.start.get_or_insert(self.elapsed_ms);
        self.elapsed_ms.wrapping_sub(start) >= limit_ms
            || limit.still >= self.most_still / 2
            || !limit.is_prolonged && limit.readings >= self.most_readings() / 2
            || self.phase_expired()
    }

    /// Readings of the clock in a phase at most. The polls after which the clock counts as dead
    /// take half a second or more, so these take longer than the phase if the clock is right.
    fn most_readings(&self) -> u32 {
        let factor = (self.phase_ms / MS_WITHOUT_TIME).saturating_mul(2);
        self.most_still
            .saturating_mul(factor.max(MOST_POLLS_FACTOR))
    }

    /// Whether the phase was over at the last reading.
    pub(crate) fn phase_expired(&self) -> bool {
        self.elapsed_ms >= self.phase_ms
            || self.still >= self.most_still
            || self.readings >= self.most_readings()
    }

    /// Waits for at least `ms` milliseconds, or half of the phase, or until the phase is over;
    /// calls `poll` meanwhile. With a dead clock the number of polls stands for the time.
    pub(crate) fn delay(&mut self, ms: u32, mut poll: impl FnMut()) {
        // One more, because the current millisecond has begun already.
        let mut limit = WaitLimit::new(ms.saturating_add(1));
        let most = ms.saturating_mul(POLLS_PER_MILLISECOND);
        while limit.polls < most && !self.wait_expired(&mut limit) {
            poll();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, PhaseTimer, WaitLimit};
    use core::cell::Cell;

    struct Ticking {
        readings: Cell<u64>,
        readings_per_ms: u64,
    }

    impl Clock for Ticking {
        fn now(&self) -> Option<u64> {
            self.readings.set(self.readings.get() + 1);
            Some(self.readings.get() / self.readings_per_ms)
        }
    }

    /// A clock whose time is a function of the number of readings.
    struct ClockOf<F>(Cell<u64>, F);

    impl<F: Fn(u64) -> Option<u64>> Clock for ClockOf<F> {
        fn now(&self) -> Option<u64> {
            self.0.set(self.0.get() + 1);
            (self.1)(self.0.get())
        }
    }

    fn clock_of(time: impl Fn(u64) -> Option<u64>) -> impl Clock {
        ClockOf(Cell::new(0), time)
    }

    /// Starts a try of one phase.
    fn begin<C: Clock>(timer: &mut PhaseTimer<C>, ms: u32) {
        timer.begin_try(ms);
        timer.begin_phase(0);
    }

    fn polls<C: Clock>(timer: &mut PhaseTimer<C>, limit_ms: u32) -> u32 {
        let mut limit = WaitLimit::new(limit_ms);
        let mut polls = 0;
        while !timer.wait_expired(&mut limit) {
            polls += 1;
        }
        polls
    }

    #[test]
    fn a_wait_ends_at_its_own_limit_or_half_of_the_phase_or_with_the_phase() {
        let clock = Ticking {
            readings: Cell::new(0),
            readings_per_ms: 2,
        };
        let mut timer = PhaseTimer::new(clock, u32::MAX);
        begin(&mut timer, 100);
        let own = polls(&mut timer, 10);
        assert!((19 * 256..=22 * 256).contains(&own), "{own}");
        let half = polls(&mut timer, 1000);
        assert!((97 * 256..=102 * 256).contains(&half), "{half}");
        let rest = polls(&mut timer, 1000);
        assert!((70 * 256..=82 * 256).contains(&rest), "{rest}");
        assert!(timer.phase_expired());
        assert!(polls(&mut timer, 1000) < 256, "the phase is over");
    }

    /// REQ: X1 (bounded even with a dead time source)
    #[test]
    fn every_wait_and_every_phase_ends_with_a_dead_clock() {
        let dead: [fn(u64) -> Option<u64>; 2] = [|_| None, |_| Some(1234)];
        for time in dead {
            let mut timer = PhaseTimer::new(clock_of(time), 10_240);
            begin(&mut timer, 100);
            assert!(polls(&mut timer, 10) <= 5_120);
            assert!(
                !timer.phase_expired(),
                "half of the polls are left for something else"
            );
            assert!(polls(&mut timer, 10) <= 5_120);
            assert!(timer.phase_expired());
            assert!(
                polls(&mut timer, 10) < 256,
                "the polls of the phase are used up"
            );
            timer.begin_phase(0);
            assert!(polls(&mut timer, 10) > 4_000, "the next phase has its own");
        }
    }

    /// Polls until the phase is over, in waits of a second each.
    fn polls_of_phase<C: Clock>(timer: &mut PhaseTimer<C>) -> u32 {
        let mut all = 0;
        while !timer.phase_expired() {
            all += 1 + polls(timer, 1_000);
            assert!(all < 1 << 24, "the phase does not end");
        }
        all
    }

    /// REQ: X1 (bounded whatever the time source does)
    #[test]
    fn every_phase_ends_with_a_broken_clock() {
        let clocks: [fn(u64) -> Option<u64>; 6] = [
            |n| Some(1_000_000 - n * 7),
            |n| Some(n % 2 * 1_000),
            |n| Some(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            |n| Some(n * 100_000),
            |n| (!n.is_multiple_of(3)).then_some(n / 1_000),
            |n| Some(n / 1_000),
        ];
        for time in clocks {
            let mut timer = PhaseTimer::new(clock_of(time), 10_240);
            begin(&mut timer, 100);
            let all = polls_of_phase(&mut timer);
            assert!(all <= 4 * 10_240 + 256, "{all}");
            assert_eq!(timer.spent().polls, all / 256 * 256);
        }
    }

    /// A clock that is set once, forwards or backwards, does not change the length of the phase.
    #[test]
    fn one_jump_of_the_clock_makes_no_difference() {
        let length = |jump: fn(u64) -> u64| {
            let mut timer = PhaseTimer::new(clock_of(move |n| Some(jump(n))), 1 << 20);
            begin(&mut timer, 100);
            polls_of_phase(&mut timer)
        };
        let even = length(|n| 10_000 + n);
        for jump in [
            length(|n| if n < 40 { 10_000 + n } else { n }),
            length(|n| if n < 40 { n } else { 1 << 40 | n }),
        ] {
            assert!(jump.abs_diff(even) <= 256, "{jump} instead of {even}");
        }
    }

    #[test]
    fn what_a_phase_has_taken_is_reported() {
        let mut timer = PhaseTimer::new(clock_of(|n| Some(n * 3)), 1 << 20);
        begin(&mut timer, 1_000);
        polls(&mut timer, 30);
        let spent = timer.spent();
        assert_eq!(spent.ms, 3 * spent.polls / 256);
        let all = timer.begin_phase(0);
        assert_eq!((all.ms, all.polls), (spent.ms + 3, spent.polls));
        assert_eq!(timer.spent(), super::Spent::default());
    }

    #[test]
    fn a_delay_with_a_dead_clock_is_counted_in_polls() {
        let mut timer = PhaseTimer::new(clock_of(|_| None), 1_000_000);
        begin(&mut timer, 100);
        let mut count = 0;
        timer.delay(2, || count += 1);
        assert!((39_000..=40_000).contains(&count), "{count}");
    }

    /// REQ: X13 (in part: the budget is used)
    #[test]
    fn a_wait_for_a_busy_card_may_use_what_the_steps_after_it_do_not_need() {
        let mut timer = PhaseTimer::new(clock_of(Some), 1 << 20);
        timer.begin_try(7_250);
        timer.begin_phase(2);
        let mut limit = WaitLimit::new(100);
        while !timer.wait_expired(&mut limit) {}
        assert!(timer.prolong(&mut limit));
        while !timer.wait_expired(&mut limit) {}
        assert!(
            (7_068..=7_071).contains(&timer.spent().ms),
            "{:?} {}",
            timer.spent(),
            timer.phase_ms
        );
        assert!(!timer.phase_expired());
        assert!(!timer.prolong(&mut limit), "the reserve is kept");
        let spent = timer.begin_phase(1);
        assert!((7_069..=7_071).contains(&spent.ms), "{spent:?}");
        assert!(
            (118..=121).contains(&timer.phase_ms),
            "{:?} {}",
            timer.spent(),
            timer.phase_ms
        );
        timer.begin_phase(0);
        assert!(
            (177..=181).contains(&timer.phase_ms),
            "{:?} {}",
            timer.spent(),
            timer.phase_ms
        );
    }

    /// REQ: X1 (in part: a dead clock)
    #[test]
    fn no_wait_is_prolonged_by_a_dead_clock() {
        let mut timer = PhaseTimer::new(clock_of(|_| None), 10_240);
        begin(&mut timer, 8_000);
        let mut limit = WaitLimit::new(100);
        while !timer.wait_expired(&mut limit) {}
        assert!(!timer.prolong(&mut limit));
        assert!(!timer.phase_expired(), "half is left");
    }
}
