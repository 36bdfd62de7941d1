//! `crashlog format`: makes a card of ours, and is careful about what was there.
//!
//! What is written: a partition table where there is none (or `--keep` adds to the one there is), two superblocks, two
//! ledgers. The log and the record slots are not cleared: the new, random format number makes whatever they hold count
//! for nothing.

use crate::card::Card;
use crate::cli::Format;
use crate::image::{Image, TransferError};
use crate::locate::{self, Table, read};
use crate::problem::{Code, Problem};
use crate::size;
use crate::table;
use crate::terminal::Output;
use block_device::{BLOCK_LEN, now_or_never};
use crashlog_format::gpt::Guid;
use crashlog_format::{FormatId, Geometry, PARTITION_NAME};
use crashlog_store::{FormatError, FormatOptions, TableOptions, format_partition, write_table};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use uuid::Uuid;

/// Size of a new image: QEMU takes it, and it holds a long log.
const DEFAULT_SIZE: u64 = 64 << 20;
/// Smallest image: partition tables, alignment, slots and the shortest log fit.
const MIN_SIZE: u64 = 4 << 20;

pub fn run(args: &Format, out: &mut Output) -> Result<(), Problem> {
    let path = &args.image;
    let existed = path.exists();
    if existed {
        if args.size.is_some() {
            return Err(usage(format!(
                "{}: is there already, so --size does not apply; remove the file, or leave --size out",
                path.display()
            )));
        }
    } else {
        create(path, args)?;
    }
    let made = fill(args, existed, out);
    if made.is_err() && !existed {
        // Nothing of a new image that could not be made is left behind.
        let _ = fs::remove_file(path);
    }
    made
}

fn fill(args: &Format, existed: bool, out: &mut Output) -> Result<(), Problem> {
    let path = &args.image;
    let image = Image::open(path, true)?;
    if existed && !image.is_device() {
        check_size(path, image.bytes(), args.any_size)?;
    }
    let alone = is_partition(path);
    if !args.force {
        protect(&image, args, alone)?;
    }
    let mut partition = place(args, &image, alone)?;
    let options = FormatOptions {
        format: FormatId::new(Uuid::new_v4().as_u64_pair().0),
        slots: args.slots,
        slot_blocks: args.slot_size.map(slot_blocks).transpose()?,
    };
    let geometry = ready(
        path,
        now_or_never(format_partition(&mut partition, &options)),
    )?;
    partition.sync()?;
    writeln!(
        out,
        "{}: partition \"{PARTITION_NAME}\" of {}: {} record slots of {}, {} of log",
        path.display(),
        size::show(partition.bytes()),
        geometry.slots(),
        size::show(u64::from(geometry.slot_blocks()) * BLOCK_LEN as u64),
        size::show(u64::from(geometry.ring_pages()) * BLOCK_LEN as u64),
    )?;
    Ok(())
}

/// Where our partition is; makes one if there is none.
fn place(args: &Format, image: &Image, alone: bool) -> Result<Image, Problem> {
    if alone {
        return image.part(0, image.blocks());
    }
    if let Table::Ours(first, blocks) = locate::table(image, &mut Vec::new())? {
        return image.part(first, blocks);
    }
    // A division that is impossible is refused before the table is written.
    let (slots, blocks) = Geometry::recommended(image.blocks());
    let (slots, blocks) = (
        args.slots.unwrap_or(slots),
        args.slot_size
            .map(slot_blocks)
            .transpose()?
            .unwrap_or(blocks),
    );
    Geometry::new(image.blocks(), slots, blocks)
        .map_err(|error| usage(format!("{}: {error}", image.path().display())))?;
    if args.keep && table::exists(image) {
        let (first, blocks) = table::add(image)?;
        return image.part(first, blocks);
    }
    let random = || Guid(*Uuid::new_v4().as_bytes());
    let options = TableOptions {
        name: PARTITION_NAME,
        disk: random(),
        partition: random(),
    };
    let mut whole = image.part(0, image.blocks())?;
    let partition = ready(
        image.path(),
        now_or_never(write_table(&mut whole, &options)),
    )?;
    image.part(partition.first, partition.blocks)
}

/// A slot's length in blocks.
fn slot_blocks(bytes: u64) -> Result<u32, Problem> {
    if !bytes.is_multiple_of(BLOCK_LEN as u64) {
        return Err(usage(format!(
            "--slot-size {bytes}: must be a multiple of {BLOCK_LEN} bytes, the length of a block"
        )));
    }
    Ok(u32::try_from(bytes / BLOCK_LEN as u64).unwrap_or(u32::MAX))
}

