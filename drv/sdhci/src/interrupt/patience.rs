//! Bounds on waiting.

/// How long one wait may take. Time is read only when it turns out not to be short.
pub(super) struct Patience {
    limit: u64,
    pub(super) looks: u32,
    end: Option<u64>,
}

impl Patience {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            looks: 0,
            end: None,
        }
    }

    /// When the wait ends; `None` if that is past.
    pub(super) fn end(&mut self, now: u64) -> Option<u64> {
        let limit = self.limit;
        let end = *self.end.get_or_insert(now.saturating_add(limit));
        (now < end).then_some(end)
    }
}
