//! Compares the names of device codes with the driver that defines the codes.

use crashlog_format::found;
use drv_mmc::found as driver;
use drv_mmc::found::{ControllerState, Drain, NO_ANSWER, NOT_ASKED, step};
use drv_mmc::state::CardState;

/// A code without a name could not be read in a report.
#[test]
fn every_code_of_the_driver_has_a_name() {
    use ControllerState as C;
    for (state, name) in [
        (C::Idle, "idle"),
        (C::ClockOff, "clock off"),
        (C::NoCard, "no card"),
        (C::Command, "command in flight"),
        (C::Reading, "reading"),
        (C::Writing, "writing"),
        (C::Busy, "waiting for a busy card"),
        (C::StaleStatus, "idle, with a status that was not cleared"),
        (C::Resetting, "in reset"),
        (C::PowerOff, "card without power"),
        (C::NeverInitialised, "never initialised"),
        (C::Identifying, "identifying the card"),
    ] {
        assert_eq!(found::controller(state as u8), Some(name));
    }
    assert_eq!(found::controller(C::Unknown as u8), None);
    for (state, name) in [
        (CardState::Transfer, "tran"),
        (CardState::Sending, "data"),
        (CardState::Receiving, "rcv"),
        (CardState::Programming, "prg"),
        (CardState::Standby, "stby"),
        (CardState::Sleep, "slp"),
    ] {
        assert_eq!(found::card(state as u8), Some(name));
    }
    assert!(found::card(NO_ANSWER).is_some_and(|name| name.contains("no answer")));
    assert!(found::card(NOT_ASKED).is_some_and(|name| name.contains("not asked")));
    for (drain, name) in [
        (Drain::NotNeeded, None),
        (Drain::Waited, Some("waited until it was done")),
        (Drain::Stopped, Some("ended by CMD12")),
        (
            Drain::Interrupted,
            Some("ended by a high-priority interrupt"),
        ),
        (
            Drain::Abandoned,
            Some("abandoned; the card was identified again"),
        ),
        (Drain::Failed, Some("it could not be ended")),
    ] {
        assert_eq!(found::drain(drain as u8), name);
    }
    let named = |bits: u16| found::repairs(bits).collect::<Vec<_>>();
    for (bit, name) in [
        (step::RESET_AGAIN, "second reset"),
        (step::STOPPED, "CMD12"),
        (step::SELECTED, "card selected"),
        (step::WAITED, "waited for a busy card"),
        (step::INTERRUPTED, "high-priority interrupt"),
        (step::IDENTIFIED, "card identified again"),
        (step::POWER_CYCLED, "power off and on"),
        (step::OTHER_CARD, "another card than before"),
        (step::LINES_RESET, "lines reset"),
        (step::DMA_GIVEN_UP, "PIO instead of DMA"),
        (step::AWOKEN, "card woken"),
    ] {
        assert_eq!(named(bit), [name]);
    }
    assert!(named(step::PREPARED | step::COMPLETED).is_empty());
    assert_eq!(found::MODE_DMA, driver::mode::DMA);
}
