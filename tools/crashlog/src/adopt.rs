//! `crashlog adopt`: makes a partition that was copied or moved ours again.
//!
//! The superblocks are written anew; log, crashes and ledgers stay. If it is interrupted, the
//! partition is as it was, or adopted.

use crate::card::Card;
use crate::cli::Adopt;
use crate::image::{Image, TransferError};
use crate::locate::{self, locate, not_a_crashlog_card, place_text};
use crate::problem::{Code, Problem};
use crate::terminal::Output;
use crate::text::count;
use block_device::now_or_never;
use crashlog_format::Superblock;
use crashlog_store::{FormatError, Store, StoreOptions, adopt_partition};
use std::io::Write;

pub fn run(args: &Adopt, out: &mut Output) -> Result<(), Problem> {
    let path = &args.image;
    let name = path.display();
    let image = Image::open(path, true)?;
    let located = locate(&image)?;
    let Some(found) = located.found else {
        return Err(not_a_crashlog_card(format!(
            "{name}: is a partition without its card, and only the card tells where it is: give the whole card"
        )));
    };
    if let Some(problem) = found.problem {
        return Err(not_a_crashlog_card(format!(
            "{name}: is not written: {problem}"
        )));
    }
    let card = Card::open(path, false)?;
    if let Some(what) = overwritten(&located.partition)? {
        return Err(not_a_crashlog_card(format!(
            "{name}: is not written: {what} of its partition holds neither a superblock nor zeros, so something else was \
             written there; keep an image of it, then `crashlog format --force` makes it ours"
        )));
    }
    let scratch = locate::scratch();
    let options = StoreOptions { keep_first: 0 };
    let view = located.partition.part(0, located.partition.blocks())?;
    let boots = match now_or_never(Store::mount(view, &found, options, &scratch)) {
        Some(Ok(store)) => store.last_boot(),
        _ => card.ledger.boot(),
    };
    writeln!(
        out,
        "the partition table states {}",
        place_text(&found.place)
    )?;
    let stated = located.content.place();
    writeln!(out, "the superblock states {}", place_text(&stated))?;
    writeln!(
        out,
        "on the partition: {}, the log of {}",
        count(card.ledger.len().into(), "crash record"),
        count(boots.into(), "boot")
    )?;
    for text in card.remarks() {
        writeln!(out, "{text}")?;
    }
    if located.refusal.is_none() && stated == found.place && !located.is_damaged() {
        writeln!(out, "{name}: is ours already; nothing is written")?;
        return Ok(());
    }
    out.flush()?;
    let mut partition = located.partition;
    let adopted = adopt_partition(&mut partition, &located.content, &found.place);
    match now_or_never(adopted) {
        Some(Ok(())) => {}
        Some(Err(FormatError::Device(TransferError::Io(kind)))) => {
            return Err(Problem::new(
                Code::Io,
                format!("{name}: cannot write its superblocks: {kind}"),
            ));
        }
        _ => {
            return Err(Problem::new(
                Code::Io,
                format!("{name}: cannot write its superblocks"),
            ));
        }
    }
    writeln!(out, "{name}: the superblocks state what the table does now")?;
    Ok(())
}

/// The superblock, in words, in whose place there is something that is not ours.
fn overwritten(partition: &Image) -> Result<Option<&'static str>, Problem> {
    let last = partition.blocks().saturating_sub(1);
    for (block, what) in [(0, "the first block"), (last, "the last block")] {
        let bytes = locate::read(partition, block)?;
        let is_ours = bytes.starts_with(&Superblock::MAGIC.to_le_bytes());
        if !is_ours
            && !bytes.iter().all(|byte| *byte == 0)
            && !bytes.iter().all(|byte| *byte == 0xff)
        {
            return Ok(Some(what));
        }
    }
    Ok(None)
}
