//! What is broken when an emergency begins, or breaks during it.

use crate::slot::Slot;
use drv_mmc::Error;
use drv_mmc::emergency::Phase;
use drv_mmc::state::StatusError;
use drv_sdhci::ErrorKind;
use drv_sdhci_sim::{ClockFault, FaultPlan, InjectedFault, Simulator};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nothing.
    Nothing,
    /// The card was removed.
    Gone,
    /// The card was exchanged for another one.
    Replaced,
    /// No block can be written.
    WriteProtected,
    /// The card refuses the address of every block.
    OutOfRange,
    /// This fault is injected into one command of the emergency, each in turn.
    Once(InjectedFault),
    /// This fault is injected into one command of the emergency, each in turn, and all that follow.
    From(InjectedFault),
    /// So many software resets of the controller hang.
    ResetStuck(u32),
    /// The internal clock never becomes stable.
    ClockUnstable,
    /// Command and data circuit hang until they are reset, and the interrupt status has stale bits.
    Wedged,
    /// The command circuit reports for ever that it is busy.
    CommandInhibit,
    /// The data circuit reports for ever that it is busy.
    DataInhibit,
    /// The time source fails.
    Clock(ClockFault),
    /// The time source fails, and the card is busy for ever from the first write on.
    ClockAndBusy(ClockFault),
}

/// How an emergency has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The crash is on the card.
    Saved,
    /// The crash is on the card, or an error is reported.
    SavedOrReported,
    /// It fails with one of these errors; any error if the list is empty.
    Fails(&'static [ErrorKind]),
    /// It fails, because the card refuses with this error.
    Refused(StatusError),
    /// The other card is noticed and not written; or the crash is on the first card, if the cards
    /// were exchanged after it was written.
    NotOurs,
}

/// Serial number of the other card.
const OTHER: u32 = 0x0BAD_CAFE;

/// Microseconds: longer than any wait.
const FOR_EVER: u64 = u64::MAX / 4;

impl Broken {
    /// Everything that can be broken, with a name that does not change.
    #[must_use]
    pub fn all() -> Vec<(&'static str, Self)> {
        let once = |name, fault| (name, Self::Once(fault));
        let from = |name, fault| (name, Self::From(fault));
        vec![
            ("nothing", Self::Nothing),
            ("card-gone", Self::Gone),
            ("card-replaced", Self::Replaced),
            ("write-protected", Self::WriteProtected),
            ("out-of-range", Self::OutOfRange),
            once("card-taken-out-at-command", InjectedFault::Removed),
            once("card-swapped-at-command", InjectedFault::Swapped(OTHER)),
            once("card-forgets-at-command", InjectedFault::Forgets),
            once("command-ignored-once", InjectedFault::Ignored),
            once("no-response-once", InjectedFault::NoResponse),
            once("response-lost-once", InjectedFault::ResponseLost),
            once("response-crc-once", InjectedFault::ResponseCrc),
            once("response-end-bit-once", InjectedFault::ResponseEndBit),
            once("response-index-once", InjectedFault::ResponseIndex),
            once("data-crc-once", InjectedFault::DataCrc(0)),
            once("data-end-bit-once", InjectedFault::DataEndBit(0)),
            once("data-timeout-once", InjectedFault::DataTimeout(0)),
            once("data-stall-once", InjectedFault::DataStall(0)),
            once("adma-error-once", InjectedFault::Adma(0)),
            once("not-programmed-once", InjectedFault::NotProgrammed),
            once("auto-command-error-once", InjectedFault::AutoCommand),
            once("command-circuit-hangs-once", InjectedFault::HangsCommand),
            once("data-circuit-hangs-once", InjectedFault::HangsData),
            once("error-bit-once", InjectedFault::Refused(1 << 19)),
            once("illegal-command-bit-once", InjectedFault::Refused(1 << 22)),
            once("command-crc-bit-once", InjectedFault::Refused(1 << 23)),
            from("card-stops-answering", InjectedFault::NoResponse),
            from("controller-stops-reacting", InjectedFault::Ignored),
            from("response-crc-always", InjectedFault::ResponseCrc),
            from("data-crc-always", InjectedFault::DataCrc(0)),
            from("data-stall-always", InjectedFault::DataStall(0)),
            from("adma-error-always", InjectedFault::Adma(0)),
            from("busy-for-ever", InjectedFault::Busy(FOR_EVER)),
            ("reset-hangs-once", Self::ResetStuck(1)),
            ("reset-hangs-always", Self::ResetStuck(u32::MAX)),
            ("internal-clock-unstable", Self::ClockUnstable),
            ("wedged", Self::Wedged),
            ("command-inhibit-always", Self::CommandInhibit),
            ("data-inhibit-always", Self::DataInhibit),
            ("time-dead", Self::Clock(ClockFault::Dead)),
            ("time-frozen", Self::Clock(ClockFault::Frozen(77))),
            ("time-backwards", Self::Clock(ClockFault::Backwards)),
            ("time-leaps", Self::Clock(ClockFault::Jumping(1 << 32))),
            ("time-slow", Self::Clock(ClockFault::Slow(1_000))),
            ("time-dead-and-busy", Self::ClockAndBusy(ClockFault::Dead)),
            (
                "time-backwards-and-busy",
                Self::ClockAndBusy(ClockFault::Backwards),
            ),
            (
                "time-leaps-and-busy",
                Self::ClockAndBusy(ClockFault::Jumping(1 << 32)),
            ),
            (
                "time-slow-and-busy",
                Self::ClockAndBusy(ClockFault::Slow(1_000)),
            ),
        ]
    }

