//! `crashlog erase`: erases one crash, in the same way as the recorder.
//!
//! One block is written, and it is not that of the newest ledger: after a power cut the crash is there or erased.

use crate::card::Card;
use crate::cli::Erase;
use crate::problem::Problem;
use crate::terminal::Output;
use std::io::Write;
use zerocopy::IntoBytes;

pub fn run(args: &Erase, out: &mut Output) -> Result<(), Problem> {
    let mut card = Card::open(&args.image, true)?;
    if !card.ledger.erase(args.sequence) {
        return Err(card.no_crash(args.sequence));
    }
    card.ledger.seal(card.format);
    let block = card.geometry.ledger(card.ledger.generation());
    card.partition
        .write_at(block.into(), card.ledger.as_bytes())?;
    card.partition.sync()?;
    writeln!(
        out,
        "crash record {} is erased; {} left",
        args.sequence,
        card.ledger.len()
    )?;
    Ok(())
}
