//! The application `test/apps/saboteur`, controlled from outside: what its client does, and when,
//! where and how the saboteur crashes the system.
//!
//! The machine stops at four breakpoints. At each the debugger may read and change anything:
//!
//! * [`Stop::Start`]: a boot has begun; the recorder has not run yet.
//! * [`Stop::Ready`]: the recorder is up, has accepted a log record and made it durable (if there
//!   is a card). [`System::work`] says here what comes next, and when the saboteur strikes.
//! * [`Stop::Struck`]: the saboteur is about to strike.
//! * [`Stop::Done`]: the work is done, without a crash.
//!
//! Time is counted in instructions, so the same plan leads to the same moment in each run. At each
//! start the time since the stop before is checked: it must not exceed the watchdog's budget (X1).

mod plan;

pub use plan::{Deed, Failing, RecorderState, Seen, Work, task};

use crate::artefacts::Artefacts;
use crate::board::{Board, Timer};
use crate::build::Image;
use crate::controller::Slot;
use crate::gdb::Debugger;
use crate::machine::{Config, Machine, Time};
use crate::qemu::Qemu;
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::time::Duration;

/// The application. A failure of its recorder restarts the system.
pub const APP: &str = "test/apps/saboteur/app.toml";
/// The same; after 10 ms without work the recorder switches the card's clock off.
pub const CLOCK_OFF: &str = "test/apps/saboteur/clock-off.toml";
/// The same; after 10 ms without work the recorder switches clock and bus power off.
pub const POWER_OFF: &str = "test/apps/saboteur/power-off.toml";

/// The same, with the defence against crash loops.
pub const LOOPS: &str = "test/apps/saboteur/loops.toml";
/// The same; the saboteur has a peripheral that answers each access with a bus fault.
pub const HOLE: &str = "test/apps/saboteur/hole.toml";

/// Real time from one stop to the next, far more than is needed: the guest's watchdog resets a
/// guest that hangs, in guest time.
const LIMIT: Duration = Duration::from_secs(120);

/// Milliseconds of guest time from a crash to the next start: the watchdog's budget (`budget-ms`),
/// about 30 for the boot until the saboteur starts, and [`RESET_MS`]. Mostly it takes the 30 alone;
/// but if the kernel waits for its reset and no tick is due, QEMU's clock leaps to the watchdog's
/// time.
const BUDGET_MS: u64 = 2_000 + 30 + RESET_MS;

/// Milliseconds of guest time that QEMU may take to carry out a reset. Another thread than the
/// guest's does it, so on a busy host the guest runs on for some time.
pub const RESET_MS: u64 = 470;

/// Where the machine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A boot has begun.
    Start,
    /// The recorder is up.
    Ready,
    /// The saboteur is about to strike.
    Struck,
    /// The work is done.
    Done,
    /// At an address that was set with [`System::stop_at`].
    At(u32),
    /// Behind a write to a watched address: see [`System::stop_at_commands`],
    /// [`System::stop_at_registers`] and [`System::stop_at_writes`].
    Register,
}

/// Addresses in the image.
struct Places {
    stops: [(u32, Stop); 4],
    load_plan: u32,
    load_seen: u32,
    saboteur_plan: u32,
    /// The kernel's table of who may fault whom, one byte for each task.
    authority: u32,
    /// The kernel's variable with the counts per millisecond of the timer that makes its ticks.
    frequency: u32,
}

/// The machine with the application.
pub struct System {
    /// The machine.
    pub machine: Machine,
    /// Its debugger, with physical addresses.
    pub debugger: Debugger,
    /// Functions and variables of the image.
    pub symbols: Symbols,
    /// The board.
    pub board: &'static Board,
    /// The slot of the recorder's card.
    pub slot: Slot,
    places: Places,
    /// Breakpoints set with [`System::stop_at`].
    extra: Vec<u32>,
    /// The address and length of the watchpoint for writes.
    watched: Option<(u32, u32)>,
    /// The address at which the machine has stopped.
    at: Option<u32>,
    /// The debugger's number of the register that tells the time.
    clock: u32,
    /// The time of the last stop since the last start; none at a start.
    last: Option<u64>,
    /// Milliseconds of guest time from the last stop before the last start to that start.
    pub restart_ms: u64,
}

