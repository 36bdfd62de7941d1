//! A recorder in the small: what the server does with the store, and an oracle that knows what must be on the card.

use super::card::{Card, Fault};
pub use super::oracle::{Key, Oracle};
use crate::emergency::{self, Request};
use crate::*;
use block_device::{Block, PolledDevice, Window, WindowError, now_or_never};
use crashlog_format::gpt::Guid;
use crashlog_format::ledger::Ledger;
use crashlog_format::{FormatId, LateReason, Level, Outcome, Reason, Stream};
use crashlog_retained::{
    AppendError, CrashContext, Location, LogRing, MailboxState, RecordHeader, Region, StoredContext,
};
use std::collections::BTreeMap;

pub type Partition = Window<Card>;
pub type Failed = WindowError<Fault>;

pub const KEEP_FIRST: u32 = 2;
pub const OPTIONS: Options = Options {
    keep_first: KEEP_FIRST,
};
pub const CARD: [u8; 64] = [7; 64];

/// Runs a future of a device that never waits.
pub fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("a simulated card is always ready")
}

pub fn blocks(count: usize) -> Vec<Block> {
    (0..count).map(|_| Block::zeroed()).collect()
}

/// A card with a partition of `blocks` blocks.
pub fn card(blocks: u64, slots: u32, slot_blocks: u32) -> Card {
    let mut card = Card::new(2048 + blocks + 33);
    let table = TableOptions {
        name: "crashlog",
        disk: Guid::new(1),
        partition: Guid::new(2),
    };
    let partition = now(write_table(&mut card, &table)).unwrap();
    assert_eq!(
        partition,
        crate::Partition {
            first: 2048,
            blocks
        }
    );
    let options = FormatOptions {
        format: FormatId::new(0xF0),
        slots: Some(slots),
        slot_blocks: Some(slot_blocks),
    };
    now(format_partition(&mut window(&card), &options)).unwrap();
    card.take_counts();
    card
}

/// A small card: 128 pages of stream, 4 slots.
pub fn small_card() -> Card {
    card(192, 4, 8)
}

pub fn window(card: &Card) -> Partition {
    let blocks = block_device::PolledDevice::block_count(card) - 2048 - 33;
    Window::new(card.clone(), 2048, blocks / 8 * 8).unwrap()
}

/// Finds and mounts.
pub fn mount<'s>(card: &Card, scratch: &'s [Block]) -> Result<Store<'s, Partition>, String> {
    let mut device = card.clone();
    let partition = now(find_partition(&mut device, "crashlog", scratch))
        .map_err(|error| format!("{error:?}"))?;
    let window = Window::new(device, partition.first, partition.blocks).unwrap();
    now(Store::mount(window, OPTIONS, scratch)).map_err(|error| format!("{error:?}"))
}

/// One boot of a recorder.
pub struct Recorder<'m> {
    pub region: Region<'m>,
    pub ring: LogRing<'m>,
    pub store: Store<'m, Partition>,
}

impl<'m> Recorder<'m> {
    /// Starts the recorder: in a new boot, or again in the same.
    pub fn start(card: &Card, memory: &'m [Block], new_boot: bool) -> Result<Self, Failed> {
        let region = Region::over(memory).unwrap();
        if new_boot {
            region.begin_boot();
        }
        let (ring, _) = LogRing::recover(&region);
        let scratch = region.scratch();
        let store = match now(Store::mount(window(card), OPTIONS, scratch)) {
            Ok(store) => store,
            Err(MountError::Device(error)) => return Err(error),
            Err(error) => panic!("{error:?}"),
        };
        let mut recorder = Self {
            region,
            ring,
            store,
        };
        let store = &mut recorder.store;
        region.rebase(
            store.format(),
            store.last_boot(),
            recorder.ring.oldest_boot(),
        );
        let location = Location {
            first: 2048,
            geometry: *store.geometry(),
            format: store.format(),
            keep_first: KEEP_FIRST,
            card: CARD,
        };
        region.location().store(&location, store.next_page());
        now(store.reconcile(&recorder.ring))?;
        Ok(recorder)
    }

