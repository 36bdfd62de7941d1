//! Whether the log before a crash is on the card.
//!
//! An emergency writes the crash first and the log tail after it, and a system that loses its power
//! in between has the crash without the tail. The next boot writes the tail, if it still has it. So
//! a reader compares the number of the last record before a crash with what is in the log.

use crate::logbook;
use crate::text::count;
use crashlog_format::crash::CrashHeader;
use std::collections::BTreeMap;

/// The last record of each boot that was asked for and is in the log.
#[derive(Clone, Debug, Default)]
pub struct Tails {
    last: BTreeMap<u32, u32>,
    /// The oldest boot in the log.
    oldest: Option<u32>,
}

impl Tails {
    /// Notes a record of the log.
    pub fn add(&mut self, boot: u32, record: u32) {
        let last = self.last.entry(boot).or_insert(record);
        *last = record.max(*last);
        self.begin_with(boot);
    }

    /// Notes that the log begins with this boot, or with an older one.
    pub fn begin_with(&mut self, boot: u32) {
        self.oldest = Some(self.oldest.map_or(boot, |oldest| oldest.min(boot)));
    }

    /// How many of the last records before a crash are not in the log. 0 also if that is not known,
    /// and if the log of that boot was overwritten by later ones.
    pub fn missing(&self, header: &CrashHeader) -> u32 {
        let Some(accepted) = logbook::accepted_before(header) else {
            return 0;
        };
        let boot = header.boot.get();
        match self.last.get(&boot) {
            Some(last) => accepted.saturating_sub(*last),
            None if self.oldest.is_none_or(|oldest| oldest < boot) => accepted,
            None => 0,
        }
    }

    /// That as text, for the facts of a crash.
    pub fn text(&self, header: &CrashHeader) -> String {
        let accepted = logbook::accepted_text(header);
        match self.missing(header) {
            0 => accepted,
            missing => format!(
                "{accepted}; the last {} not on the card: the log tail was not written",
                match missing {
                    1 => "record is".to_owned(),
                    _ => format!("{} are", count(missing.into(), "record")),
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tails;
    use crashlog_format::{CrashReason, crash::CrashHeader};

    fn header(boot: u32, accepted: u32) -> CrashHeader {
        let mut header = CrashHeader::new(CrashReason::Panic, None, &[]);
        header.boot = boot.into();
        header.log_record = accepted.into();
        header
    }

    /// REQ: P11 (in part): what is there is shown as what is there.
    #[test]
    fn a_tail_that_was_not_written_is_noticed() {
        let mut tails = Tails::default();
        assert_eq!(tails.missing(&header(3, 7)), 7, "an empty log");
        for (boot, record) in [(3, 6), (3, 7), (5, 1), (5, 2)] {
            tails.add(boot, record);
        }
        assert_eq!(tails.missing(&header(3, 7)), 0);
        assert_eq!(tails.missing(&header(3, 5)), 0, "records came after it");
        assert_eq!(tails.missing(&header(5, 9)), 7);
        assert_eq!(tails.missing(&header(4, 9)), 9, "nothing of that boot");
        assert_eq!(tails.missing(&header(2, 9)), 0, "overwritten");
        assert_eq!(tails.missing(&header(5, 0)), 0, "not known");
        assert_eq!(
            tails.text(&header(5, 3)),
            "3 records accepted before, in the same boot; the last record is not on the card: \
             the log tail was not written"
        );
    }
}