impl System {
    /// Switches on with this card; the machine is stopped before its first instruction.
    pub fn start(
        qemu: &Qemu,
        image: &Image,
        card: Option<&Path>,
        artefacts: &Artefacts,
    ) -> Result<Self> {
        let mut config = Config::new(image, card);
        config.time = Time::Slow;
        config.debugger = true;
        let machine = Machine::start(qemu, &config, artefacts)?;
        let mut debugger = Debugger::connect(&machine.debugger_socket())?;
        debugger.use_physical_addresses()?;
        let symbols = Symbols::read(image)?;
        let places = Places {
            stops: [
                (symbols.address("saboteur", "saboteur_start")?, Stop::Start),
                (symbols.address("load", "load_ready")?, Stop::Ready),
                (
                    symbols.address("saboteur", "saboteur_strike")?,
                    Stop::Struck,
                ),
                (symbols.address("load", "load_done")?, Stop::Done),
            ],
            load_plan: variable(&symbols, "load", "LOAD_PLAN")?,
            load_seen: variable(&symbols, "load", "LOAD_SEEN")?,
            saboteur_plan: variable(&symbols, "saboteur", "SABOTEUR_PLAN")?,
            authority: variable(&symbols, "kernel", "HUBRIS_TASK_AUTHORITY")?,
            frequency: variable(&symbols, "kernel", "CLOCK_FREQ_KHZ")?,
        };
        // The kernel's ticks come from the secure physical timer, whose count goes on when the
        // machine is reset.
        let clock = debugger.system_register("CNTP_CVAL_S")?;
        for (address, _) in places.stops {
            debugger.set_break(address)?;
        }
        Ok(Self {
            machine,
            debugger,
            symbols,
            board: image.board,
            slot: image.slot,
            places,
            extra: Vec::new(),
            watched: None,
            at: None,
            clock,
            last: None,
            restart_ms: 0,
        })
    }

    /// Runs the machine to the next stop.
    ///
    /// # Errors
    /// Also if the restart before a [`Stop::Start`] took longer than the watchdog allows.
    pub fn go(&mut self) -> Result<Stop> {
        // The stub would stop again at once at the breakpoint where the machine is.
        if let Some(at) = self.at.take().filter(|at| self.is_break(*at)) {
            self.debugger.clear_break(at)?;
            self.debugger.step()?;
            self.debugger.set_break(at)?;
        }
        self.debugger.run_until_break(LIMIT)?;
        let [.., pc] = self.debugger.registers()?;
        self.at = Some(pc);
        let stop = self.places.stops.iter().find(|(address, _)| *address == pc);
        match stop.map(|(_, stop)| *stop) {
            Some(Stop::Start) => {
                if let Some((register, value)) = self.board.timer.clock {
                    self.debugger.set_word(register, value)?;
                }
                // Those of the boot before: the client clears its words later, when it starts.
                self.debugger.set_memory(self.places.load_seen, &[0; 24])?;
                let now = self.milliseconds()?;
                if let Some(before) = self.last.take() {
                    let took = now.saturating_sub(before);
                    self.restart_ms = took;
                    let budget = BUDGET_MS + self.board.watchdog_late_ms;
                    ensure!(
                        took <= budget || !self.board.resets_at_once,
                        "the system took {took} ms to restart, and may take {budget}"
                    );
                }
                Ok(Stop::Start)
            }
            Some(stop) => {
                self.last = Some(self.milliseconds()?);
                Ok(stop)
            }
            None if self.extra.contains(&pc) => Ok(Stop::At(pc)),
            None if self.watched.is_some() => {
                self.at = None;
                // The stub stops at the instruction, before it writes.
                self.watch(false)?;
                self.debugger.step()?;
                self.watch(true)?;
                Ok(Stop::Register)
            }
            None => bail!("the machine stopped at {pc:#x}, where no breakpoint is set"),
        }
    }

    /// Milliseconds of guest time since the machine was switched on, rounded up to the next kernel
    /// tick.
    fn milliseconds(&mut self) -> Result<u64> {
        let frequency = self.debugger.word(self.places.frequency)?;
        let next_tick = self.debugger.register(self.clock)?;
        next_tick
            .checked_div(frequency.into())
            .context("the kernel's CLOCK_FREQ_KHZ is zero")
    }

    /// Leaves the time since the last stop out of the check at the next start: a hang was waited
    /// for.
    pub fn forget_time(&mut self) {
        self.last = None;
    }

    fn is_break(&self, address: u32) -> bool {
        self.extra.contains(&address) || self.places.stops.iter().any(|(stop, _)| *stop == address)
    }

    /// [`System::go`] to a stop that must be this one.
    pub fn go_to(&mut self, wanted: Stop) -> Result<()> {
        let stop = self.go()?;
        ensure!(
            stop == wanted,
            "expected {wanted:?}, but stopped at {stop:?}"
        );
        Ok(())
    }

    /// Runs through a start of the system up to [`Stop::Ready`].
    pub fn boot(&mut self) -> Result<Seen> {
        self.go_to(Stop::Start)?;
        self.go_to(Stop::Ready)?;
        self.seen()
    }

    /// Sets or removes a breakpoint.
    pub fn stop_at(&mut self, address: u32, stop: bool) -> Result<()> {
        self.extra.retain(|extra| *extra != address);
        if stop {
            self.extra.push(address);
            self.debugger.set_break(address)
        } else {
            self.debugger.clear_break(address)
        }
    }

