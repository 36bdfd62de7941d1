//! Callers whose replies are deferred.
//!
//! A task that has sent a message is blocked until the reply, so it waits for one reply at most.
//! One row for each task is therefore enough, and the table is never full. A task that was
//! restarted while it waited may call again: the row is then overwritten. The earlier call needs no
//! reply, because the kernel would not deliver it.

use core::cell::Cell;

/// One row: the call, and its place in the order of arrival.
struct Row<R> {
    call: R,
    arrival: u32,
}

/// The deferred call of each of `TASKS` tasks.
pub struct DeferredCalls<R, const TASKS: usize> {
    rows: [Cell<Option<Row<R>>>; TASKS],
    arrivals: Cell<u32>,
    count: Cell<usize>,
}

impl<R, const TASKS: usize> DeferredCalls<R, TASKS> {
    /// A table without a call.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rows: [const { Cell::new(None) }; TASKS],
            arrivals: Cell::new(0),
            count: Cell::new(0),
        }
    }

    /// Is there no call?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Defers `call` of the task with index `task`.
    ///
    /// # Errors
    /// The call itself, if there is no such task.
    pub fn put(&self, task: usize, call: R) -> Result<(), R> {
        let Some(row) = self.rows.get(task) else {
            return Err(call);
        };
        let arrival = self.arrivals.get();
        self.arrivals.set(arrival.wrapping_add(1));
        if row.replace(Some(Row { call, arrival })).is_none() {
            self.count.set(self.count.get().saturating_add(1));
        }
        Ok(())
    }

    /// Removes and returns the call that has waited longest among those that `wanted` accepts.
    pub fn take(&self, mut wanted: impl FnMut(&R) -> bool) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let now = self.arrivals.get();
        let mut oldest: Option<(&Cell<Option<Row<R>>>, u32)> = None;
        for cell in &self.rows {
            let row = cell.take();
            if let Some(row) = &row {
                // The distance from the newest arrival, so that the order stays right when the
                // count wraps.
                let age = now.wrapping_sub(row.arrival);
                if oldest.is_none_or(|(_, most)| age > most) && wanted(&row.call) {
                    oldest = Some((cell, age));
                }
            }
            cell.set(row);
        }
        let row = oldest?.0.take()?;
        self.count.set(self.count.get().saturating_sub(1));
        Some(row.call)
    }

    /// Is there a call that `wanted` accepts?
    pub fn any(&self, mut wanted: impl FnMut(&R) -> bool) -> bool {
        !self.is_empty()
            && self.rows.iter().any(|cell| {
                let row = cell.take();
                let found = row.as_ref().is_some_and(|row| wanted(&row.call));
                cell.set(row);
                found
            })
    }
}

impl<R, const TASKS: usize> Default for DeferredCalls<R, TASKS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_came_first_is_taken_first() {
        let calls = DeferredCalls::<char, 4>::new();
        assert!(calls.is_empty());
        for (task, call) in [(2, 'a'), (0, 'b'), (3, 'c')] {
            assert_eq!(calls.put(task, call), Ok(()));
        }
        assert!(calls.any(|&call| call == 'c'));
        assert!(!calls.any(|&call| call == 'd'));
        assert_eq!(calls.take(|&call| call != 'a'), Some('b'));
        assert_eq!(calls.take(|_| true), Some('a'));
        assert_eq!(calls.take(|_| true), Some('c'));
        assert_eq!(calls.take(|_| true), None);
        assert!(calls.is_empty());
    }

    #[test]
    fn a_call_of_a_restarted_task_replaces_its_old_one() {
        let calls = DeferredCalls::<u8, 2>::new();
        assert_eq!(calls.put(1, 10), Ok(()));
        assert_eq!(calls.put(0, 20), Ok(()));
        assert_eq!(calls.put(1, 11), Ok(()));
        assert_eq!(calls.take(|_| true), Some(20));
        assert_eq!(calls.take(|_| true), Some(11));
        assert!(calls.is_empty());
    }

    #[test]
    fn a_call_of_a_task_that_does_not_exist_is_returned() {
        let calls = DeferredCalls::<u8, 2>::new();
        assert_eq!(calls.put(2, 7), Err(7));
        assert!(calls.is_empty());
    }

    #[test]
    fn the_order_is_kept_when_the_count_wraps() {
        let calls = DeferredCalls::<u8, 3>::new();
        calls.arrivals.set(u32::MAX);
        for task in 0..3u8 {
            assert_eq!(calls.put(task.into(), task), Ok(()));
        }
        for task in 0..3 {
            assert_eq!(calls.take(|_| true), Some(task));
        }
    }
}
