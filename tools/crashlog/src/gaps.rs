//! Where records of the log are missing, for the error at the end of `crashlog log`.

use crate::card::Card;
use crate::problem::{Code, Problem};
use crate::text::count;
use crashlog_format::page::LogRecord;

/// Number of gaps that the error names.
const LISTED: usize = 8;

/// The gaps between the records that were passed on.
#[derive(Default)]
pub struct Gaps {
    places: usize,
    records: u64,
    listed: Vec<Gap>,
}

struct Gap {
    boot: u32,
    missing: u32,
    /// Number of the record after the gap.
    before: Option<u32>,
}

impl Gaps {
    /// `missing` records of `boot` are missing here.
    pub fn missing(&mut self, boot: u32, missing: u32) {
        self.places += 1;
        self.records += u64::from(missing);
        if self.listed.len() < LISTED {
            self.listed.push(Gap {
                boot,
                missing,
                before: None,
            });
        }
    }

    /// A record is there.
    pub fn record(&mut self, record: &LogRecord<'_>) {
        if let Some(gap) = self.listed.last_mut() {
            let is_next = gap.before.is_none() && gap.boot == record.boot;
            gap.before = gap.before.or(is_next.then_some(record.sequence));
        }
    }

    /// The error of a command that has shown what there is, if something is missing or damaged.
    pub fn check(&self, card: &Card) -> Result<(), Problem> {
        if self.places == 0 {
            return card.check(0, "what can be read is shown");
        }
        let mut places: Vec<String> = self.listed.iter().map(Gap::text).collect();
        let more = self.places - self.listed.len();
        if more > 0 {
            places.push(format!("and in {}", count(more as u64, "more place")));
        }
        Err(Problem::new(
            Code::Found,
            format!(
                "{}: {} of the log {} missing: {}",
                card.partition.path().display(),
                count(self.records, "record"),
                if self.records == 1 { "is" } else { "are" },
                places.join(", ")
            ),
        ))
    }
}

impl Gap {
    fn text(&self) -> String {
        let (boot, missing) = (self.boot, self.missing);
        match self.before {
            Some(before) => format!("{missing} of boot {boot} before record {before}"),
            None => format!("{missing} of boot {boot}"),
        }
    }
}