    pub fn boot(&self) -> u32 {
        self.region.boot() + self.region.boot_offset()
    }

    /// Appends a record of some length.
    pub fn append(&self, oracle: &mut Oracle) -> Result<u32, AppendError> {
        oracle.clock += 1;
        let mut payload = format!("{:08}", oracle.clock).into_bytes();
        payload.resize(8 + (oracle.clock as usize * 37) % 240, b'.');
        let header = RecordHeader {
            stream: Stream::Console,
            level: Level::Info,
            task: 3,
            lost: 0,
            time: oracle.clock,
        };
        let sequence = self.ring.append(&header, &payload)?;
        oracle.accepted.insert((self.boot(), sequence), payload);
        oracle.waiting.insert((self.boot(), sequence));
        Ok(sequence)
    }

    /// Writes everything that was accepted.
    pub fn flush(&mut self, oracle: &mut Oracle) -> Result<(), Failed> {
        self.ring.close();
        while let Some(run) = self
            .ring
            .next_run(&self.store.numbering(self.region.boot_offset()), MAX_RUN)
        {
            oracle.place(run.blocks, run.first_page);
            match now(self.store.write_pages(run.blocks)) {
                Ok(()) => {}
                Err(WriteError::Device(error)) => return Err(error),
                Err(error) => panic!("{error:?}"),
            }
            self.region.location().set_next_page(self.store.next_page());
            self.ring.mark_durable(run.blocks.len(), |_, _| {});
        }
        oracle.all_durable();
        Ok(())
    }

    /// A crash that is like no other if `place` is not. Fills in the mailbox.
    fn crash_context(&self, oracle: &mut Oracle, reason: Reason, place: u32) -> CrashContext {
        oracle.clock += 1;
        let mut context = CrashContext::new(reason, 5, "worker", &[0, 1, 4, 0, 0, 0, 0]);
        context.time = oracle.clock;
        context.boot = self.region.boot();
        context.registers[15] = place;
        context
    }

    /// Records the fault of a single task. `place` is what tells it from others.
    pub fn oops(&mut self, oracle: &mut Oracle, place: u32) -> Result<u32, Failed> {
        let context = self.crash_context(oracle, Reason::Oops, place);
        let mut writer = self.region.mailbox().write_oops().unwrap();
        writer.message(b"oops");
        writer.stack_at(0x8080_0000, 64);
        writer.stack(&[context.time as u8; 64]);
        writer.finish(&context);
        oracle.crashes.insert(context.time);
        self.record_oopses(oracle).map(Option::unwrap)
    }

    /// Records what waits in the mailbox. Returns the number of the last record.
    pub fn record_oopses(&mut self, oracle: &mut Oracle) -> Result<Option<u32>, Failed> {
        let mut last = None;
        while let Some(oops) = self.region.mailbox().oops() {
            last = Some(self.record(&oops.stored, None, oracle)?);
            oops.clear();
        }
        Ok(last)
    }

    /// Records the crash that an emergency write has left, late; and empties the mailbox.
    pub fn record_late(&mut self, oracle: &mut Oracle) -> Result<Option<u32>, Failed> {
        let mailbox = self.region.mailbox();
        let late = match mailbox.state() {
            MailboxState::Empty | MailboxState::Done => None,
            MailboxState::Armed | MailboxState::ArmedMinimal => Some(LateReason::Interrupted),
            MailboxState::Failed => Some(LateReason::Failed),
            MailboxState::Noted => Some(LateReason::Supervisor),
        };
        let number = match (late, mailbox.crash()) {
            (Some(late), Some(crash)) => Some(self.record(&crash, Some(late), oracle)?),
            _ => None,
        };
        mailbox.clear();
        Ok(self.record_oopses(oracle)?.or(number))
    }

