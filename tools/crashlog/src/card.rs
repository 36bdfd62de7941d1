//! A card of the flight recorder, opened for reading.
//!
//! Reading is more forgiving than the target can afford to be: where a ledger or a page is damaged, everything else is
//! still found, by looking at each slot and each page. What was damaged is remembered, and `verify` reports it.

use crate::image::Image;
use crate::locate::{Located, locate, read};
use crate::problem::{Code, Problem};
use block_device::BLOCK_LEN;
use crashlog_format::ledger::{Entry, Ledger};
use crashlog_format::page::{Page, PageError};
use crashlog_format::record::{CrashHeader, Segment, SegmentKind};
use crashlog_format::{CheckError, Crc32c, FormatId, Geometry, Reason};
use std::path::Path;
use zerocopy::FromBytes;

/// A card of ours.
pub struct Card {
    /// The blocks of the partition.
    pub partition: Image,
    /// Where the partition is on the card.
    pub first: u64,
    pub format: FormatId,
    pub geometry: Geometry,
    /// The newest sound ledger, or what the slots tell if there is none.
    pub ledger: Ledger,
    /// What is damaged although everything could be read.
    pub damaged: Vec<String>,
}

/// A crash record.
pub struct Record {
    pub slot: u32,
    pub entry: Entry,
    pub acknowledged: bool,
    pub header: CrashHeader,
    segments: Vec<Segment>,
}

/// A record that the ledger names: its content, or its entry and why it cannot be read.
pub type Found = Result<Record, (Entry, String)>;

/// A segment with its bytes; `sound` says whether they match their checksum.
pub struct Body {
    pub segment: Segment,
    pub bytes: Vec<u8>,
    pub sound: bool,
}

impl Card {
    /// Opens a card, an image or a partition.
    pub fn open(path: &Path, write: bool) -> Result<Self, Problem> {
        let image = Image::open(path, write)?;
        let Located {
            partition,
            first,
            format,
            geometry,
            mut damaged,
        } = locate(&image)?;
        let mut newest: Option<Ledger> = None;
        for generation in [0, 1] {
            let block = geometry.ledger(generation);
            let bytes = read(&partition, block.into())?;
            match ledger(&bytes, format, &geometry) {
                Ok(ledger) => {
                    if newest
                        .as_ref()
                        .is_none_or(|newest| ledger.is_newer_than(newest))
                    {
                        newest = Some(ledger);
                    }
                }
                Err(error) => {
                    damaged.push(format!("block {block} of the partition: ledger: {error}"))
                }
            }
        }
        let ledger = match newest {
            Some(ledger) => ledger,
            None => {
                damaged.push(
                    "both ledgers are lost; the records were found by looking at each slot"
                        .to_owned(),
                );
                rebuild(&partition, format, &geometry)?
            }
        };
        Ok(Self {
            partition,
            first,
            format,
            geometry,
            ledger,
            damaged,
        })
    }

    /// The records, oldest first.
    pub fn records(&self) -> Result<Vec<Found>, Problem> {
        (0..)
            .map_while(|index| self.ledger.by_age(index))
            .map(|(slot, entry)| self.record(slot, entry))
            .collect()
    }

    /// The record of the recorder's last self-test, if the card has one: it is not there any more when its slot was
    /// used again, or was about to be.
    pub fn self_test(&self) -> Result<Option<Found>, Problem> {
        self.ledger
            .self_test()
            .map(|(slot, entry)| self.record(slot, entry))
            .transpose()
    }

    /// The record with this number, be it of a crash or of a self-test, or the newest of a crash.
    pub fn find(&self, sequence: Option<u32>) -> Result<Record, Problem> {
        let name = self.partition.path().display();
        let found = match sequence {
            Some(sequence) if self.ledger.is_self_test(sequence) => self.ledger.self_test(),
            Some(sequence) => self.ledger.by_sequence(sequence),
            None => (0..).map_while(|index| self.ledger.by_age(index)).last(),
        };
        let found = match sequence {
            Some(sequence) => found.ok_or_else(|| {
                Problem::new(
                    Code::Found,
                    format!(
                        "{name}: has no record {sequence}; `crashlog list` shows which there are"
                    ),
                )
            })?,
            None => found.ok_or_else(|| {
                Problem::new(
                    Code::Found,
                    format!("{name}: has no crash record: nothing crashed, or all were erased"),
                )
            })?,
        };
        self.record(found.0, found.1)?.map_err(|(entry, why)| {
            Problem::new(
                Code::Found,
                format!("{name}: record {} is damaged: {why}", entry.sequence),
            )
        })
    }

    fn record(&self, slot: u32, entry: &Entry) -> Result<Found, Problem> {
        let Some(block) = self.geometry.slot(slot) else {
            return Ok(Err((*entry, format!("there is no slot {slot}"))));
        };
        let bytes = read(&self.partition, block.into())?;
        Ok(
            match CrashHeader::parse(&bytes, self.format, self.geometry.slot_blocks()) {
                Err(error) => Err((*entry, error.to_string())),
                Ok((header, _)) if header.sequence != entry.sequence => {
                    Err((*entry, format!("its slot holds record {}", header.sequence)))
                }
                Ok((header, segments)) => Ok(Record {
                    slot,
                    entry: *entry,
                    acknowledged: self.ledger.is_acknowledged(slot),
                    header,
                    segments: segments.into_iter().take(header.segments()).collect(),
                }),
            },
        )
    }

