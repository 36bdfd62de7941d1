//! Crash loops: is a fault the same one again, and what is done about it.
//!
//! A *series* is faults of one task, each time before the task has run for as long as a healthy one
//! does, all of it within a window of time. Two numbers are counted: how often the last fault (its
//! signature) came in a row, and how many faults there were of any kind. A task that fails in
//! another way each time is in a loop, too; it may fail three times as often. Faults that restart
//! the task and those that reset the system are counted alike, in retained RAM, so that series
//! continue over resets.
//!
//! * Restarts back off. A task that reset the system twice in a row is started later in the next
//!   boot, twice as late each time, while the rest of the system runs. (When a single task is
//!   restarted is the supervisor's own rule.)
//! * After a number of faults the task is *held*: it stays faulted and can be examined, everything
//!   else continues.
//! * A healthy run ends the series.
//!
//! Neither is done to the recorder's start, nor to the least important task: it runs when no other
//! task can, and the kernel fails if there is none. A history with which boots end early is set
//! aside ([`crashlog_retained::Trial`]).
//!
//! Time is the time that the system ran. Of earlier boots it is the time up to their last fault.

use crate::capture::signature_of;
use crate::supervisor::hang_of;
use crate::{Disposition, Kernel, Supervisor};
use crashlog_retained::{History, Series};

/// How many times as many faults of any kind as of the same kind make a loop.
const ANY_FAULTS: u32 = 3;

/// Index of the kernel, where a series has a task.
pub const KERNEL: u16 = u16::MAX;

/// When repeated faults are a loop, and what is done about it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A task that was restarted this often for the same fault is held at the next; 0: never. So is
    /// one that was restarted three times as often for any faults.
    pub hold_after_restarts: u32,
    /// A task that reset the system this often by the same fault is held at the next; 0: never. So
    /// is one that reset it three times as often by any faults.
    pub hold_after_resets: u32,
    /// A series ends this many milliseconds after its first fault.
    pub loop_window_ms: u32,
    /// A run of this many milliseconds ends the series.
    pub healthy_ms: u32,
    /// How much later a task is started after it reset the system twice in a row, in milliseconds;
    /// twice as much each further time.
    pub backoff_ms: u32,
    /// The longest such delay, in milliseconds.
    pub backoff_max_ms: u32,
}

/// One occurrence of a fault.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct FaultOccurrence {
    /// The task, by index, or [`KERNEL`].
    pub task: u16,
    /// What failed and where, as [`crashlog_retained::signature`] computes it.
    pub signature: u32,
    /// When, in milliseconds since boot.
    pub now: u64,
    /// When the task had been started, in milliseconds since boot.
    pub started: u64,
}

/// How often a task has failed in a row.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct FaultCount {
    /// In the same way as now, this time included.
    pub same: u32,
    /// In any way.
    pub any: u32,
}

impl FaultCount {
    /// Is it more often than a limit allows? 0 allows everything.
    #[must_use]
    pub const fn exceeds(self, limit: u32) -> bool {
        limit != 0 && (self.same > limit || self.any > limit.saturating_mul(ANY_FAULTS))
    }
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Ends the series of every task that has run for long enough. `started` says when a task was
    /// started, in milliseconds since boot; `None` if it does not run. To be called now and then.
    ///
    /// Also ends the trial of what retained RAM holds, if the system has run for that long.
    pub fn end_healthy_series(&mut self, now: u64, started: impl Fn(usize) -> Option<u64>) {
        if now >= u64::from(self.config.limits.healthy_ms) && self.region.trial().boots() != 0 {
            self.end_trial();
        }
        let since = |task| match task {
            KERNEL => Some(0),
            task => started(usize::from(task)),
        };
        let limits = self.config.limits;
        if limits.end_healthy(&mut self.history, now, since) {
            self.region.history().store(&mut self.history);
        }
    }

