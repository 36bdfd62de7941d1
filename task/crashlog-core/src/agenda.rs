//! Which job the normal path does next.
//!
//! The card does one thing at a time, so the next job is chosen when the last one is done. The
//! choice guarantees:
//!
//! * a crash is written before everything else;
//! * a `flush` waits for the card only, not for a page to be full or old;
//! * the log is written when its oldest unwritten record has reached a configured age, or when a
//!   configured number of pages is full. Until then only a loss of power can lose it: it is in
//!   retained RAM;
//! * readers and writers of pages take turns, so that neither can starve the other;
//! * a snapshot is written piece by piece, when a reader would have its turn and there is none;
//! * a card that has been idle for a configured time is suspended once, and stays so until there is
//!   a job for it.

/// What there is to do now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PendingWork {
    /// A crash waits to be written.
    pub crash: bool,
    /// Number of full pages that wait to be written.
    pub full_pages: usize,
    /// When the oldest record that waits to be written was accepted, in milliseconds since boot.
    pub oldest: Option<u64>,
    /// A caller waits for `flush`.
    pub flush: bool,
    /// A caller waits to read or erase.
    pub request: bool,
    /// An image of memory waits to be written, as the snapshot of a crash.
    pub snapshot: bool,
}

/// One job of the normal path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Job {
    /// Write the log, the page that is not full included, then one crash.
    WriteCrash,
    /// Write all pages, the one that is not full included.
    AllPages,
    /// Write the full pages.
    FullPages,
    /// Serve one caller that reads or erases.
    Request,
    /// Write a piece of the image that waits.
    WriteSnapshot,
    /// Suspend the card.
    Suspend,
    /// Wait until there is something new to do, or until this time (milliseconds since boot).
    Sleep(Option<u64>),
}

/// Chooses jobs, and remembers whose turn it is and how long the card has been idle.
#[derive(Debug)]
pub struct Agenda {
    write_after: u64,
    enough_pages: usize,
    suspend_after: Option<u64>,
    readers_turn: bool,
    idle: Idle,
}

/// How long the card has been idle.
#[derive(Debug)]
enum Idle {
    /// The last job was for the card.
    No,
    /// It has been idle since this time (milliseconds since boot).
    Since(u64),
    /// It has been idle for so long that it was suspended.
    Suspended,
}

impl Agenda {
    /// The log is written when its oldest record is `write_after` milliseconds old, or earlier when
    /// `enough_pages` are full. The card is suspended after `suspend_after` idle milliseconds;
    /// `None` means never.
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

    /// The next job, at time `now` (milliseconds since boot).
    pub fn next(&mut self, pending: &PendingWork, now: u64) -> Job {
        match self.work(pending, now) {
            Job::Sleep(due) => self.rest(due, now),
            work => {
                self.idle = Idle::No;
                work
            }
        }
    }

    /// The job when there is nothing to write or read until `due`: suspend the card, or sleep.
    fn rest(&mut self, due: Option<u64>, now: u64) -> Job {
        let (Some(after), Idle::No | Idle::Since(_)) = (self.suspend_after, &self.idle) else {
            return Job::Sleep(due);
        };
        let since = match self.idle {
            Idle::Since(since) => since,
            Idle::No | Idle::Suspended => now,
        };
        let suspend = since.saturating_add(after);
        if suspend <= now {
            self.idle = Idle::Suspended;
            return Job::Suspend;
        }
        self.idle = Idle::Since(since);
        Job::Sleep(Some(due.map_or(suspend, |due| due.min(suspend))))
    }