    /// The bytes of a record's segments.
    pub fn bodies(&self, record: &Record) -> Result<Vec<Body>, Problem> {
        let first = self.geometry.slot(record.slot).unwrap_or(0);
        record
            .segments
            .iter()
            .map(|segment| {
                let mut bytes = vec![0; segment.blocks() as usize * BLOCK_LEN];
                self.partition
                    .read_at(u64::from(first) + u64::from(segment.block()), &mut bytes)?;
                bytes.truncate(segment.length() as usize);
                let sound = Crc32c::new().bytes(&bytes).value() == segment.crc();
                Ok(Body {
                    segment: *segment,
                    bytes,
                    sound,
                })
            })
            .collect()
    }

    /// Looks at the stream ring from its first position on and hands each page that is one to `page`, and each block
    /// that should be one and is not to `damaged`. `progress` is told how far it is.
    pub fn scan(
        &self,
        mut progress: impl FnMut(u64),
        mut page: impl FnMut(&Page<'_>),
        mut damaged: impl FnMut(u32, PageError),
    ) -> Result<(), Problem> {
        const CHUNK: u32 = 256;
        /// The end of a ring that has not been round once: so many blocks without a page. Writing goes on behind a
        /// damaged page, so a gap inside is never that long.
        const END: u32 = 8 * CHUNK;
        let pages = self.geometry.ring_pages();
        let mut round = false;
        let mut last_page = self.ledger.next_page();
        let mut bytes = vec![0; CHUNK as usize * BLOCK_LEN];
        let mut pending = Vec::new();
        let mut position = 0;
        while position < pages && (round || position < last_page.saturating_add(END)) {
            let count = CHUNK.min(pages - position);
            let chunk = bytes
                .get_mut(..count as usize * BLOCK_LEN)
                .unwrap_or(&mut []);
            self.partition.read_at(
                u64::from(self.geometry.ring_first()) + u64::from(position),
                chunk,
            )?;
            for (position, block) in (position..).zip(chunk.chunks_exact(BLOCK_LEN)) {
                let parsed = Page::parse(block, self.format);
                let sequence = match &parsed {
                    Ok(page) => Some(page.header.sequence()),
                    Err(PageError::Records(header)) => Some(header.sequence()),
                    Err(PageError::Header(_)) => None,
                };
                // A page elsewhere than its number says is not one of the ring.
                if let Some(sequence) = sequence.filter(|sequence| sequence % pages == position) {
                    round |= sequence >= pages;
                    last_page = last_page.max(position.saturating_add(1));
                    for (position, error) in pending.drain(..) {
                        damaged(position, error);
                    }
                }
                match parsed {
                    Ok(parsed) if parsed.header.sequence() % pages == position => page(&parsed),
                    Ok(_) => pending.push((position, PageError::Header(CheckError::Field))),
                    Err(error @ PageError::Records(_)) => damaged(position, error),
                    Err(error) => pending.push((position, error)),
                }
            }
            position += count;
            progress(position.into());
        }
        // Behind the last page there is nothing, unless the ring has been round.
        if round {
            for (position, error) in pending {
                damaged(position, error);
            }
        }
        Ok(())
    }
}

impl Record {
    /// Whether it is about no crash.
    pub fn is_self_test(&self) -> bool {
        self.header.reason() == Ok(Reason::SelfTest)
    }

    /// Whether this record was written after the restart.
    pub fn is_late(&self) -> bool {
        self.header.late().is_some()
    }
}

impl Body {
    /// What the segment holds, in one word.
    pub fn name(&self) -> &'static str {
        self.segment.kind().map_or("unknown", SegmentKind::name)
    }

    /// Whether it is text for people.
    pub fn is_text(&self) -> bool {
        matches!(
            self.segment.kind(),
            Ok(SegmentKind::Message
                | SegmentKind::Note
                | SegmentKind::Epitaph
                | SegmentKind::Directory)
        )
    }
}

fn ledger(bytes: &[u8], format: FormatId, geometry: &Geometry) -> Result<Ledger, CheckError> {
    let ledger = Ledger::read_from_bytes(bytes).map_err(|_| CheckError::Field)?;
    ledger.check(format, geometry)?;
    Ok(ledger)
}

/// What the slots themselves tell, for a card whose ledgers are both lost. Records that were erased come back.
fn rebuild(partition: &Image, format: FormatId, geometry: &Geometry) -> Result<Ledger, Problem> {
    let mut ledger = Ledger::rebuilt(format, geometry.slots(), 0);
    for slot in 0..geometry.slots() {
        let Some(block) = geometry.slot(slot) else {
            break;
        };
        let bytes = read(partition, block.into())?;
        let Ok((header, _)) = CrashHeader::parse(&bytes, format, geometry.slot_blocks()) else {
            continue;
        };
        let entry = Entry {
            sequence: header.sequence,
            signature: header.signature,
            repeats: 0.into(),
            last_boot: header.boot,
            last_time: u32::try_from(header.time.get()).unwrap_or(u32::MAX).into(),
        };
        if header.reason() == Ok(Reason::SelfTest) {
            ledger.insert_self_test(slot, &entry);
        } else {
            ledger.insert(slot, &entry);
        }
        ledger.raise(&header.counters, header.boot.get());
    }
    Ok(ledger)
}
