//! A recorder without its server: the store over the drivers over a simulated card.
//!
//! It mounts, appends and writes pages as the task `crashlog` does, and in an emergency it does
//! what that task's emergency entry does.

use crate::image::{Content, Image, OPTIONS, PARTITION, PARTITION_GUID};
use crate::setup::Setup;
use crate::slot::{AGAIN_MS, SETTINGS, SimEmergencyCard, SimNormalCard};
use block_device::{BLOCK_LEN, Block, BlockDevice, Window};
use crashlog_format::gpt::FoundPartition;
use crashlog_format::ledger::Ledger;
use crashlog_format::snapshot::{ExtentStatus, SnapshotKind, WordSum};
use crashlog_format::{
    CrashReason, EmergencyStep, LateReason, Level, Outcome, PartitionPlace, Stream,
};
use crashlog_retained::{
    CARD_LOCATION_LEN, CrashContext, Location, LogHeader, LogRing, MailboxState, MemoryRange,
    Region, RegisteredRegion, SavedMemory, SnapshotFacts, SnapshotPiece, SnapshotSource,
};
use crashlog_store::emergency::{self, EmergencyRequest, SnapshotRequest};
use crashlog_store::{CrashBody, MAX_RUN, SnapshotProgress, SnapshotStep, Store, find_partition};
use drv_mmc::emergency::EmergencyCard;
use drv_mmc::normal::NormalCard;
use drv_mmc::{CardKind, CardLocation, EmergencyReport};
use drv_sdhci::normal::NormalController;
use drv_sdhci_sim::{Buffer, Simulator};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use zerocopy::IntoBytes;

/// Log records: boot as on the card and number, payload.
pub type Accepted = BTreeMap<(u32, u32), Vec<u8>>;

/// Blocks of the dump area: room for a header, tables, and the memory of two tasks.
const DUMP: usize = 20;

/// A system: hardware, retained memory, and the log records that were accepted.
pub struct System {
    /// The hardware.
    pub sim: Simulator,
    setup: Setup,
    /// The retained region.
    memory: Buffer,
    /// The log records that were accepted.
    pub accepted: Rc<RefCell<Accepted>>,
}

/// The recorder on its normal path.
pub struct Recorder<'m> {
    region: Region<'m>,
    ring: LogRing<'m>,
    card: SimNormalCard<'m>,
    accepted: Rc<RefCell<Accepted>>,
}

