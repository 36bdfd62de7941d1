//! Console lines that were cut by the end of a record, for people to read.
//!
//! A line longer than a record is in several, and the cut may be inside a character. The first
//! bytes of such a character are shown with the record that has the others.

use crashlog_format::page::LogRecord;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The bytes of characters that were cut, at most three of each task.
#[derive(Default)]
pub struct Pieces {
    boot: u32,
    held: BTreeMap<u16, Vec<u8>>,
}

impl Pieces {
    /// What is shown of the console record: the payload, with the bytes of its first character that
    /// the record of the same task before it has, and without those of a character that goes on in
    /// the next.
    pub fn join<'a>(&mut self, record: &LogRecord<'a>) -> Cow<'a, [u8]> {
        if record.boot != self.boot {
            self.boot = record.boot;
            self.held.clear();
        }
        let task = record.header.task;
        let mut bytes = match self.held.remove(&task) {
            Some(mut held) => {
                held.extend_from_slice(record.payload);
                Cow::Owned(held)
            }
            None => Cow::Borrowed(record.payload),
        };
        let whole = bytes.len() - cut(&bytes);
        // A character alone is not held back, so that each record has something to show.
        if whole > 0 && whole < bytes.len() {
            let held = bytes.get(whole..).unwrap_or(&[]).to_vec();
            self.held.insert(task, held);
            bytes = match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..whole).unwrap_or(bytes)),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(whole);
                    Cow::Owned(bytes)
                }
            };
        }
        bytes
    }

    /// What is held of characters whose end did not come: boot, task and bytes.
    pub fn rest(&mut self) -> impl Iterator<Item = (u32, u16, Vec<u8>)> {
        let boot = self.boot;
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .map(move |(task, bytes)| (boot, task, bytes))
    }
}

/// Number of bytes of an incomplete character at the end.
fn cut(bytes: &[u8]) -> usize {
    if bytes.last().is_none_or(u8::is_ascii) {
        return 0;
    }
    let invalid = bytes
        .utf8_chunks()
        .last()
        .map_or(&[][..], |chunk| chunk.invalid());
    let is_incomplete =
        std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
    if is_incomplete { invalid.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashlog_format::page::LogHeader;
    use crashlog_format::{Level, Stream};

    fn record(boot: u32, task: u16, payload: &[u8]) -> LogRecord<'_> {
        LogRecord {
            boot,
            sequence: 1,
            header: LogHeader {
                stream: Stream::Console,
                level: Level::Info,
                task,
                lost: 0,
                time: 0,
            },
            payload,
        }
    }

    #[test]
    fn a_character_is_shown_where_it_ends() {
        let mut pieces = Pieces::default();
        let mut join = |task, payload| pieces.join(&record(1, task, payload)).into_owned();
        assert_eq!(join(1, b"one \xe2\x82"), b"one ");
        assert_eq!(join(2, b"other\n"), b"other\n");
        assert_eq!(join(1, b"\xac two \xf0"), "\u{20ac} two ".as_bytes());
        assert_eq!(join(1, b"\x9f\xa6"), b"\xf0\x9f\xa6");
        assert_eq!(join(1, b"bad \xff"), b"bad \xff");
        assert_eq!(join(1, b"cut \xe2\x82"), b"cut ");
        assert_eq!(
            pieces.rest().collect::<Vec<_>>(),
            [(1, 1, b"\xe2\x82".to_vec())]
        );
        assert_eq!(pieces.rest().count(), 0);
    }
}
