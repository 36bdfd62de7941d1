//! A simulated slot with its card and the drivers' memory, and the checks that hold for every
//! emergency.

use crate::setup::Setup;
use block_device::{Block, BlockDevice, PolledDevice};
use drv_mmc::emergency::{EmergencyCard, Phase, PhaseFailure, Settings};
use drv_mmc::found::{Drain, step};
use drv_mmc::normal::NormalCard;
use drv_mmc::{CardKind, CardLocation, EmergencyReport};
use drv_sdhci::normal::NormalController;
use drv_sdhci_sim::{Buffer, ClockFault, SimBoard, SimCardState, SimTime, Simulator};
use std::collections::BTreeMap;
use std::ops::Range;

/// The time of the emergency path: a short try, and the clock counts as dead after few polls, so
/// that a row ends soon.
pub const SETTINGS: Settings = Settings {
    first: CardKind::Emmc,
    try_ms: 1_200,
    polls_without_time: 1 << 18,
};

/// Time for what is written after a crash, milliseconds.
pub const AGAIN_MS: u32 = 600;

/// What the three phases may take together, milliseconds. A wait notices the end of its phase when
/// it next reads the clock, so each phase may take a little longer than its deadline.
const MOST_MS: u64 = SETTINGS.try_ms as u64 + 3 * 10;

/// Register accesses of an emergency in which nothing is broken, at most: the identification of a
/// card that needs a few milliseconds, and twelve blocks through the buffer port.
pub const MOST_ACCESSES_UNBROKEN: u64 = 60_000;

/// Register accesses of any emergency, at most, whatever is broken, the clock included: four times
/// `polls_without_time` in each of three phases, and the accesses that are not waits.
const MOST_ACCESSES: u64 = 3 * 4 * (SETTINGS.polls_without_time as u64) + 60_000;

/// First of the blocks that the normal path writes and reads.
pub const WORK: u32 = 1_000;

/// The blocks of a crash, as the recorder writes it: log tail, header and body, commit.
const CRASH_BLOCKS: [Range<u32>; 3] = [400..409, 500..502, 600..601];

/// Content of the normal path's buffer after the crash.
const CANARY: u32 = 0xDEAD_DEAD;

/// The driver of the normal path.
pub type SimNormalCard<'a> = NormalCard<'a, NormalController<'a, Simulator, SimBoard, SimTime>>;

/// The driver of the emergency path.
pub type SimEmergencyCard<'a> = EmergencyCard<'a, Simulator, SimBoard, SimTime>;

/// A slot with its card and the drivers' memory.
pub struct Slot {
    /// The hardware.
    pub sim: Simulator,
    /// Card, board and drivers.
    pub setup: Setup,
    table: Buffer,
    scratch: Buffer,
    /// Data of the emergency path.
    pub data: Buffer,
    /// Data of the normal path. After the crash DMA must not reach this buffer any more.
    pub normal_data: Buffer,
}

/// How an emergency ended.
pub struct Ended {
    /// Its result: `Ok` if the crash was reported durable. `None` if the path wrote nothing,
    /// because the card is another one.
    pub result: Option<Result<EmergencyReport, PhaseFailure>>,
    /// Its report.
    pub report: EmergencyReport,
    /// Register accesses.
    pub accesses: u64,
}

