//! What is broken when the emergency begins, or breaks while it goes on.

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
    /// There is no card any more.
    Gone,
    /// There is another card.
    Replaced,
    /// No block can be written.
    WriteProtected,
    /// The card refuses the address of every block.
    OutOfRange,
    /// This happens at one command of the emergency, each in turn.
    Once(InjectedFault),
    /// This happens at one command of the emergency, each in turn, and at all that follow.
    From(InjectedFault),
    /// The controller's software reset hangs this often.
    ResetStuck(u32),
    /// The internal clock never becomes stable.
    ClockUnstable,
    /// Command and data circuit hang until they are reset; interrupt status that nobody has cleared.
    Wedged,
    /// The command circuit is in use for ever.
    CommandInhibit,
    /// The data circuit is in use for ever.
    DataInhibit,
    /// The time source fails.
    Clock(ClockFault),
    /// The time source fails, and the card is busy for ever from the first write on.
    ClockAndBusy(ClockFault),
}

/// How it has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The record is on the card.
    Saved,
    /// The record is on the card, or the error is told.
    SavedOrTold,
    /// It fails, with one of these errors.
    Fails(&'static [ErrorKind]),
    /// The card refuses, for this reason.
    Refused(StatusError),
    /// The other card is noticed and not written, if it came before the record was written.
    NotOurs,
}

/// Serial number of the card that takes the place of ours.
const OTHER: u32 = 0x0BAD_CAFE;

/// Longer than anybody waits.
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

    /// Whether it happens at one command after the other.
    #[must_use]
    pub const fn is_swept(self) -> bool {
        matches!(self, Self::Once(_) | Self::From(_))
    }

    /// Whether one emergency with it takes many register accesses, or there are many.
    #[must_use]
    pub const fn takes_long(self) -> bool {
        self.is_swept()
            || matches!(
                self,
                Self::ClockAndBusy(_) | Self::CommandInhibit | Self::DataInhibit
            )
    }

    /// Whether nobody can repair it, and so no later boot writes anything.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !self.can_be_repaired()
    }

    /// Whether what was in the card's cache may be gone.
    #[must_use]
    pub const fn may_lose_cache(self) -> bool {
        matches!(self, Self::Once(_))
    }

    /// Whether it makes sense if the emergency does not know which card there was.
    #[must_use]
    pub fn needs_known_card(self) -> bool {
        matches!(self, Self::Replaced | Self::Once(InjectedFault::Swapped(_)))
    }

    /// Breaks it, if it is swept at the `command`-th command.
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

    /// Whether a fault that is swept has happened; it has not if the emergency has fewer commands.
    #[must_use]
    pub fn has_happened(self, sim: &Simulator) -> bool {
        sim.plans().iter().all(|plan| plan.has_struck(self.times()))
    }

    /// How the emergency has to end, on a card whose cache is used or not.
    #[must_use]
    pub const fn expected(self, cache: bool) -> Expected {
        match self {
            // What was in the cache is gone.
            Self::Once(InjectedFault::Forgets) if cache => Expected::SavedOrTold,
            Self::Nothing | Self::Wedged | Self::Clock(_) | Self::ResetStuck(1) => Expected::Saved,
            Self::Gone => Expected::Fails(&[ErrorKind::CardGone]),
            Self::Replaced | Self::Once(InjectedFault::Swapped(_)) => Expected::NotOurs,
            Self::WriteProtected => Expected::Refused(StatusError::WriteProtected),
            Self::OutOfRange => Expected::Refused(StatusError::OutOfRange),
            // The buffer port is left.
            Self::From(InjectedFault::Adma(_)) => Expected::Saved,
            Self::Once(InjectedFault::Removed | InjectedFault::Refused(_)) | Self::From(_) => {
                Expected::SavedOrTold
            }
            Self::Once(_) => Expected::Saved,
            Self::ResetStuck(_) => Expected::Fails(&[ErrorKind::ResetStuck]),
            Self::ClockUnstable => Expected::Fails(&[ErrorKind::ClockUnstable]),
            Self::CommandInhibit => Expected::Fails(&[ErrorKind::InhibitStuck]),
            Self::DataInhibit | Self::ClockAndBusy(_) => Expected::Fails(&[]),
        }
    }

    /// Whether normal operation can be expected to work once the faults are gone.
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
    /// Checks how it ended.
    ///
    /// # Panics
    /// If it did not end like that.
    pub fn check(self, slot: &Slot, ended: &crate::slot::Ended, what: &str) {
        let result = &ended.result;
        let found = &ended.found;
        match (self, result) {
            (Self::Saved | Self::SavedOrTold | Self::NotOurs, Some(Ok(_))) => {}
            (Self::SavedOrTold, Some(Err(_))) => {}
            // The card's last word was not heard.
            (Self::Saved, Some(Err(failure))) if failure.phase == Phase::Complete => {}
            (Self::Fails([]), Some(Err(_))) => {}
            (Self::Fails(kinds), Some(Err(failure))) => match failure.error {
                Error::Host(error) if kinds.contains(&error.kind) => {}
                // What used up the time is in the report.
                Error::Deadline
                    if matches!(
                        Error::from_code(found.last_error),
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
                assert!(noticed, "{what}: {failure:?} {found:?}");
            }
            (_, result) => panic!("{what}: {result:?} instead of {self:?}, {found:?}"),
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