/// Why a step of the normal path failed.
#[derive(Debug)]
pub struct Failed(#[allow(dead_code, reason = "shown when a test fails")] String);

impl System {
    /// A system with a new card that has an empty log, and with memory as after power-on.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut card = setup.card();
        for (block, words) in Image::formatted(setup.blocks().into()).content {
            card.preset(block, &words);
        }
        let sim = Simulator::new(card);
        let _ = sim.buffer(Region::len_with(128) / 512 + DUMP);
        Self::over(sim, setup, Rc::default())
    }

    /// The system of a simulator that was forked from one of [`System::new`].
    #[must_use]
    pub fn over(sim: Simulator, setup: Setup, accepted: Rc<RefCell<Accepted>>) -> Self {
        let memory = sim.buffer_at(0);
        Self {
            sim,
            setup,
            memory,
            accepted,
        }
    }

    /// A copy that is independent of this system.
    #[must_use]
    pub fn fork(&self) -> Self {
        let accepted = Rc::new(RefCell::new(self.accepted.borrow().clone()));
        Self::over(self.sim.fork(), self.setup, accepted)
    }

    fn region(&self) -> Region<'_> {
        Region::over(&self.memory).expect("a region is long enough")
    }

    /// The scratch blocks: for descriptors, for registers of the card, and the rest.
    fn scratch(&self) -> (&Block, &Block, &[Block]) {
        match self.region().scratch() {
            [table, card, _, store @ ..] => (table, card, store),
            _ => panic!("a region has scratch blocks"),
        }
    }

    /// The recorder of a new boot, before its first step.
    #[must_use]
    pub fn boot(&self) -> Recorder<'_> {
        let region = self.region();
        region.begin_boot();
        let (ring, _) = LogRing::recover(&region);
        let (table, scratch, _) = self.scratch();
        let board = self.setup.board(&self.sim);
        let table = self.setup.dma.then_some(table);
        let host = NormalController::new(self.sim.clone(), board, self.sim.time(), table, 4);
        Recorder {
            region,
            ring,
            card: NormalCard::new(host, scratch, CardKind::Emmc, self.setup.cache),
            accepted: Rc::clone(&self.accepted),
        }
    }

    /// Does what the supervisor does when a task crashes at `time`. The time identifies the crash.
    pub fn crash(&self, time: u64) {
        let region = self.region();
        let mut context =
            CrashContext::new(CrashReason::Panic, 5, "worker", &[0, 1, 4, 0, 0, 0, 0]);
        context.time = time;
        context.boot = region.boot();
        context.registers[15] = time as u32;
        let mut writer = region.mailbox().write_crash().expect("a mailbox");
        writer.message(b"panic");
        writer.stack_at(0x8080_0000, 300);
        writer.stack(&[time as u8; 300]);
        writer.finish(&context);
        region.mailbox().arm(1_000);
    }

    /// Does what the supervisor does when the crash is durable: makes an image of the system's
    /// memory.
    ///
    /// # Panics
    /// If there is no crash in the mailbox.
    pub fn make_image(&self) {
        let region = self.region();
        let crash = region.mailbox().crash().expect("a crash");
        let facts = SnapshotFacts {
            kind: SnapshotKind::System,
            boot: crash.context.boot,
            task: crash.context.task,
            current: 0,
            time: crash.context.time,
            image_id: 0,
            registers: [0; 17],
            deadline: u64::MAX,
        };
        let made = region.snapshot().write(&facts, 0..2, &mut InventedMemory);
        assert!(made, "no room for an image");
    }

    /// Does what the recorder's emergency entry does. Returns whether the crash was reported
    /// durable, and the driver's report.
    #[must_use]
    pub fn emergency(&self) -> (bool, EmergencyReport) {
        self.emergency_then(|_, _, _| ())
    }

    /// As [`System::emergency`]; then calls `durable`, and writes the snapshot. Returns whether it
    /// was reported durable.
    ///
    /// # Panics
    /// If the crash is not durable.
    #[must_use]
    pub fn emergency_and_snapshot(&self, durable: impl FnOnce()) -> bool {
        let mut written = false;
        let (saved, _) = self.emergency_then(|card, ledger, sequence| {
            durable();
            let region = self.region();
            let (crash, location) = (region.mailbox().crash(), region.location().load());
            let (_, _, store) = self.scratch();
            let request = SnapshotRequest {
                region: &region,
                crash: crash.as_ref().expect("a crash"),
                sequence,
                location: location.as_ref().expect("a location"),
                extra: &[],
                scratch: store,
            };
            card.write_again(AGAIN_MS);
            let result = emergency::write_snapshot(card, &request, ledger);
            written = result == Ok(true);
            if result.is_ok() {
                region.snapshot().clear();
            }
        });
        assert!(saved, "nothing is broken before the crash is durable");
        written
    }

    /// The emergency; calls `then` with the card, the ledger and the number of the crash if it is
    /// durable.
    fn emergency_then(
        &self,
        then: impl FnOnce(&mut SimEmergencyCard<'_>, &mut Ledger, u32),
    ) -> (bool, EmergencyReport) {
        let region = self.region();
        let (table, scratch, store) = self.scratch();
        let memory = (self.setup.dma.then_some(table), scratch);
        let board = self.setup.board(&self.sim);
        let mut card: SimEmergencyCard<'_> =
            EmergencyCard::new(self.sim.clone(), board, self.sim.time(), memory, SETTINGS);
        let mut outcome = Outcome::default();
        let mut ledger = Ledger::ZERO.clone();
        let mut known = CardLocation::default();
        let location = region.location().load();
        if let Some(location) = &location {
            let length = size_of::<CardLocation>();
            known
                .as_mut_bytes()
                .copy_from_slice(&location.card[..length]);
        }
        let saved = match card.prepare(&known) {
            Ok(_) => {
                let bytes = card_bytes(card.location());
                let crash = region.mailbox().crash();
                let request = EmergencyRequest {
                    region: &region,
                    crash: crash.as_ref(),
                    location: location.as_ref(),
                    partition: PARTITION,
                    keep_first: OPTIONS.keep_first,
                    card: &bytes,
                    extra: &[],
                    scratch: store,
                };
                let look = |_: &_, _: &mut _| {};
                let saved =
                    emergency::write(&mut card, &request, &mut ledger, &mut outcome, look).is_ok();
                let _ = card.complete();
                saved
            }
            Err(_) => false,
        };
        region.mailbox().set_outcome(&outcome);
        region.mailbox().conclude(saved);
        if saved {
            then(&mut card, &mut ledger, outcome.sequence.get());
        }
        (saved, card.report())
    }

    /// Whether the emergency has written the log tail, too, which comes after the crash.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        let outcome = self.region().mailbox().outcome();
        outcome.is_some_and(|outcome| outcome.finished(EmergencyStep::LogTail))
    }

    /// The content of the card.
    #[must_use]
    pub fn content(&self) -> Content {
        let image = Image {
            blocks: self.setup.blocks().into(),
            content: self.sim.card().contents(),
        };
        image.read_all()
    }

    /// Checks that the log records on the card are those that were accepted, and that every crash
    /// is whole.
    ///
    /// # Panics
    /// If it is not so.
    pub fn check_log(&self, content: &Content, what: &str) {
        assert_eq!(content.log, *self.accepted.borrow(), "{what}");
        assert_eq!(content.damaged, [], "{what}");
        assert!(
            content.crashes.values().all(|whole| *whole),
            "{what}: a crash is damaged"
        );
    }
}

