//! Each client's share of the log ring.
//!
//! A client is charged for every record it appends and relieved when the record is durable. What is counted is the
//! space a record takes in the ring, headers included, so that many small records cost what they cost.

use core::cell::Cell;

/// The client holds as much as it may; nothing was charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exceeded;

/// Bytes held by each of `TASKS` clients, and how many each may hold.
#[derive(Debug)]
pub struct Quotas<const TASKS: usize> {
    limit: u32,
    held: [Cell<u32>; TASKS],
}

impl<const TASKS: usize> Quotas<TASKS> {
    /// Nobody holds anything; each may hold `limit` bytes.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            held: [const { Cell::new(0) }; TASKS],
        }
    }

    /// May client `task` have `bytes` more?
    ///
    /// # Errors
    /// [`Exceeded`] if it would hold more than its share, or there is no such task.
    #[inline]
    pub fn check(&self, task: usize, bytes: u32) -> Result<(), Exceeded> {
        let held = self.held.get(task).ok_or(Exceeded)?.get();
        if bytes > self.limit.saturating_sub(held) {
            Err(Exceeded)
        } else {
            Ok(())
        }
    }

    /// Charges client `task` with `bytes`, whatever it holds: after [`Quotas::check`], or for what is found in the
    /// ring at start. A task that does not exist any more is not charged.
    #[inline]
    pub fn charge(&self, task: usize, bytes: u32) {
        if let Some(held) = self.held.get(task) {
            held.set(held.get().saturating_add(bytes));
        }
    }

    /// Nobody holds anything any more.
    pub fn clear(&self) {
        for held in &self.held {
            held.set(0);
        }
    }

    /// Relieves client `task` of `bytes`.
    #[inline]
    pub fn release(&self, task: usize, bytes: u32) {
        if let Some(held) = self.held.get(task) {
            held.set(held.get().saturating_sub(bytes));
        }
    }

    /// Bytes that client `task` holds.
    #[must_use]
    pub fn held(&self, task: usize) -> u32 {
        self.held.get(task).map_or(0, Cell::get)
    }

    /// Bytes that all clients together hold.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.held
            .iter()
            .fold(0, |sum: u32, held| sum.saturating_add(held.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ: X7 (one task cannot take another's share)
    #[test]
    fn one_client_at_its_limit_leaves_the_others_theirs() {
        let quotas = Quotas::<3>::new(100);
        for _ in 0..10 {
            assert_eq!(quotas.check(1, 10), Ok(()));
            quotas.charge(1, 10);
        }
        assert_eq!(quotas.check(1, 1), Err(Exceeded));
        assert_eq!(quotas.check(2, 100), Ok(()));
        quotas.release(1, 10);
        assert_eq!(quotas.check(1, 10), Ok(()));
        assert_eq!(quotas.check(1, 11), Err(Exceeded));
        assert_eq!(quotas.total(), 90);
    }

    #[test]
    fn more_than_the_limit_found_at_start_is_worked_off() {
        let quotas = Quotas::<1>::new(100);
        quotas.charge(0, 150);
        assert_eq!(quotas.check(0, 1), Err(Exceeded));
        quotas.release(0, 60);
        assert_eq!(quotas.check(0, 10), Ok(()));
        assert_eq!(quotas.held(0), 90);
    }

    #[test]
    fn a_task_that_does_not_exist_gets_nothing_and_breaks_nothing() {
        let quotas = Quotas::<2>::new(100);
        assert_eq!(quotas.check(2, 1), Err(Exceeded));
        quotas.charge(2, 5);
        quotas.release(2, 5);
        quotas.release(0, 5);
        assert_eq!(quotas.total(), 0);
    }

    #[test]
    fn counts_saturate() {
        let quotas = Quotas::<1>::new(u32::MAX);
        quotas.charge(0, u32::MAX);
        quotas.charge(0, 1);
        assert_eq!(quotas.held(0), u32::MAX);
        assert_eq!(quotas.check(0, 1), Err(Exceeded));
    }
}
