//! Each client's share of the log ring.
//!
//! A client is charged for every record it appends and relieved when the record is durable. What is counted is the
//! space a record takes in the ring, headers included, so that many small records cost what they cost.

use core::cell::Cell;

/// The client holds as much as it may; nothing was charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exceeded;

/// What a client may be charged with, as long as nothing else happens to its account.
#[derive(Debug)]
#[must_use]
pub struct Charge<'a> {
    held: &'a Cell<u32>,
    /// What it holds with it.
    with: u32,
}

impl Charge<'_> {
    /// Charges it.
    #[inline]
    pub fn make(self) {
        self.held.set(self.with);
    }
}

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

    /// May client `task` have `bytes` more? Nothing is charged until [`Charge::make`].
    ///
    /// # Errors
    /// [`Exceeded`] if it would hold more than its share, or there is no such task.
    #[inline]
    pub fn check(&self, task: usize, bytes: u32) -> Result<Charge<'_>, Exceeded> {
        let held = self.held.get(task).ok_or(Exceeded)?;
        match held.get().checked_add(bytes) {
            Some(with) if with <= self.limit => Ok(Charge { held, with }),
            _ => Err(Exceeded),
        }
    }

    /// Charges client `task` with `bytes`, whatever it holds: for what is found in the ring at start. A task that does
    /// not exist any more is not charged.
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
            quotas.check(1, 10).unwrap().make();
        }
        assert!(quotas.check(1, 1).is_err());
        assert!(quotas.check(2, 100).is_ok());
        quotas.release(1, 10);
        assert!(quotas.check(1, 10).is_ok());
        assert!(quotas.check(1, 11).is_err());
        assert_eq!(quotas.total(), 90);
    }

    #[test]
    fn more_than_the_limit_found_at_start_is_worked_off() {
        let quotas = Quotas::<1>::new(100);
        quotas.charge(0, 150);
        assert!(quotas.check(0, 1).is_err());
        quotas.release(0, 60);
        assert!(quotas.check(0, 10).is_ok());
        assert_eq!(quotas.held(0), 90);
    }

    #[test]
    fn a_task_that_does_not_exist_gets_nothing_and_breaks_nothing() {
        let quotas = Quotas::<2>::new(100);
        assert!(quotas.check(2, 1).is_err());
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
        assert!(quotas.check(0, 1).is_err());
    }
}
