//! Crash loops: is a fault the same one again, and what is done about it.
//!
//! A *series* is the same fault of the same task (its signature), each time before the task has run
//! for as long as a healthy one does, all of it within a window of time. Series of faults that
//! restart the task and series of those that reset the system are counted alike, in retained RAM,
//! so that they continue over resets.
//!
//! * Restarts back off. A task that reset the system twice in a row is started later in the next
//!   boot, twice as late each time, while the rest of the system runs. (When a single task is
//!   restarted is the supervisor's own rule.)
//! * After a number of faults the task is *held*: it stays faulted and can be examined, everything
//!   else continues.
//! * A healthy run ends the series.
//!
//! Time is the time that the system ran. Of earlier boots it is the time up to their last fault.

use crate::capture::signature_of;
use crate::supervisor::hang_of;
use crate::{Kernel, Supervisor};
use crashlog_retained::{History, Series};

/// Index of the kernel, where a series has a task.
pub const KERNEL: u16 = u16::MAX;

/// When repeated faults are a loop, and what is done about it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A task that was restarted this often for the same fault is held at the next; 0: never.
    pub hold_after_restarts: u32,
    /// A task that reset the system this often by the same fault is held at the next; 0: never.
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

impl<K: Kernel> Supervisor<'_, K> {
    /// Ends the series of every task that has run for long enough. `started` says when a task was
    /// started, in milliseconds since boot; `None` if it does not run. To be called now and then.
    pub fn end_healthy_series(&mut self, now: u64, started: impl Fn(usize) -> Option<u64>) {
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
    /// reset the system repeatedly; 0: at once. The recorder is always started at once.
    #[must_use]
    pub fn start_delay(&self, task: usize) -> u32 {
        if task == self.config.recorder {
            return 0;
        }
        u16::try_from(task).map_or(0, |task| self.config.limits.delay(&self.history, task))
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
        let is_loop = self.config.limits.count(&self.history, &fault) > limit;
        if is_loop {
            self.config.limits.add(&mut self.history, &fault);
            self.region.history().store(&mut self.history);
        }
        is_loop
    }

    /// Counts a fault; returns how often it has come in its series.
    pub(crate) fn count_fault(
        &mut self,
        task: usize,
        signature: u32,
        now: u64,
        started: u64,
    ) -> u32 {
        let Ok(task) = u16::try_from(task) else {
            return 0;
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
    pub fn count(&self, history: &History, fault: &FaultOccurrence) -> u32 {
        find(history, fault.task, fault.signature)
            .filter(|series| self.continues(history, series, fault))
            .map_or(1, |series| series.count.saturating_add(1))
    }

    /// Is there a series of this task, of any fault, that is so long that the next fault could hold
    /// the task?
    #[must_use]
    pub fn is_near(history: &History, task: u16, hold_after: u32) -> bool {
        hold_after != 0
            && history
                .series
                .iter()
                .any(|series| series.task == task && series.count >= hold_after)
    }

    /// Adds the fault to its series, or begins one. Returns how often it has come in its series.
    pub fn add(&self, history: &mut History, fault: &FaultOccurrence) -> u32 {
        let count = self.count(history, fault);
        let total = history.total(fault.now);
        history.last = total;
        let known = history
            .series
            .iter()
            .position(|series| is(series, fault.task, fault.signature));
        // The shortest series makes room; of equal ones, the one that began first.
        let place = known.or_else(|| {
            let rank =
                |series: &Series| (series.count, u32::MAX - total.wrapping_sub(series.first));
            let ranks = history.series.iter().map(rank).enumerate();
            ranks.min_by_key(|(_, rank)| *rank).map(|(index, _)| index)
        });
        if let Some(series) = place.and_then(|place| history.series.get_mut(place)) {
            *series = Series {
                count,
                task: fault.task,
                signature: fault.signature,
                first: if count == 1 { total } else { series.first },
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
        let mine = |series: &&Series| series.task == task;
        let count = history
            .series
            .iter()
            .filter(mine)
            .map(|series| series.count);
        backoff(
            count.max().unwrap_or(0),
            self.backoff_ms,
            self.backoff_max_ms,
        )
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

/// Begins a boot: adds up the time that the boot before ran until its last fault.
pub fn begin_boot(history: &mut History) {
    history.before = history.last;
}

fn is(series: &Series, task: u16, signature: u32) -> bool {
    series.count > 0 && series.task == task && series.signature == signature
}

fn find(history: &History, task: u16, signature: u32) -> Option<&Series> {
    history
        .series
        .iter()
        .find(|series| is(series, task, signature))
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
            assert_eq!(LIMITS.add(&mut history, &fault(3, 7, 2_000)), count);
        }
        assert_eq!(history.before, 8_000);
        assert_eq!(LIMITS.count(&history, &fault(3, 8, 2_000)), 1);
        assert_eq!(LIMITS.count(&history, &fault(4, 7, 2_000)), 1);
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
        assert_eq!(LIMITS.count(&history, &late), 1);
        assert!(!LIMITS.end_healthy(&mut history, 11_999, |_| Some(2_000)));
        // A task that is held, or not started yet, is not healthy.
        assert!(!LIMITS.end_healthy(&mut history, 99_999, |_| None));
        assert!(LIMITS.end_healthy(&mut history, 12_000, |_| Some(2_000)));
        assert_eq!(history.series, <[Series; 4]>::default());
    }

    #[test]
    fn a_series_ends_with_its_window() {
        let mut history = History::default();
        for count in 1..=30 {
            begin_boot(&mut history);
            assert_eq!(LIMITS.add(&mut history, &fault(3, 7, 2_000)), count);
        }
        for _ in 0..2 {
            begin_boot(&mut history);
            LIMITS.add(&mut history, &fault(3, 7, 2_000));
        }
        assert_eq!(LIMITS.count(&history, &fault(3, 7, 2_000)), 2);
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
        /// Against a plain model: how often did the same fault come since the task was last healthy
        /// or the window ended? No more faults alternate than there is room for.
        #[test]
        fn counts_as_the_rule_says(
            events in proptest::collection::vec((0u16..2, 0u32..2, 1u64..20_000, any::<bool>()), 1..60)
        ) {
            let mut history = History::default();
            let mut model = std::collections::HashMap::<(u16, u32), (u32, u32)>::new();
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
                let entry = model.entry((task, signature)).or_insert((0, total));
                if entry.0 == 0 || run >= u64::from(LIMITS.healthy_ms) || total.wrapping_sub(entry.1) > LIMITS.loop_window_ms {
                    *entry = (0, total);
                }
                entry.0 += 1;
                prop_assert_eq!(LIMITS.add(&mut history, &fault), entry.0);
            }
        }

        /// No content of retained RAM makes it panic or exceed a limit.
        #[test]
        fn any_history_will_do(words in proptest::collection::vec(any::<(u32, u16, u32, u32)>(), 4), before: u32, now: u64) {
            let mut history = History { before, ..History::default() };
            for (to, (count, task, signature, first)) in history.series.iter_mut().zip(words) {
                *to = Series { count, task: task % 4, signature: signature % 2, first };
            }
            LIMITS.add(&mut history, &FaultOccurrence { task: 1, signature: 1, now, started: 0 });
            prop_assert!(LIMITS.delay(&history, 1) <= LIMITS.backoff_max_ms);
        }
    }
}
