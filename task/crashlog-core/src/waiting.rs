//! Callers that get their answer later.
//!
//! A task that has sent a message waits for the reply, so it waits for one answer at most: a row per task is enough,
//! and there is no such thing as a full table. If a task was restarted while it waited, its new self may ask again;
//! the row is then overwritten, and nobody misses the old answer.

use core::cell::Cell;

/// A row: what was asked, and when in the order of arrivals.
struct Row<R> {
    request: R,
    arrival: u32,
}

/// What each of `TASKS` tasks waits for.
pub struct Waiting<R, const TASKS: usize> {
    rows: [Cell<Option<Row<R>>>; TASKS],
    arrivals: Cell<u32>,
    count: Cell<usize>,
}

impl<R, const TASKS: usize> Waiting<R, TASKS> {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rows: [const { Cell::new(None) }; TASKS],
            arrivals: Cell::new(0),
            count: Cell::new(0),
        }
    }

    /// Does anyone wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Task number `task` waits for `request`.
    ///
    /// # Errors
    /// The request itself, if there is no such task.
    pub fn put(&self, task: usize, request: R) -> Result<(), R> {
        let Some(row) = self.rows.get(task) else {
            return Err(request);
        };
        let arrival = self.arrivals.get();
        self.arrivals.set(arrival.wrapping_add(1));
        if row.replace(Some(Row { request, arrival })).is_none() {
            self.count.set(self.count.get().saturating_add(1));
        }
        Ok(())
    }

    /// Removes and returns the request that has waited longest among those that `wanted` accepts.
    pub fn take(&self, mut wanted: impl FnMut(&R) -> bool) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let now = self.arrivals.get();
        let mut oldest: Option<(&Cell<Option<Row<R>>>, u32)> = None;
        for cell in &self.rows {
            let row = cell.take();
            if let Some(row) = &row {
                // Counted back from now, so that the order outlives the wrapping of the count.
                let age = now.wrapping_sub(row.arrival);
                if oldest.is_none_or(|(_, most)| age > most) && wanted(&row.request) {
                    oldest = Some((cell, age));
                }
            }
            cell.set(row);
        }
        let row = oldest?.0.take()?;
        self.count.set(self.count.get().saturating_sub(1));
        Some(row.request)
    }

    /// Does anyone wait for what `wanted` accepts?
    pub fn any(&self, mut wanted: impl FnMut(&R) -> bool) -> bool {
        !self.is_empty()
            && self.rows.iter().any(|cell| {
                let row = cell.take();
                let found = row.as_ref().is_some_and(|row| wanted(&row.request));
                cell.set(row);
                found
            })
    }
}

impl<R, const TASKS: usize> Default for Waiting<R, TASKS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_served_first() {
        let waiting = Waiting::<char, 4>::new();
        assert!(waiting.is_empty());
        for (task, request) in [(2, 'a'), (0, 'b'), (3, 'c')] {
            assert_eq!(waiting.put(task, request), Ok(()));
        }
        assert!(waiting.any(|&request| request == 'c'));
        assert!(!waiting.any(|&request| request == 'd'));
        assert_eq!(waiting.take(|&request| request != 'a'), Some('b'));
        assert_eq!(waiting.take(|_| true), Some('a'));
        assert_eq!(waiting.take(|_| true), Some('c'));
        assert_eq!(waiting.take(|_| true), None);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_restarted_task_takes_its_old_place_over() {
        let waiting = Waiting::<u8, 2>::new();
        assert_eq!(waiting.put(1, 10), Ok(()));
        assert_eq!(waiting.put(0, 20), Ok(()));
        assert_eq!(waiting.put(1, 11), Ok(()));
        assert_eq!(waiting.take(|_| true), Some(20));
        assert_eq!(waiting.take(|_| true), Some(11));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_task_that_does_not_exist_gets_its_request_back() {
        let waiting = Waiting::<u8, 2>::new();
        assert_eq!(waiting.put(2, 7), Err(7));
        assert!(waiting.is_empty());
    }

    #[test]
    fn the_order_outlives_the_wrapping_of_the_count() {
        let waiting = Waiting::<u8, 3>::new();
        waiting.arrivals.set(u32::MAX);
        for task in 0..3u8 {
            assert_eq!(waiting.put(task.into(), task), Ok(()));
        }
        for task in 0..3 {
            assert_eq!(waiting.take(|_| true), Some(task));
        }
    }
}
