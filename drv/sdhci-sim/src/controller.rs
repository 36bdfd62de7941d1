//! The simulated controller: registers, the command circuit, and the passing of time.

mod command;
mod data;
mod registers;

use crate::card::{CardResponse, SimCard};
use crate::fault::FaultPlan;
use crate::memory::BusMemory;
use crate::rules::Supply;
use data::DataPhase;
use drv_sdhci::registers::{ClockControl, HostControl, Interrupt};

/// Durations, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A register access.
    pub access_us: u64,
    /// From a command to the end of its response.
    pub response_us: u64,
    /// A block on the bus.
    pub block_us: u64,
    /// A software reset.
    pub reset_us: u64,
    /// The internal clock becoming stable.
    pub clock_us: u64,
    /// The time-out of the data lines.
    pub data_timeout_us: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            access_us: 1,
            response_us: 20,
            block_us: 30,
            reset_us: 5,
            clock_us: 10,
            data_timeout_us: 100_000,
        }
    }
}

/// What a controller is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerActivity {
    /// It is being reset.
    Resetting,
    /// There is no card.
    NoCard,
    /// The card has no power.
    NoPower,
    /// The card has no clock.
    NoClock,
    /// Nothing.
    Idle,
    /// It waits for a response.
    Command,
    /// It waits for the card to be no longer busy.
    Busy,
    /// It moves data.
    Data {
        /// From the card.
        read: bool,
        /// By several blocks.
        multiple: bool,
        /// By ADMA2.
        dma: bool,
        /// Blocks that have not been moved.
        left: u16,
    },
}

/// A command whose response has not arrived yet.
#[derive(Clone)]
pub(crate) struct PendingCommand {
    due: u64,
    /// Error bits that are set instead of the completion.
    error: u32,
    response: Option<CardResponse>,
    /// The card signals busy afterwards, and the end of that is to be reported.
    busy: bool,
    data: Option<DataPhase>,
}

/// The controller of one slot.
#[derive(Clone)]
pub struct SimController {
    /// Simulated time, microseconds.
    pub(crate) now: u64,
    pub(crate) card: Option<SimCard>,
    pub(crate) memory: BusMemory,
    pub(crate) plans: Vec<FaultPlan>,
    pub(crate) log: Vec<(u8, u32)>,
    pub(crate) violations: Vec<String>,
    /// Durations.
    pub timing: Timing,
    /// Capabilities register.
    pub capabilities: u32,
    /// Capabilities, bits 63:32. Bit 2 is dual data rate.
    pub capabilities_2: u32,
    /// Version of the specification: 1 is 2.00, 2 is 3.00.
    pub version: u8,
    /// So many software resets hang from now on, each until the next write to its register.
    pub stuck_resets: u32,
    /// The command circuit reports for ever that it is busy.
    pub command_inhibit: bool,
    /// The data circuit reports for ever that it is busy.
    pub data_inhibit: bool,
    /// The internal clock never becomes stable.
    pub unstable_clock: bool,
    /// The controller's power control switches the card's supply.
    pub powers_card: bool,
    /// How long the supply holds its voltage after it was switched off, microseconds. A controller
    /// that is reset switches it off for a moment.
    pub supply_holds_us: u64,
    /// How long the supply takes to rise, microseconds: 100 to 35 000 (SD 6.4.1).
    pub ramp_us: u64,
    /// How long the card detect signal bounces after a card was put in, microseconds.
    pub debounce_us: u64,
    /// The end of a transfer is reported together with a data time-out.
    pub late_timeout: bool,
    /// The level of the write-protect switch allows writing (SD).
    pub write_enabled: bool,

    argument_2: u32,
    pub(crate) blocks: u32,
    pub(crate) argument: u32,
    transfer: u32,
    response: [u32; 4],
    pub(crate) host_control: u32,
    pub(crate) host_control_2: u32,
    pub(crate) clock_control: u32,
    clock_stable_at: u64,
    reset_done_at: u64,
    status: u32,
    status_enable: u32,
    signal_enable: u32,
    adma_error: u32,
    pub(crate) adma_address: u32,
    pub(crate) platform_power: bool,
    pub(crate) supply: Supply,
    /// When the card detect signal is stable.
    detected_at: u64,
    /// The last command was CMD55, and was answered.
    pub(crate) prefixed: bool,