/// The result of an operation on an image, which is always complete when it returns.
fn ready<T>(
    path: &Path,
    result: Option<Result<T, FormatError<TransferError>>>,
) -> Result<T, Problem> {
    let name = path.display();
    result
        .unwrap_or(Err(FormatError::Device(TransferError::OutOfRange)))
        .map_err(|error| match error {
            FormatError::Geometry(error) => usage(format!("{name}: {error}")),
            FormatError::TooSmall(blocks) => {
                usage(format!("{name}: {blocks} blocks are too few for a card"))
            }
            FormatError::Device(TransferError::Io(kind)) => {
                Problem::new(Code::Io, format!("{name}: cannot write it: {kind}"))
            }
            FormatError::Device(TransferError::OutOfRange) => Problem::new(
                Code::Io,
                format!("{name}: a block beyond its end was asked for"),
            ),
        })
}

/// Makes an image file of zeros, which takes no room on the disk yet.
fn create(path: &Path, args: &Format) -> Result<(), Problem> {
    if path.starts_with("/dev") {
        return Err(Problem::new(
            Code::Io,
            format!("{}: there is no such device", path.display()),
        ));
    }
    let bytes = args.size.unwrap_or(DEFAULT_SIZE);
    check_size(path, bytes, args.any_size)?;
    let file = File::create_new(path).map_err(|cause| Problem::io(path, "create it", &cause))?;
    file.set_len(bytes).map_err(|cause| {
        let _ = fs::remove_file(path);
        Problem::io(path, &format!("make it {} long", size::show(bytes)), &cause)
    })
}

/// An image must have a size that QEMU takes for an eMMC.
fn check_size(path: &Path, bytes: u64, any_size: bool) -> Result<(), Problem> {
    let name = path.display();
    if bytes < MIN_SIZE {
        return Err(usage(format!(
            "{name}: {} is too small; a card has at least {}",
            size::show(bytes),
            size::show(MIN_SIZE)
        )));
    }
    if !bytes.is_multiple_of(BLOCK_LEN as u64) {
        return Err(usage(format!(
            "{name}: {bytes} bytes are not a multiple of {BLOCK_LEN}, the length of a block"
        )));
    }
    if !any_size && !bytes.is_power_of_two() {
        let larger = bytes.checked_next_power_of_two().unwrap_or(bytes);
        return Err(usage(format!(
            "{name}: QEMU refuses a card of {}: the size must be a power of two, such as {} or {} (--any-size accepts it)",
            size::show(bytes),
            size::show(larger / 2),
            size::show(larger)
        )));
    }
    Ok(())
}

/// Refuses to overwrite what may be of use to somebody.
fn protect(image: &Image, args: &Format, alone: bool) -> Result<(), Problem> {
    let name = image.path().display();
    let refuse = |what: String| {
        Err(Problem::new(
            Code::NotOurs,
            format!("{name}: {what}; --force overwrites it"),
        ))
    };
    if let Ok(card) = Card::open(image.path(), false) {
        let records = card.ledger.len();
        if records > 0 {
            return refuse(format!(
                "is a card of ours that holds {}",
                crate::text::count(records.into(), "crash record")
            ));
        }
        return Ok(());
    }
    if !alone {
        match locate::table(image, &mut Vec::new())? {
            // A partition of ours that was never formatted, or is damaged beyond reading.
            Table::Ours(first, blocks) if is_blank(&image.part(first, blocks)?)? => return Ok(()),
            Table::Ours(..) => {
                return refuse("has a partition of ours that cannot be read".to_owned());
            }
            Table::Truncated(_) => return refuse("is a truncated card of ours".to_owned()),
            Table::Foreign if args.keep => return Ok(()),
            Table::Foreign => {
                return refuse(
                    "has a partition table without a partition of ours (--keep adds one to it)"
                        .to_owned(),
                );
            }
            Table::None => {}
        }
        if table::exists(image) {
            return refuse(
                "has a partition table that this program does not understand".to_owned(),
            );
        }
    }
    if !is_blank(image)? {
        return refuse("is not empty, and what it holds is not ours".to_owned());
    }
    Ok(())
}

/// Whether there is nothing where file systems, partition tables and firmware begin: the first MiB and the last block.
fn is_blank(image: &Image) -> Result<bool, Problem> {
    let mut head = vec![0; image.blocks().min(2048) as usize * BLOCK_LEN];
    image.read_at(0, &mut head)?;
    let last = read(image, image.blocks().saturating_sub(1))?;
    let blank = |bytes: &[u8]| {
        bytes.iter().all(|byte| *byte == 0) || bytes.iter().all(|byte| *byte == 0xff)
    };
    Ok(blank(&head) && blank(&last))
}

/// Whether the path is the device of a partition, or of something else that has no partition table of its own.
fn is_partition(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    path.file_name().is_some_and(|name| {
        Path::new("/sys/class/block")
            .join(name)
            .join("partition")
            .exists()
    })
}

fn usage(text: String) -> Problem {
    Problem::new(Code::Usage, text)
}
