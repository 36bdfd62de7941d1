//! The boot record: the first log record of a boot, which says what firmware runs.
//!
//! It is the payload of a record of [`Stream::Boot`](crate::Stream::Boot), and is read without a
//! build archive: with its image id the archive of the boot is found. It is encoded here and not by
//! the type of a task, because the archive that has the type is the one to be found.

use crate::page::MAX_PAYLOAD;
use crate::{BootEnds, LastRan};

/// Length of the longest text but the commit's, in bytes. All of that length, a commit of
/// [`COMMIT_MAX`] and the ends of boots fit into a record.
pub const NAME_MAX: usize = 49;
/// Length of the longest commit in bytes: a SHA-256 in hexadecimal digits, and `-dirty`.
pub const COMMIT_MAX: usize = 70;
/// Bytes before the texts: image id, version, epoch.
const NUMBERS: usize = 16;

const _: () =
    assert!(NUMBERS + 3 * (1 + NAME_MAX) + 1 + COMMIT_MAX + BootEnds::MAX_LEN <= MAX_PAYLOAD);

/// What firmware a boot runs, and how the boots before it ended. A text that is not known is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRecord<'a> {
    /// The kernel's `HUBRIS_IMAGE_ID`, its bytes read as a little-endian number; 0: not known.
    pub image_id: u64,
    /// `version` of `app.toml`.
    pub version: u32,
    /// `epoch` of `app.toml`.
    pub epoch: u32,
    /// `name` of `app.toml`.
    pub app: &'a str,
    /// Which of the application's images it is, of `image-names`.
    pub image: &'a str,
    /// `board` of `app.toml`.
    pub board: &'a str,
    /// The commit of the sources, with `-dirty` behind it if a file differed from it.
    pub commit: &'a str,
    /// How the boots before ended. None in records of earlier versions.
    pub ends: BootEnds,
    /// Who ran last in the boot before, if that left no note of its end. Left out, too, of a record
    /// that has no room for it.
    pub last_ran: Option<LastRan>,
}

impl<'a> BootRecord<'a> {
    /// Decodes the payload of a record. Bytes behind `last_ran` are left to later versions. `None`
    /// if a text is cut off or is not UTF-8.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (image_id, rest) = payload.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (app, rest) = text(rest)?;
        let (image, rest) = text(rest)?;
        let (board, rest) = text(rest)?;
        let (commit, rest) = text(rest)?;
        Some(Self {
            image_id: u64::from_le_bytes(*image_id),
            version: u32::from_le_bytes(*version),
            epoch: u32::from_le_bytes(*epoch),
            app,
            image,
            board,
            commit,
            ends: BootEnds::parse(rest),
            last_ran: BootEnds::behind(rest).and_then(LastRan::parse),
        })
    }

    /// Encodes it into `to`; returns its length in bytes. `None` if `to` is too short, or a text is
    /// longer than 255 bytes.
    pub fn encode(&self, to: &mut [u8]) -> Option<usize> {
        let [app, image, board, commit] =
            [self.app, self.image, self.board, self.commit].map(str::as_bytes);
        let lengths = [app, image, board, commit].map(|text| u8::try_from(text.len()).ok());
        let [a, b, c, d] = lengths.map(|length| length.map(|length| [length]));
        let (a, b, c, d) = (a?, b?, c?, d?);
        let (id, version, epoch) = (
            self.image_id.to_le_bytes(),
            self.version.to_le_bytes(),
            self.epoch.to_le_bytes(),
        );
        let parts: [&[u8]; 11] = [
            &id, &version, &epoch, &a, app, &b, image, &c, board, &d, commit,
        ];
        let mut end = 0_usize;
        for part in parts {
            let begin = end;
            end = begin.checked_add(part.len())?;
            to.get_mut(begin..end)?.copy_from_slice(part);
        }
        end = end.checked_add(self.ends.encode(to.get_mut(end..)?)?)?;
        let Some(ran) = self.last_ran else {
            return Some(end);
        };
        match to.get_mut(end..).and_then(<[u8]>::split_first_chunk_mut) {
            Some((place, _)) => {
                *place = ran.to_bytes();
                end.checked_add(LastRan::LEN)
            }
            None => Some(end),
        }
    }
}

/// A text with its length before it, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((core::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BootEnd;

    fn encoded(record: &BootRecord<'_>) -> Vec<u8> {
        let mut bytes = [0; MAX_PAYLOAD];
        let length = record.encode(&mut bytes).expect("it fits");
        bytes[..length].to_vec()
    }

    const RECORD: BootRecord<'static> = BootRecord {
        image_id: 0xac7f_1045_79de_0074,
        version: 3,
        epoch: 1,
        app: "crashlog-demo",
        image: "default",
        board: "",
        commit: "7eaf3c8be3ea7d259df8a4efeeb28df59d68a912-dirty",
        ends: BootEnds::NONE,
        last_ran: None,
    };

    /// A record that tells of three boots before.
    fn with_ends() -> BootRecord<'static> {
        let ends = BootEnds::NONE
            .and(BootEnd::PowerLost)
            .and(BootEnd::Crash(5))
            .and(BootEnd::Restart(7));
        BootRecord { ends, ..RECORD }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let ran = Some(LastRan { task: 7, pc: 9 });
        let with_ran = BootRecord {
            last_ran: ran,
            ..with_ends()
        };
        for record in [RECORD, with_ends(), with_ran] {
            let bytes = encoded(&record);
            assert_eq!(BootRecord::parse(&bytes), Some(record));
            // What a later version appends does not hide the rest.
            assert_eq!(
                BootRecord::parse(&[&bytes[..], b"\x05later"].concat()),
                Some(record)
            );
        }
        let (name, commit) = ("n".repeat(NAME_MAX), "c".repeat(COMMIT_MAX));
        let longest = BootRecord {
            app: &name,
            image: &name,
            board: &name,
            commit: &commit,
            ends: with_ends().ends.and(BootEnd::Watchdog),
            ..RECORD
        };
        assert_eq!(BootRecord::parse(&encoded(&longest)), Some(longest));
        // There is no room for more, and nothing else is lost.
        let with_ran = BootRecord {
            last_ran: ran,
            ..longest
        };
        assert_eq!(BootRecord::parse(&encoded(&with_ran)), Some(longest));
    }

    #[test]
    fn what_is_cut_or_no_text_is_refused() {
        let bytes = encoded(&with_ends());
        let texts = bytes.len() - 1 - 3 * BootEnd::LEN;
        for length in 0..texts {
            assert_eq!(BootRecord::parse(&bytes[..length]), None, "{length}");
        }
        // Records of earlier versions end here.
        for length in texts..bytes.len() {
            let parsed = BootRecord::parse(&bytes[..length]);
            assert_eq!(parsed, Some(RECORD), "{length}");
        }
        let mut broken = bytes;
        broken[NUMBERS + 1] = 0xff;
        assert_eq!(BootRecord::parse(&broken), None);
    }

    #[test]
    fn what_does_not_fit_is_not_encoded() {
        let long = "x".repeat(256);
        let record = BootRecord {
            board: &long,
            ..RECORD
        };
        assert_eq!(record.encode(&mut [0; 1024]), None);
        for length in 0..encoded(&RECORD).len() {
            assert_eq!(RECORD.encode(&mut vec![0; length]), None, "{length}");
        }
    }
}