    /// How many milliseconds later than the others a task is to be started in this boot, because it
    /// reset the system repeatedly; 0: at once. The recorder and the least important task are
    /// always started at once, and so are tasks whose faults do not reset the system.
    #[must_use]
    pub fn start_delay(&self, task: usize) -> u32 {
        let resets = self.config.task(task).disposition == Disposition::Reset;
        if task == self.config.recorder || self.config.is_least_important(task) || !resets {
            return 0;
        }
        u16::try_from(task).map_or(0, |task| self.config.limits.delay(&self.history, task))
    }

    /// Is a task to be started later than `now`, in milliseconds since boot?
    pub(crate) fn puts_off_starts(&self, now: u64) -> bool {
        now < u64::from(self.config.limits.backoff_max_ms)
            && (0..self.config.tasks.len()).any(|task| now < u64::from(self.start_delay(task)))
    }

    /// How many boots before this one ended early, in a row. From
    /// [`crashlog_retained::Trial::LIMIT`] on the faults of before do not count: they are set
    /// aside.
    #[must_use]
    pub fn early_boots(&self) -> u32 {
        self.early_boots
    }

    /// This boot has come through, or ends because a task has asked for it: what it does not end by
    /// is the state of before.
    pub fn end_trial(&mut self) {
        self.region.trial().end_boot();
    }

    /// Ends the series of a task that a debugger has released: its earlier faults do not count any
    /// more.
    pub fn forget_series(&mut self, task: usize) {
        if let Ok(task) = u16::try_from(task) {
            forget(&mut self.history, task);
            self.region.history().store(&mut self.history);
        }
    }

    /// Has this task reset the system by the same fault so often that it must not do so again? If
    /// so, this fault is counted.
    pub(crate) fn is_reset_loop(&mut self, task: usize, now: u64, started: u64) -> bool {
        let limit = self.config.limits.hold_after_resets;
        // The watchdog is not armed yet. So the usual fault, which continues no long series, is
        // decided here, without a call of the kernel.
        let Ok(index) = u16::try_from(task) else {
            return false;
        };
        if !Limits::is_near(&self.history, index, limit) {
            return false;
        }
        let fault = FaultOccurrence {
            task: index,
            signature: signature_of(&mut self.kernel, task, hang_of(self.hangs.as_ref(), task)),
            now,
            started,
        };
        let is_loop = self
            .config
            .limits
            .count(&self.history, &fault)
            .exceeds(limit);
        if is_loop {
            self.config.limits.add(&mut self.history, &fault);
            self.region.history().store(&mut self.history);
        }
        is_loop
    }

    /// Counts a fault; returns how often it has come.
    pub(crate) fn count_fault(
        &mut self,
        task: usize,
        signature: u32,
        now: u64,
        started: u64,
    ) -> FaultCount {
        let Ok(task) = u16::try_from(task) else {
            return FaultCount { same: 0, any: 0 };
        };
        let fault = FaultOccurrence {
            task,
            signature,
            now,
            started,
        };
        let count = self.config.limits.add(&mut self.history, &fault);
        self.region.history().store(&mut self.history);
        count
    }
}

impl Limits {
    /// How often this fault has come in its series, this time included. Changes nothing.
    #[must_use]
    pub fn count(&self, history: &History, fault: &FaultOccurrence) -> FaultCount {
        let mut series = history.series.iter();
        let series = series
            .find(|series| is_of(series, fault.task))
            .filter(|series| self.continues(history, series, fault));
        match series {
            Some(series) if series.signature == fault.signature => FaultCount {
                same: series.count.saturating_add(1),
                any: any_of(series).saturating_add(1),
            },
            Some(series) => FaultCount {
                same: 1,
                any: any_of(series).saturating_add(1),
            },
            None => FaultCount { same: 1, any: 1 },
        }
    }

