//! Tests on a simulated card.

mod card;
mod damage;
mod emergency;
mod mount;
mod power;
mod recorder;
mod records;
