//! What `crashlog format` writes to, and what is destroyed by that.

use crate::blank::is_blank;
use crate::card::Card;
use crate::image::Image;
use crate::locate::{self, absence, not_a_crashlog_card};
use crate::problem::Problem;
use crate::signature;
use crate::size;
use crate::table::{Addition, Tables};
use crate::text::count;
use block_device::BLOCK_LEN;
use crashlog_format::gpt::{Guid, TableProblem};
use crashlog_format::{PARTITION_NAME, PartitionPlace};
use crashlog_store::PartitionError;
use std::fs;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What is formatted.
pub enum Target {
    /// The image is a partition alone.
    Alone(PartitionPlace),
    /// The partition of the existing table.
    Existing(PartitionPlace),
    /// A partition that is added to the existing table.
    Added(Box<Addition>),
    /// The whole card, which gets a new table.
    Card,
}

impl Target {
    /// Chooses what is formatted, and says what that destroys, in words that follow the name of the
    /// image. Nothing is written. `keep`: an existing table is kept.
    pub fn choose(image: &Image, keep: bool) -> Result<(Self, Vec<String>), Problem> {
        if let Some(place) = place_of_device(image)? {
            return Ok((Self::Alone(place), contents(image, image)?));
        }
        if image.blocks() > 0 && locate::begins_alone(image)? {
            let place = PartitionPlace::unknown(image.blocks());
            return Ok((Self::Alone(place), contents(image, image)?));
        }
        let absent = match locate::find(image)? {
            Ok(found) => {
                let place = found.place;
                let partition = image.part(place.first, place.blocks)?;
                return match found.problem {
                    None => Ok((Self::Existing(place), contents(image, &partition)?)),
                    Some(problem @ TableProblem::ReadOnly) => Err(not_a_crashlog_card(format!(
                        "{}: is not written: {problem}; clear the attribute first, for example with `sgdisk --attributes`",
                        image.path().display()
                    ))),
                    Some(problem) if keep => Err(not_a_crashlog_card(format!(
                        "{}: is not written: {problem}; repair its table first, for example with `gdisk`",
                        image.path().display()
                    ))),
                    // One that is not ours to write is not used again: the whole card is replaced.
                    Some(problem) => {
                        let mut destroyed =
                            vec![format!("its partition is not written: {problem}")];
                        destroyed.extend(tables(image)?);
                        Ok((Self::Card, destroyed))
                    }
                };
            }
            Err(absent) => absent,
        };
        match absent {
            PartitionError::NoTable if locate::is_alone(image)? => {
                let place = PartitionPlace::unknown(image.blocks());
                Ok((Self::Alone(place), contents(image, image)?))
            }
            PartitionError::NoTable if keep && !is_blank(image)? => Err(absence(image, &absent)?),
            PartitionError::NoTable => {
                let destroyed = (!is_blank(image)?).then(|| holds(image)).transpose()?;
                Ok((Self::Card, destroyed.into_iter().collect()))
            }
            PartitionError::NotFound | PartitionError::WrongType(_) if keep => {
                let addition = Addition::plan(image)?;
                let mut destroyed = Vec::new();
                let (first, last) = addition.range;
                if !addition.is_blank {
                    destroyed.push(format!(
                        "no gap of its partition table is blank; the largest, blocks {first} to {last}, holds data"
                    ));
                }
                Ok((Self::Added(Box::new(addition)), destroyed))
            }
            PartitionError::NotFound | PartitionError::WrongType(_) => {
                let mut destroyed = vec![
                    "has a partition table without a crashlog partition (--keep adds one to it)"
                        .to_owned(),
                ];
                destroyed.extend(tables(image)?);
                Ok((Self::Card, destroyed))
            }
            PartitionError::Device(_) => Err(absence(image, &absent)?),
            _ if keep => Err(absence(image, &absent)?),
            _ => {
                let what = absence(image, &absent)?.to_string();
                let name = format!("{}: ", image.path().display());
                let what = what.strip_prefix(&name).unwrap_or(&what).to_owned();
                let mut destroyed = vec![what];
                destroyed.extend(tables(image)?);
                Ok((Self::Card, destroyed))
            }
        }
    }
}