impl Slot {
    /// A slot with a new card. Each block that is checked afterwards holds its own number.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut card = setup.card();
        for block in (390..620).chain(WORK - 10..WORK + 30) {
            card.preset(block, &vec![block; 128]);
        }
        let sim = Simulator::new(card);
        for blocks in [1, 1, 12, 20] {
            let _ = sim.buffer(blocks);
        }
        Self::over(sim, setup)
    }

    /// The slot of a simulator that was forked from one of [`Slot::new`].
    #[must_use]
    pub fn over(sim: Simulator, setup: Setup) -> Self {
        let [table, scratch, data, normal_data] = [0, 1, 2, 3].map(|index| sim.buffer_at(index));
        Self {
            sim,
            setup,
            table,
            scratch,
            data,
            normal_data,
        }
    }

    fn board(&self) -> SimBoard {
        self.setup.board(&self.sim)
    }

    fn table(&self) -> Option<&Block> {
        self.setup.dma.then_some(&self.table[0])
    }

    /// The driver of the normal path.
    #[must_use]
    pub fn normal(&self) -> SimNormalCard<'_> {
        let host = NormalController::new(
            self.sim.clone(),
            self.board(),
            self.sim.time(),
            self.table(),
            4,
        );
        NormalCard::new(host, &self.scratch[0], CardKind::Emmc, self.setup.cache)
    }

    /// The driver of the emergency path.
    #[must_use]
    pub fn emergency(&self) -> SimEmergencyCard<'_> {
        let memory = (self.table(), &self.scratch[0]);
        let (sim, board, time) = (self.sim.clone(), self.board(), self.sim.time());
        EmergencyCard::new(sim, board, time, memory, SETTINGS)
    }

    /// Runs an emergency, and checks what has to hold for every one of them, whatever is broken.
    ///
    /// REQ: K6 (nothing is erased)
    ///
    /// # Panics
    /// If it does not hold.
    #[must_use]
    pub fn rescue(&self, location: &CardLocation, what: &str) -> Ended {
        for (number, block) in (0..).zip(self.data.iter()) {
            (0..128)
                .for_each(|word| block.set_word(word as usize, 0xC0FF_EE00 ^ number << 16 ^ word));
        }
        let before = self.contents();
        let sim = &self.sim;
        let _ = sim.commands();
        let (start, accesses) = (sim.now_us(), sim.accesses());
        let mut card = self.emergency();
        let result = match card.prepare(location) {
            Ok(report) if report.steps & step::OTHER_CARD != 0 => None,
            Ok(_) => {
                // The controller was reset, so no DMA of before may reach memory any more.
                self.normal_data.iter().for_each(|block| block.fill(CANARY));
                Some(self.write_crash(&mut card))
            }
            Err(failure) => Some(Err(failure)),
        };
        let report = card.report();
        let accesses = sim.accesses() - accesses;
        let ms = (sim.now_us() - start) / 1000;

        assert!(
            accesses <= MOST_ACCESSES,
            "{what}: {accesses} register accesses"
        );
        assert!(
            ms <= MOST_MS || sim.clock_fault() != ClockFault::None,
            "{what}: it took {ms} ms"
        );
        assert!(
            !sim.controller().signals_enabled(),
            "{what}: an interrupt is enabled"
        );
        let prepared = report.steps & step::PREPARED != 0;
        if prepared && result.is_some() {
            sim.pass_us(10_000);
            let is_untouched = |block: &Block| (0..128).all(|word| block.word(word) == CANARY);
            assert!(
                self.normal_data.iter().all(is_untouched),
                "{what}: DMA into a buffer of the crashed path"
            );
        }
        self.check_untouched(&before, what);
        match result {
            Some(Ok(_)) => {
                assert!(
                    self.has_crash(),
                    "{what}: the crash is not whole, {report:?}"
                );
                assert_eq!(sim.card().state(), SimCardState::Transfer, "{what}");
                assert_ne!(report.steps & step::COMPLETED, 0, "{what}");
            }
            Some(Err(failure)) => {
                assert_ne!(
                    report.last_error, 0,
                    "{what}: {failure:?} without an error in the report"
                );
                // If only the last phase has failed, everything had been flushed before.
                let durable = failure.phase == Phase::Complete && self.has_our_card();
                assert!(
                    !durable || self.has_crash(),
                    "{what}: the crash is not whole, {report:?}"
                );
            }
            None => {}
        }
        let erases = |(index, _): &(u8, u32)| matches!(index, 32..=38);
        assert!(
            !sim.commands().iter().any(erases),
            "{what}: a command to erase was sent"
        );
        let failed = report.drain == Drain::Failed as u8;
        assert_eq!(
            failed,
            !prepared && !is_other(&result),
            "{what}: {report:?}"
        );
        Ended {
            result,
            report,
            accesses,
        }
    }

    fn write_crash(
        &self,
        card: &mut SimEmergencyCard<'_>,
    ) -> Result<EmergencyReport, PhaseFailure> {
        let [tail, body, commit] = CRASH_BLOCKS;
        card.write(tail.start.into(), &self.data[..9])?;
        card.flush()?;
        card.write(body.start.into(), &self.data[9..11])?;
        card.flush()?;
        card.write_reliable(commit.start.into(), &self.data[11])?;
        card.flush()?;
        card.complete()
    }

    fn has_our_card(&self) -> bool {
        let has_card = self.sim.controller().has_card();
        has_card && self.sim.card().serial() == self.setup.card().serial()
    }

    fn has_crash(&self) -> bool {
        let card = self.sim.card();
        let places = CRASH_BLOCKS.into_iter().flatten();
        let is_there = |(block, place): (&Block, u32)| {
            let stored = card.block(place);
            (0..128).all(|word| block.word(word) == stored[word])
        };
        card.volatile_blocks() == 0 && self.data.iter().zip(places).all(is_there)
    }

    fn contents(&self) -> BTreeMap<u32, Vec<u32>> {
        let has_card = self.sim.controller().has_card();
        if has_card {
            self.sim.card().contents()
        } else {
            BTreeMap::new()
        }
    }

    /// Checks that no block has changed but those of the crash, and those that the normal path was
    /// writing.
    fn check_untouched(&self, before: &BTreeMap<u32, Vec<u32>>, what: &str) {
        for (block, words) in self.contents() {
            let ours = CRASH_BLOCKS.iter().any(|range| range.contains(&block));
            let work = (WORK..WORK + 20).contains(&block);
            let same = before.get(&block) == Some(&words);
            assert!(same || ours || work, "{what}: block {block} has changed");
        }
    }

    /// Checks that the normal path works again, after the faults were removed.
    ///
    /// # Panics
    /// If it does not.
    pub fn check_normal(&self, what: &str) {
        let sim = &self.sim;
        sim.no_faults();
        sim.set_clock_fault(ClockFault::None);
        let mut card = self.normal();
        sim.block_on(card.identify()).expect(what);
        for block in self.data.iter() {
            block.fill(0x5EED);
        }
        sim.block_on(card.write(WORK.into(), &self.data[..4]))
            .expect(what);
        sim.block_on(card.flush()).expect(what);
        sim.block_on(card.read(WORK.into(), &self.normal_data[..4]))
            .expect(what);
        let is_back = |block: &Block| block.word(0) == 0x5EED && block.word(127) == 0x5EED;
        assert!(
            self.normal_data[..4].iter().all(is_back),
            "{what}: what was read back differs"
        );
        assert_eq!(card.health().failures, 0, "{what}");
    }
}

fn is_other(result: &Option<Result<EmergencyReport, PhaseFailure>>) -> bool {
    match result {
        None => true,
        Some(Err(failure)) => failure.error == drv_mmc::Error::OtherCard,
        Some(Ok(_)) => false,
    }
}
