//! Callers whose replies are deferred.
//!
//! A task that has sent a message is blocked until the reply, so it waits for one reply at most.
//! One row for each task is therefore enough, and the table is never full. A task that was
//! restarted while it waited may call again: the row is then overwritten. The earlier call needs no
//! reply, because the kernel would not deliver it.
//!
//! The kernel tells the two calls apart by the generation in the task's id, which has 6 bits: after
//! 64 restarts the id is the same again, and a reply to the earlier call would end the new one,
//! with a length and leases that are not its own. So the call in service, which is in no row, is
//! void as soon as its task calls again: [`DeferredCalls::is_current`]. A call that is answered
//! when it arrives needs no such care, as its task waits for nothing afterwards.

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
    /// The task whose call was taken last, until it calls again.
    in_service: Cell<Option<usize>>,
}

impl<R, const TASKS: usize> DeferredCalls<R, TASKS> {
    /// A table without a call.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rows: [const { Cell::new(None) }; TASKS],
            arrivals: Cell::new(0),
            count: Cell::new(0),
            in_service: Cell::new(None),
        }
    }

    /// Is there no call?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Defers `call` of the task with index `task`. An earlier call of that task is void.
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
        if self.in_service.get() == Some(task) {
            self.in_service.set(None);
        }
        Ok(())
    }

    /// Removes and returns the call that has waited longest among those that `wanted` accepts: it
    /// is in service now, instead of the one before.
    pub fn take(&self, mut wanted: impl FnMut(&R) -> bool) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let now = self.arrivals.get();
        let mut oldest: Option<(usize, u32)> = None;
        for (task, cell) in self.rows.iter().enumerate() {
            let row = cell.take();
            if let Some(row) = &row {
                // The distance from the newest arrival, so that the order stays right when the
                // count wraps.
                let age = now.wrapping_sub(row.arrival);
                if oldest.is_none_or(|(_, most)| age > most) && wanted(&row.call) {
                    oldest = Some((task, age));
                }
            }
            cell.set(row);
        }
        let (task, _) = oldest?;
        let row = self.rows.get(task)?.take()?;
        self.in_service.set(Some(task));
        self.count.set(self.count.get().saturating_sub(1));
        Some(row.call)
    }

    /// May the call that was taken last be replied to, and its leases be used? Not if its task has
    /// called again since. To be asked after each wait.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.in_service.get().is_some()
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
    fn a_call_in_service_is_void_when_its_task_calls_again() {
        let calls = DeferredCalls::<u8, 2>::new();
        assert!(!calls.is_current());
        for task in [1, 0] {
            assert_eq!(calls.put(task, 10), Ok(()));
        }
        assert_eq!(calls.take(|_| true), Some(10));
        assert!(calls.is_current());
        // Another task's call changes nothing.
        assert_eq!(calls.put(0, 20), Ok(()));
        assert!(calls.is_current());
        assert_eq!(calls.put(1, 11), Ok(()));
        assert!(!calls.is_current());
        assert_eq!(calls.take(|_| true), Some(20));
        assert!(calls.is_current());
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