/// What is on the crashlog partition of an image, if it is not blank and not an empty log.
fn contents(image: &Image, partition: &Image) -> Result<Vec<String>, Problem> {
    let card = match Card::open(image.path(), false) {
        Ok(card) => card,
        Err(_) if is_blank(partition)? => return Ok(Vec::new()),
        Err(_) if locate::has_ledger(partition)? => {
            return Ok(vec![
                "has a crashlog partition whose superblocks are lost or of another version, and whose ledgers are there"
                    .to_owned(),
            ]);
        }
        Err(_) => {
            let what = signature::of(partition)?.unwrap_or("data");
            return Ok(vec![format!(
                "has a crashlog partition that cannot be read, and holds {what}"
            )]);
        }
    };
    let crashes = card.ledger.len();
    let mut found = Vec::new();
    if crashes > 0 {
        found.push(format!(
            "is a crashlog card that holds {}",
            count(crashes.into(), "crash record")
        ));
    }
    let mut pages = 0;
    card.scan(|_| {}, |_| pages += 1, |_, _| {})?;
    if pages > 0 {
        found.push(format!("holds {}", count(pages, "log page")));
    }
    // What is damaged may be what says that there are crashes, or that the place is another's.
    found.extend(
        card.damaged
            .iter()
            .filter(|what| what.contains("ledger") || what.contains("superblock"))
            .map(|what| format!("is damaged, so there may be more on it: {what}")),
    );
    Ok(found)
}

/// What a card without a table holds.
fn holds(image: &Image) -> Result<String, Problem> {
    let what = signature::of(image)?;
    Ok(what.map_or_else(
        || "is not empty, and is not a crashlog card".to_owned(),
        |what| format!("is not empty, and is not a crashlog card: it holds {what}"),
    ))
}

/// The partitions of a table, by name, size, and what they hold.
fn tables(image: &Image) -> Result<Vec<String>, Problem> {
    let mut all = Vec::new();
    for entry in Tables::read(image)?.partitions() {
        let units = entry.partition_name.iter().map(|unit| unit.get());
        let units = units.take_while(|unit| *unit != 0);
        let name: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        let (first, last) = (entry.starting_lba.get(), entry.ending_lba.get());
        let blocks = last.saturating_sub(first).saturating_add(1);
        let part = image.part(first, blocks)?;
        let what = signature::of(&part)?.map_or(String::new(), |what| format!(", with {what}"));
        let name = if name == PARTITION_NAME {
            name
        } else {
            format!("\"{name}\"")
        };
        all.push(format!(
            "partition {name} of {}{what}",
            size::show(blocks.saturating_mul(BLOCK_LEN as u64))
        ));
    }
    Ok(all)
}

/// The place of a partition whose device the image is; `None` if it is no such device. Its card has
/// a table, which has to say the same.
fn place_of_device(image: &Image) -> Result<Option<PartitionPlace>, Problem> {
    let Some((card, first)) = parent(image.path()) else {
        return Ok(None);
    };
    let name = image.path().display();
    let parent = Image::open(&card, false)?;
    let found = match locate::find(&parent)? {
        Ok(found) => found,
        Err(absent) => return Err(absence(&parent, &absent)?),
    };
    let blocks = image.blocks();
    let why = match found.problem {
        _ if (found.place.first, found.place.blocks) != (first, blocks) => {
            "is not the crashlog partition of its card".to_owned()
        }
        Some(problem) => format!("is not written: {problem}"),
        None => return Ok(Some(found.place)),
    };
    Err(not_a_crashlog_card(format!(
        "{name}: {why}; format the card, {}",
        card.display()
    )))
}

/// The device of the card, and the first block of the partition on it, if the path is the device of
/// a partition.
fn parent(path: &Path) -> Option<(PathBuf, u64)> {
    let path = path.canonicalize().ok()?;
    let entry = Path::new("/sys/class/block").join(path.file_name()?);
    if !entry.join("partition").exists() {
        return None;
    }
    let first = fs::read_to_string(entry.join("start")).ok()?;
    let card = entry.canonicalize().ok()?;
    let card = card.parent()?.file_name()?.to_owned();
    // In units of 512 bytes, whatever the blocks of the device are.
    Some((Path::new("/dev").join(card), first.trim().parse().ok()?))
}

/// A random GUID.
pub fn random_guid() -> Guid {
    Guid(*Uuid::new_v4().as_bytes())
}
