//! `crashlog format`: makes a crashlog card.
//!
//! Without `--force` it overwrites no crashes and no data of other kinds.
//!
//! It writes a partition table where there is none (with `--keep` it adds to the existing one), two
//! superblocks and two ledgers. Log and crash slots are not cleared: what they hold fails its
//! checks, as these are seeded with the new, random format number.

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
        "{}: partition \"{PARTITION_NAME}\" of {}: {} crash slots of {}, {} of log",
        path.display(),
        size::show(partition.bytes()),
        geometry.slots(),
        size::show(u64::from(geometry.slot_blocks()) * BLOCK_LEN as u64),
        size::show(u64::from(geometry.ring_pages()) * BLOCK_LEN as u64),
    )?;
    Ok(())
}

/// The crashlog partition; it is made if there is none.
fn place(args: &Format, image: &Image, alone: bool) -> Result<Image, Problem> {
    if alone {
        return image.part(0, image.blocks());
    }
    // One that is not ours to write is not used again: with --force the whole card is replaced.
    if locate::unwritable(image)?.is_none()
        && let Table::Crashlog(first, blocks) = locate::table(image, &mut Vec::new())?
    {
        return image.part(first, blocks);
    }
    // An invalid geometry is refused before the table is written.
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

/// Refuses to overwrite crashes, and data of other kinds.
fn protect(image: &Image, args: &Format, alone: bool) -> Result<(), Problem> {
    let name = image.path().display();
    let refuse = |what: String| {
        Err(Problem::new(
            Code::NotACrashlogCard,
            format!("{name}: {what}; --force overwrites it"),
        ))
    };
    if !alone && let Some(why) = locate::unwritable(image)? {
        return refuse(format!("its partition is not written: {why}"));
    }
    if let Ok(card) = Card::open(image.path(), false) {
        let crashes = card.ledger.len();
        if crashes > 0 {
            return refuse(format!(
                "is a crashlog card that holds {}",
                crate::text::count(crashes.into(), "crash record")
            ));
        }
        return Ok(());
    }
    if !alone {
        match locate::table(image, &mut Vec::new())? {
            // A crashlog partition that was never formatted.
            Table::Crashlog(first, blocks) if is_blank(&image.part(first, blocks)?)? => {
                return Ok(());
            }
            Table::Crashlog(..) => {
                return refuse("has a crashlog partition that cannot be read".to_owned());
            }
            Table::Truncated(_) => return refuse("is a truncated crashlog card".to_owned()),
            Table::Foreign if args.keep => return Ok(()),
            Table::Foreign => {
                return refuse(
                    "has a partition table without a crashlog partition (--keep adds one to it)"
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
        return refuse("is not empty, and is not a crashlog card".to_owned());
    }
    Ok(())
}

/// Whether the first MiB and the last block are blank: file systems, partition tables and firmware
/// begin there.
fn is_blank(image: &Image) -> Result<bool, Problem> {
    let mut head = vec![0; image.blocks().min(2048) as usize * BLOCK_LEN];
    image.read_at(0, &mut head)?;
    let last = read(image, image.blocks().saturating_sub(1))?;
    let blank = |bytes: &[u8]| {
        bytes.iter().all(|byte| *byte == 0) || bytes.iter().all(|byte| *byte == 0xff)
    };
    Ok(blank(&head) && blank(&last))
}

/// Whether the path is the device of a partition, which has no partition table of its own.
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
