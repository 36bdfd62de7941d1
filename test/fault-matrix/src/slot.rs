//! A controller with its card, the memory of the drivers, and what every emergency has to keep to.

use block_device::{Block, BlockDevice, PolledDevice};
use drv_mmc::emergency::{EmergencyCard, Phase, PhaseFailure, Settings};
use drv_mmc::found::{ControllerState, Drain, NO_ANSWER, NOT_ASKED, mode, step};
use drv_mmc::normal::{NormalCard, Suspended};
use drv_mmc::{CardKind, CardLocation, EmergencyReport};
use drv_sdhci::normal::NormalController;
use drv_sdhci_sim::{
    Buffer, ClockFault, ControllerActivity, Model, SimBoard, SimCard, SimCardState, SimTime,
    Simulator,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The limits of an emergency here: those of the recorder, with less patience for a dead clock, to save time.
pub const SETTINGS: Settings = Settings {
    first: CardKind::Emmc,
    prepare_ms: 400,
    write_ms: 600,
    complete_ms: 200,
    polls_without_time: 1 << 18,
};

/// Milliseconds that the three phases may take together. Each is over when a wait notices it, a look at the clock late.
const MOST_MS: u64 = 1_200 + 3 * 10;

/// Register accesses of an emergency in which nothing is broken: identification by a card that needs a few
/// milliseconds, twelve blocks through the buffer port.
pub const MOST_ACCESSES_UNBROKEN: u64 = 60_000;

/// Register accesses at most, whatever is broken, the clock included: four times the limit in each of three phases, and
/// what is done without waiting.
const MOST_ACCESSES: u64 = 3 * 4 * (SETTINGS.polls_without_time as u64) + 60_000;

/// Blocks that normal operation writes and reads.
pub const WORK: u32 = 1_000;

/// Blocks of a record, as the recorder writes it: log tail, header and body, commit.
const RECORD: [Range<u32>; 3] = [400..409, 500..502, 600..601];

/// What the dead buffer is filled with.
const DEAD: u32 = 0xDEAD_DEAD;

/// The driver of normal operation.
pub type SimNormalCard<'a> = NormalCard<'a, NormalController<'a, Simulator, SimBoard, SimTime>>;

/// The driver of the emergency.
pub type SimEmergencyCard<'a> = EmergencyCard<'a, Simulator, SimBoard, SimTime>;

/// What distinguishes one system from another.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// CardKind of card.
    pub model: Model,
    /// Normal operation and emergency move data by ADMA2.
    pub dma: bool,
    /// The deepest rest that the board allows.
    pub rest: Suspended,
    /// The card's cache is used.
    pub cache: bool,
    /// The slot has a card detect signal.
    pub card_detect: bool,
    /// The card (eMMC) has high-priority interrupt, by CMD12 (`true`) or CMD13.
    pub interrupt: Option<bool>,
}

/// A slot with its card and the drivers' memory.
pub struct Slot {
    /// The hardware.
    pub sim: Simulator,
    /// What it is like.
    pub setup: Setup,
    table: Buffer,
    scratch: Buffer,
    /// Data of the emergency.
    pub data: Buffer,
    /// Data of normal operation: the buffer that is dead when it has crashed.
    pub dead: Buffer,
}

/// How an emergency went.
pub struct Ended {
    /// Its result: what was found, if the record was reported durable. `None` if it was not begun, because the card is
    /// another one.
    pub result: Option<Result<EmergencyReport, PhaseFailure>>,
    /// Its report.
    pub found: EmergencyReport,
    /// Register accesses.
    pub accesses: u64,
}

