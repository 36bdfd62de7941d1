//! The state of controller and card that an emergency finds, as the report has to name it.

use drv_mmc::EmergencyReport;
use drv_mmc::found::{ControllerState, NO_ANSWER, NOT_ASKED, mode};
use drv_sdhci_sim::{ControllerActivity, SimCardState, Simulator};

/// The state of controller and card, taken from the simulator. The report has to name it.
#[derive(Clone, Copy, Debug)]
pub struct ActualState {
    activity: ControllerActivity,
    state: Option<SimCardState>,
}

impl ActualState {
    /// The state now.
    #[must_use]
    pub fn of(sim: &Simulator) -> Self {
        let activity = sim.controller().activity();
        let has_card = sim.controller().has_card();
        let state = has_card.then(|| sim.card().state());
        Self { activity, state }
    }

    /// Whether a report names the state of the controller.
    #[must_use]
    pub fn names_controller(&self, report: &EmergencyReport) -> bool {
        let any = |states: &[ControllerState]| {
            states.iter().any(|state| *state as u8 == report.controller)
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
                let has = |bit: u8| report.mode & bit != 0;
                any(&[kind])
                    && has(mode::READ) == read
                    && has(mode::MULTIPLE) == multiple
                    && has(mode::DMA) == dma
                    && report.blocks_left == left
            }
        }
    }

    /// Whether a report names the state of the card.
    #[must_use]
    pub fn names_card(&self, report: &EmergencyReport) -> bool {
        let Some(state) = self
            .state
            .filter(|_| self.activity != ControllerActivity::NoPower)
        else {
            return matches!(report.card_state, NO_ANSWER | NOT_ASKED);
        };
        match state {
            SimCardState::Idle | SimCardState::Ready | SimCardState::Ident | SimCardState::Mute => {
                report.card_state == NO_ANSWER
            }
            // While it falls asleep it does not answer.
            SimCardState::Sleep => matches!(report.card_state, NO_ANSWER | 10),
            state => report.card_state == state as u8,
        }
    }
}
