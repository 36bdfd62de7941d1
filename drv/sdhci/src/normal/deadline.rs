//! The deadline of one wait.

/// The deadline of one wait. The time is read only when the wait turns out not to be short, because
/// reading it may cost a system call: the deadline counts from the first call of
/// [`WaitDeadline::at`].
pub(super) struct WaitDeadline {
    limit_ms: u64,
    /// Polls that found nothing yet.
    pub(super) polls: u32,
    at: Option<u64>,
}

impl WaitDeadline {
    /// The wait may take `limit_ms` milliseconds.
    pub(super) fn new(limit_ms: u64) -> Self {
        Self {
            limit_ms,
            polls: 0,
            at: None,
        }
    }

    /// When the wait ends, on the clock of `now`; `None` if that time has come.
    pub(super) fn at(&mut self, now: u64) -> Option<u64> {
        let limit_ms = self.limit_ms;
        let at = *self.at.get_or_insert(now.saturating_add(limit_ms));
        (now < at).then_some(at)
    }
}