impl Setup {
    /// Capacity, blocks.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        match self.model {
            Model::EmmcByte | Model::SdStandard => 128 * 1024,
            // The limit of what a byte address can reach.
            Model::EmmcSector => 8 * 1024 * 1024,
            Model::SdVersion1 => 64 * 1024,
            Model::SdHighCapacity => 16 * 1024 * 1024,
        }
    }

    /// A new card, with everything that an eMMC can have.
    #[must_use]
    pub fn card(&self) -> SimCard {
        let card = SimCard::new(self.model, self.blocks()).with_sleep();
        let card = match self.interrupt {
            Some(by_cmd12) => card.with_interrupt(by_cmd12),
            None => card,
        };
        if self.cache {
            card.with_cache(64)
        } else {
            card
        }
    }
}

impl Setup {
    /// The board.
    #[must_use]
    pub fn board(&self, sim: &Simulator) -> SimBoard {
        let board = sim.board(8);
        let board = match self.rest {
            Suspended::ClockOff => board,
            Suspended::Asleep => board.with_sleep(),
            Suspended::PowerOff => board.with_power_cut(),
        };
        if self.card_detect {
            board
        } else {
            board.without_card_detect()
        }
    }
}

impl Slot {
    /// A slot with a new card, full of numbers.
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

    /// The slot of a fork.
    #[must_use]
    pub fn over(sim: Simulator, setup: Setup) -> Self {
        let [table, scratch, data, dead] = [0, 1, 2, 3].map(|index| sim.buffer_at(index));
        Self {
            sim,
            setup,
            table,
            scratch,
            data,
            dead,
        }
    }

    fn board(&self) -> SimBoard {
        self.setup.board(&self.sim)
    }

    fn table(&self) -> Option<&Block> {
        self.setup.dma.then_some(&self.table[0])
    }

    /// The driver of normal operation.
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

