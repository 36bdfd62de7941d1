//! A small recorder: uses the store as the server does, and tells the oracle.

use super::card::{CardFailure, TestCard};
pub use super::oracle::{Key, Oracle};
use crate::emergency::{self, EmergencyRequest};
use crate::*;
use block_device::{Block, PolledDevice, Window, WindowError, now_or_never};
use crashlog_format::gpt::{FoundPartition, Guid};
use crashlog_format::ledger::Ledger;
use crashlog_format::{CrashReason, FormatId, LateReason, Level, Outcome, PartitionPlace, Stream};
use crashlog_retained::{
    AppendError, CrashContext, Location, LogHeader, LogRing, MailboxState, Region, StoredContext,
};
use std::collections::BTreeMap;

pub type TestPartition = Window<TestCard>;
pub type Failed = WindowError<CardFailure>;

pub const KEEP_FIRST: u32 = 2;
pub const OPTIONS: StoreOptions = StoreOptions {
    keep_first: KEEP_FIRST,
};
/// What the card driver would want to keep.
pub const CARD: [u8; 64] = [7; 64];

/// Runs a future that is ready at once, as the simulated card is.
pub fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("a simulated card is always ready")
}

pub fn blocks(count: usize) -> Vec<Block> {
    (0..count).map(|_| Block::zeroed()).collect()
}

/// Memory for a retained region with a log ring of 128 pages.
pub fn retained_memory() -> Vec<Block> {
    blocks(Region::len_with(128) / 512)
}

/// The first boot in `memory`, and its empty log ring.
pub fn cold_boot(memory: &[Block]) -> (Region<'_>, LogRing<'_>) {
    let region = Region::over(memory).unwrap();
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    (region, ring)
}

/// The header of a line that a client logs.
pub fn line(time: u64) -> LogHeader {
    LogHeader {
        stream: Stream::Console,
        level: Level::Info,
        task: 3,
        lost: 0,
        time,
    }
}

/// A panic of a client, which differs from others by its place, arms the mailbox.
pub fn arm_panic(region: &Region<'_>, time: u64, place: u32) {
    let mut context = CrashContext::new(CrashReason::Panic, 5, "worker", &[0, 1, 4, 0, 0, 0, 0]);
    (context.time, context.boot) = (time, region.boot());
    context.registers[15] = place;
    region.mailbox().write_crash().unwrap().finish(&context);
    region.mailbox().arm(1_000);
}

/// The partition table of every medium.
const TABLE: TableOptions<'static> = TableOptions {
    name: "crashlog",
    disk: Guid::new(1),
    partition: Guid::new(2),
};

/// Makes the table and an empty log on a medium. Returns the place of the log.
pub fn format_medium(medium: &mut impl PolledDevice) -> PartitionPlace {
    let made = now(write_table(&mut Polled(&mut *medium), &TABLE)).unwrap();
    let options = FormatOptions {
        format: FormatId::new(0xF0),
        slots: None,
        slot_blocks: None,
        place: made,
    };
    let mut partition = Window::new(Polled(medium), made.first, made.blocks).unwrap();
    now(format_partition(&mut partition, &options)).unwrap();
    made
}

/// A card with a partition of `blocks` blocks.
pub fn card(blocks: u64, slots: u32, slot_blocks: u32) -> TestCard {
    let mut card = TestCard::new(2048 + blocks + 33);
    let partition = now(write_table(&mut card, &TABLE)).unwrap();
    assert_eq!(partition, place(blocks));
    let options = FormatOptions {
        format: FormatId::new(0xF0),
        slots: Some(slots),
        slot_blocks: Some(slot_blocks),
        place: partition,
    };
    now(format_partition(&mut window(&card), &options)).unwrap();
    card.take_counts();
    card
}

/// A small card: 128 pages of stream, 4 slots.
pub fn small_card() -> TestCard {
    card(192, 4, 8)
}

pub fn window(card: &TestCard) -> TestPartition {
    let found = table_entry(card).place;
    Window::new(card.clone(), found.first, found.blocks).unwrap()
}

fn place(blocks: u64) -> PartitionPlace {
    PartitionPlace {
        first: 2048,
        blocks,
        guid: TABLE.partition,
    }
}

/// What the table of a card that [`card`] has made says.
pub fn table_entry(card: &TestCard) -> FoundPartition {
    let blocks = block_device::PolledDevice::block_count(card) - 2048 - 33;
    FoundPartition {
        place: place(blocks / 8 * 8),
        problem: None,
        from_backup: false,
    }
}

