//! Names of what an emergency write found and did: the codes in an outcome.
//!
//! The driver defines the codes (`drv_mmc::found`). This module has their names in reports; the
//! test `device_codes` checks that every code has one.

/// What the controller was doing when the emergency path took it over.
#[must_use]
pub const fn controller(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "idle",
        2 => "clock off",
        3 => "no card",
        4 => "command in flight",
        5 => "reading",
        6 => "writing",
        7 => "waiting for a busy card",
        8 => "idle, with a status that was not cleared",
        9 => "in reset",
        10 => "card without power",
        11 => "never initialised",
        12 => "identifying the card",
        _ => return None,
    })
}

/// The state of the card at its first answer, with its name in JESD84-B51 section 6.13 (SD Physical
/// Layer Simplified Specification, section 4.10.1).
#[must_use]
pub const fn card(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "idle",
        1 => "ready",
        2 => "ident",
        3 => "stby",
        4 => "tran",
        5 => "data",
        6 => "rcv",
        7 => "prg",
        8 => "dis",
        9 => "btst",
        10 => "slp",
        0xFE => "not asked, as it was never identified",
        0xFF => "no answer",
        _ => return None,
    })
}

/// How the operation in flight was ended; `None` if there was none.
#[must_use]
pub const fn drain(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "waited until it was done",
        2 => "ended by CMD12",
        3 => "ended by a high-priority interrupt",
        4 => "abandoned; the card was identified again",
        5 => "it could not be ended",
        _ => return None,
    })
}

/// What had to be done, by bit. Bits of steps that are always done have no name.
const REPAIRS: [Option<&str>; 15] = [
    Some("second reset"),
    Some("CMD12"),
    Some("card selected"),
    Some("waited for a busy card"),
    Some("high-priority interrupt"),
    Some("card identified again"),
    Some("power off and on"),
    Some("another card than before"),
    Some("lines reset"),
    Some("PIO instead of DMA"),
    None,
    None,
    Some("card woken"),
    Some("slower clock"),
    Some("content of the cache lost"),
];

/// The names of everything that had to be done beside the reset.
pub fn repairs(bits: u16) -> impl Iterator<Item = &'static str> {
    REPAIRS
        .iter()
        .enumerate()
        .filter(move |(bit, _)| bits & 1 << bit != 0)
        .filter_map(|(_, name)| *name)
}

/// Bit of [`Outcome::mode`](crate::Outcome): data were transferred by ADMA2, otherwise through the
/// buffer port.
pub const MODE_DMA: u8 = 1 << 0;
