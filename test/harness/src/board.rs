//! The boards that QEMU models.

use crate::build;
use crate::controller::{EMMC, SD_OF_IMX6UL, Slot};

/// A board, as QEMU's command line describes it.
#[derive(Debug)]
pub struct Board {
    /// Its name in `app.toml`, which is QEMU's name of the machine.
    pub name: &'static str,
    /// The arguments that make the machine.
    pub machine: &'static [&'static str],
    /// Its serial ports, in the order in which QEMU numbers them, as far as they are used.
    pub serial: &'static [Serial],
    /// The slot of the recorder's card.
    pub slot: Slot,
    /// What the demo says of its card.
    pub card: &'static str,
    /// The application of the demo, and that of the demo in which a task hangs.
    pub demo: (&'static str, &'static str),
    /// The timer that wakes the saboteur.
    pub timer: Timer,
    /// A register in which the chip says why it was reset, and what it says after a time-out of the
    /// watchdog that is fed. QEMU's models never do.
    pub reset_reason: (u32, u32),
    /// Milliseconds by which the watchdog may be later than its budget.
    pub watchdog_late_ms: u64,
    /// Whether the guest's time stands still, but for a tick, until QEMU has carried out a reset.
    /// It does not if the kernel has waited for the reset for longer than a tick: then the clock
    /// leaps to the next timer, which is the hang timer.
    pub resets_at_once: bool,
}

/// A timer that counts down, and interrupts when [`Timer::LEFT`] ticks are left. Addresses of its
/// registers.
#[derive(Debug)]
pub struct Timer {
    /// What it has left.
    pub count: u32,
    /// Where it begins.
    pub reload: u32,
    /// Stops it with 0, and starts it with the value.
    pub control: (u32, u32),
    /// Its tick, as a multiple of the 10 ns in which the tests count.
    pub tick: u32,
    /// A register and its value that give the timer its clock, if it has not one from the start.
    pub clock: Option<(u32, u32)>,
}

impl Timer {
    /// Ticks that are left at the interrupt, as the saboteur sets it.
    pub const LEFT: u32 = 1 << 30;

    /// The number of its own ticks in so many of 10 ns; 0 is none.
    #[must_use]
    pub fn own_ticks(&self, ticks: u32) -> u32 {
        match ticks {
            0 => 0,
            ticks => (ticks / self.tick).max(1),
        }
    }
}

/// What is connected to a serial port.
#[derive(Clone, Copy, Debug)]
pub enum Serial {
    /// Nothing.
    Unused,
    /// What `monitor` and the suites print.
    Uart5,
    /// What `console` records.
    Uart1,
}

/// ASPEED's AST2600.
pub static AST2600_EVB: Board = Board {
    name: "ast2600-evb",
    // With the smallest flash models QEMU starts in a third of the time. The flash is not used.
    machine: &[
        "-M",
        "ast2600-evb,fmc-model=w25q80bl,spi-model=w25q80bl",
        "-m",
        "256M",
    ],
    serial: &[Serial::Uart5, Serial::Uart1],
    slot: EMMC,
    card: "an eMMC",
    demo: (build::DEMO, build::HANG),
    timer: Timer {
        count: 0x1e78_2000,
        reload: 0x1e78_2004,
        control: (0x1e78_2030, 1),
        tick: 1,
        // The clock selection register with its reset value, but with the timers' bus clock at 100
        // MHz instead of 37.5 MHz: a tick is then a whole number of nanoseconds. If it is not,
        // QEMU's model may lose the interrupt.
        clock: Some((0x1e6e_2300, 0xf394_0000 & !(7 << 23) | 2 << 23)),
    },
    // The system reset event log: the second watchdog has reset the whole chip.
    reset_reason: (0x1e6e_2064, 1 << 21),
    watchdog_late_ms: 0,
    resets_at_once: true,
};

/// NXP's i.MX 6UltraLite; `doc/qemu-mcimx6ul.md` has what QEMU models of it.
pub static MCIMX6UL_EVK: Board = Board {
    name: "mcimx6ul-evk",
    machine: &["-M", "mcimx6ul-evk", "-m", "128M"],
    serial: &[
        Serial::Uart1,
        Serial::Unused,
        Serial::Unused,
        Serial::Unused,
        Serial::Uart5,
    ],
    slot: SD_OF_IMX6UL,
    card: "an SD card",
    demo: (build::DEMO_IMX6UL, build::HANG_IMX6UL),
    // EPIT1, on the bus clock, which is 49.5 MHz after a reset.
    timer: Timer {
        count: 0x020d_0010,
        reload: 0x020d_0008,
        control: (0x020d_0000, 0x0102_000f),
        tick: 2,
        clock: None,
    },
    // SRC_SRSR: WDOG3.
    reset_reason: (0x020d_8008, 1 << 7),
    watchdog_late_ms: 1_000,
    resets_at_once: false,
};

/// All of them.
static ALL: [&Board; 2] = [&AST2600_EVB, &MCIMX6UL_EVK];

impl Board {
    /// The board with this name; the error says which there are.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        ALL.into_iter()
            .find(|board| board.name == name)
            .ok_or_else(|| {
                let names = ALL.map(|board| board.name);
                format!("there is no board {name:?}; there are {}", names.join(", "))
            })
    }

    /// The board of an application of this repository: the one whose name is in the path, or else
    /// the AST2600.
    pub fn of(app: &str) -> &'static Self {
        ALL.into_iter()
            .find(|board| app.contains(board.name))
            .unwrap_or(&AST2600_EVB)
    }
}
