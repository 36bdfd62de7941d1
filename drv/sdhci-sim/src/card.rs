//! The simulated card: states, commands, memory.

mod command;
mod habits;
mod identity;
mod transfer;

pub use habits::Habits;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Kinds of cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// eMMC up to 2 GiB, addressed by byte.
    EmmcByte,
    /// eMMC above 2 GiB, addressed by sector.
    EmmcSector,
    /// SD card of version 1, which does not know CMD8.
    SdVersion1,
    /// SD card of version 2, standard capacity.
    SdStandard,
    /// SD card of version 2, high capacity.
    SdHighCapacity,
}

/// States of a card. The numbers are those of CURRENT_STATE (SD 4.10.1, JESD84-B51 6.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SimCardState {
    /// idle
    Idle = 0,
    /// ready
    Ready = 1,
    /// ident
    Ident = 2,
    /// stby
    Standby = 3,
    /// tran
    Transfer = 4,
    /// data
    Sending = 5,
    /// rcv
    Receiving = 6,
    /// prg
    Programming = 7,
    /// dis
    Disconnected = 8,
    /// slp
    Sleep = 10,
    /// Does not answer until its power has been off: inactive, or hung.
    Mute = 15,
}

/// Where the blocks of a transfer come from, or go to.
#[derive(Clone, Debug)]
enum TransferSource {
    /// The card's memory, from this block on.
    Memory(u32),
    /// A register.
    Register(Vec<u32>),
}

/// A transfer in progress.
#[derive(Clone, Debug)]
struct CardTransfer {
    source: TransferSource,
    /// Blocks until it ends by itself; `None` if it is open-ended.
    left: Option<u32>,
    reliable: bool,
}

/// A response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CardResponse {
    /// 48 bits: its 32 bits of content.
    Short(u32),
    /// 136 bits, as a controller presents them.
    Long([u32; 4]),
}

/// How the card reacts to a command.
pub(crate) struct CardReply {
    pub(crate) response: Option<CardResponse>,
    /// A data phase follows.
    pub(crate) data: bool,
}

/// A simulated card.
#[derive(Clone, Debug)]
pub struct SimCard {
    model: Model,
    serial: u32,
    blocks: u32,
    state: SimCardState,
    rca: u16,
    /// Error bits for the next R1.
    errors: u32,
    application: bool,
    power_up_asked: u32,
    /// When the card was first asked to power up.
    power_up_since: Option<u64>,
    /// No command has reached it since it was powered.
    fresh: bool,
    /// It has lost its state, and the host cannot know.
    forgotten: bool,
    /// The voltage on the bus, as bits of the operating conditions register.
    supplied: u32,
    /// The state of its habits.
    mood: habits::Mood,
    block_len: u32,
    announced: Option<u32>,
    transfer: Option<CardTransfer>,
    busy_until: u64,
    next_busy: Option<u64>,
    /// The next block is not programmed; its error is reported when programming has ended.
    unprogrammed: bool,
    /// Error bits that are set when programming has ended.
    late_error: u32,
    /// CMD5 has come, and the card is about to leave its sleep state.
    waking: bool,
    lines: u8,
    high_speed: bool,
    ext_csd: Vec<u8>,
    /// Bits 13:12 of the CSD.
    csd_protection: u8,
    memory: BTreeMap<u32, Vec<u32>>,
    /// Blocks that are only in the cache.
    cached: BTreeMap<u32, Vec<u32>>,
    /// Blocks that have ever been written by reliable write.
    reliable: BTreeSet<u32>,
    last_written: Option<u32>,

    /// How often the card says that its power-up has not finished.
    pub power_up_polls: u32,
    /// What it does that not every card does.
    pub habits: Habits,
    /// Programming time of a block, microseconds.
    pub program_us: u64,
    /// Blocks that cannot be written.
    pub protected: Option<Range<u32>>,
    /// The voltages in its operating conditions register.
    pub voltages: u32,
    /// Data lines that work; a wider bus gives CRC errors.
    pub working_lines: u8,
    /// High-speed timing works; otherwise it gives CRC errors.
    pub high_speed_works: bool,
    /// Dual data rate works; otherwise it gives CRC errors.
    pub dual_rate_works: bool,
    /// A high-priority interrupt ends programming.
    pub interrupt_works: bool,
    /// Time of falling asleep, and of waking, microseconds.
    pub sleep_us: u64,
    /// CMD5 wakes the card.
    pub wakes: bool,
    /// How often its power was cut without the notification that the host had announced.
    pub sudden_power_cuts: u32,
}

