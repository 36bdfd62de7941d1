//! What must hold.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use block_device::{Block, Window, now_or_never};
use crashlog_format::TimeAnchor;
use crashlog_format::page::{CAPACITY, LogHeader, Page, record_len};
use crashlog_retained::{BootEnds, Level, LogRing, MAX_RUN, Numbering, Region, Stream};
use crashlog_store::{CrashReadError, Store, find_partition};
use drv_sdhci_sim::Simulator;
use fault_matrix::image::{Image, OPTIONS, PARTITION};
use task_crashlog_api::{BootEnding, CrashInfo, CrashLogError, RecorderStatus};
use userlib::FromPrimitive;

use super::slot::Slot;
use super::{FIRST_WELL_BEHAVED, Played};
use crate::clients::{ERASER, FORMAT, check_reply, op};
use crate::kernel::{Ended, Request, World};
use crate::{NUM_TASKS, config};

/// What a record says, but for its number: stream, level and number of lost ones, and the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    task: usize,
    about: [u8; 4],
    payload: Vec<u8>,
}

/// A record that was accepted.
#[derive(Clone, Debug)]
struct Accepted {
    said: Said,
    /// When, in milliseconds since boot.
    time: RangeInclusive<u64>,
}

/// What is known about a case.
pub struct Oracle {
    /// The card.
    pub slot: Slot,
    region: Region<'static>,
    /// What the region has added to the numbers of boots on the card, without repetition, the
    /// newest last. It changes if pages cannot be read when the log is mounted: each of them counts
    /// as a boot. Then one boot has two numbers on the card.
    offsets: Vec<u32>,
    /// By boot, as the region counts, and number.
    accepted: BTreeMap<(u32, u32), Accepted>,
    /// Records that the recorder may have accepted: their clients, or it, were restarted before the
    /// reply.
    perhaps: Vec<Said>,
    /// The newest record of which a client knows the number.
    newest: (u32, u32),
    /// When each client has sent its request.
    sent: [u64; NUM_TASKS],
    /// The times of all oopses.
    oopses: BTreeSet<u64>,
    /// Counts what is checked now and then only.
    turn: u32,
    played: Rc<Cell<Played>>,
}

impl Said {
    /// What a request says that makes a record; `None` if it makes none.
    fn in_request(task: usize, request: &Request) -> Option<Self> {
        let (about, payload) = match request.operation {
            op::APPEND => {
                let about = request.message.as_slice().try_into().ok()?;
                let [lease] = request.leases.as_slice() else {
                    return None;
                };
                (about, lease.bytes.clone())
            }
            op::SET_TIME => {
                let utc_ms = request.message.as_slice().try_into().ok()?;
                let anchor = TimeAnchor::new(u64::from_le_bytes(utc_ms))?;
                let about = [Stream::Boot as u8, Level::Info as u8, 0, 0];
                (about, anchor.to_bytes().to_vec())
            }
            _ => return None,
        };
        Some(Self {
            task,
            about,
            payload,
        })
    }

    fn in_record(header: &LogHeader, payload: &[u8]) -> Self {
        let [low, high] = header.lost.to_le_bytes();
        Self {
            task: header.task.into(),
            about: [header.stream as u8, header.level as u8, low, high],
            payload: payload.to_vec(),
        }
    }
}

impl Oracle {
    /// Nothing has happened yet.
    pub fn new(sim: Simulator, region: Region<'static>, played: Rc<Cell<Played>>) -> Self {
        Self {
            slot: Slot::new(sim),
            region,
            offsets: vec![0],
            accepted: BTreeMap::new(),
            perhaps: Vec::new(),
            newest: (0, 0),
            sent: [0; NUM_TASKS],
            oopses: BTreeSet::new(),
            turn: 0,
            played,
        }
    }

    /// Notes what the recorder may have changed since the last step.
    pub fn look(&mut self) {
        let offset = self.region.boot_offset();
        if self.offsets.last() != Some(&offset) {
            self.offsets.retain(|other| *other != offset);
            self.offsets.push(offset);
        }
    }