impl Recorder<'_> {
    /// Identifies the card, finds the log, and notes its location in retained memory.
    ///
    /// # Errors
    /// What failed.
    pub async fn mount(&mut self) -> Result<(), Failed> {
        self.card.identify().await.map_err(failed)?;
        let location = card_bytes(self.card.location());
        let scratch = scratch(&self.region);
        let partition = find_partition(&mut self.card, PARTITION, scratch)
            .await
            .map_err(failed)?;
        let window = Window::new(
            &mut self.card,
            partition.place.first,
            partition.place.blocks,
        );
        let window = window.ok_or_else(|| Failed("partition".to_owned()))?;
        let mut store = Store::mount(window, &partition, OPTIONS, scratch)
            .await
            .map_err(failed)?;
        let region = &self.region;
        region.rebase(store.format(), store.last_boot(), self.ring.oldest_boot());
        let location = Location {
            first: partition.place.first,
            geometry: *store.geometry(),
            format: store.format(),
            keep_first: OPTIONS.keep_first,
            card: location,
        };
        region.location().store(&location, store.next_page());
        store.reconcile(&self.ring).await.map_err(failed)?;
        Ok(())
    }

    /// Accepts `count` records.
    pub fn append(&self, count: u32) {
        let boot = self.region.boot() + self.region.boot_offset();
        for _ in 0..count {
            let mut accepted = self.accepted.borrow_mut();
            let number = accepted.len();
            let mut payload = format!("{number:08}").into_bytes();
            payload.resize(8 + number * 37 % 240, b'.');
            let header = LogHeader {
                stream: Stream::Console,
                level: Level::Info,
                task: 3,
                lost: 0,
                time: number as u64,
            };
            let sequence = self
                .ring
                .append(&header, &payload)
                .expect("room in the ring");
            accepted.insert((boot, sequence), payload);
        }
    }

    /// Mounts, writes everything that was accepted, then the crash that an emergency has left in
    /// the mailbox, and its image. Accepts `append_between` more records at the end.
    ///
    /// # Errors
    /// What failed.
    pub async fn write(&mut self, append_between: u32) -> Result<(), Failed> {
        let region = self.region;
        let place = region
            .location()
            .load()
            .ok_or_else(|| Failed("location".to_owned()))?;
        let blocks = place.geometry.blocks().into();
        let found = FoundPartition {
            place: PartitionPlace {
                first: place.first,
                blocks,
                guid: PARTITION_GUID,
            },
            problem: None,
            from_backup: false,
        };
        let window = Window::new(&mut self.card, place.first, blocks);
        let window = window.ok_or_else(|| Failed("window".to_owned()))?;
        let mut store = Store::mount(window, &found, OPTIONS, scratch(&region))
            .await
            .map_err(failed)?;
        self.ring.close();
        while let Some(run) = self
            .ring
            .next_run(&store.numbering(region.boot_offset()), MAX_RUN)
        {
            store.write_pages(run.blocks).await.map_err(failed)?;
            region.location().set_next_page(store.next_page());
            self.ring.mark_durable(run.blocks.len(), |_, _| {});
        }
        let mailbox = region.mailbox();
        if mailbox.state() == MailboxState::Failed
            && let Some(stored) = mailbox.crash()
        {
            let body = CrashBody {
                stored: &stored,
                late: Some(LateReason::Failed),
                outcome: &mailbox.outcome().unwrap_or_default(),
                boot_offset: region.boot_offset(),
                log_record: 0,
                extra: &[],
            };
            store.write_crash(&body).await.map_err(failed)?;
        }
        mailbox.clear();
        let mut progress = SnapshotProgress::default();
        while region.snapshot().is_waiting() {
            let step = store.write_snapshot(&region, &mut progress).await;
            if step.map_err(failed)? != SnapshotStep::More {
                region.snapshot().clear();
            }
        }
        self.append(append_between);
        Ok(())
    }

    /// Suspends the card.
    ///
    /// # Errors
    /// What failed.
    pub async fn suspend(&mut self) -> Result<(), Failed> {
        self.card.suspend().await.map(|_| ()).map_err(failed)
    }

    /// Reads a block, which resumes a suspended card.
    ///
    /// # Errors
    /// What failed.
    pub async fn resume(&mut self) -> Result<(), Failed> {
        self.card
            .read(1, &scratch(&self.region)[..1])
            .await
            .map_err(failed)
    }
}