    /// Whether it is a fault of one command, and is to be tried at each command in turn.
    #[must_use]
    pub const fn is_swept(self) -> bool {
        matches!(self, Self::Once(_) | Self::From(_))
    }

    /// Whether a row with it takes long, because an emergency needs many register accesses or there
    /// are many emergencies.
    #[must_use]
    pub const fn takes_long(self) -> bool {
        self.is_swept()
            || matches!(
                self,
                Self::ClockAndBusy(_) | Self::CommandInhibit | Self::DataInhibit
            )
    }

    /// Whether it persists, so that no later boot can write either.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !self.can_be_repaired()
    }

    /// Whether data in the card's cache may be lost.
    #[must_use]
    pub const fn may_lose_cache(self) -> bool {
        matches!(self, Self::Once(_))
    }

    /// Whether the emergency can only notice it if it knows the location of the first card.
    #[must_use]
    pub fn needs_known_card(self) -> bool {
        matches!(self, Self::Replaced | Self::Once(InjectedFault::Swapped(_)))
    }

    /// Applies it to a slot; a fault of one command is injected into the `command`-th.
    pub fn apply(self, slot: &Slot, command: u32) {
        self.apply_to(&slot.sim, command);
    }

    /// As [`Self::apply`].
    pub fn apply_to(self, sim: &Simulator, command: u32) {
        match self {
            Self::Nothing => {}
            Self::Gone => drop(sim.eject()),
            Self::Replaced => {
                let other = sim.card().another(OTHER);
                sim.insert(other);
            }
            Self::WriteProtected => sim.card().protected = Some(0..u32::MAX),
            Self::OutOfRange => {
                for index in [17, 18, 24, 25] {
                    sim.fault(FaultPlan::always(index, InjectedFault::Refused(1 << 31)));
                }
            }
            Self::Once(fault) | Self::From(fault) => sim.fault(FaultPlan {
                command: None,
                after: command,
                times: self.times(),
                fault,
            }),
            Self::ResetStuck(times) => sim.controller().stuck_resets = times,
            Self::ClockUnstable => sim.controller().unstable_clock = true,
            Self::Wedged => {
                sim.controller().hang();
                sim.controller().force_status(0x0010_8003);
            }
            Self::CommandInhibit => sim.controller().command_inhibit = true,
            Self::DataInhibit => sim.controller().data_inhibit = true,
            Self::Clock(fault) => sim.set_clock_fault(fault),
            Self::ClockAndBusy(fault) => {
                sim.set_clock_fault(fault);
                sim.fault(FaultPlan::always(25, InjectedFault::Busy(FOR_EVER)));
            }
        }
    }

    const fn times(self) -> u32 {
        match self {
            Self::Once(_) => 1,
            _ => u32::MAX,
        }
    }

    /// Whether a fault of one command was injected. If not, the emergency had fewer commands.
    #[must_use]
    pub fn has_happened(self, sim: &Simulator) -> bool {
        sim.plans().iter().all(|plan| plan.has_struck(self.times()))
    }

    /// How the emergency has to end, on a card whose cache is used or not.
    #[must_use]
    pub const fn expected(self, cache: bool) -> Expected {
        match self {
            // What was in the cache is lost.
            Self::Once(InjectedFault::Forgets) if cache => Expected::SavedOrReported,
            Self::Nothing | Self::Wedged | Self::Clock(_) | Self::ResetStuck(1) => Expected::Saved,
            Self::Gone => Expected::Fails(&[ErrorKind::CardGone]),
            Self::Replaced | Self::Once(InjectedFault::Swapped(_)) => Expected::NotOurs,
            Self::WriteProtected => Expected::Refused(StatusError::WriteProtected),
            Self::OutOfRange => Expected::Refused(StatusError::OutOfRange),
            // The buffer port still works.
            Self::From(InjectedFault::Adma(_)) => Expected::Saved,
            Self::Once(InjectedFault::Removed | InjectedFault::Refused(_)) | Self::From(_) => {
                Expected::SavedOrReported
            }
            Self::Once(_) => Expected::Saved,
            Self::ResetStuck(_) => Expected::Fails(&[ErrorKind::ResetStuck]),
            Self::ClockUnstable => Expected::Fails(&[ErrorKind::ClockUnstable]),
            Self::CommandInhibit => Expected::Fails(&[ErrorKind::InhibitStuck]),
            Self::DataInhibit | Self::ClockAndBusy(_) => Expected::Fails(&[]),
        }
    }

    /// Whether the normal path has to work again once the faults are removed.
    #[must_use]
    pub const fn can_be_repaired(self) -> bool {
        !matches!(
            self,
            Self::Gone
                | Self::WriteProtected
                | Self::Once(InjectedFault::Removed)
                | Self::From(InjectedFault::Busy(_))
                | Self::ResetStuck(u32::MAX)
                | Self::ClockUnstable
                | Self::CommandInhibit
                | Self::DataInhibit
                | Self::ClockAndBusy(_)
        )
    }
}