    /// A client sends.
    pub fn sent(&mut self, task: usize, now: u64) {
        self.sent[task] = now;
    }

    /// An oops is described.
    pub fn oops(&mut self, time: u64) {
        self.oopses.insert(time);
    }

    /// A client was torn out of this request.
    pub fn torn(&mut self, task: usize, request: Option<Request>) {
        let said = request.and_then(|request| Said::in_request(task, &request));
        self.perhaps.extend(said);
    }

    /// True in one of so many cases.
    fn is_turn(&mut self, times: u32) -> bool {
        self.turn = self.turn.wrapping_add(1);
        self.turn.is_multiple_of(times)
    }

    /// A request has ended.
    pub fn ended(&mut self, world: &World, task: usize, request: &Request, how: &Ended) {
        let well_behaved = task >= FIRST_WELL_BEHAVED;
        let (code, reply) = match how {
            Ended::Fault => return assert!(!well_behaved, "{request:?}: faulted"),
            Ended::Dead => return self.torn(task, Some(request.clone())),
            Ended::Reply(code, reply) => (*code, reply.as_slice()),
        };
        check_reply(request, how);
        self.played.update(|played| Played {
            replies: played.replies + 1,
            ..played
        });
        let error = CrashLogError::from_u32(code);
        match error {
            Some(error) if well_behaved => self.check_error(task, request, error),
            _ => {}
        }
        let lent = || request.leases[0].bytes.as_slice();
        match (request.operation, error) {
            (op::APPEND | op::SET_TIME, None) => {
                let time = self.sent[task]..=world.now();
                let said = Said::in_request(task, request).expect("it makes a record");
                self.check_accepted(word(reply), said, time);
                world.note_accepted(word(reply));
            }
            (op::FLUSH, None) if self.is_turn(8) => self.check_durable(word(reply)),
            (op::STATUS, None) => self.check_status(reply),
            (op::BOOT_END, None) => {
                let (end, _) = hubpack::deserialize::<BootEnding>(reply).expect("checked before");
                let ends = self.region.boot_end().ends(self.region.boot());
                let before = word(&request.message).checked_sub(1);
                let known = before.and_then(|before| ends.iter().nth(before as usize));
                assert_eq!(end, known.map_or(BootEnding::NotKnown, Into::into));
            }
            (op::ERASE_CRASH, None) => assert_eq!(task, ERASER, "it may not erase"),
            (op::READ_PAGE, None) => {
                self.check_page(lent());
            }
            (op::CRASH_INFO, None | Some(CrashLogError::NoSuchCrash)) if self.is_turn(4) => {
                let info = error.is_none().then(|| {
                    let info = hubpack::deserialize::<CrashInfo>(reply);
                    info.expect("checked before").0
                });
                self.check_crash_info(word(&request.message), info);
            }
            (op::READ_CRASH, None | Some(CrashLogError::NoSuchCrash)) if self.is_turn(4) => {
                let read = error.is_none().then(|| &lent()[..word(reply) as usize]);
                self.check_crash_bytes(&request.message, lent().len(), read);
            }
            _ => {}
        }
    }