    /// Is the series of this task so long that the next fault could hold the task?
    #[must_use]
    pub fn is_near(history: &History, task: u16, hold_after: u32) -> bool {
        let next = |series: &Series| FaultCount {
            same: series.count.saturating_add(1),
            any: any_of(series).saturating_add(1),
        };
        let mut series = history.series.iter();
        series.any(|series| is_of(series, task) && next(series).exceeds(hold_after))
    }

    /// Adds the fault to the series of its task, or begins one. Returns how often it has come.
    pub fn add(&self, history: &mut History, fault: &FaultOccurrence) -> FaultCount {
        let count = self.count(history, fault);
        let total = history.total(fault.now);
        history.last = total;
        let known = history
            .series
            .iter()
            .position(|series| is_of(series, fault.task));
        // One whose window is over makes room, else the shortest; of equal ones, the one that began
        // first.
        let place = known.or_else(|| {
            let rank = |series: &Series| {
                let age = total.wrapping_sub(series.first);
                let lasts = age <= self.loop_window_ms;
                (if lasts { any_of(series) } else { 0 }, u32::MAX - age)
            };
            let ranks = history.series.iter().map(rank).enumerate();
            ranks.min_by_key(|(_, rank)| *rank).map(|(index, _)| index)
        });
        if let Some(series) = place.and_then(|place| history.series.get_mut(place)) {
            *series = Series {
                count: count.same,
                any: u16::try_from(count.any).unwrap_or(u16::MAX),
                task: fault.task,
                signature: fault.signature,
                first: if count.any == 1 { total } else { series.first },
            };
        }
        count
    }

    /// Ends the series of all tasks that have run for long enough; `started` says since when a task
    /// runs, `None` if it does not. Returns `true` if `history` has changed.
    pub fn end_healthy(
        &self,
        history: &mut History,
        now: u64,
        started: impl Fn(u16) -> Option<u64>,
    ) -> bool {
        let mut ended = false;
        for series in &mut history.series {
            let healthy = |started: u64| now.saturating_sub(started) >= u64::from(self.healthy_ms);
            if series.count > 0 && started(series.task).is_some_and(healthy) {
                *series = Series::default();
                ended = true;
            }
        }
        ended
    }

    /// How many milliseconds later a task that reset the system is to be started in this boot; 0:
    /// at once.
    #[must_use]
    pub fn delay(&self, history: &History, task: u16) -> u32 {
        let lasts =
            |series: &Series| history.before.wrapping_sub(series.first) <= self.loop_window_ms;
        let mut series = history.series.iter();
        let count = series
            .find(|series| is_of(series, task) && lasts(series))
            .map_or(0, any_of);
        backoff(count, self.backoff_ms, self.backoff_max_ms)
    }

    fn continues(&self, history: &History, series: &Series, fault: &FaultOccurrence) -> bool {
        let ran = fault.now.saturating_sub(fault.started);
        let lasts = history.total(fault.now).wrapping_sub(series.first);
        ran < u64::from(self.healthy_ms) && lasts <= self.loop_window_ms
    }
}

/// The delay after `count` faults: 0 after one, `first` after two, twice as much after each further
/// one, at most `most`.
#[must_use]
pub fn backoff(count: u32, first: u32, most: u32) -> u32 {
    match count.checked_sub(2) {
        None => 0,
        Some(doublings) => first.saturating_mul(1 << doublings.min(31)).min(most),
    }
}

/// Forgets the series of a task.
pub fn forget(history: &mut History, task: u16) {
    for series in &mut history.series {
        if series.task == task {
            *series = Series::default();
        }
    }
}

/// Forgets the series of all tasks; returns whether there was one. That of the kernel stays: it
/// delays the next reset only.
pub fn forget_tasks(history: &mut History) -> bool {
    let mut any = false;
    for series in &mut history.series {
        if series.count > 0 && series.task != KERNEL {
            *series = Series::default();
            any = true;
        }
    }
    any
}

