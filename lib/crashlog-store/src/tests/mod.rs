//! Tests on a simulated card.

mod campaign;
mod card;
mod claims;
mod crashes;
mod damage;
mod emergency;
mod full_ring;
mod image;
mod medium;
mod mount;
mod oracle;
mod ownership;
mod power;
mod recorder;
mod self_test;
mod snapshots;
mod spi_medium;
mod tables;