    /// An error that a well-behaved client gets.
    fn check_error(&mut self, task: usize, request: &Request, error: CrashLogError) {
        use CrashLogError as E;
        let may_be = match request.operation {
            op::APPEND => error == E::Full,
            op::SET_TIME => match Said::in_request(task, request) {
                Some(_) => error == E::Full,
                None => error == E::BadTime,
            },
            op::FLUSH => error == E::NotSaving,
            op::CRASH_INFO => {
                matches!(
                    error,
                    E::NotSaving | E::NoSuchCrash | E::Device | E::Damaged
                )
            }
            op::READ_CRASH => matches!(
                error,
                E::NotSaving | E::NoSuchCrash | E::NoSuchSegment | E::Device | E::Damaged
            ),
            op::READ_PAGE => matches!(error, E::NotSaving | E::NoSuchPage | E::Device | E::Damaged),
            _ => false,
        };
        assert!(may_be, "task {task}: {error:?} for {request:?}");
        if error == E::Full && self.is_turn(8) {
            let said = Said::in_request(task, request).expect("it makes a record");
            let more = record_len(said.payload.len());
            let mut held = 0;
            let mut pages = 0;
            self.each_in_region(
                |_, header, payload| {
                    if usize::from(header.task) == task {
                        held += record_len(payload.len());
                    }
                },
                &mut pages,
            );
            let ring_is_full = pages + 1 >= ring_pages();
            // Pages may have become durable since the refusal: those of one run.
            let most_held = held + MAX_RUN * CAPACITY;
            assert!(
                most_held + more > config::QUOTA as usize || ring_is_full,
                "task {task}, which holds {held} bytes, may not append {more}; {pages} pages"
            );
        }
    }

    fn check_accepted(&mut self, number: u32, said: Said, time: RangeInclusive<u64>) {
        let key = (self.region.boot(), number);
        assert!(
            key > self.newest,
            "record {key:?} is accepted after {:?}",
            self.newest
        );
        self.newest = key;
        self.accepted.insert(key, Accepted { said, time });
        self.played.update(|played| Played {
            records: played.records + 1,
            ..played
        });
    }

    fn check_status(&self, reply: &[u8]) {
        let (status, _) = hubpack::deserialize::<RecorderStatus>(reply).expect("checked before");
        let (boot, newest) = self.newest;
        let now = self.region.boot();
        assert_eq!(status.boot, now + self.region.boot_offset());
        assert!(status.durable <= status.accepted, "{status:?}");
        assert!(boot != now || status.accepted >= newest, "{status:?}");
    }

    /// Checks a record that was found with these numbers, which are those on the card. Returns its
    /// boot, as the region counts, and number.
    fn check_record(
        &mut self,
        (on_card, number): (u32, u32),
        header: &LogHeader,
        payload: &[u8],
    ) -> (u32, u32) {
        let said = Said::in_record(header, payload);
        let boots = self
            .offsets
            .iter()
            .rev()
            .map(|offset| on_card.wrapping_sub(*offset));
        let boots = boots.filter(|boot| (1..=self.region.boot()).contains(boot));
        let keys: Vec<_> = boots.map(|boot| (boot, number)).collect();
        for key in &keys {
            if let Some(accepted) = self.accepted.get(key)
                && accepted.said == said
                && accepted.time.contains(&header.time)
            {
                return *key;
            }
        }
        let free = keys.iter().find(|key| !self.accepted.contains_key(key));
        let Some(&key) = free else {
            panic!(
                "record {number} of boot {on_card} says {header:?}, {said:?}, and not {:?}",
                keys.iter()
                    .map(|key| self.accepted.get(key))
                    .collect::<Vec<_>>()
            );
        };
        if header.stream == Stream::Boot && TimeAnchor::parse(payload).is_none() {
            assert_eq!(said.task, config::TASK_INDEX, "who appends a boot record");
            let ends = payload.get(config::BOOT_RECORD.len()..);
            let ends = ends.expect("the boot record is too short");
            let mut encoded = [0; BootEnds::MAX_LEN];
            let length = BootEnds::parse(ends).encode(&mut encoded);
            let length = length.expect("the ends fit");
            assert_eq!(Some(&encoded[..length]), ends.get(..length));
            // No kernel says who ran last.
            assert_eq!(ends.len(), length);
            let mut others = self.accepted.range((key.0, 0)..(key.0, u32::MAX));
            let first = others.next().is_none_or(|(other, _)| *other > key);
            let first = first || !self.boots_are_known();
            assert!(first, "the boot record {key:?} is not the first");
        } else if header.stream == Stream::Fault && said.task == config::TASK_INDEX {
            assert!(
                payload.starts_with(b"4 starts of the recorder in a row ended early"),
                "the recorder has appended {said:?}"
            );
        } else {
            let place = self.perhaps.iter().position(|perhaps| *perhaps == said);
            let place = place.unwrap_or_else(|| panic!("nobody has appended {key:?}: {said:?}"));
            self.perhaps.swap_remove(place);
        }
        let time = header.time..=header.time;
        self.accepted.insert(key, Accepted { said, time });
        key
    }

