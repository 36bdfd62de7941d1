//! `crashlog format`: makes a crashlog card.
//!
//! Without `--force` it overwrites nothing but what is blank, and an empty log; with it, it says
//! before what it destroys.
//!
//! It writes two superblocks and two ledgers, and then a partition table where there is none (with
//! `--keep` it adds to the existing one). Log and crash slots are not cleared: what they hold fails
//! its checks, as these are seeded with the new, random format number.

use crate::cli::Format;
use crate::image::{Image, TransferError};
use crate::problem::{Code, Problem};
use crate::size;
use crate::target::{Target, random_guid};
use crate::terminal::Output;
use block_device::{BLOCK_LEN, now_or_never};
use crashlog_format::{FormatId, Geometry, PARTITION_NAME, PartitionPlace};
use crashlog_store::{FormatError, FormatOptions, TableOptions, format_partition, write_table};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use uuid::Uuid;

/// Default size of a new image: QEMU accepts it, and it holds a long log.
const DEFAULT_SIZE: u64 = 64 << 20;
/// Size of the smallest image: partition tables, alignment, slots and the shortest log fit in.
const MIN_SIZE: u64 = 4 << 20;

pub fn run(args: &Format, out: &mut Output) -> Result<(), Problem> {
    let path = &args.image;
    let existed = path.exists();
    if existed {
        if args.size.is_some() {
            return Err(usage(format!(
                "{}: exists, so --size does not apply; remove the file, or omit --size",
                path.display()
            )));
        }
    } else {
        create(path, args)?;
    }
    let made = fill(args, existed, out);
    if made.is_err() && !existed {
        // No incomplete new image is left behind.
        let _ = fs::remove_file(path);
    }
    made
}

fn fill(args: &Format, existed: bool, out: &mut Output) -> Result<(), Problem> {
    let path = &args.image;
    let image = Image::open(path, true)?;
    let (target, destroyed) = Target::choose(&image, args.keep)?;
    if existed && !image.is_device() && !matches!(target, Target::Alone(_)) {
        check_size(path, image.bytes(), args.any_size)?;
    }
    let options = TableOptions {
        name: PARTITION_NAME,
        disk: random_guid(),
        partition: random_guid(),
    };
    let place = match &target {
        Target::Alone(place) | Target::Existing(place) => *place,
        Target::Added(addition) => {
            let (first, last) = addition.range;
            PartitionPlace {
                first,
                blocks: last - first + 1,
                guid: options.partition,
            }
        }
        Target::Card => {
            let place = crashlog_store::partition_place(image.blocks(), &options);
            ready(path, Some(place))?
        }
    };
    let options_of_partition = FormatOptions {
        format: FormatId::new(Uuid::new_v4().as_u64_pair().0),
        slots: args.slots,
        slot_blocks: args.slot_size.map(slot_blocks).transpose()?,
        place,
    };
    check_geometry(path, place.blocks, &options_of_partition)?;
    if !destroyed.is_empty() {
        if !args.force {
            return Err(Problem::new(
                Code::NotACrashlogCard,
                format!(
                    "{}: {}; --force overwrites it",
                    path.display(),
                    destroyed.join("; ")
                ),
            ));
        }
        for what in &destroyed {
            writeln!(out, "{}: is overwritten: {what}", path.display())?;
        }
        out.flush()?;
    }
    let mut partition = match target {
        Target::Alone(_) => image.part(0, image.blocks())?,
        _ => image.part(place.first, place.blocks)?,
    };
    let formatted = now_or_never(format_partition(&mut partition, &options_of_partition));
    let geometry = ready(path, formatted)?;
    match target {
        Target::Alone(_) | Target::Existing(_) => {}
        Target::Added(addition) => addition.write(&image, &place)?,
        Target::Card => {
            let mut whole = image.part(0, image.blocks())?;
            ready(path, now_or_never(write_table(&mut whole, &options)))?;
        }
    }
    image.sync()?;
    writeln!(
        out,
        "{}: partition \"{PARTITION_NAME}\" of {}: {} crash slots of {}, {} of log",
        path.display(),
        size::show(partition.bytes()),
        geometry.slots(),
        size::show(u64::from(geometry.slot_blocks()) * BLOCK_LEN as u64),
        size::show(u64::from(geometry.ring_pages()) * BLOCK_LEN as u64),
    )?;
    if !place.is_known() {
        writeln!(
            out,
            "{}: a device does not write it before `crashlog adopt` has run on its card, as the file of a partition does \
             not tell where that is",
            path.display()
        )?;
    }
    Ok(())
}

/// Refuses a geometry that breaks a rule, before anything is written.
fn check_geometry(path: &Path, blocks: u64, options: &FormatOptions) -> Result<(), Problem> {
    let (slots, slot_blocks) = Geometry::recommended(blocks);
    Geometry::new(
        blocks,
        options.slots.unwrap_or(slots),
        options.slot_blocks.unwrap_or(slot_blocks),
    )
    .map(drop)
    .map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// The length of a slot, in blocks.
fn slot_blocks(bytes: u64) -> Result<u32, Problem> {
    if !bytes.is_multiple_of(BLOCK_LEN as u64) {
        return Err(usage(format!(
            "--slot-size {bytes}: must be a multiple of {BLOCK_LEN} bytes, the length of a block"
        )));
    }
    Ok(u32::try_from(bytes / BLOCK_LEN as u64).unwrap_or(u32::MAX))
}

/// The result of an operation on an image, whose futures are ready at once.
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
                format!("{name}: a block beyond its end was requested"),
            ),
        })
}

/// Creates a sparse image file.
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

/// Checks that QEMU accepts an image of this size as an eMMC.
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

fn usage(text: String) -> Problem {
    Problem::new(Code::Usage, text)
}