    /// The driver of the emergency.
    #[must_use]
    pub fn emergency(&self) -> SimEmergencyCard<'_> {
        let memory = (self.table(), &self.scratch[0]);
        let (sim, board, ticks) = (self.sim.clone(), self.board(), self.sim.time());
        EmergencyCard::new(sim, board, ticks, memory, SETTINGS)
    }

    /// Runs an emergency and checks what holds for every one of them, whatever is broken.
    ///
    /// REQ: K6 (nothing is erased)
    ///
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
            Ok(found) if found.steps & step::OTHER_CARD != 0 => None,
            Ok(_) => {
                // Nothing of before may reach memory now that the controller was reset.
                self.dead.iter().for_each(|block| block.fill(DEAD));
                Some(self.write_record(&mut card))
            }
            Err(failure) => Some(Err(failure)),
        };
        let found = card.report();
        let accesses = sim.accesses() - accesses;
        let ms = (sim.now_us() - start) / 1000;

        assert!(
            accesses <= MOST_ACCESSES,
            "{what}: {accesses} register accesses"
        );
        assert!(
            ms <= MOST_MS || sim.clock_fault() != ClockFault::None,
            "{what}: took {ms} ms"
        );
        assert!(
            !sim.controller().signals_enabled(),
            "{what}: an interrupt is enabled"
        );
        let prepared = found.steps & step::PREPARED != 0;
        if prepared && result.is_some() {
            sim.pass_us(10_000);
            let is_dead = |block: &Block| (0..128).all(|word| block.word(word) == DEAD);
            assert!(
                self.dead.iter().all(is_dead),
                "{what}: DMA into a dead buffer"
            );
        }
        self.check_untouched(&before, what);
        match result {
            Some(Ok(_)) => {
                assert!(self.has_record(), "{what}: no whole record, {found:?}");
                assert_eq!(sim.card().state(), SimCardState::Transfer, "{what}");
                assert_ne!(found.steps & step::COMPLETED, 0, "{what}");
            }
            Some(Err(failure)) => {
                assert_ne!(found.last_error, 0, "{what}: {failure:?} without a word");
                // Whatever is wrong with the card's last word, everything had been flushed before.
                let durable = failure.phase == Phase::Complete && self.has_our_card();
                assert!(
                    !durable || self.has_record(),
                    "{what}: no whole record, {found:?}"
                );
            }
            None => {}
        }
        let erases = |(index, _): &(u8, u32)| matches!(index, 32..=38);
        assert!(!sim.commands().iter().any(erases), "{what}: it erases");
        let failed = found.drain == Drain::Failed as u8;
        assert_eq!(failed, !prepared && !is_other(&result), "{what}: {found:?}");
        Ended {
            result,
            found,
            accesses,
        }
    }

    fn write_record(
        &self,
        card: &mut SimEmergencyCard<'_>,
    ) -> Result<EmergencyReport, PhaseFailure> {
        let [tail, body, commit] = RECORD;
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

    fn has_record(&self) -> bool {
        let card = self.sim.card();
        let places = RECORD.into_iter().flatten();
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

    /// No block has changed but those of the record, and those that normal operation was writing.
    fn check_untouched(&self, before: &BTreeMap<u32, Vec<u32>>, what: &str) {
        for (block, words) in self.contents() {
            let ours = RECORD.iter().any(|range| range.contains(&block));
            let work = (WORK..WORK + 20).contains(&block);
            let same = before.get(&block) == Some(&words);
            assert!(same || ours || work, "{what}: block {block} has changed");
        }
    }

    /// Normal operation works again.
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
        sim.block_on(card.read(WORK.into(), &self.dead[..4]))
            .expect(what);
        let is_back = |block: &Block| block.word(0) == 0x5EED && block.word(127) == 0x5EED;
        assert!(self.dead[..4].iter().all(is_back), "{what}: read back");
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

/// What the report must say of the state that the emergency found.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    activity: ControllerActivity,
    state: Option<SimCardState>,
}

impl Truth {
    /// What there is to be found now.
    #[must_use]
    pub fn of(sim: &Simulator) -> Self {
        let activity = sim.controller().activity();
        let has_card = sim.controller().has_card();
        let state = has_card.then(|| sim.card().state());
        Self { activity, state }
    }

    /// Whether a report names the controller's state.
    #[must_use]
    pub fn names_controller(&self, found: &EmergencyReport) -> bool {
        let any = |states: &[ControllerState]| {
            states.iter().any(|state| *state as u8 == found.controller)
        };
        match self.activity {
            ControllerActivity::Resetting => any(&[ControllerState::Resetting]),
            ControllerActivity::NoCard => any(&[ControllerState::NoCard]),
            ControllerActivity::NoPower => {
                any(&[ControllerState::PowerOff, ControllerState::NeverInitialised])
            }
            ControllerActivity::NoClock => any(&[ControllerState::ClockOff]),
            ControllerActivity::Command => any(&[ControllerState::Command]),
            ControllerActivity::Busy => any(&[ControllerState::Busy]),
            ControllerActivity::Idle => any(&[
                ControllerState::Idle,
                ControllerState::StaleStatus,
                ControllerState::Identifying,
            ]),
            ControllerActivity::Data {
                read,
                multiple,
                dma,
                left,
            } => {
                let kind = if read {
                    ControllerState::Reading
                } else {
                    ControllerState::Writing
                };
                let has = |bit: u8| found.mode & bit != 0;
                any(&[kind])
                    && has(mode::READ) == read
                    && has(mode::MULTIPLE) == multiple
                    && has(mode::DMA) == dma
                    && found.blocks_left == left
            }
        }
    }

    /// Whether a report names the card's state.
    #[must_use]
    pub fn names_card(&self, found: &EmergencyReport) -> bool {
        let Some(state) = self
            .state
            .filter(|_| self.activity != ControllerActivity::NoPower)
        else {
            return matches!(found.card_state, NO_ANSWER | NOT_ASKED);
        };
        match state {
            SimCardState::Idle | SimCardState::Ready | SimCardState::Ident | SimCardState::Mute => {
                found.card_state == NO_ANSWER
            }
            // In the middle of falling asleep it answers nothing.
            SimCardState::Sleep => matches!(found.card_state, NO_ANSWER | 10),
            state => found.card_state == state as u8,
        }
    }
}