impl Expected {
    /// Checks how an emergency ended.
    ///
    /// # Panics
    /// If it ended in another way.
    pub fn check(self, slot: &Slot, ended: &crate::slot::Ended, what: &str) {
        let result = &ended.result;
        let report = &ended.report;
        match (self, result) {
            (Self::Saved | Self::SavedOrReported | Self::NotOurs, Some(Ok(_))) => {}
            (Self::SavedOrReported, Some(Err(_))) => {}
            // Only the last phase failed: the crash had been flushed before.
            (Self::Saved, Some(Err(failure))) if failure.phase == Phase::Complete => {}
            (Self::Fails([]), Some(Err(_))) => {}
            (Self::Fails(kinds), Some(Err(failure))) => match failure.error {
                Error::Host(error) if kinds.contains(&error.kind) => {}
                // The report has the error that used up the time.
                Error::Deadline
                    if matches!(
                        Error::from_code(report.last_error),
                        Some(Error::Host(error)) if kinds.contains(&error.kind)
                    ) => {}
                error => panic!("{what}: {error:?} instead of one of {kinds:?}"),
            },
            (Self::Refused(refusal), Some(Err(failure))) => match failure.error {
                Error::Card { error, .. } if error == refusal => {}
                error => panic!("{what}: {error:?} instead of {refusal:?}"),
            },
            (Self::NotOurs, None) => {}
            (Self::NotOurs, Some(Err(failure))) => {
                let noticed = matches!(failure.error, Error::OtherCard | Error::Lost);
                assert!(noticed, "{what}: {failure:?} {report:?}");
            }
            (_, result) => panic!("{what}: {result:?} instead of {self:?}, {report:?}"),
        }
        if self == Self::NotOurs && slot.sim.card().serial() == OTHER {
            assert_eq!(
                slot.sim.card().last_written(),
                None,
                "{what}: the other card was written"
            );
        }
    }
}
