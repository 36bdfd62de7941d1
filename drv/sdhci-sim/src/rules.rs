//! What a controller and a card refuse, and what a driver must not do.
//!
//! A rule that hardware enforces is enforced here in the same way: the card does not answer, the
//! controller reports an error. A rule that hardware leaves to the driver is recorded as a
//! violation ([`Simulator::violations`](crate::Simulator::violations)), because breaking it goes
//! well on one system and not on the next. "SDHCI" is the SD Host Controller Simplified
//! Specification 3.00, "SD" the Physical Layer Simplified Specification 6.00, "eMMC" JESD84-B51.

mod clock;
mod command;
mod supply;
mod transfer;

pub(crate) use supply::Supply;