impl SimCard {
    /// A card of `blocks` blocks: a multiple of 1024, or up to 2 GiB a multiple of 512.
    #[must_use]
    pub fn new(model: Model, blocks: u32) -> Self {
        let mut card = Self {
            model,
            serial: 0x1234_5678,
            blocks,
            state: SimCardState::Idle,
            rca: 0,
            errors: 0,
            application: false,
            power_up_asked: 0,
            power_up_since: None,
            fresh: true,
            forgotten: false,
            supplied: 0,
            mood: habits::Mood::default(),
            block_len: 512,
            announced: None,
            transfer: None,
            busy_until: 0,
            next_busy: None,
            unprogrammed: false,
            late_error: 0,
            waking: false,
            lines: 1,
            high_speed: false,
            ext_csd: identity::ext_csd(blocks),
            csd_protection: 0,
            memory: BTreeMap::new(),
            cached: BTreeMap::new(),
            reliable: BTreeSet::new(),
            last_written: None,
            power_up_polls: 3,
            habits: Habits::default(),
            program_us: 200,
            protected: None,
            voltages: 0x00FF_8000,
            working_lines: 8,
            high_speed_works: true,
            dual_rate_works: true,
            interrupt_works: true,
            sleep_us: 800,
            wakes: true,
            sudden_power_cuts: 0,
        };
        card.power_on();
        card
    }

    /// The same with another serial number, so that it is another card.
    #[must_use]
    pub fn with_serial(mut self, serial: u32) -> Self {
        self.serial = serial;
        self
    }

    /// An empty card of the same model with another serial number, as when it was just inserted.
    #[must_use]
    pub fn another(&self, serial: u32) -> Self {
        let mut other = Self::new(self.model, self.blocks).with_serial(serial);
        other.ext_csd.clone_from(&self.ext_csd);
        other.go_idle();
        other
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// With a volatile cache of so many KiB.
    #[must_use]
    pub fn with_cache(mut self, kib: u16) -> Self {
        self.ext_csd[249..251].copy_from_slice(&kib.to_le_bytes());
        self
    }

    /// With high-priority interrupt, by CMD12 or by CMD13.
    #[must_use]
    pub fn with_interrupt(mut self, by_cmd12: bool) -> Self {
        self.ext_csd[503] = if by_cmd12 { 3 } else { 1 };
        self
    }

    /// With a sleep state.
    #[must_use]
    pub fn with_sleep(self) -> Self {
        self.with_ext_csd(217, 0x11)
    }

    /// With one byte of EXT_CSD changed.
    #[must_use]
    pub fn with_ext_csd(mut self, index: usize, value: u8) -> Self {
        self.ext_csd[index] = value;
        self
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> SimCardState {
        self.state
    }

    /// Puts it into a state, for a test that begins there.
    pub fn set_state(&mut self, state: SimCardState) {
        self.state = state;
        self.fresh = false;
        self.transfer = None;
        match state {
            SimCardState::Idle => self.forget(),
            SimCardState::Sending | SimCardState::Receiving => {
                self.transfer = Some(CardTransfer {
                    source: TransferSource::Memory(0),
                    left: None,
                    reliable: false,
                });
            }
            SimCardState::Programming | SimCardState::Disconnected => self.busy_until = u64::MAX,
            SimCardState::Sleep => self.busy_until = 0,
            _ => {}
        }
    }

    /// The length that CMD16 has set, bytes.
    #[must_use]
    pub fn block_len(&self) -> u32 {
        self.block_len
    }

    /// Sets another block length, as other software may have left it.
    pub fn set_block_len(&mut self, bytes: u32) {
        self.block_len = bytes;
    }

    /// Bytes in a block of data: the length that CMD16 has set, or 512 if the card is addressed by
    /// sector (SD 4.3.2, eMMC 6.6.6).
    fn bytes_of_block(&self) -> u32 {
        if self.by_sector() {
            512
        } else {
            self.block_len
        }
    }

    /// Sets when programming ends, if it is in progress; `u64::MAX` is never.
    pub fn set_busy_until(&mut self, us: u64) {
        self.busy_until = us;
    }

    /// A block as it would be read.
    #[must_use]
    pub fn block(&self, number: u32) -> Vec<u32> {
        let stored = self
            .cached
            .get(&number)
            .or_else(|| self.memory.get(&number));
        stored.cloned().unwrap_or_else(|| vec![0; 128])
    }

    /// Sets the content of a block.
    pub fn preset(&mut self, block: u32, words: &[u32]) {
        self.memory.insert(block, words.to_vec());
    }

    /// Which of its blocks a number of the user area is, in the partition that is selected. Those
    /// of other partitions are kept above the user area.
    fn selected(&self, block: u32) -> u32 {
        match self.ext_csd[179] & 7 {
            0 => block,
            _ => block | 1 << 31,
        }
    }

    /// CSD bits 13 and 12: it is write-protected permanently, or for now.
    #[must_use]
    pub fn with_write_protection(mut self, bits: u8) -> Self {
        self.csd_protection = bits;
        self.protected = Some(0..u32::MAX);
        self
    }

    /// Every block that was ever written, as it would be read.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut all = self.memory.clone();
        all.extend(self.cached.clone());
        all
    }

    /// Whether the block has been written by reliable write.
    #[must_use]
    pub fn was_reliable(&self, number: u32) -> bool {
        self.reliable.contains(&number)
    }

    /// The block that was written last, if any ever was.
    #[must_use]
    pub fn last_written(&self) -> Option<u32> {
        self.last_written
    }

    /// Blocks that a power cut would lose.
    #[must_use]
    pub fn volatile_blocks(&self) -> usize {
        self.cached.len()
    }

    /// Byte of EXT_CSD.
    #[must_use]
    pub fn ext_csd(&self, index: usize) -> u8 {
        self.ext_csd[index]
    }

    /// Removes the power: what is only in the cache is lost.
    pub fn power_off(&mut self) {
        if self.ext_csd[34] == 1 {
            self.sudden_power_cuts += 1;
        }
        self.cached.clear();
        self.forgotten = true;
        self.state = SimCardState::Mute;
    }

    /// Gives it power.
    pub fn power_on(&mut self) {
        self.go_idle();
        self.power_up_asked = 0;
        self.power_up_since = None;
        self.fresh = true;
        self.mood = habits::Mood::default();
    }

    /// Whether no command has reached it since it was powered.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The same card, whose state the host cannot know.
    pub(crate) fn unknown(mut self) -> Self {
        self.forgotten = true;
        self
    }

    /// Whether it has lost its state and the host has not begun anew.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten
    }

