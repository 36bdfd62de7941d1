//! What the background does next.
//!
//! The card does one thing at a time, so the question comes up after each step. The answer keeps these promises:
//!
//! * a crash record comes before everything else;
//! * who waits for `flush` waits for the card, not for a page to fill or grow old;
//! * the log is written when its oldest unwritten record has reached a certain age, or when enough pages are full to
//!   be worth a command. It is safe from a crash before; only a loss of power could take it;
//! * readers and writers of pages take turns: neither can starve the other;
//! * a card that has had nothing to do for a while is suspended, once, until there is something to do again.

/// What there is to do, as it is now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pending {
    /// Crash records wait to be written.
    pub faults: bool,
    /// Full pages that wait to be written.
    pub full_pages: usize,
    /// When the oldest record that waits to be written was accepted, in milliseconds since boot.
    pub oldest: Option<u64>,
    /// Somebody waits for a flush that is not fulfilled yet.
    pub flush: bool,
    /// Somebody waits to read or erase.
    pub request: bool,
}

/// One step of work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Write the log as it is, the page that is not full included, then one crash record.
    Fault,
    /// Write the full pages, and the one that is not.
    AllPages,
    /// Write the full pages.
    FullPages,
    /// Serve one reader.
    Request,
    /// Suspend the card.
    Suspend,
    /// Nothing, until something changes or this time has come (milliseconds since boot).
    Sleep(Option<u64>),
}

/// The agenda: remembers whose turn it is.
#[derive(Debug)]
pub struct Agenda {
    write_after: u64,
    enough_pages: usize,
    suspend_after: Option<u64>,
    readers_turn: bool,
    idle: Idle,
}

/// How long there has been nothing to do for the card.
#[derive(Debug)]
enum Idle {
    /// There was something to do the last time.
    No,
    /// Since this time (milliseconds since boot).
    Since(u64),
    /// So long that the card is suspended.
    Suspended,
}

impl Agenda {
    /// The log is written at the latest when its oldest record is `write_after` milliseconds old, or when
    /// `enough_pages` are full. The card is suspended after `suspend_after` idle milliseconds, if at all.
    #[must_use]
    pub const fn new(write_after: u32, enough_pages: usize, suspend_after: Option<u32>) -> Self {
        let suspend_after = match suspend_after {
            Some(after) => Some(after as u64),
            None => None,
        };
        Self {
            write_after: write_after as u64,
            enough_pages,
            suspend_after,
            readers_turn: false,
            idle: Idle::No,
        }
    }

    /// The next step, at time `now` (milliseconds since boot).
    pub fn next(&mut self, pending: &Pending, now: u64) -> Step {
        match self.work(pending, now) {
            Step::Sleep(due) => self.rest(due, now),
            work => {
                self.idle = Idle::No;
                work
            }
        }
    }

    /// What to do when there is nothing to do until `due`.
    fn rest(&mut self, due: Option<u64>, now: u64) -> Step {
        let (Some(after), Idle::No | Idle::Since(_)) = (self.suspend_after, &self.idle) else {
            return Step::Sleep(due);
        };
        let since = match self.idle {
            Idle::Since(since) => since,
            Idle::No | Idle::Suspended => now,
        };
        let suspend = since.saturating_add(after);
        if suspend <= now {
            self.idle = Idle::Suspended;
            return Step::Suspend;
        }
        self.idle = Idle::Since(since);
        Step::Sleep(Some(due.map_or(suspend, |due| due.min(suspend))))
    }

