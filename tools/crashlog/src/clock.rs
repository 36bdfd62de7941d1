//! Time of day: which UTC a moment of a boot was.
//!
//! A boot knows its uptime; a time anchor in its log says which UTC a moment was. What came after
//! an anchor is counted from it, up to the next one; what came before the first is counted back
//! from that. So a clock that was set anew jumps, and what was shown before stays as it was.

use crashlog_format::page::LogRecord;
use crashlog_format::{Stream, TimeAnchor};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, date};
use std::cell::Cell;

/// Width of a time of day, such as `2026-11-28T09:40:00.000Z`.
pub const WIDTH: usize = 24;

/// Greatest number of anchors that are kept: a card may be full of them.
const ANCHORS_MAX: usize = 1 << 16;

/// What a time anchor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// Its boot.
    pub boot: u32,
    /// Milliseconds since the start of the boot.
    uptime: u64,
    /// Of the log record: of two in one millisecond the later one counts.
    sequence: u32,
    utc_ms: u64,
}

impl Anchor {
    /// The anchor in a record, if it is one.
    pub fn of(record: &LogRecord<'_>) -> Option<Self> {
        let anchor = anchor(record)?;
        Some(Self {
            boot: record.boot,
            uptime: record.header.time,
            sequence: record.sequence,
            utc_ms: anchor.utc_ms(),
        })
    }

    /// Which UTC it was at this time of the boot, in milliseconds; before 1970 it is negative.
    pub fn utc_at(&self, uptime: u64) -> i128 {
        i128::from(self.utc_ms) + i128::from(uptime) - i128::from(self.uptime)
    }
}

/// The anchors of some boots, in order. An anchor that was written twice is here twice, next to
/// itself.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    anchors: Vec<Anchor>,
    has_column: bool,
    /// The last day that was shown, and its date.
    day: Cell<Option<(u64, Date)>>,
}

impl Clock {
    /// Takes the anchor in a record, if it is one.
    pub fn add(&mut self, record: &LogRecord<'_>) {
        if let Some(anchor) = Anchor::of(record).filter(|_| self.anchors.len() < ANCHORS_MAX) {
            self.anchors.push(anchor);
            self.has_column = true;
        }
    }

    /// Takes this anchor in place of all others.
    pub fn set(&mut self, anchor: Option<Anchor>) {
        self.anchors.clear();
        self.anchors.extend(anchor);
    }

    /// There is a column for times, even if no boot has an anchor by now.
    pub const fn show_column(&mut self) {
        self.has_column = true;
    }

    /// Makes the order, after the last [`Self::add`].
    pub fn sort(&mut self) {
        self.anchors.sort_unstable();
    }

    /// Whether there is no column for times.
    pub const fn is_empty(&self) -> bool {
        !self.has_column
    }

    /// Which UTC it was `uptime` milliseconds after the start of this boot, as text such as
    /// `2026-11-28T09:40:00.000Z`; `None` if the boot has no anchor, or if it was before 1970 or
    /// after the year 9999.
    pub fn utc(&self, boot: u32, uptime: u64) -> Option<String> {
        let moment = self.moment(boot, uptime)?;
        let mut text = String::with_capacity(WIDTH);
        self.push(moment, &mut text);
        Some(text)
    }

    /// That UTC in milliseconds.
    pub fn utc_ms(&self, boot: u32, uptime: u64) -> Option<u64> {
        self.moment(boot, uptime).map(TimeAnchor::utc_ms)
    }

    /// Appends what [`Self::utc`] returns, if it is known; returns whether it is.
    pub fn push_utc(&self, boot: u32, uptime: u64, to: &mut String) -> bool {
        let moment = self.moment(boot, uptime);
        moment.map(|moment| self.push(moment, to)).is_some()
    }

    fn moment(&self, boot: u32, uptime: u64) -> Option<TimeAnchor> {
        let later = |anchor: &Anchor| (anchor.boot, anchor.uptime) <= (boot, uptime);
        let (before, after) = self.anchors.split_at(self.anchors.partition_point(later));
        let of_boot = |anchor: &&Anchor| anchor.boot == boot;
        let before = before.last().filter(of_boot);
        let anchor = before.or_else(|| after.first().filter(of_boot))?;
        let utc_ms = u64::try_from(anchor.utc_at(uptime)).ok()?;
        TimeAnchor::new(utc_ms)
    }