/// Finds and mounts.
pub fn mount<'s>(
    card: &TestCard,
    scratch: &'s [Block],
) -> Result<Store<'s, TestPartition>, String> {
    let mut device = card.clone();
    let partition = now(find_partition(&mut device, "crashlog", scratch))
        .map_err(|error| format!("{error:?}"))?;
    let place = partition.place;
    let there = card.block_count().saturating_sub(place.first);
    let window = Window::new(device, place.first, place.blocks.min(there)).unwrap();
    now(Store::mount(window, &partition, OPTIONS, scratch)).map_err(|error| format!("{error:?}"))
}

/// One boot of a recorder.
pub struct TestRecorder<'m> {
    pub region: Region<'m>,
    pub ring: LogRing<'m>,
    pub store: Store<'m, TestPartition>,
}

impl<'m> TestRecorder<'m> {
    /// Starts the recorder, in a new boot or in the same one.
    pub fn start(card: &TestCard, memory: &'m [Block], new_boot: bool) -> Result<Self, Failed> {
        let region = Region::over(memory).unwrap();
        if new_boot {
            region.begin_boot();
        }
        let (ring, _) = LogRing::recover(&region);
        let scratch = region.scratch();
        let store = match now(Store::mount(
            window(card),
            &table_entry(card),
            OPTIONS,
            scratch,
        )) {
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

    /// Appends a log record; its length varies.
    pub fn append(&self, oracle: &mut Oracle) -> Result<u32, AppendError> {
        oracle.clock += 1;
        let mut payload = format!("{:08}", oracle.clock).into_bytes();
        payload.resize(8 + (oracle.clock as usize * 37) % 240, b'.');
        let sequence = self.ring.append(&line(oracle.clock), &payload)?;
        oracle.accepted.insert((self.boot(), sequence), payload);
        oracle.waiting.insert((self.boot(), sequence));
        Ok(sequence)
    }

    /// Writes all log records that were accepted.
    pub fn flush(&mut self, oracle: &mut Oracle) -> Result<(), Failed> {
        self.ring.close();
        while let Some(run) = self
            .ring
            .next_run(&self.store.numbering(self.region.boot_offset()), MAX_RUN)
        {
            oracle.place(run.blocks, run.first_page, self.store.format());
            match now(self.store.write_pages(run.blocks)) {
                Ok(()) => {}
                Err(PageWriteError::Device(error)) => return Err(error),
                Err(error) => panic!("{error:?}"),
            }
            self.region.location().set_next_page(self.store.next_page());
            self.ring.mark_durable(run.blocks.len(), |_, _| {});
        }
        oracle.all_durable();
        Ok(())
    }

    /// The context of a crash; crashes with the same `place` are repetitions of each other.
    fn crash_context(&self, oracle: &mut Oracle, reason: CrashReason, place: u32) -> CrashContext {
        oracle.clock += 1;
        let mut context = CrashContext::new(reason, 5, "worker", &[0, 1, 4, 0, 0, 0, 0]);
        context.time = oracle.clock;
        context.boot = self.region.boot();
        context.registers[15] = place;
        context
    }

    /// Describes the crash of a single task; it waits in the mailbox.
    pub fn describe_oops(&mut self, oracle: &mut Oracle, place: u32) -> CrashContext {
        let context = self.crash_context(oracle, CrashReason::Oops, place);
        let mut writer = self.region.mailbox().write_oops(3).unwrap();
        writer.message(b"oops");
        writer.stack_at(0x8080_0000, 64);
        writer.stack(&[context.time as u8; 64]);
        writer.finish(&context);
        oracle.crashes.insert(context.time);
        context
    }

    /// Writes the crash of a single task.
    pub fn oops(&mut self, oracle: &mut Oracle, place: u32) -> Result<u32, Failed> {
        self.describe_oops(oracle, place);
        self.write_oopses(oracle).map(Option::unwrap)
    }

    /// Writes the oopses that wait in the mailbox. Returns the sequence number of the last one.
    pub fn write_oopses(&mut self, oracle: &mut Oracle) -> Result<Option<u32>, Failed> {
        let mut last = None;
        while let Some(oops) = self.region.mailbox().oops() {
            last = Some(self.write(&oops.stored, None, oracle)?);
            oops.clear();
        }
        Ok(last)
    }

    /// Writes the crash that an emergency write has left in the mailbox, marked as late, and
    /// empties the mailbox.
    pub fn write_late(&mut self, oracle: &mut Oracle) -> Result<Option<u32>, Failed> {
        let mailbox = self.region.mailbox();
        let late = match mailbox.state() {
            MailboxState::Empty | MailboxState::Done => None,
            MailboxState::Armed | MailboxState::ArmedMinimal => Some(LateReason::Interrupted),
            MailboxState::Failed => Some(LateReason::Failed),
            MailboxState::Noted => Some(LateReason::Supervisor),
        };
        let number = match (late, mailbox.crash()) {
            (Some(late), Some(crash)) => Some(self.write(&crash, Some(late), oracle)?),
            _ => None,
        };
        mailbox.clear();
        Ok(self.write_oopses(oracle)?.or(number))
    }

    fn write(
        &mut self,
        stored: &StoredContext<'_>,
        late: Option<LateReason>,
        oracle: &mut Oracle,
    ) -> Result<u32, Failed> {
        let body = CrashBody {
            stored,
            late,
            outcome: &self.region.mailbox().outcome().unwrap_or_default(),
            boot_offset: self.region.boot_offset(),
            log_record: self.ring.accepted(),
            extra: &[],
        };
        match now(self.store.write_crash(&body)) {
            Ok(sequence) => {
                oracle.durable_crashes.insert(stored.context.time, sequence);
                Ok(sequence)
            }
            Err(CrashWriteError::Device(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Erases a crash.
    pub fn erase(&mut self, oracle: &mut Oracle, number: u32) -> Result<(), Failed> {
        oracle.erasing.insert(number);
        match now(self.store.erase(number)) {
            Ok(()) => {
                oracle.erased.insert(number);
                Ok(())
            }
            Err(CrashWriteError::Device(error)) => Err(error),
            Err(CrashWriteError::NoSuchCrash) => Ok(()),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Writes a crash of the system into the mailbox and arms it. Returns its time.
    pub fn panic(&self, oracle: &mut Oracle, place: u32) -> u64 {
        let context = self.crash_context(oracle, CrashReason::Panic, place);
        let mut writer = self.region.mailbox().write_crash().unwrap();
        writer.message(b"panic");
        writer.stack_at(0x8080_0000, 300);
        writer.stack(&[context.time as u8; 300]);
        writer.finish(&context);
        self.region.mailbox().arm(1_000);
        oracle.crashes.insert(context.time);
        context.time
    }
}

/// The emergency write, as the recorder does it when it finds the mailbox armed.
pub fn emergency(
    card: &TestCard,
    memory: &[Block],
) -> (Result<(), emergency::Error<CardFailure>>, Outcome) {
    let region = Region::over(memory).unwrap();
    let (result, outcome) = emergency_with(&mut card.clone(), &region, &[]);
    region.mailbox().set_outcome(&outcome);
    region.mailbox().conclude(result.is_ok());
    (result, outcome)
}

/// The same on any device, with segments beside message and stack. It does not change the state of
/// the mailbox.
pub fn emergency_with<D: PolledDevice>(
    device: &mut D,
    region: &Region<'_>,
    extra: &[ExtraSegment<'_>],
) -> (Result<(), emergency::Error<D::Error>>, Outcome) {
    let mut outcome = Outcome::default();
    let (crash, location) = (region.mailbox().crash(), region.location().load());
    let request = EmergencyRequest {
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
    /// By time of the crash: sequence number and repetitions.
    pub crashes: BTreeMap<u64, (u32, u32)>,
    pub oops: u32,
    pub panic: u32,
    pub next_page: u32,
    pub ring_pages: u32,
    pub slots: u32,
}

/// Mounts a card and reads everything on it.
pub fn content(card: &TestCard) -> Content {
    let scratch = blocks(16);
    let buffer = blocks(5);
    let mut store = mount(card, &scratch).unwrap();
    let mut content = Content {
        oops: store.counters().oops.get(),
        panic: store.counters().panic.get(),
        next_page: store.next_page(),
        ring_pages: store.geometry().ring_pages(),
        slots: store.geometry().slots(),
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
    for index in 0..store.crash_count() {
        let tally = store.tally(index).unwrap();
        let crash = now(store.open_crash(tally.sequence)).unwrap();
        for segment in 0..crash.segments().len() {
            let whole = now(crash.check(&mut store, segment)).unwrap();
            content.damaged_segments += usize::from(!whole);
        }
        content
            .crashes
            .insert(crash.header.time.get(), (tally.sequence, tally.repeats));
    }
    content
}