    pub(crate) pending: Option<PendingCommand>,
    pub(crate) data: Option<DataPhase>,
    /// The end of the card's busy signal is to be reported as the end of the transfer.
    busy: bool,
    /// When the data time-out ends the wait for that.
    busy_timeout_at: u64,
    hung_command: bool,
    hung_data: bool,
}

/// Status bits that are errors.
const ERRORS: u32 = 0xFFFF_0000;

impl SimController {
    pub(crate) fn new(card: SimCard) -> Self {
        Self {
            now: 0,
            card: Some(card),
            memory: BusMemory::default(),
            plans: Vec::new(),
            log: Vec::new(),
            violations: Vec::new(),
            timing: Timing::default(),
            // 3.3 V, ADMA2, high speed, eight lines, base clock and time-out clock 50 MHz.
            capabilities: 1 << 24 | 1 << 19 | 1 << 18 | 1 << 21 | 50 << 8 | 1 << 7 | 50,
            capabilities_2: 0,
            version: 1,
            stuck_resets: 0,
            command_inhibit: false,
            data_inhibit: false,
            unstable_clock: false,
            powers_card: true,
            supply_holds_us: 100,
            ramp_us: 1_500,
            debounce_us: 500,
            late_timeout: false,
            write_enabled: true,
            argument_2: 0,
            blocks: 0,
            argument: 0,
            transfer: 0,
            response: [0; 4],
            host_control: 0,
            host_control_2: 0,
            clock_control: 0,
            clock_stable_at: 0,
            reset_done_at: 0,
            status: 0,
            status_enable: 0,
            signal_enable: 0,
            adma_error: 0,
            adma_address: 0,
            platform_power: true,
            supply: Supply::new(),
            detected_at: 500,
            prefixed: false,
            pending: None,
            data: None,
            busy: false,
            busy_timeout_at: u64::MAX,
            hung_command: false,
            hung_data: false,
        }
    }

    /// What the controller is doing, read from the model's state and not from its registers.
    #[must_use]
    pub fn activity(&self) -> ControllerActivity {
        if self.now < self.reset_done_at {
            ControllerActivity::Resetting
        } else if self.card.is_none() {
            ControllerActivity::NoCard
        } else if self.host_control & HostControl::BUS_POWER::SET.value == 0 {
            ControllerActivity::NoPower
        } else if self.clock_control & ClockControl::SD_CLOCK_ENABLE::SET.value == 0 {
            ControllerActivity::NoClock
        } else if let Some(data) = &self.data {
            data.activity()
        } else if self.pending.is_some() || self.hung_command {
            ControllerActivity::Command
        } else if self.busy || self.hung_data {
            ControllerActivity::Busy
        } else {
            ControllerActivity::Idle
        }
    }

    /// Sets bits of the interrupt status, for a test that needs stale ones.
    pub fn force_status(&mut self, bits: u32) {
        self.status |= bits;
    }

    /// Hangs the command and the data circuit until they are reset.
    pub fn hang(&mut self) {
        self.hung_command = true;
        self.hung_data = true;
    }

    /// Whether there is a card in the slot.
    #[must_use]
    pub fn has_card(&self) -> bool {
        self.card.is_some()
    }

    /// Whether any interrupt signal is enabled.
    #[must_use]
    pub fn signals_enabled(&self) -> bool {
        self.signal_enable != 0
    }

    pub(crate) fn violation(&mut self, what: String) {
        let now = self.now;
        self.violations.push(format!("{now} us: {what}"));
    }

    fn raise(&mut self, bits: u32) {
        self.status |= bits & self.status_enable;
    }

    /// Reports the end of a transfer, or of busy.
    fn raise_complete(&mut self) {
        // Both may be set if the two happen at once, and then the transfer is complete (SDHCI
        // 2.2.17).
        if self.late_timeout {
            self.raise(Interrupt::DATA_TIMEOUT::SET.value);
        }
        self.raise(Interrupt::TRANSFER_COMPLETE::SET.value);
    }