    /// Has each boot one number on the card?
    fn boots_are_known(&self) -> bool {
        self.offsets.len() == 1
    }

    /// The records that are not among those that were found. If it is not known which boot a record
    /// is of, one of another boot that says the same will do.
    fn missing(&self, found: &BTreeSet<(u32, u32)>) -> Vec<((u32, u32), &Accepted)> {
        let is_there = |key: &(u32, u32), accepted: &Accepted| {
            let says_the_same = |other: &(u32, u32)| {
                let said = self.accepted.get(other).map(|other| &other.said);
                other.1 == key.1 && said == Some(&accepted.said)
            };
            found.contains(key) || !self.boots_are_known() && found.iter().any(says_the_same)
        };
        let all = self.accepted.iter().map(|(key, accepted)| (*key, accepted));
        all.filter(|(key, accepted)| !is_there(key, accepted))
            .collect()
    }

    fn check_page(&mut self, bytes: &[u8]) {
        let page = Page::parse(bytes, FORMAT).expect("checked before");
        let mut records = page.records();
        for record in records.by_ref() {
            let key = (record.boot, record.sequence);
            self.check_record(key, &record.header, record.payload);
        }
        assert_eq!(records.remaining(), 0, "bytes behind the records of a page");
    }

    /// Calls `each` with every record in the retained region, as a restart finds it. Adds the
    /// number of pages.
    fn each_in_region(
        &self,
        mut each: impl FnMut((u32, u32), &LogHeader, &[u8]),
        pages: &mut usize,
    ) {
        let copy = copy_of_region();
        let region = Region::over(&copy).expect("a region");
        let (ring, recovery) = LogRing::recover(&region);
        assert_eq!(recovery.damaged, 0, "a page in retained RAM is damaged");
        ring.close();
        let mut bytes = [0; 512];
        loop {
            let numbering = Numbering {
                format: FORMAT,
                next_page: 0,
                boot_offset: region.boot_offset(),
            };
            let Some(run) = ring.next_run(&numbering, 1) else {
                return;
            };
            *pages += run.blocks.len();
            for block in run.blocks {
                block.copy_to(0, &mut bytes);
                let page = Page::parse(&bytes, FORMAT).expect("a page in retained RAM");
                for record in page.records() {
                    each(
                        (record.boot, record.sequence),
                        &record.header,
                        record.payload,
                    );
                }
            }
            ring.mark_durable(run.blocks.len(), |_, _| {});
        }
    }

    /// Checks the records on the card; returns which they are.
    fn check_card(&mut self) -> BTreeSet<(u32, u32)> {
        let content = self.slot.content();
        let found = content
            .log
            .iter()
            .map(|(key, payload)| self.check_record(*key, &content.headers[key], payload));
        let found = found.collect();
        for (time, whole) in &content.crashes {
            assert!(self.oopses.contains(time), "nothing crashed at {time}");
            assert!(whole, "the crash at {time} is damaged");
        }
        self.played.update(|played| Played {
            crashes: content.crashes.len(),
            ..played
        });
        found
    }

    /// `flush` has returned this number.
    fn check_durable(&mut self, durable: u32) {
        let boot = self.region.boot();
        let on_card = self.check_card();
        let mut missing = self.missing(&on_card);
        missing.retain(|((of, number), _)| *of == boot && *number <= durable);
        assert!(
            missing.is_empty(),
            "durable, and not on the card: {missing:?}"
        );
    }

