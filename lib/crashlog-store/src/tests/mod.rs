//! Tests on a simulated card.

mod card;
mod claims;
mod damage;
mod emergency;
mod medium;
mod mount;
mod oracle;
mod power;
mod recorder;
mod records;
mod self_test;