    fn work(&mut self, pending: &PendingWork, now: u64) -> Job {
        if pending.crash {
            return Job::WriteCrash;
        }
        let due = pending
            .oldest
            .map(|since| since.saturating_add(self.write_after));
        let write = if pending.flush || due.is_some_and(|due| due <= now) {
            Some(Job::AllPages)
        } else if pending.full_pages >= self.enough_pages.max(1) {
            Some(Job::FullPages)
        } else {
            None
        };
        match write {
            Some(write) if !((pending.request || pending.snapshot) && self.readers_turn) => {
                self.readers_turn = true;
                write
            }
            _ if pending.request => {
                self.readers_turn = false;
                Job::Request
            }
            _ if pending.snapshot => {
                self.readers_turn = false;
                Job::WriteSnapshot
            }
            _ => Job::Sleep(due),
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
    fn an_idle_card_is_suspended_once_until_there_is_a_job_for_it() {
        let mut agenda = Agenda::new(200, 2, Some(50));
        let nothing = PendingWork::default();
        assert_eq!(agenda.next(&nothing, 1000), Job::Sleep(Some(1050)));
        assert_eq!(agenda.next(&nothing, 1049), Job::Sleep(Some(1050)));
        assert_eq!(agenda.next(&nothing, 1050), Job::Suspend);
        assert_eq!(agenda.next(&nothing, 1051), Job::Sleep(None));
        // A record in RAM does not resume the card before it is due.
        let young = PendingWork {
            oldest: Some(1100),
            ..nothing
        };
        assert_eq!(agenda.next(&young, 1200), Job::Sleep(Some(1300)));
        assert_eq!(agenda.next(&young, 1300), Job::AllPages);
        assert_eq!(agenda.next(&nothing, 1310), Job::Sleep(Some(1360)));
        let crash = PendingWork {
            crash: true,
            ..nothing
        };
        assert_eq!(agenda.next(&crash, 1360), Job::WriteCrash);
        assert_eq!(agenda.next(&young, 1361), Job::AllPages);
        let later = PendingWork {
            oldest: Some(1390),
            ..nothing
        };
        assert_eq!(agenda.next(&later, 1400), Job::Sleep(Some(1450)));
        assert_eq!(agenda.next(&later, 1450), Job::Suspend);
        assert_eq!(agenda.next(&later, 1451), Job::Sleep(Some(1590)));
    }

    #[test]
    fn without_pending_work_it_sleeps_without_a_deadline() {
        assert_eq!(agenda().next(&PendingWork::default(), 5), Job::Sleep(None));
    }

    #[test]
    fn records_are_written_when_they_are_old_enough() {
        let pending = PendingWork {
            oldest: Some(1000),
            ..PendingWork::default()
        };
        assert_eq!(agenda().next(&pending, 1000), Job::Sleep(Some(1200)));
        assert_eq!(agenda().next(&pending, 1199), Job::Sleep(Some(1200)));
        assert_eq!(agenda().next(&pending, 1200), Job::AllPages);
    }

    #[test]
    fn full_pages_and_a_flush_do_not_wait() {
        let full = PendingWork {
            full_pages: 2,
            oldest: Some(1000),
            ..PendingWork::default()
        };
        assert_eq!(agenda().next(&full, 1001), Job::FullPages);
        let flush = PendingWork {
            flush: true,
            ..full
        };
        assert_eq!(agenda().next(&flush, 1001), Job::AllPages);
    }

    #[test]
    fn a_crash_comes_first() {
        let all = PendingWork {
            crash: true,
            full_pages: 2,
            oldest: Some(0),
            flush: true,
            request: true,
            snapshot: true,
        };
        assert_eq!(agenda().next(&all, 1001), Job::WriteCrash);
    }

    /// Neither a flood of log records nor one of snapshots keeps the other from being written, and
    /// a reader comes before a snapshot.
    #[test]
    fn a_snapshot_is_written_between_other_jobs() {
        let mut agenda = agenda();
        let snapshot = PendingWork {
            snapshot: true,
            ..PendingWork::default()
        };
        assert_eq!(agenda.next(&snapshot, 0), Job::WriteSnapshot);
        let busy = PendingWork {
            full_pages: 2,
            ..snapshot
        };
        let jobs: Vec<Job> = (0..3).map(|_| agenda.next(&busy, 0)).collect();
        assert_eq!(jobs, [Job::FullPages, Job::WriteSnapshot, Job::FullPages]);
        let read = PendingWork {
            request: true,
            ..busy
        };
        let jobs: Vec<Job> = (0..3).map(|_| agenda.next(&read, 0)).collect();
        assert_eq!(jobs, [Job::Request, Job::FullPages, Job::Request]);
    }

    /// REQ: X7 (a flood of log records does not starve a reader, nor readers the log)
    #[test]
    fn readers_and_writers_take_turns() {
        let mut agenda = agenda();
        let both = PendingWork {
            full_pages: 2,
            request: true,
            ..PendingWork::default()
        };
        let jobs: Vec<Job> = (0..4).map(|_| agenda.next(&both, 0)).collect();
        assert_eq!(
            jobs,
            [Job::FullPages, Job::Request, Job::FullPages, Job::Request]
        );
        let reader = PendingWork {
            request: true,
            ..PendingWork::default()
        };
        assert_eq!(agenda.next(&reader, 0), Job::Request);
        assert_eq!(agenda.next(&reader, 0), Job::Request);
    }

    #[test]
    fn the_largest_time_does_not_overflow() {
        let pending = PendingWork {
            oldest: Some(u64::MAX),
            ..PendingWork::default()
        };
        assert_eq!(agenda().next(&pending, 0), Job::Sleep(Some(u64::MAX)));
    }
}