    /// Checks that every record is in the region or on the card, and that no number is left out.
    fn check_all(&mut self) -> BTreeSet<(u32, u32)> {
        let on_card = self.check_card();
        let mut found = on_card.clone();
        let mut in_region = Vec::new();
        self.each_in_region(
            |key, header, payload| in_region.push((key, *header, payload.to_vec())),
            &mut 0,
        );
        for (key, header, payload) in in_region {
            found.insert(self.check_record(key, &header, &payload));
        }
        let lost = self.missing(&found);
        assert!(lost.is_empty(), "records are lost: {lost:?}");
        let mut before = (0, 0);
        for key in found.iter().filter(|_| self.boots_are_known()) {
            let (boot, number) = *key;
            let first = boot != before.0 && number == 1;
            let next = boot == before.0 && number == before.1 + 1;
            assert!(first || next, "record {key:?} follows {before:?}");
            before = *key;
        }
        on_card
    }

    /// The recorder was restarted: now and then everything is checked.
    pub fn check_some_restarts(&mut self) {
        if self.is_turn(4) {
            self.check_all();
        }
    }

    /// The case has ended: everything is on the card.
    pub fn check_end(&mut self) {
        let on_card = self.check_all();
        let left = self.missing(&on_card);
        assert!(left.is_empty(), "not on the card in the end: {left:?}");
    }

    /// Checks a reply of `crash_info` against the card.
    fn check_crash_info(&self, index: u32, info: Option<CrashInfo>) {
        let on_card = with_store(self.slot.image(), async |store| {
            let tally = store.tally(index)?;
            let crash = store.open_crash(tally.sequence).await.ok()?;
            Some((tally.sequence, crash.header.time.get(), tally.repeats))
        });
        let said = info.map(|info| (info.sequence, info.time, info.repeats));
        assert_eq!(said, on_card, "crash {index}");
    }

    /// Checks a reply of `read_crash` against the card.
    fn check_crash_bytes(&self, arguments: &[u8], length: usize, read: Option<&[u8]>) {
        let argument = |index: usize| word(&arguments[4 * index..][..4]);
        let on_card = with_store(self.slot.image(), async |store| {
            let crash = match store.open_crash(argument(0)).await {
                Ok(crash) => crash,
                Err(CrashReadError::NoSuchCrash) => return None,
                Err(error) => panic!("{error:?}"),
            };
            let mut bytes = vec![0; length];
            let segment = argument(1) as usize;
            let count = crash.read(store, segment, argument(2), &mut bytes).await;
            bytes.truncate(count.expect("a segment of a crash"));
            Some(bytes)
        });
        assert_eq!(read, on_card.as_deref(), "crash {}", argument(0));
    }
}

/// Mounts a card, read without its driver.
fn with_store<T>(image: Image, with: impl AsyncFnOnce(&mut Store<'_, Window<Image>>) -> T) -> T {
    let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
    let result = now_or_never(async {
        let mut image = image;
        let partition = find_partition(&mut image, PARTITION, &scratch).await;
        let partition = partition.expect("the partition is there");
        let window = Window::new(image, partition.place.first, partition.place.blocks);
        let store = Store::mount(window.expect("on the card"), &partition, OPTIONS, &scratch).await;
        with(&mut store.expect("the log can be mounted")).await
    });
    result.expect("ready")
}

/// A copy of the retained region.
fn copy_of_region() -> Vec<Block> {
    super::MEMORY.with(|memory| {
        let copy = |block: &Block| {
            let copy = Block::zeroed();
            for (index, word) in block.words().iter().enumerate() {
                copy.set_word(index, word.load(std::sync::atomic::Ordering::Relaxed));
            }
            copy
        };
        memory.iter().map(copy).collect()
    })
}

/// Pages of the log ring.
fn ring_pages() -> usize {
    let copy = copy_of_region();
    let region = Region::over(&copy).expect("a region");
    LogRing::recover(&region).0.pages() as usize
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("a word"))
}