    /// Appends a time as text. The calendar is asked once a day.
    fn push(&self, moment: TimeAnchor, to: &mut String) {
        const DAY: u64 = 86_400_000;
        let (day, time) = (moment.utc_ms() / DAY, moment.utc_ms() % DAY);
        let known = self.day.get().filter(|(known, _)| *known == day);
        let date = match known {
            Some((_, date)) => date,
            None => {
                let date = date_of(moment);
                self.day.set(Some((day, date)));
                date
            }
        };
        let number = |value: i64, digits: u32, to: &mut String| {
            for digit in (0..digits).rev() {
                let digit = value / 10_i64.pow(digit) % 10;
                to.push(char::from(b'0' + digit.unsigned_abs() as u8));
            }
        };
        let time = time as i64;
        number(date.year().into(), 4, to);
        to.push('-');
        number(date.month().into(), 2, to);
        to.push('-');
        number(date.day().into(), 2, to);
        to.push('T');
        number(time / 3_600_000, 2, to);
        to.push(':');
        number(time / 60_000 % 60, 2, to);
        to.push(':');
        number(time / 1_000 % 60, 2, to);
        to.push('.');
        number(time % 1_000, 3, to);
        to.push('Z');
    }

    /// The same as a column behind another: empty if no boot has an anchor, and as wide as a time
    /// if only this one has none.
    pub fn column(&self, boot: u32, uptime: u64) -> String {
        self.column_of(&self.utc(boot, uptime).unwrap_or_default())
    }

    /// A text, such as the head, in that column.
    pub fn column_of(&self, text: &str) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!("  {text:<WIDTH$}")
    }
}

/// The time anchor in a record, if it is one. The first record of a boot is none.
pub fn anchor(record: &LogRecord<'_>) -> Option<TimeAnchor> {
    if record.sequence == 1 || record.header.stream != Stream::Boot {
        return None;
    }
    TimeAnchor::parse(record.payload)
}

/// The time that an anchor says, as text.
pub fn text(anchor: TimeAnchor) -> String {
    let mut text = String::with_capacity(WIDTH);
    Clock::default().push(anchor, &mut text);
    text
}

/// The day of the time that an anchor says.
fn date_of(anchor: TimeAnchor) -> Date {
    // It does not fail: an anchor is not later than this calendar.
    let since = i64::try_from(anchor.utc_ms()).map(SignedDuration::from_millis);
    let moment = since.ok().and_then(|since| epoch().checked_add(since).ok());
    moment.unwrap_or(DateTime::MAX).date()
}

const fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(anchors: &[(u32, u64, u32, u64)]) -> Clock {
        let anchor = |&(boot, uptime, sequence, utc_ms)| Anchor {
            boot,
            uptime,
            sequence,
            utc_ms,
        };
        let mut clock = Clock {
            anchors: anchors.iter().map(anchor).collect(),
            has_column: !anchors.is_empty(),
            ..Clock::default()
        };
        clock.sort();
        clock
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (utc_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_858_800_001, "2026-11-28T09:40:00.001Z"),
            (TimeAnchor::MAX_UTC_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            let shown = text(TimeAnchor::new(utc_ms).unwrap());
            assert_eq!(shown, expected);
            assert_eq!(shown.len(), WIDTH);
        }
    }

    #[test]
    fn a_moment_is_counted_from_the_anchor_before_it() {
        assert!(clock(&[]).is_empty());
        assert_eq!(clock(&[]).column(1, 5), "");
        // The second is set back. The first was written twice, and read last.
        let clock = clock(&[
            (3, 9_000, 8, 500_000),
            (3, 9_000, 9, 600_000),
            (3, 5_000, 7, 1_000_000),
            (3, 5_000, 7, 1_000_000),
        ]);
        let seconds = |boot, uptime| clock.utc(boot, uptime).map(|text| text[14..23].to_owned());
        for boot in [0, 2, 4, u32::MAX] {
            assert_eq!(seconds(boot, 5_000), None);
        }
        assert_eq!(clock.column(2, 5_000), " ".repeat(WIDTH + 2));
        for (uptime, expected) in [
            (0, "16:35.000"),
            (4_999, "16:39.999"),
            (5_000, "16:40.000"),
            (8_999, "16:43.999"),
            (9_000, "10:00.000"),
            (10_001, "10:01.001"),
        ] {
            assert_eq!(seconds(3, uptime).as_deref(), Some(expected), "{uptime}");
        }
    }

    #[test]
    fn hostile_times_are_not_known() {
        let clock = clock(&[
            (1, u64::MAX, 2, 1),
            (2, 0, 2, TimeAnchor::MAX_UTC_MS),
            (2, 5, 3, 0),
        ]);
        assert_eq!(clock.utc(1, 0), None);
        assert_eq!(clock.utc(2, 1), None);
        assert_eq!(clock.utc(2, 0).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(clock.utc(2, u64::MAX), None);
    }
}
