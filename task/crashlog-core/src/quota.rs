//! Each client's quota of the log ring.
//!
//! A client is charged for every record that it appends, until the record is durable. A record is
//! charged with the bytes that it takes in the ring, its header included, so that a client cannot
//! exceed its quota by many small records.

use core::cell::Cell;

/// The client would hold more than its quota; nothing was charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exceeded;

/// A charge that is within the client's quota and not made yet.
///
/// It is valid until the client's account changes: [`Charge::make`] would undo a change in between.
#[derive(Debug)]
#[must_use]
pub struct Charge<'a> {
    held: &'a Cell<u32>,
    /// Bytes that the client holds after the charge.
    with: u32,
}

impl Charge<'_> {
    /// Makes the charge.
    #[inline]
    pub fn make(self) {
        self.held.set(self.with);
    }
}

/// Bytes that each of `TASKS` clients holds, and the limit for each.
#[derive(Debug)]
pub struct Quotas<const TASKS: usize> {
    limit: u32,
    held: [Cell<u32>; TASKS],
}

impl<const TASKS: usize> Quotas<TASKS> {
    /// No client holds anything; each may hold `limit` bytes.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            held: [const { Cell::new(0) }; TASKS],
        }
    }

    /// Checks whether client `task` may hold `bytes` more. Nothing is charged before
    /// [`Charge::make`].
    ///
    /// # Errors
    /// [`Exceeded`] if it would hold more than its quota, or if there is no such task.
    #[inline]
    pub fn check(&self, task: usize, bytes: u32) -> Result<Charge<'_>, Exceeded> {
        let held = self.held.get(task).ok_or(Exceeded)?;
        match held.get().checked_add(bytes) {
            Some(with) if with <= self.limit => Ok(Charge { held, with }),
            _ => Err(Exceeded),
        }
    }

    /// Charges client `task` with `bytes` without a check: for records that are found in the ring
    /// at start. A task that does not exist in this image is not charged.
    #[inline]
    pub fn charge(&self, task: usize, bytes: u32) {
        if let Some(held) = self.held.get(task) {
            held.set(held.get().saturating_add(bytes));
        }
    }

    /// Removes all charges.
    pub fn clear(&self) {
        for held in &self.held {
            held.set(0);
        }
    }

    /// Removes `bytes` from what client `task` is charged with.
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

    /// REQ: X7 (one task cannot use up the quota of another)
    #[test]
    fn a_client_at_its_limit_does_not_affect_the_others() {
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
    fn a_client_found_above_its_limit_at_start_gets_nothing_until_it_is_below() {
        let quotas = Quotas::<1>::new(100);
        quotas.charge(0, 150);
        assert!(quotas.check(0, 1).is_err());
        quotas.release(0, 60);
        assert!(quotas.check(0, 10).is_ok());
        assert_eq!(quotas.held(0), 90);
    }

    #[test]
    fn a_task_that_does_not_exist_is_refused_and_not_charged() {
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