    /// The voltage on the bus, as bits of the operating conditions register.
    pub(crate) fn supply(&mut self, voltage: u32) {
        self.supplied = voltage;
    }

    /// Goes back to idle, as after a dip of its supply that the host cannot notice.
    pub fn forget(&mut self) {
        self.go_idle();
        self.forgotten = true;
    }

    /// Goes back to idle, as after CMD0.
    fn go_idle(&mut self) {
        self.state = SimCardState::Idle;
        self.rca = if self.is_emmc() { 1 } else { 0 };
        self.errors = 0;
        self.application = false;
        self.block_len = 512;
        self.announced = None;
        self.transfer = None;
        self.busy_until = 0;
        self.waking = false;
        self.unprogrammed = false;
        self.late_error = 0;
        self.lines = 1;
        self.high_speed = false;
        self.forgotten = false;
        for volatile in [34, 161, 183, 185] {
            self.ext_csd[volatile] = 0;
        }
        if !self.habits.keeps_modes {
            self.ext_csd[33] = 0;
            // PARTITION_ACCESS (eMMC 7.4.69).
            self.ext_csd[179] &= !7;
        }
        self.cached.clear();
    }

    pub(crate) fn refuse_next(&mut self, bits: u32) {
        self.errors |= bits;
    }

    pub(crate) fn busy_next(&mut self, us: u64) {
        self.next_busy = Some(us);
    }

    pub(crate) fn fail_to_program_next(&mut self) {
        self.unprogrammed = true;
    }

    pub(crate) fn is_emmc(&self) -> bool {
        matches!(self.model, Model::EmmcByte | Model::EmmcSector)
    }

    fn by_sector(&self) -> bool {
        matches!(self.model, Model::EmmcSector | Model::SdHighCapacity)
    }

    /// The highest clock in its current timing, Hz.
    pub(crate) fn highest_clock(&self) -> u64 {
        match (self.is_emmc(), self.high_speed) {
            (true, false) => 26_000_000,
            // A card may have the timing for 26 MHz only (eMMC 7.4.57).
            (true, true) if self.ext_csd[196] & 2 == 0 => 26_000_000,
            (true, true) => 52_000_000,
            (false, false) => 25_000_000,
            (false, true) => 50_000_000,
        }
    }

    /// Whether data arrive intact if the host drives the bus like this.
    pub(crate) fn is_bus_equal(&self, (lines, high_speed, dual_rate): (u8, bool, bool)) -> bool {
        lines == self.lines
            && dual_rate == (self.ext_csd[183] >= 5)
            && (!dual_rate || self.dual_rate_works)
            && lines <= self.working_lines
            && (!high_speed || self.high_speed)
            && (!self.high_speed || self.high_speed_works)
    }

    /// Whether it signals busy on DAT0.
    pub(crate) fn is_busy(&self) -> bool {
        match self.state {
            SimCardState::Programming | SimCardState::Disconnected => true,
            SimCardState::Sleep => self.busy_until != 0,
            _ => false,
        }
    }

    pub(crate) fn busy_until(&self) -> Option<u64> {
        self.is_busy().then_some(self.busy_until)
    }

    pub(crate) fn update(&mut self, now: u64) {
        if now < self.busy_until {
            return;
        }
        match self.state {
            SimCardState::Programming => {
                self.state = SimCardState::Transfer;
                self.errors |= std::mem::take(&mut self.late_error);
            }
            SimCardState::Disconnected => self.state = SimCardState::Standby,
            SimCardState::Sleep => {
                self.busy_until = 0;
                if std::mem::take(&mut self.waking) {
                    self.state = SimCardState::Standby;
                }
            }
            _ => {}
        }
    }
}
