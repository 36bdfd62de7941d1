//! `crashlog erase`: takes one record off the list, as the recorder itself does it.
//!
//! One block is written, and it is not the newest ledger: a power cut leaves the record there or gone.

use crate::card::Card;
use crate::cli::Erase;
use crate::problem::{Code, Problem};
use crate::terminal::Output;
use std::io::Write;
use zerocopy::IntoBytes;

pub fn run(args: &Erase, out: &mut Output) -> Result<(), Problem> {
    let mut card = Card::open(&args.image, true)?;
    if !card.ledger.erase(args.sequence) {
        return Err(Problem::new(
            Code::Found,
            format!(
                "{}: has no record {}; `crashlog list` shows which there are",
                args.image.display(),
                args.sequence
            ),
        ));
    }
    card.ledger.seal(card.format);
    let block = card.geometry.ledger(card.ledger.generation());
    card.partition
        .write_at(block.into(), card.ledger.as_bytes())?;
    card.partition.sync()?;
    writeln!(
        out,
        "record {} is erased; {} left",
        args.sequence,
        card.ledger.len()
    )?;
    Ok(())
}