    /// From now on the end of the card's busy signal is to be reported.
    fn await_busy(&mut self) {
        self.busy = true;
        self.busy_timeout_at = self.now.saturating_add(self.busy_timeout_us());
    }

    /// Puts a card into the slot.
    pub(crate) fn insert(&mut self, card: SimCard) {
        self.card = Some(card.unknown());
        self.detected_at = self.now + self.debounce_us;
    }

    /// Whether the card detect signal is stable (SDHCI 2.2.9).
    fn is_detect_stable(&self) -> bool {
        self.now >= self.detected_at
    }

    /// What the driver and DMA have written before becomes visible to the other.
    pub(crate) fn barrier(&mut self) {
        let table = self.adma_address;
        self.memory.barrier(table);
    }

    pub(crate) fn clock_is_stable(&self) -> bool {
        self.clock_control & ClockControl::INTERNAL_CLOCK_ENABLE::SET.value != 0
            && !self.unstable_clock
            && self.now >= self.clock_stable_at
    }

    pub(crate) fn card_is_clocked(&self) -> bool {
        self.clock_is_stable() && self.clock_control & ClockControl::SD_CLOCK_ENABLE::SET.value != 0
    }

    fn lines(&self) -> u8 {
        // The bit is reserved in a controller without eight lines (SDHCI 2.2.10 and 2.2.26).
        let has_eight = self.capabilities & 1 << 18 != 0;
        if has_eight && self.host_control & HostControl::EIGHT_LINES::SET.value != 0 {
            8
        } else if self.host_control & HostControl::FOUR_LINES::SET.value != 0 {
            4
        } else {
            1
        }
    }

    pub(crate) fn high_speed(&self) -> bool {
        self.host_control & HostControl::HIGH_SPEED::SET.value != 0
    }

    /// Dual data rate (SDHCI 2.2.24), where the controller has it.
    pub(crate) fn dual_rate(&self) -> bool {
        self.host_control_2 >> 16 & 7 == 4 && self.capabilities_2 & 4 != 0
    }

    /// Whether the interrupt line is asserted.
    pub(crate) fn interrupts(&self) -> bool {
        self.status & self.signal_enable != 0
    }

    pub(crate) fn pass(&mut self, us: u64) {
        let end = self.now.saturating_add(us);
        while let Some(due) = self.next_event().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step();
        }
        self.now = end;
        self.step();
    }

    /// Advances the time to the next interrupt, at most to `deadline`.
    pub(crate) fn sleep_until(&mut self, deadline: u64) {
        self.step();
        while !self.interrupts() && self.now < deadline {
            let next = self
                .next_event()
                .unwrap_or(deadline)
                .clamp(self.now + 1, deadline);
            self.now = next;
            self.step();
        }
    }

    fn next_event(&self) -> Option<u64> {
        let pending = self.pending.as_ref().map(|pending| pending.due);
        let data = self.data.as_ref().and_then(DataPhase::due);
        let busy = self
            .card
            .as_ref()
            .filter(|_| self.busy)
            .and_then(SimCard::busy_until)
            .map(|until| until.min(self.busy_timeout_at));
        [pending, data, busy]
            .into_iter()
            .flatten()
            .min()
            .filter(|due| *due > self.now)
    }

    /// Carries out the events that are due.
    fn step(&mut self) {
        let now = self.now;
        if let Some(card) = &mut self.card {
            card.update(now);
        }
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.due <= now)
            && let Some(pending) = self.pending.take()
        {
            self.complete(pending);
        }
        while self.data_step() {}
        let still_busy = self.card.as_ref().is_some_and(SimCard::is_busy);
        if self.busy && !still_busy {
            self.busy = false;
            self.raise_complete();
        } else if self.busy && now >= self.busy_timeout_at {
            self.busy_timeout_at = u64::MAX;
            self.raise(Interrupt::DATA_TIMEOUT::SET.value);
        }
    }
}