    fn work(&mut self, pending: &Pending, now: u64) -> Step {
        if pending.faults {
            return Step::Fault;
        }
        let due = pending
            .oldest
            .map(|since| since.saturating_add(self.write_after));
        let write = if pending.flush || due.is_some_and(|due| due <= now) {
            Some(Step::AllPages)
        } else if pending.full_pages >= self.enough_pages.max(1) {
            Some(Step::FullPages)
        } else {
            None
        };
        match write {
            Some(write) if !(pending.request && self.readers_turn) => {
                self.readers_turn = true;
                write
            }
            _ if pending.request => {
                self.readers_turn = false;
                Step::Request
            }
            _ => Step::Sleep(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agenda() -> Agenda {
        Agenda::new(200, 2, None)
    }

    #[test]
    fn an_idle_card_is_suspended_once_until_there_is_something_to_do() {
        let mut agenda = Agenda::new(200, 2, Some(50));
        let nothing = Pending::default();
        assert_eq!(agenda.next(&nothing, 1000), Step::Sleep(Some(1050)));
        assert_eq!(agenda.next(&nothing, 1049), Step::Sleep(Some(1050)));
        assert_eq!(agenda.next(&nothing, 1050), Step::Suspend);
        assert_eq!(agenda.next(&nothing, 1051), Step::Sleep(None));
        // A record that waits in RAM does not wake the card before its time.
        let young = Pending {
            oldest: Some(1100),
            ..nothing
        };
        assert_eq!(agenda.next(&young, 1200), Step::Sleep(Some(1300)));
        assert_eq!(agenda.next(&young, 1300), Step::AllPages);
        assert_eq!(agenda.next(&nothing, 1310), Step::Sleep(Some(1360)));
        let fault = Pending {
            faults: true,
            ..nothing
        };
        assert_eq!(agenda.next(&fault, 1360), Step::Fault);
        assert_eq!(agenda.next(&young, 1361), Step::AllPages);
        let later = Pending {
            oldest: Some(1390),
            ..nothing
        };
        assert_eq!(agenda.next(&later, 1400), Step::Sleep(Some(1450)));
        assert_eq!(agenda.next(&later, 1450), Step::Suspend);
        assert_eq!(agenda.next(&later, 1451), Step::Sleep(Some(1590)));
    }

    #[test]
    fn nothing_to_do_sleeps_for_good() {
        assert_eq!(agenda().next(&Pending::default(), 5), Step::Sleep(None));
    }

    #[test]
    fn young_records_wait_and_old_ones_are_written() {
        let pending = Pending {
            oldest: Some(1000),
            ..Pending::default()
        };
        assert_eq!(agenda().next(&pending, 1000), Step::Sleep(Some(1200)));
        assert_eq!(agenda().next(&pending, 1199), Step::Sleep(Some(1200)));
        assert_eq!(agenda().next(&pending, 1200), Step::AllPages);
    }

    #[test]
    fn full_pages_and_a_flush_do_not_wait() {
        let full = Pending {
            full_pages: 2,
            oldest: Some(1000),
            ..Pending::default()
        };
        assert_eq!(agenda().next(&full, 1001), Step::FullPages);
        let flush = Pending {
            flush: true,
            ..full
        };
        assert_eq!(agenda().next(&flush, 1001), Step::AllPages);
    }

    #[test]
    fn a_crash_record_comes_first() {
        let all = Pending {
            faults: true,
            full_pages: 2,
            oldest: Some(0),
            flush: true,
            request: true,
        };
        assert_eq!(agenda().next(&all, 1001), Step::Fault);
    }

    /// REQ: X7 (a flood of log records does not starve a reader, nor readers the log)
    #[test]
    fn readers_and_writers_take_turns() {
        let mut agenda = agenda();
        let both = Pending {
            full_pages: 2,
            request: true,
            ..Pending::default()
        };
        let steps: Vec<Step> = (0..4).map(|_| agenda.next(&both, 0)).collect();
        assert_eq!(
            steps,
            [
                Step::FullPages,
                Step::Request,
                Step::FullPages,
                Step::Request
            ]
        );
        let reader = Pending {
            request: true,
            ..Pending::default()
        };
        assert_eq!(agenda.next(&reader, 0), Step::Request);
        assert_eq!(agenda.next(&reader, 0), Step::Request);
    }

    #[test]
    fn a_clock_at_its_end_does_not_overflow() {
        let pending = Pending {
            oldest: Some(u64::MAX),
            ..Pending::default()
        };
        assert_eq!(agenda().next(&pending, 0), Step::Sleep(Some(u64::MAX)));
    }
}