/// The memory of tasks: four KiB each, all of it data.
struct InventedMemory;

impl SnapshotSource for InventedMemory {
    fn now(&mut self) -> u64 {
        0
    }

    fn memory(&mut self, owner: u16, n: usize) -> Option<MemoryRange> {
        let base = 0x8000_0000 + 0x1_0000 * u32::from(owner);
        (n == 0).then_some(MemoryRange { base, size: 0x1000 })
    }

    fn task_entry(&mut self, _: u16) -> Option<MemoryRange> {
        None
    }

    fn region(&mut self, _: usize) -> Option<RegisteredRegion> {
        None
    }

    fn save(
        &mut self,
        piece: &SnapshotPiece,
        to: &[Block],
        offset: u32,
    ) -> Result<SavedMemory, ExtentStatus> {
        let mut sum = WordSum::new();
        for at in (0..piece.length).step_by(4) {
            let word = (piece.address + at).wrapping_mul(0x9E37_79B1);
            let to_at = (offset + at) as usize;
            to[to_at / BLOCK_LEN].set_word(to_at % BLOCK_LEN / 4, word);
            sum = sum.word(word);
        }
        Ok(SavedMemory {
            map: 0,
            stored: piece.length,
            sum: sum.value(),
        })
    }
}

fn scratch<'m>(region: &Region<'m>) -> &'m [Block] {
    region.scratch().get(3..).unwrap_or_default()
}

fn failed(error: impl core::fmt::Debug) -> Failed {
    Failed(format!("{error:?}"))
}

fn card_bytes(location: &CardLocation) -> [u8; CARD_LOCATION_LEN] {
    let mut bytes = [0; CARD_LOCATION_LEN];
    bytes[..size_of::<CardLocation>()].copy_from_slice(location.as_bytes());
    bytes
}
