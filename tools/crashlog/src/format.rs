//! `crashlog format`: makes a card of ours, and is careful about what was there.
//!
//! What is written: a partition table where there is none (or `--keep` adds to the one there is), two superblocks, one
//! ledger. The log and the record slots are not cleared: the new, random format number makes whatever they hold count
//! for nothing.

use crate::card::Card;
use crate::cli::Format;
use crate::image::Image;
use crate::locate::{self, Table, read};
use crate::problem::{Code, Problem};
use crate::size;
use crate::table::{self, Identity};
use crate::terminal::Output;
use block_device::BLOCK_LEN;
use crashlog_format::gpt::CRASHLOG_TYPE;
use crashlog_format::ledger::Ledger;
use crashlog_format::{FormatId, Geometry, PARTITION_NAME, Superblock};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use uuid::Uuid;
use zerocopy::IntoBytes;

/// Size of a new image: QEMU takes it, and it holds a long log.
const DEFAULT_SIZE: u64 = 64 << 20;
/// Smallest image: partition tables, alignment, slots and the shortest log fit.
const MIN_SIZE: u64 = 4 << 20;
const DEFAULT_SLOTS: u32 = 16;
/// Largest slot that is chosen without being asked for.
const DEFAULT_SLOT_BLOCKS: u64 = 2048;
/// The slots take this part of the partition, unless asked for otherwise.
const SLOTS_SHARE: u64 = 4;

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
    let partition = if alone {
        image.part(0, image.blocks())?
    } else {
        let identity = Identity {
            name: PARTITION_NAME,
            kind: Uuid::from_bytes_le(CRASHLOG_TYPE.0),
        };
        match locate::table(&image, &mut Vec::new())? {
            Table::Ours(first, blocks) => image.part(first, blocks)?,
            Table::Foreign if args.keep => {
                let place = table::add(&image, &identity)?;
                image.part(place.first, place.blocks)?
            }
            _ => {
                let place = table::create(&image, &identity)?;
                image.part(place.first, place.blocks)?
            }
        }
    };
    let geometry = geometry(path, args, partition.blocks())?;
    write(&partition, &geometry)?;
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

fn geometry(path: &Path, args: &Format, blocks: u64) -> Result<Geometry, Problem> {
    let slots = args.slots.unwrap_or(DEFAULT_SLOTS);
    let slot_blocks = match args.slot_size {
        Some(bytes) if !bytes.is_multiple_of(BLOCK_LEN as u64) => {
            return Err(usage(format!(
                "--slot-size {bytes}: must be a multiple of {BLOCK_LEN} bytes, the length of a block"
            )));
        }
        Some(bytes) => bytes / BLOCK_LEN as u64,
        None => {
            (blocks / SLOTS_SHARE / u64::from(slots.max(1)) / 8 * 8).clamp(8, DEFAULT_SLOT_BLOCKS)
        }
    };
    Geometry::new(
        blocks,
        slots,
        u32::try_from(slot_blocks).unwrap_or(u32::MAX),
    )
    .map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// Superblocks last: until they are there, there is no card of ours.
fn write(partition: &Image, geometry: &Geometry) -> Result<(), Problem> {
    let format = FormatId::new(Uuid::new_v4().as_u64_pair().0);
    let ledger = Ledger::new(format, geometry);
    partition.write_at(geometry.ledger(1).into(), &[0; BLOCK_LEN])?;
    partition.write_at(geometry.ledger(0).into(), ledger.as_bytes())?;
    partition.sync()?;
    let superblock = Superblock::new(format, geometry).to_block();
    for block in geometry.superblocks() {
        partition.write_at(block.into(), &superblock)?;
    }
    partition.sync()
}

fn usage(text: String) -> Problem {
    Problem::new(Code::Usage, text)
}