    fn record(
        &mut self,
        stored: &StoredContext<'_>,
        late: Option<LateReason>,
        oracle: &mut Oracle,
    ) -> Result<u32, Failed> {
        let body = Body {
            stored,
            late,
            outcome: &self.region.mailbox().outcome().unwrap_or_default(),
            boot_offset: self.region.boot_offset(),
            log_record: self.ring.accepted(),
            extra: &[],
        };
        match now(self.store.write_record(&body)) {
            Ok(sequence) => {
                oracle.recorded.insert(stored.context.time, sequence);
                Ok(sequence)
            }
            Err(RecordError::Device(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Erases a record.
    pub fn erase(&mut self, oracle: &mut Oracle, number: u32) -> Result<(), Failed> {
        oracle.erasing.insert(number);
        match now(self.store.erase(number)) {
            Ok(()) => {
                oracle.erased.insert(number);
                Ok(())
            }
            Err(RecordError::Device(error)) => Err(error),
            Err(RecordError::NoSuchRecord) => Ok(()),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Fills in the mailbox for an emergency write and arms it.
    pub fn panic(&self, oracle: &mut Oracle, place: u32) -> u64 {
        let context = self.crash_context(oracle, Reason::Panic, place);
        let mut writer = self.region.mailbox().write_crash().unwrap();
        writer.message(b"panic");
        writer.stack_at(0x8080_0000, 300);
        writer.stack(&[context.time as u8; 300]);
        writer.finish(&context);
        self.region.mailbox().arm();
        oracle.crashes.insert(context.time);
        context.time
    }
}

/// The emergency write, as the recorder does it when it is entered with an armed mailbox.
pub fn emergency(card: &Card, memory: &[Block]) -> (Result<(), emergency::Error<Fault>>, Outcome) {
    let region = Region::over(memory).unwrap();
    let (result, outcome) = emergency_with(&mut card.clone(), &region, &[]);
    region.mailbox().set_outcome(&outcome);
    region.mailbox().conclude(result.is_ok());
    (result, outcome)
}

/// The same on any device, with segments beside message and stack; it leaves the mailbox as it is.
pub fn emergency_with<D: PolledDevice>(
    device: &mut D,
    region: &Region<'_>,
    extra: &[Extra<'_>],
) -> (Result<(), emergency::Error<D::Error>>, Outcome) {
    let mut outcome = Outcome::default();
    let (crash, location) = (region.mailbox().crash(), region.location().load());
    let request = Request {
        region,
        crash: crash.as_ref(),
        location: location.as_ref(),
        partition: "crashlog",
        keep_first: KEEP_FIRST,
        card: &CARD,
        extra,
        scratch: region.scratch(),
    };
    let result = emergency::write(
        device,
        &request,
        &mut Ledger::ZERO.clone(),
        &mut outcome,
        |_, _| {},
    );
    (result, outcome)
}

/// What is on a card.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub log: Vec<(Key, Vec<u8>)>,
    pub damaged: Vec<u32>,
    pub damaged_segments: usize,
    /// By time of the crash: number of the record and repetitions.
    pub records: BTreeMap<u64, (u32, u32)>,
    pub oops: u32,
    pub panic: u32,
    pub next_page: u32,
    pub ring_pages: u32,
}

/// Reads everything on a card, by mounting it afresh.
pub fn content(card: &Card) -> Content {
    let scratch = blocks(16);
    let buffer = blocks(5);
    let mut store = mount(card, &scratch).unwrap();
    let mut content = Content {
        oops: store.counters().oops.get(),
        panic: store.counters().panic.get(),
        next_page: store.next_page(),
        ring_pages: store.geometry().ring_pages(),
        ..Content::default()
    };
    let mut reader = LogReader::new(&store, &buffer);
    while let Some(item) = now(reader.next(&mut store)).unwrap() {
        match item {
            LogItem::Record { record, .. } => {
                content
                    .log
                    .push(((record.boot, record.sequence), record.payload.to_vec()));
            }
            LogItem::Damaged { page, .. } => content.damaged.push(page),
        }
    }
    for index in 0..store.record_count() {
        let tally = store.tally(index).unwrap();
        let record = now(store.open_record(tally.sequence)).unwrap();
        for segment in 0..record.segments().len() {
            let whole = now(record.check(&mut store, segment)).unwrap();
            content.damaged_segments += usize::from(!whole);
        }
        content
            .records
            .insert(record.header.time.get(), (tally.sequence, tally.repeats));
    }
    content
}