/// Begins a boot: adds up the time that the boot before ran until its last fault.
pub fn begin_boot(history: &mut History) {
    history.before = history.last;
}

fn is_of(series: &Series, task: u16) -> bool {
    series.count > 0 && series.task == task
}

/// How many faults the series has; at least as many as of the same kind.
fn any_of(series: &Series) -> u32 {
    series.count.max(series.any.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        hold_after_restarts: 10,
        hold_after_resets: 3,
        loop_window_ms: 60_000,
        healthy_ms: 10_000,
        backoff_ms: 500,
        backoff_max_ms: 8_000,
    };

    fn fault(task: u16, signature: u32, now: u64) -> FaultOccurrence {
        FaultOccurrence {
            task,
            signature,
            now,
            started: now.saturating_sub(100),
        }
    }

    /// REQ: X6
    #[test]
    fn a_series_continues_over_boots() {
        let mut history = History::default();
        for count in 1..6 {
            begin_boot(&mut history);
            let counted = LIMITS.add(&mut history, &fault(3, 7, 2_000));
            assert_eq!((counted.same, counted.any), (count, count));
        }
        assert_eq!(history.before, 8_000);
        let other = LIMITS.count(&history, &fault(3, 8, 2_000));
        assert_eq!((other.same, other.any), (1, 6));
        assert_eq!(LIMITS.count(&history, &fault(4, 7, 2_000)).any, 1);
    }

    #[test]
    fn a_healthy_run_ends_a_series() {
        let mut history = History::default();
        LIMITS.add(&mut history, &fault(3, 7, 2_000));
        let late = FaultOccurrence {
            now: 12_000,
            started: 2_000,
            ..fault(3, 7, 0)
        };
        assert_eq!(LIMITS.count(&history, &late).any, 1);
        assert!(!LIMITS.end_healthy(&mut history, 11_999, |_| Some(2_000)));
        // A task that is held, or not started yet, is not healthy.
        assert!(!LIMITS.end_healthy(&mut history, 99_999, |_| None));
        assert!(LIMITS.end_healthy(&mut history, 12_000, |_| Some(2_000)));
        assert_eq!(history.series, <[Series; History::SERIES]>::default());
    }

    #[test]
    fn a_series_ends_with_its_window() {
        let mut history = History::default();
        for count in 1..=30 {
            begin_boot(&mut history);
            assert_eq!(LIMITS.add(&mut history, &fault(3, 7, 2_000)).same, count);
        }
        assert_eq!(LIMITS.delay(&history, 3), LIMITS.backoff_max_ms);
        for _ in 0..2 {
            begin_boot(&mut history);
            LIMITS.add(&mut history, &fault(3, 7, 2_000));
        }
        assert_eq!(LIMITS.count(&history, &fault(3, 7, 2_000)).any, 2);
    }

    /// REQ: X6 (in part: a task that fails in a new way each time)
    #[test]
    fn faults_of_any_kind_are_counted() {
        let mut history = History::default();
        let limit = LIMITS.hold_after_resets;
        for count in 1..=9 {
            begin_boot(&mut history);
            assert_eq!(Limits::is_near(&history, 3, limit), count > 9);
            let counted = LIMITS.add(&mut history, &fault(3, count, 2_000));
            assert_eq!((counted.same, counted.any), (1, count));
            assert!(!counted.exceeds(limit));
            // Tasks beside it have series of their own.
            assert_eq!(LIMITS.add(&mut history, &fault(4, 1, 2_000)).same, count);
        }
        assert!(Limits::is_near(&history, 3, limit));
        assert!(
            LIMITS
                .add(&mut history, &fault(3, 99, 2_000))
                .exceeds(limit)
        );
        assert!(!FaultCount { same: 9, any: 99 }.exceeds(0));
    }

    /// REQ: X6 (in part: tasks in a loop hide no others) A task that is held has the longest
    /// series, and no healthy run ends it.
    #[test]
    fn a_series_that_is_over_makes_room() {
        let mut history = History::default();
        let many = History::SERIES as u16;
        for task in 0..many {
            for _ in 0..30 {
                LIMITS.add(&mut history, &fault(task, 7, 2_000));
            }
        }
        let late = u64::from(LIMITS.loop_window_ms) + 3_000;
        for count in 1..=20 {
            for task in many..many + 2 {
                let counted = LIMITS.add(&mut history, &fault(task, 7, late));
                assert_eq!(counted.same, count, "{task}");
            }
        }
    }

    /// REQ: X6 (in part: eight tasks in a loop at a time)
    #[test]
    fn eight_tasks_in_a_loop_are_told_from_each_other() {
        let mut history = History::default();
        for count in 1..=20 {
            for task in 0..8 {
                assert_eq!(LIMITS.add(&mut history, &fault(task, 7, 2_000)).same, count);
            }
        }
    }

    #[test]
    fn a_series_that_is_over_delays_no_start() {
        let mut history = History::default();
        for _ in 0..4 {
            begin_boot(&mut history);
            LIMITS.add(&mut history, &fault(3, 7, 2_000));
        }
        begin_boot(&mut history);
        assert_eq!(LIMITS.delay(&history, 3), 2_000);
        LIMITS.add(&mut history, &fault(4, 7, 60_000));
        begin_boot(&mut history);
        assert_eq!(LIMITS.delay(&history, 3), 0);
    }

    #[test]
    fn starts_back_off() {
        let delays: Vec<_> = (0..9).map(|count| backoff(count, 500, 8_000)).collect();
        assert_eq!(
            delays,
            [0, 0, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]
        );
        assert_eq!(backoff(u32::MAX, u32::MAX, u32::MAX), u32::MAX);
        assert_eq!(backoff(5, 0, 8_000), 0);
    }

    proptest! {
        /// Against a plain model: how often did the task fail, and how often in the same way in a
        /// row, since it was last healthy or the window ended?
        #[test]
        fn counts_as_the_rule_says(
            events in proptest::collection::vec((0u16..2, 0u32..2, 1u64..20_000, any::<bool>()), 1..60)
        ) {
            let mut history = History::default();
            let mut model = [(0u32, 0u32, 0u32, 0u32); 2];
            let (mut now, mut base) = (0, 0u32);
            for (task, signature, run, reboots) in events {
                if reboots {
                    begin_boot(&mut history);
                    base = history.last;
                    now = 0;
                }
                let started = now;
                now += run;
                let fault = FaultOccurrence { task, signature, now, started };
                let total = base.wrapping_add(now as u32);
                let (same, any, last, first) = &mut model[usize::from(task)];
                if *any == 0 || run >= u64::from(LIMITS.healthy_ms) || total.wrapping_sub(*first) > LIMITS.loop_window_ms {
                    (*same, *any, *first) = (0, 0, total);
                }
                *same = if *last == signature { *same + 1 } else { 1 };
                *any += 1;
                *last = signature;
                let counted = LIMITS.add(&mut history, &fault);
                prop_assert_eq!((counted.same, counted.any), (*same, *any));
            }
        }

        /// No content of retained RAM makes it panic or exceed a limit.
        #[test]
        fn any_history_will_do(words in proptest::collection::vec(any::<(u32, u16, u16, u32, u32)>(), History::SERIES), before: u32, now: u64) {
            let mut history = History { before, ..History::default() };
            for (to, (count, any, task, signature, first)) in history.series.iter_mut().zip(words) {
                *to = Series { count, any, task: task % 4, signature: signature % 2, first };
            }
            LIMITS.add(&mut history, &FaultOccurrence { task: 1, signature: 1, now, started: 0 });
            prop_assert!(LIMITS.delay(&history, 1) <= LIMITS.backoff_max_ms);
        }
    }
}