    /// Stops, or no longer stops, behind each instruction of any program that sends a command to
    /// the card.
    pub fn stop_at_commands(&mut self, stop: bool) -> Result<()> {
        self.stop_at_writes(self.slot.registers + 0x0e, 2, stop)
    }

    /// Stops, or no longer stops, behind each instruction of any program that writes a register of
    /// the controller.
    pub fn stop_at_registers(&mut self, stop: bool) -> Result<()> {
        self.stop_at_writes(self.slot.registers, 0x60, stop)
    }

    /// Stops, or no longer stops, behind each instruction of any program that writes to these
    /// addresses.
    pub fn stop_at_writes(&mut self, address: u32, length: u32, stop: bool) -> Result<()> {
        self.watch(false)?;
        self.watched = stop.then_some((address, length));
        self.watch(true)
    }

    /// Sets or removes the watchpoint, if there is one.
    fn watch(&mut self, watch: bool) -> Result<()> {
        match self.watched {
            Some((address, length)) => self.debugger.watch(address, length, watch),
            None => Ok(()),
        }
    }

    /// Runs until N commands have been sent.
    pub fn go_to_command(&mut self, number: u32) -> Result<()> {
        self.stop_at_commands(true)?;
        for _ in 0..number {
            self.go_to(Stop::Register)?;
        }
        self.stop_at_commands(false)
    }

    /// Says at [`Stop::Ready`] what the client does, after how many ticks of its timer the saboteur
    /// strikes (0 is never), and how.
    pub fn work(&mut self, work: Work, ticks: u32, deed: Deed) -> Result<()> {
        let words = work.words(self.board.timer.own_ticks(ticks));
        self.debugger.set_memory(
            self.places.load_plan,
            words.map(u32::to_le_bytes).as_flattened(),
        )?;
        self.deed(deed)
    }

    /// Says what the saboteur does when it strikes.
    pub fn deed(&mut self, deed: Deed) -> Result<()> {
        if let Deed::Fault(task::CRASHLOG)
        | Deed::FaultBoth(task::CRASHLOG)
        | Deed::Restart(task::CRASHLOG) = deed
        {
            // The kernel lets nobody but the supervisor do that to the recorder. In this boot it
            // does.
            let row = self.places.authority.wrapping_add(task::CRASHLOG);
            self.debugger.set_memory(row, &[0])?;
        }
        let words = deed.words();
        self.debugger.set_memory(
            self.places.saboteur_plan + 4,
            words.map(u32::to_le_bytes).as_flattened(),
        )
    }

    /// Says at [`Stop::Start`] after how many ticks of its timer the saboteur strikes.
    pub fn strike_after_start(&mut self, ticks: u32, deed: Deed) -> Result<()> {
        let ticks = self.board.timer.own_ticks(ticks);
        self.debugger.set_word(self.places.saboteur_plan, ticks)?;
        self.deed(deed)
    }

    /// Makes the saboteur, which must be armed, strike that many ticks from now instead.
    pub fn strike_in(&mut self, ticks: u32) -> Result<()> {
        let Timer {
            reload, control, ..
        } = self.board.timer;
        let (register, start) = control;
        self.debugger.set_word(register, 0)?;
        let ticks = self.board.timer.own_ticks(ticks);
        self.debugger.set_word(reload, Timer::LEFT + ticks)?;
        self.debugger.set_word(register, start)
    }

    /// Ticks of the saboteur's timer since its start.
    pub fn ticks(&mut self) -> Result<u32> {
        let Timer {
            count,
            reload,
            tick,
            ..
        } = self.board.timer;
        let [count, reload] = [self.debugger.word(count)?, self.debugger.word(reload)?];
        Ok(reload.saturating_sub(count) * tick)
    }

    /// Resets the machine from outside at [`Stop::Ready`], and runs it to the next [`Stop::Start`].
    pub fn reset(&mut self) -> Result<()> {
        self.work(Work::Sleep(10_000), 0, Deed::Nothing)?;
        self.machine
            .qmp
            .execute("system_reset", serde_json::Value::Null)?;
        self.go_to(Stop::Start)
    }

    /// What the client has seen in this boot.
    pub fn seen(&mut self) -> Result<Seen> {
        let bytes = self.debugger.memory(self.places.load_seen, 24)?;
        let word = |index: usize| {
            bytes
                .chunks_exact(4)
                .nth(index)
                .and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?)))
                .context("the client's words cannot be read")
        };
        Ok(Seen {
            accepted: word(0)?,
            durable: word(1)?,
            state: RecorderState::of(word(2)?),
            crashes: word(3)?,
            error: word(4)?,
            no_card: word(5)? == 1,
        })
    }
}

/// The address of a variable.
fn variable(symbols: &Symbols, program: &str, name: &str) -> Result<u32> {
    let parts = symbols.variable(program, name)?;
    let [(address, _)] = *parts else {
        bail!("the compiler has split {name}");
    };
    Ok(address)
}
